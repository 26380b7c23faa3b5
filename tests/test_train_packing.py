"""Packs hold every slate once, and give each answer the log-prob that it has alone."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_models import SHAPES, one_by_one, random_slates, tiny_model

from annotation.errors import TrainError
from train.data.tokens import EncodedSlate
from train.engine import log_probs
from train.engine.compiled import compile_flex_attention
from train.engine.log_probs import FrozenHead, answer_log_probs, score_answers
from train.engine.packing import NOWHERE, Shape, lay_out, pack, tokens_of, visible

pytestmark = pytest.mark.usefixtures("one_thread")


def packed_log_probs(model: Any, slates: list[EncodedSlate], budget: int, shape: Shape = "rows") -> list[torch.Tensor]:
    """Log-probs of the answers in the order of the slates, whatever the packs."""
    found: dict[int, torch.Tensor] = {}
    for packed in pack(slates, budget, shape):
        sums = answer_log_probs(model, packed)
        sizes = [len(slates[number].answers) for number in packed.members]
        found |= dict(zip(packed.members, sums.split(sizes), strict=True))
    return [value for number in range(len(slates)) for value in found[number]]


@pytest.mark.parametrize(
    ("shape", "attention", "head"),
    [
        *((shape, attention, "frozen") for shape in SHAPES for attention in ("sdpa", "eager")),
        *((shape, "sdpa", "trained") for shape in ("llama", "cohere2")),
    ],
)
def test_packed_log_probs_and_their_gradients_are_those_of_each_answer_alone(
    shape: str, attention: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that is not trained is ours on a CPU, any other is TRL's."""
    monkeypatch.setitem(log_probs.TILE, "cpu", 400)  # the last tile is not full
    slates = random_slates(6)
    model = tiny_model(shape, attention=attention)
    model.get_output_embeddings().weight.requires_grad_(head == "trained")
    alone = torch.stack([value for slate in slates for value in one_by_one(model, slate)])
    weights = torch.randn(len(alone), generator=torch.Generator().manual_seed(1))
    (alone * weights).sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    score_answers(model, vocabulary_chunk=40)
    packed = torch.stack(packed_log_probs(model, slates, 150))
    (packed * weights).sum().backward()
    assert (packed - alone).abs().max() < 1e-5 * alone.abs().max()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert torch.allclose(parameter.grad, expected[name], rtol=1e-3, atol=1e-5 * expected[name].abs().max()), name


def ours(hidden: Any, weight: Any, bias: Any, wanted: Any, softcap: float | None, scale: float) -> Any:
    return FrozenHead.apply(hidden, weight, bias, wanted, softcap, scale)  # type: ignore[no-untyped-call]


def trls(hidden: Any, weight: Any, bias: Any, wanted: Any, softcap: float | None, scale: float) -> Any:
    from trl.kernels import ChunkedLogProbFunction

    return ChunkedLogProbFunction.apply(hidden, weight, bias, wanted, 1.0, 7, softcap, scale, ())[0]


@pytest.mark.parametrize("head", [ours, trls])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_both_heads_give_the_log_probs_and_gradients_of_the_definition_in_float64(
    head: Any, softcap: float | None, biased: bool, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(log_probs.TILE, "cpu", 100)  # tiles of three tokens, the last not full
    chance = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(11, 8, generator=chance), 2 * torch.randn(30, 8, generator=chance)
    bias = torch.randn(30, generator=chance) if biased else None
    wanted, above = torch.randint(30, (11,), generator=chance), torch.randn(11, generator=chance)

    exact = hidden.double().requires_grad_()
    scores = (exact @ weight.double().T + (0.0 if bias is None else bias.double())) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    truth = scores.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    (truth * above).sum().backward()

    given = hidden.clone().requires_grad_()
    found = head(given, weight, bias, wanted, softcap, scale)
    (found * above).sum().backward()
    assert exact.grad is not None
    assert given.grad is not None
    assert (found - truth).abs().max() < 1e-5
    assert (given.grad - exact.grad).abs().max() < 1e-5
    with torch.no_grad():
        assert torch.equal(head(hidden, weight, bias, wanted, softcap, scale), found)


SLATES = st.lists(
    st.tuples(st.integers(1, 9), st.lists(st.integers(1, 9), min_size=2, max_size=4)), min_size=1, max_size=9
)


def slates_of(lengths: list[tuple[int, list[int]]]) -> list[EncodedSlate]:
    """Slates whose every token is another number."""
    numbers = iter(range(2, 10_000))
    return [
        EncodedSlate(
            tuple(next(numbers) for _ in range(prompt)), tuple(tuple(next(numbers) for _ in range(a)) for a in answers)
        )
        for prompt, answers in lengths
    ]


@given(SLATES, st.integers(1, 120), st.sampled_from(["row", "rows", "alone"]))
@settings(deadline=None, max_examples=60)
def test_packs_hold_every_slate_once_within_the_budget(
    lengths: list[tuple[int, list[int]]], budget: int, shape: Shape
) -> None:
    slates = slates_of(lengths)
    packs = pack(slates, budget, shape)
    assert sorted(number for packed in packs for number in packed.members) == list(range(len(slates)))
    for packed in packs:
        alone = len(packed.members) == 1
        rounded = max(budget, 1) + (-budget % 128 if shape == "row" else 0)
        assert packed.size <= rounded or (alone and packed.size - tokens_of(slates[packed.members[0]], shape) < 128)
        flat = packed.ids.flatten()
        expected = [token for number in packed.members for answer in slates[number].answers for token in answer]
        assert packed.targets.tolist() == expected
        assert packed.lengths.tolist() == [len(a) for number in packed.members for a in slates[number].answers]
        # What predicts a token stands right before it in its answer alone.
        before = {}
        for number in packed.members:
            for answer in slates[number].answers:
                joined = (*slates[number].prompt, *answer)
                before |= {(token, place): joined[place - 1] for place, token in enumerate(joined) if place}
        places = packed.positions.flatten()
        for at, token in zip(packed.scored.tolist(), expected, strict=True):
            assert before[token, int(places[at]) + 1] == int(flat[at])
    assert [p.members for p in pack(slates, budget, shape)] == [p.members for p in packs]


@given(SLATES, st.sampled_from([None, 1, 3]))
@settings(deadline=None, max_examples=40)
def test_a_token_sees_what_it_would_see_if_its_answer_stood_alone(
    lengths: list[tuple[int, list[int]]], window: int | None
) -> None:
    slates = slates_of(lengths)
    packed = lay_out(slates, [list(range(len(slates)))], "row")
    sees = visible(packed, window)
    flat = packed.ids[0].tolist()
    places = torch.arange(len(flat))
    visible_keys = sees(0, 0, places[:, None], places[None, :])
    sequences = [(*slate.prompt, *answer) for slate in slates for answer in slate.answers]
    for query, token in enumerate(flat):
        if packed.slates[0, query] == NOWHERE:
            continue
        seen = {flat[key] for key in visible_keys[query].nonzero()[:, 0].tolist()}
        sequence = next(sequence for sequence in sequences if token in sequence)
        place = sequence.index(token)
        assert seen == set(sequence[max(0, place + 1 - (window or place + 1)) : place + 1])


WIDE: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
"""Heads of 16, as FlexAttention's kernel wants them at least."""


@pytest.fixture
def flex_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch refuses FlexAttention's gradient on a CPU, whose compiler has none; written out, it is computed."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *_: None)


@pytest.mark.parametrize("kind", ["llama", "cohere2", "mistral"])
@pytest.mark.usefixtures("flex_on_a_cpu")
def test_flex_attention_gives_the_log_probs_and_gradients_of_the_dense_mask(kind: str) -> None:
    """The way of a GPU: one row, a block mask."""
    slates = random_slates(5)

    def found(attention: str, shape: Any) -> list[torch.Tensor]:
        model = tiny_model(kind, attention=attention, **WIDE)
        score_answers(model, vocabulary_chunk=40)
        log_probs = torch.stack(packed_log_probs(model, slates, 256, shape))
        log_probs.sum().backward()
        return [log_probs, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])]

    with torch.compiler.set_stance("force_eager"):  # compiling takes a minute; what is computed is the same
        for dense, flex in zip(found("sdpa", "rows"), found("flex_attention", "row"), strict=True):
            assert (flex - dense).norm() < 1e-5 * dense.norm()


@pytest.mark.usefixtures("flex_on_a_cpu")
def test_packs_of_any_length_share_what_was_compiled_for_the_first_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled for each length anew, a run would compile for minutes."""
    from torch._dynamo.testing import CompileCounterWithBackend
    from transformers.integrations import flex_attention as integration

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", None)  # put back afterwards
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compile_flex_attention(counter)
    model = tiny_model("llama", attention="flex_attention", num_hidden_layers=1, **WIDE)
    score_answers(model, vocabulary_chunk=40)
    counts, widths = [], set()
    for slates in range(1, 11):
        (packed,) = pack(random_slates(2 * slates, seed=slates), 10_000, "row")
        answer_log_probs(model, packed).sum().backward()
        counts.append(counter.frame_count)
        widths.add(packed.size)
    assert len(widths) > 4
    assert counts[1] == counts[-1] <= 3


def test_bfloat16_is_as_close_to_the_answer_alone_as_bfloat16_is_to_float32() -> None:
    slates = random_slates(6, longest=60)
    exact = tiny_model("llama")
    rounded = tiny_model("llama").bfloat16()
    score_answers(rounded, vocabulary_chunk=40)
    with torch.no_grad():
        truth = torch.stack([value for slate in slates for value in one_by_one(exact, slate)])
        alone = torch.stack([value for slate in slates for value in one_by_one(rounded, slate)])
        packed = torch.stack(packed_log_probs(rounded, slates, 400))
    tokens = torch.tensor([len(answer) for slate in slates for answer in slate.answers])
    noise = ((alone - truth) / tokens).abs().mean()
    print(f"per token: bfloat16 is {noise:.4f} off alone, {((packed - alone) / tokens).abs().mean():.4f} from packed")
    assert ((packed - alone) / tokens).abs().mean() < 1.5 * noise


def test_a_head_that_scores_in_an_unknown_way_is_refused() -> None:
    model = tiny_model("llama")
    plain = model.forward

    def louder(**named: Any) -> Any:
        output = plain(**named)
        output.logits = output.logits * 3
        return output

    model.forward = louder
    with pytest.raises(TrainError, match="scores words in a way that the engine does not know"):
        score_answers(model, vocabulary_chunk=40)
