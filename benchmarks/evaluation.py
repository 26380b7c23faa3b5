"""Time to the first result, and in whole, of exams by `annot evaluate` and by lm-evaluation-harness's command line.

Both score the same file of INCLUDE-like questions with the same adapter. Each begins as a process of its own, in turn,
after one of each that does not count. A first result is the first batch whose answers are known. The command line asks
one model in one way; `annot` asks base and adapter, plainly and in the chat template, and draws the intervals and the
report: four times the work. The adapter's scores must be equal. The questions are made up, and without
--base the model is a tiny random one: times say something, accuracies nothing.

Run: .venv/bin/python benchmarks/evaluation.py [--base FOLDER] [--questions 1000] [--turns 2]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "HF_HUB_OFFLINE": "1",
}
FIRST = "first batch"
"""What the side of annot prints when one is done; the harness draws a bar."""

SAME = 1e-4
"""Log-probs in float32 are equal up to this: both sides put other questions into a batch."""

BAR = re.compile(rb"Running loglikelihood requests:[^\r\n]*?\| ([1-9]\d*)/\d+")


def made_questions(count: int) -> list[dict[str, object]]:
    """Rows of INCLUDE's released form, made up."""
    chance = random.Random(1)
    words = ("el río", "la costa", "la sierra", "o sertão", "a capital", "el altiplano", "la selva", "o litoral")
    rows = []
    for number in range(count):
        country, language = (("PE", "es"), ("BR", "pt"), ("MX", "es"))[number % 3]
        options = dict(zip((f"option_{letter}" for letter in "abcd"), chance.sample(words, 4), strict=True))
        about = " ".join(chance.choices(words, k=20))
        question = f"Pregunta {number}. Lea lo siguiente: {about}. ¿Dónde se encuentra lo que se describe?"
        row = {"id": str(number), "country": country, "language": language, "domain": "Social Science"}
        rows.append({**row, "question": question, **options, "answer": chance.randrange(4)})
    return rows


def annot(run: Path, rows: Path) -> None:
    """What `annot evaluate RUN --on exams` does, on questions of a file."""
    from annotation.types import ExamQuestion
    from train.evaluate.run import evaluate

    questions = [
        ExamQuestion(
            row["id"],
            row["question"],
            tuple(row[f"option_{letter}"] for letter in "abcd"),
            row["answer"],
            row["country"],
            row["language"],
            "made up",
            domain=row["domain"],
        )
        for row in map(json.loads, rows.open(encoding="utf-8"))
    ]

    def progress(done: int, total: int | None = None, note: str = "") -> None:  # noqa: ARG001
        if done == 1:
            print(FIRST, file=sys.stderr, flush=True)

    evaluate(run, on=("exams",), questions=questions, say=lambda _line: None, progress=progress)


def timed(command: list[str], mark: re.Pattern[bytes]) -> tuple[float, float]:
    """Seconds until a mark stands in a process's stderr, and until it has ended."""
    began, first, read = time.perf_counter(), 0.0, b""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tempfile.gettempdir()
    )
    assert process.stderr is not None
    while piece := os.read(process.stderr.fileno(), 65536):
        read += piece
        if not first and mark.search(read):
            first = time.perf_counter() - began
    if process.wait() or not first:
        sys.exit(f"{' '.join(command)} failed:\n{read.decode()[-3000:]}")
    return first, time.perf_counter() - began


def main() -> None:
    """Make the run, time both sides in turn, compare the scores, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="a model folder; default: a tiny random one")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--annot", nargs=2, metavar=("RUN", "ROWS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.annot:
        annot(*map(Path, asked.annot))
        return
    from finished_runs import finished_run, ranked_slates

    from train.evaluate.exams import DESCRIPTION, TEMPLATE
    from train.evaluate.harness import harness_folder

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = str(home / "bytecode")
        if asked.base:  # a base that is there is kept
            (home / "run").mkdir()
            (home / "run" / "base").symlink_to(Path(asked.base).resolve())
        run = finished_run(home / "run", ranked_slates(6), strength=0.05, overrides=("evaluation.batch=8",))
        rows = home / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in made_questions(asked.questions)), encoding="utf-8")
        task = {
            "include": str(harness_folder() / TEMPLATE),
            "task": "made_exams",
            "description": DESCRIPTION,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {"test": str(rows)}},
        }
        (home / "tasks").mkdir()
        (home / "tasks" / "made_exams.yaml").write_text(json.dumps(task), encoding="utf-8")
        model = f"pretrained={run / 'base'},peft={run / 'adapter'},dtype=float32"
        stock = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", model, "--device", "cpu"]
        stock += ["--tasks", "made_exams", "--include_path", str(home / "tasks"), "--batch_size", "8"]
        stock += ["--log_samples", "--output_path", str(home / "stock")]
        ours = [sys.executable, __file__, "--annot", str(run), str(rows)]
        times: dict[str, list[tuple[float, float]]] = {"annot": [], "lm_eval": []}
        for turn in range(asked.turns + 1):
            (run / "evaluation.json").unlink(missing_ok=True)
            shutil.rmtree(home / "stock", ignore_errors=True)
            for side in ("annot", "lm_eval") if turn % 2 == 0 else ("lm_eval", "annot"):
                command, mark = (ours, re.compile(FIRST.encode())) if side == "annot" else (stock, BAR)
                taken = timed(command, mark)
                if turn:  # the first one compiles all libraries
                    times[side].append(taken)
        scored = [json.loads(line) for line in (run / "evaluation_exams.jsonl").open()]
        own = {row["id"]: row for row in scored if row["way"] == "plain"}
        theirs = [json.loads(line) for path in (home / "stock").rglob("samples_*.jsonl") for line in path.open()]
        assert len(theirs) == len(own) == asked.questions
        tied = 0
        for row in theirs:
            mine, scores = own[row["doc"]["id"]], [float(one[0]) for one in row["filtered_resps"]]
            assert all(abs(one - other) < SAME for one, other in zip(scores, mine["adapted"], strict=True)), row["doc"]
            best, second = sorted(scores, reverse=True)[:2]
            tied += (near := best - second < SAME)
            assert near or row["acc"] == mine["right_after"], row["doc"]
        print(f"{asked.questions} made-up questions; the base is {asked.base or 'a tiny model with random weights'}")
        print(
            f"the adapter's log-probs of all letters, asked plainly, are equal to {SAME}, and so is every verdict but "
            f"{tied} of questions whose two best letters are no further apart: "
            f"{sum(row['acc'] for row in theirs):.0f} and "
            f"{sum(row['right_after'] for row in own.values()):.0f} right"
        )
        print(f"{'':44}{'first result':>16}{'whole':>12}{'for a pass':>14}")
        middle = {}
        for side, what, passes in (
            ("annot", "annot: base and adapter, two ways, report", 2 * len({r["way"] for r in scored})),
            ("lm_eval", "lm_eval run: adapter, one way", 1),
        ):
            first, whole = (statistics.median(column) for column in zip(*times[side], strict=True))
            middle[side] = (first, whole, whole / passes)
            print(f"{what:44}{first:14.1f} s{whole:10.1f} s{whole / passes:12.1f} s")
        ratios = [theirs / ours for theirs, ours in zip(middle["lm_eval"], middle["annot"], strict=True)]
        print(f"{'times as fast':44}{ratios[0]:15.1f}×{ratios[1]:11.1f}×{ratios[2]:13.1f}×")


if __name__ == "__main__":
    main()
