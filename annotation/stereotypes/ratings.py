"""Ratings of stereotypes, region by region: the own group and others apart, and nothing of few people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from annotation.config import Settings
from annotation.errors import NotEnoughOverlap
from annotation.ledger import Ledger
from annotation.quality.agreement import Agreement, measure_agreement, pattern
from annotation.screen import Progress, silent
from annotation.tasks.answers import answered_items
from annotation.tasks.stereotype.item import NAME, association_of
from annotation.tasks.stereotype.rating import SCALE, Rating, by_group
from annotation.types import Answer, Association, Item

Distribution = tuple[int, int, int, int, int]
"""How many people chose 1, 2, 3, 4 and 5."""

Said = Mapping[bool, Sequence[Answer[Rating]]]
"""Answers to one item about the raters' own group (True) and about others."""


@dataclass(frozen=True, slots=True)
class Rated:
    """What enough people of one region said of one association.

    Attributes:
        association: It.
        country: Of the raters, ISO 3166-1 alpha-2.
        in_group: They said it of people from there; or did not say, and it is of that country's.
        raters: People who rated how well known it is.
        skips: People who did not know, or would rather not say; they are no raters.
        known: How many chose 1 (nobody here knows it) to 5 (everybody does).
        offensive: How many of the raters chose 1 (not at all) to 5 (very); not everybody says.
    """

    association: Association
    country: str
    in_group: bool
    raters: int
    skips: int
    known: Distribution
    offensive: Distribution

    @property
    def median_known(self) -> float:
        """Half of the raters chose this or less."""
        return _median(self.known)

    @property
    def median_offensive(self) -> float | None:
        """The same of how offensive; None where nobody said."""
        return _median(self.offensive) if any(self.offensive) else None


@dataclass(slots=True)
class Group:
    """What people of a country said of what is said of another, or of their own: one row of the list.

    Attributes:
        country: Of the raters.
        target: Whose people are meant; "" where that is not known.
        in_group: The raters said it of people from there.
        associations: On which somebody answered; those on which nobody did stand where the target puts them.
        rated: Those that enough people rated: all numbers below are of them alone.
        suppressed: Those that somebody answered, and too few rated.
        skips: People who skipped.
        known: Distribution over all of their ratings.
        offensive: The same.
        agreement: On how well known they are, or why there is none.
    """

    country: str
    target: str
    in_group: bool
    associations: int = 0
    rated: int = 0
    suppressed: int = 0
    skips: int = 0
    known: Distribution = (0, 0, 0, 0, 0)
    offensive: Distribution = (0, 0, 0, 0, 0)
    agreement: Agreement | str = "nothing is rated by enough people"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


@dataclass(slots=True)
class Ratings:
    """Everything that people said of stereotypes, as far as it may be shown.

    Attributes:
        rated: Each association and region with enough raters, in the order of annotation.
        groups: By country, target, and whether it is of the raters' own group.
    """

    rated: list[Rated] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    @property
    def validated(self) -> int:
        """Associations that enough people of one region rated, in whatever region."""
        return len({one.association.id for one in self.rated})


def rated(ledger: Ledger, settings: Settings) -> list[Rated]:
    """What people said of associations, wherever at least `stereotypes.raters` people of the region rated one."""
    return [one for item, said in _answered(ledger) for one in _rate(item, said, settings.stereotypes.raters)[0]]


def _rate(item: Item, said: Said, raters: int) -> tuple[list[Rated], list[bool]]:
    """What the answers to one item come to: what may be shown, and the groups in which too few rated it."""
    found, few = list[Rated](), list[bool]()
    for in_group, own in said.items():
        given = [answer.value for answer in own if answer.value.known is not None]
        if len(given) >= raters:
            skips = len(own) - len(given)
            known, offensive = (_spread(getattr(one, name) for one in given) for name in ("known", "offensive"))
            if sum(offensive) < raters:  # nobody has to say it, and what few said is not shown
                offensive = (0, 0, 0, 0, 0)
            association = association_of(item)
            found.append(Rated(association, item.country, in_group, len(given), skips, known, offensive))
        elif own:
            few.append(in_group)
    return found, few


def rate_all(ledger: Ledger, settings: Settings, progress: Progress = silent) -> Ratings:
    """The same with the groups that it falls into: one reading of the ledger."""
    ratings, groups = Ratings(), dict[tuple[str, str, bool], Group]()
    spread: dict[tuple[str, str, bool], tuple[Counter[str], set[str]]] = defaultdict(lambda: (Counter(), set()))
    for item, said in _answered(ledger, progress):
        target = item.content["target"]

        def group(in_group: bool, of: tuple[str, str] = (item.country, target)) -> Group:
            return groups.setdefault((*of, in_group), Group(*of, in_group))

        found, few = _rate(item, said, settings.stereotypes.raters)
        ratings.rated += found
        for in_group in few:
            group(in_group).suppressed += 1
        for in_group in {one.in_group for one in found}.union(few) or {target == item.country}:
            group(in_group).associations += 1
        for one in found:
            own = group(one.in_group)
            own.rated += 1
            own.skips += one.skips
            own.known, own.offensive = _added(own.known, one.known), _added(own.offensive, one.offensive)
            patterns, people = spread[item.country, target, one.in_group]
            given = {a.annotator: a.value.known for a in said[one.in_group] if a.value.known is not None}
            patterns[pattern({"known": value} for value in given.values())] += 1
            people.update(given)
    for key, (patterns, people) in spread.items():
        if patterns.total() == 1:
            groups[key].agreement = "one association says nothing of agreement"
            continue
        try:
            groups[key].agreement = measure_agreement(
                patterns, "ordinal", annotators=len(people), seed=settings.project.seed
            )
        except NotEnoughOverlap as reason:
            groups[key].agreement = str(reason)
    ratings.groups = [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[1], not key[2]))]
    return ratings


def _answered(ledger: Ledger, progress: Progress = silent) -> Iterator[tuple[Item, Said]]:
    """Each item that was not taken out, with its answers, in parts: memory does not grow with what people said."""
    for items, answers in answered_items(ledger, NAME, progress=progress):
        of_item: dict[str, list[Answer[Rating]]] = defaultdict(list)
        for answer in answers:
            of_item[answer.item_id].append(answer)
        yield from ((item, by_group(item, of_item[item.id])) for item in items.values() if not item.removed)


def _spread(chosen: Iterable[int | None]) -> Distribution:
    counts = Counter(chosen)
    one, two, three, four, five = (counts[value] for value in SCALE)
    return one, two, three, four, five


def _added(one: Distribution, other: Distribution) -> Distribution:
    first, second, third, fourth, fifth = (a + b for a, b in zip(one, other, strict=True))
    return first, second, third, fourth, fifth


def _median(distribution: Distribution) -> float:
    return float(median(value for value, people in zip(SCALE, distribution, strict=True) for _ in range(people)))
