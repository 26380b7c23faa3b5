"""Assignment: the rule by which the embedded server sends the people of each dataset their records.

A push writes it before the first record, and a sync keeps it true: people join, and pass the entry test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.quality.entry import entry_results
from annotation.quota_groups import belongs, plan_quotas
from annotation.rounds import current_round
from annotation.tally import counted_items
from annotation.tasks import TASKS
from annotation.tasks.adjudication import ADJUDICATOR, adjudicators
from annotation.tasks.answers import one_person, roster
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.form import ASSIGN
from annotation.tasks.rooms import Room, room_of
from annotation.text.locales import name_of_language
from annotation.types import Item, Person
from sync.argilla.protocol import ArgillaApi
from sync.cohorts import keep_cohorts
from sync.team import country_of

EVERYBODY = 1000
"""People per item from which on there is no limit: the largest that annot.toml takes."""


class Rules:
    """What is asked of whom, as the ledger and the settings stand now."""

    def __init__(self, api: ArgillaApi, ledger: Ledger, settings: Settings) -> None:
        """Read what the rules depend on.

        Args:
            api: Argilla, which knows people by ids of its own.
            ledger: The project's.
            settings: The project's.
        """
        self._settings, self._ledger, self._server = settings, ledger, api.server
        self._ids = {account.username: account.id for account in api.accounts()}
        everybody = roster(ledger)
        self._people = [p for p in everybody.values() if p.active and p.username in self._ids]
        names: dict[str, list[str]] = defaultdict(list)
        for name in everybody.keys() & self._ids.keys():
            names[one_person(everybody, name).username].append(self._ids[name])
        self._uncounted = sorted(id_ for name, own in names.items() if everybody[name].excluded for id_ in own)
        self._same = {one: sorted({*own} - {one}) for own in names.values() if len(own) > 1 for one in own}
        self._results = entry_results(ledger, settings, datetime.now(UTC))
        self._groups: dict[tuple[str, str, Room], list[Item]] = defaultdict(list)
        self._controls = set[tuple[str, str]]()
        for table in ("current_items", "current_side_items"):
            query = (
                f"select distinct task, country, purpose, topic, language from {table} where not (removed or closed)"
            )
            for task, country, purpose, topic, language in ledger.rows(query):
                group = Item("", task, 0, country, language, topic, purpose=purpose)
                self._groups[task, country, room_of(group)].append(group)
                if purpose == "control":
                    self._controls.add((task, country))
        # Item that somebody has answered -> the country where it counts; "" where nowhere.
        self._gone: dict[str, str] = {}
        for table in ("current_items", "current_side_items"):
            query = f"""select id, case when removed then '' else country end as country from {table}
                        where (removed or moved) and id in (select item_id from responses)"""
            self._gone |= {row["id"]: row["country"] for row in ledger.rows(query)}
        self._gone |= dict.fromkeys(self._begun_earlier(), "")

    def of(self, task: str, country: str, room: Room, overlap: int, datasets: Mapping[Room, str]) -> dict[str, Any]:
        """The rule of a dataset, as JSON.

        Args:
            task: Name of its task.
            country: Of its team.
            room: Which of the team's it is.
            overlap: People per record.
            datasets: Ids of the team's datasets at the task that stand.
        """
        assign, work, here = self._settings.assign, room == "work", self._groups[task, country, room]
        team = [person for person in self._people if person.country == country]
        return {
            "overlap": overlap if overlap < EVERYBODY else None,
            "hold_minutes": assign.hold_minutes,
            "most": assign.most if work else 0,
            "most_a_day": assign.most_a_day if work else 0,
            "controls": [assign.control_first, assign.control_first_every, assign.control_every]
            if work and (task, country) in self._controls
            else [],
            "groups": [
                {"topic": quota.topic, "language": quota.language, "target": quota.target}
                for quota in plan_quotas(self._settings, here if work else (), task)
                if quota.country == country and any(belongs(group, quota) for group in here)
            ],
            "open_to": self._open_to(task, country, room, tested="entry" in datasets),
            "languages": {
                self._ids[person.username]: sorted(person.languages)
                for person in team
                if not {group.language for group in here} <= {*person.languages, ""}
            },
            "uncounted": self._uncounted if room != "entry" else [],
            "same": self._same,
            "gone": self._records_of_gone(country, datasets.get(room, "")) if room != "entry" else [],
            "turns": self._turns(task, team, datasets.get("work")) if room == "entry" else None,
            "entry": datasets.get("entry") if work and any((task, p.username) in self._results for p in team) else None,
        }

    def _records_of_gone(self, country: str, dataset: str) -> list[str]:
        """Records that stay since somebody has answered them, and that nobody else should answer in vain."""
        pushed = self._ledger.pushed(self._server, dataset) if self._gone else {}
        return sorted(record for item, record in pushed.items() if self._gone.get(item, country) != country)

    def _begun_earlier(self) -> Iterator[str]:
        """Items of earlier rounds that some have answered, and too few: whoever has not is asked no more."""
        if current_round(self._ledger) == 1:
            return
        answered = {row["item_id"] for row in self._ledger.rows("select distinct item_id from responses")}
        for item_id, own in counted_items(self._ledger, self._settings, "item").items():
            for _, task, _, _, _, people, *earlier in own:
                if earlier and item_id in answered and int(people) < TASKS[str(task)].settings(self._settings).overlap:
                    yield item_id

    def unread(self, task: str, country: str) -> str:
        """A sentence where work is in a language that nobody on the team reads; "" where somebody reads all."""
        read = {language for person in self._people if person.country == country for language in person.languages}
        missing = sorted({group.language for group in self._groups[task, country, "work"]} - read - {""})
        if not missing:
            return ""
        return (
            f"{country}: nobody reads {', '.join(map(name_of_language, missing))}, so nobody is asked about the "
            f"{TASKS[task].many} in it; write into the roster who does, then run `annot team add` and `annot sync`"
        )

    def _turns(self, task: str, team: Iterable[Person], work: str | None) -> dict[str, Any]:
        """Which records of the test each person is shown, and what the page tells those who are shown none."""
        results = {
            self._ids[person.username]: result
            for person in team
            if (result := self._results.get((task, person.username))) and result.turn
        }
        return {
            "size": self._settings.entry.items,
            "of": {who: result.turn for who, result in results.items()},
            "told": {
                who: ["passed" if result.open else result.state, result.until]
                for who, result in results.items()
                if result.turn < 0
            },
            "work": work,
        }

    def _open_to(self, task: str, country: str, room: Room, *, tested: bool) -> list[str] | None:
        """Ids of the people who are asked; None for everybody. Who only decides does no work."""
        if room == "adjudication":
            return sorted(self._ids[name] for name in adjudicators(self._people, country))
        team = [person for person in self._people if person.country == country]
        tested = tested and room == "work"
        results = {person.username: self._results.get((task, person.username)) for person in team if tested}
        asked = [p for p in team if p.role != ADJUDICATOR and ((r := results.get(p.username)) is None or r.open)]
        # Whoever joins is asked at once, unless there is a test to pass first, or somebody who only decides.
        limited = any(results.values()) or len(asked) < len(team)
        return sorted(self._ids[person.username] for person in asked) if limited else None


def keep_rules(api: ArgillaApi, ledger: Ledger, settings: Settings) -> int:
    """Have every dataset that was pushed to say who is asked what now; returns how many said something else.

    On a server that does not assign, people who joined come into a cohort, where there are any.
    """
    if not api.assigns():
        overlaps = {name: task.settings(settings).overlap for name, task in TASKS.items()}
        return keep_cohorts(api, ledger.people(), overlaps)
    places = _places(api, ledger)
    found = [(dataset, places[dataset.id]) for dataset in api.datasets() if dataset.id in places]
    rules = Rules(api, ledger, settings)
    teams: dict[tuple[str, str], dict[Room, str]] = defaultdict(dict)
    for dataset, (task, room) in found:
        teams[task, country_of(dataset.workspace)][room] = dataset.id
    changed = 0
    for dataset, (task, room) in found:
        country = country_of(dataset.workspace)
        rule = rules.of(task, country, room, dataset.overlap, teams[task, country])
        if dataset.rules.get(ASSIGN) != rule:
            api.set_rules(dataset.id, {ASSIGN: rule})
            changed += 1
    return changed


def _places(api: ArgillaApi, ledger: Ledger) -> Mapping[str, tuple[str, Room]]:
    """Dataset that was pushed to -> its task and room, as one of its items tells. Consents are everybody's to give."""
    query = "select dataset, max(item_id) as item from pushes where server = ? and record_id <> '' group by dataset"
    item_of = {row["dataset"]: row["item"] for row in ledger.rows(query, api.server)}
    items = {item.id: item for item in ledger.items(ids=item_of.values())}
    return {
        dataset: (items[item].task, room_of(items[item]))
        for dataset, item in item_of.items()
        if item in items and items[item].task != CONSENT
    }
