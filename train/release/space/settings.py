"""Settings and contents of the page: what demo.json says, and its words in the visitor's language."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

MOST_CHARACTERS = 2000
"""Longest question."""

TEXTS: dict[str, dict[str, str]] = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
"""Language -> name of a text -> the text."""


@dataclass(frozen=True, slots=True)
class Demo:
    """All of demo.json.

    Attributes:
        run: Name of the run.
        base: Name of the base; "" for one that is tiny and random, whose files are in `base/`.
        base_version: Commit on the Hub, or a fingerprint.
        base_revision: Commit on the Hub; "" for a base that is not there.
        adapter_sha256: Of the adapter's weights.
        project: Id of the project.
        title: Over the page.
        motivation: In the project's own words, as are `impact`, `team` and `links`.
        impact: See there.
        team: See there.
        links: Each with "title" and "url".
        countries: ISO 3166-1, the first is shown first.
        country_names: Country -> language of the page -> name.
        country_texts: Country -> system text that names it to the model.
        country_in_prompt: Whether the model learnt to be told the country.
        languages: Of the project.
        prompts: Examples, each with "id", "text", "country", "language" and "topic"; of pictures also with the file of
            the "picture" and its "credit".
        pictures: The model describes pictures: visitors choose one of the examples, and write no question.
        left_out: Why pictures are not among them -> how many.
        card: What was measured: "groups", each with "country" ("" for all), "value", "low", "high" and "prompts".
        gate: Verdict of the check before the release.
        gate_reason: Its reason, in English.
        ungated: It was released without having passed.
        max_new_tokens: Longest answer.
        votes_repo: Private dataset repository that the votes go to, or "".
        upload_minutes: Between two uploads.
        rate_per_minute: Questions of one visitor.
        base_is_tiny_and_random: It writes nonsense, and was made for trying out.
        simulated: Programs judged, not people.
    """

    run: str
    base: str
    base_version: str
    base_revision: str
    adapter_sha256: str
    project: str
    title: str
    motivation: str
    impact: str
    team: list[str]
    links: list[dict[str, str]]
    countries: list[str]
    country_names: dict[str, dict[str, str]]
    country_texts: dict[str, str]
    country_in_prompt: bool
    languages: list[str]
    prompts: list[dict[str, str]]
    pictures: bool
    left_out: dict[str, int]
    card: dict[str, list[dict[str, Any]]]
    gate: str
    gate_reason: str
    ungated: bool
    max_new_tokens: int
    votes_repo: str
    upload_minutes: float
    rate_per_minute: int
    base_is_tiny_and_random: bool
    simulated: bool


DEMO = Demo(**json.loads((HERE / "demo.json").read_text(encoding="utf-8")))

for texts in TEXTS.values() if DEMO.pictures else ():  # what is said otherwise of pictures stands beside the rest
    texts |= {name.removesuffix("_pictures"): text for name, text in texts.items() if name.endswith("_pictures")}


def language_of(accepted: str) -> str:
    """Language of the page, from what a browser says that it accepts; English where we do not speak the first."""
    first = accepted.partition(",")[0].partition(";")[0].strip().lower().partition("-")[0]
    return first if first in TEXTS else "en"
