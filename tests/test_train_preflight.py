"""The preflight counts what stock trainers do in silence, and refuses what cannot be trained on."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, pointbiserialr
from train_snapshots import preference_rows, write_snapshot

from annotation.errors import TrainError
from annotation.types import Dropped
from train.data.counts import Preflight
from train.data.encoding import encode_slate, encode_texts, ends_well
from train.data.length import length_bias, point_biserial
from train.data.objective import Objective
from train.data.pairs import Pair
from train.data.plan import pairs_of_slates
from train.data.preflight import preflight
from train.data.read import Slates, read_slates
from train.data.slates import RankedSlate, Ranking, count_votes, slate_of_pair
from train.data.split import all_texts
from train.data.tokens import EncodedSlate
from train.models.base import Base
from train.models.tiny_model import make_tiny_base
from train.models.tokenizer import Vocabulary, load_vocabulary
from train.settings import DataSettings, load_recipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("preflight")


@pytest.fixture(scope="module")
def pairs(home: Path) -> tuple[Pair, ...]:
    return pairs_of_slates(read_slates(write_snapshot(home, "abc", preference_rows(6))).slates)


@pytest.fixture(scope="module")
def base(home: Path, pairs: tuple[Pair, ...]) -> Base:
    return Base("", make_tiny_base(home / "base", all_texts(pairs), seed=0), "1", tiny=True)


@pytest.fixture
def vocabulary(base: Base) -> Vocabulary:
    return load_vocabulary(base, load_recipe("cpu-smoke").base)


@pytest.fixture
def tokenizer(vocabulary: Vocabulary) -> Any:
    return vocabulary.tokenizer


def settings(**changed: Any) -> DataSettings:
    return DataSettings(**{"held_out": 0.2, "max_length": 1024, "on_overflow": "drop", **changed})


def look_at(
    slates: Any, vocabulary: Vocabulary, objective: Objective = "plackett_luce", **changed: Any
) -> tuple[tuple[RankedSlate, ...], Preflight]:
    return preflight(Slates("a test", tuple(slates)), vocabulary, settings(**changed), objective)


def look(pairs: Any, vocabulary: Vocabulary, **changed: Any) -> tuple[tuple[Pair, ...], Preflight]:
    """Pairs as slates of two, and back."""
    kept, checks = look_at([slate_of_pair(pair) for pair in pairs], vocabulary, "trl", **changed)
    return pairs_of_slates(kept), checks


def encode(pair: Pair, tokenizer: Any) -> EncodedSlate:
    return encode_texts(pair.prompt, (pair.chosen, pair.rejected), tokenizer, place=pair.id)[0]


def slate(
    answers: list[str], *orders: tuple[tuple[int, ...], ...], name: str = "s", country: str = "MX"
) -> RankedSlate:
    """Plain answers that some people ranked."""
    rankings = tuple(Ranking(order, 1 / len(orders)) for order in orders)
    return RankedSlate(name, f"pregunta {name}: ", tuple(answers), rankings, count_votes(rankings), country=country)


def test_clean_rows_are_all_kept_and_counted(pairs: tuple[Pair, ...], vocabulary: Vocabulary) -> None:
    kept, checks = look(pairs, vocabulary)
    assert kept == pairs
    assert (checks.read, checks.kept, checks.prompts, checks.dropped) == (12, 12, 6, ())
    assert checks.countries == {"AR": 4, "BR": 4, "MX": 4}
    assert (checks.truncated, checks.ends_missing, checks.merges, checks.duplicates) == (0, 0, 0, 0)
    rows = [encode(pair, vocabulary.tokenizer) for pair in pairs]
    assert checks.tokens == sum(2 * len(row.prompt) + sum(map(len, row.answers)) for row in rows)
    assert checks.longest == max(row.longest for row in rows)
    assert {answer[-1] for row in rows for answer in row.answers} == {vocabulary.tokenizer.eos_token_id}
    assert vocabulary.tokenizer.decode(rows[0].prompt).endswith("<|assistant|>")


@pytest.mark.parametrize("conversational", [True, False])
def test_rows_are_cut_into_the_very_tokens_that_trl_trains_on(
    pairs: tuple[Pair, ...], tokenizer: Any, conversational: bool
) -> None:
    from datasets import Dataset
    from trl import DPOTrainer

    if not conversational:
        pairs = tuple(Pair(str(i), f"¿Pregunta {i}?\n", f"Sí, {i}.", "No<|end|>") for i in range(5))
    rows = Dataset.from_list([{key: pair.row()[key] for key in ("prompt", "chosen", "rejected")} for pair in pairs])
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    wanted = SimpleNamespace(dataset_num_proc=None, max_length=1024, truncation_mode="keep_start")
    cut = DPOTrainer._prepare_dataset(trainer, rows, tokenizer, wanted, "train")
    assert len(cut) == len(pairs)
    for theirs, pair in zip(cut, pairs, strict=True):
        ours = encode(pair, tokenizer)
        cut_by_trl = [tuple(theirs[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
        assert cut_by_trl == [ours.prompt, *ours.answers]
        assert {answer[-1] for answer in ours.answers} == {tokenizer.eos_token_id}


def test_long_rows_are_dropped_refused_or_cut_as_told_and_never_in_silence(
    pairs: tuple[Pair, ...], vocabulary: Vocabulary
) -> None:
    long = Pair("long", pairs[0].prompt, ({"role": "assistant", "content": "sin prisa " * 60},), pairs[0].rejected)
    hopeless = Pair("hopeless", ({"role": "user", "content": "sin prisa " * 60},), pairs[0].chosen, pairs[0].rejected)
    rows = (*pairs, long, hopeless)
    limit = max(encode(pair, vocabulary.tokenizer).longest for pair in pairs)

    kept, checks = look(rows, vocabulary, max_length=limit)
    assert kept == pairs
    assert {(row.id, row.reason) for row in checks.dropped} == {
        ("long", "longer than max_length"),
        ("hopeless", "longer than max_length"),
    }
    assert ("slates dropped", "2: longer than max_length (2)") in checks.lines()
    assert ("answers dropped", "0") in checks.lines()

    kept, checks = look(rows, vocabulary, max_length=limit, on_overflow="truncate")
    assert kept == (*pairs, long)
    assert checks.truncated == 1
    assert [row.reason for row in checks.dropped] == ["the prompt alone fills max_length"]
    assert any("lose their end-of-sequence token" in sentence for sentence in checks.warnings())

    with pytest.raises(TrainError, match=r"long has \d+ tokens and data.max_length"):
        look(rows, vocabulary, max_length=limit, on_overflow="error")
    with pytest.raises(
        TrainError, match='all 12 slates of a test are dropped, most of them as "longer than max_length"'
    ):
        look(pairs, vocabulary, max_length=16)


def test_an_answer_that_is_too_long_leaves_its_slate_and_what_was_said_of_the_others_stays(
    vocabulary: Vocabulary,
) -> None:
    long = "sin prisa " * 40
    whole = slate(["cada día", long, "en familia", "con calma"], ((1,), (0, 2), (3,)), ((0,), (1,), (2,), (3,)))
    two = slate(["cada día", long], ((0,), (1,)), name="two")
    kept, checks = look_at([whole, two], vocabulary, max_length=30)
    assert [(row.id, row.reason) for row in checks.dropped_answers] == [("s/B", "longer than max_length")]
    assert [(row.id, row.reason) for row in checks.dropped] == [("two", "longer than max_length")]
    assert (checks.read, checks.kept, checks.answers) == (2, 1, 3)
    assert kept[0].answers == ("cada día", "en familia", "con calma")
    assert [ranking.tiers for ranking in kept[0].rankings] == [((0, 1), (2,)), ((0,), (1,), (2,))]
    assert [(pair.better, pair.worse) for pair in kept[0].comparisons] == [(0, 1), (0, 2), (1, 2)]
    # Where people told apart nothing but that answer from the others, nothing is left to learn.
    vain = slate(["cada día", long, "en familia"], ((1,), (0, 2)), name="vain")
    with pytest.raises(TrainError, match='most of them as "longer than max_length"'):
        look_at([vain], vocabulary, max_length=30)

    kept, checks = look_at([whole, two], vocabulary, max_length=30, on_overflow="truncate")
    assert (kept, checks.truncated, checks.dropped) == ((whole, two), 2, ())
    cut = encode_slate(whole, vocabulary.tokenizer, limit=30)
    assert max(len(cut.prompt) + len(answer) for answer in cut.answers) == cut.longest == 30
    with pytest.raises(TrainError, match=r"s has \d+ tokens and data.max_length is 30"):
        look_at([whole, two], vocabulary, max_length=30, on_overflow="error")


def test_answers_without_text_and_repeated_ones_leave_their_slate(vocabulary: Vocabulary) -> None:
    odd = slate(["cada día", "  ", "cada día ", "con calma"], ((0,), (1,), (2,), (3,)))
    kept, checks = look_at([odd], vocabulary)
    assert kept[0].answers == ("cada día", "con calma")
    assert [(row.id, row.reason) for row in checks.dropped_answers] == [
        ("s/B", "an answer without text"),
        ("s/C", "the same answer twice"),
    ]
    assert checks.dropped == ()
    silent = RankedSlate("silent", " ", ("uno", "dos"), (Ranking(((0,), (1,))),), ())
    tied = slate(["uno", "dos"], ((0, 1),), name="tied")
    _, checks = look_at([odd, silent, tied], vocabulary)
    assert [(row.id, row.reason) for row in checks.dropped] == [("silent", "no question"), ("tied", "all answers tied")]
    assert len(checks.dropped_answers) == 2


def test_a_slate_is_cut_into_the_tokens_that_its_pairs_are_cut_into(pairs: tuple[Pair, ...], tokenizer: Any) -> None:
    for pair in pairs:
        assert encode_slate(slate_of_pair(pair), tokenizer) == encode(pair, tokenizer)


def test_ties_are_counted_with_their_share(vocabulary: Vocabulary) -> None:
    four = ["cada día", "en familia", "con calma", "sin prisa"]
    some = slate(four, ((0,), (1, 2), (3,)), ((0, 1, 2, 3),), ((0,), (1,), (2,), (3,)))
    _, checks = look_at([some], vocabulary)
    assert (checks.ties, checks.tied_share, checks.rankings) == (1 + 6, 7 / 18, 3)
    assert ("ties", "7 (38.9% of what people compared)") in checks.lines()


def test_what_was_left_out_before_is_counted_too(pairs: tuple[Pair, ...], vocabulary: Vocabulary) -> None:
    before = (Dropped("slate9:MX", "none is acceptable", "3 of 4"),)
    rewrite = (Dropped("slate8:MX/rewrite", "a slate has one rewrite"),)
    slates = tuple(slate_of_pair(pair) for pair in pairs)
    twice = (Dropped("x:7", "the same person twice", "x:2"),)
    _, checks = preflight(Slates("x", slates, before, rewrite, twice), vocabulary, settings(), "trl")
    assert (checks.read, checks.kept, checks.dropped) == (13, 12, before)
    assert {label: value for label, value in checks.lines() if label.endswith("dropped")} == {
        "slates dropped": "1: none is acceptable (1)",
        "answers dropped": "1: a slate has one rewrite (1)",
        "rankings dropped": "1: the same person twice (1)",
    }
    assert [(row["what"], row["id"]) for row in checks.dropped_rows()] == [
        ("slate", "slate9:MX"),
        ("answer", "slate8:MX/rewrite"),
        ("ranking", "x:7"),
    ]
    with pytest.raises(TrainError, match=r"holds no preferences that teach anything: none is acceptable \(1\)"):
        preflight(Slates("x", (), before), vocabulary, settings(), "trl")


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60), st.floats(0.1, 3)), min_size=2, max_size=40))
def test_the_point_biserial_correlation_is_pearsons(votes: list[tuple[int, int, float]]) -> None:
    better, worse, weight = (np.array(column, float) for column in zip(*votes, strict=True))
    found = point_biserial(better, worse, np.ones(len(votes)))
    numbers, chosen = np.concatenate([better, worse]), np.repeat([1, 0], len(votes))
    if len(set(numbers)) == 1:
        assert found is None
        return
    assert found == pytest.approx(pointbiserialr(chosen, numbers).statistic, abs=1e-9)
    heavy = np.round(weight * 4).clip(1)  # A weight is as good as so many repetitions.
    repeated = [np.repeat(column, heavy.astype(int)) for column in (better, worse)]
    assert point_biserial(better, worse, heavy) == pytest.approx(point_biserial(*repeated, np.ones(len(repeated[0]))))


def test_length_and_rank_correlate_as_kendall_says() -> None:
    """Against scipy, ties on both sides, mean over what people said."""
    orders = [((0,), (1, 2), (3,)), ((3,), (2,), (0,), (1,)), ((1, 3), (0, 2))]
    tokens = [12, 7, 7, 30]
    taus = [
        kendalltau(tokens, [-next(place for place, tier in enumerate(order) if a in tier) for a in range(4)]).statistic
        for order in orders
    ]
    bias = length_bias([slate(["a", "b", "c", "d"], *orders)], [tokens])
    assert bias.tau == pytest.approx(sum(taus) / 3)
    said = [
        (order, a, b) for order in orders for n, t in enumerate(order) for a in t for u in order[n + 1 :] for b in u
    ]
    wins = sum((tokens[a] > tokens[b]) + (tokens[a] == tokens[b]) / 2 for _, a, b in said)
    assert bias.longer == pytest.approx(wins / len(said))
    even = length_bias([slate(["a", "b"], ((0,), (1,)))], [[5, 5]])
    assert (even.longer, even.tau, even.r) == (0.5, None, None)


def test_the_longer_answer_winning_always_is_a_correlation_of_one() -> None:
    slates = [slate(["a", "b", "c"], ((2,), (1,), (0,)), name=str(n)) for n in range(3)]
    bias = length_bias(slates, [[1, 2, 3]] * 3)
    assert (bias.longer, bias.tau) == (1.0, pytest.approx(1.0))
    assert bias.r == pytest.approx((2 / 3) ** 0.5)  # votes 3:2, 3:1, 2:1: means 8/3 and 4/3, variance 2/3


def test_repeats_contradictions_and_length_bias_are_counted(vocabulary: Vocabulary) -> None:
    talks = [Pair(str(i), f"pregunta {i}", "una respuesta bastante larga", "no") for i in range(24)]
    opposite = Pair("opposite", "pregunta 0", "no", "una respuesta bastante larga", "BR")
    kept, checks = look([*talks, talks[0], opposite], vocabulary)
    assert len(kept) == 26
    assert (checks.duplicates, checks.contradictions) == (1, 3)
    assert checks.length.longer == pytest.approx(25 / 26)
    assert checks.length.tau == pytest.approx(24 / 26)
    assert any("chosen answer is the longer one in 96%" in sentence for sentence in checks.warnings())
    assert checks.form == "plain text, as it stands"


def test_tokens_that_merge_across_the_boundary_are_counted(vocabulary: Vocabulary) -> None:
    apart = [Pair("a", "la gente cada d", "ía", "omingo"), Pair("b", "cada día\n", "sin prisa", "en familia")]
    merged = [encode_texts(p.prompt, (p.chosen, p.rejected), vocabulary.tokenizer, place=p.id)[1] for p in apart]
    assert merged[0] > 0 == merged[1]
    assert look(apart, vocabulary)[1].merges == 1


def test_answers_that_never_end_are_refused(pairs: tuple[Pair, ...], vocabulary: Vocabulary) -> None:
    vocabulary.tokenizer.chat_template = vocabulary.tokenizer.chat_template.replace("{{ eos_token }}", "")
    with pytest.raises(TrainError, match="24 of 24 answers do not end"):
        look(pairs, vocabulary)


def test_white_space_after_the_end_is_fine_and_text_after_it_is_not(tokenizer: Any) -> None:
    end = tokenizer.eos_token_id
    newline = tokenizer.encode("\n")
    word = tokenizer.encode("gente")
    assert ends_well([*word, end, *newline], frozenset({end}), tokenizer)
    assert not ends_well([end, *word], frozenset({end}), tokenizer)
    assert not ends_well([], frozenset({end}), tokenizer)


def test_a_base_without_a_template_is_refused_for_conversations_only(
    pairs: tuple[Pair, ...], base: Base, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    template = tmp_path / "own.jinja"
    template.write_text(vocabulary.tokenizer.chat_template)
    vocabulary.tokenizer.chat_template = None
    with pytest.raises(TrainError, match="no chat template"):
        look(pairs, vocabulary)
    assert look([Pair("a", "uno", "dos", "tres")], vocabulary)[1].kept == 1
    recipe = load_recipe("cpu-smoke", [f'base.chat_template="{template}"'])
    assert look(pairs, load_vocabulary(base, recipe.base))[1].kept == 12


def test_a_template_that_refuses_the_messages_is_named(pairs: tuple[Pair, ...], vocabulary: Vocabulary) -> None:
    vocabulary.tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system text') }}{% endif %}"
        + vocabulary.tokenizer.chat_template
    )
    with pytest.raises(TrainError, match=r"slate1.*refuses the messages \(no system text\)"):
        look(pairs, vocabulary)


def test_nothing_to_train_on_is_refused(pairs: tuple[Pair, ...], vocabulary: Vocabulary) -> None:
    with pytest.raises(TrainError, match="holds no preferences"):
        look((), vocabulary)
    with pytest.raises(TrainError, match='most of them as "the same answer twice"'):
        look([Pair("a", "uno", "dos", "dos")], vocabulary)
    with pytest.raises(TrainError, match="mixes plain texts and messages"):
        look([*pairs, Pair("a", "uno", "dos", "tres")], vocabulary)


def test_the_model_made_on_the_spot_is_the_same_every_time(base: Base, pairs: tuple[Pair, ...], tmp_path: Path) -> None:
    again = make_tiny_base(tmp_path / "base", all_texts(pairs), seed=0)
    names = sorted(path.name for path in base.folder.iterdir())
    assert {"model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"} <= set(names)
    for name in names:
        assert (again / name).read_bytes() == (base.folder / name).read_bytes(), name
    other = make_tiny_base(tmp_path / "other", all_texts(pairs), seed=1)
    assert (other / "model.safetensors").read_bytes() != (base.folder / "model.safetensors").read_bytes()


CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% if m['role'] == 'assistant' %}"
    "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (CHATML.replace("{{ m['content'] | trim }}", "{% if m['role'] != 'system' %}{{ m['content'] }}{% endif %}"),
         r'does not write the system text \("Responde como alguien del lugar\."\)'),
        (CHATML.replace("{{ m['content'] | trim }}", "{% if m['role'] != 'assistant' %}{{ m['content'] }}{% endif %}"),
         r'does not write the assistant text \("Aquí .*base\.chat_template=FILE'),
        (CHATML.replace("{{ m['content'] | trim }}", "{{ m['content'][:9] }}"), r"does not write the \w+ text"),
    ],
)  # fmt: skip
def test_a_template_that_leaves_out_what_people_said_is_refused(
    pairs: tuple[Pair, ...], vocabulary: Vocabulary, template: str, told: str
) -> None:
    with_system = [pair for pair in pairs if len(pair.prompt) == 2]
    vocabulary.tokenizer.chat_template = CHATML
    assert look(with_system, vocabulary)[0] == tuple(with_system)
    vocabulary.tokenizer.chat_template = template
    with pytest.raises(TrainError, match=told):
        look(with_system, vocabulary)


@pytest.mark.parametrize("mark", ["<|assistant|>", "<|end|>", "[/INST]"])
def test_control_marks_in_a_text_are_counted_and_no_control_tokens(vocabulary: Vocabulary, mark: str) -> None:
    vocabulary.tokenizer.chat_template = "[INST]" + CHATML.replace("<|assistant|>", "[/INST]<|assistant|>")
    three = ({"role": "assistant", "content": text} for text in ("uno", f"dos {mark}", "tres"))
    ranked = slate(["", "", ""], ((0,), (1,), (2,)))
    answered = replace(ranked, prompt=({"role": "user", "content": "¿Uno?"},), answers=tuple((one,) for one in three))
    asked = replace(answered, id="t", prompt=({"role": "user", "content": f"¿{mark}?"},), answers=answered.answers[::2],
                    rankings=(Ranking(((0,), (1,))),), comparisons=())  # fmt: skip
    kept, checks = look_at([answered, asked], vocabulary)
    assert [[answer[0]["content"] for answer in one.answers] for one in kept] == [["uno", "tres"]]  # type: ignore[index]
    assert checks.dropped == (Dropped("t", "a control mark of the base in the text", mark),)
    assert checks.dropped_answers == (Dropped("s/B", "a control mark of the base in the text", mark),)
    lines = dict(checks.lines())
    assert lines["slates dropped"] == lines["answers dropped"] == "1: a control mark of the base in the text (1)"


@pytest.mark.parametrize(("template", "prompt", "marked"), [("", "¿<|user|>?", 2), (CHATML, "¿<|user|>?", 1)])
def test_control_marks_in_plain_texts_are_warned_of(
    vocabulary: Vocabulary, template: str, prompt: str, marked: int
) -> None:
    vocabulary.tokenizer.chat_template = template or None
    asked = replace(slate(["uno", "dos<|end|>"], ((0,), (1,)), name="a"), prompt=prompt)
    answered = slate(["uno <|user|> y", "dos"], ((0,), (1,)), name="b")
    clean = slate(["uno", "dos<|end|>"], ((0,), (1,)), name="c")
    kept, checks = look_at([asked, answered, clean], vocabulary)
    assert (len(kept), checks.marked) == (3, marked)
    assert any(f"in {marked} slates plain texts hold control marks" in line for line in checks.warnings())


def test_an_answer_under_many_prompts_is_named(vocabulary: Vocabulary) -> None:
    banner = "**ERROR DE RED.** Vuelva a cargar la página."
    _, checks = look_at([slate([f"Sí, {n}.", banner], ((0,), (1,)), name=str(n)) for n in range(3)], vocabulary)
    assert checks.stock == {banner: 3}
    assert any("ERROR DE RED" in line and "is an answer to 3 prompts" in line for line in checks.warnings())
