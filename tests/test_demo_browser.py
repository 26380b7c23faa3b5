"""The page of a demo in a real browser: visitors vote blindly, once, in their language, and nothing leads to them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hostile
import pytest
from demo_pages import QUESTION, RUN, TEXTS, Demo, break_model, demo_project, lines_of, running_demo, served, speak_only
from playwright.sync_api import Browser, Page, expect, sync_playwright
from test_browser import FLAGS, NAMES

from annotation.types import Prompt
from train.release.given import Given
from train.release.space import make_space

pytestmark = [pytest.mark.browser]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


@dataclass
class Seen:
    """What a page asked for and what failed in it."""

    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    posted: set[str] = field(default_factory=set)

    def listen_to(self, page: Page) -> None:
        page.on("request", lambda request: self.note(request.url))
        page.on("request", lambda request: self.posted.add(urlsplit(request.url).path if request.post_data else ""))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def note(self, address: str) -> None:
        if urlsplit(address).hostname != "127.0.0.1" and not address.startswith(("data:", "blob:", "about:")):
            self.elsewhere.append(address)


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
        trapped = [hostile.ELSEWHERE, "fonts.googleapis.com", "fonts.gstatic.com", "cdn.jsdelivr.net", "huggingface.co"]
        rules = [f"MAP {host} 127.0.0.1:{port}" for host in trapped] + ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        flags = [*FLAGS, f"--host-resolver-rules={', '.join(rules)}"]
        started = playwright.chromium.launch(executable_path=browser_path, args=flags)
        yield started, caught
        started.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The page that the visitors of this module come to."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def visit(browser: tuple[Browser, list[bytes]], seen: Seen) -> Iterator[Any]:
    """Opens a page as a visitor with these settings of the browser."""
    contexts = []
    expect.set_options(timeout=30_000)
    browser[1].clear()

    def opened(url: str, **settings: Any) -> Page:
        context = browser[0].new_context(**settings)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        seen.listen_to(page)
        page.goto(url)
        expect(page.locator("h1")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert (browser[1], seen.elsewhere, seen.errors) == ([], [], [])
    assert seen.posted == {"", "/gradio_api/queue/join"}, "the door lets nothing else in"


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture of a page where ANNOT_SCREENSHOTS says."""
    if folder := os.environ.get("ANNOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def compare(page: Page, question: str, texts: dict[str, str]) -> None:
    """Ask both models, and wait until both have answered."""
    page.locator("#question textarea").fill(question)
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["now_vote"])


def choose(page: Page, box: str, option: str) -> None:
    """Choose an option of a dropdown, by keyboard."""
    page.locator(f"#{box} input").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name=option).click()


def test_a_visitor_with_a_phone_votes_once_and_is_told_which_was_which(demo: Demo, visit: Any) -> None:
    texts = TEXTS["es"]
    before = len(demo.lines())
    page = visit(demo.url, locale="es-MX", color_scheme="light", **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("tab_compare", "tab_chat", "tab_about"):
        expect(page.get_by_role("tab", name=texts[name], exact=True)).to_be_visible()
    for name in ("intro", "consent", "may_use", "may_use_info", "ungated", "tiny", "country"):
        expect(page.locator("body")).to_contain_text(texts[name])
    expect(page.get_by_label(texts["may_use"])).not_to_be_checked()
    for name in ("A", "B", "tie", "both_bad"):
        expect(page.locator(f"#vote_{name}")).to_be_disabled()
    keep_picture(page, "phone-es-light")
    choose(page, "example", QUESTION)
    expect(page.locator("#question textarea")).to_have_value(QUESTION)
    page.locator("#compare").tap()
    expect(page.locator("#said")).to_contain_text(texts["now_vote"])
    keep_picture(page, "phone-es-light-before-the-vote")
    (begun,) = demo.lines()[before:]
    shown = [page.locator(f"#side_{side} .answer").inner_text() for side in "AB"]
    body = page.locator("body")
    for word in ("aligned", "base"):
        expect(body).not_to_contain_text(f" · {texts[word]}")
    page.locator("#vote_both_bad").tap()
    adapted, other = begun["adapted"], "AB".replace(begun["adapted"], "")
    expect(page.locator("#said")).to_contain_text(
        f"{adapted} es el modelo alineado y {other} es el modelo base (diminuto y aleatorio)."
    )
    expect(page.locator(f"#side_{adapted}")).to_contain_text(f"Respuesta {adapted} · modelo alineado")
    expect(page.locator(f"#side_{other}")).to_contain_text(f"Respuesta {other} · modelo base")
    for name in ("A", "B", "tie", "both_bad"):
        expect(page.locator(f"#vote_{name}")).to_be_disabled()
    keep_picture(page, "phone-es-light-after-the-vote")
    _, voted = demo.lines()[before:]
    assert (begun["kind"], begun["country"], begun["language"], begun["run"]) == ("begun", "MX", "es", RUN)
    assert begun["prompt_id"] == Prompt.make(QUESTION, country="MX", language="es").id
    assert (voted["kind"], voted["id"], voted["choice"]) == ("voted", begun["id"], "both_bad")
    assert (voted["may_use"], voted["prompt"]) == (False, "")
    assert [" ".join(voted[side].split()) for side in "ab"] == [" ".join(text.split()) for text in shown]
    told = "".join(path.read_text() for path in demo.votes.glob("*.jsonl"))
    for trace in ("127.0.0.1", "Mozilla", "session", "cookie"):
        assert trace not in told


def test_sides_are_written_down_before_a_word_is_generated_and_the_choice_is_kept(demo: Demo, visit: Any) -> None:
    page = visit(demo.url, locale="pt-BR", color_scheme="dark", **LAPTOP)
    texts, before = TEXTS["pt"], len(demo.lines())
    for name in ("intro", "consent", "ungated", "may_use_info"):
        expect(page.locator("body")).to_contain_text(texts[name])
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    choose(page, "country", "Brasil")
    page.locator("#question textarea").fill("Escrevi isto")
    page.get_by_label(texts["may_use"]).check()
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(
        re.compile(f"{texts['writing_a']}|{texts['writing_b']}|{texts['now_vote']}")
    )
    begun = demo.lines()[before]
    assert (begun["kind"], begun["prompt_id"], begun["language"], begun["country"]) == ("begun", "", "pt", "BR")
    expect(page.locator("#said")).to_contain_text(texts["now_vote"])
    keep_picture(page, "laptop-pt-dark")
    # By keyboard alone.
    page.locator("#vote_tie").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text(texts["thanks"])
    keep_picture(page, "laptop-pt-dark-after-the-vote")
    _, voted = demo.lines()[before:]
    assert (voted["choice"], voted["may_use"], voted["prompt"]) == ("tie", True, "Escrevi isto")
    assert voted["a"] or voted["b"]
    # What was allowed for one question is not for the next, and another country is another comparison.
    expect(page.get_by_label(texts["may_use"])).not_to_be_checked()
    compare(page, "Outra coisa", texts)
    choose(page, "country", "Argentina")
    expect(page.locator("#vote_A")).to_be_disabled()
    expect(page.locator("#said")).not_to_contain_text(texts["now_vote"])


def test_what_was_typed_without_the_tick_is_not_kept_and_the_project_tells_of_itself(demo: Demo, visit: Any) -> None:
    page = visit(demo.url, locale="en-GB", color_scheme="light", **LAPTOP)
    texts, before = TEXTS["en"], len(demo.lines())
    expect(page.locator("body")).to_contain_text(texts["intro"])
    page.locator("#question textarea").fill("A secret of mine")
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["no_country"])  # Britain is none of this project
    choose(page, "country", "Mexico")
    compare(page, "A secret of mine", texts)
    page.locator("#vote_A").click()
    expect(page.locator("#said")).to_contain_text(texts["thanks"])
    keep_picture(page, "laptop-en-after-the-vote")
    _, voted = demo.lines()[before:]
    assert [voted[name] for name in ("choice", "may_use", "prompt", "a", "b")] == ["A", False, "", "", ""]
    page.get_by_role("tab", name=texts["tab_about"], exact=True).click()
    for told in ("Porque un modelo debe hablar", "Para escuelas.", "Ana Q.", "not measured", "tiny and random"):
        expect(page.locator("body")).to_contain_text(told)
    link = page.get_by_role("link", name="Artículo")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (
        "https://example.org/articulo",
        "noopener noreferrer",
    )
    keep_picture(page, "laptop-en-about")
    page.get_by_role("tab", name=texts["tab_chat"], exact=True).click()
    page.locator("#message textarea, #message input").fill("Hello")
    page.locator("#send").click()
    expect(page.locator(".message.bot, .bot.message").first).to_be_visible()
    page.locator("#again").click()
    expect(page.locator(".message.bot, .bot.message")).to_have_count(0)
    assert len(demo.lines()) == before + 2


def test_who_asks_too_fast_is_told_so_and_nothing_is_written(demo: Demo, visit: Any) -> None:
    page = visit(demo.url, locale="es-AR", **LAPTOP)
    texts, before = TEXTS["es"], len(demo.lines())
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["empty"])
    for _ in range(6):
        compare(page, "¿Y?", texts)
        page.locator("#vote_tie").click()
        expect(page.locator("#said")).to_contain_text(texts["thanks"])
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["too_fast"])
    assert len(demo.lines()) == before + 12
    ids = [line["id"] for line in demo.lines()[before:] if line["kind"] == "voted"]
    assert len(set(ids)) == 6


def test_who_asks_a_model_that_fails_is_told_so_and_may_ask_again(tmp_path: Path, visit: Any) -> None:
    texts, project, space = TEXTS["pt"], demo_project(tmp_path / "ours"), tmp_path / "space"
    make_space(project.run_folder(RUN), space, Given(), project=project, ungated=False)
    break_model(space)
    with served(space, tmp_path / "votes", {**os.environ}) as (url, _):
        page = visit(url, locale="pt-BR", **LAPTOP)
        page.locator("#question textarea").fill("E agora?")
        for asked in range(1, 8):  # more often than six times a minute
            page.locator("#compare").click()
            expect(page.locator("#said")).to_contain_text(texts["failed"])
            for name in ("A", "B", "tie", "both_bad"):
                expect(page.locator(f"#vote_{name}")).to_be_disabled()
            assert [line["kind"] for line in lines_of(tmp_path / "votes")] == ["begun"] * asked
            page.locator("#said").evaluate("said => said.querySelector('.status').textContent = ''")
        keep_picture(page, "laptop-pt-failed")
        page.get_by_role("tab", name=texts["tab_chat"], exact=True).click()
        page.locator("#message textarea, #message input").fill("Olá")
        page.locator("#send").click()
        expect(page.locator("#noted")).to_contain_text(texts["failed"])
        expect(page.locator("#message textarea, #message input")).to_have_value("Olá")
        expect(page.locator(".message.user, .user.message")).to_have_count(0)


def test_hostile_texts_of_models_visitors_and_the_project_are_shown_and_do_nothing(tmp_path: Path, visit: Any) -> None:
    texts = TEXTS["es"]
    bad = [*hostile.SCRIPTS.values(), *hostile.CALLS.values(), *hostile.OVERLAYS.values()]
    project = demo_project(
        tmp_path / "ours",
        [Prompt.make(hostile.SCRIPTS["handler"], country="MX", language="es")],
        title=hostile.SCRIPTS["script"],
        motivation="\n\n".join(bad)[:4000],
        impact=hostile.SCRIPTS["template"],
        team=[text for text in bad if len(text) <= 200],
        links=[f'{hostile.SCRIPTS["svg"]}: https://example.org/"><script>{hostile.RUN.replace(" ", "")}</script>'],
    )
    space = tmp_path / "space"
    make_space(project.run_folder(RUN), space, Given(), project=project, ungated=False)
    speak_only(space, bad)
    with served(space, tmp_path / "votes", {**os.environ}) as (url, _):
        page = visit(url, locale="es-MX", **LAPTOP)
        title = page.title()
        for question in (hostile.SCRIPTS["handler"], "".join(hostile.CALLS.values())[:2000]):
            compare(page, question, texts)
            written = "".join(page.locator(f"#side_{side} .answer").inner_text() for side in "AB")
            assert any(text[:10] in written for text in bad)
            assert page.locator(".answer *").count() == 0
            page.locator("#vote_tie").click()
            expect(page.locator("#said")).to_contain_text(texts["thanks"])
        page.get_by_role("tab", name=texts["tab_chat"], exact=True).click()
        said = "".join((*hostile.CALLS.values(), *hostile.SCRIPTS.values()))
        page.locator("#message textarea, #message input").fill(said[:2000])
        page.locator("#send").click()
        expect(page.locator(".message.user, .user.message")).to_contain_text(said[:40])
        expect(page.locator(".message.bot, .bot.message")).to_contain_text("<")
        assert page.locator(".message").locator("img, a, b, details, style").count() == 0
        page.get_by_role("tab", name=texts["tab_about"], exact=True).click()
        expect(page.locator("body")).to_contain_text(hostile.SCRIPTS["template"])
        keep_picture(page, "hostile")
        assert page.evaluate("top.brokenIn ?? null") is None
        assert page.title() == title
        brought = "iframe, object, embed, video, form, meta[http-equiv=refresh], base:not([href='./'])"
        found = page.locator(brought).all()
        assert [one.evaluate("one => one.outerHTML") for one in found] == []
