"""A finished run is measured: known adapters give known answers, the gate decides, the folder says so."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from finished_runs import QUICK, finished_run, model_of, ranked_slates
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import AnnotError, SettingsError, TrainError
from sync.reporting.next_step import _unmeasured
from train.data.encoding import encode_slate
from train.data.slates import RankedSlate, Ranking
from train.evaluate.compare import compare
from train.evaluate.evaluation import Evaluation, conclude
from train.evaluate.gate import gate_of
from train.evaluate.ranking import score_slate
from train.evaluate.ranking_summary import accuracy_json, accuracy_sentence, rank_groups, summarise
from train.evaluate.report import BEGIN, put_section, warnings
from train.evaluate.run import evaluate
from train.evaluate.scores import AnswerScore, EncodedAnswer, compare_with_base
from train.evaluate.writing import prompts_to_answer
from train.models.generation import sample_answers


def quietly(_line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose adapter changes the model at random."""
    return finished_run(tmp_path_factory.mktemp("runs") / "moved", ranked_slates(12), strength=0.1)


@pytest.fixture(scope="module")
def measured(moved: Path) -> tuple[Path, Evaluation]:
    """The same run, measured."""
    return moved, evaluate(moved, say=quietly)


def exact_log_probs(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


# -- known answers ------------------------------------------------------------------------------------------


def test_scores_and_divergence_are_those_of_the_definition_in_float64(moved: Path) -> None:
    model, tokenizer, _ = model_of(moved)
    rows = [encode_slate(slate, tokenizer) for slate in ranked_slates(2)]
    answers = [EncodedAnswer((*row.prompt, *answer), len(row.prompt)) for row in rows for answer in row.answers]
    found = compare_with_base(model, answers, pad=tokenizer.pad_token_id)
    exact = model.double()
    for answer, score in zip(answers, found, strict=True):
        after = exact_log_probs(exact, list(answer.ids))
        with exact.disable_adapter():
            before = exact_log_probs(exact, list(answer.ids))
        at = range(answer.start - 1, len(answer.ids) - 1)
        assert score.tokens == len(at)
        assert score.base == pytest.approx(sum(float(before[i, answer.ids[i + 1]]) for i in at), abs=1e-4)
        assert score.adapted == pytest.approx(sum(float(after[i, answer.ids[i + 1]]) for i in at), abs=1e-4)
        kl = sum(float((after[i].exp() * (after[i] - before[i])).sum()) for i in at)
        assert kl > 0.01
        assert score.kl == pytest.approx(kl, rel=1e-3)


def test_the_divergence_of_own_samples_is_the_true_one_of_two_tokens(moved: Path) -> None:
    import torch

    model, tokenizer, _ = model_of(moved)
    prompt = tokenizer("¿Cómo?")["input_ids"]
    vocabulary = model.get_input_embeddings().num_embeddings
    with torch.no_grad():
        every = torch.tensor([[*prompt, token] for token in range(vocabulary)])
        after = model(input_ids=every).logits[:, -2:].double().log_softmax(-1)
        with model.disable_adapter():
            before = model(input_ids=every).logits[:, -2:].double().log_softmax(-1)
    # KL of the first token, and of the second given each first one, weighted by how likely that is.
    each = (after.exp() * (after - before)).sum(-1)
    truth = float(each[0, 0] + (after[0, 0].exp() * each[:, 1]).sum())
    drawn = [
        sample
        for seed in range(4)
        for sample in sample_answers(
            model, [prompt] * 100, ends=frozenset({vocabulary}), pad=tokenizer.pad_token_id, limit=2, seed=seed
        )
    ]
    scores = compare_with_base(
        model, [EncodedAnswer((*prompt, *s.tokens), len(prompt)) for s in drawn], pad=tokenizer.pad_token_id
    )
    found = np.array([score.kl for score in scores])
    assert found.mean() == pytest.approx(truth, abs=4 * found.std() / math.sqrt(len(found)))
    assert found.std() > 0


def test_samples_follow_the_distribution_of_the_model_and_stop_at_an_end(moved: Path) -> None:
    model, tokenizer, _ = model_of(moved)
    prompts = [tokenizer(text)["input_ids"] for text in ("a", "¿Cómo se dice?")] * 200
    likely = exact_log_probs(model, prompts[1])[-1].exp()
    top = int(likely.argmax())
    drawn = sample_answers(model, prompts, ends=frozenset({top}), pad=tokenizer.pad_token_id, limit=3, seed=5)
    first = np.array([sample.tokens[0] == top for sample in drawn[1::2]])
    share = float(likely[top])
    assert first.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(first)))
    for sample in drawn:
        assert sample.ended == (sample.tokens[-1] == top)
        assert top not in sample.tokens[:-1]
        assert sample.ended or len(sample.tokens) == 3
    assert drawn == sample_answers(model, prompts, ends=frozenset({top}), pad=tokenizer.pad_token_id, limit=3, seed=5)


def slate_of(*rankings: tuple[tuple[tuple[int, ...], ...], int], answers: int = 3) -> RankedSlate:
    people = sum(count for _, count in rankings)
    said = tuple(Ranking(tiers, count / people, count) for tiers, count in rankings)
    return RankedSlate("s", "¿Qué?", tuple("abcd"[:answers]), said, (), country="MX")


def scored(*rewards: float) -> list[AnswerScore]:
    return [AnswerScore(-10.0, -10.0 + reward, 5, 0.1) for reward in rewards]


def test_votes_are_counted_one_by_one_and_ties_are_none() -> None:
    # Two people say a > b > c (3 votes each), one says c > a = b (2 votes). The rewards say a > c > b.
    slate = slate_of((((0,), (1,), (2,)), 2), (((2,), (0, 1)), 1))
    found = score_slate(slate, scored(3, 1, 2), beta=0.5)
    assert found.rewards == pytest.approx((1.5, 0.5, 1.0))
    assert found.votes == 8
    # Right: a > b and a > c of the first two (4), c > b of the third (1).
    assert found.right == 5
    # The majorities: a > b by 2 to 0, a > c by 2 to 1, b > c by 2 to 1.
    assert found.most == 6
    # tau-b: (2 - 1) / 3 twice; of the third (1 - 1) / sqrt(3 * 2) = 0.
    assert found.tau == pytest.approx((2 * (1 / 3) + 0) / 3)
    assert found.right_before == 4  # the base finds all equally likely: a draw counts half
    assert (found.people, found.kl, found.tokens) == (3, pytest.approx(0.3), 15)


def test_who_ties_everything_says_nothing_and_what_was_not_ranked_is_not_compared() -> None:
    alone = score_slate(slate_of((((0, 1, 2),), 4)), scored(1, 2, 3), beta=1)
    assert (alone.votes, alone.people, alone.tau) == (0, 0, 0)
    with_rewrite = score_slate(slate_of((((1,), (0,)), 1), answers=4), scored(1, 2, 9, -9), beta=1)
    assert (with_rewrite.votes, with_rewrite.right, with_rewrite.tau) == (1, 1, 1)


def test_an_adapter_that_changes_nothing_is_found_out(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "still", ranked_slates(9), strength=0.0)
    found = evaluate(run, say=quietly)
    everything = found.summaries["ranking"].groups[0]
    assert (everything.accuracy.value, everything.tau.value) == (0.5, 0.0)
    assert everything.likelier_before == everything.likelier_after
    assert found.summaries["ranking"].kl.value == found.summaries["writing"].kl.value == 0.0
    assert found.summaries["writing"].tokens["change"].value == 0.0
    for row in (json.loads(line) for line in (run / "evaluation_samples.jsonl").read_text().splitlines()):
        assert row["base"] == row["adapted"]
    assert found.gate.verdict == "failed"  # no better than a coin, for sure


def test_a_group_that_is_ranked_the_wrong_way_round_fails_and_comes_first() -> None:
    from train.settings import load_recipe

    recipe = load_recipe("cpu-smoke", ["evaluation.gate_prompts=5"])
    scores = []
    for number, slate in enumerate(ranked_slates(24)):
        tiers = tuple((seat,) for seat in range(4))
        right = scored(4, 3, 2, 1) if slate.country != "AR" else scored(1, 2, 3, 4)
        country = "CL" if number >= 21 else slate.country
        scores.append(
            score_slate(
                RankedSlate(**{**_facts(slate), "rankings": (Ranking(tiers),), "country": country}), right, beta=1
            )
        )
    found = concluded(scores, recipe)
    by_country = [group for group in found.summaries["ranking"].groups if group.by == "country"]
    assert [group.name for group in by_country] == ["AR", "CL", "BR", "MX"]
    assert [group.verdict for group in by_country] == ["failed", "too few to tell", "passed", "passed"]
    assert found.gate.verdict == "failed"
    assert found.gate.worst == "country AR"
    assert any("country CL: fewer than 5" in sentence for sentence in warnings(found))
    assert [group.verdict for group in found.summaries["ranking"].groups if group.by in ("all", "topic")] == [
        "",
        "",
        "",
    ]
    # What DONE of a training run says of the same scores.
    accuracy = accuracy_json(rank_groups(scores, seed=0))
    assert list(accuracy["by_country"]) == ["AR", "CL", "BR", "MX"]
    assert accuracy["by_country"]["AR"]["implicit_reward"]["after"]["value"] == 0.0
    assert accuracy["per_token"]["before"] == asdict(found.summaries["ranking"].groups[0].likelier_before)
    told = accuracy_sentence(found.summaries["ranking"].groups)
    assert told.startswith("ranking accuracy 50.0% before, 66.7% after (mean log-prob per token), 66.7% by implicit")
    assert told.endswith("reward of at most 100.0%, over 24 slates of 24 prompts")


def concluded(scores: list[Any], recipe: Any) -> Evaluation:
    ranking = summarise(scores, recipe.evaluation, seed=0)
    return conclude("run", "key", recipe.evaluation, {"ranking": "key"}, {"ranking": ranking})


def _facts(slate: RankedSlate) -> dict[str, Any]:
    return {name: getattr(slate, name) for name in slate.__slots__}


def test_without_any_named_group_the_whole_is_judged() -> None:
    from train.settings import load_recipe

    recipe = load_recipe("cpu-smoke", ["evaluation.gate_prompts=5"])
    rows = []
    for number in range(8):
        facts = {**_facts(slate_of((((0,), (1,), (2,)), 1))), "prompt": f"¿{number}?", "country": ""}
        rows.append(score_slate(RankedSlate(**facts), scored(3, 2, 1), beta=1))
    found = concluded(rows, recipe)
    assert [group.verdict for group in found.summaries["ranking"].groups] == ["passed"]
    assert found.gate.worst == "all"


def test_prompts_to_answer_come_from_every_country_in_turn() -> None:
    slates = ranked_slates(30)
    few = prompts_to_answer(slates, 9, seed=1)
    assert sorted(slate.country for slate in few) == ["AR"] * 3 + ["BR"] * 3 + ["MX"] * 3
    assert prompts_to_answer(slates + slates, 99, seed=1) != prompts_to_answer(slates, 99, seed=2)
    assert len(prompts_to_answer(slates + slates, 99, seed=1)) == 30
    assert prompts_to_answer(slates, 0, seed=1) == []


# -- the run's folder ---------------------------------------------------------------------------------------


def test_a_measured_run_says_so_in_its_folder(measured: tuple[Path, Evaluation]) -> None:
    run, found = measured
    told = json.loads((run / "evaluation.json").read_text())
    assert told["gate"] == found.gate.verdict == gate_of(run).verdict
    assert (
        told["measures"]["ranking"]["groups"][0]["accuracy"]["value"]
        == found.summaries["ranking"].groups[0].accuracy.value
    )
    assert {group["by"] for group in told["measures"]["ranking"]["groups"]} == {"all", "country", "language", "topic"}
    report = (run / "report.md").read_text()
    assert report.index("## Evaluation") < report.index("## Preflight")
    for line in ("| country MX |", "| language pt |", "| topic comida |", "seq-rep-4", "**Gate: "):
        assert line in report
    for plot in ("evaluation_groups.png", "evaluation_writing.png"):
        assert f"({plot})" in report
        assert (run / plot).read_bytes().startswith(b"\x89PNG")
    assert not (run / ".evaluation").exists()
    assert len((run / "evaluation_samples.jsonl").read_text().splitlines()) == 6


def test_measuring_again_does_nothing_and_other_settings_measure_anew(
    measured: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    run, found = measured
    again = evaluate(run, say=quietly)
    assert again.already
    assert again.as_json() == found.as_json()
    copy = Path(shutil.copytree(run, tmp_path / "moved"))
    other = evaluate(copy, overrides=["evaluation.prompts=0"], say=quietly)
    assert not other.already
    assert "writing" not in other.summaries
    assert other.summaries["ranking"].groups == found.summaries["ranking"].groups
    assert (copy / "report.md").read_text().count(BEGIN) == 1


def test_progress_counts_every_batch_once(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "moved", ranked_slates(3), strength=0.1)
    counted: list[tuple[int, int | None]] = []
    evaluate(run, say=quietly, progress=lambda done, total=None, note="": counted.append((done, total)))  # noqa: ARG005
    assert counted == [(number, counted[0][1]) for number in range(1, len(counted) + 1)]
    assert counted[-1][0] == counted[-1][1]


@pytest.mark.parametrize(
    ("told", "checked", "proposed"),
    [
        (None, 0, True),
        ('{"gate": "not measured", "gate_worst": ""}', 0, True),
        ('{"gate": "not measured", "gate_worst": "exams"}', 0, False),  # nothing could be measured yet
        ('{"gate": "not measured", "gate_worst": "exams"}', 9, True),
        ('{"gate": "not measured", "gate_worst": "votes"}', 9, False),
        ('{"gate": "failed", "gate_worst": "all"}', 9, False),
        ("damaged", 9, False),
    ],
)
def test_measuring_is_proposed_while_the_gate_asks_for_something_that_can_be_measured(
    tmp_path: Path, told: str | None, checked: int, proposed: bool
) -> None:
    if told is not None:
        (tmp_path / "evaluation.json").write_text(told)
    project: Any = SimpleNamespace(run_folder=lambda _run: tmp_path)
    found: Any = SimpleNamespace(quotas=[SimpleNamespace(quota=SimpleNamespace(task="exam"), completed=checked)])
    last: Any = SimpleNamespace(run="one")
    assert _unmeasured(project, found, last) is proposed


def test_two_runs_are_compared_slate_by_slate(measured: tuple[Path, Evaluation], tmp_path: Path) -> None:
    run, found = measured
    other = finished_run(tmp_path / "other", ranked_slates(12), strength=0.1, seed=4)
    with pytest.raises(TrainError, match="other was not measured yet"):
        compare(run, other)
    theirs = evaluate(other, overrides=["evaluation.prompts=0"], say=quietly)
    everything, *groups = compare(run, other)
    assert everything.slates == 12
    assert everything.accuracy.value == pytest.approx(
        found.summaries["ranking"].groups[0].accuracy.value - theirs.summaries["ranking"].groups[0].accuracy.value,
        abs=1e-12,
    )
    assert {group.group for group in groups} == {"country MX", "country BR", "country AR", "language es", "language pt"}
    same = compare(run, run)
    assert {(one.accuracy.low, one.tau.high) for one in same} == {(0.0, 0.0)}


def test_the_report_keeps_what_is_around_the_section() -> None:
    once = put_section("# Run\n\nFirst.\n\n## Preflight\n\nLast.\n", "## Evaluation\n\nold\n")
    twice = put_section(once, "## Evaluation\n\nnew\n")
    assert "old" not in twice
    assert twice == once.replace("old", "new")
    assert twice.startswith("# Run\n\nFirst.\n\n<!-- evaluation")
    assert twice.endswith("## Preflight\n\nLast.\n")
    assert put_section("# Run\n", "x").endswith("-->\n")


def _gone(run: Path) -> None:
    shutil.rmtree(run)


def _unfinished(run: Path) -> None:
    (run / "DONE").unlink()


def _older(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    del facts["recipe"]["evaluation"]
    (run / "run.json").write_text(json.dumps(facts))


def _without_rows(run: Path) -> None:
    (run / "held_out_slates.jsonl").unlink()


def _other_adapter(run: Path) -> None:
    with (run / "adapter" / "adapter_model.safetensors").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_gone, "is no run"),
        (_unfinished, "is not finished"),
        (_older, "trained by another version of annot"),
        (_without_rows, "has lost its held_out.jsonl"),
        (_other_adapter, "missing or not what the run wrote"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    moved: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    run = Path(shutil.copytree(moved, tmp_path / "moved"))
    spoil(run)
    with pytest.raises(TrainError, match=told) as caught:
        evaluate(run, say=quietly)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("lora.rank=4", "only its evaluation can be changed"),
        ("evaluation.prompt=4", 'did you mean "evaluation.prompts"'),
        ("evaluation.gate_accuracy=2", "less than 1"),
    ],
)
def test_only_settings_of_the_evaluation_can_be_changed(moved: Path, override: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        evaluate(moved, overrides=[override], say=quietly)


def test_a_run_nobody_voted_on_cannot_be_measured(tmp_path: Path) -> None:
    silent = [RankedSlate(**{**_facts(slate), "rankings": ()}) for slate in ranked_slates(3)]
    run = finished_run(tmp_path / "silent", silent, strength=0.1, overrides=(*QUICK, "evaluation.prompts=0"))
    with pytest.raises(AnnotError, match="nobody told any two"):
        evaluate(run, say=quietly)


def test_the_command_shows_tables_or_json(measured: tuple[Path, Evaluation], tmp_path: Path) -> None:
    run, found = measured
    shutil.copytree(run, tmp_path / "runs" / "moved")
    words = ["evaluate", "moved", "--project", str(tmp_path), "--against", "moved"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert shown.exit_code == 0
    assert f"gate: {found.gate.verdict}: " in shown.stdout
    assert "country MX" in shown.stdout
    assert "moved minus moved" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert told["already"] is True
    assert told["gate"] == found.gate.verdict
    assert told["against"][0]["accuracy"]["value"] == 0.0
