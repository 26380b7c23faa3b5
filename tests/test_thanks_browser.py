"""What a person sees where nothing is left for them, in a real browser: thanks, why, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_argilla import RealWorld, person
from playwright.sync_api import Browser, Page, expect
from projects import make_project
from test_browser import Outside, browser, keep_picture, log_in, outside, page

from annotation.project import Project
from annotation.tasks.duel.texts import TEXTS
from annotation.tasks.form import ASSIGN
from annotation.types import Item, Prompt
from sync.argilla.protocol import Dataset
from sync.assignment import keep_rules
from sync.pull import pull
from sync.push import push
from sync.team import add_team

pytestmark = [pytest.mark.server, pytest.mark.browser]

__all__ = ["browser", "outside", "page"]  # fixtures


def started(world: RealWorld, folder: Path, country: str, language: str = "es", toml: str = "") -> Project:
    """A project with four duels and the two people of one country, pushed."""
    project = make_project(folder, f'[project]\ncountries = ["{country}"]\nlanguages = ["{language}"]\n{toml}')
    for number in range(4):
        prompt = Prompt.make(f"¿Qué se come, {number}?", country=country, language=language)
        project.ledger.add_prompts([prompt])
        content = {"a": "locro", "b": "sancocho", "adapted": "A"}
        item = Item(f"d{country}{number}", "duel", number, country, language, country, content, prompt.id)
        project.ledger.add_items([item])
    names = (f"{country.lower()}_{n}" for n in (1, 2))
    add_team(project, world.api, [person(name, country, languages=(language,)) for name in names])
    push(world.api, project.ledger, project.settings)
    return project


def dataset_of(world: RealWorld, country: str, test: bool = False) -> Dataset:
    found = {"–" in d.name: d for d in world.api.datasets() if d.workspace == country.lower()}
    return found[test]


def address(world: RealWorld, dataset: Dataset) -> str:
    return f"{world.api.url}/dataset/{dataset.id}/annotation-mode"


def password(project: Project, name: str) -> str:
    found: str = project.secrets()["passwords"][name]
    return found


def enter(page: Page, world: RealWorld, project: Project, name: str) -> None:
    """Log in, and wait until that is done."""
    log_in(page, world.api.url, name, password(project, name))
    expect(page).not_to_have_url(re.compile("sign-in"))


def submit(page: Page, choice: str) -> None:
    page.get_by_text(choice, exact=True).click()
    page.get_by_role("button", name="Enviar").click()


def test_whoever_has_nothing_left_is_thanked_and_an_answer_too_late_is_refused_kindly(
    page: Page, outside: Outside, real_world: RealWorld, tmp_path: Path
) -> None:
    project = started(real_world, tmp_path / "p", "PA", toml="[task.duel]\noverlap = 1\n")
    ana, leo = (real_world.annotator_client(name, password(project, name)) for name in ("pa_1", "pa_2"))
    dataset, say, body = dataset_of(real_world, "PA"), TEXTS["es"], page.locator("body")
    held = leo.queue(dataset.id)  # all four
    enter(page, real_world, project, "pa_1")
    page.goto(address(real_world, dataset))
    expect(body).to_contain_text("Lo que queda lo tienen ahora otras personas")
    expect(body).not_to_contain_text("Respondiste", use_inner_text=True)
    keep_picture(page, "thanks-laptop-es-later")
    for record in held[:2]:
        leo.answer(record["id"], {"choice": {"value": "A"}}, "discarded")  # the seats are free again
    page.reload()
    expect(body).to_contain_text("locro")
    late = next(record for record in held[:2] if record["external_id"] == ana.queue(dataset.id)[0]["external_id"])
    ana.answer(late["id"], {}, "discarded")
    leo.answer(late["id"], {"choice": {"value": "A"}})
    submit(page, say["A"])
    expect(body).to_contain_text("La anterior ya la tienen otras personas, así que tu respuesta no se guardó")
    expect(body).to_contain_text("locro")  # of the next
    keep_picture(page, "thanks-laptop-es-late")
    submit(page, say["B"])
    expect(body).to_contain_text("Respondiste 1 ficha aquí.")
    expect(body).not_to_contain_text("La anterior")
    for record in held[2:]:
        leo.answer(record["id"], {"choice": {"value": "A"}})
    page.reload()
    expect(body).to_contain_text("Por ahora no queda nada más para ti")
    expect(page.get_by_role("heading", name="¡Gracias!")).to_be_visible()
    expect(body).not_to_contain_text("registros pendientes", use_inner_text=True)
    keep_picture(page, "thanks-laptop-es-finished")
    pull(real_world.api, project.ledger)
    submitted = [r for r in project.ledger.responses() if r.status == "submitted"]
    assert len({r.item_id for r in submitted}) == len(submitted) == 4  # one person each
    # What was answered is shown as ever, and so is a search that finds nothing.
    page.goto(f"{address(real_world, dataset)}?page=1&status=submitted")
    expect(body).to_contain_text("locro")
    page.goto(f"{address(real_world, dataset)}?page=1&status=draft")
    expect(page.locator(".wrapper--empty")).to_be_visible()
    expect(body).not_to_contain_text("¡Gracias!")
    outside.assert_untouched(page)


def test_a_short_test_comes_first_and_opens_the_work(page: Page, real_world: RealWorld, tmp_path: Path) -> None:
    project = started(real_world, tmp_path / "p", "HN", toml="[entry]\nitems = 2\n")
    (prompt, *_) = project.ledger.prompts()
    content = {"a": "locro", "b": "en otro idioma", "adapted": "A"}
    tests = [
        Item(f"t{n}", "duel", n, "HN", "es", "HN", content, prompt.id, purpose="entry", expected={"choice": "A"})
        for n in range(2)
    ]
    project.ledger.add_items(tests)
    push(real_world.api, project.ledger, project.settings)
    work, say, body = dataset_of(real_world, "HN"), TEXTS["es"], page.locator("body")
    enter(page, real_world, project, "hn_1")
    page.goto(address(real_world, work))
    expect(body).to_contain_text("Primero, una prueba corta")
    keep_picture(page, "thanks-laptop-es-entry")
    page.get_by_role("link", name="Abrir la prueba").click()
    for _ in tests:
        expect(body).to_contain_text("en otro idioma")
        submit(page, say["A"])
        page.wait_for_load_state("networkidle")
    expect(body).to_contain_text("Terminaste la prueba. Se está revisando")
    keep_picture(page, "thanks-laptop-es-tested")
    pull(real_world.api, project.ledger)
    keep_rules(real_world.api, project.ledger, project.settings)
    page.reload()
    expect(body).to_contain_text("¡Pasaste la prueba!")
    keep_picture(page, "thanks-laptop-es-passed")
    page.get_by_role("link", name="Empezar").click()
    expect(body).to_contain_text("sancocho")


RULES: Mapping[str, Mapping[str, Any]] = {
    "closed": {"open_to": []},
    "most_a_day": {"most_a_day": 1},
    "most": {"most": 1},
    "waits": {"turns": {"size": 2, "of": {"ME": -1}, "told": {"ME": ["waits", "2026-12-01T15:30:00+00:00"]}}},
    "failed": {"turns": {"size": 2, "of": {"ME": -1}, "told": {"ME": ["failed", ""]}}},
}
SAID = {
    "es": (
        "Aquí no hay nada para ti",
        "¡Gracias por hoy!",
        "así opinan más personas",
        "diciembre de 2026",
        "No quedan más",
    ),
    "pt": (
        "Aqui não há nada para você",
        "Por hoje é só",
        "assim mais pessoas opinam",
        "dezembro de 2026",
        "Não há mais",
    ),
    "en": (
        "nothing for you here",
        "Thank you for today",
        "more people have",
        "December 1, 2026",
        "no more tries",
    ),
}
LOCALE = {"es": "es-HN", "pt": "pt-BR", "en": "en-US"}


@pytest.mark.parametrize(("country", "language"), [("SV", "es"), ("AO", "pt"), ("BZ", "en")])
def test_every_reason_is_told_in_the_language_of_the_page_on_a_phone(
    browser: tuple[Browser, list[bytes]], real_world: RealWorld, tmp_path: Path, country: str, language: str
) -> None:
    project = started(real_world, tmp_path / "p", country, language)
    name, dataset = f"{country.lower()}_1", dataset_of(real_world, country)
    annotator = real_world.annotator_client(name, password(project, name))
    annotator.answer(annotator.queue(dataset.id, 1)[0]["id"], {"choice": {"value": "A"}})
    me = next(account.id for account in real_world.api.accounts() if account.username == name)
    context = browser[0].new_context(
        locale=LOCALE[language], viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(60_000)
    expect.set_options(timeout=30_000)
    phone = context.new_page()
    enter(phone, real_world, project, name)
    for (reason, rule), said in zip(RULES.items(), SAID[language], strict=True):
        own = {key: _with(value, me) for key, value in rule.items()}
        real_world.api.set_rules(dataset.id, {ASSIGN: {"overlap": 3, "hold_minutes": 45, **own}})
        phone.goto(address(real_world, dataset))
        expect(phone.locator(".annot-thanks")).to_contain_text(said)
        keep_picture(phone, f"thanks-phone-{language}-{reason}")
    context.close()


def _with(value: Any, me: str) -> Any:
    """A rule in which ME is somebody."""
    if isinstance(value, Mapping):
        return {me if key == "ME" else key: _with(inner, me) for key, inner in value.items()}
    return value
