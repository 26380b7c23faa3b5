"""Stereotypes that people shared: their lines become associations that others rate, and go when they are taken back."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import combinations, count
from typing import Any, NamedTuple

from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import counted
from annotation.stereotypes.identities import target_of
from annotation.tasks.answers import newest_responses, read_answers, roster
from annotation.tasks.page import TeamPage, as_written
from annotation.tasks.share.sheet import NAME as SHARE
from annotation.tasks.share.sheet import Written
from annotation.tasks.stereotype.item import NAME, item_of
from annotation.tasks.team_pages import country_language
from annotation.text.clean import clean_label
from annotation.text.locales import name_of_country
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Association, Dropped, Item, Person

MOST_LINES, MOST_CHARACTERS = 10, 200
"""Lines of a sheet, and characters of a line, that are taken."""

MOST_NAMES = 4
"""People of the team whom a line may name to be known again however many of them were on the team when it came."""

SOURCE = "shared "
"""How the source of an association begins that the team shared: a sheet's id and the number of the line follow."""

_BULLET = re.compile(r"^(?:[-*•·–—]|\d{1,2}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of what people shared.

    Attributes:
        new: Associations that were taken in.
        items: Items that were made for them, or for countries that were not asked about them yet.
        again: Associations that were there already.
        back: Associations that were taken out before, and are shared again.
        removed: Associations that nobody shares any more.
        dropped: Lines that are not taken, and why; no texts.
        dry_run: Nothing was changed.
    """

    new: int = 0
    items: int = 0
    again: int = 0
    back: int = 0
    removed: int = 0
    dropped: tuple[Dropped, ...] = ()
    dry_run: bool = False

    def sentence(self) -> str:
        """For a person; no texts."""
        back = f", {self.back} put back" if self.back else ""
        removed = f"; {self.removed} taken out, since nobody shares them any more" if self.removed else ""
        return (
            f"{counted(self.new, 'shared stereotype')} {'would be ' if self.dry_run else ''}taken in, as "
            f"{counted(self.items, 'item')} to rate; {self.again} there already{back}{removed}."
        )

    def as_json(self) -> dict[str, Any]:
        """For scripts; counts only."""
        numbers = {name: getattr(self, name) for name in ("new", "items", "again", "back", "removed", "dry_run")}
        return {**numbers, "left_out": dict(Counter(drop.reason for drop in self.dropped))}


@dataclass(frozen=True, slots=True)
class Sharing:
    """An association as people share it now.

    Attributes:
        association: Its author is who shared it first.
        people: User names, first who shared it first.
        countries: Of their teams.
    """

    association: Association
    people: list[str] = field(default_factory=list)
    countries: set[str] = field(default_factory=set)


class _Asked(NamedTuple):
    """An item that asks about an association, without its texts."""

    id: str
    association: str
    source: str
    country: str
    position: int
    removed: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger holds of associations.

    Attributes:
        items: Association id -> its items.
        gone: Ids of the forgotten ones.
    """

    items: dict[str, list[_Asked]]
    gone: set[str]

    @classmethod
    def of(cls, ledger: Ledger) -> _Known:
        items: dict[str, list[_Asked]] = defaultdict(list)
        for row in ledger.rows(
            """select id, json_extract(content, '$.id') as association, json_extract(content, '$.source') as source,
                 country, position, removed from current_items where task = ? order by position""",
            NAME,
        ):
            items[row["association"]].append(_Asked(*row))
        return cls(items, ledger.forgotten("association"))


def take_shared(project: Project, *, dry_run: bool = False) -> Shared:
    """Take in what people shared since, and take out what nobody shares any more. Doing it again changes nothing.

    A person's own country is asked about it, and the project's others of the same language. Exact duplicates are one
    association, whose author is never asked about it; who shared it too may be. What is taken out stays in the ledger,
    without counting or being shown; shared again, it comes back with its ratings.
    """
    with nullcontext() if dry_run else project.lock("stereotypes"):
        ledger = project.ledger
        known = _Known.of(ledger)
        dropped = list[Dropped]()
        found = shared_now(ledger, known.items, dropped)
        same, people = defaultdict[str, set[str]](set), ledger.people()
        for country in project.settings.project.countries:
            same[country_language(people, country)].add(country)
        for named in found.keys() & known.gone:
            dropped.append(Dropped(named, "forgotten"))
            del found[named]
        place = count(max((item.position for own in known.items.values() for item in own), default=-1) + 1)
        fresh, back = list[Item](), list[_Asked]()
        for named, one in found.items():
            own = known.items.get(named, [])
            back += [item for item in own if item.removed]
            asked = {item.country for item in own}
            fresh += [
                item_of(one.association, country, next(place))
                for country in sorted((one.countries | same[one.association.language]) - asked)
            ]
        removed = _taken_back(known, found)
        if not dry_run:
            with ledger.transaction():
                ledger.add_items(fresh)
                ledger.remove_items(ledger.items_about(*{item.association for item in back}), removed=False)
                # What was made of an association goes when nobody is asked about it any more.
                left = {item.association for item in removed} - _asked_about(known, removed)
                ledger.remove_items([item.id for item in removed] + ledger.items_about(*left))
        return Shared(
            new=len(found.keys() - known.items.keys()),
            items=len(fresh),
            again=len(found.keys() & known.items.keys()),
            back=len({item.association for item in back}),
            removed=len({item.association for item in removed}),
            dropped=tuple(dropped),
            dry_run=dry_run,
        )


def shared_waiting(project: Project) -> int:
    """Associations that `take_shared` would take in, put back or take out: what a lead is told of."""
    if not project.ledger.rows("select 1 from items where task = ? limit 1", SHARE):
        return 0
    known = _Known.of(project.ledger)
    found = shared_now(project.ledger, known.items, [])
    fresh = [named for named in found.keys() - known.gone if not any(not i.removed for i in known.items.get(named, ()))]
    return len(fresh) + len({item.association for item in _taken_back(known, found)})


def _taken_back(known: _Known, found: Collection[str]) -> list[_Asked]:
    """Items of what was shared, and is shared by nobody any more."""
    return [
        item
        for named, own in known.items.items()
        if named not in found
        for item in own
        if not item.removed and item.source.startswith(SOURCE)
    ]


def _asked_about(known: _Known, removed: Collection[_Asked]) -> set[str]:
    """Associations that people are asked about when some items are gone."""
    gone = {item.id for item in removed}
    return {named for named, own in known.items.items() if any(not i.removed and i.id not in gone for i in own)}


def shared_now(ledger: Ledger, known: Collection[str], dropped: list[Dropped]) -> dict[str, Sharing]:
    """Association id -> what people share now, first who shared first: from their newest submitted answers alone.

    Args:
        ledger: The project's.
        known: Ids of associations that are there: what is one of them as it was typed has been looked at before.
        dropped: Receives the lines that are not taken, without their texts.
    """
    items = {item.id: item for item in ledger.items(SHARE)}
    people = ledger.named_people()

    found: dict[str, Sharing] = {}
    for answer in read_answers(newest_responses(ledger, items), items, roster(ledger)).kept:
        item = items[answer.item_id]
        for number, line in _lines(answer, dropped):
            one = _association(item, answer.value.identity, line, number)
            if one.id not in known:
                versions = _versions(item, one, answer.country, people)
                one = next((version for version in versions if version.id in known), versions[0])
            sharing = found.setdefault(one.id, Sharing(replace(one, author=answer.annotator)))
            if answer.annotator not in sharing.people:
                sharing.people.append(answer.annotator)
            sharing.countries.add(answer.country)
    return found


def heirs(ledger: Ledger, username: str) -> dict[str, str]:
    """Shared associations of which somebody is the author, or that nobody else shares now -> who else does, or ""."""
    rows = ledger.rows(
        """select distinct json_extract(content, '$.id') as id, json_extract(content, '$.author') as author from items
           where task = ? and json_extract(content, '$.source') like ?""",
        NAME,
        f"{SOURCE}%",
    )
    authors = {row["id"]: row["author"] for row in rows}
    found = shared_now(ledger, authors, []) if authors else {}
    people = {named: found[named].people if named in found else [] for named in sorted(authors)}
    return {
        named: next((name for name in who if name != username), "")
        for named, who in people.items()
        if authors[named] == username or who == [username]
    }


def forgotten_lines(ledger: Ledger) -> Callable[[Item, str, str], str]:
    """What takes the lines of forgotten associations out of what somebody wrote on a sheet.

    It takes a sheet, the country of whoever wrote, and the raw response; that comes back where no line is forgotten.
    """
    gone = ledger.forgotten("association")
    people = ledger.named_people() if gone else ()

    def blanked(item: Item, country: str, raw: str) -> str:
        told = json.loads(raw) if gone else {}
        values = told.get("values") or {}
        if not isinstance(typed := (values.get("associations") or {}).get("value"), str):
            return raw
        identity = as_written((values.get("identity") or {}).get("value") or "")

        def stays(line: str) -> bool:
            one = _association(item, identity, as_written(line), 0)
            return gone.isdisjoint(version.id for version in _versions(item, one, country, people))

        kept = [line for line in typed.splitlines() if stays(line)]
        if len(kept) == len(typed.splitlines()):
            return raw
        values["associations"]["value"] = "\n".join(kept)
        if not any(map(str.strip, kept)):
            values.pop("identity", None)  # of a group of which nothing is said any more
        return json.dumps(told, ensure_ascii=False, sort_keys=True)

    return blanked


def _lines(answer: Answer[Written], dropped: list[Dropped]) -> Iterator[tuple[int, str]]:
    """The lines of an answer that are taken, with their numbers."""
    for number, line in enumerate(answer.value.lines, 1):
        where = f"{answer.response_id}, line {number}"
        if number > MOST_LINES:
            dropped.append(Dropped(where, f"more than {MOST_LINES} lines on a sheet"))
        elif len(line) > MOST_CHARACTERS or len(answer.value.identity) > MOST_CHARACTERS:
            dropped.append(Dropped(where, f"longer than {MOST_CHARACTERS} characters"))
        elif not re.search(r"[^\W\d_]", line):
            dropped.append(Dropped(where, "no word in it"))
        else:
            yield number, line


def _association(item: Item, identity: str, line: str, number: int) -> Association:
    """A line of a sheet as an association: of the group that was named, or else of the sheet's country."""
    target = "" if identity else item.content["target"]
    group = clean_label(identity) or name_of_country(target, TeamPage(item.language, item.country).base)
    return Association.make(
        group,
        clean_label(_BULLET.sub("", line)).rstrip(" .;,"),
        item.language,
        target=target or target_of(group, item.language),
        source=f"{SOURCE}{item.id}:{number}",
    )


def _versions(item: Item, one: Association, country: str, people: tuple[Person, ...]) -> list[Association]:
    """How an association is taken in now, and how it was when fewer of those whom it names were on the team."""
    masked = _masked(item, one, country, people)
    if masked.id == one.id:
        return [masked]
    unnamed = _masked(item, one, country, ()).id
    naming = tuple(who for who in people if _masked(item, one, country, (who,)).id != unnamed)
    fewer = (some for size in reversed(range(len(naming))) for some in combinations(naming[:MOST_NAMES], size))
    return [masked, *(_masked(item, one, country, some) for some in fewer), one]


def _masked(item: Item, one: Association, country: str, people: tuple[Person, ...]) -> Association:
    """The same without personal data, and without the names of the team."""
    identity, attribute = (mask_typed(text, country, people) for text in (one.identity, one.attribute))
    number = int(one.source.rpartition(":")[2])
    return _association(item, identity, attribute, number)
