"""Runs and releases as a trace reads them: what was trained on, held out and left out, and what was given away."""

from __future__ import annotations

import contextlib
import json
import mmap
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.lineage.node import read_object

_ID = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*")')
_SLATE = re.compile(rb'"slate_id": ("(?:[^"\\]|\\.)*")')
_KEY = b'"slate_id": '

FEW = 20
"""Slates that are looked for one by one; for more, every line is looked at."""

SLATES = {"trained on": "slates.jsonl", "held out": "held_out_slates.jsonl"}
PAIRS = {"trained on": "train.jsonl", "held out": "held_out.jsonl"}


@dataclass(frozen=True, slots=True)
class Used:
    """What a run did with some slates or pairs.

    Attributes:
        slates: "trained on" and "held out" -> slates, one for each country.
        pairs: The same of pairs.
        dropped: Reason -> how many were left out for it.
    """

    slates: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        """Whether the run had anything to do with them."""
        return bool(self.slates or self.pairs or self.dropped)

    def sentence(self) -> str:
        """In words."""
        parts = [
            f"{how} {number} {'slate' if number == 1 else 'slates'}"
            + (f" ({self.pairs[how]} {'pair' if self.pairs[how] == 1 else 'pairs'})" if self.pairs[how] else "")
            for how, number in self.slates.items()
        ] or [f"{how} {number} {'pair' if number == 1 else 'pairs'}" for how, number in self.pairs.items()]
        if self.dropped:
            parts.append("left out " + ", ".join(f"{n} ({reason})" for reason, n in self.dropped.most_common()))
        return "; ".join(parts) or "used none of it"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {"slates": dict(self.slates), "pairs": dict(self.pairs), "dropped": dict(self.dropped)}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run on this machine.

    Attributes:
        folder: Its own.
        facts: Of run.json; {} where that is gone or damaged.
        done: Of DONE; {} for a run that is not finished.
    """

    folder: Path
    facts: Mapping[str, Any]
    done: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's."""
        return self.folder.name

    @property
    def snapshot(self) -> str:
        """Id of the snapshot that it was trained on; "" for other files."""
        return str(self.facts.get("snapshot") or "")

    @property
    def state(self) -> str:
        """How far it has come, in a word or two."""
        if not self.facts:
            return "run.json is gone or damaged"
        if (self.folder / "DONE").exists():
            return "finished" if self.done else "DONE is damaged"
        return "failed" if (self.folder / "FAILED").exists() else "not finished"

    def rows(self, name: str, wanted: Collection[bytes] | None = None) -> Iterator[tuple[str, str]]:
        """Id and slate of each row of one of its files; texts are not decoded. Lines that are none are passed over.

        Args:
            name: Of the file.
            wanted: Slates as JSON has them; None for all.
        """
        path = self.folder / name
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                # Behind the texts, in which it cannot stand unescaped.
                slate = _SLATE.match(line, max(line.rfind(_KEY), 0))
                if slate and (wanted is None or slate[1] in wanted) and (found := _ID.match(line)):
                    yield _text(found[1]), _text(slate[1])

    def rows_of(self, name: str, slates: Collection[str]) -> Iterator[tuple[str, str]]:
        """The same, of some slates alone."""
        if len(slates) > FEW:
            yield from self.rows(name, {_quoted(slate) for slate in slates})
            return
        with (
            contextlib.suppress(OSError, ValueError),  # it is gone, or empty and cannot be mapped
            (self.folder / name).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for slate in slates:
                needle, at = _KEY + _quoted(slate), -1
                while (at := content.find(needle, at + 1)) >= 0:
                    if found := _ID.match(content, content.rfind(b"\n", 0, at) + 1):
                        yield _text(found[1]), slate

    def dropped(self) -> Iterator[Mapping[str, str]]:
        """What was left out of it: what, id, reason."""
        path = self.folder / "dropped.jsonl"
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    try:
                        row = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(row, dict) and {"id", "reason"} <= row.keys():
                        yield row

    def holds(self, row_id: str) -> bool:
        """Whether one of its rows has this id."""
        quoted = _quoted(row_id)
        for name in (*PAIRS.values(), *SLATES.values()):
            path = self.folder / name
            if path.exists():
                with path.open("rb") as file:
                    if any(line.startswith(b'{"id": ' + quoted) for line in file):
                        return True
        return False

    def use_of(self, slates: set[tuple[str, str]], *, pair: str = "") -> Used:
        """What the run did with (slate, country), or with one pair, whose slate is given too."""
        used, keys = Used(), {f"{slate}:{country}" for slate, country in slates}
        names = {slate for slate, _ in slates}
        if not pair:
            for how, name in SLATES.items():
                used.slates.update(how for row_id, _ in self.rows_of(name, names) if row_id in keys)
        for how, name in PAIRS.items():
            for row_id, slate in self.rows_of(name, names):
                own = row_id.removesuffix(":against")
                country = own.rpartition(":")[2]
                if own == pair if pair else (slate, country) in slates:
                    used.pairs[how] += 1
        for row in self.dropped():
            place = row["id"].partition("/")[0]
            if place in keys:
                used.dropped[row["reason"]] += 1
        return used

    def everything(self) -> tuple[Used, set[str]]:
        """What the run did with all that it was given, and the slates that it was trained or measured on."""
        used, slates = Used(), set[str]()
        for how, name in SLATES.items():
            for _, slate in self.rows(name):
                used.slates[how] += 1
                slates.add(slate)
        for how, name in PAIRS.items():
            if number := _lines_in(self.folder / name):
                used.pairs[how] = number
        used.dropped.update(row["reason"] for row in self.dropped())
        return used, slates

    def releases(self) -> list[dict[str, Any]]:
        """What was made or pushed of it: lines of releases.jsonl, and folders of exports/ that say so themselves."""
        found, path = [], self.folder / "releases.jsonl"
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                found += [row] if isinstance(row, dict) else []
        named = {str(Path(row["folder"]).resolve()) for row in found if row.get("folder")}
        exports = self.folder.parent.parent / "exports"
        for marker in sorted({*exports.glob("*/*.json"), *exports.glob("*/*/*.json")}):
            if marker.name not in ("release.json", "export.json") or str(marker.parent.resolve()) in named:
                continue
            facts = read_object(marker)
            if facts.get("run") == self.name:
                found.append({"repo": "", **facts, "folder": str(marker.parent), "at": facts.get("made_at", "")})
        return found


def _quoted(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def _text(quoted: bytes) -> str:
    return str(json.loads(quoted)) if b"\\" in quoted else quoted[1:-1].decode()


def _lines_in(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def run_of(folder: Path, name: str) -> RunFolder:
    """One run of a project, there or not."""
    path = folder / "runs" / name
    return RunFolder(path, read_object(path / "run.json"), read_object(path / "DONE"))


def runs_of(folder: Path) -> list[RunFolder]:
    """The runs of a project by name; damaged ones too."""
    return [run_of(folder, path.name) for path in sorted((folder / "runs").glob("*")) if path.is_dir()]
