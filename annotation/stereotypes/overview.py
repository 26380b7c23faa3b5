"""`annot stereotypes list`: what each region knows, as counts; texts only where somebody asked for them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.agreement import Agreement
from annotation.screen import Progress, counted, silent, table
from annotation.stereotypes.ratings import Distribution, Rated, Ratings, rate_all
from annotation.stereotypes.shared import SOURCE, shared_waiting
from annotation.tasks import TASKS
from annotation.tasks.answers import answered_items
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.consent.task import YES
from annotation.tasks.stereotype.item import NAME, association_of
from annotation.tasks.stereotype.rating import STOP
from annotation.team_settings import Rate


@dataclass(frozen=True, slots=True)
class Overview:
    """How a project's stereotypes stand.

    Attributes:
        ratings: Of every region.
        raters: Fewest people of a region before anything of an association is shown.
        consents: Country -> people who consent to see such texts, and have not stopped since.
        shared: Associations that the team shared and that are taken in.
        waiting: Shared ones that wait to be taken in, or out.
        rate: What validated ones earn.
        few: Id, country and text of those that too few people rated, where they were asked for: no number of them.
    """

    ratings: Ratings
    raters: int
    consents: Mapping[str, int]
    shared: int
    waiting: int
    rate: Rate
    few: Sequence[tuple[str, str, str]] = ()

    def as_json(self, *, each: bool) -> dict[str, Any]:
        """For scripts; texts only with `each`."""
        few = [dict(zip(("id", "country", "association"), row, strict=True)) for row in self.few]
        texts = {"each": [_whole(one) for one in self.ratings.rated], "few": few} if each else {}
        return {
            "raters": self.raters,
            "groups": [group.as_json() for group in self.ratings.groups],
            "validated": self.ratings.validated,
            "points": self.rate.earned(self.ratings.validated),
            "consents": dict(self.consents),
            "shared": self.shared,
            "shared_waiting": self.waiting,
            **texts,
        }

    def show(self, *, each: bool) -> None:
        """Print it as tables; texts only with `each`."""
        if not self.ratings.groups:
            print("There are no stereotypes to rate yet. Next: annot stereotypes add FILE, or annot stereotypes share")
        table(
            f"What people of a country know (1 nobody here – 5 everybody; of associations that {self.raters} rated)",
            ("of", "about", "group", "there", "rated", "too few", "skips", "known 1–5", "offensive 1–5", "agreement"),
            [
                (
                    group.country,
                    group.target or "other",
                    "own" if group.in_group else "others",
                    *(group.associations, group.rated, group.suppressed, group.skips),
                    *((_spread(group.known), _spread(group.offensive)) if group.rated else ("", "")),
                    _agreement(group.agreement),
                )
                for group in self.ratings.groups
                if group.rated or group.suppressed
            ],
        )
        if silent_ones := sum(not group.rated and not group.suppressed for group in self.ratings.groups):
            print(f"Nobody has said anything yet in {counted(silent_ones, 'more group')}.")
        if each:
            table(
                "Each",
                ("id", "of", "group", "association", "raters", "skips", "known", "offensive", "median"),
                [
                    (
                        one.association.id,
                        one.country,
                        "own" if one.in_group else "others",
                        one.association.text,
                        *(one.raters, one.skips, _spread(one.known), _spread(one.offensive), f"{one.median_known:g}"),
                    )
                    for one in self.ratings.rated
                ],
            )
            table("Too few raters yet", ("id", "of", "association"), self.few)
        consents = ", ".join(f"{country} {number}" for country, number in sorted(self.consents.items())) or "nobody yet"
        print(f"Consent to see such texts: {consents}.")
        wait = f", {self.waiting} wait for `annot stereotypes add --shared`" if self.waiting else ""
        print(f"Shared by the team: {self.shared}{wait}.")
        print(
            f"{counted(self.ratings.validated, 'association')} rated by {self.raters} people of a region or more: "
            f"{self.rate.sentence(self.ratings.validated)}."
        )


def overview(project: Project, progress: Progress = silent, *, each: bool = False) -> Overview:
    """How the stereotypes of a project stand, from its ledger alone; `each` also lists what too few rated."""
    stopped = _stopped(project.ledger)
    consents = Counter(
        answer.country
        for _, said in answered_items(project.ledger, CONSENT)
        for answer in said
        if answer.value == YES and stopped.get(answer.annotator, "") < answer.submitted_at
    )
    (row,) = project.ledger.rows(
        """select count(distinct json_extract(content, '$.id')) as n from current_items
           where task = ? and not removed and json_extract(content, '$.source') like ?""",
        NAME,
        f"{SOURCE}%",
    )
    ratings = rate_all(project.ledger, project.settings, progress)
    shown = {(one.association.id, one.country) for one in ratings.rated}
    items = (
        [(association_of(item), item.country) for item in project.ledger.items(NAME) if not item.removed]
        if each
        else []
    )
    return Overview(
        ratings,
        project.settings.stereotypes.raters,
        consents,
        row["n"],
        shared_waiting(project),
        project.settings.points.stereotypes,
        [(one.id, country, one.text) for one, country in items if (one.id, country) not in shown],
    )


def _stopped(ledger: Ledger) -> dict[str, str]:
    """User name -> when they said last that they want to see no more of these texts; in every form it is one option."""
    rows = ledger.rows(
        """select r.annotator, max(r.updated_at) as at
           from responses r join items i on i.id = r.item_id, json_each(r.raw, '$.values') v
           where i.task in (select value from json_each(?)) and json_extract(v.value, '$.value') = ?
           group by r.annotator""",
        json.dumps([name for name, task in TASKS.items() if task.sensitive]),
        STOP,
    )
    return {row["annotator"]: row["at"] for row in rows}


def _whole(one: Rated) -> dict[str, Any]:
    row = {**asdict(one), "median_known": one.median_known, "median_offensive": one.median_offensive}
    del row["association"]["author"]
    return row


def _spread(distribution: Distribution) -> str:
    return " ".join(map(str, distribution))


def _agreement(found: Agreement | str) -> str:
    if isinstance(found, str):
        return "–"
    interval = "" if found.low is None else f" ({found.low:.2f} to {found.high:.2f})"
    return f"{found.alpha:.2f}{interval}"
