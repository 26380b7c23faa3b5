"""Shortcuts of a set: length, style, the opening and ending of answers, or the model tells which one is chosen."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.filtering.baselines import (
    FEW,
    foretold_by_features,
    foretold_by_words,
    nothing_to_measure,
    share_flag,
    surplus,
    told,
)
from annotation.filtering.rows import Row
from annotation.filtering.rule import Flag, Found, Look

STYLE: Mapping[str, re.Pattern[str]] = {
    "headings": re.compile(r"^#{1,6} \S", re.MULTILINE),
    "lists": re.compile(r"^[ \t]*(?:[-*•+]|\d{1,2}[.)])[ \t]+\S", re.MULTILINE),
    "bold": re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__"),
    "emoji": re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]"),
    "tables and code": re.compile(r"^```|^\|.*\|[ \t]*$", re.MULTILINE),
    "exclamation marks": re.compile(r"!"),
}
"""How an answer looks, whatever it says."""

EDGE = 3
"""Words at the beginning and at the end of an answer that a model repeats: "Claro, aquí tienes", "si necesitas más"."""

_WORD = re.compile(r"\w+|[^\w\s]")

Floats = NDArray[np.float64]


def _of_pairs(rows: Sequence[Row], measure: Callable[[str, str], Any]) -> tuple[list[int], Floats]:
    """Rows with pairs, and the mean over each row's pairs of a measure of (better, worse)."""
    places = [place for place, row in enumerate(rows) if row.pairs]
    means = [
        np.mean([measure(row.answers[one].text, row.answers[two].text) for one, two in row.pairs], axis=0)
        for row in (rows[place] for place in places)
    ]
    return places, np.array(means, dtype=np.float64)


def length(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """How often the longer answer is the chosen one, by country; and the rows that would balance it."""
    look.progress(0, len(rows), "length")
    places, ratios = _of_pairs(rows, lambda one, two: math.log((len(one) + 1) / (len(two) + 1)))
    if not places:
        return nothing_to_measure()
    names, right = ("the longer one is chosen", "the shorter one is chosen"), told(ratios)
    flags, findings = [share_flag("all", right, threshold, *names)], []
    countries = np.array([rows[place].country or "–" for place in places])
    for country in sorted(set(countries.tolist())):
        of = np.flatnonzero(countries == country)
        flags.append(share_flag(country, right[of], threshold, *names))
        if flags[0].raised or flags[-1].raised:
            here = [places[at] for at in of.tolist()]
            findings += surplus(right[of], here, ratios[of], threshold, f"{flags[-1].note} in {country}")
    return Found(sorted(findings, key=lambda one: one.row), flags if len(flags) > 2 else flags[:1])


def style(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """How often looks alone tell the chosen answer, by cross-validation; and each feature that one side alone has."""
    look.progress(0, len(rows), "style")
    places, differences = _of_pairs(rows, lambda one, two: _looks(one) - _looks(two))
    if not places:
        return nothing_to_measure()
    scores = foretold_by_features(differences, [look.group(rows[place]) for place in places])
    flags = [share_flag("all", told(scores), threshold, "style alone tells the chosen one")]
    for number, name in enumerate(STYLE):
        of = differences[differences[:, number] != 0, number]
        side = (f"{name}: more in the chosen one", f"{name}: more in the rejected one")
        flags += [share_flag(name, told(of), threshold, *side)] if len(of) else []
    findings = surplus(told(scores), places, scores, threshold, "style alone tells it") if flags[0].raised else ()
    return Found(findings, flags)


def _looks(text: str) -> Floats:
    return np.log1p([len(feature.findall(text)) for feature in STYLE.values()])


def tell(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """How often the first and last words of answers tell the chosen one, by cross-validation over groups."""
    look.progress(0, len(rows), "openings and endings")
    places = [place for place, row in enumerate(rows) if row.pairs]
    if not places:
        return nothing_to_measure()
    better, worse = [], []
    for row in (rows[place] for place in places):
        one, two = (_edges(row.answers[at].text) for at in row.pairs[0])
        better.append(one - two)
        worse.append(two - one)
    scores, counts = foretold_by_words(better, worse, [look.group(rows[place]) for place in places])
    plain = sorted(counts.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[0]))[:6]
    words = ", ".join(f"{word!r} {n[0]}:{n[1]}" for word, n in plain if max(n) >= FEW / 3)
    guess = "first and last words tell the chosen one"
    flag = share_flag("all", told(scores), threshold, guess, note=words and f"chosen:rejected {words}")
    return Found(surplus(told(scores), places, scores, threshold, "its edges tell it") if flag.raised else (), [flag])


def _edges(text: str) -> frozenset[str]:
    words = _WORD.findall(text.casefold())
    first = (" ".join(words[:size]) + " …" for size in range(1, EDGE + 1))
    return frozenset((*first, *("… " + " ".join(words[-size:]) for size in range(1, EDGE + 1))))


def model(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """How often the model's name alone tells the chosen answer, where two different ones are named."""
    look.progress(0, len(rows), "models")
    wins = Counter[tuple[str, str]]()
    places, pairs = [], []
    for place, row in enumerate(rows):
        named = [(row.answers[one].model, row.answers[two].model) for one, two in row.pairs]
        if differ := [pair for pair in named if all(pair) and pair[0] != pair[1]]:
            places.append(place)
            pairs.append(differ[0])
            wins[differ[0]] += 1
    if not places:
        return Found(note="the source names no two models for a pair")
    ahead = np.array([wins[one, two] - wins[two, one] for one, two in pairs], dtype=np.float64)
    flags = [share_flag("all", told(ahead), threshold, "the model tells the chosen one")]
    for name in sorted({name for pair in wins for name in pair}):
        met = np.array([float(pair[0] == name) for pair in pairs if name in pair])
        flags.append(share_flag(name[:60], met, threshold, "chosen over others", "rejected for others"))
    return Found(surplus(told(ahead), places, ahead, threshold, "the model tells it") if flags[0].raised else (), flags)


def balance(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Share of each country; raised below `threshold` of an equal share. Countries of the project without a row too."""
    counts = Counter(row.country or "–" for row in rows)
    everyone = sorted({*counts, *look.countries})
    fair = 1 / max(1, len(everyone))
    return Found(
        flags=[
            Flag(
                country,
                share := counts[country] / max(1, len(rows)),
                None,
                None,
                counts[country],
                share < threshold * fair,
                f"an equal share is {fair:.3f}",
            )
            for country in everyone
        ]
    )
