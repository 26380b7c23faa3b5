"""The live page beside a real Argilla: owners and admins see it, each what they may; nobody else sees anything."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_argilla import RealWorld, person
from playwright.sync_api import Browser, expect
from report_projects import busy_project
from test_browser import browser

from annotation.hosting.embedded import Owner
from annotation.project import Project
from sync.reporting.live.gate import ASK_AGAIN_S, FREE, SESSION_S, Gate
from sync.reporting.live.server import COOKIE, Live, make_server
from sync.reporting.page.words import Words
from sync.team import add_team, workspace_of

pytestmark = pytest.mark.server

__all__ = ["browser"]  # fixture


class Site:
    """The page of a project at a real Argilla, with a clock that a test may turn."""

    def __init__(self, project: Project, url: str) -> None:
        self.project, self.argilla, self.seconds = project, url, 0.0
        self.gate = Gate(lambda: self.argilla, ["MX", "BR", "PE"], lambda: self.seconds)
        self.server = make_server(Live(project.folder, Words("en"), names=True), self.gate, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def visitor(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, follow_redirects=True, timeout=60)

    def enter(self, username: str, password: str) -> tuple[httpx.Client, httpx.Response]:
        """A visitor who has tried to log in, and what they see."""
        visitor = self.visitor()
        return visitor, visitor.post("/log-in", data={"username": username, "password": password})


@pytest.fixture
def site(tmp_path: Path, real_world: RealWorld) -> Iterator[Site]:
    """A project with an annotator and an admin of Mexico in Argilla, who also stand in its ledger."""
    project = busy_project(tmp_path)
    mark = uuid.uuid4().hex[:6]
    add_team(project, real_world.api, [person(f"lead_{mark}", role="admin"), person(f"anna_{mark}")])
    found = Site(project, real_world.api.url)
    yield found
    found.server.shutdown()
    found.server.server_close()


def account(site: Site, role: str) -> tuple[str, str]:
    """User name and password of the one who has this role."""
    (name,) = (p.username for p in site.project.ledger.people() if p.username.startswith(role))
    return name, site.project.secrets()["passwords"][name]


def test_without_log_in_nothing_is_shown_and_an_annotator_is_refused(site: Site) -> None:
    for path, status in (("/", 401), ("/report.html", 404), ("/../annot.toml", 404)):
        answer = site.visitor().get(path)
        assert answer.status_code == status
        assert "ana_mx" not in answer.text
    visitor, answer = site.enter(*account(site, "anna"))
    assert (answer.status_code, dict(visitor.cookies)) == (403, {})
    assert "for owners and admins" in answer.text
    assert visitor.get("/").status_code == 401
    _, wrong = site.enter(account(site, "lead")[0], "a guess")
    assert wrong.status_code == 403
    assert "does not know this name and password" in wrong.text
    forged = site.visitor()
    forged.cookies.set(COOKIE, "x" * 43)
    assert forged.get("/").status_code == 401


@pytest.mark.browser
def test_a_browser_gets_in_by_the_form_and_is_told_why_it_does_not(
    site: Site, browser: tuple[Browser, list[bytes]]
) -> None:
    page = browser[0].new_context().new_page()
    for password, said in (("a guess", "does not know this name"), (account(site, "lead")[1], "ana_mx")):
        page.goto(site.url)
        page.get_by_label("User name").fill(account(site, "lead")[0])
        page.get_by_label("Password").fill(password)
        page.get_by_role("button").click()
        expect(page.locator("body")).to_contain_text(said)
    page.get_by_role("button").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_an_admin_sees_their_own_country_and_the_owner_all(site: Site, argilla_server: tuple[str, Owner]) -> None:
    visitor, answer = site.enter(*account(site, "lead"))
    assert answer.status_code == 200
    assert "ana_mx" in answer.text
    assert not [
        name for name in ("ana_br", "ana_pe", "Brazil", "US$", "$1.", 'id="money"', 'id="runs"') if name in answer.text
    ]
    assert "You see the countries that you lead: Mexico." in answer.text
    owner = argilla_server[1]
    _, all_of_it = site.enter(owner.username, owner.password)
    assert {"ana_mx", "ana_br", "ana_pe"} <= set(all_of_it.text.replace("<", " ").replace(">", " ").split())
    assert 'id="money"' in all_of_it.text
    # Nothing is kept by a browser, and nothing may run, be framed or be sent elsewhere.
    head = visitor.get("/").headers
    assert head["cache-control"] == "no-store"
    assert "default-src 'none'" in head["content-security-policy"]
    assert "frame-ancestors 'none'" in head["content-security-policy"]
    entered = site.visitor().post(
        "/log-in", data=dict(zip(("username", "password"), account(site, "lead"), strict=True)), follow_redirects=False
    )
    assert "HttpOnly; SameSite=Strict" in entered.headers["set-cookie"]
    assert '<meta http-equiv="refresh"' in answer.text
    assert visitor.post("/log-out").status_code == 401
    assert visitor.get("/").status_code == 401


def test_failed_log_ins_are_slowed_and_the_right_password_waits_too(site: Site) -> None:
    name, password = account(site, "lead")
    for _ in range(FREE):
        assert site.enter(name, "a guess")[1].status_code == 403
    answer = site.enter(name, password)[1]
    assert answer.status_code == 429
    assert "Too many attempts: wait 1 s." in answer.text
    site.seconds += 2
    assert site.enter(name, "a guess")[1].status_code == 403
    site.seconds += 1
    assert site.enter(name, password)[1].status_code == 429  # the wait has doubled
    site.seconds += 2
    assert site.enter(name, password)[1].status_code == 200
    assert site.enter(name, "a guess")[1].status_code == 403  # and is forgotten


def test_a_session_ends_and_so_does_that_of_somebody_who_is_an_admin_no_more(site: Site, real_world: RealWorld) -> None:
    name, password = account(site, "lead")
    visitor, _ = site.enter(name, password)
    other, _ = site.enter(name, password)
    site.seconds += SESSION_S / 2
    assert visitor.get("/").status_code == 200
    site.seconds += SESSION_S / 2
    assert visitor.get("/").status_code == 401
    visitor, _ = site.enter(name, password)
    (found,) = (one for one in real_world.api.accounts() if one.username == name)
    real_world.api.remove_member(real_world.api.workspaces()[workspace_of("MX")], found.id)
    site.seconds += ASK_AGAIN_S
    assert "ana_mx" not in visitor.get("/").text  # they lead no country now
    real_world.delete_account(found.id)
    site.seconds += ASK_AGAIN_S
    assert visitor.get("/").status_code == 401
    assert other.get("/").status_code == 401


def test_while_argilla_is_away_nobody_gets_in_and_who_is_in_stays(site: Site) -> None:
    name, password = account(site, "lead")
    visitor, _ = site.enter(name, password)
    site.argilla = ""
    site.seconds += ASK_AGAIN_S
    assert visitor.get("/").status_code == 200
    answer = site.enter(name, password)[1]
    assert answer.status_code == 403
    assert "Argilla does not answer" in answer.text


def test_a_log_in_from_another_site_or_far_too_long_is_refused(site: Site) -> None:
    form = dict(zip(("username", "password"), account(site, "lead"), strict=True))
    visitor = site.visitor()
    assert visitor.post("/log-in", data=form, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    assert visitor.post("/log-in", data={**form, "password": "x" * 20_000}).status_code == 404
    assert visitor.post("/log-in", data=form, headers={"Origin": site.url}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("POST /log-in HTTP/1.0\r\nContent-Length: \xb2", "404"),
        (f"POST /log-in HTTP/1.0\r\nContent-Length: {'9' * 5000}", "404"),
        ("POST /log-in HTTP/1.0\r\nOrigin: http://[\r\nContent-Length: 0", "403"),
        ("POST /log-in HTTP/1.0\r\nContent-Length: 20\r\n\r\n" + "a=1&" * 5, "403"),
        ("GET http://[ HTTP/1.0", "404"),
    ],
)
def test_what_is_no_request_of_the_page_is_answered_without_a_traceback(
    site: Site, capfd: pytest.CaptureFixture[str], asked: str, status: str
) -> None:
    with socket.create_connection(site.server.server_address[:2]) as sender:
        sender.sendall(f"{asked}\r\n\r\n".encode("latin-1"))
        assert sender.makefile("rb").readline().split()[1].decode() == status
    assert "Traceback" not in capfd.readouterr().err


def test_the_page_shows_what_came_since(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.reporting.live.server.FRESH_S", 0.0)
    visitor, answer = site.enter(*account(site, "lead"))
    assert "zoe_mx" not in answer.text
    site.project.ledger.add_people([person("zoe_mx")])
    texts = (visitor.get("/").text for _ in range(1000))  # the ledger is read at most a third of the time
    assert any("zoe_mx" in text for text in texts)
