"""The engine: an update is the same in any packs; memory, bad batches, the reference, dropout and several processes."""

import gc
import json
import random
import re
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from train_models import WORDS, random_slates, tiny_model

from annotation.errors import TrainError
from train.data.slates import Comparison, RankedSlate, Ranking
from train.data.tokens import EncodedSlate
from train.engine.adapter import check_targets, keep_adapter_in_float32, lora_config
from train.engine.batches import TrainingSet
from train.engine.build import leave_inputs_alone
from train.engine.compiled import check_compiler, compile_layers
from train.engine.dropout import TokenDropout, Tokens
from train.engine.log_probs import answer_log_probs, score_answers
from train.engine.losses import objective, targets
from train.engine.low_rank import AddLowRank, fuse_adapter
from train.engine.memory import Schedule, Widths, checkpoint_layers, plan_memory, widths_of
from train.engine.packing import lay_out, pack
from train.engine.reference import ReferenceCache, groups, key_of
from train.run_folder import RunLog
from train.settings import Recipe, load_recipe

STEPS, SIZE = 3, 6


pytestmark = pytest.mark.usefixtures("one_thread")


def judged(encoded: list[EncodedSlate], seed: int = 0) -> list[RankedSlate]:
    """Random rankings, with ties, of slates in tokens."""
    chance = random.Random(seed)
    slates = []
    for number, slate in enumerate(encoded):
        places = list(range(len(slate.answers)))
        chance.shuffle(places)
        cut = chance.randint(1, len(places) - 1)
        tiers = (tuple(places[:cut]), tuple(places[cut:]))
        pairs = tuple(Comparison(a, b, smoothing=0.1) for a in tiers[0] for b in tiers[1])
        slates.append(
            RankedSlate(f"slate{number}", "question", ("answer",) * len(places), (Ranking(tiers),), pairs, tiers[0][0])
        )
    return slates


def trainer_of(
    home: Path,
    *,
    budget: int = 200,
    kind: str = "plackett_luce",
    checkpointed: int = 0,
    overrides: tuple[str, ...] = (),
    cache: Path | None = None,
    shape: Any = "rows",
    change: Callable[[Any], None] = lambda model: None,  # noqa: ARG005
) -> Any:
    """A trainer of a tiny model with dropout, over the same slates each time."""
    from peft import get_peft_model
    from transformers import TrainingArguments, set_seed

    from train.engine.adapter import lora_config, training_arguments
    from train.engine.trainer import SlateTrainer

    # A rate at which Adam's division by tiny gradients does not blow rounding up.
    given = (
        "optimiser.learning_rate=2e-4",
        "lora.dropout=0.2",
        "run.log_every=1",
        "run.save_every=1",
        "run.eval_every=2",
        "dpo.sft_weight=0.1",
    )
    recipe = load_recipe("cpu-smoke", [*given, f"dpo.objective={kind}", *overrides])
    model = tiny_model("llama", seed=1, num_hidden_layers=2)
    score_answers(model, 40)
    set_seed(0)
    model = get_peft_model(model, lora_config(recipe))
    change(model)
    encoded = random_slates(SIZE * 2)
    slates = judged(encoded)
    return SlateTrainer(
        model=model,
        args=TrainingArguments(
            **training_arguments(home / "checkpoints", recipe, STEPS), per_device_train_batch_size=SIZE
        ),
        recipe=recipe,
        train=TrainingSet(slates, encoded),
        held_out=TrainingSet(slates[:3], encoded[:3]),
        schedule=Schedule(budget, checkpointed, 2, 0, 0),
        shape=shape,
        cache=ReferenceCache(cache or home / "reference.sqlite"),
        log=RunLog(home, quiet=True),
        callbacks=[],
    )


def adapter(trainer: Any) -> torch.Tensor:
    """All trained weights in one row."""
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


@pytest.mark.parametrize("kind", ["plackett_luce", "pairwise"])
def test_an_update_is_the_same_in_any_packs_with_dropout_on(tmp_path: Path, kind: str) -> None:
    whole = trainer_of(tmp_path / "whole", budget=10_000, kind=kind)
    whole.train()
    small = trainer_of(tmp_path / "small", budget=1, kind=kind, checkpointed=1)
    small.train()
    alone = trainer_of(tmp_path / "alone", budget=300, kind=kind, shape="alone")
    alone.train()
    assert (adapter(whole) - adapter(alone)).abs().max() < 1e-6
    assert (adapter(whole) - adapter(trainer_of(tmp_path / "new", kind=kind))).abs().max() > 1e-4
    assert (adapter(whole) - adapter(small)).abs().max() < 1e-6
    for one, other in zip(whole.state.log_history, small.state.log_history, strict=True):
        assert one.keys() == other.keys()
        assert one.get("loss", 0.0) == pytest.approx(other.get("loss", 0.0), rel=1e-5)


def test_compiled_layers_change_no_update_beyond_rounding(tmp_path: Path) -> None:
    """Compiled up to the code that is generated from it, which takes a minute on a CPU and is PyTorch's own."""
    plain = trainer_of(tmp_path / "plain")
    plain.train()
    layers = []
    compiled = trainer_of(
        tmp_path / "compiled", checkpointed=1, change=lambda model: layers.append(compile_layers(model, "aot_eager"))
    )
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled.train()
    assert layers == [2]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.config.recompile_limit > torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert (adapter(plain) - adapter(compiled)).abs().max() < 1e-6


@pytest.mark.parametrize(("device", "variable", "named"), [("cpu", "CXX", "g++"), ("cuda", "CC", "gcc or clang")])
def test_without_a_compiler_compiling_is_refused_before_it_begins(
    device: str, variable: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(TrainError, match=rf"none here \({re.escape(named)}\).* set engine\.compile = false"):
        check_compiler(device)
    monkeypatch.setenv(variable, "nonsense -O2")
    with pytest.raises(TrainError, match=r"none here \(nonsense\)"):
        check_compiler(device)
    (tmp_path / "nonsense").write_text("")
    (tmp_path / "nonsense").chmod(0o755)
    check_compiler(device)


def test_the_loss_of_an_update_is_the_objective_of_its_slates_by_the_definition(tmp_path: Path) -> None:
    """Without dropout: every answer alone, all in one tensor, divided by what is counted."""
    from train_models import one_by_one

    trainer = trainer_of(tmp_path, overrides=("lora.dropout=0.0", "dpo.sft_weight=0.0"), budget=60)
    trainer.train()
    last = trainer.state.log_history[0]["loss"]
    model = tiny_model("llama", seed=1, num_hidden_layers=2)
    with torch.no_grad():
        alone = torch.stack([value for slate in trainer.train_set.encoded for value in one_by_one(model, slate)])
    update = next(iter(trainer.get_train_dataloader()))
    batch = targets([trainer.train_set.slates[number] for number in update], "plackett_luce")
    rewards = torch.zeros(sum(len(trainer.train_set.encoded[number].answers) for number in update))
    assert last == pytest.approx(float(objective(rewards, batch)) / batch.count, rel=1e-5)
    held = trainer.evaluate()
    flat = [value for values in trainer.reference[id(trainer.held_out)] for value in values]
    assert flat == pytest.approx(alone[: len(flat)].tolist(), rel=1e-5)
    assert held["eval_loss"] > 0


def test_out_of_memory_halves_the_budget_and_does_the_batch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trainer_of(tmp_path / "a", budget=400)
    undisturbed.train()
    trainer = trainer_of(tmp_path / "b", budget=400, overrides=("run.save_every=1",))
    room = 220
    plain = trainer.model.base_model.model.model.layers[1].forward

    def short_of_memory(hidden: Any, *args: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() and hidden.shape[0] * hidden.shape[1] > room:
            raise torch.OutOfMemoryError("injected")
        return plain(hidden, *args, **named)

    monkeypatch.setattr(trainer.model.base_model.model.model.layers[1], "forward", short_of_memory)
    trainer.train()
    log = (tmp_path / "b" / "log.txt").read_text()
    assert log == "out of memory: the batch is done again in packs of up to 200 tokens.\n"
    assert (adapter(trainer) - adapter(undisturbed)).abs().max() < 1e-6
    kept = json.loads((tmp_path / "b" / "checkpoints" / f"checkpoint-{STEPS}" / "engine.json").read_text())
    assert kept == {"token_budget": 200, "bad": 0}
    room = 10
    with pytest.raises(TrainError, match=r"a slate of \d+ tokens does not fit into memory even alone"):
        trainer.learn(list(range(SIZE)))


def poison(*steps: int) -> Callable[[Any], None]:
    """Make a gradient NaN in some updates (from 0), whatever the number of packs."""

    def change(model: Any) -> None:
        weight = next(p for name, p in model.named_parameters() if "lora_B" in name)
        model.poisoned = {"at": 0}
        weight.register_hook(lambda grad: grad * float("nan") if model.poisoned["at"] in steps else None)

    return change


def test_a_batch_without_a_finite_gradient_is_skipped_and_kept(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Count(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **named: Any) -> None:  # noqa: ARG002
            model.poisoned["at"] = state.global_step

    trainer = trainer_of(tmp_path, change=poison(1))
    trainer.add_callback(Count())
    before: list[torch.Tensor] = []

    class Keep(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:  # noqa: ARG002
            before.append(adapter(trainer).clone())

    trainer.add_callback(Keep())
    trainer.train()
    assert not torch.equal(before[0], torch.zeros_like(before[0]))
    assert torch.equal(before[0], before[1])
    assert not torch.equal(before[1], before[2])
    assert before[2].isfinite().all()
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    assert "step 2: the gradient is not finite" in line
    (file,) = (tmp_path / "bad_batches").iterdir()
    kept = json.loads(file.read_text())
    assert kept["step"] == 2
    assert len(kept["slates"]) == SIZE
    numbers = {slate.id: number for number, slate in enumerate(trainer.train_set.slates)}
    for slate in kept["slates"]:
        encoded = trainer.train_set.encoded[numbers[slate["id"]]]
        assert (slate["prompt"], slate["answers"]) == (list(encoded.prompt), [list(a) for a in encoded.answers])
    losses = [line for line in trainer.state.log_history if "learning_rate" in line]
    assert ["loss" in line for line in losses] == [True, False, True]
    assert losses[1]["skipped"] == 1.0


def test_too_many_bad_batches_stop_the_run(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, change=poison(0, 1, 2), overrides=("engine.max_bad_batches=0",))
    with pytest.raises(TrainError, match=r"not finite in 1 batch \(.*training has diverged"):
        trainer.train()


# -- the reference -------------------------------------------------------------------------------------------


def test_the_base_scores_every_candidate_once_and_never_again(tmp_path: Path) -> None:
    calls: list[int] = []
    trainer = trainer_of(tmp_path / "a", cache=tmp_path / "kept.sqlite")
    trainer.model.base_model.model.model.layers[0].register_forward_pre_hook(
        lambda module, args: calls.append(1) if not torch.is_grad_enabled() else None  # noqa: ARG005
    )
    trainer.learner = trainer.model
    first = trainer.reference_of(trainer.train_set)
    slates = trainer.train_set.encoded
    assert len(calls) == len({slate.prompt for slate in slates}) == len(groups(slates))
    again = trainer_of(tmp_path / "b", cache=tmp_path / "kept.sqlite")
    again.model.base_model.model.model.layers[0].register_forward_pre_hook(
        lambda module, args: pytest.fail("computed twice")  # noqa: ARG005
    )
    again.learner = again.model
    assert again.reference_of(again.train_set) == first
    # Kept without one of them: it alone is computed, and comes out the same to the last bit.
    import sqlite3

    with sqlite3.connect(tmp_path / "kept.sqlite") as db:
        db.execute("delete from answers where rowid = 3")
    calls.clear()
    assert trainer.reference_of(trainer.train_set) == first
    assert len(calls) == 1


def test_a_damaged_cache_is_begun_anew(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    trainer.learner = trainer.model
    first = trainer.reference_of(trainer.train_set)
    file = trainer.cache.path
    for damage in (b"no database" * 500, file.read_bytes()[:4096] + b"x" * 8192):
        file.write_bytes(damage)
        assert trainer.reference_of(trainer.train_set) == first
        assert ReferenceCache(file).read(map(key_of, groups(trainer.train_set.encoded)))


def test_candidates_are_grouped_by_prompt_whatever_rows_they_came_in() -> None:
    pairs = [EncodedSlate((5, 6), ((n,), (n + 1,))) for n in range(10, 14)] + [EncodedSlate((7,), ((1,), (2,)))]
    found = groups(pairs)
    assert found == groups(list(reversed(pairs)))[::-1]
    assert found == [EncodedSlate((5, 6), ((10,), (11,), (12,), (13,), (14,))), EncodedSlate((7,), ((1,), (2,)))]


def test_another_base_quantisation_or_number_type_has_a_cache_of_its_own(tmp_path: Path) -> None:
    from train.engine.reference import reference_cache
    from train.models.base import Base

    folder = tmp_path / "model"
    tiny_model("llama").save_pretrained(folder)
    base = Base("x", folder, "1")
    paths = {
        reference_cache(base, load_recipe("cpu-smoke", [change], base=str(folder)), "rows", home=tmp_path).path
        for change in ("run.seed=0", "base.dtype=bfloat16", "base.quantisation=nf4", "optimiser.autocast=bfloat16")
    }
    weights = folder / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    paths.add(reference_cache(base, load_recipe("cpu-smoke", base=str(folder)), "rows", home=tmp_path).path)
    assert len(paths) == 5


# -- dropout -------------------------------------------------------------------------------------------------


def test_dropout_drops_its_share_and_not_the_same_twice() -> None:
    tokens = Tokens(3)
    slates = random_slates(20, seed=5)
    packed = lay_out(slates, [list(range(20))])
    x = torch.ones(*packed.ids.shape, 64)
    one, other = (TokenDropout(0.25, name, tokens, x) for name in ("layer0", "layer1"))

    def mask(dropout: TokenDropout, step: int, numbers: list[int]) -> torch.Tensor:
        tokens.enter(packed, torch.tensor(numbers), step)
        return dropout.now(x)().float()

    first = mask(one, 0, list(range(20)))
    assert first.mean() == pytest.approx(0.75, abs=0.015)
    assert torch.equal(first, mask(one, 0, list(range(20))))
    for another in (mask(other, 0, list(range(20))), mask(one, 1, list(range(20))), mask(one, 0, list(range(1, 21)))):
        dropped = (first == 0) & (another == 0)
        assert dropped.float().mean() == pytest.approx(0.25**2, abs=0.01)
    # Neither features of a token nor tokens of a feature go together.
    for matrix in (first[0], first[0].T):
        correlation = torch.corrcoef(matrix).fill_diagonal_(0)
        assert correlation.abs().mean() < 2 / matrix.shape[1] ** 0.5


# -- the adapter ---------------------------------------------------------------------------------------------

ADAPTED = {
    "float32": (torch.float32, False),
    "a bfloat16 base": (torch.bfloat16, False),
    "a bfloat16 base under autocast": (torch.bfloat16, True),
    "a float32 base under autocast": (torch.float32, True),
}
"""Number type of the base, and whether autocast is on."""


@pytest.mark.parametrize("numbers", ADAPTED)
@pytest.mark.parametrize("kind", ["llama", "qwen2"])  # Qwen2's query, key and value have a bias
def test_a_fused_adapter_gives_what_pefts_own_gives(kind: str, numbers: str) -> None:
    from peft import LoraConfig, get_peft_model

    dtype, autocast = ADAPTED[numbers]
    ids = torch.arange(48).reshape(2, 24) % 40

    def learnt(fused: bool, dtype: torch.dtype, autocast: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = tiny_model(kind).to(torch.bfloat16).to(dtype)
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=12, target_modules="all-linear"))
        keep_adapter_in_float32(model)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        if autocast:
            leave_inputs_alone(model)
        if fused:
            assert fuse_adapter(model, Tokens(0)) == 4 * 7
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = model.train()(input_ids=ids, use_cache=False).logits
        out.float().square().mean().backward()
        return [out.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    truth, found, pefts = (
        torch.cat([tensor.float().flatten() for tensor in learnt(*how)])
        for how in ((False, torch.float32, False), (True, dtype, autocast), (False, dtype, autocast))
    )
    ours, theirs = (float((some - truth).norm() / truth.norm()) for some in (found, pefts))
    assert ours < (1e-6 if numbers == "float32" else min(1.5 * theirs, 0.1))


def test_a_fused_adapter_has_the_gradient_of_dropout_and_keeps_no_copy_of_its_input() -> None:
    """Against the same layer written out, in float64; and by what autograd holds on to."""
    tokens, slates = Tokens(1), random_slates(3)
    (packed,) = pack(slates, 10_000)
    tokens.enter(packed, torch.arange(len(slates)), 7)
    x, base, a, b = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((*packed.ids.shape, 32), (*packed.ids.shape, 48), (4, 32), (48, 4))
    )
    kept = TokenDropout(0.3, "layer", tokens, a).now(x)
    held: list[torch.Tensor] = []

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        ours = AddLowRank.apply(base * 1.0, x, a, b, 2.5, torch.float64, kept)
    # Nothing per token but the input itself and a tensor as wide as the rank.
    others = [tensor for tensor in held if tensor.data_ptr() != x.data_ptr()]
    assert len(others) == len(held) - 1
    assert max(tensor.numel() for tensor in others) == packed.size * 4
    theirs = base + 2.5 * (torch.where(kept(), x, 0.0) @ a.T @ b.T)
    assert torch.allclose(ours, theirs)
    slope = torch.randn_like(ours)
    for found, wanted in zip(
        torch.autograd.grad(ours, (x, base, a, b), slope),
        torch.autograd.grad(theirs, (x, base, a, b), slope),
        strict=True,
    ):
        assert torch.allclose(found, wanted)


# -- memory --------------------------------------------------------------------------------------------------

AYA_8B = Widths(32, 4096, 14336, 2, 0, 32768)
GIB = 2**30


def peak_of_an_update(kind: str, checkpointed: int, recipe: Recipe) -> tuple[int, int]:
    """Bytes that forward and backward of a pack take at most, counted by PyTorch's allocator; and by the formula."""
    from peft import get_peft_model

    sizes = {"hidden_size": 512, "intermediate_size": 1792, "num_hidden_layers": 6, "max_position_embeddings": 2048}
    model = tiny_model(
        kind, dtype="bfloat16", num_attention_heads=8, **sizes | {"head_dim": 64} if kind == "qwen3" else sizes
    )
    score_answers(model, WORDS)
    model = get_peft_model(model, lora_config(recipe))
    keep_adapter_in_float32(model)
    autocast = recipe.optimiser.autocast == "bfloat16"
    if autocast:
        leave_inputs_alone(model)
    tokens = Tokens(0)
    fuse_adapter(model, tokens)
    checkpoint_layers(model.train(), checkpointed)
    (packed,) = pack(random_slates(3, answers=(4, 4), longest=300), 10_000)
    tokens.enter(packed, torch.arange(3), 0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as watched:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            log_probs = answer_log_probs(model, packed)
        log_probs.sum().backward()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    bytes_by_time = accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    widths = widths_of(model.config, recipe)
    return max(bytes_by_time), widths.per_token(checkpointed) * packed.size


@pytest.mark.parametrize(
    ("checkpointed", "change"),
    [(0, "optimiser.autocast=bfloat16"), (3, "optimiser.autocast=bfloat16"), (6, "optimiser.autocast=none")],
)
@pytest.mark.parametrize("kind", ["llama", "cohere", "qwen3"])
def test_the_planned_memory_is_a_little_more_than_what_an_update_takes(
    kind: str, checkpointed: int, change: str
) -> None:
    recipe = load_recipe("l40s-8b-lora-bf16", [change], base="a base")
    assert recipe.lora.dropout > 0
    taken, planned = peak_of_an_update(kind, checkpointed, recipe)
    print(kind, checkpointed, change, planned / taken)
    assert 1 < planned / taken < 1.3


def test_the_planner_checkpoints_only_as_much_as_it_must() -> None:
    def plan(gib: float, **named: Any) -> Schedule:
        return plan_memory(AYA_8B, int(gib * GIB), longest=1500, update=30_000, device="cuda", **named)

    roomy, middling, tight = plan(140), plan(20), plan(6)
    assert roomy.checkpoint_layers == 0
    assert 0 < middling.checkpoint_layers < 32
    assert tight.checkpoint_layers > middling.checkpoint_layers
    assert roomy.token_budget >= middling.token_budget >= 4096
    assert tight.token_budget >= 1500
    for schedule in (roomy, middling, tight):
        assert schedule.needed <= schedule.free
    hopeless = plan(1)
    assert (hopeless.token_budget, hopeless.checkpoint_layers) == (1500, 32)
    assert plan(20, budget=2000).token_budget == 2000
    assert plan(20, checkpointed=32).checkpoint_layers == 32
    assert plan(20, checkpointed=32, shape="row").token_budget > plan(20, checkpointed=32).token_budget == 4096


@pytest.mark.parametrize(
    ("target", "told"),
    [("lm_head", "is the output head, which the losses do not train"), ("q_prj", 'no linear layer "q_prj"; it has ')],
)
def test_a_layer_that_would_not_be_trained_is_refused(target: str, told: str) -> None:
    recipe = load_recipe("cpu-smoke", [f'lora.targets=["q_proj", "{target}"]'])
    with pytest.raises(TrainError, match=told):
        check_targets(tiny_model("llama"), recipe)


def test_checkpointed_layers_change_no_gradient() -> None:
    slates = random_slates(4)
    gradients = []
    for count in (0, 1, 4):
        model = tiny_model("llama")
        score_answers(model, 40)
        checkpoint_layers(model, count)
        model.train()
        assert sum(getattr(m, "gradient_checkpointing", False) is True for m in model.model.layers) == count
        (packed,) = pack(slates, 10_000)
        answer_log_probs(model, packed).sum().backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
