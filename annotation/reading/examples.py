"""Examples of a preference set in any public form: a prompt, its answers, and what the file says of them.

The one reader of `annot prompts add`, `annot draft --from`, `annot filter` and `annot train --data`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation.reading.columns import ANSWERS, SYNONYMS, Columns, accounts_in, map_columns
from annotation.reading.conversations import SYSTEM, Turn, Unclear, as_text, prompt_of, read_exchange, system_of
from annotation.reading.known_forms import unfold
from annotation.reading.rows import Row
from annotation.reading.table import read_table
from annotation.screen import Progress, silent
from annotation.text.clean import clean
from annotation.text.privacy import mask
from annotation.types import Dropped


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer as a file holds it.

    Attributes:
        text: As written; "" where it is blank.
        stood: Where it stood: "chosen", "rejected", "output", "rank 0".
        model: Who wrote it, by the file; "" where it does not say.
        voice: The persona, or "".
        id: The file's name for it, or "".
    """

    text: str
    stood: str
    model: str = ""
    voice: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class FoundJudgement:
    """What a file says of the answers of one row: one person's judgement, or one that names nobody.

    Attributes:
        tiers: Places of answers (0 is the first), best tier first; equal ones share a tier. () where nothing is ranked.
        none_acceptable: All are bad.
        annotator: User name as written, or "".
        country: Of the person, as written; "" where the file does not say: that of the prompt.
        rewrite: An answer of their own, or "".
    """

    tiers: tuple[tuple[int, ...], ...]
    none_acceptable: bool = False
    annotator: str = ""
    country: str = ""
    rewrite: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its answers and judgements, as written: nothing is cleaned or masked yet.

    Attributes:
        place: "file:row", masked: where a person finds it.
        turns: What was said before the answers: a system text, then a conversation that ends with a question.
        answers: What could be answered to it, in the order of the file.
        judgements: What the file says of them.
        label: Its id in the source, or "".
        accounts: User names that the row's personal columns hold: they are masked in its texts.
        cells: The row, for whoever needs more columns of it (votes, weights).
    """

    place: str
    turns: tuple[Turn, ...]
    answers: tuple[FoundAnswer, ...] = ()
    judgements: tuple[FoundJudgement, ...] = ()
    label: str = ""
    country: str = ""
    language: str = ""
    topic: str = ""
    licence: str = ""
    accounts: tuple[str, ...] = ()
    cells: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The question; several turns are written out with "Human:" and "Assistant:"."""
        return prompt_of(self.turns)

    @property
    def system(self) -> str:
        """The system text, or ""."""
        return system_of(self.turns)


@dataclass(frozen=True, slots=True)
class Examples:
    """Everything that a source holds.

    Attributes:
        name: File name without its folder, or the dataset's name.
        rows: Rows that it holds.
        kept: In the order of the source.
        dropped: Rows that give no example; id is "file:row".
        notices: What a person should know about how it was read: columns and parts that were not.
    """

    name: str
    rows: int
    kept: tuple[Example, ...]
    dropped: tuple[Dropped, ...] = ()
    notices: tuple[str, ...] = ()


def read_examples(
    source: str,
    *,
    columns: Mapping[str, str] | None = None,
    languages: Sequence[str] = (),
    progress: Progress = silent,
) -> Examples:
    """Read a file or a Hub dataset in any known form.

    Args:
        source: A file, or owner/name of a Hub dataset.
        columns: Field (a key of SYNONYMS) to column, where a person named it: then the form is not guessed.
        languages: The project's: where several columns may hold the prompt, the one in a language of it is taken.
        progress: Gets the number of rows.

    Raises:
        SourceError: It cannot be read, or holds nothing that annot knows.
        SettingsError: `columns` names a field that does not exist.
    """
    table = read_table(source, progress=progress)
    table = table if columns else unfold(table)  # where somebody says what the columns mean, that holds
    mapped = map_columns(table, columns or {}, languages)
    kept: list[Example] = []
    dropped: list[Dropped] = []
    name = mask(clean(table.name))[0]
    for row in table.rows:
        place = row.place if row.place.isdecimal() else mask(clean(row.place[:200]))[0][:60]
        try:
            kept.append(_example(row, mapped, f"{name}:{place}"))
        except Unclear as unclear:
            dropped.append(Dropped(f"{name}:{place}", "unclear conversation", str(unclear)))
    return Examples(table.name, len(table.rows), tuple(kept), tuple(dropped), (*table.notices, *mapped.notices))


def _example(row: Row, columns: Columns, place: str) -> Example:
    def cell(name: str) -> object:
        return row.values.get(columns.of[name]) if name in columns.of else None

    exchange = read_exchange(cell("prompt"), cell("chosen"), cell("rejected"))
    cells = {name: as_text(cell(name)) for name in SYNONYMS if name != "prompt"}
    turns = exchange.turns
    if cells["system"].strip():
        turns = (Turn(SYSTEM, cells["system"]), *(turn for turn in turns if turn.role != SYSTEM))
    answers = [FoundAnswer(text, stood) for stood, text in exchange.answers]
    places = {answer.stood: place for place, answer in enumerate(answers)}
    judgements = []
    if places.keys() >= {"chosen", "rejected"}:
        judgements.append(FoundJudgement(((places["chosen"],), (places["rejected"],))))
    told = row.values.get(ANSWERS)
    answers += [FoundAnswer(a["text"], a["stood"]) for a in told] if isinstance(told, tuple) else []
    return Example(
        place,
        turns,
        tuple(answers),
        tuple(judgements),
        label=cells["id"].strip()[:60],
        country=cells["country"],
        language=cells["language"],
        topic=cells["topic"],
        licence=cells["licence"],
        accounts=accounts_in(row.values),
        cells=row.values,
    )
