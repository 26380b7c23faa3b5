"""Nodes of a trace: what is known of one thing, as a line and as facts, and what hangs on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN = 5
"""Rows of one list that are shown unless all are asked for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing of a trace.

    Attributes:
        kind: What it is: "run", "snapshot", "judgement", …
        line: What a person reads, without the kind.
        id: By which `annot trace` finds it, or "".
        facts: The same for scripts.
        below: What hangs on it.
    """

    kind: str
    line: str
    id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    below: Sequence[Node] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """As a tree: two blanks further in for each step."""
        yield f"{'  ' * depth}{' '.join(filter(None, (self.kind, self.id)))}{': ' if self.line else ''}{self.line}"
        for node in self.below:
            yield from node.lines(depth + 1)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        below = {"below": [node.as_json() for node in self.below]} if self.below else {}
        return {**self.facts, "kind": self.kind, "id": self.id, "line": self.line, **below}


def some(nodes: Iterable[Node], most: int | None, total: int) -> list[Node]:
    """The first of some nodes, and how many more there are; None for all."""
    kept: list[Node] = []
    for node in nodes:
        if len(kept) == most:
            kept.append(Node("…", f"{total - len(kept)} more; --all shows them", facts={"more": total - len(kept)}))
            break
        kept.append(node)
    return kept


def beginning(text: str, length: int = 90) -> str:
    """The beginning of a text on one line, in quotes."""
    line = " ".join(text[: 4 * length].split())
    return f"“{line[: length - 1]}…”" if len(line) > length else f"“{line}”"


def day(moment: str) -> str:
    """A moment of the ledger, to the minute."""
    return moment[:16].replace("T", " ")


def span(first: str, last: str) -> str:
    """The days of a first and a last moment."""
    return first[:10] if first[:10] == last[:10] else f"{first[:10]} – {last[:10]}"


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; {} where it is gone, damaged or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
