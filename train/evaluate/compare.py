"""Two measured runs compared, slate by slate, on what both kept out of training; kept in the folder of one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotation.errors import TrainError
from annotation.files import write_whole
from train.data.rows import read_rows
from train.evaluate.ranking import SLATES
from train.evaluate.ranking_summary import SlateScore
from train.evaluate.run import read_evaluation
from train.run_folder import finished_run
from train.statistics import Estimate, mean_over_prompts

AGAINST = "against"
"""Folder in a run's of what it was compared with: a file for each other run."""


@dataclass(frozen=True, slots=True)
class Versus:
    """One run minus another on the slates that both kept out of training, slate by slate.

    Attributes:
        group: "all" or for example "country MX".
        slates: How many.
        accuracy: Difference of the ranking accuracies.
        tau: Difference of Kendall's tau-b.
    """

    group: str
    slates: int
    accuracy: Estimate
    tau: Estimate


def versus(ours: Sequence[SlateScore], theirs: Sequence[SlateScore], *, seed: int = 0) -> tuple[Versus, ...]:
    """Compare two runs slate by slate (a paired bootstrap over prompts); the same slates in the same order."""
    names: dict[str, list[int]] = {"all": list(range(len(ours)))}
    for by in ("country", "language"):
        for index, score in enumerate(ours):
            if name := getattr(score, by):
                names.setdefault(f"{by} {name}", []).append(index)
    found = []
    for group, chosen in names.items():
        prompts = [ours[i].prompt for i in chosen]
        votes, people = (np.array([getattr(ours[i], what) for i in chosen], float) for what in ("votes", "people"))
        right, tau = (
            np.array([getattr(ours[i], what) - getattr(theirs[i], what) for i in chosen]) for what in ("right", "tau")
        )
        found.append(
            Versus(
                group,
                len(chosen),
                mean_over_prompts(right / votes, prompts, votes, seed=seed),
                mean_over_prompts(tau, prompts, people, seed=seed),
            )
        )
    return (found[0], *sorted(found[1:], key=lambda one: (one.group.split()[0], one.accuracy.value)))


VERSUS_COLUMNS = ("group", "slates", "ranking accuracy", "tau-b")


def versus_rows(found: Sequence[Versus]) -> list[tuple[str, ...]]:
    """A line per group: by how much one run ranks better than another."""
    return [
        (
            one.group,
            str(one.slates),
            one.accuracy.points,
            f"{one.tau.value:+.3f} {one.tau.interval('+.3f')}",
        )
        for one in found
    ]


def check_measured(run: Path) -> None:
    """Make sure that a run can be compared with.

    Raises:
        TrainError: It is no run, it is not finished, or it was not measured.
    """
    finished_run(run)
    if not (found := read_evaluation(run)) or "ranking" not in found.summaries:
        raise TrainError(f"{run.name} was not measured yet; run `annot evaluate {run.name}` first.")


def warn_of_bases(folder: Path, other: Path) -> str:
    """A sentence where two finished runs stand on different bases, else ""."""
    one, two = (finished_run(run)[0] for run in (folder, other))
    # A base that was made on the spot is made of the run's own texts and seed.
    decides = ("base_version", *(("digest", "seed") if one["base_is_tiny_and_random"] else ()))
    if all(one[fact] == two[fact] for fact in decides):
        return ""
    return (
        f"{folder.name} and {other.name} stand on different bases ({_named(one)}; {_named(two)}): the difference is "
        "that of bases and adapters together."
    )


def _named(facts: Mapping[str, Any]) -> str:
    made = f", made of {facts['digest'][:8]} by seed {facts['seed']}" if facts["base_is_tiny_and_random"] else ""
    return f"{facts['base_note']}, version {facts['base_version']}{made}"


def compare(folder: Path, other: Path, *, seed: int = 0) -> tuple[Versus, ...]:
    """How much better a run ranks the held-out slates that another run has too; both are measured.

    Raises:
        TrainError: One of them was not measured, or no slate was held out of both.
    """
    for run in (folder, other):
        check_measured(run)
    ours, theirs = (
        {row["id"]: SlateScore(**{**row, "rewards": tuple(row["rewards"])}) for row in read_rows(run / SLATES)}
        for run in (folder, other)
    )
    shared = [name for name in ours if name in theirs and ours[name].votes == theirs[name].votes > 0]
    if not shared:
        raise TrainError(
            f"{folder.name} and {other.name} kept no slate in common out of training; train them on the same data with "
            "the same data.held_out and run.seed."
        )
    return versus([ours[name] for name in shared], [theirs[name] for name in shared], seed=seed)


def comparison_file(other: str) -> str:
    """File of a run's folder with its comparison with another run."""
    return f"{AGAINST}/{other}.json"


def keep_comparison(folder: Path, other: Path, found: Sequence[Versus], bases: str) -> Path:
    """Write a comparison as against/OTHER.json into a run's folder, with the keys of both measurements.

    Whoever reads it sees by the keys whether the runs are still as they were measured then.

    Args:
        folder: The run's.
        other: That of the run that it was compared with.
        found: From `compare`.
        bases: From `warn_of_bases`.
    """
    keys = [measured.keys["ranking"] for run in (folder, other) if (measured := read_evaluation(run))]
    facts = {"run": folder.name, "against": other.name, "keys": keys, "bases": bases}
    path = folder / comparison_file(other.name)
    path.parent.mkdir(exist_ok=True)
    groups = [asdict(one) for one in found]
    write_whole(path, json.dumps({**facts, "groups": groups}, ensure_ascii=False, indent=2).encode())
    return path
