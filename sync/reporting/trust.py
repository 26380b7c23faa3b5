"""Trust in people: their weights and signs, control items and entry tests, as far as anything is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from annotation.item_counts import Counts
from annotation.project import Project
from annotation.quality.controls import ControlResult, control_results
from annotation.quality.entry import EntryResult, entry_results
from annotation.quality.reliability import Reliability, reliability
from annotation.quality.signs import Sign, signs


@dataclass(frozen=True, slots=True)
class Trust:
    """How far what people say can be trusted.

    Attributes:
        reliability: User name -> how they agree with others of their country, in the task in which most is known of it.
        signs: What a lead should look at, by user name.
        controls: User name -> how they answered control items.
        entries: Task and user name -> where they stand in the entry test.
        weights: User name -> weight of their votes, where it is another than 1; 0 of those who are left out.
        left_out: User name -> why what they answer does not count.
    """

    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    signs: tuple[Sign, ...] = ()
    controls: Mapping[str, ControlResult] = field(default_factory=dict)
    entries: Mapping[tuple[str, str], EntryResult] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def to_look_at(self) -> Counter[str]:
        """User name -> how much there is to look at, of those of whom there is anything."""
        return Counter([*(sign.annotator for sign in self.signs), *self.left_out])

    @property
    def shut_out(self) -> list[tuple[str, str, EntryResult]]:
        """Task, user name and result of those whom an entry test keeps from the work now, who failed first."""
        shut = ((task, who, at) for (task, who), at in self.entries.items() if at.shut)
        found = [one for one in shut if one[1] not in self.left_out]
        return sorted(found, key=lambda one: (one[2].state, *one[:2]))

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "signs": [asdict(sign) for sign in self.signs],
            "reliability": {who: asdict(found) for who, found in self.reliability.items()},
            "weights": dict(self.weights),
            "controls": {who: asdict(result) for who, result in self.controls.items()},
            "entry": [{"task": task, "annotator": who, **asdict(at)} for (task, who), at in self.entries.items()],
        }


def trust_in_people(project: Project, counts: Counts) -> Trust:
    """Measure what is known of everybody.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
    """
    best: dict[str, Reliability] = {}
    for people in reliability(counts, project.ledger).values():
        for annotator, found in people.items():
            if annotator not in best or found.items > best[annotator].items:
                best[annotator] = found
    team = project.ledger.people()
    return Trust(
        best,
        signs(counts, project.ledger),
        control_results(counts),
        entry_results(project.ledger, project.settings, datetime.now(UTC)),
        {p.username: 0.0 if p.excluded else p.weight for p in team if p.excluded or p.weight != 1},
        {p.username: p.excluded for p in team if p.excluded},
    )
