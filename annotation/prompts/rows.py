"""Rows on their way to becoming prompts and candidates: read, cleaned, masked, checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from annotation.reading.examples import Example, FoundJudgement
from annotation.screen import Progress, silent
from annotation.tasks.ranking.file_judgements import FileJudgement
from annotation.text.clean import clean, clean_label, is_formula
from annotation.text.locales import country_code, locale_country
from annotation.text.privacy import KINDS, excerpt, mask
from annotation.types import Candidate, Dropped, Prompt

if TYPE_CHECKING:
    from annotation.config import PromptSettings

T = TypeVar("T")

ANSWER_ROOM = 5
"""An answer or a system text may be this many times as long as a prompt."""
TOPIC_CHARS = 80
"""Longer topics are no labels."""

REPEATED, REPEATED_SHARE = 3, 0.01
"""A rejected answer of so many prompts, and of such a share of them, is most often a program's message of an error."""
REPEATED_REASON = "the rejected answer of many prompts (--repeated takes it)"

MASK = re.compile("|".join(map(re.escape, KINDS)))
"""What stands in the place of masked personal data."""


# A set of pairs repeats its prompts, system texts and labels, most often in rows beside each other.
_clean_once, _label_once = lru_cache(1024)(clean), lru_cache(1024)(clean_label)


@dataclass(frozen=True, slots=True)
class StepResult(Generic[T]):
    """Result of a step: what it kept, in the order in which it came, and what it dropped."""

    kept: tuple[T, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class EntryAnswer:
    """An answer that came with a prompt; `kind` is "chosen", "rejected", "output" or "rank 0"."""

    kind: str
    text: str
    model: str = ""
    voice: str = ""
    masked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way to becoming a prompt: as written at first, with ISO codes at the end.

    Attributes:
        where: "file:row".
        label: Its id in the source, or "".
        judgements: What the source says of the answers, by their places.
        accounts: User names that its personal columns hold.
        masked: Token to count, over everything but the answers.
    """

    where: str
    text: str
    label: str = ""
    system: str = ""
    country: str = ""
    language: str = ""
    topic: str = ""
    licence: str = ""
    answers: tuple[EntryAnswer, ...] = ()
    judgements: tuple[FoundJudgement, ...] = ()
    accounts: tuple[str, ...] = ()
    masked: Mapping[str, int] = field(default_factory=dict)

    def prompt(self) -> Prompt:
        """Build the prompt that the row holds."""
        return Prompt.make(
            self.text,
            country=self.country,
            language=self.language,
            topic=self.topic,
            system=self.system,
            source=f"{self.where} {self.label}".rstrip(),
            licence=self.licence,
        )


def entry_of(example: Example) -> Entry:
    """An example as an entry: its fields as written. Blank answers are there beside others alone."""
    answers = example.answers if any(answer.text.strip() for answer in example.answers) else ()
    return Entry(
        example.place,
        example.prompt,
        label=example.label,
        system=example.system,
        country=example.country,
        language=example.language,
        topic=example.topic,
        licence=example.licence,
        answers=tuple(EntryAnswer(answer.stood, answer.text, answer.model, answer.voice) for answer in answers),
        judgements=example.judgements if answers else (),
        accounts=example.accounts,
    )


def clean_entries(
    entries: Sequence[Entry], settings: PromptSettings, defaults: Mapping[str, str], progress: Progress = silent
) -> StepResult[Entry]:
    """Clean and mask the texts of rows, find their country; drop what is empty, trivial, too long or a formula.

    Args:
        entries: Rows as written.
        settings: Lengths, in characters.
        defaults: Codes and labels for rows that name none.
        progress: Gets how many are done.
    """
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    for done, entry in enumerate(entries):
        progress(done, len(entries), "cleaning")
        outcome = _clean_entry(entry, settings, defaults)
        if isinstance(outcome, Dropped):
            dropped.append(outcome)
        else:
            kept.append(outcome)
    return StepResult(tuple(kept), tuple(dropped))


def _clean_entry(entry: Entry, settings: PromptSettings, defaults: Mapping[str, str]) -> Entry | Dropped:
    most, room = settings.max_chars, settings.max_chars * ANSWER_ROOM
    for raw, limit in ((entry.text, most), (entry.system, room)):
        # Repair shortens a text at most so many times: what is longer need not be repaired to be refused.
        if len(raw) > 8 * limit and len(raw.strip()) > 8 * limit:
            return Dropped(entry.where, "too long", f"{len(raw)} characters")
    text, system = _clean_once(entry.text), _clean_once(entry.system)
    topic, stated = _label_once(entry.topic[: 8 * TOPIC_CHARS]), _label_once(entry.country[:200])
    if not text:
        return Dropped(entry.where, "empty")
    for cell in (text, system, topic, stated):
        if is_formula(cell):
            return Dropped(entry.where, "formula", excerpt(cell))
    if len(text) > most or len(system) > room:
        return Dropped(entry.where, "too long", f"{max(len(text), len(system))} characters")
    country = country_code(stated) if stated else locale_country(entry.language) or defaults.get("country")
    if not country:
        return Dropped(entry.where, "unknown country", excerpt(stated) or "none is named")

    masked: Counter[str] = Counter()

    def private(words: str) -> str:
        if not words:
            return ""
        bare, found = mask(words, country, entry.accounts)
        masked.update(found)
        return bare

    text, system, topic = private(text), private(system), private(topic)
    if len(text) < settings.min_chars:
        return Dropped(entry.where, "too short", f'{len(text)} characters: "{excerpt(text)}"')
    if not any(map(str.isalpha, MASK.sub("", text))):
        return Dropped(entry.where, "too short", f'no letters: "{excerpt(text)}"')
    answers = []
    for answer in entry.answers:
        words, found = answer.text, Counter[str]()
        if len(words) <= 8 * room:
            words, found = mask(clean(words), country, entry.accounts)
        model, voice = (private(_label_once(said[:200])) for said in (answer.model, answer.voice))
        answers.append(EntryAnswer(answer.kind, words, model, voice, found))
    return replace(
        entry,
        text=text,
        system=system,
        country=country,
        topic=topic[:TOPIC_CHARS].strip() or defaults.get("topic") or "general",
        language=clean_label(entry.language[:80]) or defaults.get("language", ""),
        licence=private(clean_label(entry.licence[:400])) or defaults.get("licence", ""),
        label=private(clean_label(entry.label)),
        answers=tuple(answer if len(answer.text) <= room else replace(answer, text="") for answer in answers),
        masked=masked,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """Candidates and judgements that came with prompts.

    Attributes:
        candidates: Each with its masked tokens; one that comes twice stands twice.
        judged: In the order of the source, with user names as written.
        dropped: Answers and judgements that were left out.
    """

    candidates: tuple[tuple[Candidate, Mapping[str, int]], ...]
    judged: tuple[FileJudgement, ...]
    dropped: tuple[Dropped, ...]


def read_answers(
    entries: Sequence[tuple[Entry, str]], prompt_ids: set[str], model: str, *, repeated: bool = False
) -> Answered:
    """Make candidates of the answers that came with prompts, and judgements of these.

    A prompt that stands in several rows (one per pair of answers) gets the answers of all of them.

    Args:
        entries: Clean rows, each with the id of its prompt.
        prompt_ids: Prompts that are in the project, or will be.
        model: Where answers come from whose model the source does not name.
        repeated: Take also a rejected answer that stands beside many prompts.
    """
    kept: list[tuple[Candidate, Mapping[str, int]]] = []
    judged: list[FileJudgement] = []
    dropped: list[Dropped] = []
    answered = {(a.text, prompt) for entry, prompt in entries for a in entry.answers if a.kind == "rejected" and a.text}
    times = Counter(text for text, _ in answered)
    many = max(REPEATED, REPEATED_SHARE * len(answered))
    for entry, prompt_id in entries:
        if not entry.answers or prompt_id not in prompt_ids:
            continue
        if len(entry.answers) == 2 and entry.answers[0].text == entry.answers[1].text:
            dropped.append(Dropped(f"{entry.where} answers", "identical answers", excerpt(entry.answers[0].text)))
            continue
        ids = list[str]()
        for answer in entry.answers:
            ids.append("")
            if not answer.text:
                dropped.append(Dropped(f"{entry.where} {answer.kind}", "answer empty or too long"))
            elif is_formula(answer.text):
                dropped.append(Dropped(f"{entry.where} {answer.kind}", "formula", excerpt(answer.text)))
            elif answer.kind == "rejected" and times[answer.text] >= many and not repeated:
                dropped.append(Dropped(f"{entry.where} {answer.kind}", REPEATED_REASON, excerpt(answer.text)))
            else:
                candidate = Candidate.make(
                    prompt_id,
                    answer.text,
                    model=answer.model or model,
                    voice=answer.voice,
                    settings={"stood": answer.kind},
                )
                kept.append((candidate, answer.masked))
                ids[-1] = candidate.id
        for judgement in entry.judgements:
            tiers = _tiers(judgement.tiers, ids)
            if sum(map(len, tiers)) > 1 or (judgement.none_acceptable and any(ids)):
                compared = tuple(dict.fromkeys(filter(None, ids)))
                country = country_code(clean_label(judgement.country[:200])) or entry.country
                rewrite = mask(clean(judgement.rewrite), country, entry.accounts)[0]
                about = (entry.where, judgement.annotator, prompt_id, country, compared, tiers)
                judged.append(FileJudgement(*about, judgement.none_acceptable, rewrite))
            elif all(ids):  # Else the answer that was left out says why.
                why = (
                    "judgement of answers that are the same"
                    if judgement.tiers
                    else "a rewrite alone compares no answers"
                )
                dropped.append(Dropped(f"{entry.where} judgement", why))
    return Answered(tuple(kept), tuple(judged), tuple(dropped))


def _tiers(places: Sequence[Sequence[int]], ids: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Tiers of candidates: those that were left out are left out, and one that stands twice is where it is best."""
    seen = {""}
    tiers = []
    for tier in places:
        own = tuple(dict.fromkeys(ids[place] for place in tier if ids[place] not in seen))
        seen.update(own)
        tiers.append(own)
    return tuple(filter(None, tiers))
