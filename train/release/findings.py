"""Findings of a project's finished runs, for a paper and a talk: which runs there are, and their tables side by side.

Every cell with a number in it is marked with the place of a run's folder where the number stands (`figures.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotation.errors import TrainError
from annotation.text.locales import name_of_country
from train.evaluate.compare import compare, comparison_file, keep_comparison, warn_of_bases
from train.evaluate.evaluation import Evaluation
from train.evaluate.gate import EVALUATION, Gate, gate_of
from train.evaluate.measure import Table
from train.evaluate.run import read_evaluation
from train.footprint import FILE as ENERGY
from train.models.base import public_name
from train.release.card import COUNTS, SNAPSHOT, people_rows
from train.release.few import FEWEST_SHOWN
from train.release.figures import Figures
from train.run_folder import finished_run
from train.statistics import FEWEST_PROMPTS

RANKED = (EVALUATION, "measures", "ranking", "groups")

DECIDING = ("base", "lora", "data", "dpo", "region", "optimiser")
"""Sections of a recipe that decide what a run learns, beside `run.seed`; the others decide speed and measurement."""

SPEED = {"attention", "checkpoint_activations", "columns", "min_prompts", "precompute_reference"}
"""Keys in these sections that change no result beyond rounding."""

MOST_TOPICS = 12
"""Topics that are shown: the most frequent ones."""

SIDE_BY_SIDE = 5
"""Runs in one table of settings; more get another table below it."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, as a paper or a talk tells of it.

    Attributes:
        key: Short name in texts and tables: "R1" is the main run.
        folder: The run's.
        fig: Its figures; all runs of a page share one list.
        found: What `annot evaluate` measured; None where it did not.
        gate: Its verdict.
        adapter: SHA-256 of its weights.
    """

    key: str
    folder: Path
    fig: Figures
    found: Evaluation | None
    gate: Gate
    adapter: str

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    @property
    def ranked(self) -> bool:
        """Whether it was measured how it ranks held-out slates."""
        return self.found is not None and "ranking" in self.found.summaries


@dataclass(frozen=True)
class Findings:
    """Finished runs of a project, the main one first.

    Attributes:
        home: The project's folder: files of figures are named from here.
        runs: The main one, then the others, the newest first.
        because: Why the main run is the main one, as the end of a sentence that begins with it.
        unfinished: Names of runs that are not finished, and are not told of.
        not_compared: Key of another run -> why its slates cannot be compared with the main run's.
    """

    home: Path
    runs: Sequence[FinishedRun]
    because: str
    unfinished: Sequence[str] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def main(self) -> FinishedRun:
        """The run that it is about."""
        return self.runs[0]

    @property
    def fig(self) -> Figures:
        """Of the main run; its `page` takes the marks of all runs."""
        return self.main.fig


def find_runs(home: Path, run: str = "") -> Findings:
    """Find the finished runs of a project, and compare the main one with the others.

    Args:
        home: The project's folder.
        run: Name of the main run; default: the newest that passed its gate, else the newest that was measured, else
            the newest.

    Raises:
        TrainError: There is none, the named one is not finished, or a file of one is damaged.
    """
    folders = sorted(path for path in (home / "runs").glob("*") if path.is_dir() and not path.name.startswith("."))
    finished = [folder for folder in folders if (folder / "DONE").exists()]
    if run:
        finished_run(home / "runs" / run)  # says what is wrong with it
    if not finished:
        raise TrainError(
            f"{home / 'runs'} holds no finished run, and there is nothing to tell without one: run `annot train` until "
            "it ends, and `annot evaluate` then."
        )
    looked = [(folder, *finished_run(folder), gate_of(folder), read_evaluation(folder)) for folder in finished]
    looked.sort(key=lambda one: (str(one[1].get("begun_at", "")), one[0].name), reverse=True)
    main = max(looked, key=lambda one: (one[0].name == run, one[3].open, one[4] is not None))  # the first of equals
    looked.sort(key=lambda one: one is not main)
    first = Figures(main[0], f"runs/{main[0].name}/")
    runs = [
        FinishedRun(
            f"R{number}",
            folder,
            first if folder == main[0] else first.beside(folder, f"runs/{folder.name}/"),
            found,
            gate,
            adapter,
        )
        for number, (folder, _facts, adapter, gate, found) in enumerate(looked, 1)
    ]
    unfinished = [folder.name for folder in folders if folder not in finished]
    because = "is the newest run that passed its gate"
    if run:
        because = "was named by those who made this"
    elif not main[3].open:
        which = "that was measured" if main[4] is not None else "of all"
        because = f"is the newest {which}; no run passed its gate"
    return Findings(home, runs, because, unfinished, _compare(runs))


def _compare(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Compare the main run with the others and keep that in its folder; returns why others are not compared."""
    main, *others = runs
    why = {}
    for other in others:
        if not (main.ranked and other.ranked):
            why[other.key] = "not measured"
            continue
        try:
            found = compare(main.folder, other.folder)
        except TrainError:  # no slate in common, or what `annot evaluate` wrote beside its result is gone
            why[other.key] = "no held-out slate in common"
            continue
        keep_comparison(main.folder, other.folder, found, warn_of_bases(main.folder, other.folder))
    return why


# -- the data ----------------------------------------------------------------------------------------------


def data_counts(run: FinishedRun) -> Table:
    """Slates, prompts, answers and judgements of a run, as its preflight counted them."""
    fig = run.fig
    rows = [(what, fig.number("preflight.json", key)) for what, key in COUNTS if _has(fig, "preflight.json", key)]
    for what, key in (("slates trained on", "train_slates"), ("held-out pairs", "held_out_pairs")):
        rows += [(what, fig.number("run.json", key))] if _has(fig, "run.json", key) else []
    people = (SNAPSHOT, "data", "people")
    by_country = (fig.value(*people) or {}).get("people_by_country", {})
    if by_country and min(by_country.values()) >= FEWEST_SHOWN:  # else the sum would tell a number that is not shown
        rows.append(("people", fig.number(*people, "people")))
    return Table("Data that was trained and measured on", ("what", "count"), rows)


def data_by_country(run: FinishedRun) -> Table:
    """Slates, people, rankings and agreement of each country; only the columns that the run says anything of."""
    fig, people = run.fig, people_rows(run.fig)
    counted = fig.value("preflight.json", "countries") or {}
    rows = list[tuple[str, ...]]()
    for country in dict.fromkeys((*counted, *people)):
        slates = fig.number("preflight.json", "countries", country) if country in counted else "–"
        name = name_of_country(country, "en") if country else "not stated"
        rows.append((name, slates, *people.get(country, ("", "–", "–", "–"))[1:]))
    columns: tuple[str, ...] = ("country", "slates", "people", "rankings", "Krippendorff's alpha")
    if not people:
        columns, rows = columns[:2], [row[:2] for row in rows]
    return Table("Data by country", columns, rows)


def data_by_topic(run: FinishedRun) -> Table:
    """Prompts of the most frequent topics, by the snapshot; without rows where it does not say."""
    fig, at = run.fig, (SNAPSHOT, "data", "prompts", "topics")
    topics = {topic: number for topic, number in (fig.value(*at) or {}).items() if topic}
    shown = sorted(topics, key=lambda topic: -topics[topic])[:MOST_TOPICS]
    rows = [(fig.shown(topic, *at), fig.number(*at, topic)) for topic in shown]
    more = "" if len(topics) <= MOST_TOPICS else "Only the most frequent topics are shown."
    return Table("Prompts of the project by topic, when the snapshot was made", ("topic", "prompts"), rows, more)


# -- the results -------------------------------------------------------------------------------------------

RANKING_COLUMNS = ("group", "prompts", "ranking accuracy (%)", "at most (%)", "tau-b", "base → adapted (%)", "gate")

RANKING_NOTE = (
    "Held-out slates; in brackets 95 % bootstrap intervals over prompts, – where there are too few. Ranking accuracy: "
    "share of people's choices between two answers that the implicit reward agrees with; at most: the share that "
    "agrees with the majority, which no order exceeds. Tau-b: Kendall's, with each person's ranking. Base → adapted: "
    "the same accuracy by the mean log-probability per token, without and with the adapter."
)


def results_by_country(run: FinishedRun) -> Table:
    """How a run ranks held-out slates, of all and of each country; without rows where that was not measured."""
    fig = run.fig
    groups = enumerate(fig.value(*RANKED) or ()) if run.ranked else ()
    rows = [
        (
            "all" if group["by"] == "all" else name_of_country(group["name"], "en"),
            fig.number(*RANKED, number, "prompts"),
            estimate(fig, *RANKED, number, "accuracy", form=".1f", scale=100),
            fig.number(*RANKED, number, "most", form=".1f", scale=100),
            estimate(fig, *RANKED, number, "tau", form="z.2f"),
            " → ".join(
                fig.number(*RANKED, number, side, "value", form=".1f", scale=100)
                for side in ("likelier_before", "likelier_after")
            ),
            group["verdict"] or "–",
        )
        for number, group in groups
        if group["by"] in ("all", "country")
    ]
    return Table("Ranking of held-out slates by country", RANKING_COLUMNS, rows, RANKING_NOTE)


def settings_that_differ(found: Findings) -> list[Table]:
    """Settings and data in which the runs differ: a row each, a column for each run; nothing of a single run."""
    places = [("snapshot",), ("base_version",), ("recipe", "run", "seed")]
    for section in DECIDING:
        keys = {key for run in found.runs for key in run.fig.facts["recipe"].get(section, {})}
        places += [("recipe", section, key) for key in sorted(keys - SPEED)]
    differ = [at for at in places if len({json.dumps(run.fig.value("run.json", *at)) for run in found.runs}) > 1]
    tables = []
    for begin in range(0, len(found.runs) if differ else 0, SIDE_BY_SIDE):
        runs = found.runs[begin : begin + SIDE_BY_SIDE]
        rows = [(".".join(at[-2:]), *(_setting(run.fig, at) for run in runs)) for at in differ]
        tables.append(Table("Settings that differ between runs", ("setting", *(run.key for run in runs)), rows))
    return tables


def _setting(fig: Figures, at: Sequence[str]) -> str:
    value = fig.value("run.json", *at)
    if at[-1] == "name" and at[-2] == "base":  # no path of this machine
        return fig.shown(public_name(fig.facts) or "a tiny random model", "run.json", "base")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return fig.shown(", ".join(map(str, value)), "run.json", *at)
    shown = fig.text("run.json", *at, absent="–")
    return fig.shown(str(value)[:12], "run.json", *at) if at[-1] in ("snapshot", "base_version") and value else shown


ABLATION_COLUMNS = ("run", "prompts", "ranking accuracy (%)", "tau-b", "KL (nats per token)", "R1 minus it", "gate")

ABLATION_NOTE = (
    "All held-out slates of each run. R1 minus it: difference in ranking accuracy, in points, on the slates that both "
    "runs kept out of training, by a paired bootstrap over prompts."
)


def ablations(found: Findings) -> Table:
    """Results of all finished runs side by side, and the paired difference from the main run where it is measured."""
    rows = []
    for run in found.runs:
        if not run.ranked:
            rows.append((run.key, *["not measured"] * 2, *["–"] * 4))
            continue
        fig, difference = run.fig, "–" if run is found.main else found.not_compared.get(run.key, "")
        if not difference:
            at = (comparison_file(run.name), "groups", 0, "accuracy")
            difference = estimate(found.fig, *at, form="+z.1f", scale=100)
        kl = (EVALUATION, "measures", "ranking", "kl_per_token")
        rows.append(
            (
                run.key,
                fig.number(*RANKED, 0, "prompts"),
                estimate(fig, *RANKED, 0, "accuracy", form=".1f", scale=100),
                estimate(fig, *RANKED, 0, "tau", form="z.2f"),
                fig.number(*kl, "value", form=".4f"),
                difference,
                run.gate.verdict,
            )
        )
    return Table("Finished runs side by side", ABLATION_COLUMNS, rows, ABLATION_NOTE)


def ablations_by_country(found: Findings) -> Table:
    """Ranking accuracy of every measured run in each country; without rows where fewer than two were measured."""
    runs = [run for run in found.runs if run.ranked]
    cells: dict[str, dict[str, str]] = {}
    for run in runs:
        for number, group in enumerate(run.fig.value(*RANKED) or ()):
            if group["by"] == "country":
                accuracy = estimate(run.fig, *RANKED, number, "accuracy", form=".1f", scale=100)
                cells.setdefault(group["name"], {})[run.key] = accuracy
    rows = [
        (run.key, *(cells[country].get(run.key, "–") for country in sorted(cells))) for run in runs if len(runs) > 1
    ]
    columns = ("run", *(name_of_country(country, "en") for country in sorted(cells)))
    return Table("Ranking accuracy (%) of the runs by country", columns, rows if cells else [])


def energy(found: Findings) -> Table:
    """What the training of every run took, by CodeCarbon; without rows where no run measured it."""
    rows = []
    for run in found.runs:
        if not (processes := run.fig.value(ENERGY)):
            rows.append((run.key, *["not measured"] * 3, "–"))
            continue
        fig = run.fig
        rows.append(
            (
                run.key,
                fig.number(ENERGY, "*", "kwh", form=".3g"),
                fig.number(ENERGY, "*", "kg_co2e", form=".3g", scale=1000),
                fig.number(ENERGY, "*", "seconds", form=",.0f"),
                fig.text(ENERGY, next(reversed(processes)), "hardware"),
            )
        )
    measured = any(run.fig.value(ENERGY) for run in found.runs)
    columns = ("run", "kWh", "g CO₂e", "seconds", "hardware")
    return Table("Energy and carbon of the trainings", columns, rows if measured else [])


def table_of_runs(found: Findings) -> Table:
    """The runs behind the keys: name, snapshot, base, adapter."""
    rows = [
        (
            run.key,
            run.fig.shown(run.name, "run.json", "run"),
            run.fig.text("run.json", "snapshot", absent="–"),
            run.fig.shown(run.adapter[:12], "DONE", "adapter_sha256"),
            run.fig.shown(str(run.fig.value("run.json", "begun_at") or "–")[:10], "run.json", "begun_at"),
            run.gate.verdict,
        )
        for run in found.runs
    ]
    return Table("Runs", ("key", "run", "snapshot", "adapter (checksum)", "begun", "gate"), rows)


def estimate(fig: Figures, file: str, *at: str | int, form: str, scale: float = 1) -> str:
    """An estimate of a run with its interval in brackets; [–] where too few prompts are behind it."""
    value = fig.number(file, *at, "value", form=form, scale=scale)
    if (fig.value(file, *at) or {}).get("prompts", 0) < FEWEST_PROMPTS:
        return f"{value} [–]"
    low, high = (fig.number(file, *at, end, form=form, scale=scale) for end in ("low", "high"))
    return f"{value} [{low}, {high}]"


def _has(fig: Figures, file: str, *at: str | int) -> bool:
    return fig.value(file, *at) is not None
