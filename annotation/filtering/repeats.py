"""Repeats: rows that stand twice, prompts that are nearly the same, and those of them in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from annotation.drafting.verdict import normal_form
from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look
from annotation.prompts.duplicates import clusters
from annotation.types import content_id

TRAINED_ON = ("train", "entrena", "trein")
"""How the name of a split begins whose rows are learnt from, in English, Spanish and Portuguese; the others are
measured on."""


def exact_repeats(rows: Sequence[Row], _look: Look, _threshold: float) -> Found:
    """Rows with the same prompt, answers and judgement as an earlier one; a vote of somebody else is no repeat.

    Of two in different splits the one that is measured on stays.
    """
    first: dict[tuple[object, ...], Row] = {}
    findings = []
    for place in sorted(range(len(rows)), key=lambda place: not _measured_on(rows[place])):
        row = rows[place]
        key = (
            tuple((turn.role, normal_form(turn.text)) for turn in row.turns),
            row.country,
            tuple(normal_form(answer.text) for answer in row.answers),
            tuple((one.tiers, one.none_acceptable, one.annotator) for one in row.judgements),
        )
        twin = first.setdefault(key, row)
        if twin is not row:
            findings.append(Finding(place, f"the same as {twin.place}"))
    return Found(sorted(findings, key=lambda one: one.row))


def near_repeats(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Prompts that are nearly the same as another, of whatever country: they form a group."""
    leaders = clusters([row.prompt for row in rows], threshold, look.progress)
    members: dict[int, list[int]] = defaultdict(list)
    for place, leader in enumerate(leaders):
        members[leader].append(place)
    names = {leader: content_id(normal_form(rows[leader].prompt)) for leader in members}
    findings = [
        Finding(place, f"in a group of {len(members[leader])} with {rows[leader].place}: {rows[leader].prompt[:60]}")
        for place, leader in enumerate(leaders)
        if leader != place
    ]
    return Found(findings, groups={place: names[leader] for place, leader in enumerate(leaders)})


def leaks(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Rows of a training split whose group also stands in a split that is measured on."""
    held: dict[str, Row] = {}
    for row in rows:
        if _measured_on(row):
            held.setdefault(look.group(row), row)
    return Found(
        [
            Finding(place, f"{held[look.group(row)].place} asks nearly the same")
            for place, row in enumerate(rows)
            if row.split.casefold().startswith(TRAINED_ON) and look.group(row) in held
        ],
        note="" if any(row.split for row in rows) else "the source names no splits",
    )


def _measured_on(row: Row) -> bool:
    return bool(row.split) and not row.split.casefold().startswith(TRAINED_ON)
