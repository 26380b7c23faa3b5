"""The datasets of the teams, one per task, country and room: which stands, which fits, and how one is made."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.config import Settings
from annotation.errors import ArgillaError
from annotation.ledger import Ledger
from annotation.tasks import TASKS
from annotation.tasks.base import Task
from annotation.tasks.form import Form
from annotation.tasks.page import OWN, PURPOSE, TeamPage
from annotation.tasks.rooms import Room, form_in
from annotation.tasks.team_pages import team_pages
from annotation.types import Item
from sync.argilla.protocol import ArgillaApi, Dataset
from sync.cohorts import Cohort, make_cohorts, plan_cohorts, read_cohorts
from sync.team import workspace_of

Place = tuple[str, str, Room]
"""Task, workspace and room."""


@dataclass(frozen=True, slots=True)
class Team:
    """A country's team at one task in one room, or a cohort of it, and its dataset; None where there is none yet."""

    task: Task[Any]
    room: Room
    country: str
    workspace: str
    workspace_id: str
    page: TeamPage
    form: Form
    dataset: Dataset | None
    cohort: Cohort | None = None


def standing_dataset(
    api: ArgillaApi, ledger: Ledger, datasets: Iterable[Dataset], workspace: str, form: Form, items: Iterable[Item]
) -> Dataset | None:
    """The dataset of a team that stands: by a name of the form's, or where items were sent under a name of before."""
    there = {dataset.name: dataset for dataset in datasets if dataset.workspace == workspace}
    if found := next((there[name] for name in form.names if name in there), None):
        return found
    ours = {item.id for item in items} if len(form.names) > 1 else set()
    return next((d for d in there.values() if ours & ledger.pushed(api.server, d.id).keys()), None)


def find_teams(
    api: ArgillaApi,
    ledger: Ledger,
    settings: Settings,
    datasets: Sequence[Dataset],
    items: Mapping[tuple[str, Room], Sequence[Item]],
    texts: Mapping[str, str],
    dimensions: int | None,
    *,
    assigns: bool,
    keep: bool,
) -> dict[Place, Team]:
    """The team of each place, for every country that has active people, with the dataset that stands.

    On a server that does not assign, a large team works in cohorts, unless it has a dataset already.

    Args:
        api: Argilla.
        ledger: Knows the people, and what was pushed.
        settings: Of the project.
        datasets: Of the server.
        items: Of each task and room.
        texts: The project's own.
        dimensions: Of the items' vectors; None for no "find similar".
        assigns: The server sends people records of their own.
        keep: Make the workspaces of cohorts that are missing.
    """
    people = ledger.people()
    pages = team_pages(people, texts)
    if not pages:
        raise ArgillaError("There is no team to push to; run `annot team add roster.csv` first.")
    workspaces = api.workspaces()
    if missing := sorted(workspace_of(country) for country in pages if workspace_of(country) not in workspaces):
        raise ArgillaError(
            f"{api.url} has no workspace {', '.join(missing)}; run `annot team add roster.csv` again: it makes what "
            "is missing."
        )
    accounts = [] if assigns else api.accounts()
    teams = {}
    for (name, room), own in items.items():
        task, asked = TASKS[name], {item.country for item in own}
        cohorts = {} if assigns or room != "work" else read_cohorts(api, workspaces, accounts, people, name)
        for country, page in pages.items():
            form = form_in(room, task, page, settings, dimensions=dimensions)
            whole = standing_dataset(api, ledger, datasets, workspace_of(country), form, own)
            parts: list[Cohort] = []
            if whole is None and country in asked and not assigns and room == "work":
                parts = plan_cohorts(cohorts.get(country, ()), country, name, people, form.overlap)
                if keep and make_cohorts(api, parts, accounts, people):
                    workspaces = api.workspaces()
            for cohort in (*parts,) or (None,):
                workspace = cohort.workspace if cohort else workspace_of(country)
                dataset = standing_dataset(api, ledger, datasets, workspace, form, own) if cohort else whole
                if dataset is not None:
                    _check(api, dataset, task, form)
                teams[name, workspace, room] = Team(
                    task, room, country, workspace, workspaces.get(workspace, ""), page, form, dataset, cohort
                )
    return teams


def refuse_unguarded(api: ArgillaApi, otherwise: str = "") -> None:
    """Raise ArgillaError where a server would show texts that may hurt to everybody; `otherwise` ends the sentence."""
    if not api.guards():
        raise ArgillaError(
            f"Argilla at {api.url} would show texts that may hurt to people who have not consented; only the one that "
            "`annot up` starts does not: if it is that one and was started by an older annot, run `annot down` and "
            f"`annot up`{otherwise}."
        )


def misnamed(pages: Collection[TeamPage]) -> list[str]:
    """A note for each text of the project's own that nobody reads since capitals and small letters are mixed up."""
    meant = {name for page in pages for name in (f"{page.country}.md", f"{page.language}.md", f"{page.language}.toml")}
    plain = {name.casefold(): name for name in meant}
    return [
        f"{OWN}/{name} is read for no team; {OWN}/{plain[name.casefold()]} would be: a country is in capitals, a "
        "language in small letters"
        for name in next(iter(pages)).own
        if name not in meant and name.casefold() in plain
    ]


def _check(api: ArgillaApi, dataset: Dataset, task: Task[Any], form: Form) -> None:
    """Refuse a dataset that items of the task do not fit into; a half-made one of ours fits."""
    shape, needed = api.shape(dataset.id), form.shape
    half_made = not dataset.ready and shape.fields <= needed.fields and shape.questions <= needed.questions
    if shape == needed or half_made or not (reason := task.differs(shape, needed)):
        return
    raise ArgillaError(
        f'The dataset "{dataset.name}" in the workspace {dataset.workspace} {reason}; name '
        f"another one as task.{task.name}.dataset in annot.toml (the old one and its answers stay)."
    )


def prepare(api: ArgillaApi, team: Team, notes: list[str]) -> tuple[Dataset, bool]:
    """Make the dataset, or bring the one that stands up to date. Also tells whether its records can carry vectors."""
    vector = team.form.vector
    if team.dataset is None or not team.dataset.ready:
        if team.dataset is not None:
            # A push was cut off while it made this one. It was never published, so it holds nothing.
            api.remove_dataset(team.dataset.id)
        return api.add_dataset(team.form.names[0], team.workspace_id, team.form), vector is not None
    own = next((name for name, text in team.page.own.items() if text == team.form.guidelines), "")
    if own and team.dataset.guidelines != team.form.guidelines:
        api.set_guidelines(team.dataset.id, team.form.guidelines)
        notes.append(f"{team.workspace}: the guidelines are those of {OWN}/{own} now")
    if team.dataset.overlap != team.form.overlap:
        api.set_overlap(team.dataset.id, team.form.overlap)
        notes.append(
            f"{team.workspace}: {team.form.overlap} people per {team.task.one} now, {team.dataset.overlap} before"
        )
    if wanted := {name: rule for name, rule in team.form.rules.items() if team.dataset.rules.get(name) != rule}:
        # A push was cut off before it had said so, or the lead changed how much people are shown.
        api.set_rules(team.dataset.id, wanted)
    for added in (p for p in team.form.metadata if p.name == PURPOSE and p.name not in api.properties(team.dataset.id)):
        api.add_property(team.dataset.id, added)  # it was made before there were items that are no work
    if vector is None:
        return team.dataset, False
    dimensions = api.vectors(team.dataset.id).get(vector.name)
    if dimensions is None:
        api.add_vector(team.dataset.id, vector)
    elif dimensions != vector.dimensions:
        notes.append(
            f"{team.workspace}: sent without vectors, since the encoder gives {vector.dimensions} numbers and the "
            f"dataset has {dimensions}"
        )
    return team.dataset, dimensions in (None, vector.dimensions)
