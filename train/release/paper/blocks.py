"""Blocks of a paper, which Markdown and LaTeX write each in their own way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from train.evaluate.measure import Table

CITED = re.compile(r"\[(@[\w:.-]+(?:; @[\w:.-]+)*)\]", re.ASCII)
"""Works cited in a sentence, as in [@dpo; @lora]: this is what Pandoc reads, too."""

SHOWN = re.compile(r"\[#([a-z-]+)\]")
"""A table that a sentence names by its label, as in [#countries]."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a section; level 2 is a part of one. A plain one has no number."""

    text: str
    level: int = 1
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `**bold**`, `` `code` ``, citations and labels are read in it."""

    text: str


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tabular:
    """A table and its label; one without rows is not shown."""

    table: Table
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of a run: its file in figures/, what it shows, its label, and whether it needs both columns."""

    file: str
    caption: str
    label: str
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """People's own words, paragraphs parted by empty lines: what stands in them is theirs, numbers too."""

    text: str


@dataclass(frozen=True, slots=True)
class References:
    """The place of the list of references."""


@dataclass(frozen=True, slots=True)
class Appendix:
    """From here on it is the appendix."""


Block = Heading | Text | Points | Tabular | Plot | Own | References | Appendix


@dataclass(frozen=True, slots=True)
class Document:
    """A paper before it is written in any form.

    Attributes:
        title: People's own words, or a marked place for them.
        authors: The same, a line each.
        abstract: The same.
        blocks: The rest of it, in its order.
    """

    title: str
    authors: str
    abstract: str
    blocks: Sequence[Block]

    def titles(self) -> dict[str, str]:
        """Label -> title of the table that has it and is shown."""
        return {b.label: b.table.title for b in self.blocks if isinstance(b, Tabular) and b.table.rows}
