"""Claims of a card: a number in its text, the file of the run that it was read from, and the run behind it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.json_pointer import look_up
from annotation.lineage.node import SHOWN, Node
from annotation.lineage.runs import run_of
from annotation.lineage.subject import Home, release_facts
from annotation.lineage.trace import run_tree
from annotation.screen import counted

FIGURES = "figures.json"
"""Beside a card: each of its numbers with the file of the run's folder and the place in it."""


def trace_claim(home: Home, card: Path, claim: str, *, everything: bool = False) -> Node:
    """Every place of a card that shows a claim, the value behind it, and then the run, its snapshot and so on.

    Args:
        home: The project.
        card: README.md of a release.
        claim: As the card shows it, for example "61 %"; blanks do not matter. "" for all of its figures.
        everything: All rows of every list.

    Raises:
        SourceError: There is no such card, or nothing in it is shown so.
    """
    path = next((path for path in (card.expanduser(), home.folder / card) if path.is_file()), None)
    if path is None:
        raise SourceError(f"{card} does not exist; name the README.md of a release.")
    figures = _figures(path.parent / FIGURES)
    if claim and not any(map(str.isdigit, claim)):
        raise SourceError(f'"{claim}" is no number; name one as the card shows it, for example "61 %".')
    found = [figure for figure in figures if _shows(figure["shown"], claim)]
    if not found:
        shown = ", ".join(dict.fromkeys(str(figure["shown"]) for figure in figures[:8]))
        raise SourceError(f'{path.name} shows no figure "{claim}"; it shows {shown or "none"}.')
    name = str(release_facts(path.parent).get("run", ""))
    run = run_of(home.folder, name) if name else None
    there = run is not None and run.folder.is_dir()
    claims = [_claim_node(figure, run.folder if run and there else None) for figure in found]
    if not name:
        behind = Node("run", "release.json beside the card names none")
    elif not there:
        behind = Node("run", "not on this machine, so the claim cannot be followed further here", name)
    else:
        behind = run_tree(home, name, None if everything else SHOWN)
    times = f"“{claim}” stands there {counted(len(found), 'time')}" if claim else counted(len(found), "figure")
    return Node("card", times, str(card), {"run": name}, [*claims, behind])


def _figures(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: only cards that `annot release` wrote can be followed.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(
        isinstance(row, dict) and {"line", "shown", "file", "at"} <= row.keys() for row in found
    ):
        raise SourceError(f"{path} is damaged; make the release again with `annot release`.")
    return found


def _claim_node(figure: dict[str, Any], run: Path | None) -> Node:
    file, at = str(figure["file"]), str(figure["at"])
    node = Node("value", "the run is not on this machine", f"{file}{at}")
    if run is not None:
        try:
            text = (run / file).read_text(encoding="utf-8")
            value = str(figure["shown"]) if file.endswith(".md") else look_up(json.loads(text), at)
            told = (
                "that file of the run has nothing there any more"
                if value is None
                else json.dumps(value, ensure_ascii=False)
            )
            node = replace(node, line=told, facts={"value": value})
        except (OSError, ValueError, RecursionError):
            node = replace(node, line="that file of the run is gone or damaged")
    return Node("line", " ".join(str(figure["line"]).split()), facts=figure, below=[node])


def _shows(shown: object, claim: str) -> bool:
    """Whether a figure is the claim, or has it as one of its numbers."""
    return re.search(rf"(?<![\w.,]){re.escape(_plain(claim))}(?![\w]|[.,]\d)", _plain(shown)) is not None


def _plain(text: object) -> str:
    return "".join(str(text).split()).casefold()
