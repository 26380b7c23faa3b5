"""What a person does in a real browser arrives in the ledger exactly as it was done."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hostile
import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, expect, sync_playwright
from projects import annot, make_project, push_project, ranking_values

from annotation.exams.checked import exam_questions
from annotation.hosting.embedded import Owner
from annotation.project import Project
from annotation.prompts.review import accepted_prompts
from annotation.tasks.answers import answers
from annotation.tasks.exam.check import Check
from annotation.tasks.exam.item import item_of
from annotation.tasks.exam.texts import TEXTS
from annotation.tasks.prompt_check.task import NAME, Verdict
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.text.hidden import show_hidden
from annotation.types import Candidate, ExamQuestion, Judgement, Person, Prompt, Slate
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import ArgillaClient
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
HOSTILE = f'<img src=x onerror="{hostile.RUN}"> y **negritas**'

FRAMES = "[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument)"
LEFTOVERS = """() => {
  const frames = %s;
  const texts = [...document.querySelectorAll(".fields, .markdown-render"), ...frames.map((page) => page.body)];
  const forbidden = "meta, link, base, script, object, embed, form, dialog, style:not([scoped]), "
    + 'iframe:not([sandbox="allow-same-origin allow-popups"])';
  const runs = ({ name, value }) => /^on/i.test(name) || /^\\s*javascript:/i.test(value);
  const armed = [document, ...frames].flatMap((page) => [...page.querySelectorAll("*")])
    .filter((element) => [...element.attributes].some(runs));
  const misplaced = texts.flatMap((text) => [...text.querySelectorAll(forbidden)]);
  return [...misplaced, ...armed].map(({ outerHTML }) => outerHTML);
}""".replace("%s", FRAMES)
"""What of a text is in the page, or in a frame of it, and must not be."""


class Outside:
    """What a browser did beyond showing pages of this machine."""

    def __init__(self, caught: list[bytes]) -> None:
        self.caught = caught
        """First bytes of connections to other hosts."""
        self.asked: list[str] = []
        """Addresses elsewhere that a page asked for, refused ones too."""
        self.refused: list[tuple[str, str]] = []
        """What the Content-Security-Policy forbade: the rule, and what it was about."""
        self.errors: list[str] = []
        """Scripts that failed."""

    def listen_to(self, page: Page) -> None:
        """Note what a page does."""
        page.on("request", lambda request: self.note(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.expose_function("tellOfRefusal", lambda rule, about: self.refused.append((rule, about)))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', "
            "({ effectiveDirective, blockedURI }) => tellOfRefusal(effectiveDirective, blockedURI))"
        )

    def assert_untouched(self, page: Page) -> None:
        """Nothing ran, nothing was called, nothing of a text is where it must not be, and no script failed."""
        assert (page.title(), page.evaluate("top.brokenIn ?? null")) == ("Argilla", None)
        assert page.evaluate(LEFTOVERS) == []
        assert (self.caught, self.asked, self.refused, self.errors) == ([], [], [], [])

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
    """In whatever language the page speaks."""
    page.goto(f"{url}/sign-in")
    page.locator("input").first.fill(username)
    page.locator("input[type=password]").fill(password)
    page.keyboard.press("Enter")


def open_page(browser: Browser, outside: Outside, locale: str, *, height: int = 1000) -> Page:
    """A page on a laptop whose browser speaks a language, for example "es-EC"."""
    context = browser.new_context(locale=locale, viewport={"width": 1440, "height": height})
    context.set_default_timeout(60_000)
    expect.set_options(timeout=30_000)
    page = context.new_page()
    outside.listen_to(page)
    return page


def test_a_ranking_by_keyboard_and_a_tie_by_dragging_are_stored_as_they_were_made(
    page: Page, project: Project, outside: Outside
) -> None:
    log_in(page, project.settings.argilla.url, "uy_1", project.secrets()["passwords"]["uy_1"])
    page.get_by_text("Encaje cultural").first.click()
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
    page.get_by_text("C: de otro país").click()
    if folder := os.environ.get("ANNOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "queue.png")
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    outside.assert_untouched(page)

    shown = annot(project, "sync")
    assert "1 new" in shown
    (stored,) = answers(project.ledger, "ranking")
    slate = next(slate for slate in read_slates(project.ledger) if slate.id == stored.item_id)
    a, b, c, d = slate.seats
    assert [set(tier) for tier in stored.value.tiers] == [{c}, {a}, {b, d}]
    assert (stored.annotator, stored.country) == ("uy_1", "UY")
    assert (stored.value.problems, stored.value.none_acceptable, stored.value.rewrite) == (
        {c: ("wrong_country",)},
        False,
        "",
    )
    assert annot(project, "sync").startswith("nothing new")
    assert answers(project.ledger, "ranking") == [stored]


@pytest.fixture
def phone(browser: tuple[Browser, list[bytes]]) -> Iterator[Page]:
    """A page of a phone that speaks Portuguese."""
    context = browser[0].new_context(
        locale="pt-BR", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(60_000)
    expect.set_options(timeout=30_000)
    yield context.new_page()
    context.close()


def flat(words: dict[str, Any], place: str = "") -> dict[str, str]:
    """Words of Argilla's page by their whole keys."""
    found: dict[str, str] = {}
    for key, word in words.items():
        found |= flat(word, f"{place}{key}.") if isinstance(word, dict) else {f"{place}{key}": word}
    return found


def rank_all(page: Page) -> None:
    """Put the four answers in their order, by keyboard."""
    for place, seat in enumerate("ABCD", 1):
        page.locator(f"#{seat}").focus()
        page.keyboard.press(str(place))
        expect(page.locator(".draggable__slot-box").nth(place - 1)).to_contain_text(seat)
        page.wait_for_timeout(1000)  # the page waits for a second digit


def test_what_was_typed_is_kept_until_it_is_submitted_and_there_is_no_bulk_mode(
    page: Page, outside: Outside, tmp_path: Path, argilla_server: tuple[str, Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project = push_project(tmp_path / "peru", url, "PE", ["Sí.", "No.", "Quizás.", "A veces."])
    log_in(page, url, "pe_1", project.secrets()["passwords"]["pe_1"])
    page.get_by_text("Encaje cultural").first.click()
    box, kept = page.locator("[contenteditable]"), "Object.keys(JSON.parse(localStorage['annot-typed'])).length"
    expect(page.locator("#A")).to_be_visible()
    expect(page.locator("body")).to_contain_text("1 de 2")
    expect(page.get_by_placeholder("Buscar")).to_be_visible()
    expect(page.get_by_label("Switch to Bulk Mode")).to_be_attached()
    expect(page.get_by_label("Switch to Bulk Mode")).to_be_hidden()
    box.click()
    page.keyboard.type("Con café")
    page.get_by_label("Siguiente").click()
    expect(page.locator("body")).to_contain_text("2 de 2")
    expect(box).to_have_text("")
    page.goto(page.url.replace("page=2", "page=1~10"))
    expect(page.locator("body")).to_contain_text("1 de 2")
    expect(page).to_have_url(re.compile("page=1&"))
    expect(box).to_have_text("Con café")
    keep_picture(page, "typed")
    assert page.evaluate(kept) == 1

    rank_all(page)
    page.get_by_role("button", name="Enviar").click()
    expect(page.locator("body")).to_contain_text("Enviado 1", use_inner_text=True)
    expect(box).to_have_text("")
    assert page.evaluate(kept) == 0
    outside.assert_untouched(page)
    annot(project, "sync")
    assert [answer.value.rewrite for answer in answers(project.ledger, "ranking")] == ["Con café"]


def test_a_phone_speaks_portuguese_and_opens_every_record_at_its_question(
    phone: Page, tmp_path: Path, argilla_server: tuple[str, Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project = push_project(tmp_path / "brasil", url, "BR", ["Um. " * 40, "Dois. " * 40, "Três. " * 40, "Quatro. " * 40])
    phone.goto(f"{url}/sign-in")
    phone.locator('input[name="Nome de usuário"]').fill("br_1")
    phone.locator("input[type=password]").fill(project.secrets()["passwords"]["br_1"])
    phone.get_by_role("button", name="Entrar").click()
    body = phone.locator("body")
    expect(body).to_contain_text("Seus datasets")
    expect(body).to_contain_text("Espaços de trabalho")
    phone.get_by_text("Encaje cultural").first.click()
    for told in ("1 de 2", "2 de 2"):
        expect(phone.locator("#A")).to_be_attached()
        expect(body).to_contain_text(told)
        expect(phone.get_by_text("¿Cómo se invita")).to_be_in_viewport(ratio=1)
        keep_picture(phone, f"phone-{told}")
        for word in ("Descartar", "Guardar rascunho", "pendente", "Diretrizes"):
            expect(body).to_contain_text(word)
        rank_all(phone)
        phone.get_by_role("button", name="Enviar").tap()
    expect(body).to_contain_text(re.compile("A tarefa está completa|não tem registros pendentes"))

    ours = flat(phone.evaluate("$nuxt.$i18n.messages.pt"))
    theirs = flat(phone.evaluate("$nuxt.$i18n.messages.en"))
    assert set(ours) <= set(theirs)
    names = re.compile(r"{\w+}")
    assert [key for key in ours if set(names.findall(ours[key])) != set(names.findall(theirs[key]))] == []
    # Whoever chooses another language keeps it.
    phone.goto(f"{url}/user-settings")
    phone.locator('label[for="en"]').click()
    phone.reload()
    expect(body).to_contain_text("My settings")


def test_the_keys_that_the_guidelines_tell_rank_submit_and_discard(
    page: Page, tmp_path: Path, argilla_server: tuple[str, Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project = push_project(tmp_path / "paraguay", url, "PY", ["Uno", "Dos", "Tres", "Cuatro"])
    password = project.secrets()["passwords"]["py_1"]
    log_in(page, url, "py_1", password)
    page.get_by_text("Encaje cultural").first.click()
    places, body = page.locator(".draggable__slot-box"), page.locator("body")
    for marked, key in zip("ABCD", "3114", strict=True):
        expect(page.locator(f"#{marked}")).to_be_focused()
        page.keyboard.press(key)
        expect(places.nth(int(key) - 1)).to_contain_text(f"Respuesta {marked}")
    expect(page.locator("#A")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("1")
    page.keyboard.press("4")
    keep_picture(page, "keys")
    expect(page.locator('[id="problems_C:wrong_country"]')).to_be_checked()
    page.keyboard.press("Enter")
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    annot(project, "sync")
    (stored,) = answers(project.ledger, "ranking")
    a, b, c, d = next(slate for slate in read_slates(project.ledger) if slate.id == stored.item_id).seats
    assert [set(tier) for tier in stored.value.tiers] == [{b, c}, {a}, {d}]
    assert stored.value.problems == {c: ("wrong_country",)}
    expect(page.locator("#A")).to_be_focused()
    with page.expect_response(lambda answer: answer.url.endswith("/responses")):
        page.keyboard.press("Backspace")
    client = AnnotatorClient(url, "py_1", password)
    (dataset_id,) = client.datasets().values()
    assert client.queue(dataset_id) == []


def keep_picture(page: Page, name: str) -> None:
    """For whoever wants to see the page with their own eyes."""
    if folder := os.environ.get("ANNOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def words(text: str) -> str:
    """A text, however it is broken into lines."""
    return " ".join(text.split())


def test_a_prompt_is_checked_in_the_browser_and_nobody_checks_their_own(
    page: Page, outside: Outside, tmp_path: Path, argilla_server: tuple[str, Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project = make_project(
        tmp_path / "panama",
        '[project]\ncountries = ["PA"]\nlanguages = ["es"]\n[task.prompt_check]\ntarget = 1\noverlap = 1\naccepts = 1\n'
        f'[argilla]\nurl = "{url}"\n',
    )
    own = Prompt.make("¿Qué baile es el mío?", country="PA", language="es", author="pa_1")
    other = Prompt.make(f"¿Qué se baila en los carnavales? {HOSTILE}", country="PA", language="es", system="Sé breve.")
    project.ledger.add_prompts([other, own])
    roster = project.folder / "roster.csv"
    roster.write_text("username,name,role,country,languages\npa_1,Demo,annotator,PA,es\n", encoding="utf-8")
    annot(project, "team", "add", str(roster))
    assert "sent 2 to pa" in annot(project, "prompts", "review")
    assert "sent nothing; 2 were there already" in annot(project, "prompts", "review")

    log_in(page, url, "pa_1", project.secrets()["passwords"]["pa_1"])
    page.get_by_text("Preguntas", exact=True).first.click()
    body = page.locator("body")
    expect(body).to_contain_text("¿Vale la pena esta pregunta para tu cultura?")
    expect(body).to_contain_text(other.text)
    expect(body).to_contain_text("Sé breve.")
    page.get_by_text("Directrices").first.click()
    expect(body).to_contain_text("¡Gracias por cuidar las preguntas!")
    page.get_by_text("Directrices").first.click()
    page.get_by_text("Sí: pide saber algo de la cultura").click()
    page.locator("[contenteditable]").last.fill("Falta decir de qué provincia.")
    keep_picture(page, "prompt-check")
    page.get_by_role("button", name="Enviar").click()
    expect(body).to_contain_text("Enviado 1", use_inner_text=True)
    # The other question is the person's own.
    expect(body).not_to_contain_text(own.text)
    outside.assert_untouched(page)

    assert "1 new" in annot(project, "sync")
    (stored,) = answers(project.ledger, NAME)
    assert (stored.annotator, stored.country) == ("pa_1", "PA")
    assert stored.value == Verdict("knowledge", "Falta decir de qué provincia.")
    assert accepted_prompts(project.ledger, project.settings) == {other.id}
    assert "1 accepted" in annot(project, "status")


def exam_project(folder: Path, url: str, country: str, language: str) -> Project:
    """Two pushed exam questions with pictures of their page, and one annotator, COUNTRY_1."""
    project = make_project(
        folder,
        f'[project]\ncountries = ["{country}"]\nlanguages = ["{language}"]\n[task.exam]\ntarget = 2\noverlap = 1\n'
        f'agree = 1\n[argilla]\nurl = "{url}"\n',
    )
    asked = {
        "es": ("¿Que mercado abre los sabados en la villa de la prueba?", "¿Qué flor lleva el escudo de la prueba?"),
        "pt": ("Que mercado abre aos sabados na vila da prova?", "Que flor está no brasão da prova?"),
    }[language]
    options = (("El de la plaza", HOSTILE, "El del puerto", "Ninguno"), ("Rosa", "Clavel", "Lirio", "Tulipán", "Dalia"))
    for number, (text, own) in enumerate(zip(asked, options, strict=True)):
        picture = Image.new("RGB", (900, 260), "white")
        lines = [
            f"{number + 1}. {text}",
            *(f"   {letter}) {option}" for letter, option in zip("ABCDE", own, strict=False)),
        ]
        ImageDraw.Draw(picture).multiline_text(
            (30, 30), "\n".join(lines), "black", ImageFont.load_default(24), spacing=8
        )
        (folder / "exams" / "pictures").mkdir(parents=True, exist_ok=True)
        picture.save(folder / "exams" / "pictures" / f"{number}.jpg")
        question = ExamQuestion(
            f"{country}{number}",
            text,
            own,
            0 if number == 0 else None,
            country,
            language,
            "Examen de prueba 2020",
            number=str(number + 1),
            category="Geography",
            picture=f"exams/pictures/{number}.jpg",
        )
        project.ledger.add_items([item_of(question, number)])
    roster = folder / "roster.csv"
    name = f"{country.lower()}_1"
    roster.write_text(f"username,name,role,country,languages\n{name},Demo,annotator,{country},{language}\n", "utf-8")
    annot(project, "team", "add", str(roster))
    annot(project, "push", "--task", "exam")
    return project


@pytest.mark.parametrize(("country", "language"), [("EC", "es"), ("AO", "pt")])
def test_exam_questions_are_checked_with_their_picture_beside_them(
    browser: tuple[Browser, list[bytes]],
    outside: Outside,
    tmp_path: Path,
    argilla_server: tuple[str, Owner],
    monkeypatch: pytest.MonkeyPatch,
    country: str,
    language: str,
) -> None:
    url, owner = argilla_server
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    project, say = exam_project(tmp_path / country, url, country, language), TEXTS[language]
    page, name = open_page(browser[0], outside, f"{language}-{country}"), f"{country.lower()}_1"
    log_in(page, url, name, project.secrets()["passwords"][name])
    page.get_by_text(say["dataset"], exact=True).first.click()
    body, typed = page.locator("body"), page.locator("[contenteditable]")

    mended = {"es": "¿Qué mercado abre los sábados?", "pt": "Que mercado abre aos sábados?"}[language]
    for done in (1, 2):  # everybody has an order of their own
        expect(page.locator(".fields img")).to_be_visible()
        assert page.locator(".fields img").evaluate("(picture) => picture.naturalWidth") == 900
        if has_key := page.get_by_text(TEXTS[language]["no key"]).count() == 0:
            expect(body).to_contain_text(HOSTILE)
            page.get_by_text(say["typo"]).click()
            typed.first.click()
            page.keyboard.type(mended)
            page.keyboard.press("Enter")
            page.keyboard.type("D. Ninguno de ellos")
            page.get_by_text(say["region implicit"]).click()
        else:
            page.get_by_text(say["right"]).click()
            page.locator('label[for="answer_C"]').click()
            page.locator('label[for="removed_E"]').click()
            page.get_by_text(say["culture"], exact=True).click()
        keep_picture(page, f"exam-{language}-{'typo' if has_key else 'five'}")
        page.get_by_role("button", name="Enviar").click()
        expect(body).to_contain_text(f"nviado {done}", use_inner_text=True)
    outside.assert_untouched(page)
    page.context.close()

    assert "2 new" in annot(project, "sync")
    first, second = sorted(answers(project.ledger, "exam"), key=lambda answer: answer.item_id)
    assert first.value == Check("typo", mended, ((3, "Ninguno de ellos"),), feature="region implicit")
    assert second.value == Check("right", key=2, removed=4, feature="culture")
    checked = exam_questions(project.ledger, project.settings)
    assert [question.options[3] for question in checked] == ["Ninguno de ellos", "Tulipán"]
    assert [question.answer for question in checked] == [0, 2]


@pytest.fixture
def hostile_project(tmp_path: Path, argilla_server: tuple[str, Owner]) -> tuple[Project, ArgillaClient]:
    """Slates of eight, pushed: hostile prompts, contexts, topics and answers; the last slate has very long answers."""
    url, owner = argilla_server
    project = make_project(
        tmp_path / "chile",
        '[project]\ncountries = ["CL"]\nlanguages = ["es"]\n[select]\nslate = 8\n'
        f'[task.ranking]\ntarget = 9\noverlap = 1\n[argilla]\nurl = "{url}"\n',
    )
    eights = [hostile.ALL[:8], hostile.ALL[8:16], hostile.ALL[-8:], [hostile.LONG] * 2 + ["breve"] * 6]
    for number, eight in enumerate(eights):
        asked, topic, system = (eight[n][:2000] for n in (0, 1, 2))
        prompt = Prompt.make(f"{asked} {number}", country="CL", language="es", topic=topic[:60], system=system)
        answers = [Candidate.make(prompt.id, f"{text} ·{n}", model="m") for n, text in enumerate(eight)]
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        add_slates(project.ledger, [Slate(f"CL{number}", prompt.id, tuple(a.id for a in answers), number)])
    api = ArgillaClient(url, owner.api_key)
    add_team(project, api, [Person("cl_1", "", "annotator", "CL", ("es",))])
    pushed = push(api, project.ledger, project.settings)
    assert pushed.notes == (
        "2 answers have hidden characters (U+202E 1 times, U+202C 1 times, U+2066 1 times, U+2069 1 times, U+200B 1 "
        "times); the page shows each as ⟨U+…⟩ and exports keep them",
    )
    return project, api


def test_hostile_texts_that_are_pushed_are_shown_as_they_were_written_and_nothing_runs(
    page: Page, outside: Outside, hostile_project: tuple[Project, ArgillaClient]
) -> None:
    project, api = hostile_project
    url, password = api.url, project.secrets()["passwords"]["cl_1"]
    log_in(page, url, "cl_1", password)
    page.get_by_text("Encaje cultural").first.click()
    client = AnnotatorClient(url, "cl_1", password)
    (dataset_id,) = client.datasets().values()
    slates = {slate.id: slate for slate in read_slates(project.ledger)}
    texts = {candidate.id: candidate.text for candidate in project.ledger.candidates()}
    queue = client.queue(dataset_id)
    assert len(queue) == 4
    for number, record in enumerate(queue, 1):
        page.goto(f"{url}/dataset/{dataset_id}/annotation-mode?page={number}&status=pending")
        expect(page.locator(".fields")).to_contain_text("Respuesta H")
        shown = words(page.locator(".fields").text_content() or "")
        slate = slates[record["external_id"]]
        for candidate in slate.seats:
            assert words(show_hidden(texts[candidate])) in shown
        keep_picture(page, f"hostile-pushed-{number}")
        outside.assert_untouched(page)
    # What a person typed comes back to them.
    for record in queue:
        slate = slates[record["external_id"]]
        given = Judgement(tuple((c,) for c in slate.seats), rewrite="".join(hostile.ALL[:11]))
        client.answer(record["id"], ranking_values(given, slate))
    page.goto(f"{url}/dataset/{dataset_id}/annotation-mode?page=1&status=submitted")
    expect(page.locator("body")).to_contain_text(hostile.RUN)
    keep_picture(page, "hostile-answered")
    outside.assert_untouched(page)


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
        template = f"<b>una plantilla</b><script>{hostile.RUN}</script>"
        custom = {"type": "custom", "template": template, "advanced_mode": True}
        ask("POST", f"{dataset}/fields", {"name": "custom", "title": "custom", "required": False, "settings": custom})
        fields["custom"] = {"text": "".join(hostile.ALL)}
        records = [{"fields": fields}, {"fields": {"custom": {"text": hostile.SCRIPTS["closed tags"]}}}]
        options = [{"value": value, "text": value} for value in ("bien", "mal")]
        choice = {"type": "label_selection", "options": options}
        ask("POST", f"{dataset}/questions", {"name": "q", "title": "q", "required": True, "settings": choice})
        ask("PUT", f"{dataset}/publish")
        ask("POST", f"{dataset}/records/bulk", {"items": records})
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

    seen = ""
    for number in (1, 2):
        page.goto(f"{url}/dataset/{raw_dataset}/annotation-mode?page={number}&status=pending")
        expect(page.locator(".fields").get_by_text("custom", exact=True)).to_be_attached()
        for frame in page.locator(".fields iframe").all():
            expect(frame.content_frame.locator("html[data-theme] body")).to_be_attached()
        seen += page.evaluate(f"[document, ...{FRAMES}].map((page) => page.body.textContent).join()")
        outside.assert_untouched(page)
        keep_picture(page, f"hostile-raw-{number}")
    assert [text for text in ("veintiuno", "una plantilla") if text not in seen] == []
    page.get_by_text("Directrices").first.click()
    expect(page.locator("body")).to_contain_text("Guía")
    outside.assert_untouched(page)
    keep_picture(page, "hostile-guidelines")
    page.get_by_text("Directrices").first.click()
    # The form is where it always is, and can be filled in.
    page.get_by_text("bien", exact=True).click()
    page.get_by_role("button", name="Enviar").click()
    expect(page.locator("body")).to_contain_text("Enviado 1", use_inner_text=True)
    outside.assert_untouched(page)


def test_every_way_from_a_text_to_a_page_is_guarded(
    page: Page, outside: Outside, argilla_server: tuple[str, Owner]
) -> None:
    page.goto(f"{argilla_server[0]}/sign-in")
    expect(page.locator("input[type=password]")).to_be_visible()
    put = """async (texts) => {
      const place = document.body.appendChild(document.createElement("div"));
      place.className = "fields";
      for (const text of texts) {
        place.append(...["p", "td", "section"].map((name) => document.createElement(name)));
        for (const element of place.children) element.innerHTML = text;
        const drawing = place.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
        drawing.innerHTML = text;
        const template = document.createElement("template");
        template.innerHTML = text;
        place.append(template.content);
        place.append(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
        const frame = document.createElement("iframe");
        frame.setAttribute("srcdoc", text);
        await new Promise((done) => { frame.onload = done; place.append(frame); });
      }
    }"""
    page.evaluate(put, hostile.ALL)
    outside.assert_untouched(page)
    assert page.locator("iframe").count() == len(hostile.ALL)


def test_a_text_keeps_its_form_and_loses_what_reaches_beyond_it(
    page: Page, outside: Outside, argilla_server: tuple[str, Owner]
) -> None:
    page.goto(f"{argilla_server[0]}/sign-in")
    expect(page.locator("input[type=password]")).to_be_visible()
    rel = 'target="_blank" rel="noopener noreferrer"'
    far, pixel = f"http://{hostile.ELSEWHERE}", "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    shown = {
        '<b>uno</b> <i class="x" style="color: red">dos</i>': '<b>uno</b> <i class="x" style="color: red">dos</i>',
        "<ul><li>a<table><tbody><tr><td>b": "<ul><li>a<table><tbody><tr><td>b</td></tr></tbody></table></li></ul>",
        f'<a href="{far}/">a</a>': f'<a href="{far}/" {rel}>a</a>',
        f'<img src="{far}/a.png">': f'<img alt="{far}/a.png">',
        f'<img alt="mate" src="{far}/a.png" srcset="{far}/b.png 2x">': f'<img alt="mate {far}/a.png">',
        f'<img src="{pixel}">': f'<img src="{pixel}">',
        '<b style="position: absolute; color: red">a</b>': '<b style="color: red;">a</b>',
        '<svg><rect fill="url(#a)"></rect></svg>': '<svg><rect fill="url(#a)"></rect></svg>',
        "<label for=x>a</label><b popover>c</b>": "<label>a</label><b>c</b>",
        "<form>a <input></form>b": 'a <input disabled="">b',
    }
    put = """(texts) => texts.map((text) => {
      const element = document.createElement("div");
      element.innerHTML = text;
      return element.innerHTML;
    })"""
    assert dict(zip(shown, page.evaluate(put, list(shown)), strict=True)) == shown
    outside.assert_untouched(page)


def test_without_what_makes_the_work_easier_the_page_is_argillas(page: Page, argilla_server: tuple[str, Owner]) -> None:
    page.route("**/annot-annotating.js", lambda route: route.abort())
    page.goto(f"{argilla_server[0]}/sign-in")
    expect(page.get_by_role("button", name="Iniciar sesión")).to_be_visible()


@pytest.mark.parametrize("missing", ["annot-page", "annot-dompurify"])
def test_without_its_guard_the_page_does_not_start(page: Page, argilla_server: tuple[str, Owner], missing: str) -> None:
    page.route(f"**/{missing}.js", lambda route: route.abort())
    page.goto(f"{argilla_server[0]}/sign-in", wait_until="networkidle")
    assert page.locator("input").count() == 0
