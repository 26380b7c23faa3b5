"""Exams and benchmarks: the harness scores them, both models are asked the same, and chance is called chance."""

import json
import math
import multiprocessing
import random
import shutil
import signal
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from campaigns import kills
from finished_runs import QUICK, evaluate_until, finished_run, model_of, ranked_slates
from typer.testing import CliRunner

import train.evaluate.command_line
import train.evaluate.harness
import train.evaluate.task
from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from annotation.types import ExamQuestion
from train.evaluate.command_line import chosen_measures
from train.evaluate.compare import check_measured
from train.evaluate.evaluation import Evaluation, conclude
from train.evaluate.exam_summary import AT_CHANCE, FRESH, ExamScore, ExamSummary, draw_exams, exam_groups
from train.evaluate.exams import Exams, exam_row
from train.evaluate.gate import Gate, gate_of, remedy
from train.evaluate.harness import CHAT, PLAIN, HarnessRun, load_tasks, local_task, write_task
from train.evaluate.measure import Material
from train.evaluate.model import AdaptedModel, Batches
from train.evaluate.run import evaluate
from train.evaluate.task import HarnessTask, Metric, TaskSummary, guessed
from train.evaluate.task_changes import above, change_of, change_of_total, clusters_of, shares
from train.models.base import Base
from train.models.tokenizer import load_vocabulary
from train.settings import EvaluationSettings, load_recipe
from train.statistics import chance_of_as_many, paired_difference

WORDS = ("hígado", "corazón", "riñón", "pulmão", "cérebro", "1821-09-15", "1824-12-09", "fêmur")
PLACES = (("PE", "es"), ("BR", "pt"), ("MX", "es"))
WITH_GATE = ("evaluation.gate_exam_drop=0.02", "evaluation.batch=4")


def exam_questions(count: int, *, seed: int = 0) -> list[ExamQuestion]:
    """Questions of three countries in two languages, whose keys are drawn by lot."""
    chance = random.Random(seed)
    return [
        ExamQuestion(
            f"q{number}",
            f"¿Cuál es la respuesta a la pregunta {number}?",
            tuple(chance.sample(WORDS, 4)),
            chance.randrange(4),
            *PLACES[number % 3],
            f"Examen {number % 2}",
            category=("Medicine", "History")[number % 2],
            domain="STEM",
            regional_feature=("agnostic", "culture")[number % 2],
        )
        for number in range(count)
    ]


pytestmark = pytest.mark.usefixtures("one_thread")


def quietly(_line: str) -> None:
    """Say nothing."""


def known_model(run: Path) -> AdaptedModel:
    _, _, recipe = model_of(run)
    base = Base("", run / "base", "tiny-1", tiny=True)
    return AdaptedModel(run, recipe, lambda: (base, load_vocabulary(base, recipe.base)))


def batches(run: Path) -> Batches:
    return Batches(run, lambda _done, _total=None, _note="": None, 0)


@pytest.fixture(scope="module")
def questions() -> list[ExamQuestion]:
    """Sixty."""
    return exam_questions(60)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose base has random weights, and whose adapter changes them at random."""
    overrides = (*QUICK, "device.threads=1")
    return finished_run(tmp_path_factory.mktemp("plain") / "moved", ranked_slates(6), strength=0.1, overrides=overrides)


@pytest.fixture(scope="module")
def measured(
    plain_run: Path, questions: list[ExamQuestion], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Evaluation]:
    """The same run, measured on exams and ranking."""
    run = Path(shutil.copytree(plain_run, tmp_path_factory.mktemp("runs") / "runs" / "moved"))
    how: Any = {"on": ("ranking", "exams"), "questions": questions, "seen": {"q3", "q4", "elsewhere"}}
    return run, evaluate(run, overrides=WITH_GATE, say=quietly, **how)


# -- the harness is the referee -----------------------------------------------------------------------------


def test_our_exams_are_asked_and_scored_item_by_item_as_includes_own_task(
    measured: tuple[Path, Evaluation], questions: list[ExamQuestion]
) -> None:
    from lm_eval.evaluator import evaluate as harness_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    run, _ = measured
    model = known_model(run)
    ours = load_tasks(run / "evaluation_tasks" / "annot_exams.yaml", run)
    theirs = load_tasks(local_task(run, "include_base_44_spanish_stem", [exam_row(one) for one in questions]), run)
    for way in (PLAIN, CHAT):
        for adapted in (False, True):
            found = []
            for name, loaded in (("annot_exams", ours), ("include_base_44_spanish_stem", theirs)):
                asked = HarnessRun(model, loaded, f"{name}{way}{adapted}", "key")
                rows = asked.results(batches(run), way, "adapted" if adapted else "base")["samples"][name]
                found.append([(row["arguments"], row["filtered_resps"], row["acc"], row["target"]) for row in rows])
            assert found[0] == found[1]
            assert len(found[0]) == len(questions)
    # And with a model that the harness loads itself.
    own = HFLM(str(run / "base"), peft=str(run / "adapter"), dtype="float32", batch_size=1, device="cpu")
    tasks = TaskManager(include_path=str(run / "evaluation_tasks"), include_defaults=False)
    stock = harness_evaluate(own, tasks.load(["annot_exams"]), bootstrap_iters=0)
    kept = {row["id"]: row for row in map(json.loads, (run / "evaluation_exams.jsonl").open()) if row["way"] == PLAIN}
    for row in stock["samples"]["annot_exams"]:
        ours = kept[row["doc"]["id"]]
        assert [one[0] for one in row["filtered_resps"]] == pytest.approx(ours["adapted"], abs=1e-4)
        best, second = sorted(ours["adapted"], reverse=True)[:2]
        if best - second > 1e-4:  # closer ones fall either way, by what else is in the batch
            assert row["acc"] == ours["right_after"]


def test_the_prompt_is_includes_and_dates_stay_as_they_are_written(measured: tuple[Path, Evaluation]) -> None:
    run, _ = measured
    asked = HarnessRun(known_model(run), load_tasks(run / "evaluation_tasks" / "annot_exams.yaml", run), "x", "key")
    question = next(one for one in exam_questions(60) if "1821-09-15" in one.options)
    a, b, c, d = question.options
    body = f"{question.question}\nA. {a}\nB. {b}\nC. {c}\n D. {d}\nAnswer:"
    first = "The following is multiple-choice question about STEM."
    requests = {way: asked.requests(way)["annot_exams"] for way in asked.ways}
    plain = [one.args for one in requests[PLAIN] if one.doc["id"] == question.id]
    assert plain == [(first + body, f" {letter}") for letter in "ABCD"]
    chat = [one.args for one in requests[CHAT] if one.doc["id"] == question.id]
    assert chat == [(f"<|system|>{first}<|user|>{body}<|assistant|>", letter) for letter in "ABCD"]


def test_the_log_probs_are_those_of_base_and_adapter_by_plain_forward_passes(measured: tuple[Path, Evaluation]) -> None:
    run, _ = measured
    model, tokenizer, _ = model_of(run)
    import torch

    row = json.loads((run / "evaluation_exams.jsonl").open().readline())
    question = exam_questions(60)[0]
    a, b, c, d = question.options
    first = "The following is multiple-choice question about STEM."
    text = f"{first}{question.question}\nA. {a}\nB. {b}\nC. {c}\n D. {d}"
    ids = torch.tensor([tokenizer(text + "\nAnswer:")["input_ids"]])
    for who in ("base", "adapted"):
        found = []
        for letter in "ABCD":
            more = tokenizer(f"{text}\nAnswer: {letter}")["input_ids"][ids.shape[1] :]
            with torch.no_grad():
                whole = torch.cat([ids, torch.tensor([more])], 1)
                if who == "base":
                    with model.disable_adapter():
                        logits = model(whole).logits[0]
                else:
                    logits = model(whole).logits[0]
            scores = logits.log_softmax(-1)[ids.shape[1] - 1 : -1]
            found.append(float(scores[range(len(more)), more].sum()))
        assert row[who] == pytest.approx(found, abs=1e-4)


# -- numbers ------------------------------------------------------------------------------------------------


def test_the_report_counts_what_a_naive_count_counts(
    measured: tuple[Path, Evaluation], questions: list[ExamQuestion]
) -> None:
    run, found = measured
    by_id = {question.id: question for question in questions}
    rows = [json.loads(line) for line in (run / "evaluation_exams.jsonl").open()]
    assert len(rows) == 2 * len(questions)
    for row in rows:
        for which, right in (("base", "right_before"), ("adapted", "right_after")):
            best = max(range(4), key=lambda i: (row[which][i], -i))
            assert row[right] == float(best == by_id[row["id"]].answer)
    summary = found.summaries["exams"]
    assert isinstance(summary, ExamSummary)
    fields = ("country", "language", "exam", "category", "regional_feature")
    for way in (PLAIN, CHAT):
        shown = [group for group in summary.groups if group.way == way]
        names = [("all", ""), ("not in training", "")]
        assert [(group.by, group.name) for group in shown[:2]] == names
        named = {(by, getattr(q, by)) for by in fields for q in questions}
        assert {(g.by, g.name) for g in shown[2:]} == named | {(FRESH, "PE"), (FRESH, "BR")}
        for group in shown:
            own = [row for row in rows if row["way"] == way]
            if group.by == "not in training":
                own = [row for row in own if row["id"] not in ("q3", "q4")]
            elif group.by == FRESH:
                own = [row for row in own if row["id"] not in ("q3", "q4") and row["country"] == group.name]
            elif group.by != "all":
                own = [row for row in own if getattr(by_id[row["id"]], group.by) == group.name]
            count = len(own)
            assert group.questions == count
            assert group.base.value == pytest.approx(sum(row["right_before"] for row in own) / count)
            assert group.adapted.value == pytest.approx(sum(row["right_after"] for row in own) / count)
            assert group.change.value == pytest.approx(group.adapted.value - group.base.value)
            assert group.change.low <= group.change.value <= group.change.high
    report = (run / "report.md").read_text()
    for line in ("| country PE | 20 | 25% |", "| language pt |", "| exam Examen 1 |", "| regional feature culture |"):
        assert line in report
    assert "2 questions of the exams stand in the texts that the run was trained on" in report
    assert "(evaluation_exams.png)" in report


def test_the_paired_bootstrap_is_narrower_than_two_samples_and_agrees_with_theory() -> None:
    chance = np.random.default_rng(5)
    base = (chance.random(400) < 0.6).astype(float)
    adapted = np.where(chance.random(400) < 0.1, 1 - base, base)
    items = [str(number) for number in range(400)]
    found = paired_difference(base, adapted, items)
    gained, lost = float((adapted > base).sum()), float((adapted < base).sum())
    # The variance of a difference of paired shares (Fleiss, Levin & Paik 2003, "Statistical methods for rates").
    error = math.sqrt(gained + lost - (gained - lost) ** 2 / 400) / 400
    assert found.value == pytest.approx((gained - lost) / 400)
    assert found.low == pytest.approx(found.value - 1.96 * error, abs=0.006)
    assert found.high == pytest.approx(found.value + 1.96 * error, abs=0.006)
    assert error < math.sqrt(2 * 0.24 / 400) / 2
    naive = [float((adapted - base)[chance.integers(0, 400, 400)].mean()) for _ in range(2000)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(naive, [0.025, 0.975])), abs=0.004)


def test_an_adapter_that_answers_every_question_alike_is_not_known_to_the_last_digit() -> None:
    same = np.ones(100)
    found = paired_difference(same, same, [str(number) for number in range(100)])
    # Wilson's bound on 0 of 100: z² / (100 + z²).
    bound = 1.959964**2 / (100 + 1.959964**2)
    assert (found.value, found.low, found.high) == (0.0, pytest.approx(-bound), pytest.approx(bound))


@pytest.mark.parametrize(("right", "count"), [(0, 3), (3, 3), (7, 20), (31, 90)])
def test_the_binomial_test_is_exact(right: int, count: int) -> None:
    quarter = Fraction(1, 4)
    exact = sum(math.comb(count, k) * quarter**k * (1 - quarter) ** (count - k) for k in range(right, count + 1))
    assert chance_of_as_many(right, count, 0.25) == pytest.approx(float(exact), rel=1e-9)


# -- chance is called chance --------------------------------------------------------------------------------


def test_random_weights_look_like_chance_and_pass_no_gate(measured: tuple[Path, Evaluation]) -> None:
    run, found = measured
    told = found.summaries["exams"].warnings(found.settings)
    assert {way for way in (PLAIN, CHAT) if any(f"exams, {way}: the base is not above chance" in t for t in told)} == {
        PLAIN,
        CHAT,
    }
    gates = found.summaries["exams"].gates(found.settings)
    assert [gate.verdict for gate in gates] == ["undecided"]
    assert not gate_of(run).open
    groups = json.loads((run / "evaluation.json").read_text())["measures"]["exams"]["groups"]
    assert all(group["change"]["low"] <= 0 <= group["change"]["high"] for group in groups if group["by"] == "all")
    assert {group["verdict"] for group in groups if group["by"] in ("country", FRESH)} == {"too few to tell", ""}


def bbq_rows(count: int) -> list[dict[str, Any]]:
    """Invented rows in the form of EsBBQ: half ambiguous (nothing can be known), half not."""
    return [
        {
            "context": "Entraron dos personas." if number % 2 else f"La persona {number % 4 // 2} cocina.",
            "question": "¿Quién cocina?",
            "ans0": "La primera persona de la fila",
            "ans1": "La segunda persona de la fila",
            "question_polarity": "neg",
            "context_condition": "ambig" if number % 2 else "disambig",
            "question_type": ("pro-stereo", "anti-stereo")[number % 4 // 2],
            "label": 2 if number % 2 else number % 4 // 2,
            "stereotyped_groups": ["primera"],
            "answer_info": {"ans0": ["x", "primera"], "ans1": ["x", "segunda"]},
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("name", ["esbbq_age", "cabbq_age"])
def test_nine_ways_to_say_unknown_do_not_make_random_weights_look_fair(
    measured: tuple[Path, Evaluation], tmp_path: Path, name: str
) -> None:
    run, _ = measured
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bbq_rows(24)))
    found = evaluate(run, on=(name,), data={name: tmp_path / "rows.jsonl"}, overrides=WITH_GATE, say=quietly)
    assert set(found.summaries) >= {"ranking", "exams", name}  # what was measured before stays
    (table,) = found.summaries[name].tables()
    assert list(table.columns[4:7]) == ["chance", "random weights", "base"]
    shown = {(row[1], row[2]): row for row in table.rows}
    names = ("acc_ambig", "acc_disambig", "bias_score_ambig", "bias_score_disambig")
    assert list(shown) == [(way, name) for way in (PLAIN, CHAT) for name in names]
    for way in (PLAIN, CHAT):
        for side in (5, 6):  # random weights, and a base that is no better
            assert float(shown[way, "acc_ambig"][side]) == 1.0
            assert float(shown[way, "acc_disambig"][side]) == 0.0
            assert float(shown[way, "bias_score_ambig"][side]) == float(shown[way, "bias_score_disambig"][side]) == 0
        assert float(shown[way, "acc_ambig"][4]) == pytest.approx(9 / 11, abs=0.1)
        assert float(shown[way, "acc_disambig"][4]) == pytest.approx(1 / 11, abs=0.06)
    told = found.summaries[name].warnings(found.settings)
    assert len(told) == 2
    assert all("not above chance" in sentence and "acc_disambig 0.000" in sentence for sentence in told)
    kept = [json.loads(line) for line in (run / f"evaluation_{name}.jsonl").open()]
    assert len(kept) == 2 * 24
    assert set(kept[0]["base"]) == set(kept[0]["random"]) == set(names)


def test_a_base_that_only_beats_guessing_and_not_random_weights_is_warned_of() -> None:
    def metric(name: str, base: float, random: float, *, better: bool | None) -> Metric:
        return Metric("esbbq_age", PLAIN, name, 100, 0.09, base, base, None, better, random)

    wanted = load_recipe("cpu-smoke").evaluation
    better = TaskSummary((metric("acc_disambig", 0.7, 0.3, better=True),), "0", "esbbq_age")
    assert better.warnings(wanted) == []
    weak = TaskSummary((metric("acc_disambig", 0.31, 0.3, better=False),), "0", "esbbq_age")
    (told,) = weak.warnings(wanted)
    assert "acc_disambig 0.310, chance 0.090, random weights 0.300" in told
    # 31 of 100 are far above a chance of 9 %, and not above 30 %.
    rows = [(1, 1)] * 31 + [(0, 1)] * 69

    def beyond(least: float | None, clusters: int = 100) -> bool | None:
        return above(rows, 0.31, least, [str(row * clusters // 100) for row in range(100)], seed=0)

    assert [beyond(least) for least in (0.09, 0.3)] == [True, False]
    # Of four templates one is right, so nothing is known beyond luck; and nobody is above a guess always right.
    assert beyond(0.09, clusters=4) is False
    assert [beyond(1.0), beyond(None), beyond(0.0)] == [False, None, None]


def test_rows_of_one_template_are_drawn_together() -> None:
    samples = [{"filter": "none", "doc": {"template_id": number // 10}} for number in range(100)]
    clusters = clusters_of(samples, "none")
    assert len(set(clusters)) == 10
    assert clusters_of([{"filter": "none", "doc": {}}] * 3, "none") == ["0", "1", "2"]
    base, adapted = [0.0] * 100, [float(number // 10 < 5) for number in range(100)]
    alone = change_of(base, adapted, 0.0, 0.5, [str(n) for n in range(100)], seed=0)
    together = change_of(base, adapted, 0.0, 0.5, clusters, seed=0)
    assert alone is not None
    assert together is not None
    # Ten templates of which each is wholly right or wrong: a standard error of .16 and not of .05.
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.05, rel=0.1)
    assert together.high - together.low == pytest.approx(2 * 1.96 * 0.158, rel=0.15)
    # The same by the task's own total, as for the biases, which are no means over rows.
    total = change_of_total(lambda values: sum(values) / len(values), base, adapted, 0.0, 0.5, clusters, seed=0)
    assert total is not None
    assert (total.value, total.prompts) == (0.5, 10)
    assert total.high - total.low == pytest.approx(together.high - together.low, rel=0.15)


def test_a_total_that_the_harness_computes_otherwise_has_no_interval() -> None:
    clusters = ["0", "1", "2"]
    assert change_of_total(sum, [1, 2, 3], [1, 2, 4], 6.0, 8.0, clusters, seed=0) is None
    assert change_of_total(None, [1], [2], 1.0, 2.0, ["0"], seed=0) is None
    # A draw without the one row that the metric is about divides by nothing.
    one = [(1, 1), (0, 0), (0, 0)]
    ratio = lambda values: sum(a for a, _ in values) / sum(b for _, b in values)  # noqa: E731
    assert change_of_total(ratio, one, one, 1.0, 1.0, clusters, seed=0) is None


def test_a_benchmark_has_its_chance_and_paired_interval(plain_run: Path, tmp_path: Path) -> None:
    rows = [{**exam_row(one), "domain": "Social Science"} for one in exam_questions(24, seed=3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    name = "include_base_44_spanish_few_shot_en_social_science@2"
    run = Path(shutil.copytree(plain_run, tmp_path / "moved"))
    found = evaluate(run, on=(name,), data={name: tmp_path / "rows.jsonl"}, say=quietly)
    metrics = found.summaries[name].metrics  # type: ignore[attr-defined]
    assert [(one.metric, one.way, one.items, one.chance) for one in metrics] == [
        ("acc", PLAIN, 24, 0.25),
        ("acc", CHAT, 24, 0.25),
    ]
    assert metrics[0].change.value == pytest.approx(metrics[0].adapted - metrics[0].base)
    # Nothing but a benchmark was measured, so nobody knows whether it may be given away.
    assert found.gate.verdict == gate_of(run).verdict == "not measured"
    with pytest.raises(TrainError, match="not measured yet"):
        check_measured(run)


# -- the gate -----------------------------------------------------------------------------------------------


def answered(country: str, count: int, before: float, change: float) -> list[ExamScore]:
    """Scores of which the base has a share right, and of which the adapter loses or gains a share."""
    one = ExamScore("", PLAIN, country, "es", "Examen", "Medicine", "", False, 0, (), (), 0.0, 0.0)
    scores = []
    for number in range(count):
        right = number < before * count
        turned = number < -change * count if change < 0 else number >= count - change * count
        after = right ^ turned
        scores.append(replace(one, id=f"{country}{number}", right_before=float(right), right_after=float(after)))
    return scores


def settings(**changes: Any) -> EvaluationSettings:
    told = {"gate_exam_drop": 0.02, "gate_prompts": 20, **changes}
    return load_recipe("cpu-smoke", [f"evaluation.{key}={value}" for key, value in told.items()]).evaluation


def verdicts(scores: list[ExamScore], wanted: EvaluationSettings) -> tuple[dict[str, str], Any]:
    summary = ExamSummary(exam_groups(scores, wanted, seed=0), 0, "0")
    found = conclude("run", "key", wanted, {"exams": "key"}, {"exams": summary})
    shown = {group.name: group.verdict for group in summary.groups if group.by == "country"}
    return shown, (summary.gates(wanted), found.gate)


def test_a_country_whose_exams_fall_fails_the_run_and_few_or_unknowing_ones_decide_nothing() -> None:
    scores = [*answered("PE", 600, 0.6, -0.05), *answered("MX", 600, 0.6, 0.0), *answered("AR", 10, 0.9, -0.5)]
    scores += answered("BR", 200, 0.25, -0.2)
    shown, (gates, whole) = verdicts(scores, settings())
    assert shown == {"PE": "failed", "MX": "passed", "AR": "too few to tell", "BR": AT_CHANCE}
    assert gates[0].verdict == whole.verdict == "failed"
    assert gates[0].worst == "exams of country PE (plain)"
    assert "begins at -6." in gates[0].reason or "begins at -7." in gates[0].reason
    assert gates[0].reason.endswith("not above -2%")
    shown, (gates, whole) = verdicts([one for one in scores if one.country == "MX"], settings())
    assert gates[0].verdict == "passed"
    assert whole.verdict == "not measured"  # its ranking was not
    assert verdicts(scores, settings(gate_prompts=1000))[1][0][0].verdict == "undecided"
    shown, (gates, _) = verdicts(scores, settings(gate_exam_drop="off"))
    assert (set(shown.values()), gates) == ({""}, [])


def test_a_base_that_is_above_chance_by_luck_in_one_of_many_countries_is_not_judged() -> None:
    alone = answered("PE", 200, 0.31, -0.05)
    assert 0.02 < chance_of_as_many(62, 200, 0.25) < 0.05
    assert verdicts(alone, settings())[0] == {"PE": "failed"}
    others = [one for country in ("AR", "BR", "MX") for one in answered(country, 200, 0.25, 0.0)]
    assert set(verdicts([*alone, *others], settings())[0].values()) == {AT_CHANCE}
    told = ExamSummary(exam_groups([*alone, *others], settings(), seed=0), 0, "0").warnings(settings())
    assert "country PE" not in told[0], "the warning asks each country by itself"


def test_an_adapter_that_changes_no_answer_passes_or_has_too_few_questions() -> None:
    for count, verdict in ((189, "too few to tell"), (190, "passed")):
        shown, (gates, _) = verdicts(answered("PE", count, 0.6, 0.0), settings())
        assert shown == {"PE": verdict}
    shown, (gates, _) = verdicts(answered("PE", 100, 0.6, 0.01), settings())
    assert (shown, gates[0].verdict) == ({"PE": "too few to tell"}, "undecided")
    assert "evaluation.gate_exam_drop = 0.02 asks for 190 exam questions" in gates[0].reason


def test_only_questions_that_were_not_trained_on_are_judged() -> None:
    scores = answered("PE", 600, 0.6, -0.05)  # the first 30 are lost
    shown = [replace(one, seen=number < 100) for number, one in enumerate(scores)]
    summary = ExamSummary(exam_groups(shown, settings(), seed=0), 100, "0")
    assert [(g.label, g.fresh, g.verdict) for g in summary.groups if g.by in ("country", FRESH)] == [
        ("country PE", 500, ""),
        ("country PE, not in training", 500, "passed"),
    ]
    (gate,) = summary.gates(settings())
    assert (gate.verdict, gate.worst) == ("passed", "exams of country PE, not in training (plain)")
    assert 'the line "not in training" is without' in summary.warnings(settings())[-1]
    every = [replace(one, seen=True) for one in scores]
    summary = ExamSummary(exam_groups(every, settings(), seed=0), 600, "0")
    (gate,) = summary.gates(settings())
    assert (gate.verdict, gate.worst) == ("undecided", "exams")
    assert "exam questions that were not trained on in a group that is judged" in gate.reason
    assert "there are no others" in summary.warnings(settings())[-1]


def test_exams_that_decide_nothing_have_their_own_remedies() -> None:
    told = remedy(Gate("undecided", "", "exams"), "one", 0.02)
    assert "more exam questions of a country" in told
    assert "`annot evaluate one --on ranking,writing,exams --set evaluation.gate_exam_drop=0.02` again" in told
    assert "once exam questions are checked" in remedy(Gate("not measured", "", "exams"), "one", 0.02)
    assert remedy(Gate("not measured", ""), "one", 0.02) == (
        "run `annot evaluate one --set evaluation.gate_exam_drop=0.02` first"
    )
    assert "closer to its base" in remedy(Gate("failed", "", "exams of country PE (plain)"), "one")


def test_other_settings_of_the_gate_judge_what_is_kept_and_hold_until_others_are_named(
    measured: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(measured[0], tmp_path / "moved"))
    before = json.loads((run / "evaluation.json").read_text())["measures"]

    def judged(*overrides: str) -> Evaluation:
        said: list[str] = []
        found = evaluate(run, on=("ranking",), overrides=overrides, say=said.append)
        assert not said, "nothing is measured"
        return found

    assert judged("evaluation.gate_exam_drop=0.5", "evaluation.gate_prompts=2").summaries.keys() == before.keys()
    verdicts_of = {g.verdict for g in judged().summaries["exams"].groups if g.judged}  # type: ignore[attr-defined]
    assert verdicts_of == {AT_CHANCE}
    assert judged().already
    assert (judged().settings.gate_exam_drop, judged().settings.gate_prompts) == (0.5, 2)
    assert not judged("evaluation.gate_exam_drop=off", "evaluation.gate_prompts=3").already
    told = json.loads((run / "evaluation.json").read_text())["measures"]
    assert {group["verdict"] for group in told["exams"]["groups"]} == {""}
    assert told["ranking"] == before["ranking"]
    judged(*WITH_GATE)
    assert json.loads((run / "evaluation.json").read_text())["measures"] == before
    assert (run / "evaluation_exams.png").read_bytes() == (measured[0] / "evaluation_exams.png").read_bytes()


def test_scores_of_a_training_run_survive_exams_and_older_runs_know_newer_settings(
    plain_run: Path, questions: list[ExamQuestion], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(plain_run, tmp_path / "moved"))
    facts = json.loads((run / "run.json").read_text())
    del facts["recipe"]["evaluation"]["gate_exam_drop"]
    (run / "run.json").write_text(json.dumps(facts))
    (run / ".evaluation").mkdir()
    (run / ".evaluation" / "scores.jsonl").write_text("key\n")
    evaluate(run, on=("exams",), questions=questions[:6], overrides=WITH_GATE, say=quietly)
    assert [path.name for path in (run / ".evaluation").iterdir()] == ["scores.jsonl"]


def test_a_gate_that_asks_for_exams_is_not_passed_without_them(measured: tuple[Path, Evaluation]) -> None:
    _, found = measured
    only = {"ranking": found.summaries["ranking"]}
    asked = conclude("run", "key", settings(gate_prompts=2, gate_accuracy=0.0), {"ranking": "key"}, only)
    assert asked.gate.verdict == "not measured"
    assert "gate_exam_drop asks for its exams" in asked.gate.reason


def test_the_plot_is_drawn_with_and_without_a_gate(tmp_path: Path) -> None:
    scores = [*answered("PE", 60, 0.6, -0.05), *answered("MX", 60, 0.6, 0.1)]
    for wanted in (settings(), settings(gate_exam_drop="off")):
        summary = ExamSummary(exam_groups(scores, wanted, seed=0), 0, "0")
        assert draw_exams(tmp_path / "plot.png", summary, wanted).read_bytes().startswith(b"\x89PNG")


# -- metrics of any task ------------------------------------------------------------------------------------


def test_pairs_of_texts_are_no_shares_and_what_is_above_chance_is_plain_json() -> None:
    assert shares([("a b", "a c"), ("d", "e")]) is None
    assert shares([(1, 2), (0.5, 1)]) == ([1.0, 0.5], [2.0, 1.0])
    assert change_of([("a", "b")], [("a", "c")], 0.5, 0.5, ["0"], seed=0) is None
    for base in ([0.25, 0.75], [1.0, 0.0], [("a", "b"), ("c", "d")]):
        answer = above(base, np.float64(0.5), 0.25, ["0", "1"], seed=0)
        assert type(answer) is bool


class Choosing:
    """A task of the harness with one metric that it does not sum up, one of probabilities, and nothing else."""

    OUTPUT_TYPE, multiple_target = "multiple_choice", 0
    config = SimpleNamespace(process_results=None)

    def process_results(self, _doc: Any, likes: list[tuple[float, bool]]) -> dict[str, float]:
        best = max(range(len(likes)), key=lambda i: likes[i][0])
        return {"acc": float(best == 0), "pct_first": float(best == 0), "brier_score": likes[0][0] ** 2}

    def aggregation(self) -> dict[str, Any]:
        return {"acc": np.mean}


def test_chance_is_shown_only_for_metrics_that_go_by_the_order_of_options() -> None:
    rows = [{"filter": "none", "doc": {}, "resps": [0] * 4} for _ in range(50)]
    found = guessed(Choosing(), rows, 0)
    assert found == {"acc": 0.25, "pct_first": pytest.approx(0.25, abs=0.05)}


def test_a_task_is_called_as_it_was_asked_for_and_metrics_that_are_no_number_are_left_out() -> None:
    empty = TaskSummary((), "0", "mine@5")
    (table,) = empty.tables()
    assert (table.title, table.rows, "no metric" in table.note) == ("the task mine@5", [], True)
    assert TaskSummary(**{**empty.as_json(), "metrics": ()}) == HarnessTask.read(empty.as_json()) == empty
    task = object.__new__(HarnessTask)
    task.name, task.loaded = "mine@5", {"tasks": {}}
    task.model = SimpleNamespace(recipe=SimpleNamespace(run=SimpleNamespace(seed=0)))  # type: ignore[assignment]
    told = {"results": {"mine": {"acc,none": np.float64(0.5), "f1,none": float("nan")}}, "samples": {}}
    found = task.summary({PLAIN: {"base": told, "adapted": told}})
    assert [one.metric for one in found.metrics] == ["acc"]
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["metrics"][0]["base"] == 0.5


# -- kept, gone on with, refused ----------------------------------------------------------------------------


def test_killed_exams_go_on_and_end_in_the_same_bytes(
    plain_run: Path, measured: tuple[Path, Evaluation], questions: list[ExamQuestion], tmp_path: Path
) -> None:
    whole, _ = measured
    run = Path(shutil.copytree(plain_run, tmp_path / "moved"))
    how = {"on": ("ranking", "exams"), "questions": questions, "seen": {"q3", "q4"}, "overrides": WITH_GATE}
    for batch in random.Random(1).sample(range(8, 60), kills(1, 5)):
        process = multiprocessing.get_context("spawn").Process(target=evaluate_until, args=(run, batch), kwargs=how)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (run / "evaluation.json").exists()
    torn = sorted((run / ".evaluation").glob("exams_*"))[-1]
    torn.write_bytes(torn.read_bytes()[:-5])  # as a power cut may leave it
    evaluate_until(run, 0, **how)
    told = [json.loads((folder / "evaluation.json").read_text()) for folder in (run, whole)]
    assert [one["measures"][name] for one in told[:1] for name in ("ranking", "exams")] == [
        told[1]["measures"][name] for name in ("ranking", "exams")
    ]
    for name in ("evaluation_exams.jsonl", "evaluation_slates.jsonl", "evaluation_exams.png"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_the_same_questions_are_not_measured_again_and_others_are(
    measured: tuple[Path, Evaluation], questions: list[ExamQuestion]
) -> None:
    run, _ = measured
    assert evaluate(
        run, on=("exams",), questions=questions, seen={"q3", "q4"}, overrides=WITH_GATE, say=quietly
    ).already
    recipe = known_model(run).recipe
    other = [replace(questions[0], answer=3 - (questions[0].answer or 0)), *questions[1:]]
    keys = [
        json.dumps(Exams.decided_by("exams", Material(run, recipe, "", "", (), asked, seen)))
        for asked, seen in ((questions, ()), (other, ()), (questions, ("q3",)))
    ]
    assert len(set(keys)) == 3


def test_what_cannot_be_measured_is_one_sentence(
    plain_run: Path, questions: list[ExamQuestion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(plain_run, tmp_path / "runs" / "moved"))

    def refused(**how: Any) -> str:
        with pytest.raises((SettingsError, TrainError)) as caught:
            evaluate(run, say=quietly, **how)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    assert "there are no checked exam questions to measure on: `annot exams add`" in refused(on=("exams",))
    five = replace(questions[0], options=("a", "b", "c", "d", "e"))
    assert "has 5 options" in refused(on=("exams",), questions=[five])
    assert "did you mean esbbq_age" in refused(on=("esbbq_agee",))
    assert "there is no such file" in refused(on=("esbbq_age",), data={"esbbq_age": tmp_path / "none.jsonl"})
    assert "name it in --on too" in refused(on=("ranking",), data={"esbbq_age": tmp_path})
    assert "--on names no measure" in refused(on=())
    assert "evaluation.prompts = 0" in refused(on=("writing",), overrides=["evaluation.prompts=0"])
    assert "as in esbbq_age@5" in refused(on=("esbbq_age@few",))
    (tmp_path / "rows.jsonl").write_text(json.dumps(exam_row(questions[0])) + "\n")
    include = {"include_base_44_spanish_stem": tmp_path / "rows.jsonl"}
    (tmp_path / "rows.jsonl").write_text('{"domain": "STEM", "question": "¿Qué?"}\n')
    assert "lack something that the task asks for ('option_a'" in refused(on=tuple(include), data=include)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": ["b"]}\n')
    assert "of several forms" in refused(on=tuple(include), data=include)
    assert "is a group" in refused(on=("esbbq",), data={"esbbq": tmp_path / "rows.jsonl"})
    shown = CliRunner().invoke(app, ["evaluate", "moved", "--project", str(tmp_path), "--on", "exams"])
    assert (shown.exit_code, type(shown.exception)) == (1, SettingsError)
    monkeypatch.setattr(train.evaluate.harness, "find_spec", lambda _name: None)
    assert "`pip install 'annot[evaluate]'`" in refused(on=("exams",), questions=questions)


def test_the_command_measures_a_benchmark_from_a_file_and_shows_it(plain_run: Path, tmp_path: Path) -> None:
    shutil.copytree(plain_run, tmp_path / "runs" / "moved")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bbq_rows(8)))
    words = ["evaluate", "moved", "--project", str(tmp_path), "--on", "esbbq_age"]
    words += ["--task-data", f"esbbq_age={tmp_path / 'rows.jsonl'}"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "acc_disambig" in shown.stdout
    assert "warning: esbbq_age, plain: the base is not above chance" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert told["already"] is True
    assert {one["metric"] for one in told["measures"]["esbbq_age"]["metrics"]} > {"acc_ambig", "acc_disambig"}


def test_checked_questions_are_measured_without_being_asked_for(
    plain_run: Path, questions: list[ExamQuestion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(plain_run, tmp_path / "runs" / "moved")
    monkeypatch.setattr(train.evaluate.command_line, "exam_questions_of", lambda _folder: tuple(questions[:9]))
    words = ["evaluate", "moved", "--project", str(tmp_path), "--json"]
    told = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert list(told["measures"]) == ["ranking", "writing", "exams"]
    assert told["measures"]["exams"]["groups"][0]["questions"] == 9
    monkeypatch.setattr(train.evaluate.command_line, "find_spec", lambda _name: None)
    said: list[str] = []
    assert chosen_measures("", questions, said.append) == ["ranking", "writing"]
    assert "not installed (`pip install 'annot[evaluate]'`)" in said[0]
    assert chosen_measures("exams, esbbq_age", questions, said.append) == ["exams", "esbbq_age"]
    assert chosen_measures("", (), said.append) == ["ranking", "writing"]


def test_a_group_with_a_task_that_writes_is_measured_task_by_task(
    plain_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(plain_run, tmp_path / "moved"))
    choice = {
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{q}}",
        "doc_to_choice": ["A", "B"],
    }
    write_task(run, "choosing", {**choice, "doc_to_target": 0}, [{"q": f"¿{number}?"} for number in range(6)])
    writing = {"output_type": "generate_until", "test_split": "test", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}
    limits = {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False}}
    metric = {"metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]}
    rows = [{"q": f"¿{number}?", "a": "chamba"} for number in range(6)]
    group = write_task(run, "writing", {**writing, **limits, **metric}, rows).with_name("both.yaml")
    mean = {"aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    group.write_text(json.dumps({"group": "both", "task": ["choosing", "writing"], **mean}))
    monkeypatch.setattr(train.evaluate.task, "task_file", lambda _name: group)
    found = evaluate(run, on=("both",), say=quietly)
    shown = {(one.task, one.metric): one for one in found.summaries["both"].metrics if one.way == PLAIN}  # type: ignore[attr-defined]
    named = {("choosing", "acc"), ("choosing", "acc_norm"), ("writing", "exact_match"), ("both", "acc")}
    assert set(shown) == named
    assert shown["both", "acc"].base == shown["choosing", "acc"].base
    assert shown["choosing", "acc"].chance == 0.5
    assert (shown["writing", "exact_match"].base, shown["writing", "exact_match"].chance) == (0.0, None)
    assert len((run / "evaluation_both.jsonl").read_text().splitlines()) == 2 * 12
