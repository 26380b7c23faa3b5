"""Prompts on their way into a project: map columns, clean, mask, place, compare, keep.

Every step takes what the one before kept and returns what it keeps and what it drops, with the reason. `add_prompts` is
the door: it runs them all and writes the result in one transaction.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from annotation.codes import country_code, fold, language_code, locale_country
from annotation.duplicates import compare
from annotation.errors import SettingsError, SourceError
from annotation.hidden import without_hidden
from annotation.language import detectable, shares
from annotation.privacy import KINDS, looks_like_account, mask
from annotation.reading import Row, Table, read_table
from annotation.screen import Progress, silent
from annotation.transcripts import Unclear, as_text, read_exchange
from annotation.types import Candidate, Dropped, Prompt

if TYPE_CHECKING:
    from annotation.config import PromptSettings
    from annotation.project import Project

T = TypeVar("T")

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "prompt": (
        *("prompt", "prompts", "prompt text", "user prompt", "question", "questions", "question text"),
        *("pregunta", "preguntas", "pergunta", "perguntas", "consulta", "instruction", "instructions", "instruccion"),
        *("instrucciones", "instrucao", "enunciado", "query", "input", "messages", "text", "texto"),
    ),
    "country": ("country", "country code", "pais", "codigo pais", "codigo de pais", "nation", "nacion"),
    "language": ("language", "language code", "lang", "idioma", "lengua", "lingua", "locale"),
    "topic": ("topic", "topics", "tema", "topico", "category", "categoria", "subject", "assunto", "domain", "dominio"),
    "system": (
        *("system prompt", "system", "system message", "sistema", "mensaje de sistema", "prompt de sistema"),
        *("prompt do sistema", "mensagem de sistema", "instruccion de sistema"),
    ),
    "licence": ("licence", "license", "licencia", "licenca"),
    "id": ("id", "prompt id", "question id", "uid", "identificador"),
    "chosen": ("chosen", "preferred", "elegida", "elegido", "preferida", "escolhida", "escolhido"),
    "rejected": ("rejected", "rechazada", "rechazado", "rejeitada", "rejeitado"),
}
"""What a column may be called, folded (no case, accents, punctuation); the first that is there is taken."""

DEFAULTS = ("country", "language", "topic", "licence")
"""What can be said for all rows that say nothing."""

_TRANSLATION = re.compile(
    r"translation|traduccion|traducao|(?:en|es|pt) (?:question|prompt)|(?:question|prompt) (?:en|es|pt)"
)

ACCOUNT_COLUMNS = frozenset(
    (
        *("username", "user name", "user", "userid", "user id", "usuario", "usuaria", "nombre de usuario", "handle"),
        *("annotator", "annotator id", "annotator name", "anotador", "anotadora", "author", "author name", "autor"),
        *("autora", "contributor", "colaborador", "colaboradora", "created by", "submitted by", "worker id"),
        *("twitter", "instagram"),
    )
)
PERSONAL_COLUMNS = ACCOUNT_COLUMNS | frozenset(
    (
        *("email", "e mail", "mail", "email address", "correo", "correo electronico", "phone", "phone number"),
        *("telephone", "telefono", "telefone", "celular", "movil", "whatsapp", "contact", "contacto", "contato"),
        *("full name", "first name", "last name", "apellido", "apellidos", "sobrenome"),
    )
)
"""Columns that name people, folded. They are never read; the user names in them are masked in the rest of their row."""

# Spreadsheets run a cell that begins so. After another sign than "=" a function, a sheet, a pipe (DDE) or arithmetic
# must follow: "-Producto(s)", "@luna (mi amiga)" and "- 1/2 taza" are text.
_FORMULA = re.compile(
    r"\s*(?:=\s*[\w+\-@(\"'{$#.\[]"
    r"|[+\-@](?:=|[A-Z][A-Z0-9.]+\(|(?i:sum|hyperlink|webservice|import\w+|image|exec|call|indirect|filterxml|rtd)\("
    r"|[\w.$]+\||[\w$]+![\w$]|[\d.]+\s?[+*^]\s?[\d(=@]|[\d.]+[+*/^-][\w.]+[+*/^-]?\w*\|))"
)
_TOKEN = re.compile("|".join(map(re.escape, KINDS)))

ANSWER_ROOM = 5
"""An answer or a system text may be this many times as long as a prompt."""
TOPIC_CHARS = 80
"""Longer topics are no labels."""

NEIGHBOURS = ("es", "pt", "en", "fr", "it", "ca", "de")
"""Languages that prompts are likely to be in when they are in none of the project's."""
OUTSIDE = 2.0
"""How many times likelier a foreign language must be than the likeliest of the project before a row is dropped.

On 500 short Spanish questions and their English translations (BLEnD, Mexico) the largest ratio of a Spanish one was
0.8, the least of an English one 3.0.
"""
CLEARLY = 1.5
"""How many times likelier the best of the project's languages must be than the second; else it is the first named."""
SURE_LETTERS = 12
"""A text with fewer letters is never dropped for its language."""
SURE_CHARS = 400
"""So much of a text tells its language."""
BATCH = 4096


@dataclass(frozen=True, slots=True)
class Sifted(Generic[T]):
    """What a step kept, in the order in which it came, and what it dropped."""

    kept: tuple[T, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column means what.

    Attributes:
        of: Field (a key of SYNONYMS) to column; fields without a column are missing.
        personal: Columns that name people.
        notices: What a person should know about the choice.
    """

    of: Mapping[str, str]
    personal: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came with a prompt; `stood` is "chosen" or "rejected"."""

    stood: str
    text: str
    masked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row on its way to becoming a prompt: as written at first, with ISO codes at the end.

    Attributes:
        where: "file:row".
        label: Its id in the source, or "".
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
    answers: tuple[Answer, ...] = ()
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


@dataclass(frozen=True, slots=True)
class PromptsAdded:
    """What became of a source.

    Attributes:
        source: File name or dataset.
        rows: Rows it holds.
        kept: Prompts that are new, in the order of the source.
        already_there: Rows whose prompt the project had.
        dropped: Rows and answers left out; id is "file:row", for an answer "file:row chosen".
        news: How many of the dropped the project had not dropped before.
        candidates: Answers that are new.
        masked: Kind ("e-mail addresses") to count, over the new prompts and answers.
        notices: What a person should know about how it was read.
        dry_run: Nothing was written.
    """

    source: str
    rows: int
    kept: tuple[Prompt, ...]
    already_there: int
    dropped: tuple[Dropped, ...]
    news: int
    candidates: int
    masked: Mapping[str, int]
    notices: tuple[str, ...]
    dry_run: bool

    @property
    def changed(self) -> bool:
        """Whether the project did not know all of it."""
        return bool(self.kept or self.candidates or self.news)

    def reasons(self) -> list[tuple[str, int, str]]:
        """Reason, count and one example of what was dropped; the most frequent first."""
        counts = Counter(drop.reason for drop in self.dropped)
        first = {drop.reason: drop for drop in reversed(self.dropped)}
        examples = {reason: f"{drop.id}: {drop.because_of}".removesuffix(": ") for reason, drop in first.items()}
        return [(reason, count, examples[reason]) for reason, count in counts.most_common()]

    def groups(self) -> list[tuple[str, str, str, int]]:
        """Country, language, topic and count of the new prompts."""
        counts = Counter((prompt.country, prompt.language, prompt.topic) for prompt in self.kept)
        return [(*group, count) for group, count in sorted(counts.items())]

    def sentence(self) -> str:
        """What happened, in a line or two."""
        if not self.changed:
            return f"Nothing new: the project knows all {self.rows} rows of {self.source}."
        answers = f" with {_count(self.candidates, 'answer')}" if self.candidates else ""
        told = [
            f"{_count(len(self.kept), 'new prompt')}{answers}{' would come' if self.dry_run else ''} from "
            f"{_count(self.rows, 'row')} of {self.source}",
            *([f"already there: {self.already_there}"] if self.already_there else []),
            *([f"left out: {len(self.dropped)}"] if self.dropped else []),
        ]
        masked = ", ".join(f"{kind} {count}" for kind, count in self.masked.items())
        return "; ".join(told) + "." + (f"\nMasked on the way in: {masked}." if masked else "")

    def as_json(self) -> dict[str, Any]:
        """The same for a script; a dry run also lists the prompts."""
        return {
            "source": self.source,
            "rows": self.rows,
            "kept": len(self.kept),
            "already_there": self.already_there,
            "candidates": self.candidates,
            "dropped": {reason: {"count": count, "example": shown} for reason, count, shown in self.reasons()},
            "masked": dict(self.masked),
            "notices": list(self.notices),
            "dry_run": self.dry_run,
            **({"prompts": [asdict(prompt) for prompt in self.kept]} if self.dry_run else {}),
        }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def add_prompts(
    project: Project,
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PromptsAdded:
    """Read a source into the project. Reading it again adds nothing.

    Args:
        project: Where they go; its settings say what is let in.
        source: A file, or owner/name of a Hub dataset.
        columns: Field (a key of SYNONYMS) to column, where the name says too little.
        defaults: country, language, topic and licence of rows that name none.
        dry_run: Do everything but write.
        progress: Told how far each step has come.

    Raises:
        SourceError: The source cannot be read, or has no column for the prompt.
        SettingsError: `columns` or `defaults` name something that does not exist.
    """
    settings = project.settings
    fallback = check_defaults(defaults or {}, settings.project.countries)
    table = read_table(source, progress=progress)
    mapped = map_columns(table, columns or {}, settings.project.languages)
    read = read_entries(table, mapped)
    cleaned = clean_entries(read.kept, settings.prompts, fallback, progress)
    told = tell_languages(cleaned.kept, settings.project.languages, progress)
    named = [(entry.where, entry.prompt()) for entry in told.kept]

    with nullcontext() if dry_run else project.lock("prompts"):
        # A ledger is made by being opened; a dry run must not make one.
        ledger = None if dry_run and not (project.folder / "ledger.sqlite").exists() else project.ledger
        known = ledger.prompts() if ledger else []
        answered = {row["id"] for row in ledger.rows("select id from candidates")} if ledger else set()
        left_out = {(drop.id, drop.reason) for drop in ledger.dropped("prompts")} if ledger else set()

        compared = compare(named, known, settings.prompts.near_duplicate, progress)
        answers = read_answers(
            told.kept, {prompt.id for prompt in (*known, *compared.kept)}, mask(clean(table.name))[0]
        )
        candidates: dict[str, tuple[Candidate, Mapping[str, int]]] = {}
        for candidate, counts in answers.kept:
            if candidate.id not in answered:
                candidates.setdefault(candidate.id, (candidate, counts))
        dropped = (*read.dropped, *cleaned.dropped, *told.dropped, *compared.dropped, *answers.dropped)
        news = [drop for drop in dropped if (drop.id, drop.reason) not in left_out]
        if ledger and not dry_run:
            with ledger.transaction():
                ledger.add_prompts(compared.kept)
                ledger.add_candidates(candidate for candidate, _ in candidates.values())
                ledger.add_dropped("prompts", news)

    new = {prompt.source for prompt in compared.kept}
    masked: Counter[str] = Counter()
    for entry, (_, prompt) in zip(told.kept, named, strict=True):
        if prompt.source in new:
            masked.update(entry.masked)
    for _, counts in candidates.values():
        masked.update(counts)
    return PromptsAdded(
        source=table.name,
        rows=len(table.rows),
        kept=compared.kept,
        already_there=compared.already_there,
        dropped=dropped,
        news=len(news),
        candidates=len(candidates),
        masked={kind: masked[token] for token, kind in KINDS.items() if masked[token]},
        notices=(
            *table.notices,
            *mapped.notices,
            *_language_notices(cleaned.kept, settings.project.languages),
            *_country_notices(compared.kept, settings.project.countries),
        ),
        dry_run=dry_run,
    )


def check_defaults(defaults: Mapping[str, str], countries: Sequence[str]) -> dict[str, str]:
    """Turn what was said for all rows into codes; the first of the project's countries is the country.

    Raises:
        SettingsError: Something else than DEFAULTS is named, or nobody knows the country or language.
    """
    found = {name: mask(" ".join(clean(value).split()))[0] for name, value in defaults.items()}
    if strange := sorted(set(found) - set(DEFAULTS)):
        raise SettingsError(f'"{strange[0]}" has no default; there are defaults for {", ".join(DEFAULTS)}.')
    if country := found.get("country"):
        if not (code := country_code(country)):
            raise SettingsError(f'--country "{country}" is no country; write a code or name, for example MX or México.')
        found["country"] = code
    if language := found.get("language"):
        if not (code := language_code(language)):
            raise SettingsError(f'--language "{language}" is no language; write a code or name, for example es.')
        found["language"] = code
    if not found.get("country") and countries:
        found["country"] = countries[0]
    return found


# -- columns ------------------------------------------------------------------------------------------------


def map_columns(table: Table, asked: Mapping[str, str], languages: Sequence[str]) -> Columns:
    """Find out what each column means.

    Where several columns may hold the prompt (`Question` and its `Translation`), the first one that is in a language of
    the project is taken.

    Args:
        table: The rows.
        asked: Field to column, as a person said it.
        languages: The project's.

    Raises:
        SettingsError: `asked` names a field that does not exist.
        SourceError: It names a column that does not exist or that names people, or nothing can be the prompt.
    """
    if strange := sorted(set(asked) - set(SYNONYMS)):
        raise SettingsError(f"--column {strange[0]}=... means nothing; the fields are {', '.join(SYNONYMS)}.")
    folded: dict[str, str] = {}
    for column in table.columns:
        folded.setdefault(fold(column), column)
    there = ", ".join(f'"{column[:40]}"' for column in table.columns[:30])
    found: dict[str, str] = {}
    for wanted, name in asked.items():
        column = name if name in table.columns else folded.get(fold(name), "")
        if not column:
            raise SourceError(f'{table.name} has no column "{name}"; its columns are {there}.')
        if fold(column) in PERSONAL_COLUMNS:
            raise SourceError(f'Column "{column}" of {table.name} names people and is never read; choose another one.')
        found[wanted] = column
    notices: list[str] = []
    for wanted, names in SYNONYMS.items():
        if wanted != "prompt" and wanted not in found:
            free = [folded[name] for name in names if name in folded and folded[name] not in found.values()]
            if free:
                found[wanted] = free[0]
    if "prompt" not in found:
        taken = set(found.values())
        possible = [folded[name] for name in SYNONYMS["prompt"] if name in folded and folded[name] not in taken]
        possible += [folded[name] for name in folded if _TRANSLATION.fullmatch(name) and folded[name] not in taken]
        if len(possible) > 1:
            chosen, notice = _in_languages(table, possible, languages)
            possible = [chosen]
            notices.append(notice)
        if possible:
            found["prompt"] = possible[0]
        elif "chosen" not in found and "rejected" not in found:
            raise SourceError(
                f"{table.name} has no column that annot knows as the prompt; its columns are {there}; "
                "say which one it is with --column prompt=NAME."
            )
    personal = tuple(column for column in table.columns if fold(column) in PERSONAL_COLUMNS)
    if personal:
        notices.append(f"Not read, as they name people: {', '.join(personal)}.")
    return Columns(found, personal, tuple(notices))


def _in_languages(table: Table, possible: Sequence[str], languages: Sequence[str]) -> tuple[str, str]:
    """The first of some columns whose cells, together, are in one of the languages; else the first."""
    samples = []
    for column in possible:
        cells = (as_text(row.values.get(column)) for row in table.rows[:2000])
        samples.append("\n".join([cell[:200] for cell in cells if cell.strip()][:50]))
    told = [next(iter(found), "") for found in shares(samples, (*NEIGHBOURS, *languages))]
    number = next((n for n, code in enumerate(told) if code in languages and samples[n]), 0)
    others = ", ".join(f'"{column}" ({told[n]})' for n, column in enumerate(possible) if n != number)
    return possible[number], (
        f'The prompt is column "{possible[number]}" ({told[number]}), not {others}; '
        "--column prompt=NAME takes another one."
    )


def read_entries(table: Table, columns: Columns) -> Sifted[Entry]:
    """Take from each row what its columns mean, as written; conversations are taken apart."""
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    name = mask(clean(table.name))[0]
    accounts = [column for column in columns.personal if fold(column) in ACCOUNT_COLUMNS]
    for row in table.rows:
        place = row.place if row.place.isdecimal() else mask(clean(row.place[:200]))[0][:60]
        where = f"{name}:{place}"
        try:
            exchange = read_exchange(*(_cell(row, columns, wanted) for wanted in ("prompt", "chosen", "rejected")))
        except Unclear as unclear:
            dropped.append(Dropped(where, "unclear conversation", str(unclear)))
            continue
        text = {wanted: as_text(_cell(row, columns, wanted)) for wanted in SYNONYMS if wanted != "prompt"}
        people = (as_text(row.values.get(column)).strip() for column in accounts)
        kept.append(
            Entry(
                where,
                exchange.prompt,
                label=text["id"].strip()[:60],
                system=text["system"] if text["system"].strip() else exchange.system,
                country=text["country"],
                language=text["language"],
                topic=text["topic"],
                licence=text["licence"],
                answers=tuple(Answer(stood, answer) for stood, answer in exchange.answers),
                accounts=tuple(person for person in people if looks_like_account(person)),
            )
        )
    return Sifted(tuple(kept), tuple(dropped))


def _cell(row: Row, columns: Columns, wanted: str) -> object:
    return row.values.get(columns.of[wanted]) if wanted in columns.of else None


# -- cleaning -----------------------------------------------------------------------------------------------


@cache
def _repairs() -> Any:
    from ftfy import TextFixerConfig

    # Curly quotes and full-width signs are how people write, not damage.
    return TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization="NFC", explain=False
    )


def clean(text: str) -> str:
    """Mend a text without changing what it says: mojibake, HTML entities, control and invisible characters, blanks.

    The result is NFC. Line breaks and indentation stay; blank lines are joined to one.
    """
    from ftfy import fix_text

    if not text:
        return ""
    text = without_hidden(fix_text(text, _repairs()))
    text = re.sub(r"(?<=\S)[^\S\n]+", " ", unicodedata.normalize("NFC", text))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[^\S\n]+(?=\n)", "", text)).strip()


@lru_cache(maxsize=4096)
def _clean_label(text: str) -> str:
    """Clean a cell that many rows share, as one line."""
    return " ".join(clean(text).split())


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the cell instead of showing it."""
    return _FORMULA.match(text) is not None


def clean_entries(
    entries: Sequence[Entry], settings: PromptSettings, defaults: Mapping[str, str], progress: Progress = silent
) -> Sifted[Entry]:
    """Clean and mask all texts; give each row its country; drop what is empty, trivial, over-long or a formula.

    Args:
        entries: Rows as written.
        settings: Lengths, in characters.
        defaults: See `check_defaults`.
        progress: Told how many are done.
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
    return Sifted(tuple(kept), tuple(dropped))


def _clean_entry(entry: Entry, settings: PromptSettings, defaults: Mapping[str, str]) -> Entry | Dropped:
    most, room = settings.max_chars, settings.max_chars * ANSWER_ROOM
    for raw, limit in ((entry.text, most), (entry.system, room)):
        # Repair shortens a text at most so many times: what is longer need not be repaired to be refused.
        if len(raw) > 8 * limit and len(raw.strip()) > 8 * limit:
            return Dropped(entry.where, "too long", f"{len(raw)} characters")
    text, system = clean(entry.text), clean(entry.system)
    topic, stated = _clean_label(entry.topic[: 8 * TOPIC_CHARS]), _clean_label(entry.country[:200])
    if not text:
        return Dropped(entry.where, "empty")
    for cell in (text, system, topic, stated):
        if is_formula(cell):
            return Dropped(entry.where, "formula", _shown(cell))
    if len(text) > most or len(system) > room:
        return Dropped(entry.where, "too long", f"{max(len(text), len(system))} characters")
    country = country_code(stated) if stated else locale_country(entry.language) or defaults.get("country")
    if not country:
        return Dropped(entry.where, "unknown country", _shown(stated) or "none is named")

    masked: Counter[str] = Counter()

    def private(words: str) -> str:
        bare, found = mask(words, country, entry.accounts)
        masked.update(found)
        return bare

    text, system, topic = private(text), private(system), private(topic)
    if len(text) < settings.min_chars:
        return Dropped(entry.where, "too short", f'{len(text)} characters: "{_shown(text)}"')
    if not any(map(str.isalpha, _TOKEN.sub("", text))):
        return Dropped(entry.where, "too short", f'no letters: "{_shown(text)}"')
    answers = []
    for answer in entry.answers:
        words, found = answer.text, Counter[str]()
        if len(words) <= 8 * room:
            words, found = mask(clean(words), country, entry.accounts)
        answers.append(Answer(answer.stood, words, found))
    return replace(
        entry,
        text=text,
        system=system,
        country=country,
        topic=topic[:TOPIC_CHARS].strip() or defaults.get("topic") or "general",
        language=_clean_label(entry.language[:80]) or defaults.get("language", ""),
        licence=private(_clean_label(entry.licence[:400])) or defaults.get("licence", ""),
        label=private(_clean_label(entry.label)),
        answers=tuple(answer if len(answer.text) <= room else replace(answer, text="") for answer in answers),
        masked=masked,
    )


def _shown(text: str) -> str:
    """What of a dropped text may be shown: its masked beginning."""
    return " ".join(mask(text[:400])[0].split())[:40]


# -- languages ----------------------------------------------------------------------------------------------


def tell_languages(entries: Sequence[Entry], languages: Sequence[str], progress: Progress = silent) -> Sifted[Entry]:
    """Give each row its language; drop those in none of the project's.

    A language that the row names is believed. Else the text is compared with the project's languages and their
    neighbours; where that leaves a doubt it is the project's first.

    Args:
        entries: Clean rows.
        languages: The project's; () lets all in.
        progress: Told how many were compared.
    """
    unnamed = [number for number, entry in enumerate(entries) if not entry.language]
    found: dict[int, str] = {}
    if languages and not any(map(detectable, languages)):
        found = dict.fromkeys(unnamed, languages[0])
    else:
        for start in range(0, len(unnamed), BATCH):
            batch = unnamed[start : start + BATCH]
            told = shares([_TOKEN.sub("", entries[n].text[:SURE_CHARS]) for n in batch], (*NEIGHBOURS, *languages))
            found.update(
                (n, likeliest(shared, languages, sum(map(str.isalpha, entries[n].text))))
                for n, shared in zip(batch, told, strict=True)
            )
            progress(start + len(batch), len(unnamed), "telling languages")
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    for number, entry in enumerate(entries):
        code = found.get(number) or language_code(entry.language)
        if code and (code in languages or not languages):
            kept.append(replace(entry, language=code))
        else:
            dropped.append(Dropped(entry.where, "language", code or _shown(entry.language)))
    return Sifted(tuple(kept), tuple(dropped))


def likeliest(share: Mapping[str, float], languages: Sequence[str], letters: int) -> str:
    """Decide for one language.

    Args:
        share: Language to share, from `annotation.language.shares`.
        languages: The project's; () for any.
        letters: How many letters the text has.

    Returns:
        One of the project's languages, or a foreign one that is OUTSIDE times likelier.
    """
    foreign = max((code for code in share if code not in languages), key=share.__getitem__, default="")
    if not languages:
        return foreign
    inside = sorted(languages, key=lambda code: -share.get(code, 0.0))  # Stable: the first named wins a tie.
    best = share.get(inside[0], 0.0)
    if foreign and letters >= SURE_LETTERS and share[foreign] > OUTSIDE * best:
        return foreign
    if len(inside) > 1 and best < CLEARLY * share.get(inside[1], 0.0):
        return languages[0]
    return inside[0]


def _language_notices(entries: Sequence[Entry], languages: Sequence[str]) -> tuple[str, ...]:
    blind = [code for code in languages if not detectable(code)]
    if blind and any(not entry.language for entry in entries):
        return (
            f"Prompts in {', '.join(blind)} cannot be told from others; give them a language column, or say "
            f"--language {blind[0]}.",
        )
    return ()


def _country_notices(prompts: Sequence[Prompt], countries: Sequence[str]) -> tuple[str, ...]:
    strange = Counter(prompt.country for prompt in prompts if prompt.country not in countries)
    if not strange or not countries:
        return ()
    listed = ", ".join(f"{country} {count}" for country, count in strange.most_common(8))
    return (
        f"{strange.total()} prompts are of countries that annot.toml does not name ({listed}); add them to countries.",
    )


# -- answers ------------------------------------------------------------------------------------------------


def read_answers(
    entries: Sequence[Entry], prompt_ids: set[str], model: str
) -> Sifted[tuple[Candidate, Mapping[str, int]]]:
    """Make candidates of the answers that came with prompts.

    A prompt that stands in several rows (one per pair of answers) gets the answers of all of them.

    Args:
        entries: Clean rows.
        prompt_ids: Prompts that are in the project, or will be.
        model: Where the answers come from.

    Returns:
        Candidates, each with its masked tokens; an answer that comes twice stands twice.
    """
    kept: list[tuple[Candidate, Mapping[str, int]]] = []
    dropped: list[Dropped] = []
    for entry in entries:
        if not entry.answers or (prompt_id := entry.prompt().id) not in prompt_ids:
            continue
        if len(entry.answers) == 2 and entry.answers[0].text == entry.answers[1].text:
            dropped.append(Dropped(f"{entry.where} answers", "identical answers", _shown(entry.answers[0].text)))
            continue
        for answer in entry.answers:
            if not answer.text:
                dropped.append(Dropped(f"{entry.where} {answer.stood}", "answer empty or too long"))
            elif is_formula(answer.text):
                dropped.append(Dropped(f"{entry.where} {answer.stood}", "formula", _shown(answer.text)))
            else:
                settings = {"stood": answer.stood}
                candidate = Candidate.make(prompt_id, answer.text, model=model, settings=settings)
                kept.append((candidate, answer.masked))
    return Sifted(tuple(kept), tuple(dropped))


# -- looking ------------------------------------------------------------------------------------------------


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
               from prompts p left join (select prompt_id, count(*) as answers from candidates group by prompt_id) c
               on c.prompt_id = p.id group by 1, 2, 3 order by 1, 2, 3"""
        )
    ]
