"""Round by round: what people were asked and said, how the aligned model's own answers did, what runs learnt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from annotation.item_counts import ALL, Counts
from annotation.lineage.node import read_object
from annotation.lineage.runs import RunFolder, runs_of
from annotation.project import Project
from annotation.quality.agreement import FEWEST_ITEMS
from annotation.rounds import rounds
from annotation.screen import Progress, silent
from annotation.tally import count, counted_items
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import RANKING
from sync.round_prompts import RANKED
from sync.rounds import snapshot_facts

RESAMPLES = 2000
"""Of the bootstrap over slates."""

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval, which is None where too little is known."""

    value: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> Verdict:
        """What is sure of a difference: its interval excludes 0, or it does not."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "cannot tell"
        return "better" if self.low > 0 else "worse"


@dataclass(frozen=True)
class Own:
    """How the people of a country, or of all, placed the aligned model's own answers beside others on the same slates.

    Attributes:
        above: Votes on two answers, one of them its own, that prefer its own.
        level: Votes that find both equal.
        below: Votes that prefer the other.
        slates: On which such answers stood together.
        slate_counts: (above, level, below) of a slate -> slates with it.
    """

    above: int
    level: int
    below: int
    slates: int
    slate_counts: Mapping[tuple[int, int, int], int] = field(repr=False, default_factory=dict)

    @property
    def votes(self) -> int:
        """All of them."""
        return self.above + self.level + self.below

    @cached_property
    def ahead(self) -> Interval:
        """Share of votes above minus share below, with a percentile bootstrap over slates.

        Fewer than FEWEST_ITEMS slates have no interval. Where all slates say the same, the interval has the width of
        the rule of three: up to 3 / n of the slates could have said the contrary (J. A. Hanley & A. Lippman-Hand 1983,
        "If nothing goes wrong, is everything all right?", JAMA 249).
        """
        import numpy as np

        value = (self.above - self.below) / self.votes
        if self.slates < FEWEST_ITEMS:
            return Interval(value, None, None)
        kinds = np.array(list(self.slate_counts), dtype=float)
        numbers = np.array(list(self.slate_counts.values()), dtype=float)
        drawn = np.random.default_rng(0).multinomial(self.slates, numbers / self.slates, size=RESAMPLES) @ kinds
        drawn = drawn[drawn.sum(axis=1) > 0]
        low, high = (float(end) for end in np.quantile((drawn[:, 0] - drawn[:, 2]) / drawn.sum(axis=1), [0.025, 0.975]))
        if high - low < 1e-12:
            low, high = max(-1.0, value - 6 / self.slates), min(1.0, value + 6 / self.slates)
        return Interval(value, low, high)

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        shares = {name: getattr(self, name) / self.votes for name in ("above", "level", "below")}
        ahead = {**asdict(self.ahead), "verdict": self.ahead.verdict}
        return {"slates": self.slates, "votes": self.votes, **shares, "ahead": ahead}


@dataclass(frozen=True, slots=True)
class RunOfRound:
    """The newest run that was trained on what a round ended with.

    Attributes:
        run: Its name.
        task: Of its snapshot.
        accuracy: Ranking accuracy on held-out slates, from 0 to 1; None where it was not measured.
        tau: Kendall's tau-b there; None as well.
        slates: Held-out slates.
        before: The run of the round before of the same task, or "".
        shared: Slates held out of both; 0 where they were not compared (`annot evaluate RUN --against BEFORE`).
        accuracy_gain: Difference of the accuracies on those, slate by slate; None where they were not compared.
        tau_gain: Difference of tau there.
    """

    run: str
    task: str
    accuracy: Interval | None = None
    tau: Interval | None = None
    slates: int = 0
    before: str = ""
    shared: int = 0
    accuracy_gain: Interval | None = None
    tau_gain: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "verdict": self.tau_gain.verdict if self.tau_gain else None}


@dataclass(frozen=True, slots=True)
class RoundState:
    """A round and what came of it.

    Attributes:
        number: 1 first.
        started_at: ISO 8601; "" for the first.
        reasons: Reason -> prompts that were chosen for it.
        slates: Of the round.
        complete: Those that enough people answered.
        answers: Submitted ones that count.
        people: Who gave them.
        preferences: That came of them.
        own: Country, ALL first -> how the aligned model's own answers were placed; empty where none stood on a slate.
        runs: By task.
        snapshots: Task -> snapshot of the rounds before, that was frozen when it started.
    """

    number: int
    started_at: str
    reasons: Mapping[str, int]
    slates: int
    complete: int
    answers: int
    people: int
    preferences: int
    own: Mapping[str, Own]
    runs: tuple[RunOfRound, ...]
    snapshots: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            **{name: getattr(self, name) for name in ("number", "started_at", "slates", "complete", "answers")},
            **{name: getattr(self, name) for name in ("people", "preferences")},
            "reasons": dict(self.reasons),
            "own": {country: own.as_json() for country, own in self.own.items()},
            "runs": [run.as_json() for run in self.runs],
            "snapshots": dict(self.snapshots),
        }


def by_round(project: Project, counts: Counts | None = None, *, progress: Progress = silent) -> tuple[RoundState, ...]:
    """Every round of a project, the first one first.

    Args:
        project: The project.
        counts: From `annotation.tally.count`, where they are there already.
        progress: Told how far the counting is.
    """
    counts = count(project.ledger, project.settings, progress=progress) if counts is None else counts
    every = rounds(project.ledger)
    now = every[-1].number
    slates, complete, answers = Counter[int](), Counter[int](), Counter[int]()
    people: dict[int, set[str]] = defaultdict(set)
    placed: dict[int, dict[str, Counter[tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(Counter))
    for key, number in counts.items():
        match key:
            case ("item", str(task), _, _, _, int(answered), *earlier) if task in RANKED:
                of = int(earlier[0]) if earlier else now
                slates[of] += number
                answers[of] += answered * number
                complete[of] += number * (answered >= TASKS[task].settings(project.settings).overlap)
            case ("person", str(task), _, _, _, str(who), *earlier) if task in RANKED:
                people[int(earlier[0]) if earlier else now].add(who)
            case ("own", _, int(of), str(group), int(above), int(level), int(below)):
                placed[of][group][above, level, below] += number
    preferences, runs = _preferences(project, counts, now), _runs(project)
    return tuple(
        RoundState(
            one.number,
            one.started_at,
            one.reasons,
            slates[one.number],
            complete[one.number],
            answers[one.number],
            len(people[one.number]),
            preferences[one.number],
            {
                group: own
                for group, said in sorted(placed[one.number].items(), key=lambda pair: (pair[0] != ALL, pair[0]))
                if (own := _own(said)).votes
            },
            runs.get(one.number, ()),
            one.facts.get("snapshots", {}),
        )
        for one in every
    )


def _own(said: Mapping[tuple[int, int, int], int]) -> Own:
    said = {kind: number for kind, number in said.items() if any(kind)}  # on the others nobody found an answer fit
    above, level, below = (sum(kind[place] * n for kind, n in said.items()) for place in range(3))
    return Own(above, level, below, sum(said.values()), said)


def _preferences(project: Project, counts: Counts, now: int) -> Counter[int]:
    """Round -> preferences of its slates."""
    if now == 1:
        return Counter({1: sum(n for key, n in counts.items() if key[0] == "made" and key[2] == "preferences")})
    of_item = {row["id"]: row["round"] for row in project.ledger.rows("select id, round from items where round > 0")}
    found = Counter[int]()
    for item_id, own in counted_items(project.ledger, project.settings, "made").items():
        found[of_item.get(item_id, 0)] += sum(n for key, n in own.items() if key[2] == "preferences")
    return found


def _runs(project: Project) -> dict[int, tuple[RunOfRound, ...]]:
    """Round -> newest finished run of each task on a snapshot that was frozen in it."""
    newest: dict[tuple[int, str], RunFolder] = {}
    for run in sorted(runs_of(project.folder), key=lambda run: str(run.done.get("finished_at", ""))):
        if run.state == "finished" and run.snapshot:
            facts = snapshot_facts(project, run)
            newest[int(facts.get("round", 1)), str(facts.get("task", RANKING))] = run
    found: dict[int, list[RunOfRound]] = defaultdict(list)
    for (number, task), run in sorted(newest.items()):
        before = max((of for of, name in newest if name == task and of < number), default=0)
        found[number].append(_measured(run, task, newest[before, task] if before else None))
    return {number: tuple(own) for number, own in found.items()}


def _measured(run: RunFolder, task: str, before: RunFolder | None) -> RunOfRound:
    ours = _ranking(run)
    group = _first(ours)
    measured = (_interval(group.get("accuracy")), _interval(group.get("tau")), int(group.get("slates", 0)))
    if before is None:
        return RunOfRound(run.name, task, *measured)
    # What was compared before one of them was measured anew is not what they are now.
    against = read_object(run.folder / "against" / f"{before.name}.json")
    same = against.get("keys") == [ours.get("key"), _ranking(before).get("key")]
    gain = _first(against) if same else {}
    gains = (int(gain.get("slates", 0)), _interval(gain.get("accuracy")), _interval(gain.get("tau")))
    return RunOfRound(run.name, task, *measured, before.name, *gains)


def _ranking(run: RunFolder) -> Mapping[str, Any]:
    """What `annot evaluate` found of held-out slates; {} where it did not look, or its file is damaged."""
    found = read_object(run.folder / "evaluation.json").get("measures")
    ranking = found.get("ranking") if isinstance(found, dict) else None
    return ranking if isinstance(ranking, dict) else {}


def _first(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Facts of all slates: the first of the groups."""
    groups = found.get("groups")
    return groups[0] if isinstance(groups, list) and groups and isinstance(groups[0], dict) else {}


def _interval(found: Any) -> Interval | None:
    if not isinstance(found, dict) or not isinstance(found.get("value"), float | int):
        return None
    return Interval(found["value"], found.get("low"), found.get("high"))


def signed(found: Interval, digits: int = 2, scale: float = 1) -> str:
    """A difference with its interval, as "+0.12 (+0.03 to +0.21)"."""
    ends = "" if found.low is None or found.high is None else f" ({scale * found.low:+.{digits}f} to "
    return f"{scale * found.value:+.{digits}f}{ends}{f'{scale * found.high:+.{digits}f})' if ends else ''}"  # type: ignore[operator]


def sentences(states: Sequence[RoundState]) -> list[str]:
    """What is sure, round by round: better, worse, or that nobody can tell."""
    said = []
    for one in states:
        if own := one.own.get(ALL):
            shares = ", ".join(
                f"{100 * number / own.votes:.0f} % {where}"
                for where, number in (("above", own.above), ("level", own.level), ("below", own.below))
            )
            said.append(
                f"Round {one.number}: people placed the aligned model's own answers {shares} the others, on "
                f"{own.slates} slates; {signed(own.ahead, 0, 100)} points: {own.ahead.verdict}."
            )
        for run in one.runs:
            if run.tau_gain:
                said.append(
                    f"Round {one.number}: {run.run} against {run.before}, on {run.shared} slates held out of both: tau "
                    f"{signed(run.tau_gain)}: {run.tau_gain.verdict}."
                )
            elif run.tau is None:
                said.append(f"Round {one.number}: `annot evaluate {run.run}` says how it ranks held-out slates.")
            elif run.before:
                said.append(f"Round {one.number}: `annot evaluate {run.run} --against {run.before}` says more.")
    return said
