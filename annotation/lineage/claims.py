"""Claims of a card, a paper or slides: a number, the file of the run that it was read from, and the run behind it."""

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

RUN = re.compile(r"^runs/([^/]+)/")
"""How the file of a figure begins on a page about several runs."""


def trace_claim(home: Home, card: Path, claim: str, *, everything: bool = False) -> Node:
    """Every place of a card that shows a claim, the value behind it, and then the run, its snapshot and so on.

    Args:
        home: The project.
        card: README.md of a release, or a page about several runs that `annot paper` or `annot talk` wrote.
        claim: As the card shows it, for example "61 %"; blanks do not matter. "" for all of its figures.
        everything: All rows of every list.

    Raises:
        SourceError: There is no such card, or nothing in it is shown so.
    """
    path = next((path for path in (card.expanduser(), home.folder / card) if path.is_file()), None)
    if path is None:
        raise SourceError(f"{card} does not exist; name the README.md of a release.")
    figures = [row for row in _figures(path.parent / FIGURES) if row.get("page", path.name) == path.name]
    if claim and not any(map(str.isdigit, claim)):
        raise SourceError(f'"{claim}" is no number; name one as the card shows it, for example "61 %".')
    found = [figure for figure in figures if _shows(figure["shown"], claim)]
    if not found:
        shown = ", ".join(dict.fromkeys(str(figure["shown"]) for figure in figures[:8]))
        raise SourceError(f'{path.name} shows no figure "{claim}"; it shows {shown or "none"}.')
    name = str(release_facts(path.parent).get("run", ""))
    names = list(dict.fromkeys(_run_of(figure, name) for figure in found))
    claims = [_claim_node(figure, _folder(home, _run_of(figure, name))) for figure in found]
    behind = [_behind(home, one, None if everything else SHOWN) for one in names]
    times = f"“{claim}” stands there {counted(len(found), 'time')}" if claim else counted(len(found), "figure")
    kind = "card" if path.name == "README.md" else "page"
    return Node(kind, times, str(card), {"run": ", ".join(names)}, [*claims, *behind])


def _run_of(figure: dict[str, Any], name: str) -> str:
    """The run in whose folder a figure stands: a page about several names it in the file, a card has one for all."""
    found = RUN.match(str(figure["file"]))
    return found[1] if found else name


def _folder(home: Home, name: str) -> Path | None:
    """Of a run; None where it is not on this machine."""
    folder = run_of(home.folder, name).folder if name else None
    return folder if folder and folder.is_dir() else None


def _behind(home: Home, name: str, most: int | None) -> Node:
    """What is behind a run."""
    if not name:
        return Node("run", "release.json beside the card names none")
    if _folder(home, name) is None:
        return Node("run", "not on this machine, so the claim cannot be followed further here", name)
    return run_tree(home, name, most)


def _figures(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path} is missing: only cards and pages that annot wrote can be followed.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(
        isinstance(row, dict) and {"line", "shown", "file", "at"} <= row.keys() for row in found
    ):
        raise SourceError(f"{path} is damaged; make it again with the command that made it, such as `annot release`.")
    return found


def _claim_node(figure: dict[str, Any], run: Path | None) -> Node:
    file, at = str(figure["file"]), str(figure["at"])
    node = Node("value", "the run is not on this machine", f"{file}{at}")
    if run is not None:
        try:
            text = (run / RUN.sub("", file)).read_text(encoding="utf-8")
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
    return "".join(str(text).split()).casefold().replace("−", "-")  # a paper's PDF has the sign for minus
