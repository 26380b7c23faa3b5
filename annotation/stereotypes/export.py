"""Export of stereotypes for evaluation alone: what regions know, who said what, the checked pairs, judged stories."""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from annotation.errors import ProjectError
from annotation.files import whole_folder, write_parquet, write_whole
from annotation.ledger import Ledger
from annotation.licences import NONE, TEAM, of_whole, refused
from annotation.project import Project
from annotation.screen import Progress, counted, silent
from annotation.stereotypes.card import card
from annotation.stereotypes.file_ratings import file_ratings
from annotation.stereotypes.pairs import settled_items
from annotation.stereotypes.ratings import Ratings, rate_all
from annotation.stereotypes.shared import SOURCE
from annotation.stereotypes.sources import read_from
from annotation.tables import schema_of
from annotation.tasks.answers import answered_items
from annotation.tasks.base import Kind, Texts
from annotation.tasks.pair_check.item import NAME as PAIR_CHECK
from annotation.tasks.stereotype.item import NAME
from annotation.tasks.stereotype.rating import by_group
from annotation.tasks.story.task import NAME as STORY
from annotation.tasks.story.task import STORIES as STORY_COLUMNS
from annotation.tasks.story.task import Stories
from annotation.types import EVALUATION_ONLY, Association

ASSOCIATIONS, RATINGS, SOURCE_RATINGS = (f"{name}.parquet" for name in ("associations", "ratings", "source_ratings"))
STORIES, PAIRS, CARD = "stories.parquet", "pairs.jsonl", "README.md"
FILES = (ASSOCIATIONS, RATINGS, SOURCE_RATINGS, STORIES, PAIRS, CARD)

SHARED = "shared by the team"
"""Source of what people shared: it names nobody, and no sheet."""

_ABOUT = ("association_id", "identity", "attribute", "frame", "language", "target", "source", "licence")
_LAST: Mapping[str, Kind] = {"use": "text", "canary": "text"}
COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    ASSOCIATIONS: {
        **dict.fromkeys((*_ABOUT, "country"), "text"),
        "in_group": "bool",
        **dict.fromkeys(("raters", "skips"), "int"),
        **dict.fromkeys(("known", "offensive"), "ints"),
        "agreement": "float",
        **_LAST,
    },
    RATINGS: {
        **dict.fromkeys(("association_id", "country"), "text"),
        "in_group": "bool",
        "annotator": "text",
        **dict.fromkeys(("known", "offensive"), "int"),
        **_LAST,
    },
    SOURCE_RATINGS: {
        **dict.fromkeys(("association_id", "source", "licence"), "text"),
        "regions": "texts",
        "said": "text",
        **_LAST,
    },
    STORIES: {**STORY_COLUMNS, **_LAST},
}


@dataclass(slots=True)
class Leaving:
    """What would leave the project.

    Attributes:
        tables: File -> rows.
        people: User names of whoever rated, shared or checked something of it.
        texts: Texts in it, each once.
        left_out: Reason and file name of the source -> associations.
        canary: What every row carries.
        licence: Of the whole.
    """

    tables: dict[str, list[dict[str, Any]]]
    people: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    canary: str = ""
    licence: str = TEAM

    def sentence(self) -> str:
        """For a person who has to agree; no texts."""
        return (
            f"{counted(len(self.texts), 'text')} that may hurt, of {counted(len(self.people), 'person', 'people')} who "
            f"rated, shared or checked them, would leave the project, under {self.licence} and for evaluation alone."
        )

    def reasons(self) -> list[tuple[str, str, int]]:
        """Reason, source and how many associations of it were left out."""
        return [(reason, source, count) for (reason, source), count in self.left_out.most_common()]

    def as_json(self) -> dict[str, Any]:
        """For scripts: counts, and no text."""
        return {
            "texts": len(self.texts),
            "people": len(self.people),
            "licence": self.licence,
            "rows": {file: len(rows) for file, rows in self.tables.items()},
            "left_out": [dict(zip(("reason", "source", "associations"), row, strict=True)) for row in self.reasons()],
        }


def canary_of(ledger: Ledger) -> str:
    """A GUID that nothing else has, the same in every export of the project: corpora can be filtered by it."""
    return str(uuid.UUID(bytes=sha256(f"canary of {ledger.name}".encode()).digest()[:16], version=4))


def leaving(project: Project, *, without_licence: bool = False, progress: Progress = silent) -> Leaving:
    """Everything that may be given away: rated by enough people of a region, under licences that go together.

    Args:
        project: Whose.
        without_licence: Also what comes from sources that state no licence: a person has made sure that it may.
        progress: Told how many items are read.

    Raises:
        ProjectError: There is nothing that may be.
    """
    ledger, settings = project.ledger, project.settings
    found = Leaving({file: [] for file in (*COLUMNS, PAIRS)}, canary=canary_of(ledger))
    with ledger.moment():
        ratings = rate_all(ledger, settings, progress)
        kept = _associations(ratings, found, without_licence)
        _ratings(project, found)
        _source_ratings(ledger, kept, found)
        _pairs(project, kept, found)
        _stories(project, found)
    if not kept:
        why = "; ".join(f"{count} of {source}: {reason}" for reason, source, count in found.reasons())
        raise ProjectError(
            "Nothing can be exported: "
            f"{why or f'no stereotype is rated by {settings.stereotypes.raters} people of a region yet'}."
        )
    found.texts |= {one.text for one in kept.values()}
    found.licence = of_whole(one.licence for one in kept.values())
    for rows in found.tables.values():
        for row in rows:
            row.update(use=EVALUATION_ONLY, canary=found.canary)
    return found


def write_stereotypes(project: Project, to: Path, found: Leaving) -> tuple[Path, ...]:
    """Write a folder that nobody else on this machine may enter: tables and their card, whole or absent.

    Args:
        project: Whose.
        to: Folder; an earlier export in it is replaced.
        found: From `leaving`.

    Raises:
        ProjectError: The folder holds something else.
    """
    left_out = [f"{count} associations of {source}: {reason}" for reason, source, count in found.reasons()]
    with whole_folder(to, _may_go, mode=0o700) as beside:
        for file, columns in COLUMNS.items():
            write_parquet(beside / file, found.tables[file], schema_of(columns))
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in found.tables[PAIRS])
        write_whole(beside / PAIRS, lines.encode())
        write_whole(beside / CARD, card(project.settings, found.tables, found.canary, left_out).encode())
    return tuple(to / file for file in FILES)


def _may_go(there: Path) -> None:
    names = {path.name for path in there.iterdir()} if there.is_dir() else {there.name}
    if strange := sorted(names - set(FILES)) or ([] if {CARD, ASSOCIATIONS} <= names else sorted(names)):
        raise ProjectError(f"{there} holds {strange[0]}, which is not of an earlier export; name another folder.")


def _named(one: Association) -> Association:
    """An association with the source and licence under which it leaves; nothing says who shared it."""
    about = {"source": SHARED, "licence": TEAM} if one.source.startswith(SOURCE) else {}
    return replace(one, author="", **about)


def _associations(ratings: Ratings, found: Leaving, without_licence: bool) -> dict[str, Association]:
    """Associations that leave, by id; their rows, and how many were left out, are found."""
    alphas = {
        (group.country, group.target, group.in_group): getattr(group.agreement, "alpha", None)
        for group in ratings.groups
    }
    kept, left_out = dict[str, Association](), dict[str, tuple[str, str]]()
    for row in ratings.rated:
        one = _named(row.association)
        reason = refused(one.licence)
        if reason and not (reason == NONE and without_licence):
            left_out[one.id] = (reason, read_from(one.source))
            continue
        if author := row.association.author:
            found.people.add(author)
        kept[one.id] = one
        found.tables[ASSOCIATIONS].append(
            {
                "association_id": one.id,
                **{name: getattr(one, name) for name in _ABOUT[1:]},
                **{name: getattr(row, name) for name in ("country", "in_group", "raters", "skips")},
                **{name: list(getattr(row, name)) for name in ("known", "offensive")},
                "agreement": alphas.get((row.country, one.target, row.in_group)),
            }
        )
    found.left_out = Counter(left_out.values())
    return kept


def _ratings(project: Project, found: Leaving) -> None:
    """Who said what of the associations that leave, skips too, where enough people of the region rated them."""
    shown = {
        (row["association_id"], row["country"], row["in_group"]): any(row["offensive"])
        for row in found.tables[ASSOCIATIONS]
    }
    for items, answers in answered_items(project.ledger, NAME):
        of_item = defaultdict(list)
        for answer in answers:
            of_item[answer.item_id].append(answer)
        for item in items.values():
            for in_group, own in by_group(item, of_item[item.id]).items():
                where = {"association_id": item.content["id"], "country": item.country, "in_group": in_group}
                key = item.content["id"], item.country, in_group
                if key not in shown:
                    continue
                for who, answer in sorted((project.pseudonym(answer.annotator), answer) for answer in own):
                    found.people.add(answer.annotator)
                    said = {"known": answer.value.known, "offensive": answer.value.offensive if shown[key] else None}
                    found.tables[RATINGS].append({**where, "annotator": who, **said})


def _source_ratings(ledger: Ledger, kept: Mapping[str, Association], found: Leaving) -> None:
    for one in file_ratings(ledger, kept):
        about = {"association_id": one.association, "source": one.source, "licence": kept[one.association].licence}
        said = json.dumps(one.value, ensure_ascii=False, sort_keys=True)
        found.tables[SOURCE_RATINGS].append({**about, "regions": list(one.regions), "said": said})


def _pairs(project: Project, kept: Mapping[str, Association], found: Leaving) -> None:
    """Checked pairs of what leaves of their region, with how many people said what they are."""
    shown = {(row["association_id"], row["country"]) for row in found.tables[ASSOCIATIONS]}
    checkers, decided = defaultdict[str, set[str]](set), set[str]()
    for _, answers in answered_items(project.ledger, PAIR_CHECK):
        for answer in answers:
            checkers[answer.item_id].add(answer.annotator)
            decided |= {answer.item_id} if answer.adjudicated else set()
    for item, outcome in settled_items(project.ledger, project.settings):
        if not outcome.pairs or (outcome.pairs[0].association, item.country) not in shown:
            continue
        if one := kept.get(outcome.pairs[0].association):
            found.people |= checkers[item.id]
            counts = {"checkers": outcome.answers, "agreeing": outcome.agreeing, "corrected": outcome.corrected}
            counts["adjudicated"] = item.id in decided
            origin = {"source": one.source, "licence": one.licence}
            for pair in outcome.pairs:
                found.texts |= {pair.sentence, pair.control_sentence}
                found.tables[PAIRS].append({**asdict(pair), **origin, **counts})


def _stories(project: Project, found: Leaving) -> None:
    """What people said of texts that models wrote, where enough of a region said something."""
    for items, answers in answered_items(project.ledger, STORY):
        rows = Stories().tables(items, answers, Texts({}, {}), project.settings, project.pseudonym)[STORIES].rows
        shown = {row["story_id"] for row in rows}
        found.people |= {answer.annotator for answer in answers if answer.item_id in shown}
        found.texts |= {row["text"] for row in rows}
        found.tables[STORIES] += [dict(row) for row in rows]
