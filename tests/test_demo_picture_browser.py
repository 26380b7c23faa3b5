"""The page of a run about pictures in a real browser: visitors vote on two descriptions of one, and that comes home."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from demo_pages import TEXTS, Demo, running_picture_demo
from playwright.sync_api import expect
from test_demo_browser import LAPTOP, PHONE, browser, choose, keep_picture, seen, visit

from annotation.tasks.duel.votes import read_duels
from sync.votes.pull import pull_votes

pytestmark = [pytest.mark.browser]

__all__ = ["browser", "seen", "visit"]
"""Fixtures that stand there."""


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The page of a run about pictures."""
    with running_picture_demo(tmp_path_factory.mktemp("pictured")) as running:
        yield running


@pytest.mark.parametrize("device", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_a_visitor_sees_a_picture_and_votes_on_two_descriptions_of_it(
    pictured: Demo, visit: Any, device: dict[str, Any]
) -> None:
    page = visit(pictured.url, locale="es-MX", **device)
    texts, before = TEXTS["es"], len(pictured.lines())
    shown = page.locator("#picture img")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.complete && image.naturalWidth") == 640
    expect(page.locator("#picture figcaption")).to_have_text("Taller de dibujo · CC-BY-4.0")
    expect(page.locator("#question")).to_have_count(0)
    expect(page.get_by_role("tab", name=texts["tab_chat"])).to_have_count(0)
    first = shown.get_attribute("src")
    choose(page, "example", f"{texts['picture']} 2")
    expect(shown).not_to_have_attribute("src", first)
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["now_vote"])
    expect(page.locator("#side_A")).to_contain_text(texts["a_pictures"])
    expect(page.get_by_text(texts["country_info_pictures"])).to_be_visible()
    keep_picture(page, f"demo_picture_{'phone' if device is PHONE else 'laptop'}")
    page.locator("#vote_A").click()
    expect(page.locator("#said")).to_contain_text(texts["thanks"])
    begun, voted = pictured.lines()[before:]
    prompts = [prompt for prompt in pictured.project.ledger.prompts() if prompt.image]
    assert begun["prompt_id"] in {prompt.id for prompt in prompts}
    assert (begun["kind"], voted["kind"], voted["choice"]) == ("begun", "voted", "A")
    assert all(voted[side] for side in "ab"), "both descriptions are kept: the visitor typed nothing"
    # Another picture closes the comparison.
    page.locator("#compare").click()
    expect(page.locator("#said")).to_contain_text(texts["now_vote"])
    choose(page, "example", f"{texts['picture']} 1")
    expect(page.locator("#vote_A")).to_be_disabled()


def test_votes_on_pictures_come_home_with_their_picture(pictured: Demo) -> None:
    """After the visitors of before."""
    found = pull_votes(pictured.project, str(pictured.votes))
    assert found.new.total() == 2
    duels = read_duels(pictured.project.ledger)
    pictures = {prompt.id: prompt.image for prompt in pictured.project.ledger.prompts()}
    assert duels
    assert all(pictures[duel.prompt_id] for duel in duels)
