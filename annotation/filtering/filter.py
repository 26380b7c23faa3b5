"""`annot filter`: every rule looks at a set of examples, and says what it leaves out and because of what."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from annotation.errors import EncoderError, SourceError
from annotation.exams.checked import exam_questions
from annotation.exams.read import read_exam
from annotation.filtering.own import Pairs, own_set
from annotation.filtering.rows import WEIGHTS, Row, tidy
from annotation.filtering.rule import Finding, Found, Look, Rule
from annotation.filtering.rules import chosen_rules
from annotation.reading.examples import Examples, read_examples
from annotation.screen import Progress, silent
from annotation.selection.embedding import embed, encoder_here, open_encoder
from annotation.types import Dropped, ExamQuestion

if TYPE_CHECKING:
    from annotation.project import Project


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a rule.

    Attributes:
        rule: With the threshold that held.
        seen: Rows that it looked at.
        rows: Rows that it dropped, or that it found something in where it drops nothing.
        answers: Answers that it dropped or found something in.
        found: Everything that it found.
        example: Place and because_of of the first finding, or "".
        skipped: Why it did not look, or "".
        seconds: What it took.
    """

    rule: Rule
    seen: int
    rows: int
    answers: int
    found: Found
    example: str
    skipped: str
    seconds: float

    @property
    def raised(self) -> bool:
        """Whether a measure of the set is beyond the threshold."""
        return any(flag.raised for flag in self.found.flags)


@dataclass(frozen=True, slots=True)
class Left:
    """A row or an answer that was left out.

    Attributes:
        place: "file:row".
        answer: Where the answer stood ("chosen"); "" for the row as a whole.
        rule: Which rule did it.
        threshold: That held, or None.
        measured: The number that decided, or None.
        because_of: For a person.
        whole: Whether the row went with it.
    """

    place: str
    answer: str
    rule: str
    threshold: float | None
    measured: float | None
    because_of: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Filtered:
    """A set after the filter.

    Attributes:
        name: Of the source.
        rows: How many it held.
        kept: In the order of the source.
        left: What was left out, in the order of the rules.
        outcomes: Of the rules, in their order.
        groups: Row's number -> its group of near duplicates.
        raised: Row's number -> rules that found something in it and left it there.
        notices: Of the reader, and of what could not be looked at.
        encoder: What meanings are by, or "".
    """

    name: str
    rows: int
    kept: tuple[Row, ...]
    left: tuple[Left, ...]
    outcomes: tuple[Outcome, ...]
    groups: Mapping[int, str]
    raised: Mapping[int, tuple[str, ...]]
    notices: tuple[str, ...]
    encoder: str = ""

    def mends(self, name: str) -> bool:
        """Whether a rule that mends does so."""
        return any(outcome.rule.name == name and outcome.rule.does == "mend" for outcome in self.outcomes)


def filter_source(
    project: Project,
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    thresholds: Mapping[str, float] | None = None,
    against: Sequence[str] = (),
    meaning: bool = True,
    progress: Progress = silent,
) -> Filtered:
    """Look at a file, a Hub dataset or the project's own set with every rule. Nothing but vectors is stored.

    Args:
        project: Its settings hold thresholds, countries, languages and the encoder; its exams are looked for.
        source: In any form that `read_examples` reads; "" is the project's own set.
        columns: Field to column, where a person named it.
        drop: Rules that drop what they only show by default.
        keep: Rules that only show what they drop by default.
        thresholds: Rule -> threshold.
        against: Files or Hub datasets of a benchmark, whose questions are looked for too.
        meaning: Ask the rules that need an encoder.
        progress: Gets how far each step has come.

    Raises:
        SourceError: A source cannot be read.
        ProjectError: No source is named, and the project has no prompts.
        SettingsError: A rule is named that there is not, or cannot do what is asked.
    """
    settings = project.settings
    rules = chosen_rules(settings, drop, keep, thresholds)
    questions = _questions(project, against, progress)
    if source:
        found = read_examples(source, columns=columns, languages=settings.project.languages, progress=progress)
        counted = None
    else:
        found, counted = own_set(project, progress)
    return filter_examples(project, found, rules, questions, meaning=meaning, progress=progress, counted=counted)


def filter_examples(
    project: Project,
    found: Examples,
    rules: Sequence[Rule],
    questions: Sequence[ExamQuestion] = (),
    *,
    meaning: bool = True,
    progress: Progress = silent,
    counted: Pairs | None = None,
) -> Filtered:
    """Look at examples with these rules, one after the other; `counted` are pairs of which more is known than votes."""
    who = project.settings.project
    rows, dropped = tidy(found.kept, who.countries, who.languages, progress, counted)
    there = {row.place for row in rows}
    left = [_unread(one, there) for one in (*found.dropped, *dropped)]
    groups: dict[int, str] = {}
    look = Look(who.countries, who.languages, questions, None, groups, progress)
    encoder, reason = _encoder(project) if meaning else ("", "--no-meaning")
    raised: dict[int, list[str]] = defaultdict(list)
    outcomes = []
    for rule in rules:
        if rule.meaning and encoder and look.vectors is None:
            look = replace(look, vectors=_vectors(project, rows, questions, progress))
        began = time.monotonic()
        if rule.meaning and not encoder:
            outcomes.append(Outcome(rule, 0, 0, 0, Found(), "", reason, 0.0))
            continue
        seen, result = rows, rule.find(rows, look, rule.threshold or 0.0)
        groups.update((rows[place].number, name) for place, name in result.groups.items())
        gone = {finding.row for finding in result.findings}
        if rule.does == "drop":
            rows, gone, lost = _drop(rows, rule, result.findings)
            left += lost
        else:
            for place in sorted(gone):
                raised[rows[place].number].append(rule.name)
        outcomes.append(_outcome(rule, seen, gone, result, time.monotonic() - began))
    notices = list(found.notices)
    if any(row.weights for row in rows) and not all(row.is_pair for row in rows):
        notices.append(f"{' and '.join(WEIGHTS)} are not written: not every row that is kept is a pair.")
    if reason:
        notices.append(f"The rules exam, off-topic and same-meaning did not look: {reason}.")
    return Filtered(
        found.name,
        found.rows,
        tuple(rows),
        tuple(left),
        tuple(outcomes),
        groups,
        {number: tuple(names) for number, names in raised.items()},
        tuple(notices),
        encoder,
    )


def _unread(one: Dropped, there: Collection[str]) -> Left:
    """What the reader left out: a row, or one answer or judgement ("file:row answer 2") of a row that is there."""
    place = one.id
    while place and place not in there:
        place = place.rpartition(" ")[0]
    answer = one.id[len(place) :].strip() if place else ""
    return Left(place or one.id, answer, one.reason, None, None, one.because_of, not place)


def _outcome(rule: Rule, seen: Sequence[Row], rows: set[int], found: Found, seconds: float) -> Outcome:
    first = found.findings[0] if found.findings else None
    answers = sum(finding.answer is not None for finding in found.findings)
    example = f"{seen[first.row].place}: {first.because_of}" if first else ""
    return Outcome(rule, len(seen), len(rows), answers, found, example, found.note, seconds)


def _drop(rows: Sequence[Row], rule: Rule, findings: Sequence[Finding]) -> tuple[list[Row], set[int], list[Left]]:
    """The rows without what was found, the places of those that went whole, and what was left out."""
    found: dict[int, dict[int | None, Finding]] = defaultdict(dict)
    for finding in findings:
        found[finding.row].setdefault(finding.answer, finding)
    stay, whole, left = [], set[int](), []
    for place, row in enumerate(rows):
        if place not in found:
            stay.append(row)
            continue
        own = found[place]
        rest = None if None in own else row.without([answer for answer in own if answer is not None])
        if rest:
            stay.append(rest)
        else:
            whole.add(place)
        for answer, finding in own.items() if None not in own else [(None, own[None])]:
            stood = "" if answer is None else row.answers[answer].stood
            left.append(Left(row.place, stood, rule.name, rule.threshold, finding.value, finding.because_of, not rest))
    return stay, whole, left


def _questions(project: Project, against: Sequence[str], progress: Progress) -> list[ExamQuestion]:
    """Questions of the project's exams, and of files of benchmarks: with options, or prompts alone."""
    # A ledger is made by being opened; looking at a file must not make one.
    there = (project.folder / "ledger.sqlite").exists()
    questions = exam_questions(project.ledger, project.settings, only_checked=False) if there else []
    for source in against:
        try:
            exam = read_exam(source, "", None, progress)
        except SourceError:  # no columns of options: then it holds prompts, or the reader says what it is
            read = read_examples(source, progress=progress)
            texts = [(one.place, one.prompt, ()) for one in read.kept if one.prompt.strip()]
            name = read.name
        else:
            texts = [(f"{exam.name}:{q.place}", q.question, q.options) for q in exam.questions]  # type: ignore[misc]
            name = exam.name
        questions += (ExamQuestion(place, text, tuple(options), None, "", "", name) for place, text, options in texts)
    return questions


def _encoder(project: Project) -> tuple[str, str]:
    """Name of the project's encoder, or "" and why there is none here."""
    name = project.settings.select.encoder
    try:
        here = encoder_here(name, project.folder)
    except EncoderError as error:
        return "", str(error)
    return (name, "") if here else ("", f"the encoder {name} is not on this machine; `annot select` fetches it")


def _vectors(
    project: Project, rows: Sequence[Row], questions: Sequence[ExamQuestion], progress: Progress
) -> Callable[[Sequence[str]], Any]:
    """What gives the vectors of texts of these rows and questions: all are embedded at once."""
    texts = dict.fromkeys(row.prompt for row in rows)
    texts |= dict.fromkeys(answer.text for row in rows for answer in row.answers)
    texts |= dict.fromkeys(question.question for question in questions)
    encoder = open_encoder(project.settings.select.encoder, project.folder)
    with project.lock("select"):  # the cache of vectors has one writer at a time
        found = embed(list(texts), encoder, project.vector_cache, progress)
    places = dict(zip(texts, range(len(texts)), strict=True))
    return lambda wanted: found[[places[text] for text in wanted]]
