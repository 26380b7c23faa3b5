"""Regions: an adapter for everybody, for one country, or for everybody with the country in the prompt.

An adapter of one country learns from its own slates, and from the others' with a small weight: what people share is
learnt from all, and where they differ the country's own people decide. Own plus a fifth of the others did better in
trials than either alone: shrinkage towards a common mean (Stein 1956; Efron & Morris 1975).

With the country in the prompt one adapter serves all, and the system text says for whom it answers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from annotation.errors import TrainError
from annotation.text.locales import country_line
from train.data.slates import RankedSlate
from train.data.split import Split
from train.settings import RegionSettings


@dataclass(frozen=True, slots=True)
class Region:
    """A country whose people judged slates.

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
    """All countries of the slates, each with the reason why it gets no adapter of its own, or ""."""
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
    """Slates for the adapter of one country, to train and to measure on; all slates where no country is named.

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
    """Add the country to the system text of every slate, behind what stands there already.

    Raises:
        TrainError: The prompts are plain text, which has no place for it, or none says its country.
    """
    if not any(slate.country for slate in slates):
        raise TrainError(
            "no slate names a country, so that the prompts cannot say one: add a column country, or leave out --by "
            "prompt (region.in_prompt)."
        )
    changed = []
    for slate in slates:
        if isinstance(slate.prompt, str):
            raise TrainError(f"{slate.id} is plain text: to say the country, prompts must be written as messages.")
        if not slate.country:
            changed.append(slate)
            continue
        line = country_line(slate.country, slate.language)
        first, *rest = slate.prompt
        if first["role"] == "system":
            prompt = ({**first, "content": f"{first['content']}\n\n{line}"}, *rest)
        else:
            prompt = ({"role": "system", "content": line}, *slate.prompt)
        changed.append(replace(slate, prompt=prompt))
    return tuple(changed)


def region_line(region: Region) -> str:
    """Line for a person: whether a country gets an adapter of its own with --by country."""
    name = region.country or "no country"
    if region.skipped:
        return f"{name:<22}no adapter of its own: {region.skipped}"
    slates = f"{region.slates} slates to train on, {region.held_out} of {region.prompts} prompts held out"
    return f"{name:<22}an adapter of its own: {slates}"
