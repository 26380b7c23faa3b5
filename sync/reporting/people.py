"""Work of people: what each has done, whatever the task, and when they were seen last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.tasks.answers import newest_responses
from sync.reporting.trust import Trust


@dataclass(frozen=True, slots=True)
class Work:
    """What one person has done.

    Attributes:
        annotator: User name.
        country: Of their team.
        submitted: Items.
        drafts: Answers saved and not submitted.
        discarded: Items they passed over.
        last_day: Items submitted in the last 24 hours.
        per_day: Items submitted per day on which they worked.
        last_seen: ISO 8601, or "".
    """

    annotator: str
    country: str
    submitted: int
    drafts: int
    discarded: int
    last_day: int
    per_day: float
    last_seen: str


def work_of_people(ledger: Ledger, counts: Counts) -> tuple[Work, ...]:
    """What everybody on the team has done, by country, most first; of who left, with what they answered.

    Args:
        ledger: The project's.
        counts: From `annotation.tally.count`.
    """
    country = {p.username: p.country for p in ledger.people()}
    done = {p.username: Counter[str]() for p in ledger.people() if p.role == "annotator" and p.active}
    days = Counter[str]()
    for key, number in counts.items():
        match key:
            case ("work", str(annotator), str(team), str(status)):
                done.setdefault(annotator, Counter())[status] += number
                country.setdefault(annotator, team)
            case ("day", str(annotator), _):
                days[annotator] += 1
    last_seen, last_day = _last_seen(ledger), _last_day(ledger)
    work = [
        Work(
            annotator,
            country[annotator],
            own["submitted"],
            own["draft"],
            own["discarded"],
            last_day[annotator],
            own["submitted"] / days[annotator] if days[annotator] else 0.0,
            last_seen.get(annotator, ""),
        )
        for annotator, own in done.items()
    ]
    return tuple(sorted(work, key=lambda w: (w.country, -w.submitted, w.annotator)))


def _last_seen(ledger: Ledger) -> dict[str, str]:
    """When everybody answered last; what `annot move` copied has the time of the move and does not count."""
    rows = ledger.rows(  # from name to name, and from the end of each: nobody's responses are read through
        """with recursive people(name) as (select min(annotator) from responses union all
             select (select min(annotator) from responses where annotator > name) from people where name is not null)
           select name, (select updated_at from responses r where annotator = name and not exists
               (select 1 from moved_responses m where m.response_id = r.response_id and m.updated_at = r.updated_at)
             order by updated_at desc limit 1) as moment
           from people where name is not null"""
    )
    return {row["name"]: row["moment"] for row in rows if row["moment"]}


def _last_day(ledger: Ledger) -> Counter[str]:
    """Items that everybody submitted in the last 24 hours."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="microseconds")
    recent = {r["item_id"] for r in ledger.rows("select item_id from responses where updated_at >= ?", yesterday)}
    found = newest_responses(ledger, recent) if recent else []
    submitted = {
        (response.annotator, response.item_id)
        for response in found
        if response.status == "submitted" and response.updated_at >= yesterday
    }
    return Counter(annotator for annotator, _ in submitted)


def first_to_look_at(people: Sequence[Work], trust: Trust) -> list[Work]:
    """Those of whom there is something to look at, the most first; then who answered most."""
    look = trust.to_look_at
    return sorted(people, key=lambda work: (-look[work.annotator], -work.submitted, work.annotator))
