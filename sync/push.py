"""Items out: one dataset per task, country team and room, every item once, in the order of annotation.

The server says what it holds, and refuses an item that it holds already; the ledger remembers what was sent. So a
push that was cut off anywhere goes on, and nothing is ever sent twice: an upsert would overwrite records that
people are working on, so there is none here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation.config import Settings
from annotation.errors import ArgillaError
from annotation.ledger import Ledger
from annotation.rounds import current_round
from annotation.screen import Progress, counted, silent
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.base import Texts
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import add_consents, missing_consents
from annotation.tasks.form import ASSIGN
from annotation.tasks.page import PICTURE
from annotation.tasks.rooms import Room, record_in_room
from annotation.text.hidden import count_hidden
from annotation.types import Dropped, Item
from sync.argilla.protocol import ArgillaApi
from sync.assignment import Rules
from sync.cohorts import gap
from sync.outgoing import plan
from sync.quotas import count_quotas, short_teams
from sync.taking_back import take_back
from sync.team_datasets import Place, Team, misnamed, prepare, refuse_unguarded

BATCH = 200
"""Items per call. Argilla takes 500; a smaller batch shows progress, and less is repeated after a cut."""

CALL_CHARACTERS = 10_000_000
"""Text per call: many long answers are sent in several."""

CANNOT = (
    "this Argilla sends everybody the same records, as that of `annot up` does not: it keeps none for a person, so "
    "several who answer at once may answer one more often than needed; no most per person ([assign]) holds; control "
    "items come where they were sent; and nobody has to pass an entry test first"
)
"""Said where records are sent to a server that is not the embedded one."""


NO_WORK = {
    "control": ("control item",),
    "entry": ("item of an entry test", "items of an entry test"),
    "adjudication": ("item to decide", "items to decide"),
}
"""Items that are no work, by their purpose, one and many."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        sent: Items sent now, by workspace; in a dry run, those that would be.
        aside: Of these, those that are no work: workspace -> purpose -> how many.
        taken: Items that were removed, moved or closed, taken away again, since nobody had answered.
        standing: Items that were there already.
        later: Items of work that `limit` left for another time.
        dropped: Items that are not sent, and why.
        notes: What else the lead should know, a sentence each.
    """

    sent: Mapping[str, int]
    standing: int
    later: int
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]
    taken: int = 0
    aside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def sentence(self) -> str:
        """One line for the lead."""
        told = (f"{number} to {of}{self._aside(of)}" for of, number in sorted(self.sent.items()))
        sent = ", ".join(told) or "nothing"
        taken = f"; took {self.taken} away again" if self.taken else ""
        later = f"; {self.later} left for later" if self.later else ""
        dropped = f"; {len(self.dropped)} not sent" if self.dropped else ""
        return f"sent {sent}; {self.standing} were there already{taken}{later}{dropped}"

    def _aside(self, workspace: str) -> str:
        """What of it is no work, in brackets."""
        own = self.aside.get(workspace, {})
        said = [counted(own[purpose], *nouns) for purpose, nouns in NO_WORK.items() if purpose in own]
        return f" ({', '.join(said)})" if said else ""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "sent": dict(self.sent),
            "aside": {workspace: dict(numbers) for workspace, numbers in self.aside.items()},
            "taken": self.taken,
            "standing": self.standing,
            "later": self.later,
            "dropped": dict(Counter(d.reason for d in self.dropped)),
            "notes": list(self.notes),
        }


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
    """Send every item that is not there yet to the dataset of its task, country and room.

    Items that were removed or closed, or whose prompt was removed or moved to another country, are taken away where
    nobody has answered them yet; those of sensitive tasks in any case. With the items of a sensitive task come the
    consents of their countries, first of all.

    Args:
        api: Argilla.
        ledger: Items, what they are about, people; remembers what was sent.
        settings: Names of the datasets, overlaps, answers per slate.
        tasks: Whose items are sent.
        texts: The project's own, from `annotation.tasks.page.own_texts`.
        vectors: Item id -> embedding of its prompt, all of one length; items without one are sent without.
        limit: Send no more items of work than this, first positions first; control items, entry tests and what is for
            adjudicators go whole.
        dry_run: Change nothing, here or there.
        batch: Items per call, 500 at most.
        progress: Told how many items are sent.

    Raises:
        ArgillaError: Argilla is not there, holds another dataset of that name, or would show what is sensitive to all.
    """
    tasks = list(tasks)
    items = {name: found for name in tasks if (found := [*ledger.items(name), *ledger.items(name, side=True)])}
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
    assigns = api.assigns()
    taken = take_back(api, ledger, {item.id: item for own in items.values() for item in own}, notes, dry_run=dry_run)
    items = {name: [item for item in own if not (item.removed or item.closed)] for name, own in items.items()}
    vectors = vectors or {}

    def vector_of(item: Item) -> Collection[float] | None:
        """A control item has that of the item whose place it took: without one it could be told from others."""
        return vectors.get(item.id, vectors.get(item.parent))

    dimensions = len(next(iter(vectors.values()))) if vectors else None
    out = plan(api, ledger, settings, items, texts or {}, dimensions, limit, assigns=assigns, keep=not dry_run)
    of_team: dict[Place, list[Item]] = defaultdict(list)
    for place, item in out.chosen:
        of_team[place].append(item)
    about = {
        name: Texts.of(ledger, TASKS[name], [item for place, item in out.chosen if place[0] == name]) for name in items
    }
    notes += _hidden(text for own in about.values() for text in own.candidates.values())
    new = {team.workspace: team.page for team in out.teams.values() if team.dataset is None}
    notes += [f"{workspace}: {note}" for workspace, page in new.items() if (note := page.fallback())]
    notes += misnamed([team.page for team in out.teams.values()])
    notes += _cannot(out.teams.values(), sends=bool(out.chosen)) if not assigns else []
    rules = Rules(api, ledger, settings) if assigns and not dry_run else None
    if rules:
        notes += filter(
            None, (rules.unread(task, team.country) for (task, _, room), team in out.teams.items() if room == "work")
        )
    standing: dict[tuple[str, str], dict[Room, str]] = defaultdict(dict)
    for place, team in out.teams.items():
        if team.dataset and team.dataset.ready:
            standing[place[0], team.country][team.room] = team.dataset.id
    done = gone = 0
    # People are asked first: without a dataset to consent in, the server shows nothing that is guarded.
    for place, team in sorted(out.teams.items(), key=lambda pair: (pair[0][0] != CONSENT, pair[0])):
        own = of_team[place]
        if dry_run or not (own or team.dataset):
            continue
        dataset, with_vectors = prepare(api, team, notes)
        standing[place[0], team.country][team.room] = dataset.id  # an entry test comes before the work, which names it
        if rules and place[0] != CONSENT:
            own_datasets = standing[place[0], team.country]
            rule = rules.of(place[0], team.country, team.room, team.form.overlap, own_datasets)
            if dataset.rules.get(ASSIGN) != rule:
                api.set_rules(dataset.id, {ASSIGN: rule})
        for start in range(0, len(own), batch):
            part = own[start : start + batch]
            progress(done, len(out.chosen), team.workspace)
            records = [
                record_in_room(team.task, item, about[place[0]], vector_of(item) if with_vectors else None)
                for item in part
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
    sent = Counter(out.teams[place].workspace for place, _ in out.chosen)
    notes += short_teams(count_quotas(settings, count(ledger, settings), now=current_round(ledger)), ledger)
    aside: dict[str, Counter[str]] = defaultdict(Counter)
    for place, item in out.chosen:
        if item.purpose != "work":
            aside[out.teams[place].workspace][item.purpose] += 1
    return Pushed(dict(sent), out.standing, out.later, out.dropped, tuple(notes), taken, aside)


def _consents(ledger: Ledger, settings: Settings, countries: Collection[str], *, keep: bool) -> list[Item]:
    """The consent items of all countries, with those that are missing for some of them."""
    most = settings.stereotypes.most_a_day
    if keep:
        add_consents(ledger, countries, most)
        return ledger.items(CONSENT)
    return [*ledger.items(CONSENT), *missing_consents(ledger, countries, most)]


def _cannot(teams: Iterable[Team], *, sends: bool) -> list[str]:
    """What a lead should know on a server that does not assign."""
    cohorts: dict[tuple[str, str], list[Team]] = defaultdict(list)
    for team in teams:
        if team.cohort:
            cohorts[team.country, team.task.many].append(team)
    split = [
        f"{country}: {counted(sum(len(t.cohort.people) for t in own if t.cohort), 'person', 'people')} in "
        f"{counted(len(own), 'cohort')}, each with {many} of its own that nobody else sees"
        for (country, many), own in cohorts.items()
    ]
    short = [gap(team.cohort, team.form.overlap) for own in cohorts.values() for team in own if team.cohort]
    return [*([CANNOT] if sends else []), *split, *filter(None, short)]


def count_dropped(dropped: Iterable[Dropped]) -> list[tuple[str, str, int]]:
    """Rows of (reason, because of what, how many), most first."""
    counts = Counter((d.reason, d.because_of) for d in dropped)
    return [(reason, cause, count) for (reason, cause), count in counts.most_common()]


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
