"""The pages of docs/ and the READMEs: every link leads somewhere, and the site that is made of them opens from disk."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from playwright.sync_api import Browser, Page, ViewportSize, expect
from test_browser import browser

__all__ = ["browser"]  # fixture

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BESIDE = {"README.md": "index", "README.es.md": "index.es", "README.pt.md": "index.pt"}
BESIDE |= {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog"}
"""Pages that lie beside docs/ -> their names in the site."""
LAPTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).map((image) => image.src)"


def pages() -> list[Path]:
    return [*(ROOT / name for name in BESIDE), *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("*.ipynb"))]


def place_of(page: Path) -> str:
    """A page's name in the site, without a suffix."""
    return BESIDE.get(page.name, page.stem) if page.parent == ROOT else page.stem


@cache
def tokens(page: Path) -> list[Token]:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return MarkdownIt("commonmark").enable("table").parse(text)


@cache
def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub calls them."""
    found: list[str] = []
    for heading, inline in zip(tokens(page), tokens(page)[1:], strict=False):
        if heading.type == "heading_open":
            words = "".join(part.content for part in inline.children or [] if part.type in ("text", "code_inline"))
            found.append(re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-"))
    return {f"{name}-{n}" if (n := found[:place].count(name)) else name for place, name in enumerate(found)}


def links(page: Path) -> Iterator[str]:
    """Where links and pictures of a page point to."""
    for token in tokens(page):
        for part in token.children or []:
            if target := part.attrGet("href") or part.attrGet("src"):
                yield str(target)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for link in links(page):
        address = urlsplit(link)
        if address.scheme:  # elsewhere: nothing is asked of a network
            assert re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/\S*)?", link), link
            continue
        there = (page.parent / unquote(address.path)).resolve() if address.path else page
        assert there.exists(), link
        assert there.is_relative_to(ROOT), link
        if address.fragment:
            assert address.fragment in anchors(there), link


def test_links_are_found_at_all() -> None:
    found = [link for page in pages() for link in links(page)]
    assert {"docs/queue.png", "../README.md", "training.md#pictures", "https://argilla.io"} <= set(found)
    assert {"a-leads-first-hour", "how-it-is-built"} <= anchors(ROOT / "README.md")


def test_every_page_stands_once_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^ .*: (\S+)\.md$", navigation, flags=re.MULTILINE)) == sorted(map(place_of, pages()))


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, root / "docs" / "site" / "build.py", site]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built of what lies here."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "No issues found" in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"Open {(folder / 'index.html').as_uri()}")
    return folder


def test_the_site_has_every_page_in_its_language_and_none_asks_another_server(site: Path) -> None:
    made = {path.name.removesuffix(".html"): path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert set(made) == set(map(place_of, pages()))
    for name, text in made.items():
        language = name.partition(".")[2] or "en"
        assert f'<html lang="{language}"' in text, name
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="?(?:https?:)?//', text), name


def test_the_site_shows_what_the_markdown_says(site: Path) -> None:
    """Its builder reads another dialect than the page of a repository: a list or a table could become a paragraph."""
    for page in pages():
        text = (site / f"{place_of(page)}.html").read_text(encoding="utf-8")
        article = text.partition("<article")[2].partition("</article>")[0]
        for kind, tag in {"list_item_open": "li", "tr_open": "tr", "heading_open": "h[1-6]", "fence": "pre"}.items():
            shown = len(re.findall(rf"<{tag}[ >]", article))
            assert shown >= sum(token.type == kind for token in tokens(page)), (page.name, tag)


def copied(folder: Path) -> Path:
    """What the site is made of, once more, where a test may change it."""
    for name in (*BESIDE, "mkdocs.yml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(DOCS, folder / "docs")
    return folder


def test_a_notebook_is_shown_as_it_was_saved_and_a_file_that_is_no_page_is_named(tmp_path: Path) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    cells = [
        {
            "cell_type": "markdown",
            "source": ["# Tried\n", "\n", "See [the trainer](../train/dpo.py), [docs](votes.md)."],
        },
        {
            "cell_type": "code",
            "source": ["print('```')"],
            "outputs": [{"output_type": "stream", "text": ["```\n"]}, {"data": {"image/png": pixel + "\n"}}],
        },
    ]
    notebook = copied(tmp_path) / "docs" / "tried.ipynb"
    notebook.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = (tmp_path / "site" / "tried.html").read_text(encoding="utf-8")
    assert "See the trainer (<code>train/dpo.py</code>)" in shown
    assert re.search(r'<a href="(\./)?votes\.html">docs</a>', shown)
    assert shown.count("```") == 2
    assert f"data:image/png;base64,{pixel}" in shown


def test_a_link_to_nowhere_stops_the_build_and_leaves_the_older_site(tmp_path: Path) -> None:
    with (copied(tmp_path) / "docs" / "votes.md").open("a", encoding="utf-8") as page:
        page.write("\n[Nowhere](training.md#no-such-heading)\n")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "index.html").write_text("older", encoding="utf-8")
    done = build(tmp_path, tmp_path / "older")
    assert done.returncode != 0
    assert "votes.md" in done.stdout + done.stderr
    assert (tmp_path / "older" / "index.html").read_text(encoding="utf-8") == "older"


@pytest.fixture
def visit(browser: tuple[Browser, list[bytes]]) -> Iterator[Page]:
    """A page that asks for nothing but files, and whose scripts do not fail."""
    context = browser[0].new_context(viewport=LAPTOP)
    context.set_default_timeout(60_000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:", "about:")) or wrong.append(asked.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    yield page
    context.close()
    assert wrong == []


@pytest.mark.browser
def test_every_page_fits_a_laptop_and_a_phone_and_shows_its_pictures(visit: Page, site: Path) -> None:
    for path in sorted(site.glob("*.html")):
        visit.goto(path.as_uri())
        expect(visit.locator("h1").first).to_be_visible()
        for size in (LAPTOP, PHONE):
            visit.set_viewport_size(size)
            assert visit.evaluate(WIDER) <= 0, (path.name, size)
            assert visit.evaluate(BROKEN) == [], path.name
            if path.name.startswith("annotators.") and size == LAPTOP:  # a manual no longer than a screen
                assert visit.locator("article").evaluate("(page) => page.scrollHeight") <= LAPTOP["height"]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("size", "start", "word", "there"),
    [
        (LAPTOP, "index", "Elasticsearch", "argilla.html"),
        (PHONE, "index.es", "bibliotecas", "index.pt.html"),
        (PHONE, "index.pt", "ordenaciones", "index.es.html"),
    ],
    ids=["laptop", "phone in Spanish", "phone in Portuguese"],
)
def test_the_search_leads_from_a_page_on_disk_to_another_page(
    visit: Page, site: Path, size: ViewportSize, start: str, word: str, there: str
) -> None:
    visit.set_viewport_size(size)
    visit.goto((site / f"{start}.html").as_uri())
    visit.locator(".md-search__button:visible, label[for=__search]:visible").first.click()
    visit.get_by_placeholder("Search").press_sequentially(word)
    result = visit.locator(f"a[href*='{there}']").filter(has_text=word).filter(visible=True).first
    expect(result).to_be_visible(timeout=30_000)
    result.click()
    visit.wait_for_url(re.compile(re.escape(there)))


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    done = build(ROOT, tmp_path)
    assert (done.returncode, (tmp_path / "kept.txt").exists()) == (1, True)
    assert "name another folder" in done.stderr
