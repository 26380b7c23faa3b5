"""Log-in sheets: what each person of a team needs to get in and to begin, in the team's language."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.errors import ServerError
from annotation.hosting import embedded
from annotation.hosting.address import outside_addresses
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.page import TEXTS, own_texts
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING, ranked_kinds
from annotation.tasks.ranking.task import Ranking
from annotation.tasks.team_pages import team_pages
from annotation.types import Person

UNNAMED = "cultural fit"
"""The name of a project that nobody gave one."""


def page_address(project: Project) -> str:
    """The address of the page: the server's of annot.toml, or where the embedded one is, for others where it may be.

    Raises:
        ServerError: The embedded one was never started.
    """
    if project.settings.argilla.url:
        return project.settings.argilla.url
    state = embedded.state(project.argilla_home)
    if not state.url:
        raise ServerError(state.detail)
    outside = outside_addresses(state.host, int(state.url.rpartition(":")[2]))
    return outside[0] if outside else state.url


def log_in_sheets(project: Project, people: Iterable[Person], url: str) -> dict[str, str]:
    """User name -> a sheet to hand out, with the password that annot made; who has one of their own reads that."""
    pages, passwords = team_pages(project.ledger.people(), own_texts(project.folder)), project.secrets()
    there = {(row["task"], row["country"]) for row in project.ledger.rows("select distinct task, country from items")}
    kinds, sheets = ranked_kinds(project.ledger) or (RANKING,), dict[str, str]()
    for person in people:
        # The keys are those of a ranking: who does other tasks alone needs none of them.
        asked = (
            {task for task, country in there if country == person.country} or {task for task, _ in there} or {*kinds}
        )
        ranked = next((task for task in (RANKING, DESCRIPTION) if task in asked), "")
        page, of = pages[person.country], TASKS[ranked or kinds[0]]
        assert isinstance(of, Ranking)
        say, rank = page.texts("page", TEXTS), page.texts(of.name, of.say)
        lines = say["sheet"].split("\n\n")
        sheet = "\n\n".join(part for part in lines if ranked or "{keys}" not in part)
        sheets[person.username] = sheet.format(
            name=person.name or person.username,
            project=project.settings.project.name if project.settings.project.name != UNNAMED else rank["dataset"],
            url=url,
            username=person.username,
            password=passwords.get("passwords", {}).get(person.username) or say["own_password"],
            keys=rank["keys"],
        )
    return sheets
