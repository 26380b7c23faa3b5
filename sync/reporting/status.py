"""State of the project, from the ledger alone: quotas, people, agreement, what the answers come to, runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from annotation.agreement_by_country import agreement_by_country
from annotation.project import Project
from annotation.quality.agreement import Agreement
from annotation.rounds import current_round
from annotation.screen import Progress, counted, silent
from annotation.selection.waiting import Waiting, prompts_waiting
from annotation.stereotypes.shared import shared_waiting
from annotation.tally import count, training_tasks
from annotation.tasks import TASKS
from annotation.tasks.answers import OTHER_TEXT
from annotation.tasks.duel.votes import count_duels
from annotation.tasks.exam.settled import CHECKED
from annotation.tasks.exam.task import Exam
from annotation.team_settings import PointSettings, Rate
from sync.quotas import QuotaState, all_met, capped, count_quotas, discarded, short_teams, what_is_coming
from sync.reporting.forecast import Forecast, forecast
from sync.reporting.people import Work, work_of_people
from sync.reporting.rounds import RoundState, by_round
from sync.reporting.trust import Trust, trust_in_people
from sync.trigger import Launch, launches


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
        problems: Task, country and kind -> how often people reported such a problem.
        times: Ten minutes (ISO 8601, UTC, without the last digit) -> items submitted in them.
        runs: Those that met quotas own.
        short_teams: Sentences where too few people are left for a quota.
        waiting: Prompts without a slate, by what could give them one.
        capped: A sentence where fewer items are owed than the targets, or "".
        trust: How far what people say can be trusted.
        contested: Task, country and why -> items on which its people do not agree, or report a problem.
        decisions: Task, country and state (`annotation.item_counts.STATES`) -> items that are to be decided, or were.
        gaps: Task and country -> decided items for which the guidelines lack a rule.
        forecast: When each quota that is not met will be.
        exams: Exam questions by country, exam, category and status.
        other_texts: A sentence where records show other texts on the server than were pushed, or "".
        votes: Country -> votes of a demo's visitors, apart from all of the above.
        exam_rate: What checked exam questions earn.
        shared: Stereotypes that people shared, or took back, since they were taken in last.
        rounds: Every round, the first one first.
    """

    quotas: tuple[QuotaState, ...]
    people: tuple[Work, ...]
    agreement: Mapping[str, Mapping[str, Agreement | str]]
    answers: Mapping[str, int]
    made: Mapping[str, Mapping[str, int]]
    excluded: Mapping[str, int]
    statuses: Mapping[str, int]
    unfit: Mapping[str, int]
    problems: Mapping[tuple[str, str, str], int]
    times: Mapping[str, int]
    runs: tuple[Launch, ...]
    short_teams: tuple[str, ...] = ()
    trust: Trust = field(default_factory=Trust)
    contested: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    decisions: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    gaps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    forecast: tuple[Forecast, ...] = ()
    other_texts: str = ""
    waiting: Waiting = field(default_factory=Waiting)
    capped: str = ""
    exams: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)
    shared: int = 0
    exam_rate: Rate = PointSettings().exams
    rounds: tuple[RoundState, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """A sentence for every sign of careless answers."""
        return tuple(sign.sentence for sign in self.trust.signs)

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
            "problems": _rows(("task", "country", "kind"), self.problems),
            **self.trust.as_json(),
            "contested": _rows(("task", "country", "why"), self.contested),
            "to_decide": _rows(("task", "country", "state"), self.decisions),
            "gaps": _rows(("task", "country"), self.gaps),
            "forecast": [one.as_json() for one in self.forecast],
            "runs": [asdict(launch) for launch in self.runs],
            "short_teams": list(self.short_teams),
            "doubts": list(self.doubts),
            "other_texts": self.other_texts,
            "capped": self.capped,
            "exams": _rows(("country", "exam", "category", "status"), self.exams, "questions"),
            "include_points": self.exam_rate.earned(self.checked_questions),
            "votes": dict(self.votes),
            "shared_waiting": self.shared,
            "rounds": [one.as_json() for one in self.rounds],
        }


def _rows(names: Sequence[str], counts: Mapping[Any, int], number: str = "number") -> list[dict[str, Any]]:
    """Counts as a list of objects, in order."""
    return [{**dict(zip(names, key, strict=True)), number: n} for key, n in sorted(counts.items())]


def report(project: Project, *, progress: Progress = silent) -> Report:
    """Say how the project stands, from the ledger alone.

    Args:
        project: The project.
        progress: Told how many items are counted, where many were answered since the last time.
    """
    counts = count(project.ledger, project.settings, progress=progress)
    waiting = prompts_waiting(project)
    coming, runs = what_is_coming(project, waiting), tuple(launches(project))
    now = current_round(project.ledger)
    quotas, training = count_quotas(project.settings, counts, coming, now), training_tasks(counts, coming)
    answers, made = Counter[str](), {n: Counter(dict.fromkeys(TASKS[n].counted, 0)) for n in training}
    exams = Counter[tuple[str, str, str, str]]()
    excluded, statuses, unfit, times = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    problems, contested, decisions = (Counter[tuple[str, str, str]]() for _ in range(3))
    gaps = Counter[tuple[str, str]]()
    for key, number in counts.items():
        match key:
            case ("item", str(task), _, _, _, int(answered), *_):
                answers[task] += answered * number
            case ("made", str(task), str(name)):
                made.setdefault(task, Counter())[name] += number
            case ("place", Exam.name, str(country), str(exam), str(category), str(status)):
                exams[country, exam, category, status] += number
            case ("excluded", _, str(reason)):
                excluded[reason] += number
            case ("status", str(status)):
                statuses[status] += number
            case ("problem", str(task), str(country), str(kind)):
                problems[task, country, kind] += number
            case ("contested", str(task), str(country), str(why), *_):
                contested[task, country, why] += number
            case ("adjudication", str(task), str(country), str(state)):
                decisions[task, country, state] += number
            case ("gap", str(task), str(country)):
                gaps[task, country] += number
            case ("unfit", str(reason)):
                unfit[reason] += number
            case ("time", str(time)):
                times[time] += number
    return Report(
        quotas,
        work_of_people(project.ledger, counts),
        agreement_by_country(project, counts),
        answers,
        made,
        excluded,
        statuses,
        unfit,
        problems,
        times,
        runs,
        (*short_teams(quotas, project.ledger), *discarded(quotas, counts, project.ledger)),
        trust_in_people(project, counts),
        contested,
        decisions,
        gaps,
        forecast(project, counts, quotas),
        _other_texts(project, unfit[OTHER_TEXT]),
        waiting,
        "" if runs and all_met(quotas) else capped(quotas, auto=project.settings.train.auto),
        exams,
        count_duels(project.ledger),
        shared_waiting(project),
        project.settings.points.exams,
        by_round(project, counts),
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
