"""Thresholds of known encoders: settings begin with them, and the docs show the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annotation.config import SelectSettings
from annotation.encoders import KNOWN, MULTILINGUAL, PACKAGED
from annotation.project import Project, init_project

DOCS = Path(__file__).parent.parent / "docs" / "scale.md"


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_encoder_brings_its_thresholds(tmp_path: Path, name: str) -> None:
    init_project(tmp_path, name="x", countries=["MX"], languages=["es"], encoder=name)
    found = Project.open(tmp_path).settings.select
    assert (found.off_topic, found.near_duplicate) == (KNOWN[name].off_topic, KNOWN[name].near_duplicate)
    text = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    assert re.search(rf"# off_topic = {found.off_topic}\b", text), "the file shows what holds"
    assert re.search(rf"# near_duplicate = {found.near_duplicate}\b.*two answers", text)


def test_what_a_lead_sets_holds_whatever_the_encoder() -> None:
    found = SelectSettings(encoder=PACKAGED, off_topic=0.1)
    assert (found.off_topic, found.near_duplicate) == (0.1, KNOWN[PACKAGED].near_duplicate)
    assert SelectSettings(**found.model_dump()) == found
    assert SelectSettings(encoder="someone/else").off_topic == KNOWN[MULTILINGUAL].off_topic
    assert SelectSettings() == SelectSettings(encoder=MULTILINGUAL)


def test_the_docs_show_the_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, known in KNOWN.items():
        row = f"| `{name}` | {known.language} | {known.off_topic} | {known.near_duplicate} | {known.measured_on} |"
        assert row in text
