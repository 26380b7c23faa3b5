"""`annot prompts add`: prompts of a table are cleaned, masked, compared with those there are, and stored.

Every step takes what the one before kept and returns what it keeps and what it drops, with the reason. `add_prompts`
runs them all and writes the result in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from annotation.errors import SettingsError, SourceError
from annotation.prompts.change import check_codes
from annotation.prompts.duplicates import compare
from annotation.prompts.languages import assign_languages, language_notices
from annotation.prompts.rows import Entry, StepResult, clean_entries, entry_of, read_answers
from annotation.reading.examples import read_examples
from annotation.screen import Progress, count_reasons, counted, silent
from annotation.tasks.ranking.file_judgements import FileJudgement, add_judgements, known_judgements, with_pseudonyms
from annotation.text.clean import clean, clean_label
from annotation.text.locales import SPOKEN_IN, fits, name_of_country, name_of_language
from annotation.text.privacy import KINDS, mask
from annotation.types import Candidate, Dropped, Prompt, content_id

if TYPE_CHECKING:
    from annotation.config import Settings
    from annotation.ledger import Ledger
    from annotation.project import Project

DEFAULTS = ("country", "language", "topic", "licence")
"""Fields that can be given for all rows that leave them out."""

REMEDIES = {
    "language": "if they are in a language of the project after all, run the same command again with --language CODE; "
    "to let another language in, add it to project.languages in annot.toml first.",
    "unclear conversation": "both answers must follow the same conversation, and their last turn be the assistant's.",
    "unknown country": "correct the name in the file, or name the country of rows without one with --country CODE.",
    "near duplicate": "raise prompts.near_duplicate in annot.toml if they ask different things, and run it again.",
    "too short": "lower prompts.min_chars in annot.toml if they are questions, and run it again.",
    "too long": "raise prompts.max_chars in annot.toml, and run it again.",
}
"""What helps against a reason for leaving out a row."""


class ForeignLanguage(SettingsError):
    """Most of the new prompts are in no language of their country."""


@dataclass(frozen=True, slots=True)
class PromptsAdded:
    """Result of reading a source into a project.

    Attributes:
        source: File name or dataset.
        rows: Rows it holds.
        kept: Prompts that are new, in the order of the source.
        already_there: Rows whose prompt the project had.
        removed: Prompts among those that were taken out.
        credited: Prompts that the project had without their author.
        dropped: Rows and answers left out; id is "file:row", for an answer "file:row chosen".
        news: How many of the dropped the project had not dropped before.
        candidates: Answers that are new.
        judgements: What the source says of answers, as far as it is new.
        masked: Kind ("e-mail addresses") to count, over the new prompts and answers.
        notices: What a person should know about how it was read.
        dry_run: Nothing was written.
    """

    source: str
    rows: int
    kept: tuple[Prompt, ...]
    already_there: int
    removed: int
    credited: int
    dropped: tuple[Dropped, ...]
    news: int
    candidates: int
    judgements: int
    masked: Mapping[str, int]
    notices: tuple[str, ...]
    dry_run: bool

    @property
    def changed(self) -> bool:
        """Whether the project did not know all of it."""
        return bool(self.kept or self.candidates or self.judgements or self.news or self.credited)

    def reasons(self) -> list[tuple[str, int, str]]:
        """Reason, count and one example of the dropped; the most frequent first."""
        return count_reasons(self.dropped)

    def groups(self) -> list[tuple[str, str, str, int]]:
        """Country, language, topic and count of the new prompts."""
        counts = Counter((prompt.country, prompt.language, prompt.topic) for prompt in self.kept)
        return [(*group, count) for group, count in sorted(counts.items())]

    def sentence(self) -> str:
        """Summary for a person, in one or two lines."""
        removed = f"; {self.removed} of them removed: `annot prompts remove --undo` puts back" if self.removed else ""
        if not self.changed:
            return f"Nothing new: the project knows all {counted(self.rows, 'row')} of {self.source}{removed}."
        came = [counted(self.candidates, "answer")] if self.candidates else []
        came += [counted(self.judgements, "judgement")] if self.judgements else []
        answers = f" with {' and '.join(came)}" if came else ""
        parts = [
            f"{counted(len(self.kept), 'new prompt')}{answers}{' would come' if self.dry_run else ''} from "
            f"{counted(self.rows, 'row')} of {self.source}",
            *([f"already there: {self.already_there}{removed.replace(';', ',')}"] if self.already_there else []),
            *([f"now with their author: {self.credited}"] if self.credited else []),
            *([f"left out: {len(self.dropped)}"] if self.dropped else []),
        ]
        masked = ", ".join(f"{kind} {count}" for kind, count in self.masked.items())
        return "; ".join(parts) + "." + (f"\nMasked on the way in: {masked}." if masked else "")

    def as_json(self) -> dict[str, Any]:
        """Summary for a script; a dry run also lists the prompts."""
        return {
            "source": self.source,
            "rows": self.rows,
            "kept": len(self.kept),
            "already_there": self.already_there,
            "removed": self.removed,
            "credited": self.credited,
            "candidates": self.candidates,
            "judgements": self.judgements,
            "dropped": {reason: {"count": count, "example": shown} for reason, count, shown in self.reasons()},
            "masked": dict(self.masked),
            "notices": list(self.notices),
            "dry_run": self.dry_run,
            **({"prompts": [asdict(prompt) for prompt in self.kept]} if self.dry_run else {}),
        }


def add_prompts(
    project: Project,
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    author: str = "",
    repeated: bool = False,
    answers: bool = True,
    dry_run: bool = False,
    foreign_language: bool = True,
    progress: Progress = silent,
) -> PromptsAdded:
    """Read prompts, and the answers beside them, into a project. Reading a source again adds nothing.

    Args:
        project: Where they go; its settings say what is let in.
        source: A file, or owner/name of a Hub dataset.
        columns: Field (a key of SYNONYMS) to column, where the name says too little.
        defaults: country, language, topic and licence of rows that name none.
        author: User name of whoever on the team wrote the prompts: they have no say in checking them.
        repeated: Take also a rejected answer that stands beside several prompts.
        answers: Take the answers too, and what is said of them.
        dry_run: Do everything but write.
        foreign_language: Prompts may be mostly in no language of their country.
        progress: Gets how far each step has come.

    Raises:
        SourceError: The source cannot be read, has no column for the prompt, or nothing in it can be a prompt.
        SettingsError: `columns`, `defaults` or `author` name something that does not exist.
        ForeignLanguage: Most of the new prompts are in no language of their country.
    """
    settings = project.settings
    name, rows, read, notices = _read(settings, source, columns or {}, defaults or {}, progress)
    prompts = [(entry.where, replace(entry.prompt(), author=author)) for entry in read.kept]
    table = mask(clean(name))[0]
    with nullcontext() if dry_run else project.lock("prompts"):
        # A ledger is made by being opened; a dry run must not make one.
        ledger = None if dry_run and not (project.folder / "ledger.sqlite").exists() else project.ledger
        if author and not any(person.username == author for person in (ledger.people() if ledger else ())):
            raise SettingsError(f'Nobody called "{author}" is on the team; `annot team list` shows who is.')
        known = ledger.prompts(removed=True) if ledger else []
        dropped_before = {(drop.id, drop.reason) for drop in ledger.dropped("prompts")} if ledger else set()

        compared = compare(prompts, known, settings.prompts.near_duplicate, progress)
        nobodys = {prompt.id for prompt in known if author and not prompt.author}
        forgotten = ledger.forgotten("prompt") if ledger else set()
        credited = nobodys & {prompt.id for _, prompt in prompts} - forgotten
        prompt_ids = {prompt.id for prompt in (*known, *compared.kept)}
        entries = [(entry, prompt.id) for entry, (_, prompt) in zip(read.kept, prompts, strict=True)]
        found = read_answers(entries if answers else [], prompt_ids, table, repeated=repeated)
        answered = ledger.known_candidates(candidate.id for candidate, _ in found.candidates) if ledger else set()
        candidates: dict[str, tuple[Candidate, Mapping[str, int]]] = {}
        for candidate, counts in found.candidates:
            if candidate.id not in answered:
                candidates.setdefault(candidate.id, (candidate, counts))
        judgements = _judgements(project, ledger, found.judged, table, dry_run)
        dropped = (*read.dropped, *compared.dropped, *found.dropped)
        if not compared.kept and not compared.already_there:
            raise _nothing_came(name, rows, dropped, notices)
        news = [drop for drop in dropped if (drop.id, drop.reason) not in dropped_before]
        doubt, most = _language_doubt(compared.kept, settings.project.countries)
        if most and not dry_run and not foreign_language:
            raise ForeignLanguage(f"{doubt} Nothing was added.")
        if ledger and not dry_run:
            with ledger.transaction():
                ledger.add_prompts(compared.kept)
                ledger.credit(credited, author)
                ledger.add_candidates(candidate for candidate, _ in candidates.values())
                add_judgements(ledger, judgements)
                ledger.add_dropped("prompts", news)

    new = {prompt.source for prompt in compared.kept}
    masked = Counter[str]()
    for entry, (_, prompt) in zip(read.kept, prompts, strict=True):
        masked.update(entry.masked if prompt.source in new else {})
    for _, counts in candidates.values():
        masked.update(counts)
    return PromptsAdded(
        source=name,
        rows=rows,
        kept=compared.kept,
        already_there=compared.already_there,
        removed=len({prompt.id for prompt in known if prompt.removed} & {prompt.id for _, prompt in prompts}),
        credited=len(credited),
        dropped=dropped,
        news=len(news),
        candidates=len(candidates),
        judgements=len(judgements),
        masked={kind: masked[token] for token, kind in KINDS.items() if masked[token]},
        notices=(*notices, *filter(None, [doubt]), *_country_notices(compared.kept, settings.project.countries)),
        dry_run=dry_run,
    )


def _read(
    settings: Settings, source: str, columns: Mapping[str, str], defaults: Mapping[str, str], progress: Progress
) -> tuple[str, int, StepResult[Entry], tuple[str, ...]]:
    """Name and rows of the source, the rows that can be prompts with those that cannot, and notices."""
    codes = check_defaults(defaults, settings.project.countries)
    found = read_examples(source, columns=columns, languages=settings.project.languages, progress=progress)
    cleaned = clean_entries([entry_of(one) for one in found.kept], settings.prompts, codes, progress)
    entries = assign_languages(cleaned.kept, settings.project.languages, progress)
    notices = (*found.notices, *language_notices(cleaned.kept, settings.project.languages))
    read = StepResult(entries.kept, (*found.dropped, *cleaned.dropped, *entries.dropped))
    return found.name, found.rows, read, notices


def _judgements(
    project: Project, ledger: Ledger | None, judged: Sequence[FileJudgement], source: str, dry_run: bool
) -> list[FileJudgement]:
    """What the source says of answers and the ledger does not know; of nobody who is forgotten."""
    # A dry run makes no secret: without one nobody has a pseudonym yet, and any name will do.
    secret = not dry_run or "pseudonym_key" in project.secrets()
    pseudonym = project.pseudonym if secret and judged else content_id
    gone = ledger.forgotten("person") if ledger else set()
    forgets = ledger.forgets() if ledger else str
    named = with_pseudonyms(judged, source, pseudonym, lambda name: name in gone or bool(ledger and forgets(name)))
    found = {one.id: one for one in named}
    known = known_judgements(ledger, found) if ledger else set()
    return [one for one in found.values() if one.id not in known]


def _nothing_came(name: str, rows: int, dropped: Sequence[Dropped], notices: Sequence[str]) -> SourceError:
    reasons = count_reasons(dropped)
    why = "; ".join(f"{reason} {count} ({shown})" for reason, count, shown in reasons[:4]) or "none holds a question"
    remedy = next((REMEDIES[reason] for reason, _, _ in reasons if reason in REMEDIES), "")
    more = f" {remedy[0].upper()}{remedy[1:]}" if remedy else " --column prompt=NAME says where the prompt is."
    return SourceError(f"Nothing came of the {counted(rows, 'row')} of {name}: {why}.{more}{' '.join(['', *notices])}")


def check_defaults(defaults: Mapping[str, str], countries: Sequence[str]) -> dict[str, str]:
    """Turn the defaults for all rows into codes; the country is the first of the project's where none is named.

    Raises:
        SettingsError: Something else than DEFAULTS is named, or nobody knows the country or language.
    """
    found = {name: mask(clean_label(value))[0] for name, value in defaults.items()}
    if strange := sorted(set(found) - set(DEFAULTS)):
        raise SettingsError(f'"{strange[0]}" has no default; there are defaults for {", ".join(DEFAULTS)}.')
    country, language = check_codes(found.get("country", ""), found.get("language", ""))
    found |= {name: code for name, code in (("country", country), ("language", language)) if code}
    if not found.get("country") and countries:
        found["country"] = countries[0]
    return found


def _language_doubt(prompts: Sequence[Prompt], countries: Sequence[str]) -> tuple[str, bool]:
    """A sentence where prompts are in no language of their country, and whether they are more than half of all."""
    strange = Counter((p.language, p.country) for p in prompts if not fits(p.language, p.country))
    if not strange:
        return "", False
    (language, country), number = strange.most_common(1)[0]
    other = [code for code in countries if fits(language, code)] or SPOKEN_IN[language].split()
    which = f"--country {other[0]}" if len(other) == 1 else f"the right --country ({', '.join(other)})"
    return (
        f"{number} of {counted(len(prompts), 'new prompt')} {'is' if number == 1 else 'are'} in "
        f"{name_of_language(language)}, which is not a language of {name_of_country(country, 'en')} ({country}): say "
        f"{which} if they are from elsewhere, or --foreign-language if it is meant.",
        2 * strange.total() > len(prompts),
    )


def _country_notices(prompts: Sequence[Prompt], countries: Sequence[str]) -> tuple[str, ...]:
    strange = Counter(prompt.country for prompt in prompts if prompt.country not in countries)
    if not strange or not countries:
        return ()
    listed = ", ".join(f"{country} {count}" for country, count in strange.most_common(8))
    return (
        f"{counted(strange.total(), 'prompt is', 'prompts are')} of countries that annot.toml does not name "
        f"({listed}): nothing is drafted for them, and they owe nothing, until project.countries names those.",
    )


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """How many prompts and answers the project has of a country, language and topic."""

    country: str
    language: str
    topic: str
    prompts: int
    candidates: int


def count_prompts(project: Project) -> list[PromptGroup]:
    """Count the project's prompts by country, language and topic."""
    return [
        PromptGroup(*row)
        for row in project.ledger.rows(
            """select p.country, p.language, p.topic, count(*), coalesce(sum(c.answers), 0)
               from current_prompts p
               left join (select prompt_id, count(*) as answers from candidates group by prompt_id) c
               on c.prompt_id = p.id where not p.removed group by 1, 2, 3 order by 1, 2, 3"""
        )
    ]
