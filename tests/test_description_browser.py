"""Descriptions of a picture are ranked in a real browser, on a laptop and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from picture_projects import add_picture
from playwright.sync_api import Browser, Page, expect
from projects import annot, make_project
from test_browser import Outside, browser, keep_picture, log_in, outside, rank_all  # noqa: F401

from annotation.hosting.embedded import Owner
from annotation.project import Project
from annotation.tasks.answers import answers
from annotation.tasks.description.texts import TEXTS
from annotation.tasks.ranking.slates import DESCRIPTION, add_slates, read_slates
from annotation.types import Candidate, Judgement, Prompt, Slate

pytestmark = [pytest.mark.server, pytest.mark.browser]

SAYS = (
    "Un plato de fiambre, que en Guatemala se come el primero de noviembre: verduras encurtidas, embutidos y quesos, "
    "servidos fríos. Cada familia tiene su receta, y se lleva a la tumba de quienes ya no están.",
    "Una comida de colores sobre una mesa. Se ve muy rica y seguramente la hizo alguien con mucho cariño.",
    "Una paella valenciana <b>recién hecha</b>, con su arroz y sus mariscos, como la que se come en España los "
    "domingos de verano junto al mar, cuando se reúne toda la familia.",
    "Fiambre de Todos los Santos.",
)


def push_pictures(folder: Path, url: str, country: str) -> Project:
    """Two pushed pictures with four descriptions each, and one annotator, COUNTRY_1."""
    project = make_project(
        folder,
        f'[project]\ncountries = ["{country}"]\nlanguages = ["es"]\n[task.description]\ntarget = 2\noverlap = 1\n'
        f'[argilla]\nurl = "{url}"\n',
    )
    for number in range(2):
        picture = add_picture(project, number)
        prompt = Prompt.make("Describe esta imagen.", country=country, language="es", topic="comida", image=picture)
        said = [Candidate.make(prompt.id, text, model="a secret model", voice="a secret voice") for text in SAYS]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(said)
        add_slates(project.ledger, [Slate(f"{country}{number}", prompt.id, tuple(one.id for one in said), number)])
    roster, name = folder / "roster.csv", f"{country.lower()}_1"
    roster.write_text(f"username,name,role,country,languages\n{name},Demo,annotator,{country},es\n", encoding="utf-8")
    annot(project, "team", "add", str(roster))
    assert f"sent 2 to {country.lower()}" in annot(project, "push")
    return project


def open_queue(page: Page, url: str, name: str, password: str) -> None:
    log_in(page, url, name, password)
    page.get_by_text(TEXTS["es"]["dataset"], exact=True).first.click()
    picture = page.locator(".fields img")
    expect(picture).to_be_visible()
    assert picture.evaluate("(picture) => picture.naturalWidth") == 640


def test_descriptions_are_ranked_with_their_picture_on_a_laptop_and_on_a_phone(
    browser: tuple[Browser, list[bytes]],  # noqa: F811
    outside: Outside,  # noqa: F811
    tmp_path: Path,
    argilla_server: tuple[str, Owner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project = push_pictures(tmp_path / "guatemala", url, "GT")
    password = project.secrets()["passwords"]["gt_1"]
    expect.set_options(timeout=30_000)

    laptop = browser[0].new_context(locale="es-GT", viewport={"width": 1366, "height": 768})
    laptop.set_default_timeout(60_000)
    page = laptop.new_page()
    outside.listen_to(page)
    open_queue(page, url, "gt_1", password)
    body = page.locator("body")
    keep_picture(page, "description-laptop")
    expect(page.locator(".fields img")).to_be_in_viewport(ratio=1)
    for text in ("¿cuál dice mejor qué es esto en tu cultura?", *SAYS):
        expect(body).to_contain_text(text)
    expect(body).not_to_contain_text("secret")
    page.get_by_text(SAYS[-1], exact=True).scroll_into_view_if_needed()
    expect(page.get_by_text(SAYS[-1], exact=True)).to_be_in_viewport(ratio=1)
    expect(page.locator(".fields img")).to_be_in_viewport(ratio=1)  # it stays beside what is read
    keep_picture(page, "description-laptop")
    page.get_by_text("Directrices").first.click()
    expect(body).to_contain_text("¡Gracias por mirar con nosotros!")
    keep_picture(page, "description-guidelines")
    page.get_by_text("Directrices").first.click()
    rank_all(page)
    page.get_by_text("C: otro plato o fiesta").click()
    page.get_by_text("B: sirve para cualquier imagen").click()
    page.locator("[contenteditable]").click()
    page.keyboard.type("Fiambre rojo, del que hace mi abuela.")
    keep_picture(page, "description-laptop-done")
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    outside.assert_untouched(page)
    laptop.close()

    phone = browser[0].new_context(
        locale="es-GT", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    phone.set_default_timeout(60_000)
    page = phone.new_page()
    open_queue(page, url, "gt_1", password)
    expect(page.locator(".fields img")).to_be_in_viewport(ratio=1)
    keep_picture(page, "description-phone")
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        pytest.fail("the phone has to be scrolled sideways")
    rank_all(page)
    page.get_by_role("button", name="Enviar").scroll_into_view_if_needed()
    keep_picture(page, "description-phone-form")
    page.get_by_role("button", name="Enviar").tap()
    expect(page.locator("body")).to_contain_text("Enviado 2", use_inner_text=True)
    phone.close()

    assert "2 new" in annot(project, "sync")
    slates = {slate.id: slate.seats for slate in read_slates(project.ledger)}
    stored = answers(project.ledger, DESCRIPTION)
    assert {(answer.annotator, answer.country) for answer in stored} == {("gt_1", "GT")}
    by_problems = {bool(answer.value.problems): answer for answer in stored}
    a, b, c, d = slates[by_problems[True].item_id]
    assert by_problems[True].value == Judgement(
        ((a,), (b,), (c,), (d,)),
        {b: ("generic",), c: ("wrong_dish_or_feast",)},
        rewrite="Fiambre rojo, del que hace mi abuela.",
    )
    assert by_problems[False].value == Judgement(tuple((seat,) for seat in slates[by_problems[False].item_id]))
