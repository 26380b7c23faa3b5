"""The page of a demo in a real browser: visitors vote blindly, once, in their language, and nothing leads to them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hostile
import httpx
import pytest
from demo_pages import RUN, demo_project, lines_of, served, speak_only
from hub_server import HubStandIn, environment
from playwright.sync_api import Browser, Page, expect, sync_playwright
from projects import annot
from test_browser import FLAGS, NAMES

from annotation.project import Project
from annotation.tasks.duel.votes import read_duels
from annotation.types import Prompt
from train.release.given import Given
from train.release.space import make_space

pytestmark = [pytest.mark.browser]

VOTES = "team/our-model-votes"
QUESTION = "¿Cómo se invita a un mate en casa?"
TEXTS = json.loads((Path(__file__).parent.parent / "train/release/space/texts.json").read_text(encoding="utf-8"))
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


@dataclass
class Demo:
    """A Space that is served.

    Attributes:
        project: Whose it is.
        url: Where its page is.
        votes: Folder of its votes.
        process: That serves it.
        hub: Where its votes go.
    """

    project: Project
    url: str
    votes: Path
    process: subprocess.Popen[bytes]
    hub: HubStandIn

    def lines(self) -> list[dict[str, Any]]:
        """What its vote files say."""
        return lines_of(self.votes)


@dataclass
class Seen:
    """What a page asked for and what failed in it."""

    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def listen_to(self, page: Page) -> None:
        page.on("request", lambda request: self.note(request.url))
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
    """The Space of a project with two examples, not gated, with six questions a minute."""
    home = tmp_path_factory.mktemp("demo")
    project = demo_project(
        home / "ours",
        [
            Prompt.make(QUESTION, country="MX", language="es"),
            Prompt.make("Como se convida para um café?", country="BR", language="pt"),
        ],
        title="Lo nuestro, alineado",
        motivation="Porque un modelo debe hablar como su gente.",
        impact="Para escuelas.",
        team=["Ana Q.", "Bia R."],
        links=["Artículo: https://example.org/articulo"],
    )
    make_space(project.run_folder(RUN), home / "space", Given(), project=project, votes_repo=VOTES, ungated=True)
    with HubStandIn() as hub, served(home / "space", home / "votes", environment(hub)) as (url, process):
        yield Demo(project, url, home / "votes", process, hub)


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


def test_what_was_typed_without_the_tick_is_not_kept_and_the_project_tells_of_itself(demo: Demo, visit: Any) -> None:
    page = visit(demo.url, locale="en-GB", color_scheme="light", **LAPTOP)
    texts, before = TEXTS["en"], len(demo.lines())
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


def events(url: str) -> dict[int, dict[str, Any]]:
    """The page's events by their numbers."""
    return {one["id"]: one for one in httpx.get(f"{url}/config", trust_env=False).json()["dependencies"]}


def join(url: str, session: str, number: int, data: list[Any]) -> list[dict[str, Any]]:
    """Do as the page does when a button is pressed, and return what comes back."""
    asked = {"data": data, "fn_index": number, "session_hash": session, "trigger_id": None}
    httpx.post(f"{url}/gradio_api/queue/join", json=asked, trust_env=False).raise_for_status()
    found = []
    with httpx.stream(
        "GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60, trust_env=False
    ) as told:
        for line in told.iter_lines():
            if line.startswith("data:"):
                found.append(json.loads(line.removeprefix("data:")))
                if found[-1]["msg"] == "close_stream":
                    break
    return found


def test_programs_find_no_way_in_and_a_vote_for_nothing_counts_nothing(demo: Demo) -> None:
    told = httpx.get(f"{demo.url}/gradio_api/info", trust_env=False).json()
    assert told == {"named_endpoints": {}, "unnamed_endpoints": {}}
    names = [event["api_name"] for event in events(demo.url).values()]
    assert len(names) > 8
    for way, name in itertools.product(("call", "call/v2", "run", "api"), names):
        answer = httpx.post(f"{demo.url}/gradio_api/{way}/{name}", json={"data": ["A"]}, trust_env=False)
        assert answer.status_code == 404
    for path in ("upload", "component_server", "process_recording", "vibe-edit"):
        assert httpx.post(f"{demo.url}/gradio_api/{path}", json={}, trust_env=False).status_code == 404
    assert httpx.get(f"{demo.url}/gradio_api/file=demo.json", trust_env=False).status_code == 404
    assert httpx.get(f"{demo.url}/monitoring/summary", trust_env=False).status_code == 403
    policy = httpx.get(demo.url, trust_env=False).headers["content-security-policy"]
    assert "default-src 'self'" in policy

    # The state that a program sends is not looked at: there is no comparison in its session.
    before = demo.lines()
    votes = [number for number, event in events(demo.url).items() if event["api_name"].startswith("press")]
    assert len(votes) == 4
    forged = {"duel": {"id": "0" * 32, "adapted": "A", "answers": ["", ""], "closed": False}}
    for number in votes:
        answer = join(demo.url, f"forged{number}", number, [forged])
        assert TEXTS["en"]["stale"] in json.dumps(answer, ensure_ascii=False)
    assert demo.lines() == before


def test_a_second_vote_and_a_vote_for_an_earlier_comparison_count_nothing(demo: Demo) -> None:
    before, session = len(demo.lines()), "program"
    numbers = {event["api_name"]: number for number, event in events(demo.url).items()}
    presses = [number for name, number in numbers.items() if name.startswith("press")]
    asked = ["MX", "¿Qué?", False, None]
    join(demo.url, session, numbers["compare"], asked)
    join(demo.url, session, numbers["compare"], asked)
    for number in (*presses, presses[0]):
        join(demo.url, session, number, [None])
    first, second, voted = demo.lines()[before:]
    assert (first["kind"], second["kind"]) == ("begun", "begun")
    assert (voted["kind"], voted["id"], voted["choice"]) == ("voted", second["id"], "A")
    long = join(demo.url, session, numbers["compare"], ["MX", "a" * 2001, False, None])
    assert TEXTS["en"]["too_long"] in json.dumps(long)
    nowhere = join(demo.url, session, numbers["compare"], [None, "¿Qué?", False, None])
    assert TEXTS["en"]["no_country"] in json.dumps(nowhere)
    assert len(demo.lines()) == before + 3


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
        page.locator("#message textarea, #message input").fill("".join(hostile.SCRIPTS.values())[:2000])
        page.locator("#send").click()
        expect(page.locator(".message.bot, .bot.message").first).to_contain_text("<")
        expect(page.locator("#send")).to_be_enabled()
        page.get_by_role("tab", name=texts["tab_about"], exact=True).click()
        expect(page.locator("body")).to_contain_text(hostile.SCRIPTS["template"])
        keep_picture(page, "hostile")
        assert page.evaluate("top.brokenIn ?? null") is None
        assert page.title() == title
        brought = "iframe, object, embed, video, form, meta[http-equiv=refresh], base:not([href='./'])"
        found = page.locator(brought).all()
        assert [one.evaluate("one => one.outerHTML") for one in found] == []


def test_what_is_left_goes_to_the_hub_when_the_page_is_ended_and_all_votes_come_home(demo: Demo) -> None:
    """The last test: it ends the page of the others."""
    voted = {line["id"]: line["choice"] for line in demo.lines() if line["kind"] == "voted"}
    assert voted
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait() == 0
    (file,) = demo.votes.glob("*.jsonl")
    repository = demo.hub.repositories["dataset", VOTES]
    assert repository.private
    assert repository.files[f"votes/{file.name}"] == file.read_bytes()
    annot(demo.project, "votes", "pull", str(demo.votes))
    assert {duel.id: duel.choice for duel in read_duels(demo.project.ledger)} == voted
