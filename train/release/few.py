"""Small groups of people: of fewer than three no number is given, nor any from which it could be told."""

from __future__ import annotations

from typing import Any

from annotation.item_counts import ALL

FEWEST_SHOWN = 3
"""Of fewer people no number is given: they could be told apart."""

FEW = "fewer than three"


def without_few(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts of `annotation.data_facts` without the sizes of small groups: words stand in their place."""
    found = {**facts, "people": _group(facts["people"]), "left_out": {**facts["left_out"]}}
    found["left_out"]["excluded_people"] = _shown(facts["left_out"]["excluded_people"])
    if weighted := facts.get("weighted"):
        found["weighted"] = {"people": _shown(weighted["people"])}
    found["tasks"] = {name: {**_group(task), "agreement": _agreement(task)} for name, task in facts["tasks"].items()}
    return found


def _group(group: dict[str, Any]) -> dict[str, Any]:
    """People by country. Where one number is not given, the sum of all would tell it."""
    by_country: dict[str, int] = group["people_by_country"]
    large = sum(number for number in by_country.values() if number >= FEWEST_SHOWN)
    total: int | str = group["people"]
    if large < group["people"]:
        total = f"more than {large}" if large else FEW if len(by_country) == 1 else f"{FEW} in each country"
    return {**group, "people": total, "people_by_country": {name: _shown(n) for name, n in by_country.items()}}


def _agreement(task: dict[str, Any]) -> dict[str, Any]:
    """Of annotators the same."""
    few = any(number < FEWEST_SHOWN for number in task["people_by_country"].values())
    found = {}
    for group, one in task["agreement"].items():
        found[group] = dict(one)
        if "annotators" in one:
            summed = few and group.startswith(ALL)
            found[group]["annotators"] = "not shown" if summed else _shown(one["annotators"])
    return found


def _shown(people: int) -> int | str:
    return FEW if 0 < people < FEWEST_SHOWN else people


def weighted_votes(people: str) -> str:
    """That votes were weighted, by what rule, and of how many people, in a sentence for a card."""
    return (
        f"Votes were counted by weight. Those of {people} people weigh more or less than one: the team's lead decided "
        "that they follow how far each of these people agrees with the others of their country."
    )
