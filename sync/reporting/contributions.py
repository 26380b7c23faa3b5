"""Contributions: who did what in each task, and the challenge's points; computed from the ledger, never stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.stereotypes.ratings import rated
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.answers import OTHER_NAME
from annotation.tasks.exam.settled import CHECKED
from annotation.tasks.exam.task import Exam
from annotation.tasks.page import AUTHOR
from annotation.tasks.prompt_check.task import ACCEPTED
from annotation.tasks.prompt_check.task import NAME as PROMPT_CHECK
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.tasks.stereotype.item import NAME as STEREOTYPE
from sync.reporting.work_left import one_name

BREAK_MINUTES = 10
"""Minutes without an answer after which somebody was away: they count for no hours."""

WRITTEN = {"prompts": "prompts written", "exams": "exam questions added", "stereotypes": "stereotypes shared"}
"""Kinds of what people write, and how a table calls them."""

KINDS = ("exams", "stereotypes", "preferences", "prompts")
"""Kinds of work that earn points, as in [points]."""


@dataclass(frozen=True, slots=True)
class Done:
    """What one person did of one kind.

    Attributes:
        person: User name, or a pseudonym; "" for a whole country.
        country: Of their team.
        task: Name of a task, or of WRITTEN.
        submitted: Items answered, or things written.
        accepted: Those that count: the answer fits and is not left out; what was written passed people's checks.
        first_try: Accepted answers that were never changed after they were submitted first; None of what was written.
        hours: Between one answer and the next, breaks left out; None of what was written.
    """

    person: str
    country: str
    task: str
    submitted: int
    accepted: int
    first_try: int | None
    hours: float | None

    @property
    def title(self) -> str:
        """The kind of work in words."""
        return WRITTEN.get(self.task) or TASKS[self.task].title


@dataclass(frozen=True, slots=True)
class Earned:
    """Points of one kind.

    Attributes:
        person: User name or pseudonym; "" for the team, or a country.
        country: Of the person; "" for the team.
        kind: Of KINDS.
        validated: What counts. Of a prompt with a complete slate, each who ranked it has a share.
        points: The team's in whole steps; a person's in proportion.
    """

    person: str
    country: str
    kind: str
    validated: float
    points: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """Who did what.

    Attributes:
        done: By country, person and task.
        earned: Each person's points, by country, person and kind; only what is not 0.
        team: The whole team's, each kind.
        points: The whole team's, all kinds.
        twice: Answers that do not count, since their author gave one under another user name.
    """

    done: tuple[Done, ...]
    earned: tuple[Earned, ...]
    team: tuple[Earned, ...]
    points: float
    twice: int

    def under(self, name: Callable[[str], str]) -> Contributions:
        """The same with other names of people."""
        return replace(
            self,
            done=tuple(replace(one, person=name(one.person)) for one in self.done),
            earned=tuple(replace(one, person=name(one.person)) for one in self.earned),
        )

    def by_country(self) -> Contributions:
        """The same without people: the sums of each country."""
        done, earned = dict[tuple[str, str], Done](), dict[tuple[str, str], Earned]()
        for one in self.done:
            other = done.get((one.country, one.task))
            done[one.country, one.task] = replace(
                one,
                person="",
                submitted=one.submitted + (other.submitted if other else 0),
                accepted=one.accepted + (other.accepted if other else 0),
                first_try=_sum(one.first_try, other and other.first_try),
                hours=_sum(one.hours, other and other.hours),
            )
        for point in self.earned:
            before = earned.get((point.country, point.kind))
            earned[point.country, point.kind] = replace(
                point,
                person="",
                validated=point.validated + (before.validated if before else 0),
                points=point.points + (before.points if before else 0),
            )
        return replace(self, done=tuple(done.values()), earned=tuple(earned.values()))

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def _sum(one: Any, other: Any) -> Any:
    return one if other is None else other if one is None else one + other


def contributions(project: Project, *, counts: Counts | None = None, progress: Progress = silent) -> Contributions:
    """Say who did what, from the ledger alone. Somebody with several user names is one (`annot people same`).

    Args:
        project: The project.
        counts: From `annotation.tally.count`, if it was asked already.
        progress: Told how many items are counted, where many were answered since the last time.
    """
    ledger, points = project.ledger, project.settings.points
    if counts is None:
        counts = count(ledger, project.settings, progress=progress)
    roster = ledger.people()
    person, country = one_name(roster), {p.username: p.country for p in roster}
    work: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    whole: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    team: Counter[str] = Counter()
    overlaps = {name: TASKS[name].settings(project.settings).overlap for name in (RANKING, DESCRIPTION)}
    ranked: dict[str, float] = defaultdict(float)
    for key, number in counts.items():
        match key:
            case ("submitted" | "changed" as what, str(task), str(who)):
                work[what][who, task] += number
            case ("person", str(task), _, _, _, str(who), *_):
                work["accepted"][who, task] += number
            case ("whole", str(task), str(who)) if task in overlaps:
                ranked[who] += number / overlaps[task]
            case ("item", str(task), _, _, _, int(answered), *_) if task in overlaps and answered >= overlaps[task]:
                team["preferences"] += number
            case ("written", task, str(who), name) if (task, name) in ((PROMPT_CHECK, ACCEPTED), (Exam.name, CHECKED)):
                whole["prompts" if task == PROMPT_CHECK else "exams"][who] += number
            case ("made", task, name) if (task, name) in ((PROMPT_CHECK, ACCEPTED), (Exam.name, CHECKED)):
                team["prompts" if task == PROMPT_CHECK else "exams"] += number
    authors = _written(ledger, person)
    if ledger.rows("select 1 from items where task = ? limit 1", STEREOTYPE):
        found = {one.association.id: one.association.author for one in rated(ledger, project.settings)}
        team["stereotypes"] = len(found)
        whole["stereotypes"].update(person(author) for author in found.values() if author)
    spent = _hours(ledger)
    done = [
        Done(
            *(who, country[who], task, number, work["accepted"][who, task]),
            work["accepted"][who, task] - work["changed"][who, task],
            spent.get((who, task), 0.0),
        )
        for (who, task), number in work["submitted"].items()
        if who in country
    ]
    done += [
        Done(who, country[who], kind, number, whole[kind][who], None, None)
        for kind, of in authors.items()
        for who, number in of.items()
        if who in country
    ]
    validated: dict[str, Mapping[str, float]] = {**whole, "preferences": ranked}
    earned = [
        Earned(who, country[who], kind, round(number, 2), getattr(points, kind).share(number))
        for kind in KINDS
        for who, number in validated[kind].items()
        if who in country and number
    ]
    order = {name: place for place, name in enumerate((*TASKS, *WRITTEN, *KINDS))}
    of_team = tuple(Earned("", "", kind, team[kind], getattr(points, kind).earned(team[kind])) for kind in KINDS)
    return Contributions(
        tuple(sorted(done, key=lambda one: (one.country, one.person, order[one.task]))),
        tuple(sorted(earned, key=lambda one: (one.country, one.person, order[one.kind]))),
        of_team,
        min(points.most, round(sum(one.points for one in of_team), 6)),
        counts["unfit", OTHER_NAME],
    )


def _written(ledger: Ledger, person: Callable[[str], str]) -> dict[str, Counter[str]]:
    """Kind of WRITTEN -> author -> things, those that were taken out since included."""
    queries: Mapping[str, tuple[str, Iterable[str]]] = {
        "prompts": ("select author, count(*) as n from prompts where author <> '' group by author", ()),
        "exams": (
            f"""select json_extract(content, '$.{AUTHOR}') as author, count(*) as n from items where task = ?
                and author <> '' group by author""",
            (Exam.name,),
        ),
        "stereotypes": (
            f"""select json_extract(content, '$.{AUTHOR}') as author, count(distinct json_extract(content, '$.id')) as n
                from items where task = ? and author <> '' group by author""",
            (STEREOTYPE,),
        ),
    }
    found: dict[str, Counter[str]] = {}
    for kind, (query, values) in queries.items():
        found[kind] = Counter()
        for row in ledger.rows(query, *values):
            found[kind][person(row["author"])] += row["n"]
    return found


def _hours(ledger: Ledger) -> dict[tuple[str, str], float]:
    """User name and task -> hours: gaps between what somebody did and what they did next, up to BREAK_MINUTES.

    The times are those of the server that people worked on; a copy made by `annot move` has none of its own. A gap
    belongs to the task of the answer that ends it. Control items take time as well.
    """
    rows = ledger.rows(
        f"""with same as (
              select name, same_as from aliases where seq in (select max(seq) from aliases group by name)
                and same_as <> ''),
            done as (
              select coalesce(same.same_as, r.annotator) as who, r.item_id, julianday(r.updated_at) as at
              from responses r left join same on same.name = r.annotator
              where r.status in ('submitted', 'draft', 'discarded') and not exists (
                select 1 from moved_responses m where m.response_id = r.response_id and m.updated_at = r.updated_at)),
            gaps as (select who, item_id, at - lag(at) over (partition by who order by at) as gap from done)
            select who, task, sum(gap) * 24 as hours from gaps join (
              select id, task from items union all select id, task from side_items) on id = item_id
            where gap <= {BREAK_MINUTES} / 1440.0 + 1e-9 group by who, task"""
    )
    return {(row["who"], row["task"]): row["hours"] for row in rows}
