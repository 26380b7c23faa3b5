"""What a person does in a real browser arrives in the ledger exactly as it was done."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from projects import annot, push_project

from annotation.embedded import Owner
from annotation.project import Project
from sync.pull import judgements

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


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a Chromium that speaks Spanish."""
    browser_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser_path is None:
        reason = "there is no Chromium on this machine; tests/browser.sh says why"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        context = browser.new_context(locale="es-UY", viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        yield context.new_page()
        browser.close()


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


def test_a_ranking_by_keyboard_and_a_tie_by_dragging_are_stored_as_they_were_made(page: Page, project: Project) -> None:
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
