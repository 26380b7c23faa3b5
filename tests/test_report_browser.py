"""The page of `annot report` in a real browser: no text runs, nobody is called, and it fits where it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hostile
import pytest
from playwright.sync_api import Browser, Page
from projects import annot
from report_projects import busy_project
from round_projects import two_rounds
from test_browser import browser

from annotation.project import Project

pytestmark = pytest.mark.browser

__all__ = ["browser"]  # fixture

LONG = "Anticonstitucionalmente" * 40
NAMES = (
    "<script>top.brokenIn = 1</script>",
    '"><svg onload="top.brokenIn = 1">',
    '<img src=x onerror="top.brokenIn = 1">',
    f"ana{hostile.HIDDEN['bidi']}",
    LONG,
    "javascript:top.brokenIn=1",
)
WIDTHS = {"laptop": 1280, "phone": 390, "small phone": 320}
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter((element) => {
  const { right, left } = element.getBoundingClientRect();
  return right > document.documentElement.clientWidth + 1 || left < -1;
}).map((element) => element.outerHTML.slice(0, 200))"""
RUNS = "script, img, iframe, object, embed, link, base, video, audio, a:not([href^='#']), [style], form"


class Opened:
    """A page of the disk, and what it did beyond being shown."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: str) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri(), wait_until="networkidle")
        self.asked.remove(path.as_uri())

    def keep_picture(self, name: str) -> None:
        """For whoever wants to see the page with their own eyes."""
        if folder := os.environ.get("ANNOT_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"report-{name}.png", full_page=True)


def written(project: Project, *words: str) -> Path:
    annot(project, "report", *words)
    return project.folder / "report.html"


@pytest.fixture
def shown(browser: tuple[Browser, list[bytes]]) -> Callable[[Path, int, str], Opened]:
    """Opens a file in a window of this width."""
    browser[1].clear()
    return lambda path, width, scheme: Opened(browser[0], path, width, scheme)


def test_hostile_names_and_texts_run_nothing_call_nobody_and_break_no_layout(
    tmp_path: Path, shown: Callable[[Path, int, str], Opened], browser: tuple[Browser, list[bytes]]
) -> None:
    texts = [*hostile.ALL, LONG]
    title = f"Fiestas {NAMES[1]}"
    project = busy_project(tmp_path, name=title, people=NAMES, texts=texts, slates=40, offended=True)
    path = written(project, "--names", "--language", "en")
    for width in WIDTHS.values():
        opened = shown(path, width, "light")
        opened.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        text = opened.page.inner_text("body")
        assert opened.page.title() == f"How {title} stands"
        assert opened.page.evaluate("top.brokenIn ?? null") is None
        assert opened.page.locator(RUNS).count() == 0
        assert (opened.asked, opened.said, browser[1]) == ([], [], [])
        assert opened.page.evaluate(TOO_WIDE) == []
        assert all(name in text for name in NAMES[:3])
        shown_texts = [hostile_text for hostile_text in texts[:-1] if hostile_text[:30] in text]
        assert len(shown_texts) > 25  # they are there, as they were written
        # What would turn the text around is written out.
        assert "⟨U+202E⟩" in text
        assert "\u202e" not in text
        opened.keep_picture(f"hostile-{width}")


@pytest.mark.parametrize("language", ["es", "pt", "en"])
def test_the_page_asks_for_nothing_and_fits_a_phone_a_laptop_and_paper(
    language: str, tmp_path: Path, shown: Callable[[Path, int, str], Opened]
) -> None:
    project = busy_project(tmp_path)
    path = written(project, "--language", language)
    for name, width in WIDTHS.items():
        for scheme in ("light", "dark"):
            opened = shown(path, width, scheme)
            assert (opened.asked, opened.said) == ([], [])
            assert opened.page.evaluate(TOO_WIDE) == []
            assert opened.page.locator("h2").count() >= 9
            assert opened.page.locator("html").get_attribute("lang") == language
            opened.keep_picture(f"{language}-{name}-{scheme}")
    # On paper: an A4 page less its margins is 680 pixels wide.
    opened = shown(path, 680, "dark")
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate(TOO_WIDE) == []
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = tmp_path / "report.pdf"
    opened.page.emulate_media()
    opened.page.pdf(path=paper, format="A4")
    assert_nothing_is_cut(opened.page, paper)


def test_the_rounds_fit_a_phone_and_a_laptop_in_three_languages(
    tmp_path: Path, shown: Callable[[Path, int, str], Opened]
) -> None:
    project = two_rounds(tmp_path)
    for language in ("es", "pt", "en"):
        path = written(project, "--language", language)
        for width in WIDTHS.values():
            opened = shown(path, width, "light")
            assert opened.page.evaluate(TOO_WIDE) == []
            assert opened.page.locator("section:has(> #rounds) svg").count() == 5
            assert opened.page.locator("section:has(> #rounds) li").count() == 1
            opened.keep_picture(f"rounds-{language}-{width}")


def letters(text: str) -> str:
    return re.sub(r"\W", "", text)


def assert_nothing_is_cut(page: Page, paper: Path) -> None:
    """Every row of the tables that are printed, and every contested item, stands on one page of the paper, whole."""
    import pypdfium2

    sheets = [letters(sheet.get_textpage().get_text_range()) for sheet in pypdfium2.PdfDocument(paper)]
    cells = [row.locator("th, td").all_text_contents() for row in page.locator("tbody tr").all() if row.is_visible()]
    assert len(sheets) > 1
    assert len(cells) > 20
    for row in cells:
        assert any(all(letters(cell) in sheet for cell in row) for sheet in sheets), row
    cases = page.locator(".case")
    assert cases.count() > 2
    for case in cases.all():
        texts = case.locator("dd").all_text_contents()
        assert any(all(letters(text) in sheet for text in texts) for sheet in sheets), texts
    # On the screen their texts are shown when somebody opens them.
    page.emulate_media(media="screen")
    assert not cases.locator("dd").first.is_visible()
    cases.locator("summary").first.click()
    assert cases.locator("dd").first.is_visible()


def test_pseudonyms_stand_in_the_place_of_names_unless_asked(tmp_path: Path) -> None:
    project = busy_project(tmp_path)
    project.ledger.decide("ana_mx", excluded="beto_mx said so")
    hidden = written(project, "--language", "en").read_text(encoding="utf-8")
    assert project.pseudonym("ana_mx") in hidden
    assert not [name for name in ("ana_mx", "beto_mx", "carla_br", "said so") if name in hidden]
    named = written(project, "--language", "en", "--names").read_text(encoding="utf-8")
    assert "ana_mx" in named
    assert "This page shows user names" in named


def test_nothing_is_there_yet_and_the_page_says_why(tmp_path: Path) -> None:
    project = busy_project(tmp_path, slates=0)
    text = written(project, "--language", "en").read_text(encoding="utf-8")
    for sentence in (
        "Not yet: nobody has answered anything.",
        "Not yet: nothing was judged by two people yet.",
        "Not yet: no run was started.",
        "Not yet: nothing was bought.",
    ):
        assert sentence in text


def test_a_report_that_is_killed_leaves_the_old_one_or_the_new_one_whole(tmp_path: Path) -> None:
    project = busy_project(tmp_path)
    old = written(project).read_text(encoding="utf-8")
    command = [sys.executable, "-m", "annotation.cli", "report", "--project", str(tmp_path), "--language", "pt"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    took, killed = time.perf_counter() - began, 0
    for share in (0.3, 0.6, 0.8, 0.9, 0.95, 1.0):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
            try:
                running.wait(took * share)
            except subprocess.TimeoutExpired:
                killed += 1
                running.kill()
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert text.startswith("<!doctype html>")
        assert text.endswith("</html>\n")
        assert abs(len(text) - len(old)) < 2000
    assert killed
