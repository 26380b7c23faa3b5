"""Items that go out: those that no dataset of their team holds, each at its place, in the order of sending."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.rooms import Room, room_of
from annotation.types import Dropped, Item
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.cohorts import divide
from sync.team import country_of
from sync.team_datasets import Place, Team, find_teams

NO_TEAM = "no team for the country"
REMOVED = "removed on the server"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a push sends.

    Attributes:
        teams: By place, with those that get nothing now.
        chosen: The place of each item, in the order of sending.
        later: Items of work that `limit` left for another time.
        standing: Items that are there already.
        dropped: Items that are not sent, and why.
    """

    teams: Mapping[Place, Team]
    chosen: Sequence[tuple[Place, Item]]
    later: int
    standing: int
    dropped: tuple[Dropped, ...]


def plan(
    api: ArgillaApi,
    ledger: Ledger,
    settings: Settings,
    items: Mapping[str, Sequence[Item]],
    texts: Mapping[str, str],
    dimensions: int | None,
    limit: int | None,
    *,
    assigns: bool,
    keep: bool,
) -> Outgoing:
    """What is still to be sent, and what is not, and why; see `sync.push.push` and `find_teams`."""
    datasets = api.datasets()
    in_room: dict[tuple[str, Room], list[Item]] = defaultdict(list)
    of_country: dict[tuple[str, str, Room], list[Item]] = defaultdict(list)
    for name, found in items.items():
        for item in found:
            in_room[name, room_of(item)].append(item)
            of_country[name, item.country, room_of(item)].append(item)
    teams = find_teams(api, ledger, settings, datasets, in_room, texts, dimensions, assigns=assigns, keep=keep)
    ours = {team.dataset.id for team in teams.values() if team.dataset}
    # Where a dataset was given another name, people go on with the old one: its items are not sent twice.
    elsewhere: dict[str, set[str]] = defaultdict(set)
    for dataset in datasets:
        if dataset.id not in ours:
            elsewhere[country_of(dataset.workspace)].update(ledger.pushed(api.server, dataset.id))
    parts: dict[tuple[str, str, Room], list[Team]] = defaultdict(list)
    for (name, _, room), team in teams.items():
        parts[name, team.country, room].append(team)
    fresh, standing, dropped = list[tuple[Place, Item]](), 0, list[Dropped]()
    for place, own in of_country.items():
        if place not in parts:
            dropped += [Dropped(item.id, NO_TEAM, place[1]) for item in own]
            continue
        known = [_held(api, ledger, team.dataset, own, keep=keep) for team in parts[place]]
        for team, (held, gone), share in zip(parts[place], known, _shares(parts[place], own, known), strict=True):
            for item in share:
                if item.id in gone:
                    dropped.append(Dropped(item.id, REMOVED, team.workspace))
                elif item.id in held or item.id in elsewhere[team.country]:
                    standing += 1
                elif misfit := team.task.misfit(item, settings, ledger.path.parent):
                    dropped.append(Dropped(item.id, *misfit))
                else:
                    fresh.append(((place[0], team.workspace, team.room), item))
    fresh.sort(key=lambda pair: (pair[0][0] != CONSENT, pair[1].position))
    work = [pair for pair in fresh if pair[1].purpose == "work"]
    sent = work if limit is None else work[:limit]
    chosen = _among([pair for pair in fresh if pair[1].purpose != "work"], sent)
    return Outgoing(teams, chosen, len(work) - len(sent), standing, tuple(dropped))


def _shares(
    parts: Sequence[Team], own: Sequence[Item], known: Sequence[tuple[set[str], set[str]]]
) -> list[Sequence[Item]]:
    """Which items each part of a team has, or gets: of control items every cohort has all."""
    cohorts = [team.cohort for team in parts if team.cohort]
    if not cohorts:
        return [own]
    there = {id_: cohort.number for cohort, (held, gone) in zip(cohorts, known, strict=True) for id_ in held | gone}
    work = [item for item in own if item.purpose == "work"]
    has = {cohort.number: [item for item in work if there.get(item.id) == cohort.number] for cohort in cohorts}
    there |= divide((item for item in work if item.id not in there), has, cohorts, parts[0].form.overlap)
    return [[i for i in own if i.purpose != "work" or there[i.id] == cohort.number] for cohort in cohorts]


def _among(side: Sequence[tuple[Place, Item]], work: Sequence[tuple[Place, Item]]) -> list[tuple[Place, Item]]:
    """Both, in the order of sending: control items at places among the work of their team that nobody can guess."""
    of_team, before = Counter(place for place, _ in work), Counter[Place]()

    def order(pair: tuple[Place, Item]) -> float:
        place, item = pair
        if item.purpose == "control":
            digest = hashlib.sha256(f"place of {item.id}".encode()).digest()
            return int.from_bytes(digest[:4]) / 2**32 * (of_team[place] + 1)
        before[place] += 1
        return before[place]

    return sorted([*work, *side], key=order)


def _held(
    api: ArgillaApi, ledger: Ledger, dataset: Dataset | None, own: Sequence[Item], *, keep: bool
) -> tuple[set[str], set[str]]:
    """Which items the dataset holds, and which were sent and then deleted there by somebody.

    The server is asked, since a push may have been cut off after it had taken a batch; the ledger learns of it.
    """
    if dataset is None or not dataset.ready:
        return set(), set()
    known = ledger.pushed(api.server, dataset.id)
    if known and api.records(dataset.id, 0, 1, responses=False).total == len(known):
        return {item.id for item in own if item.id in known}, set()
    there = {record["external_id"]: record["id"] for record in walk(api, dataset.id)}
    found = {item.id: there[item.id] for item in own if item.id in there}
    if keep and (unrecorded := {item: record for item, record in found.items() if known.get(item) != record}):
        ledger.add_pushes(api.server, dataset.id, unrecorded)
    return set(found), {item.id for item in own if item.id in known and item.id not in found}
