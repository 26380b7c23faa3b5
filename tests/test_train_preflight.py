"""The preflight counts what stock trainers do in silence, and refuses what cannot be trained on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from train_snapshots import preference_rows, write_snapshot

from annotation.errors import TrainError
from train.base import Base, ends_of_text, load_tokenizer
from train.dataset import Pair, read_pairs, texts
from train.preflight import Preflight, encode, ends_well, preflight
from train.settings import DataSettings, load_recipe
from train.tiny_model import make_tiny_base


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("preflight")


@pytest.fixture(scope="module")
def pairs(home: Path) -> tuple[Pair, ...]:
    return read_pairs(write_snapshot(home, "abc", preference_rows(6))).pairs


@pytest.fixture(scope="module")
def base(home: Path, pairs: tuple[Pair, ...]) -> Base:
    return Base("", make_tiny_base(home / "base", texts(pairs), seed=0), "1", tiny=True)


@pytest.fixture
def tokenizer(base: Base) -> Any:
    return load_tokenizer(base, load_recipe("cpu-smoke").base)


def settings(**changed: Any) -> DataSettings:
    return DataSettings(**{"rows": "preference", "held_out": 0.2, "max_length": 1024, "on_overflow": "drop", **changed})


def look(pairs: Any, base: Base, tokenizer: Any, **changed: Any) -> tuple[tuple[Pair, ...], Preflight]:
    return preflight(pairs, tokenizer, ends_of_text(base, tokenizer), settings(**changed), source="a test")


def test_clean_rows_are_all_kept_and_counted(pairs: tuple[Pair, ...], base: Base, tokenizer: Any) -> None:
    kept, flight = look(pairs, base, tokenizer)
    assert kept == pairs
    assert (flight.read, flight.kept, flight.prompts, flight.dropped) == (12, 12, 6, ())
    assert flight.countries == {"AR": 4, "BR": 4, "MX": 4}
    assert (flight.truncated, flight.ends_missing, flight.merges, flight.duplicates) == (0, 0, 0, 0)
    rows = [encode(pair, tokenizer) for pair in pairs]
    assert flight.tokens == sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in rows)
    assert flight.longest == max(row.length for row in rows)
    assert {row.chosen[-1] for row in rows} == {tokenizer.eos_token_id}
    assert tokenizer.decode(rows[0].prompt).endswith("<|assistant|>")


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
        assert (theirs["prompt_ids"], theirs["chosen_ids"], theirs["rejected_ids"]) == (
            ours.prompt,
            ours.chosen,
            ours.rejected,
        )
        assert ours.chosen[-1] == ours.rejected[-1] == tokenizer.eos_token_id


def test_long_rows_are_dropped_refused_or_cut_as_told_and_never_in_silence(
    pairs: tuple[Pair, ...], base: Base, tokenizer: Any
) -> None:
    long = Pair("long", pairs[0].prompt, ({"role": "assistant", "content": "sin prisa " * 60},), pairs[0].rejected)
    hopeless = Pair("hopeless", ({"role": "user", "content": "sin prisa " * 60},), pairs[0].chosen, pairs[0].rejected)
    rows = (*pairs, long, hopeless)
    limit = max(encode(pair, tokenizer).length for pair in pairs)

    kept, flight = look(rows, base, tokenizer, max_length=limit)
    assert kept == pairs
    assert {(row.id, row.reason) for row in flight.dropped} == {
        ("long", "longer than max_length"),
        ("hopeless", "longer than max_length"),
    }
    assert ("dropped", "2: 2 longer than max_length") in flight.lines()

    kept, flight = look(rows, base, tokenizer, max_length=limit, on_overflow="truncate")
    assert kept == (*pairs, long)
    assert flight.truncated == 1
    assert [row.reason for row in flight.dropped] == ["the prompt alone fills max_length"]
    assert any("lose their end-of-sequence token" in sentence for sentence in flight.warnings())

    with pytest.raises(TrainError, match=r"long has \d+ tokens and data.max_length"):
        look(rows, base, tokenizer, max_length=limit, on_overflow="error")
    with pytest.raises(TrainError, match='all 12 rows of a test are dropped, most of them as "longer than max_length"'):
        look(pairs, base, tokenizer, max_length=16)


def test_repeats_contradictions_and_length_bias_are_counted(base: Base, tokenizer: Any) -> None:
    talks = [Pair(str(i), f"pregunta {i}", "una respuesta bastante larga", "no") for i in range(24)]
    opposite = Pair("opposite", "pregunta 0", "no", "una respuesta bastante larga", "BR")
    kept, flight = look([*talks, talks[0], opposite], base, tokenizer)
    assert len(kept) == 26
    assert (flight.duplicates, flight.contradictions) == (1, 3)
    assert flight.longer_chosen == pytest.approx(25 / 26)
    assert any("chosen answer is the longer one in 96%" in sentence for sentence in flight.warnings())
    assert flight.form == "plain text, as it stands"


def test_tokens_that_merge_across_the_boundary_are_counted(base: Base, tokenizer: Any) -> None:
    apart = [Pair("a", "la gente cada d", "ía", "omingo"), Pair("b", "cada día\n", "sin prisa", "en familia")]
    merged = [encode(pair, tokenizer).merged for pair in apart]
    assert merged[0] > 0
    assert merged[1] == 0
    assert look(apart, base, tokenizer)[1].merges == 1


def test_answers_that_never_end_are_refused(pairs: tuple[Pair, ...], base: Base, tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ eos_token }}", "")
    with pytest.raises(TrainError, match="24 of 24 answers do not end"):
        look(pairs, base, tokenizer)


def test_white_space_after_the_end_is_fine_and_text_after_it_is_not(tokenizer: Any) -> None:
    end = tokenizer.eos_token_id
    newline = tokenizer.encode("\n")
    word = tokenizer.encode("gente")
    assert ends_well([*word, end, *newline], frozenset({end}), tokenizer)
    assert not ends_well([end, *word], frozenset({end}), tokenizer)
    assert not ends_well([], frozenset({end}), tokenizer)


def test_a_base_without_a_template_is_refused_for_conversations_only(
    pairs: tuple[Pair, ...], base: Base, tokenizer: Any, tmp_path: Path
) -> None:
    template = tmp_path / "own.jinja"
    template.write_text(tokenizer.chat_template)
    tokenizer.chat_template = None
    with pytest.raises(TrainError, match="no chat template"):
        look(pairs, base, tokenizer)
    assert look([Pair("a", "uno", "dos", "tres")], base, tokenizer)[1].kept == 1
    recipe = load_recipe("cpu-smoke", [f'base.chat_template="{template}"'])
    assert look(pairs, base, load_tokenizer(base, recipe.base))[1].kept == 12


def test_a_template_that_refuses_the_messages_is_named(pairs: tuple[Pair, ...], base: Base, tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system text') }}{% endif %}"
        + tokenizer.chat_template
    )
    with pytest.raises(TrainError, match=r"slate1.*refuses the messages \(no system text\)"):
        look(pairs, base, tokenizer)


def test_nothing_to_train_on_is_refused(pairs: tuple[Pair, ...], base: Base, tokenizer: Any) -> None:
    with pytest.raises(TrainError, match="holds no preferences"):
        look((), base, tokenizer)
    with pytest.raises(TrainError, match='most of them as "chosen and rejected are the same"'):
        look([Pair("a", "uno", "dos", "dos")], base, tokenizer)
    with pytest.raises(TrainError, match="mixes plain texts and messages"):
        look([*pairs, Pair("a", "uno", "dos", "tres")], base, tokenizer)


def test_the_model_made_on_the_spot_is_the_same_every_time(base: Base, pairs: tuple[Pair, ...], tmp_path: Path) -> None:
    again = make_tiny_base(tmp_path / "base", texts(pairs), seed=0)
    names = sorted(path.name for path in base.folder.iterdir())
    assert {"model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"} <= set(names)
    for name in names:
        assert (again / name).read_bytes() == (base.folder / name).read_bytes(), name
    other = make_tiny_base(tmp_path / "other", texts(pairs), seed=1)
    assert (other / "model.safetensors").read_bytes() != (base.folder / "model.safetensors").read_bytes()
