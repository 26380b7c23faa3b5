"""What people do not see alike is decided in a real browser, by somebody who is told what they said and not who."""

from __future__ import annotations

from pathlib import Path

import hostile
import pytest
from fake_argilla import ranking_of
from playwright.sync_api import Browser, expect
from projects import annot, push_project
from test_adjudicate import say
from test_browser import Outside, browser, keep_picture, log_in, open_page, outside, rank_all  # noqa: F401

from annotation.adjudicate import cases
from annotation.hosting.embedded import Owner
from annotation.tasks.adjudication import TEXTS
from annotation.tasks.ranking.texts import TEXTS as RANKING
from annotation.types import Person
from sync.argilla.client import ArgillaClient

pytestmark = [pytest.mark.server, pytest.mark.browser]

TYPED = f'<img src=x onerror="{hostile.RUN}"> **y** Vos dirías «dale», no «vale»'


@pytest.mark.parametrize(("country", "language"), [("GQ", "es"), ("ST", "pt")])
def test_a_contested_slate_is_decided_in_the_browser(
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
    texts = [f"Respuesta {n}" for n in range(4)]
    project = push_project(tmp_path / country, url, country, texts, slates=1)
    people = [f"{country.lower()}_{n}" for n in range(2, 5)]
    project.ledger.add_people([Person(name, "", "annotator", country, (language,)) for name in people])
    for name, order in zip(people, ("1234", "4321", "1111"), strict=True):
        say(project, f"{country}0", name, ranking_of(order, rewrite=TYPED, problems=["B:stereotype"]), country=country)
    judge, say_it = f"{country.lower()}_9", TEXTS[language]
    roster = tmp_path / "roster.csv"
    roster.write_text(
        f"username,name,role,country,languages\n{judge},Demo,adjudicator,{country},{language} es\n", encoding="utf-8"
    )
    annot(project, "team", "add", str(roster))
    assert "1 slate" in annot(project, "adjudicate", "--dry-run")
    assert not project.ledger.items(side=True)
    assert "1 slate" in annot(project, "adjudicate")
    assert "nothing new; 1 queued before" in annot(project, "adjudicate")
    with_key = ArgillaClient(url, owner.api_key, server="embedded")
    (room,) = (d for d in with_key.datasets() if d.workspace == country.lower() and "ecidir" in d.name)
    with_key.close()

    page = open_page(browser[0], outside, f"{language}-{country}", height=1500)
    log_in(page, url, judge, project.secrets()["passwords"][judge])
    page.get_by_text(room.name, exact=True).first.click()
    body = page.locator("body")
    expect(body).to_contain_text(say_it["said"])
    expect(body).to_contain_text(say_it["people"].format(n=3))
    expect(body).to_contain_text(say_it["pair"].format(one="A", other="B", better=1, worse=1, same=1))
    expect(body).to_contain_text("Vos dirías «dale», no «vale»")
    assert not any(name in body.inner_text() for name in people)
    rank_all(page)
    page.get_by_text(say_it["yes"], exact=True).click()
    page.locator("[contenteditable]").last.click()
    page.keyboard.type("¿vos o tú?")
    keep_picture(page, f"adjudicate-{language}")
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("nviado 1", use_inner_text=True)
    outside.assert_untouched(page)
    page.context.close()

    annot(project, "sync")
    (case,) = cases(project, gaps=True)
    assert (case.state, case.by, case.rule) == ("decided", judge, "¿vos o tú?")
    assert RANKING[language]["ranking"] in case.decision
