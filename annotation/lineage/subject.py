"""Subject of a trace: what somebody meant by a name, an id, a folder or a claim."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.ledger import Ledger
from annotation.lineage.node import read_object
from annotation.lineage.runs import runs_of
from annotation.lineage.snapshots import people_by_country, snapshots_of
from annotation.project import Project
from annotation.tasks.ranking.file_judgements import PSEUDONYM, canonical
from annotation.tasks.stereotype.item import NAME as STEREOTYPE

KINDS = {
    "run": "the name of a run",
    "snapshot": "the id of a snapshot",
    "pair": "the id of a pair (slate:chosen:rejected:country)",
    "item": "the id of a slate or another item",
    "judgement": "the id of a response",
    "person": "a user name or a pseudonym",
    "prompt": "the id of a prompt or of its picture",
    "candidate": "the id of a candidate",
    "association": "the id of an association",
    "release": "a release's folder",
}
"""What can be traced -> how it is named."""

SHORTEST = 4
"""Signs of the beginning of an id that stand for the whole of it, where no other begins so."""

_TABLES = {
    "item": "(select id from items union all select id from side_items)",
    "prompt": "prompts",
    "candidate": "candidates",
    "association": f"(select distinct json_extract(content, '$.id') as id from items where task = '{STEREOTYPE}')",
}


@dataclass(frozen=True)
class Subject:
    """One thing that can be traced.

    Attributes:
        kind: One of KINDS.
        id: Its id; of a person the user name, or the pseudonym where the user name is not known (any more).
        folder: Of a release.
        name: Of a person, as they were asked for.
    """

    kind: str
    id: str
    folder: Path | None = None
    name: str = field(default="", compare=False)


@dataclass(frozen=True)
class Home:
    """A folder with runs and snapshots, and what this machine knows of the people behind them.

    Attributes:
        folder: A project's; or one in which `annot train --data` made runs.
        project: None where there is no annot.toml.
    """

    folder: Path
    project: Project | None

    @classmethod
    def open(cls, folder: Path) -> Home:
        """Open what is there; nothing is made."""
        folder = folder.expanduser().resolve()
        return cls(folder, Project.open(folder) if (folder / "annot.toml").exists() else None)

    @cached_property
    def ledger(self) -> Ledger | None:
        """The ledger; None where there is none."""
        there = self.project and (self.folder / "ledger.sqlite").exists()
        return self.project.ledger if self.project and there else None

    def pseudonym(self, username: str) -> str:
        """The name under which somebody's votes left the project; what is a pseudonym already stays."""
        ledger = self.ledger
        if ledger is None or self.project is None or PSEUDONYM.fullmatch(username):
            return username
        return self.project.pseudonym(username)

    def known_pseudonym(self, username: str) -> str:
        """The same; "" where nothing left the project yet, so that nobody has one."""
        forgotten = self.ledger.forgets()(username) if self.ledger else ""
        made = self.project is not None and "pseudonym_key" in self.project.secrets()
        return forgotten or (self.pseudonym(username) if made or PSEUDONYM.fullmatch(username) else "")


def find_subject(home: Home, what: str, kinds: Collection[str] = tuple(KINDS)) -> Subject:
    """What is meant: by its name or id, by the beginning of an id, or as "kind:id" where several things are named so.

    Raises:
        SourceError: Nothing is named so, or several things are.
    """
    kind, sign, rest = what.partition(":")
    if sign and kind in kinds and rest:
        found = list(_named(home, rest, [kind])) or list(_beginning(home, rest, [kind]))
    else:
        found = list(_named(home, what, kinds)) or list(_beginning(home, what, kinds))
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(f"{subject.kind}:{subject.id}" for subject in found[:4])
        more = f" and {len(found) - 4} others" if len(found) > 4 else ""
        raise SourceError(f'"{what}" may mean {named}{more}; say which, as it is written here.')
    ways = [way for kind, way in KINDS.items() if kind in kinds]
    named = f"{', '.join(ways[:-1])}, or {ways[-1]}" if ways[1:] else ways[0]
    raise SourceError(f'Nothing here is called "{what}"; name it by {named}.')


def _named(home: Home, what: str, kinds: Collection[str]) -> Iterator[Subject]:
    """Things of exactly that name."""
    plain = re.fullmatch(r"[\w][\w.-]*", what) is not None
    if "run" in kinds and plain and (home.folder / "runs" / what).is_dir():
        yield Subject("run", what)
    if "snapshot" in kinds and plain and (home.folder / "snapshots" / what).is_dir():
        yield Subject("snapshot", what)
    path = Path(what).expanduser()
    if "release" in kinds and (folder := next(filter(is_release, (path, home.folder / path)), None)):
        yield Subject("release", what, folder)
    ledger = home.ledger
    for kind, table in _TABLES.items():
        if ledger and kind in kinds and ledger.rows(f"select 1 from {table} where id = ?", what):
            yield Subject(kind, what)
    if ledger and "prompt" in kinds:
        yield from _about(ledger, "image = ?", what)
    if ledger and "judgement" in kinds and ledger.rows("select 1 from responses where response_id = ?", what):
        yield Subject("judgement", what)
    if "person" in kinds:
        yield from (Subject("person", name, name=what) for name in _people(home, what))
    if "pair" in kinds and what.count(":") >= 1 and _is_pair(home, what):
        yield Subject("pair", what)


def _beginning(home: Home, what: str, kinds: Collection[str]) -> Iterator[Subject]:
    """Things whose ids begin so."""
    if len(what) < SHORTEST:
        return
    if "snapshot" in kinds:
        for path in sorted((home.folder / "snapshots").glob("*/snapshot.json")):
            if path.parent.name.startswith(what):
                yield Subject("snapshot", path.parent.name)
    if home.ledger is None:
        return
    for kind, column, table in (
        *((kind, "id", table) for kind, table in _TABLES.items()),
        ("judgement", "response_id", "responses"),
    ):
        if kind in kinds:
            query = f"select distinct {column} as id from {table} where {column} >= ? and {column} < ? limit 9"
            yield from (Subject(kind, row["id"]) for row in home.ledger.rows(query, what, what + "\U0010ffff"))
    if "prompt" in kinds:
        yield from _about(home.ledger, "image >= ? and image < ? and image <> ''", what, what + "\U0010ffff")


def _about(ledger: Ledger, which: str, *values: str) -> Iterator[Subject]:
    """The prompts about a picture."""
    query = f"select id from prompts where {which} order by rowid limit 9"
    yield from (Subject("prompt", row["id"]) for row in ledger.rows(query, *values))


def _people(home: Home, what: str) -> list[str]:
    """User names of who is or was on the team, or answered, and is called so; the pseudonym of who is forgotten."""
    if home.ledger is None:
        return []
    if what in home.ledger.forgotten("person"):
        return [what]
    if name := home.ledger.forgets()(what):
        return [name]
    queries = ("select distinct username as name from people", "select distinct annotator as name from responses")
    names: set[str] = {row["name"] for query in queries for row in home.ledger.rows(query)}
    if what in names:
        return [what]
    is_pseudonym = PSEUDONYM.fullmatch(what) is not None
    if is_pseudonym and (found := [name for name in sorted(names) if home.known_pseudonym(name) == what]):
        return found  # on the team, whatever files say too
    name = canonical(what)
    if home.ledger.rows("select 1 from file_judgements where annotator = ? limit 1", home.known_pseudonym(name)):
        return [name]
    if alike := sorted(name for name in names if name.casefold() == what.casefold()):
        return alike
    return [what] if is_pseudonym and any(what in names_in for names_in in _snapshot_names(home)) else []


def _snapshot_names(home: Home) -> Iterator[set[str]]:
    """Pseudonyms in each snapshot: of one that came from elsewhere nobody here knows more."""
    for snapshot in snapshots_of(home.folder):
        yield {name for name, _ in people_by_country(snapshot)}


def _is_pair(home: Home, what: str) -> bool:
    slate, _, _ = what.partition(":")
    if home.ledger and what.count(":") >= 3 and home.ledger.rows("select 1 from items where id = ?", slate):
        return True
    return any(run.holds(what) for run in runs_of(home.folder))


def is_release(folder: Path) -> bool:
    """Whether a folder is one that `annot release` made."""
    return any((folder / name).is_file() for name in ("release.json", "export.json"))


def release_facts(folder: Path) -> dict[str, Any]:
    """What a release says of itself; {} where that is damaged."""
    return next(filter(None, (read_object(folder / name) for name in ("release.json", "export.json"))), {})
