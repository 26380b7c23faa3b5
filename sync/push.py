"""Slates out: one dataset per country team, every slate once, in the order of annotation.

The server says what it holds, and refuses a slate that it holds already; the ledger remembers what was sent. So a
push that was cut off anywhere goes on, and nothing is ever sent twice: an upsert would overwrite records that
people are working on, so there is none here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.config import Settings
from annotation.errors import BoardError
from annotation.hidden import count_hidden
from annotation.ledger import Ledger
from annotation.quota_groups import plan_quotas
from annotation.screen import Progress, silent
from annotation.tasks import ranking
from annotation.tasks.form import Form
from annotation.types import Dropped, Person, Slate
from sync.board import Board, Dataset, walk
from sync.pull import judgements
from sync.quotas import count_quotas, short_teams
from sync.team import workspace_of

BATCH = 200
"""Slates per call. Argilla takes 500; a smaller batch shows progress, and less is repeated after a cut."""

CALL_CHARACTERS = 10_000_000
"""Text per call: many long answers are sent in several."""

NO_TEAM = "no team for the country"
OTHER_SIZE = "other number of answers than the dataset has"
REMOVED = "removed on the server"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        sent: Slates sent now, by workspace; in a dry run, those that would be.
        standing: Slates that were there already.
        later: Slates that `limit` left for another time.
        dropped: Slates that are not sent, and why.
        notes: What else the lead should know, a sentence each.
    """

    sent: Mapping[str, int]
    standing: int
    later: int
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]

    def sentence(self) -> str:
        """One line for the lead."""
        sent = ", ".join(f"{count} to {workspace}" for workspace, count in sorted(self.sent.items())) or "nothing"
        later = f"; {self.later} left for later" if self.later else ""
        dropped = f"; {len(self.dropped)} not sent" if self.dropped else ""
        return f"sent {sent}; {self.standing} were there already{later}{dropped}"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "sent": dict(self.sent),
            "standing": self.standing,
            "later": self.later,
            "dropped": dict(Counter(d.reason for d in self.dropped)),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Team:
    """A country's team and its dataset, None where it is still to be made."""

    workspace: str
    workspace_id: str
    form: Form
    dataset: Dataset | None


def push(
    board: Board,
    ledger: Ledger,
    settings: Settings,
    *,
    vectors: Mapping[str, Sequence[float]] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    batch: int = BATCH,
    progress: Progress = silent,
) -> Pushed:
    """Send every slate that is not there yet to the dataset of its prompt's country.

    Args:
        board: Argilla.
        ledger: Slates, prompts, candidates, people; remembers what was sent.
        settings: Name of the dataset, overlap, answers per slate.
        vectors: Slate id -> embedding of its prompt, all of one length; slates without one are sent without.
        limit: Send no more slates than this, first positions first.
        dry_run: Change nothing, here or there.
        batch: Slates per call, 500 at most.
        progress: Told how many slates are sent.

    Raises:
        BoardError: Argilla is not there, or holds another dataset of that name.
    """
    slates, prompts = ledger.slates(), {prompt.id: prompt for prompt in ledger.prompts()}
    if not slates:
        raise BoardError("There are no slates to push; run `annot select` first.")
    vectors = vectors or {}
    dimensions = len(next(iter(vectors.values()))) if vectors else None
    datasets = board.datasets()
    teams = _teams(board, ledger, settings, datasets, dimensions)
    ours = {team.dataset.id for team in teams.values() if team.dataset}
    # Where argilla.dataset was given another name, people go on with the old one: its slates are not sent twice.
    elsewhere = {slate_id for d in datasets if d.id not in ours for slate_id in ledger.pushed(board.server, d.id)}
    fresh, standing, dropped = list[tuple[str, Slate]](), 0, list[Dropped]()
    of_country: dict[str, list[Slate]] = defaultdict(list)
    for slate in slates:
        of_country[prompts[slate.prompt_id].country].append(slate)
    for country, own in of_country.items():
        if country not in teams:
            dropped += [Dropped(slate.id, NO_TEAM, country) for slate in own]
            continue
        held, gone = _held(board, ledger, teams[country].dataset, own, keep=not dry_run)
        held |= elsewhere & {slate.id for slate in own}
        standing += len(held)
        for slate in own:
            if slate.id in gone:
                dropped.append(Dropped(slate.id, REMOVED, teams[country].workspace))
            elif slate.id not in held and len(slate.seats) != settings.select.slate:
                dropped.append(Dropped(slate.id, OTHER_SIZE, f"{len(slate.seats)} instead of {settings.select.slate}"))
            elif slate.id not in held:
                fresh.append((country, slate))
    fresh.sort(key=lambda pair: pair[1].position)
    chosen, later = (fresh, 0) if limit is None else (fresh[:limit], max(0, len(fresh) - limit))
    texts = _texts(ledger, [slate for _, slate in chosen])
    notes = _hidden(texts)
    done = 0
    for country, team in sorted(teams.items()):
        own = [slate for of, slate in chosen if of == country]
        if dry_run or not (own or team.dataset):
            continue
        dataset, with_vectors = _prepare(board, settings, team, notes)
        for start in range(0, len(own), batch):
            part = own[start : start + batch]
            progress(done, len(chosen), team.workspace)
            records = [
                ranking.record(s, prompts[s.prompt_id], texts, vectors.get(s.id) if with_vectors else None)
                for s in part
            ]
            for few in _in_calls(records):
                ledger.add_pushes(board.server, dataset.id, board.add_records(dataset.id, few))
            done += len(part)
    sent = Counter(teams[country].workspace for country, _ in chosen)
    quotas = plan_quotas(settings, [prompts[slate.prompt_id] for slate in slates])
    notes += short_teams(count_quotas(quotas, slates, prompts, judgements(ledger)), ledger.people())
    return Pushed(dict(sent), standing, later, tuple(dropped), tuple(notes))


def count_dropped(dropped: Iterable[Dropped]) -> list[tuple[str, str, int]]:
    """Rows of (reason, because of what, how many), most first."""
    counts = Counter((d.reason, d.because_of) for d in dropped)
    return [(reason, cause, count) for (reason, cause), count in counts.most_common()]


def team_language(people: Iterable[Person]) -> str:
    """The language of a team's page: the first language of most of its people, the earlier of LANGUAGES at a tie."""
    spoken = Counter(ranking.screen_language(person.languages[0]) for person in people)
    return max(ranking.LANGUAGES, key=lambda language: spoken[language])


def _teams(
    board: Board, ledger: Ledger, settings: Settings, datasets: Iterable[Dataset], dimensions: int | None
) -> dict[str, _Team]:
    """Every country that has active people, with its form and the dataset that stands."""
    people: dict[str, list[Person]] = defaultdict(list)
    for person in ledger.people():
        if person.active:
            people[person.country].append(person)
    if not people:
        raise BoardError("There is no team to push to; run `annot team add roster.csv` first.")
    workspaces = board.workspaces()
    if missing := sorted(workspace_of(country) for country in people if workspace_of(country) not in workspaces):
        raise BoardError(
            f"{board.url} has no workspace {', '.join(missing)}; run `annot team add roster.csv` again: it makes what "
            "is missing."
        )
    standing = {d.workspace: d for d in datasets if d.name == settings.argilla.dataset}
    teams = {}
    for country, members in people.items():
        name = workspace_of(country)
        form = ranking.form(team_language(members), settings.select.slate, settings.quota.overlap, dimensions)
        dataset = standing.get(name)
        if dataset is not None:
            _check(board, dataset, form)
        teams[country] = _Team(name, workspaces[name], form, dataset)
    return teams


def _check(board: Board, dataset: Dataset, form: Form) -> None:
    """Refuse a dataset that slates of ours do not fit into; a half-made one of ours fits."""
    shape, needed = board.shape(dataset.id), form.shape
    if shape == needed or (not dataset.ready and shape.fields <= needed.fields and shape.questions <= needed.questions):
        return
    if shape.seats != needed.seats:
        reason = f"has {shape.seats} answers to rank and select.slate is {needed.seats}"
    else:
        differing = sorted(shape.fields ^ needed.fields | {name for name, *_ in shape.questions ^ needed.questions})
        reason = f"differs from what annot asks in {', '.join(differing)}"
    raise BoardError(
        f'The dataset "{dataset.name}" in the workspace {dataset.workspace} {reason}; name another one as '
        "argilla.dataset in annot.toml (the old one and its answers stay)."
    )


def _held(
    board: Board, ledger: Ledger, dataset: Dataset | None, own: Sequence[Slate], *, keep: bool
) -> tuple[set[str], set[str]]:
    """Which slates the dataset holds, and which were sent and then deleted there by somebody.

    The server is asked, since a push may have been cut off after it had taken a batch; the ledger learns of it.
    """
    if dataset is None or not dataset.ready:
        return set(), set()
    known = ledger.pushed(board.server, dataset.id)
    if all(slate.id in known for slate in own) and board.records(dataset.id, 0, 1, responses=False).total == len(known):
        return {slate.id for slate in own}, set()
    there = {record["external_id"]: record["id"] for record in walk(board, dataset.id)}
    found = {slate.id: there[slate.id] for slate in own if slate.id in there}
    if keep and (unrecorded := {slate: record for slate, record in found.items() if known.get(slate) != record}):
        ledger.add_pushes(board.server, dataset.id, unrecorded)
    return set(found), {slate.id for slate in own if slate.id in known and slate.id not in found}


def _prepare(board: Board, settings: Settings, team: _Team, notes: list[str]) -> tuple[Dataset, bool]:
    """Make the dataset, or bring the one that stands up to date. Also tells whether its records can carry vectors."""
    vector = team.form.vector
    if team.dataset is None or not team.dataset.ready:
        if team.dataset is not None:
            # A push was cut off while it made this one. It was never published, so it holds nothing.
            board.remove_dataset(team.dataset.id)
        return board.add_dataset(settings.argilla.dataset, team.workspace_id, team.form), vector is not None
    if team.dataset.overlap != team.form.overlap:
        board.set_overlap(team.dataset.id, team.form.overlap)
        notes.append(f"{team.workspace}: {team.form.overlap} people per slate now, {team.dataset.overlap} before")
    if vector is None:
        return team.dataset, False
    dimensions = board.vectors(team.dataset.id).get(vector.name)
    if dimensions is None:
        board.add_vector(team.dataset.id, vector)
    elif dimensions != vector.dimensions:
        notes.append(
            f"{team.workspace}: sent without vectors, since the encoder gives {vector.dimensions} numbers and the "
            f"dataset has {dimensions}"
        )
    return team.dataset, dimensions in (None, vector.dimensions)


def _texts(ledger: Ledger, slates: Sequence[Slate]) -> dict[str, str]:
    """Candidate id -> text, for everyone on the slates."""
    seated = {candidate for slate in slates for candidate in slate.seats}
    return {c.id: c.text for c in ledger.candidates() if c.id in seated}


def _hidden(texts: Mapping[str, str]) -> list[str]:
    """A note where answers have characters that nobody sees."""
    answers, counts = count_hidden(texts.values())
    if not answers:
        return []
    told = ", ".join(f"{name} {count} times" for name, count in list(counts.items())[:5])
    return [f"{answers} answers have hidden characters ({told}); the page shows each as ⟨U+…⟩ and exports keep them"]


def _in_calls(records: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Records in calls that a server takes in one piece, in their order."""
    call, size = list[dict[str, Any]](), 0
    for record in records:
        own = sum(len(text) for text in record["fields"].values())
        if call and size + own > CALL_CHARACTERS:
            yield call
            call, size = [], 0
        call.append(record)
        size += own
    if call:
        yield call
