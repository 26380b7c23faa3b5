"""What a person sees of records that may hurt, in a real browser: a warning first, a way out on every page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_argilla import RealWorld, person
from playwright.sync_api import Page, expect
from test_browser import Outside, browser, keep_picture, log_in, outside, page, phone
from test_consent_push import hurtful, project_of

from annotation.project import Project
from annotation.tasks.consent.task import NAME, YES
from annotation.tasks.consent.texts import TEXTS as CONSENT_TEXTS
from annotation.tasks.duel.task import BOTH_BAD
from annotation.tasks.duel.texts import TEXTS
from annotation.tasks.form import CONSENT, GUARD
from sync.pull import pull
from sync.push import push
from sync.team import add_team

pytestmark = [pytest.mark.server, pytest.mark.browser]

__all__ = ["browser", "hurtful", "outside", "page", "phone"]  # fixtures


def started(
    world: RealWorld, folder: Path, country: str, language: str, toml: str = ""
) -> tuple[Project, str, dict[str, str]]:
    """A project that was pushed, its one person, and the ids of the datasets by their rule."""
    project = project_of(folder, [country], toml)
    name = f"{country.lower()}_hurt"
    add_team(project, world.api, [person(name, country, languages=(language, "es"))])  # the texts are in Spanish
    push(world.api, project.ledger, project.settings)
    datasets = [d for d in world.api.datasets() if d.workspace == country.lower()]
    return project, name, {rule: d.id for d in datasets for rule in d.rules}


def test_a_person_is_warned_consents_stops_and_comes_back(
    page: Page, outside: Outside, real_world: RealWorld, tmp_path: Path
) -> None:
    project, name, datasets = started(real_world, tmp_path / "p", "EC", "es")
    url, say, consent = real_world.api.url, TEXTS["es"], CONSENT_TEXTS["es"]
    log_in(page, url, name, project.secrets()["passwords"][name])
    body = page.locator("body")
    page.get_by_text(say["dataset"]).first.click()
    expect(body).to_contain_text("Aquí hay textos que pueden herir")
    expect(body).not_to_contain_text("registros pendientes", use_inner_text=True)
    keep_picture(page, "consent-1-none")
    page.get_by_role("link", name="Abrir el consentimiento").click()
    expect(body).to_contain_text("como mucho 40 textos en 24 horas")
    expect(body).not_to_contain_text("Puedes parar en cualquier momento: elige")
    keep_picture(page, "consent-2-warning")
    page.get_by_text(consent[YES]).click()
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)

    page.goto(f"{url}/dataset/{datasets[GUARD]}/annotation-mode")
    expect(body).to_contain_text("toman mate")
    expect(body).to_contain_text(f"elige «{say[BOTH_BAD]}» y envía")
    keep_picture(page, "consent-3-way-out")
    page.get_by_text(say["A"], exact=True).click()
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    expect(body).to_contain_text(f"elige «{say[BOTH_BAD]}» y envía")
    # What the page holds already is not shown either, not for a moment.
    page.evaluate(
        """() => { new MutationObserver(() => {
          if (document.body.hidden) return;
          const text = document.querySelector(".fields")?.innerText;
          if (localStorage.stopped && text) localStorage.seen = text;
        }).observe(document, { childList: true, characterData: true, subtree: true }); }"""
    )
    page.get_by_text(say[BOTH_BAD], exact=True).click()
    page.route("**/responses", lambda route: (page.evaluate("localStorage.stopped = 1"), route.continue_())[1])
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Paraste: no verás ningún texto más")
    expect(body).not_to_contain_text("toman mate")
    assert page.evaluate("localStorage.seen ?? null") is None
    keep_picture(page, "consent-4-stopped")
    page.goto(f"{url}/dataset/{datasets[GUARD]}/annotation-mode?page=1&status=submitted")
    expect(body).to_contain_text("Paraste: no verás ningún texto más")

    page.get_by_role("link", name="Abrir el consentimiento").click()
    expect(body).to_contain_text("Lo que verás: estereotipos")
    page.get_by_role("button", name="Enviar").click()
    page.wait_for_load_state("networkidle")
    page.goto(f"{url}/dataset/{datasets[GUARD]}/annotation-mode")
    expect(body).to_contain_text("toman mate")
    outside.assert_untouched(page)

    pull(real_world.api, project.ledger)
    rows = project.ledger.rows("select r.raw, i.task from responses r join items i on i.id = r.item_id order by r.seq")
    raw = [(row["task"], json.loads(row["raw"])) for row in rows]
    said = {task: [one["values"] for name, one in raw if name == task] for task in (NAME, "duel")}
    assert said[NAME] == [{"answer": {"value": YES}}]
    assert {"choice": {"value": BOTH_BAD}} in said["duel"]
    (given,) = (one for task, one in raw if task == NAME)
    assert given["updated_at"] > given["inserted_at"]  # it was given again


def test_on_a_phone_in_portuguese_whoever_declines_sees_nothing_and_a_day_has_an_end(
    phone: Page, real_world: RealWorld, tmp_path: Path
) -> None:
    project, name, datasets = started(real_world, tmp_path / "p", "MZ", "pt", "[stereotypes]\nmost_a_day = 2\n")
    url, say, consent = real_world.api.url, TEXTS["pt"], CONSENT_TEXTS["pt"]
    log_in(phone, url, name, project.secrets()["passwords"][name])
    body = phone.locator("body")
    expect(body).to_contain_text("Seus datasets")
    for answer in ("no", YES):
        phone.goto(f"{url}/dataset/{datasets[GUARD]}/annotation-mode")
        expect(body).to_contain_text("Aqui há textos que podem machucar")
        phone.get_by_role("link", name="Abrir o consentimento").click()
        expect(body).to_contain_text("no máximo 2 textos em 24 horas")
        keep_picture(phone, f"consent-phone-{answer}")
        phone.get_by_text(consent[answer]).click()
        phone.get_by_role("button", name="Enviar").tap()
        phone.wait_for_load_state("networkidle")
    phone.goto(f"{url}/dataset/{datasets[GUARD]}/annotation-mode")
    for told in ("1 de 2", "2 de 2"):
        expect(body).to_contain_text(told)
        expect(body).to_contain_text(f"escolha «{say[BOTH_BAD]}» e envie")
        keep_picture(phone, f"consent-phone-{told}")
        phone.get_by_text(say["B"], exact=True).click()
        phone.get_by_role("button", name="Enviar").tap()
    expect(body).to_contain_text("Por hoje basta: em 24 horas são mostrados no máximo 2")
    keep_picture(phone, "consent-phone-finished")
    assert datasets[CONSENT] != datasets[GUARD]
