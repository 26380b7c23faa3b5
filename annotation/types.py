"""The nouns of annot. Standard library only: every other module may import this one."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
Purpose = Literal["work", "control", "entry", "adjudication"]

SEATS = "ABCDEFGH"
"""Names of the places on a slate, in the order of the screen."""

PROBLEMS = ("stereotype", "wrong_country", "wrong_register", "factual_error", "offensive", "other")
"""What an annotator can say is wrong with an answer."""

PICTURE_PROBLEMS = (
    *("wrong_dish_or_feast", "stereotype", "generic", "invented"),
    *("offensive", "identifies_person", "other"),
)
"""The same of a description of a picture; "generic" is one that would fit any picture."""


def in_order(problems: Collection[str]) -> tuple[str, ...]:
    """Some of PROBLEMS, or of PICTURE_PROBLEMS, each once and in their order."""
    known = PROBLEMS if all(problem in PROBLEMS for problem in problems) else PICTURE_PROBLEMS
    return tuple(problem for problem in known if problem in problems) if problems else ()


def content_id(*parts: str) -> str:
    """Name a thing by what it holds: 16 hex digits of SHA-256 over the parts, NFC and without outer blanks."""
    normal = json.dumps([unicodedata.normalize("NFC", part).strip() for part in parts], ensure_ascii=False)
    return hashlib.sha256(normal.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A culturally situated question.

    Attributes:
        id: Hash of text, system text, country and language as they came: reading a file twice changes nothing.
        text: The question, NFC.
        country: ISO 3166-1 alpha-2, upper case.
        language: ISO 639-1, lower case.
        topic: Free label of the quota's group; "general" where the source has none.
        system: A system text that came with the prompt, or "".
        source: Where it was read from: file name or dataset, and row.
        licence: As the source states it, or "".
        author: User name of the person on the team who wrote it, or "".
        removed: Taken out by `annot prompts remove`: nothing is done with it, and nothing about it counts.
        image: Id of the picture that it is about (see Picture), or "".
    """

    id: str
    text: str
    country: str
    language: str
    topic: str = "general"
    system: str = ""
    source: str = ""
    licence: str = ""
    author: str = ""
    removed: bool = False
    image: str = ""

    @classmethod
    def make(
        cls,
        text: str,
        *,
        country: str,
        language: str,
        topic: str = "general",
        system: str = "",
        source: str = "",
        licence: str = "",
        author: str = "",
        image: str = "",
    ) -> Prompt:
        """Build a prompt and name it by its content."""
        return cls(
            content_id(text, system, country, language, *([image] if image else [])),
            text,
            country,
            language,
            topic,
            system,
            source,
            licence,
            author,
            image=image,
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that people describe. Its file stands in the project by its id (`annotation.images.store`).

    Attributes:
        id: SHA-256 of its file as annot wrote it, 64 hex digits.
        likeness: Perceptual hash, 16 hex digits: of two pictures that look alike few bits differ.
        width: Pixels.
        height: Pixels.
        source: Where it was read from: file name or dataset, and row.
        licence: As the source states it.
        creator: Who made it, as the licence asks it to be said.
        people: What whoever added it says of people in it: "none" can be recognised, or they "agreed".
    """

    id: str
    likeness: str
    width: int
    height: int
    source: str
    licence: str
    creator: str
    people: Literal["none", "agreed"]


def picture_file(picture: str, *, view: bool = False) -> str:
    """Path of a picture's file below a project, a snapshot, a run or an export, by the picture's id.

    Args:
        picture: Its id.
        view: The small one that Argilla's page shows; else the one that models see, a JPEG of at most 1024 pixels.
    """
    return f"images/{picture[:2]}/{picture}{'.view.webp' if view else '.jpg'}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer to a prompt. Annotators never see its model or voice.

    Attributes:
        id: Hash of prompt and text.
        prompt_id: The prompt it answers.
        text: The answer.
        model: Name of the model, or the file it came from.
        voice: Persona it was drafted in, or "".
        settings: How it was sampled (temperature, p, seed, …), or where it stood in a preference file.
        cost_usd: What was paid for it, in dollars.
    """

    id: str
    prompt_id: str
    text: str
    model: str
    voice: str = ""
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    cost_usd: float = 0.0

    @classmethod
    def make(
        cls,
        prompt_id: str,
        text: str,
        *,
        model: str,
        voice: str = "",
        settings: Mapping[str, str | int | float] | None = None,
        cost_usd: float = 0.0,
    ) -> Candidate:
        """Build a candidate and name it by its prompt and text."""
        return cls(content_id(prompt_id, text), prompt_id, text, model, voice, dict(settings or {}), cost_usd)


REGIONAL_FEATURES = ("agnostic", "culture", "region explicit", "region implicit")
"""INCLUDE's four kinds of regional knowledge that a question asks for."""


@dataclass(frozen=True, slots=True)
class ExamQuestion:
    """A multiple-choice question of an exam, with the provenance that INCLUDE asks for.

    Attributes:
        id: Hash of question, options, country and language as they came.
        question: Its text, NFC.
        options: Texts of the options in the order of the exam, without their letters; four, where people have checked.
        answer: Place of the right option, 0 first; None where no key is known.
        country: ISO 3166-1 alpha-2, upper case.
        language: ISO 639-1, lower case.
        exam: Name of the exam.
        number: Number of the question in it, as printed, or "".
        level: For example "Academic", "Professional" or "License".
        category: Subject, in English.
        category_original: The same in the exam's language, or "".
        domain: INCLUDE's wider field, for example "Social Science", or "".
        regional_feature: One of REGIONAL_FEATURES, or "" where nobody has said.
        source: Address from which the exam can be had.
        licence: As the source states it.
        document: SHA-256 of the file that it was read from.
        page: Its page there, 1 first; 0 where there are no pages.
        extractor: What read it: "text layer", "OCR spa", "csv", …
        picture: Path of the picture of its region, below the project's folder, or "".
        unsure: Why the extractor asks for a closer look, or "".
        author: User name of whoever on the team added it, or "".
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    country: str
    language: str
    exam: str
    number: str = ""
    level: str = ""
    category: str = ""
    category_original: str = ""
    domain: str = ""
    regional_feature: str = ""
    source: str = ""
    licence: str = ""
    document: str = ""
    page: int = 0
    extractor: str = ""
    picture: str = ""
    unsure: str = ""
    author: str = ""


EVALUATION_ONLY = "evaluation-only"
"""Value of the column `use` in rows that nothing may be trained on."""


@dataclass(frozen=True, slots=True)
class Association:
    """A group of people and what is said of it. That somebody says it does not make it true.

    Attributes:
        id: Hash of identity, attribute, frame and language.
        identity: The group as its source writes it: "mexicanos", "Bolivia".
        attribute: What is said of it; "" where the frame says it.
        language: ISO 639-1.
        frame: A whole sentence with "*" where the group stands, or "".
        target: The country whose people are meant, ISO 3166-1 alpha-2, or "" where that is not known.
        source: Where it was read from: file name or dataset, and row; of what the team shared, the item and line.
        licence: As the source states it, or "".
        author: User name of the person on the team who shared it, or "".
    """

    id: str
    identity: str
    attribute: str
    language: str
    frame: str = ""
    target: str = ""
    source: str = ""
    licence: str = ""
    author: str = ""

    @classmethod
    def make(cls, identity: str, attribute: str, language: str, *, frame: str = "", **about: str) -> Association:
        """Build an association and name it by its content; capitals make no other one."""
        named = content_id("association", *(text.casefold() for text in (identity, attribute, frame)), language)
        return cls(named, identity, attribute, language, frame, **about)

    @property
    def text(self) -> str:
        """As people read it: the sentence, or both parts with a dash between them."""
        return self.frame.replace("*", self.identity) if self.frame else f"{self.identity} – {self.attribute}"


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences that differ in the group alone: the one that an association names, and a control group.

    Attributes:
        id: Hash of template, association, country and control group.
        association: Id of the association.
        template: Id of the template, for example "es-son".
        language: ISO 639-1.
        country: Where people know the association, ISO 3166-1 alpha-2.
        target: The country whose people are meant, ISO 3166-1 alpha-2.
        control: The country of the control group.
        identity: The group in the form that stands in the sentence.
        control_identity: The control group, of the same gender and number.
        before: The sentence up to the attribute, without the blank before it.
        control_before: The same with the control group.
        attribute: In the form that agrees with both groups.
        after: What follows, for example ".".
        known: Median of the ratings from 1 to 5 of how well people of the country know it.
        raters: People who rated it.
        source: Of the association.
        licence: Of its source, or "".
    """

    id: str
    association: str
    template: str
    language: str
    country: str
    target: str
    control: str
    identity: str
    control_identity: str
    before: str
    control_before: str
    attribute: str
    after: str
    known: float
    raters: int
    source: str = ""
    licence: str = ""

    @property
    def in_group(self) -> bool:
        """Whether people of the country say it of their own."""
        return self.country == self.target

    @property
    def sentence(self) -> str:
        """About the group of the association."""
        return f"{self.before} {self.attribute}{self.after}"

    @property
    def control_sentence(self) -> str:
        """About the control group."""
        return f"{self.control_before} {self.attribute}{self.after}"


@dataclass(frozen=True, slots=True)
class Item:
    """What is put before people: one record of one task.

    Attributes:
        id: Hash of the content; Argilla knows the record by it.
        task: Name of the task, a key of `annotation.tasks.TASKS`.
        position: Place in the order of annotation, 0 first; one item of a task stands there.
        country: ISO 3166-1 alpha-2; decides which team is asked.
        language: ISO 639-1.
        topic: Label of the quota's group.
        content: What the task needs of its own, as JSON.
        prompt_id: The prompt that it is about, or "". A prompt may stand in several tasks, in each once.
        purpose: "work", or why else it is asked: what is not work counts for no quota and trains nothing.
        expected: The answer that is known to be right, in the task's own form; None where there is none.
        parent: The item that it came from, or "".
        removed: It, or its prompt, was taken out: nobody is asked any more, and no answer counts.
        moved: Its prompt was given another country: answers of other countries' teams do not count.
        round: In which answers to its prompt were put before people, 1 first; 0 for what is of no round.
        closed: Of an earlier round: nobody is asked any more, and its answers count on.
    """

    id: str
    task: str
    position: int
    country: str
    language: str
    topic: str
    content: Mapping[str, Any] = field(default_factory=dict)
    prompt_id: str = ""
    purpose: Purpose = "work"
    expected: Mapping[str, Any] | None = None
    parent: str = ""
    removed: bool = False
    moved: bool = False
    round: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one person said of one item. The head is the same for every task, the value is the task's own.

    Attributes:
        response_id: Argilla's id of the response; stays the same when the person edits it.
        item_id: The item.
        annotator: User name. It never leaves the project: exports carry a pseudonym.
        country: Country of the annotator's team, ISO 3166-1 alpha-2.
        submitted_at: ISO 8601, UTC: when the response last changed on the server.
        value: What was said, for example a Judgement.
        weight: Of its author's votes; see Person.
        adjudicated: It is the decision of an adjudicator, who was told what the others had said.
    """

    response_id: str
    item_id: str
    annotator: str
    country: str
    submitted_at: str
    value: T
    weight: float = 1.0
    adjudicated: bool = False


@dataclass(frozen=True, slots=True)
class Slate:
    """The answers that a person ranks side by side: the ranking's own view of an item.

    Attributes:
        id: Hash of the prompt and the set of candidates.
        prompt_id: The prompt they answer.
        seats: Candidate ids in the order of the screen: seats[0] is A. Shuffled once, saved before pushing.
        position: Place in the order of annotation, 0 first.
        round: In which people are asked, 1 first: in each a prompt has one slate.
        closed: Of an earlier round.
    """

    id: str
    prompt_id: str
    seats: tuple[str, ...]
    position: int
    round: int = 1
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one person said of one slate.

    Attributes:
        tiers: Candidate ids, best first; equal ranks share a tier. Empty when nothing was ranked.
        problems: Candidate id -> some of PROBLEMS or PICTURE_PROBLEMS; "" -> those of the slate as a whole, which
            older datasets ask for.
        none_acceptable: The person found no answer fit to be chosen.
        rewrite: The answer that the person would have given, or "".
    """

    tiers: tuple[tuple[str, ...], ...]
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    none_acceptable: bool = False
    rewrite: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """One answer preferred to another by the people of one country.

    Attributes:
        slate_id: Where both stood.
        prompt_id: What both answer.
        country: Country of the annotators who voted (not averaged with other countries).
        chosen: Candidate id.
        rejected: Candidate id.
        votes_for: Annotators who ranked chosen above rejected.
        votes_against: Annotators who ranked rejected above chosen.
        ties: Annotators who put both in one tier.
        annotators: Pseudonyms of all who voted, sorted.
        chosen_problems: Some of PROBLEMS or PICTURE_PROBLEMS: what people of the country marked on the chosen answer.
        rejected_problems: The same of the rejected one.
        adjudicated: An adjudicator said something of the slate.
        weights: Of the votes for, against and tied, each the sum of its authors' weights; None where all of them are
            1. `chosen` is what outweighs the other, not what more people prefer.
    """

    slate_id: str
    prompt_id: str
    country: str
    chosen: str
    rejected: str
    votes_for: int
    votes_against: int
    ties: int
    annotators: tuple[str, ...]
    chosen_problems: tuple[str, ...] = ()
    rejected_problems: tuple[str, ...] = ()
    adjudicated: bool = False
    weights: tuple[float, float, float] | None = None

    @property
    def votes(self) -> tuple[float, float, float]:
        """Votes for, against and tied, each by its weight."""
        return self.weights or (self.votes_for, self.votes_against, self.ties)

    @property
    def margin(self) -> float:
        """(for - against) / all votes, ties included, each by its weight: in (0, 1]."""
        votes_for, votes_against, ties = self.votes
        return (votes_for - votes_against) / (votes_for + votes_against + ties)


@dataclass(frozen=True, slots=True)
class Quota:
    """How many items of a task a group owes, and by how many people each.

    Attributes:
        task: Name of the task.
        country: ISO code of the group.
        topic: Topic of the group, or "" for all topics.
        language: ISO code, or "" for all languages.
        target: Items to complete.
        overlap: People per item.
    """

    task: str
    country: str
    topic: str
    language: str
    target: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something a step left out.

    Attributes:
        id: What: an id of ours, or "file:row" for input that never got one.
        reason: One of a few words that can be counted, for example "exact duplicate".
        because_of: The thing it collided with, or the number that decided, or "".
    """

    id: str
    reason: str
    because_of: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the team, from the roster.

    Attributes:
        username: Log-in name in Argilla.
        name: First name shown on the page, may be "".
        role: "annotator", "admin" (a team lead) or "adjudicator" (who decides what the others do not agree on).
        country: ISO 3166-1 alpha-2; decides the workspace.
        languages: ISO 639-1 codes; the first is the language of the guidelines.
        active: False after `annot team remove`.
        excluded: Why what this person answered does not count; "" where it does.
        weight: Of each of their votes; that of somebody of whom nothing is known is 1.
        auto: The weight follows what is measured of them, as a lead decided.
        reason: Why the lead decided so about the weight, or "".
        same_as: User name under which this person counts, where they have several; or "".
        marks: Of somebody who is forgotten, hashes (`mark_of`) of the words that named them; their name is not known.
        mark_key: What these were made with; it is the project's secret.
    """

    username: str
    name: str
    role: str
    country: str
    languages: tuple[str, ...]
    active: bool = True
    excluded: str = ""
    weight: float = 1.0
    auto: bool = False
    reason: str = ""
    same_as: str = ""
    marks: tuple[str, ...] = ()
    mark_key: str = field(default="", repr=False)


def mark_of(key: str, word: str) -> str:
    """By what a word that named a forgotten person is known again without being kept: its hash, by a secret key."""
    return hmac.digest(key.encode(), word.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The judgements and preferences at the moment the quotas were met: what a run is trained on, for ever.

    Attributes:
        id: Hash of the content.
        rankings: How many judgements it holds.
        preferences: How many preferences it holds.
        made_at: ISO 8601, UTC.
    """

    id: str
    rankings: int
    preferences: int
    made_at: str
