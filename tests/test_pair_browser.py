"""A sentence and its controls are checked in a real browser, by somebody who was warned and consented."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from projects import annot
from rated_projects import association, rated_project
from test_browser import Outside, browser, keep_picture, log_in, open_page, outside  # noqa: F401

from annotation.hosting.embedded import Owner
from annotation.stereotypes.pairs import checked_pairs, make_pairs
from annotation.tasks.answers import answers
from annotation.tasks.consent.texts import TEXTS as CONSENT
from annotation.tasks.pair_check.check import Check
from annotation.tasks.pair_check.item import NAME, pairs_of
from annotation.tasks.pair_check.texts import TEXTS

pytestmark = [pytest.mark.server, pytest.mark.browser]

SAID = {"es": ("uruguayos", "toman mate <b>dulce</b>"), "pt": ("uruguaios", "tomam mate <b>doce</b>")}


def choose(page: Page, text: str) -> None:
    page.get_by_text(text, exact=True).first.click()


@pytest.mark.parametrize(("country", "language"), [("NI", "es"), ("CV", "pt")])
def test_a_sentence_is_mended_and_a_control_goes_in_the_browser(
    browser: tuple[Browser, list[bytes]],  # noqa: F811
    outside: Outside,  # noqa: F811
    tmp_path: Path,
    argilla_server: tuple[str, Owner],
    monkeypatch: pytest.MonkeyPatch,
    country: str,
    language: str,
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    settings = (
        f'[project]\ncountries = ["{country}"]\nlanguages = ["{language}"]\n[argilla]\nurl = "{url}"\n'
        "[task.pair_check]\noverlap = 1\nagree = 1\ntarget = 2\n"
    )
    project = rated_project(tmp_path / country, {association(*SAID[language], language): [5, 4, 4]}, country, settings)
    make_pairs(project)
    name, say = f"{country.lower()}_9", TEXTS[language]
    roster = tmp_path / "roster.csv"
    roster.write_text(f"username,name,role,country,languages\n{name},Demo,annotator,{country},{language}\n", "utf-8")
    annot(project, "team", "add", str(roster))
    annot(project, "push", "--task", NAME)

    page = open_page(browser[0], outside, f"{language}-{country}")
    log_in(page, url, name, project.secrets()["passwords"][name])
    choose(page, CONSENT[language]["dataset"])
    choose(page, CONSENT[language]["yes"])
    page.get_by_role("button", name="Enviar").click()
    body = page.locator("body")
    expect(body).to_contain_text("nviado 1", use_inner_text=True)
    page.goto(f"{url}/")
    choose(page, say["dataset"])
    for item in range(2):
        expect(body).to_contain_text(f"{SAID[language][1]}.")
        if item:
            choose(page, say["unfit"])
        else:
            choose(page, say["wording"])
            page.locator("[contenteditable]").first.click()
            page.keyboard.type("toman mate dulce" if language == "es" else "tomam mate doce")
            page.locator('label[for="controls_B"]').click()
        keep_picture(page, f"pair-check-{language}-{item}")
        page.get_by_role("button", name="Enviar").click()
        expect(body).to_contain_text(f"nviado {item + 1}", use_inner_text=True)
    outside.assert_untouched(page)
    page.context.close()

    annot(project, "sync")
    found = {answer.value.verdict: answer.value for answer in answers(project.ledger, NAME)}
    words = "toman mate dulce" if language == "es" else "tomam mate doce"
    assert found == {"wording": Check("wording", words, (1,)), "unfit": Check("unfit")}
    kept = checked_pairs(project.ledger, project.settings)
    assert {pair.attribute for pair in kept} == {words}
    asked = {item.id: pairs_of(item) for item in project.ledger.items(NAME)}
    (mended,) = (own for own in asked.values() if own[0].template == kept[0].template)
    assert [pair.id for pair in kept] == [mended[0].id, mended[2].id]
