"""The report of a filter in a real browser: texts of a set are text there, and nothing is asked for anywhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import hostile
import pytest
from playwright.sync_api import Browser
from preference_sets import SETTINGS, row
from projects import make_project
from test_demo_browser import Seen, browser

from annotation.filtering.filter import filter_source
from annotation.filtering.report import write_report

__all__ = ["browser"]


def hostile_report(folder: Path) -> tuple[str, str]:
    """HTML and Markdown of a set in which every text tries something, some of them in every table."""
    rows = [
        row(n, question=f"{text} ¿Qué se come en la ciudad {n}?", rejected=f"{text} {row(n)['rejected']}")
        for n, text in enumerate(hostile.ALL)
    ]
    rows = [
        *rows,
        *[{**one, "chosen": f"Lo siento, no puedo ayudarte con esa pregunta. {one['rejected']}"} for one in rows],
    ]
    rows += [{**one, "chosen": f"{one['chosen']} </s> | `y` _más_"} for one in rows[: len(rows) // 2]]
    path = folder / "set <img src=x onerror=1>.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    found = filter_source(make_project(folder / "p", SETTINGS), str(path), meaning=False)
    write_report(found, folder / "out")
    return tuple((folder / "out" / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))  # type: ignore[return-value]


class Tags(HTMLParser):
    """Tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.sources: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs if name.startswith("on") or name == "style")}
        self.sources |= {str(value)[:10] for name, value in attrs if name in ("src", "href", "srcset")}


def test_no_text_of_a_set_is_a_tag_in_the_html_or_breaks_a_table_of_the_markdown(tmp_path: Path) -> None:
    page, markdown = hostile_report(tmp_path)
    tags = Tags()
    tags.feed(page)
    known = "html head meta title style body h1 p ul li figure img h2 div table tr th td"
    assert tags.found <= set(known.split())
    assert tags.sources == {"data:image"}
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert len(tables) > 3
    for one in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in one.splitlines()}) == 1
    assert "<img" not in markdown


def test_names_of_models_stand_in_tables_and_in_no_plot(tmp_path: Path) -> None:
    rows = [
        {"prompt": row(n)["question"], "model_a": "$$", "model_b": "all", "response_a": row(n)["chosen"],
         "response_b": row(n)["rejected"], "winner": "model_a"}
        for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    found = filter_source(make_project(tmp_path / "p", SETTINGS), str(path), meaning=False)
    write_report(found, tmp_path / "out")
    assert "<td>$$</td>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_the_report_shows_hostile_texts_and_plots_and_calls_nobody(
    browser: tuple[Browser, list[bytes]],
    tmp_path: Path,
) -> None:
    started, caught = browser
    hostile_report(tmp_path)
    page, seen = started.new_page(viewport={"width": 1280, "height": 900}), Seen()
    seen.listen_to(page)
    page.goto((tmp_path / "out" / "report.html").as_uri())
    assert page.evaluate("top.brokenIn ?? null") is None
    assert page.title().startswith("Filter of set <img")
    assert page.evaluate("[...document.images].map((one) => one.complete && one.naturalWidth > 300)") == [True] * 3
    assert "onerror" in page.inner_text("table")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (caught, [one for one in seen.elsewhere if not one.startswith("file:")], seen.errors) == ([], [], [])
