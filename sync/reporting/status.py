"""State of the project, from the ledger alone: quotas, people, agreement, what the answers come to, runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from annotation.agreement_by_country import agreement_by_country
from annotation.exams.checked import include_points
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.agreement import Agreement
from annotation.quality.careless import doubts
from annotation.screen import Progress, counted, silent
from annotation.selection.waiting import Waiting, prompts_waiting
from annotation.stereotypes.shared import shared_waiting
from annotation.tally import Counts, count, training_tasks
from annotation.tasks import TASKS
from annotation.tasks.answers import OTHER_TEXT, newest_responses
from annotation.tasks.duel.votes import count_duels
from annotation.tasks.exam.settled import CHECKED
from annotation.tasks.exam.task import Exam
from sync.quotas import QuotaState, all_met, capped, count_quotas, discarded, short_teams, what_is_coming
from sync.trigger import Launch, launches


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


@dataclass(frozen=True)
class Report:
    """How the project stands.

    Attributes:
        quotas: Of every task that owes something.
        people: What everybody has done, whatever the task.
        agreement: Task -> group ("all", or a country) -> Agreement, or the sentence that says why there is none.
        answers: Task -> submitted answers that count.
        made: Task -> what the answers come to, for example {"preferences": 120}.
        excluded: Reason -> how many were set aside for it.
        statuses: Status -> how many responses there are.
        unfit: Reason -> how many submitted responses are no answer.
        times: Ten minutes (ISO 8601, UTC, without the last digit) -> items submitted in them.
        runs: Those that met quotas own.
        short_teams: Sentences where too few people are left for a quota.
        waiting: Prompts without a slate, by what could give them one.
        capped: A sentence where fewer items are owed than the targets, or "".
        doubts: A sentence for every sign of careless answers.
        exams: Exam questions by country, exam, category and status.
        other_texts: A sentence where records show other texts on the server than were pushed, or "".
        votes: Country -> votes of a demo's visitors, apart from all of the above.
        shared: Stereotypes that people shared, or took back, since they were taken in last.
    """

    quotas: tuple[QuotaState, ...]
    people: tuple[Work, ...]
    agreement: Mapping[str, Mapping[str, Agreement | str]]
    answers: Mapping[str, int]
    made: Mapping[str, Mapping[str, int]]
    excluded: Mapping[str, int]
    statuses: Mapping[str, int]
    unfit: Mapping[str, int]
    times: Mapping[str, int]
    runs: tuple[Launch, ...]
    short_teams: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    other_texts: str = ""
    waiting: Waiting = field(default_factory=Waiting)
    capped: str = ""
    exams: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)
    shared: int = 0

    @property
    def checked_questions(self) -> int:
        """Exam questions that people have settled."""
        return sum(number for (*_, status), number in self.exams.items() if status == CHECKED)

    def groups(self) -> dict[str, Agreement | str]:
        """Agreement by group; the task is named where people do several."""
        several = len(self.agreement) > 1
        return {
            f"{TASKS[name].title} · {group}" if several else group: found
            for name, groups in self.agreement.items()
            for group, found in groups.items()
        }

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "quotas": [state.as_json() for state in self.quotas],
            "people": [asdict(work) for work in self.people],
            "agreement": {
                # "slates" is the older name of items.
                group: {"reason": found} if isinstance(found, str) else {**asdict(found), "slates": found.items}
                for group, found in self.groups().items()
            },
            "judgements": sum(self.answers.values()),
            "answers": dict(self.answers),
            **{name: sum(of.get(name, 0) for of in self.made.values()) for name in chain(*self.made.values())},
            "set_aside": dict(self.excluded),
            "runs": [asdict(launch) for launch in self.runs],
            "short_teams": list(self.short_teams),
            "doubts": list(self.doubts),
            "other_texts": self.other_texts,
            "capped": self.capped,
            "exams": [
                {**dict(zip(("country", "exam", "category", "status"), key, strict=True)), "questions": number}
                for key, number in sorted(self.exams.items())
            ],
            "include_points": include_points(self.checked_questions),
            "votes": dict(self.votes),
            "shared_waiting": self.shared,
        }


def report(project: Project, *, progress: Progress = silent) -> Report:
    """Say how the project stands, from the ledger alone.

    Args:
        project: The project.
        progress: Told how many items are counted, where many were answered since the last time.
    """
    counts = count(project.ledger, project.settings, progress=progress)
    waiting = prompts_waiting(project)
    coming, runs = what_is_coming(project, waiting), tuple(launches(project))
    quotas, training = count_quotas(project.settings, counts, coming), training_tasks(counts, coming)
    answers, made = Counter[str](), {n: Counter(dict.fromkeys(TASKS[n].counted, 0)) for n in training}
    exams = Counter[tuple[str, str, str, str]]()
    excluded, statuses, unfit, times = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for key, number in counts.items():
        match key:
            case ("item", str(task), _, _, _, int(answered)):
                answers[task] += answered * number
            case ("made", str(task), str(name)):
                made.setdefault(task, Counter())[name] += number
            case ("place", Exam.name, str(country), str(exam), str(category), str(status)):
                exams[country, exam, category, status] += number
            case ("excluded", _, str(reason)):
                excluded[reason] += number
            case ("status", str(status)):
                statuses[status] += number
            case ("unfit", str(reason)):
                unfit[reason] += number
            case ("time", str(time)):
                times[time] += number
    return Report(
        quotas,
        _people(project.ledger, counts),
        agreement_by_country(project, counts),
        answers,
        made,
        excluded,
        statuses,
        unfit,
        times,
        runs,
        (*short_teams(quotas, project.ledger), *discarded(quotas, counts, project.ledger)),
        doubts(counts, project.ledger),
        _other_texts(project, unfit[OTHER_TEXT]),
        waiting,
        "" if runs and all_met(quotas) else capped(quotas, auto=project.settings.train.auto),
        exams,
        count_duels(project.ledger),
        shared_waiting(project),
    )


def _other_texts(project: Project, answers: int) -> str:
    here = {row["server"] for row in project.ledger.rows("select server from pushes order by rowid desc limit 1")}
    items = sorted({item for server, item in project.ledger.changed_texts().values() if server in here})
    if not items:
        return ""
    named = ", ".join(items[:3]) + (f" and {len(items) - 3} more" if len(items) > 3 else "")
    return (
        f"Records that show other texts on the server than were pushed: {named}. "
        f"{counted(answers, 'answer')} came since: kept, not counted; `annot push --put-back` puts the texts back, and "
        "the next sync counts them."
    )


def _people(ledger: Ledger, counts: Counts) -> tuple[Work, ...]:
    country = {p.username: p.country for p in ledger.people()}
    # Who left is shown only with what they answered.
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
