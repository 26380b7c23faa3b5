"""What a person does in a real browser arrives in the ledger exactly as it was done."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hostile
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from projects import annot, make_project, push_project

from annotation.embedded import Owner
from annotation.hidden import show_hidden
from annotation.project import Project
from annotation.tasks.ranking import answer_values
from annotation.types import Candidate, Judgement, Person, Prompt, Slate
from sync.board import ArgillaBoard, Desk
from sync.pull import judgements
from sync.push import push
from sync.team import add_team

pytestmark = [pytest.mark.server, pytest.mark.browser]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<img src=x onerror=\"document.title='broken in'\"> y **negritas**"


class Outside:
    """What a browser did beyond showing pages of this machine."""

    def __init__(self, caught: list[bytes]) -> None:
        self.caught = caught
        """First bytes of connections to other hosts."""
        self.asked: list[str] = []
        """Addresses elsewhere that a page asked for, refused ones too."""
        self.complaints: list[str] = []
        """Errors on the console: a script that failed, something that the policy blocked."""

    def listen_to(self, page: Page) -> None:
        """Note what a page does."""
        page.on("request", lambda request: self.note(request.url))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def note(self, address: str) -> None:
        """A request of the page."""
        if urlsplit(address).hostname != "127.0.0.1" and not address.startswith(("data:", "blob:", "about:")):
            self.asked.append(address)


@pytest.fixture(scope="module")
def browser() -> Iterator[tuple[Browser, list[bytes]]]:
    """Chromium, and what of it reaches another host than this machine."""
    browser_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser_path is None:
        reason = "there is no Chromium on this machine; tests/browser.sh says why"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with hostile.trap() as (port, caught), sync_playwright() as playwright:
        # Hosts that a page may want lie on the trap; those that Chromium itself calls are nowhere.
        trapped = [hostile.ELSEWHERE, "fonts.googleapis.com", "fonts.gstatic.com", "cdn.jsdelivr.net", "huggingface.co"]
        rules = [f"MAP {host} 127.0.0.1:{port}" for host in trapped] + ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        flags = [*FLAGS, f"--host-resolver-rules={', '.join(rules)}"]
        started = playwright.chromium.launch(executable_path=browser_path, args=flags)
        yield started, caught
        started.close()


@pytest.fixture
def outside(browser: tuple[Browser, list[bytes]]) -> Outside:
    """What the page of this test does beyond showing what is here."""
    browser[1].clear()
    return Outside(browser[1])


@pytest.fixture
def page(browser: tuple[Browser, list[bytes]], outside: Outside) -> Iterator[Page]:
    """A page of a Chromium that speaks Spanish."""
    context = browser[0].new_context(locale="es-UY", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    expect.set_options(timeout=30_000)
    page = context.new_page()
    outside.listen_to(page)
    yield page
    context.close()


@pytest.fixture
def project(tmp_path: Path, argilla_server: tuple[str, Owner], monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two pushed slates and one annotator, on the real server."""
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    texts = [HOSTILE, "Che, ¿te tomás un mate?", "¿Le apetece a usted una infusión?", "¿Quieres un mate, güey?"]
    return push_project(tmp_path / "uruguay", url, "UY", texts)


def drag(page: Page, seat: str, place: int) -> None:
    """Drag an answer into a place, below what lies there already."""
    origin = page.locator(f"#{seat}").bounding_box()
    target = page.locator(".draggable__slot-box").nth(place - 1).bounding_box()
    assert origin is not None
    assert target is not None
    page.mouse.move(origin["x"] + 30, origin["y"] + origin["height"] / 2)
    page.mouse.down()
    for share in (0.2, 0.5, 0.8, 0.9):
        page.mouse.move(target["x"] + target["width"] / 2, target["y"] + target["height"] * share, steps=4)
        page.wait_for_timeout(60)
    page.mouse.up()


def log_in(page: Page, url: str, username: str, password: str) -> None:
    page.goto(f"{url}/sign-in")
    page.locator('input[name="Nombre de usuario"]').fill(username)
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Iniciar sesión").click()


def test_a_ranking_by_keyboard_and_a_tie_by_dragging_are_stored_as_they_were_made(
    page: Page, project: Project, outside: Outside
) -> None:
    log_in(page, project.settings.argilla.url, "uy_1", project.secrets()["passwords"]["uy_1"])
    page.get_by_text("cultural fit").first.click()
    expect(page.locator("#A")).to_be_visible()

    body = page.locator("body")
    expect(body).to_contain_text("¿cuál encaja mejor con tu cultura?")
    expect(body).to_contain_text("Che, ¿te tomás un mate?")
    expect(body).to_contain_text(HOSTILE)
    expect(body).not_to_contain_text("secret")
    page.get_by_text("Directrices").first.click()
    expect(body).to_contain_text("¡Gracias por aportar tu mirada!")
    page.get_by_text("Directrices").first.click()

    page.locator("#C").focus()
    page.keyboard.press("1")
    expect(page.locator(".draggable__slot-box").nth(0)).to_contain_text("Respuesta C")
    # The page waits a moment for a second digit before it takes the next key.
    page.wait_for_timeout(1000)
    page.locator("#A").focus()
    page.keyboard.press("2")
    expect(page.locator(".draggable__slot-box").nth(1)).to_contain_text("Respuesta A")
    drag(page, "B", 3)
    expect(page.locator(".draggable__slot-box").nth(2)).to_contain_text("Respuesta B")
    drag(page, "D", 3)
    expect(page.locator(".draggable__slot-box").nth(2)).to_contain_text("Respuesta D")
    page.get_by_text("Es de otro país").click()
    if folder := os.environ.get("ANNOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "queue.png")
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    assert page.title() != "broken in", "a candidate's text ran in the annotator's browser"
    assert (outside.caught, outside.asked, outside.complaints) == ([], [], [])

    shown = annot(project, "sync")
    assert "1 new" in shown
    (stored,) = judgements(project.ledger)
    slate = next(slate for slate in project.ledger.slates() if slate.id == stored.slate_id)
    a, b, c, d = slate.seats
    assert [set(tier) for tier in stored.tiers] == [{c}, {a}, {b, d}]
    assert (stored.annotator, stored.country) == ("uy_1", "UY")
    assert (stored.problems, stored.none_acceptable, stored.rewrite) == (("wrong_country",), False, "")
    assert annot(project, "sync").startswith("nothing new")
    assert judgements(project.ledger) == [stored]


def keep_picture(page: Page, name: str) -> None:
    """For whoever wants to see the page with their own eyes."""
    if folder := os.environ.get("ANNOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def words(text: str) -> str:
    """A text, however it is broken into lines."""
    return " ".join(text.split())


@pytest.fixture
def hostile_project(tmp_path: Path, argilla_server: tuple[str, Owner]) -> tuple[Project, ArgillaBoard]:
    """Slates of eight, pushed: hostile prompts, contexts, topics and answers; the last slate has very long answers."""
    url, owner = argilla_server
    project = make_project(
        tmp_path / "chile",
        '[project]\ncountries = ["CL"]\nlanguages = ["es"]\n[select]\nslate = 8\n[quota]\ntarget = 9\noverlap = 1\n'
        f'[argilla]\nurl = "{url}"\n',
    )
    eights = [hostile.ALL[:8], hostile.ALL[8:16], hostile.ALL[-8:], [hostile.LONG] * 2 + ["breve"] * 6]
    for number, eight in enumerate(eights):
        asked, topic, system = (eight[n][:2000] for n in (0, 1, 2))
        prompt = Prompt.make(f"{asked} {number}", country="CL", language="es", topic=topic[:60], system=system)
        answers = [Candidate.make(prompt.id, f"{text} ·{n}", model="m") for n, text in enumerate(eight)]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        project.ledger.add_slates([Slate(f"CL{number}", prompt.id, tuple(a.id for a in answers), number)])
    board = ArgillaBoard(url, owner.api_key)
    add_team(project, board, [Person("cl_1", "", "annotator", "CL", ("es",))])
    pushed = push(board, project.ledger, project.settings)
    assert pushed.notes == (
        "2 answers have hidden characters (U+202E 1 times, U+202C 1 times, U+2066 1 times, U+2069 1 times, U+200B 1 "
        "times); the page shows each as ⟨U+…⟩ and exports keep them",
    )
    return project, board


def test_hostile_texts_that_are_pushed_are_shown_as_they_were_written_and_nothing_runs(
    page: Page, outside: Outside, hostile_project: tuple[Project, ArgillaBoard]
) -> None:
    project, board = hostile_project
    url, password = board.url, project.secrets()["passwords"]["cl_1"]
    log_in(page, url, "cl_1", password)
    page.get_by_text("cultural fit").first.click()
    desk = Desk(url, "cl_1", password)
    (dataset_id,) = desk.datasets().values()
    slates = {slate.id: slate for slate in project.ledger.slates()}
    texts = {candidate.id: candidate.text for candidate in project.ledger.candidates()}
    queue = desk.queue(dataset_id)
    assert len(queue) == 4
    for number, record in enumerate(queue, 1):
        page.goto(f"{url}/dataset/{dataset_id}/annotation-mode?page={number}&status=pending")
        expect(page.locator(".fields")).to_contain_text("Respuesta H")
        shown = words(page.locator(".fields").text_content() or "")
        slate = slates[record["external_id"]]
        for candidate in slate.seats:
            assert words(show_hidden(texts[candidate])) in shown
        keep_picture(page, f"hostile-pushed-{number}")
        assert page.title() == "Argilla"
    # What a person typed comes back to them.
    for record in queue:
        slate = slates[record["external_id"]]
        given = Judgement(
            "", slate.id, "cl_1", "CL", tuple((c,) for c in slate.seats), rewrite="".join(hostile.ALL[:11])
        )
        desk.answer(record["id"], answer_values(given, slate))
    page.goto(f"{url}/dataset/{dataset_id}/annotation-mode?page=1&status=submitted")
    expect(page.locator("body")).to_contain_text("document.title = 'broken in'")
    keep_picture(page, "hostile-answered")
    assert page.title() == "Argilla"
    assert (outside.caught, outside.asked, outside.complaints) == ([], [], [])


@pytest.fixture
def raw_dataset(argilla_server: tuple[str, Owner]) -> Iterator[str]:
    """A dataset that somebody logged by themselves: every hostile text in every kind of field. Its id."""
    url, owner = argilla_server
    with httpx.Client(base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": owner.api_key}, timeout=60) as http:

        def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
            return http.request(method, path, json=body).raise_for_status().json()

        workspace = ask("POST", "/workspaces", {"name": "raw"})
        ask("POST", f"/workspaces/{workspace['id']}/users", {"user_id": ask("GET", "/me")["id"]})
        guidelines = "# Guía\n\n" + "\n\n".join(hostile.ALL)
        made = {"name": "raw", "workspace_id": workspace["id"], "guidelines": guidelines}
        dataset = f"/datasets/{ask('POST', '/datasets', made)['id']}"
        fields: dict[str, Any] = {}
        for markdown in (False, True):
            kind = "marked" if markdown else "plain"
            fields |= {f"{kind}-{number}": text for number, text in enumerate(hostile.ALL)}
            fields[f"{kind}-chat"] = [{"role": "user", "content": text} for text in hostile.ALL]
        for name in fields:
            settings = {"type": "chat" if "chat" in name else "text", "use_markdown": name.startswith("marked")}
            ask("POST", f"{dataset}/fields", {"name": name, "title": name, "required": False, "settings": settings})
        template = "<b>una plantilla</b><script>document.title = 'broken in'</script>"
        custom = {"type": "custom", "template": template, "advanced_mode": True}
        ask("POST", f"{dataset}/fields", {"name": "custom", "title": "custom", "required": False, "settings": custom})
        fields["custom"] = {"text": "".join(hostile.ALL)}
        options = [{"value": value, "text": value} for value in ("bien", "mal")]
        choice = {"type": "label_selection", "options": options}
        ask("POST", f"{dataset}/questions", {"name": "q", "title": "q", "required": True, "settings": choice})
        ask("PUT", f"{dataset}/publish")
        ask("POST", f"{dataset}/records/bulk", {"items": [{"fields": fields}]})
        yield dataset.rpartition("/")[2]
        ask("DELETE", dataset)
        ask("DELETE", f"/workspaces/{workspace['id']}")


def test_hostile_texts_from_elsewhere_run_nothing_call_nobody_and_leave_the_page_usable(
    page: Page, outside: Outside, argilla_server: tuple[str, Owner], raw_dataset: str
) -> None:
    url, owner = argilla_server
    log_in(page, url, owner.username, owner.password)
    expect(page.locator("body")).to_contain_text("raw")
    for place in ("", "user-settings", f"dataset/{raw_dataset}/settings"):
        page.goto(f"{url}/{place}")
        page.wait_for_load_state("networkidle")
        keep_picture(page, f"stock-{place.replace('/', '-') or 'home'}")

    page.goto(f"{url}/dataset/{raw_dataset}/annotation-mode?page=1&status=pending")
    fields = page.locator(".fields")
    expect(fields).to_contain_text("marked-chat")
    expect(fields).to_contain_text("veintiuno")
    expect(fields.frame_locator("iframe").last.get_by_text("una plantilla")).to_be_attached()
    page.get_by_text("Directrices").first.click()
    expect(page.locator("body")).to_contain_text("Guía")
    page.get_by_text("Directrices").first.click()
    keep_picture(page, "hostile-raw")
    for tag in ("meta", "link", "base", "style:not([scoped])", "script", "object", "embed", "form", "iframe[src]"):
        assert fields.locator(tag).count() == 0, f"<{tag}> of a text is in the page"
    # The form is where it always is, and can be filled in.
    page.get_by_text("bien", exact=True).click()
    page.get_by_role("button", name="Enviar").click()
    expect(page.locator("body")).to_contain_text("Enviado 1", use_inner_text=True)
    assert page.title() == "Argilla"
    assert (outside.caught, outside.asked) == ([], [])
    # The browser reports the <base> of a text that was parsed and thrown away.
    assert not [complaint for complaint in outside.complaints if "base-uri" not in complaint]
