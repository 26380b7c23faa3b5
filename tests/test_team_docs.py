"""The page about teams, run line by line on a small project, with simulated people where people answer."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from conftest import free_port
from control_projects import PEOPLE, controllable, ideal
from doc_pages import DOCS, Shell, down_at_last, page

from annotation.project import Project
from annotation.tasks import TASKS
from annotation.types import Item, Judgement, Person
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect
from sync.team import add_team

TEAM = (
    *PEOPLE,
    *(Person(name, "", "annotator", "MX", ("es",)) for name in ("ana", "ana_01", "ana_02")),
    Person("jueza", "", "adjudicator", "MX", ("es",)),
)


def rank_as_the_team(project: Project) -> None:
    """What three people do after the first push: control items as they are known, of work one answer is offensive."""
    api = connect(project)
    (dataset,) = [found for found in api.datasets() if found.ready and found.workspace.upper() == "MX"]
    items = {item.id: item for side in (False, True) for item in project.ledger.items("ranking", side=side)}
    for name in ("ana", "ana_01", "ana_02"):
        client = AnnotatorClient(api.url, name, project.secrets()["passwords"][name])
        for record in client.queue(dataset.id)[:12]:
            item = items[record["external_id"]]
            client.answer(record["id"], TASKS["ranking"].values(item, said_of(item)))


def said_of(item: Item) -> Judgement:
    if item.expected:
        return ideal(item)
    seats = tuple((seat,) for seat in sorted(item.content["seats"]))
    return Judgement(seats, {seats[-1][0]: ("offensive",)})


@pytest.mark.server
@pytest.mark.timeout(900)
def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    project = controllable(tmp_path / "p", 130)
    with (project.folder / "annot.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"[argilla]\nport = {free_port()}\n")
    project, run = Project.open(project.folder), Shell(project.folder)
    with page("team.md") as blocks, down_at_last(run):
        run("annot up")
        add_team(project, connect(project), TEAM)
        soon = (datetime.now(UTC) + timedelta(days=100)).date()
        assert f"to be done by {soon}" in run(re.sub(r"--by \S+", f"--by {soon}", next(blocks)))
        assert "40 control items were made; 0 stood already." in run(next(blocks))
        rank_as_the_team(project)
        run("annot sync")
        assert "items of entry tests were made" in run(next(blocks))
        assert "What ana answered does not count any more: the same order forty times." in run(next(blocks))
        assert re.search(r"To be decided now: MX: \d+ slates", run(next(blocks)))
        run(next(blocks))
        assert "Cómo va" in (project.folder / "report.html").read_text(encoding="utf-8")
        with run.page_of(next(blocks)) as url:
            assert httpx.get(url).status_code == 401, "who is not logged in is shown nothing"
        run(next(blocks))
        assert ">ana_01<" in (project.folder / "contributions.html").read_text(encoding="utf-8")
        assert '"ana_02" counts for itself again.' in run(next(blocks))


def test_the_page_begins_with_the_commands_that_it_is_about_and_its_links_lead_somewhere() -> None:
    text = (DOCS / "team.md").read_text(encoding="utf-8")
    heads = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)}
    assert set(re.findall(r"\]\(\n?#([\w-]+)\)", text)) <= heads
    first = text.partition("\n## ")[0]
    for command in ("status", "report", "plan", "controls add", "people list", "adjudicate", "contributions"):
        assert f"`annot {command}" in first
