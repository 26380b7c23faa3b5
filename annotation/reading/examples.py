"""Examples of a preference set in any public form: a prompt, its answers, and what the file says of them.

The one reader of `annot prompts add`, `annot draft --from`, `annot filter` and `annot train --data`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from annotation.errors import SourceError
from annotation.reading.cells import as_text, is_missing, unpacked
from annotation.reading.columns import accounts_in, map_columns, no_prompt
from annotation.reading.conversations import SYSTEM, Turn, Unclear, read_exchange, read_turns
from annotation.reading.forms import Reader, Sheet, find_reader, put_together, text_in
from annotation.reading.found import Example, Examples, FoundAnswer, FoundJudgement
from annotation.reading.rows import Limits, Row, Table, all_columns
from annotation.reading.table import read_table
from annotation.reading.use import FOR_EVALUATION, WHY, is_for_evaluation
from annotation.screen import Progress, counted, silent
from annotation.text.clean import clean
from annotation.text.locales import fold
from annotation.text.privacy import looks_like_account, mask
from annotation.types import Dropped

__all__ = ["Example", "Examples", "FoundAnswer", "FoundJudgement", "read_examples"]

FILTERED = {"source", "group", "first"}
"""Columns that `annot filter` writes for people beside what is read: no news where all of them stand."""

ABOUT = ("metadata", "meta", "extra info")
"""Columns that may hold an object with more columns."""

NO_TEXT = "an answer that is no text"
"""Reason against a list or an object in the place of an answer."""


def read_examples(
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    languages: Sequence[str] = (),
    also: Collection[str] = (),
    names: Collection[str] = ("prompt id",),
    limits: Limits | None = None,
    progress: Progress = silent,
) -> Examples:
    """Read a file or a Hub dataset in any known form.

    Args:
        source: A file, or owner/name of a Hub dataset.
        columns: Field (a key of SYNONYMS) to column, where a person named it: then the form is not guessed.
        languages: The project's: where several columns may hold the prompt, the one in a language of it is taken.
        also: Columns, folded, that whoever asked reads from the cells beside what stands here.
        names: Columns, folded, any of which may name the prompt in the place of its text.
        limits: On the size of the source.
        progress: Gets the number of rows.

    Raises:
        SourceError: It cannot be read, holds nothing that annot knows, or nothing but rows for evaluation only.
        SettingsError: `columns` names a field that does not exist.
    """
    table = read_table(source, limits=limits, progress=progress)
    rows, name = len(table.rows), mask(clean(table.name))[0]
    table, dropped = _without_evaluation(table, name)
    named = columns or {}
    # Where somebody says what the columns mean, that holds.
    table = _spread(table if named.keys() & {"prompt", "chosen", "rejected"} else put_together(table))
    mapped = map_columns(table, named, languages)
    sheet = Sheet(table, mapped)
    reader = find_reader(sheet)
    kept: list[Example] = []
    for done, row in enumerate(sheet.rows):
        progress(done, len(sheet.rows), "reading")
        place = place_of(row, name)
        try:
            example, unread = _example(row, sheet, reader, place)
        except Unclear as unclear:
            dropped.append(Dropped(place, "unclear conversation", str(unclear)))
            continue
        kept.append(example)
        dropped += unread
    told = sheet.of("prompt") or sheet.names.keys() & {*names} or any(one.turns for one in kept)
    if not told and not dropped:
        raise no_prompt(table)
    notices = (*table.notices, *mapped.notices, *sheet.notices, *_unread(sheet, also))
    return Examples(table.name, rows, tuple(kept), tuple(dropped), notices, table.columns)


def _without_evaluation(table: Table, name: str) -> tuple[Table, list[Dropped]]:
    """The table without rows for evaluation only, before a form puts rows together; and these rows.

    Raises:
        SourceError: There is no other row.
    """
    rest, barred = list[Row](), list[Row]()
    for row in table.rows:
        (barred if is_for_evaluation(row.values) else rest).append(row)
    if not rest:
        raise SourceError(f"{name} holds {counted(len(barred), 'row')}, all {WHY}; name another file.")
    return replace(table, rows=tuple(rest)), [Dropped(place_of(row, name), FOR_EVALUATION) for row in barred]


def place_of(row: Row, name: str) -> str:
    """Place where a person finds a row, masked: "file:row"."""
    return f"{name}:{row.place if row.place.isdecimal() else mask(clean(row.place[:200]))[0][:60]}"


def _spread(table: Table) -> Table:
    """The table with the keys of objects in columns like "metadata" as columns of their own."""
    around = [column for column in table.columns if fold(column) in ABOUT]
    rows, found = list[Row](), False
    for row in table.rows if around else ():
        values = dict(row.values)
        for column in around:
            inner = unpacked(values.get(column))
            if isinstance(inner, dict):
                found = True
                del values[column]
                values |= {str(key): value for key, value in inner.items() if is_missing(values.get(str(key)))}
        rows.append(Row(row.place, values))
    return replace(table, columns=all_columns(rows), rows=tuple(rows)) if found else table


def _example(row: Row, sheet: Sheet, reader: Reader, place: str) -> tuple[Example, list[Dropped]]:
    found = reader(row)
    prompt = text_in(found.prompt) if isinstance(found.prompt, dict) else found.prompt
    exchange = read_exchange(prompt, found.cells)
    cells = {name: as_text(row.values.get(column)) for name, column in sheet.columns.of.items() if name != "prompt"}
    turns = exchange.turns
    if (system := _system(row.values.get(sheet.of("system")))).strip():
        turns = (Turn(SYSTEM, system), *(turn for turn in turns if turn.role != SYSTEM))
    answers = tuple(replace(about, text=text) for about, text in zip(found.about, exchange.answers, strict=True))
    if exchange.output and not any(answer.text.strip() for answer in answers):
        answers = (FoundAnswer(exchange.output, "output"),)
    signed = (one.annotator for one in found.judgements if looks_like_account(one.annotator))
    accounts = tuple(dict.fromkeys((*accounts_in(row.values), *signed)))
    words = (mask(said, None, accounts)[0] for said in found.unread)
    unread = [Dropped(f"{place} judgement", "judgement not understood", said) for said in words]
    unread += [
        Dropped(f"{place} {about.stood}", NO_TEXT, f"{type(cell).__name__} of {len(cell)}")
        for about, cell, text in zip(found.about, found.cells, exchange.answers, strict=True)
        if not text and isinstance(cell, list | dict) and cell and read_turns(cell) is None
    ]
    judgements = []
    for judgement in found.judgements:
        tiers = tuple(left for tier in judgement.tiers if (left := tuple(n for n in tier if answers[n].text.strip())))
        if sum(map(len, tiers)) > 1 or judgement.none_acceptable or judgement.rewrite:
            judgements.append(judgement if tiers == judgement.tiers else replace(judgement, tiers=tiers))
    example = Example(
        place,
        turns,
        answers,
        tuple(judgements),
        label=cells.get("id", "").strip()[:60],
        country=cells.get("country", ""),
        language=cells.get("language", ""),
        topic=cells.get("topic", ""),
        licence=cells.get("licence", ""),
        accounts=accounts,
        cells=row.values,
    )
    return example, unread


def _system(cell: object) -> str:
    """A system text, also as a message or an object with a text.

    Raises:
        Unclear: It is something else.
    """
    found = cell if isinstance(cell, str) else text_in(cell)
    turns = read_turns(found)
    text = as_text(found) if turns is None else "\n\n".join(turn.text for turn in turns)
    if not text and not is_missing(found):
        raise Unclear("a system text that is a list or an object")
    return text


def _unread(sheet: Sheet, also: Collection[str]) -> list[str]:
    """Sentences about columns that were not read."""
    people = [column for column in sheet.columns.personal if column not in sheet.used]
    names = [column for column in sheet.columns.personal if column in sheet.used]
    counts = Counter[str]()
    read = {*sheet.used, *sheet.columns.personal, *(name for name in sheet.table.columns if fold(name) in also)}
    rest = [column for column in sheet.table.columns if column not in read]
    if set(sheet.table.columns) >= FILTERED:
        rest = [column for column in rest if column not in FILTERED]
    for column in rest:
        counts[column] = sum(not is_missing(row.values.get(column)) for row in sheet.table.rows)
    remedy = "; --column topic=NAME, for example, says what one means." if rest else "."
    rest += sheet.inside
    counts += sheet.inside
    for kind in ("country", "language", "topic", "licence", "id"):
        cells = (row.values.get(sheet.of(kind)) for row in sheet.table.rows)
        if odd := sum(isinstance(cell, list | dict) and bool(cell) and not as_text(cell) for cell in cells):
            rest.append(sheet.of(kind))
            counts[sheet.of(kind)] = odd
    told = []
    if names:
        told.append(f"Of the names in {', '.join(names)} only pseudonyms are kept, beside judgements.")
    if people:
        told.append(f"Not read, as they name people: {', '.join(people)}.")
    if rest:
        listed = ", ".join(f'"{column}" ({counts[column]:,})' for column in rest[:12])
        more = f" and {len(rest) - 12} more columns" if len(rest) > 12 else ""
        told.append(f"Not read (cells with something in them): {listed}{more}{remedy}")
    return told
