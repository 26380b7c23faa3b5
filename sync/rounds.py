"""The next round: its start, whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from annotation.errors import ProjectError, SettingsError
from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.lineage.node import read_object
from annotation.lineage.runs import RunFolder, runs_of
from annotation.project import Project
from annotation.quality.contested import FEWEST_VOTES
from annotation.rounds import CONTESTED, REASONS, THIN, VOTES, Round, current_round, start_round
from annotation.screen import Progress, counted, silent
from annotation.selection.waiting import Waiting, prompts_waiting
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import RANKING
from sync.quotas import count_quotas, owing, what_is_coming
from sync.round_prompts import RANKED, Chosen, choose_prompts
from sync.snapshot import freeze

AT_ONCE = ("draft", "select", "push", "sync", "trigger")
"""Steps that wait while a round starts: what they do belongs to one round."""


@dataclass(frozen=True, slots=True)
class NextRound:
    """What a round starts with, or would.

    Attributes:
        number: Of the round.
        prompts: Chosen ones, by country and in the order in which they were chosen.
        closed: Country -> slates of the current round that are not complete: nobody is asked about them any more.
        fresh: Prompts that never stood on a slate: part of the round anyway.
        left: Prompts for which a reason speaks and which --most leaves for another time.
        last_answer: When the newest answer was brought home, ISO 8601; "" where none was.
        runs: Task -> its newest finished run.
        snapshots: Task -> the snapshot that was frozen before; none in a dry run.
        started: The round; None in a dry run.
    """

    number: int
    prompts: tuple[Chosen, ...]
    closed: Mapping[str, int]
    fresh: int
    left: int
    last_answer: str
    runs: Mapping[str, str]
    snapshots: Mapping[str, str]
    started: Round | None = None

    def table(self) -> list[tuple[object, ...]]:
        """Country, prompts for each reason, all of them, and slates that are closed."""
        counts = Counter((one.country, one.reason) for one in self.prompts)
        return [
            (country, *own, sum(own), self.closed.get(country, 0))
            for country in sorted({country for country, _ in counts} | self.closed.keys())
            for own in [[counts[country, reason] for reason in REASONS]]
        ]

    def sentences(self) -> Iterator[str]:
        """For the lead: what is closed, what is part of the round anyway, and what comes next."""
        closed = sum(self.closed.values())
        begun = "has started" if self.started else "would start"
        yield f"Round {self.number} {begun} with {counted(len(self.prompts), 'prompt')} to be asked about anew."
        if closed:
            slates = counted(closed, "incomplete slate")
            verb = ("is" if closed == 1 else "are") if self.started else "would be"
            of = f"{slates} of round {self.number - 1}"
            yield f"{of} {verb} closed: nobody is asked any more, and what was said counts on."
        if self.fresh:
            yield f"Never on a slate, and part of the round anyway: {counted(self.fresh, 'prompt')}."
        if self.left:
            yield f"Left for another round by --most: {counted(self.left, 'prompt')}."
        for task, snapshot in self.snapshots.items():
            yield f"What earlier rounds have ({TASKS[task].many}) is frozen: snapshots/{snapshot}."
        at = self.last_answer[:16].replace("T", " ")
        when = f", the last of them brought home {at} UTC" if at else ""
        yield f"Chosen by the answers that are here{when}; `annot sync` first brings what came since."

    def next_steps(self) -> str:
        """Commands that come next."""
        asked = {one.task for one in self.prompts}
        drafts = [f"annot draft --source {run}" for task, run in self.runs.items() if task in asked]
        return ", then ".join([*drafts, "annot draft", "annot select", "annot push"])

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "round": self.number,
            "started_at": self.started.started_at if self.started else None,
            "prompts": [
                {name: getattr(one, name) for name in ("prompt_id", "country", "task", "reason", "weight")}
                for one in self.prompts
            ],
            "closed": dict(self.closed),
            "fresh": self.fresh,
            "left": self.left,
            "last_answer": self.last_answer,
            "runs": dict(self.runs),
            "snapshots": dict(self.snapshots),
        }


def begin_round(
    project: Project,
    *,
    most: int | None = None,
    reasons: Collection[str] = REASONS,
    country: str = "",
    dry_run: bool = False,
    progress: Progress = silent,
) -> NextRound:
    """Choose the prompts of the next round, freeze what there is, and start it.

    It stands in the ledger as one transaction, after the snapshots: cut off before it, there is none.

    Args:
        project: The project.
        most: Prompts of a country and task; None for as many as its quotas' targets ask for.
        reasons: Those that count, of REASONS.
        country: Of this one alone; "" for all.
        dry_run: Say what would start, and write nothing.
        progress: Told how far the counting is.

    Raises:
        SettingsError: A reason is unknown.
        ProjectError: The current round has nothing to learn from yet, or no prompt is to be asked about anew.
    """
    if unknown := [reason for reason in reasons if reason not in REASONS]:
        raise SettingsError(f"--reason {unknown[0]}: take {', '.join(REASONS[:-1])} or {REASONS[-1]}.")
    with ExitStack() as locks:
        for step in () if dry_run else AT_ONCE:
            locks.enter_context(project.lock(step))
        number = current_round(project.ledger)
        _require_answers(project.ledger, number)
        counts = count(project.ledger, project.settings, progress=progress)
        runs = newest_runs(project)
        prompts, left = choose_prompts(
            project, counts, runs, most, [r for r in REASONS if r in reasons], country, progress
        )
        if not prompts:
            raise ProjectError(_why_nothing(reasons, country, runs))
        waiting = prompts_waiting(project)
        snapshots: dict[str, str] = {}
        started = None
        if not dry_run:
            quotas = count_quotas(project.settings, counts, what_is_coming(project, waiting), number)
            progress(0, note="freezing what there is")
            frozen = ((task, freeze(project, quotas, task)) for task in owing(quotas))
            snapshots = {task: snapshot.id for task, snapshot in frozen if snapshot}
            facts = {"snapshots": snapshots, "most": most, "reasons": [r for r in REASONS if r in reasons]}
            started = start_round(project.ledger, {one.prompt_id: one.reason for one in prompts}, facts)
        (newest,) = project.ledger.rows("select coalesce(max(pulled_at), '') as at from responses")
        return NextRound(
            number + 1,
            prompts,
            _incomplete(project, counts),
            _never_asked(project, waiting),
            left,
            newest["at"],
            {task: run.name for task, run in runs.items()},
            snapshots,
            started,
        )


def newest_runs(project: Project) -> dict[str, RunFolder]:
    """Task -> its newest run that is finished; runs of files and of public datasets are of no task."""
    newest: dict[str, RunFolder] = {}
    for run in sorted(runs_of(project.folder), key=lambda run: str(run.done.get("finished_at", ""))):
        if run.state == "finished" and run.snapshot:
            newest[str(snapshot_facts(project, run).get("task", RANKING))] = run
    return {task: newest[task] for task in RANKED if task in newest}


def snapshot_facts(project: Project, run: RunFolder) -> Mapping[str, Any]:
    """Facts of the snapshot that a run is trained on, from its own copy where the snapshot is gone; {} without one."""
    place = project.snapshot_folder(run.snapshot) if run.snapshot else run.folder
    return read_object(place / "snapshot.json") or read_object(run.folder / "snapshot.json")


def _require_answers(ledger: Ledger, number: int) -> None:
    """Refuse a round after one in which nobody was asked.

    Raises:
        ProjectError: It has no slate yet, or none was sent.
    """
    if not ledger.rows("select 1 from items where round = ? limit 1", number):
        raise ProjectError(
            f"Round {number} has no slate yet, so there is nothing to choose the next one by; `annot status` says what "
            "comes first."
        )
    sent = "select 1 from items i join {0} t on t.item_id = i.id where i.round = ? {1} limit 1"
    if not (
        ledger.rows(sent.format("pushes", "and t.record_id <> ''"), number)
        or ledger.rows(sent.format("responses", ""), number)
    ):
        raise ProjectError(
            f"No slate of round {number} was sent to people yet, so there is nothing to choose the next one by; run "
            "`annot push`, and `annot sync` when they have answered."
        )


def _why_nothing(reasons: Collection[str], country: str, runs: Mapping[str, RunFolder]) -> str:
    where = f" of {country}" if country else ""
    lacking = {
        CONTESTED: f"on no slate that {FEWEST_VOTES} people or more of a country compared do they disagree",
        VOTES: "no visitors' votes go against the newest run's adapter" if runs else "no run is finished to vote about",
        THIN: "no country has too little",
    }
    said = "; ".join(lacking[reason] for reason in REASONS if reason in reasons)
    fewer = "leave out --reason and --country, or " if country or set(reasons) != set(REASONS) else ""
    return (
        f"No prompt{where} is to be asked about anew: {said}. To go on, {fewer}bring answers home with `annot sync`, "
        "votes with `annot votes pull`, ask for more slates of each country (`target` in annot.toml), or add prompts "
        "with `annot prompts add FILE`: new ones need no new round."
    )


def _incomplete(project: Project, counts: Counts) -> dict[str, int]:
    """Country -> slates of the current round that lack answers."""
    found = Counter[str]()
    for key, number in counts.items():
        match key:
            case ("item", str(task), str(country), _, _, int(answered)) if task in RANKED:
                if answered < TASKS[task].settings(project.settings).overlap:
                    found[country] += number
    return dict(sorted(found.items()))


def _never_asked(project: Project, waiting: Waiting) -> int:
    """Prompts that may still get a slate, and stand on none of any round."""
    asked = {row["prompt_id"] for row in project.ledger.rows("select distinct prompt_id from items where round > 0")}
    return sum(prompt.id not in asked for prompt in (*waiting.coming, *waiting.stuck))
