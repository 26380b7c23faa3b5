"""For whom an adapter is: everybody's, one country's, or everybody's with the country in the prompt.

An adapter of one country learns from its own slates, and from the others' with a small weight: what people share is
learnt from all, and where they differ the country's own people decide. Own plus a fifth of the others did better in
trials than either alone: shrinkage towards a common mean (Stein 1956; Efron & Morris 1975).

With the country in the prompt one adapter serves all, and the system text says for whom it answers.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotation.drafting.plan import name_of_country
from annotation.errors import TrainError
from train.dataset import Split
from train.rankings import RankedSlate
from train.run_folder import read_facts
from train.settings import RegionSettings
from train.statistics import Estimate

COUNTRIES = "countries.json"
"""In the folder of everybody's run --by country: which countries there are, and why one has no adapter of its own."""

WORDS = {"es": "País", "pt": "País"}
"""Language -> what a country is called before its name in a system text; "Country" in every other language."""


@dataclass(frozen=True, slots=True)
class Region:
    """A country that judged slates.

    Attributes:
        country: ISO 3166-1 alpha-2, or "" for slates that name none.
        slates: To train on.
        prompts: To train on and held out.
        held_out: Of them, those to measure on.
        skipped: Why it gets no adapter of its own, or "".
    """

    country: str
    slates: int
    prompts: int
    held_out: int
    skipped: str


def regions(split: Split[RankedSlate], settings: RegionSettings) -> tuple[Region, ...]:
    """Every country of the slates, and whether it can have an adapter of its own."""
    trained: dict[str, set[str]] = defaultdict(set)
    held: dict[str, set[str]] = defaultdict(set)
    slates: dict[str, int] = defaultdict(int)
    for slate in split.train:
        trained[slate.country].add(slate.prompt_key)
        slates[slate.country] += 1
    for slate in split.held_out:
        held[slate.country].add(slate.prompt_key)
    compared = {slate.country for slate in split.held_out if slate.comparisons}
    found = []
    countries = sorted(trained.keys() | held.keys())
    for country in countries:
        prompts, measured = len(trained[country]) + len(held[country]), len(held[country])
        reason = ""
        if not country:
            reason = "these slates name no country"
        elif not re.fullmatch("[A-Z]{2}", country):
            reason = "it is named by no ISO 3166-1 code of two capital letters"
        elif len(countries) == 1:
            reason = "no other country judged anything: the shared adapter is its own"
        elif prompts < settings.min_prompts:
            reason = f"{prompts} prompts are fewer than region.min_prompts = {settings.min_prompts}"
        elif not (trained[country] and measured):
            reason = "none of its prompts is held out to measure on; raise data.held_out, or collect more"
        elif country not in compared:
            reason = "in none of its held-out slates a majority prefers one answer to another; collect more"
        found.append(Region(country, slates[country], prompts, measured, reason))
    return tuple(found)


def for_region(split: Split[RankedSlate], settings: RegionSettings) -> Split[RankedSlate]:
    """What an adapter of one country trains and is measured on; everything where no country is named.

    The same prompts are held out as for everybody's adapter, so that both can be compared on them.

    Raises:
        TrainError: The country judged nothing, or none of its prompts is held out.
    """
    own = settings.country
    if not own:
        return split
    held_out = tuple(slate for slate in split.held_out if slate.country == own)
    train = tuple(
        slate if slate.country == own else replace(slate, weight=slate.weight * settings.others)
        for slate in split.train
        if slate.country == own or settings.others
    )
    for side, name in ((train, "to train on"), (held_out, "held out to measure on")):
        if not any(slate.country == own for slate in side):
            known = ", ".join(sorted({s.country for s in (*split.train, *split.held_out)} - {""})) or "none"
            raise TrainError(f"no slate of {own} is {name} (countries here: {known}); choose another region.country.")
    return Split(train, held_out)


def with_country(slates: Sequence[RankedSlate]) -> tuple[RankedSlate, ...]:
    """Say in the system text of every slate for whom it is answered, behind what stands there already.

    Raises:
        TrainError: The prompts are plain text, which has no place for it, or none says its country.
    """
    if not any(slate.country for slate in slates):
        raise TrainError(
            "no slate names a country, so that the prompts cannot say one: add a column country, or leave out --by "
            "prompt (region.in_prompt)."
        )
    told = []
    for slate in slates:
        if isinstance(slate.prompt, str):
            raise TrainError(f"{slate.id} is plain text: to say the country, prompts must be written as messages.")
        if not slate.country:
            told.append(slate)
            continue
        line = country_line(slate.country, slate.language)
        first, *rest = slate.prompt
        if first["role"] == "system":
            prompt = ({**first, "content": f"{first['content']}\n\n{line}"}, *rest)
        else:
            prompt = ({"role": "system", "content": line}, *slate.prompt)
        told.append(replace(slate, prompt=prompt))
    return tuple(told)


def country_line(country: str, language: str) -> str:
    """What the system text says of a country: "País: México."; whoever uses such an adapter says the same."""
    return f"{WORDS.get(language, 'Country')}: {name_of_country(country, language or 'en')}."


def region_line(region: Region) -> str:
    """What becomes of a country with --by country, for a person."""
    name = region.country or "no country"
    if region.skipped:
        return f"{name:<22}no adapter of its own: {region.skipped}"
    slates = f"{region.slates} slates to train on, {region.held_out} of {region.prompts} prompts held out"
    return f"{name:<22}an adapter of its own: {slates}"


def adapters_side_by_side(folder: Path, everybody: Mapping[str, float]) -> list[str]:
    """For the report of a run --by country: every country's own adapter beside everybody's, worst first.

    Args:
        folder: Of everybody's run.
        everybody: Country -> its held-out accuracy by implicit reward with everybody's adapter.

    Returns:
        Lines of Markdown; none for any other run.
    """
    if not (folder / COUNTRIES).exists():
        return []
    remedy = f"remove it and run the same `annot train --run {folder.name} --by country` again"
    found = read_facts(folder / COUNTRIES, {}, remedy)
    rows: list[tuple[float, str]] = []
    skipped = []
    for country, region in sorted(found.items()):
        if region["skipped"]:
            skipped.append(f"- {country or 'No country named'}: no adapter of its own: {region['skipped']}.")
            continue
        run = folder.with_name(f"{folder.name}-{country}")
        done = read_facts(run / "DONE", {"accuracy": dict}, remedy)
        own, shared = done["accuracy"]["implicit_reward"]["after"], everybody.get(country, math.nan)
        if own["prompts"] < 2 or own["low"] <= shared <= own["high"]:
            best = "too few to tell"
        else:
            best = f"runs/{run.name}" if own["value"] > shared else "everybody's"
        cells = (country, str(region["held_out"]), f"{shared:.1%}", _with_interval(own), best)
        rows.append((max(own["value"], shared), "| " + " | ".join(cells) + " |"))
    head = [
        "| country | held-out prompts | everybody's adapter | its own adapter | use |",
        "| --- | --- | --- | --- | --- |",
    ]
    return [
        "## Adapters by country, worst first",
        "",
        "Accuracy by implicit reward on the same held-out pairs of the country, with the 95 % interval of its own: "
        "while that holds everybody's, there are too few to tell.",
        "",
        *(head if rows else []),
        *(row for _, row in sorted(rows)),
        "",
        *skipped,
        "",
    ]


def _with_interval(accuracy: Mapping[str, float]) -> str:
    value, low, high = (accuracy[name] for name in ("value", "low", "high"))
    return str(Estimate(value, low, high, int(accuracy["pairs"]), int(accuracy["prompts"])))
