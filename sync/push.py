"""Items out: one dataset per task and country team, every item once, in the order of annotation.

The server says what it holds, and refuses an item that it holds already; the ledger remembers what was sent. So a
push that was cut off anywhere goes on, and nothing is ever sent twice: an upsert would overwrite records that
people are working on, so there is none here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.config import Settings
from annotation.errors import ArgillaError
from annotation.ledger import Ledger
from annotation.screen import Progress, counted, silent
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.base import Texts
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import add_consents, missing_consents
from annotation.tasks.page import PICTURE
from annotation.text.hidden import count_hidden
from annotation.types import Dropped, Item
from sync.argilla.paging import walk
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.quotas import count_quotas, short_teams
from sync.team import workspace_of
from sync.team_datasets import Team, find_teams, misnamed, prepare, refuse_unguarded

BATCH = 200
"""Items per call. Argilla takes 500; a smaller batch shows progress, and less is repeated after a cut."""

AT_ONCE = 100
"""Items that are looked at, or deleted, in one call; Argilla takes no more."""

CALL_CHARACTERS = 10_000_000
"""Text per call: many long answers are sent in several."""

NO_TEAM = "no team for the country"
REMOVED = "removed on the server"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        sent: Items sent now, by workspace; in a dry run, those that would be.
        taken: Items that were removed or moved, or whose prompts were, taken away again, since nobody had answered.
        standing: Items that were there already.
        later: Items that `limit` left for another time.
        dropped: Items that are not sent, and why.
        notes: What else the lead should know, a sentence each.
    """

    sent: Mapping[str, int]
    standing: int
    later: int
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]
    taken: int = 0

    def sentence(self) -> str:
        """One line for the lead."""
        sent = ", ".join(f"{count} to {workspace}" for workspace, count in sorted(self.sent.items())) or "nothing"
        taken = f"; took {self.taken} away again" if self.taken else ""
        later = f"; {self.later} left for later" if self.later else ""
        dropped = f"; {len(self.dropped)} not sent" if self.dropped else ""
        return f"sent {sent}; {self.standing} were there already{taken}{later}{dropped}"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "sent": dict(self.sent),
            "taken": self.taken,
            "standing": self.standing,
            "later": self.later,
            "dropped": dict(Counter(d.reason for d in self.dropped)),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a push sends: the task and country of each item, first positions first."""

    teams: Mapping[tuple[str, str], Team]
    chosen: Sequence[tuple[tuple[str, str], Item]]
    later: int
    standing: int
    dropped: tuple[Dropped, ...]


def push(
    api: ArgillaApi,
    ledger: Ledger,
    settings: Settings,
    *,
    tasks: Iterable[str] = TASKS,
    texts: Mapping[str, str] | None = None,
    vectors: Mapping[str, Collection[float]] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    batch: int = BATCH,
    progress: Progress = silent,
) -> Pushed:
    """Send every item that is not there yet to the dataset of its task and country.

    Items that were removed, or whose prompt was, or moved to another country, are taken away where nobody has answered
    them yet; those of sensitive tasks in any case. With the items of a sensitive task come the consents of their
    countries, first of all.

    Args:
        api: Argilla.
        ledger: Items, what they are about, people; remembers what was sent.
        settings: Names of the datasets, overlaps, answers per slate.
        tasks: Whose items are sent.
        texts: The project's own, from `annotation.tasks.page.own_texts`.
        vectors: Item id -> embedding of its prompt, all of one length; items without one are sent without.
        limit: Send no more items than this, first positions first.
        dry_run: Change nothing, here or there.
        batch: Items per call, 500 at most.
        progress: Told how many items are sent.

    Raises:
        ArgillaError: Argilla is not there, holds another dataset of that name, or would show what is sensitive to all.
    """
    tasks = list(tasks)
    items = {name: found for name in tasks if (found := ledger.items(name))}
    if countries := {item.country for name, own in items.items() for item in own if TASKS[name].sensitive}:
        refuse_unguarded(api, "; push the other tasks alone, for example with `annot push --task ranking`")
        items = {CONSENT: _consents(ledger, settings, countries, keep=not dry_run)} | {
            name: own for name, own in items.items() if name != CONSENT
        }
    if not items:
        first = TASKS[tasks[0]]
        remedy = f"run `{first.made_by}` first" if first.made_by else "no command makes them for a team yet"
        raise ArgillaError(f"There are no {first.many} to push; {remedy}.")
    notes = list[str]()
    taken = _take_away(api, ledger, {item.id: item for own in items.values() for item in own}, notes, dry_run=dry_run)
    items = {name: [item for item in own if not item.removed] for name, own in items.items()}
    vectors = vectors or {}
    dimensions = len(next(iter(vectors.values()))) if vectors else None
    plan = _plan(api, ledger, settings, items, texts or {}, dimensions, limit, keep=not dry_run)
    of_team: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for place, item in plan.chosen:
        of_team[place].append(item)
    about = {
        name: Texts.of(ledger, TASKS[name], [item for (task, _), item in plan.chosen if task == name]) for name in items
    }
    notes += _hidden(text for own in about.values() for text in own.candidates.values())
    new = {team.workspace: team.page for team in plan.teams.values() if team.dataset is None}
    notes += [f"{workspace}: {note}" for workspace, page in new.items() if (note := page.fallback())]
    notes += misnamed([team.page for team in plan.teams.values()])
    done = gone = 0
    # People are asked first: without a dataset to consent in, the server shows nothing that is guarded.
    for place, team in sorted(plan.teams.items(), key=lambda pair: (pair[0][0] != CONSENT, pair[0])):
        own = of_team[place]
        if dry_run or not (own or team.dataset):
            continue
        dataset, with_vectors = prepare(api, team, notes)
        for start in range(0, len(own), batch):
            part = own[start : start + batch]
            progress(done, len(plan.chosen), team.workspace)
            records = [
                team.task.record(item, about[place[0]], vectors.get(item.id) if with_vectors else None) for item in part
            ]
            pictures = sum(PICTURE in record["fields"] for record in records)
            gone += sum(bool(item.content.get(PICTURE)) for item in part) - pictures
            for few in in_calls(records):
                ledger.add_pushes(api.server, dataset.id, api.add_records(dataset.id, few))
            done += len(part)
    if gone:
        notes.append(
            f"{counted(gone, 'item was', 'items were')} sent without the picture: its file is not in the project, is "
            "no JPEG or WebP, or is too large for Argilla"
        )
    sent = Counter(plan.teams[place].workspace for place, _ in plan.chosen)
    notes += short_teams(count_quotas(settings, count(ledger, settings)), ledger)
    return Pushed(dict(sent), plan.standing, plan.later, plan.dropped, tuple(notes), taken)


def _consents(ledger: Ledger, settings: Settings, countries: Collection[str], *, keep: bool) -> list[Item]:
    """The consent items of all countries, with those that are missing for some of them."""
    most = settings.stereotypes.most_a_day
    if keep:
        add_consents(ledger, countries, most)
        return ledger.items(CONSENT)
    return [*ledger.items(CONSENT), *missing_consents(ledger, countries, most)]


def _take_away(api: ArgillaApi, ledger: Ledger, items: Mapping[str, Item], notes: list[str], *, dry_run: bool) -> int:
    """Delete the records of items that are not wanted where they are, unless somebody has answered; how many.

    A text that may hurt goes although somebody has answered: else it would be shown to others. What was answered to it
    stays in the ledger, and a last answer that no sync brought home would not count.
    """
    taken, answered = 0, 0
    for dataset in api.datasets():
        unwanted: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for item_id in ledger.pushed(api.server, dataset.id):
            item = items.get(item_id)
            if item and (item.removed or (item.moved and workspace_of(item.country) != dataset.workspace)):
                unwanted[TASKS[item.task].label, TASKS[item.task].sensitive].append(item_id)
        for (label, always), own in unwanted.items():
            for start in range(0, len(own), AT_ONCE):
                part = own[start : start + AT_ONCE]
                there = {record["external_id"]: record for record in api.records_of(dataset.id, label, part)}
                kept = {name for name, record in there.items() if record.get("responses") and not always}
                free = [record["id"] for name, record in there.items() if name not in kept]
                gone = {item_id: "" for item_id in part if item_id not in kept}
                taken += len(free)
                answered += len(part) - len(gone)
                if free and not dry_run:
                    api.remove_records(dataset.id, free)
                if not dry_run:
                    ledger.add_pushes(api.server, dataset.id, gone)
    if answered:
        notes.append(
            f"somebody has answered {counted(answered, 'item')} of removed or moved prompts: that stays where it is, "
            "and the answers are kept and not counted"
        )
    return taken


def put_texts_back(api: ArgillaApi, ledger: Ledger, *, progress: Progress = silent) -> int:
    """Have the records that show other texts show again what was pushed; returns how many did. A sync looks again.

    Raises:
        ArgillaError: Argilla is not there, or one of the records is not.
    """
    items = {record: item for record, (server, item) in ledger.changed_texts().items() if server == api.server}
    for done, item in enumerate(ledger.items(ids=items.values())):
        progress(done, len(items))
        task = TASKS[item.task]
        fields = task.record(item, Texts.of(ledger, task, [item]), None)["fields"]
        for record_id in (record for record, own in items.items() if own == item.id):
            api.set_texts(record_id, fields)
    return len(items)


def _plan(
    api: ArgillaApi,
    ledger: Ledger,
    settings: Settings,
    items: Mapping[str, Sequence[Item]],
    texts: Mapping[str, str],
    dimensions: int | None,
    limit: int | None,
    *,
    keep: bool,
) -> _Plan:
    """What is still to be sent, and what is not, and why."""
    datasets = api.datasets()
    teams = find_teams(api, ledger, settings, datasets, items, texts, dimensions)
    ours = {team.dataset.id for team in teams.values() if team.dataset}
    # Where a dataset was given another name, people go on with the old one: its items are not sent twice.
    elsewhere: dict[str, set[str]] = defaultdict(set)
    for dataset in datasets:
        if dataset.id not in ours:
            elsewhere[dataset.workspace].update(ledger.pushed(api.server, dataset.id))
    fresh, standing, dropped = list[tuple[tuple[str, str], Item]](), 0, list[Dropped]()
    of_team: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for name, own in items.items():
        for item in own:
            of_team[name, item.country].append(item)
    for place, own in of_team.items():
        if place not in teams:
            dropped += [Dropped(item.id, NO_TEAM, place[1]) for item in own]
            continue
        team = teams[place]
        held, gone = _held(api, ledger, team.dataset, own, keep=keep)
        held |= elsewhere[team.workspace] & {item.id for item in own}
        standing += len(held)
        for item in own:
            if item.id in gone:
                dropped.append(Dropped(item.id, REMOVED, team.workspace))
            elif item.id not in held and (misfit := team.task.misfit(item, settings, ledger.path.parent)):
                dropped.append(Dropped(item.id, *misfit))
            elif item.id not in held:
                fresh.append((place, item))
    fresh.sort(key=lambda pair: (pair[0][0] != CONSENT, pair[1].position))
    most = len(fresh) if limit is None else limit
    return _Plan(teams, fresh[:most], max(0, len(fresh) - most), standing, tuple(dropped))


def count_dropped(dropped: Iterable[Dropped]) -> list[tuple[str, str, int]]:
    """Rows of (reason, because of what, how many), most first."""
    counts = Counter((d.reason, d.because_of) for d in dropped)
    return [(reason, cause, count) for (reason, cause), count in counts.most_common()]


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


def _hidden(texts: Iterable[str]) -> list[str]:
    """A note where answers have characters that nobody sees."""
    answers, counts = count_hidden(texts)
    if not answers:
        return []
    shown = ", ".join(f"{name} {count} times" for name, count in list(counts.items())[:5])
    return [
        f"{counted(answers, 'answer has', 'answers have')} hidden characters ({shown}); "
        "the page shows each as ⟨U+…⟩ and exports keep them"
    ]


def in_calls(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Records in calls that a server takes in one piece, in their order."""
    call, size = list[dict[str, Any]](), 0
    for record in records:
        own = sum(len(text or "") for text in record["fields"].values())
        if call and size + own > CALL_CHARACTERS:
            yield call
            call, size = [], 0
        call.append(record)
        size += own
    if call:
        yield call
