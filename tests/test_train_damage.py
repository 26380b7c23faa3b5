"""Files of a run that were damaged from outside: one sentence that names the file and the remedy, and nothing given."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_runs import QUICK, finished_run, ranked_slates
from projects import fill, frozen, make_project
from train_snapshots import preference_rows

from annotation.errors import EncoderError, TrainError
from annotation.files import read_parquet, write_parquet
from annotation.selection.embedding import embed, open_encoder
from train.data.read import read_slates
from train.dpo import train
from train.engine.build import SCHEDULE, kept_schedule
from train.engine.memory import Schedule
from train.evaluate.run import evaluate
from train.footprint import footprint
from train.models import content
from train.models.base import find_base, load_model
from train.models.tiny_model import make_tiny_base
from train.models.tokenizer import load_tokenizer, load_vocabulary
from train.release.release import release
from train.run_folder import SEAL, newest_checkpoint, seal
from train.settings import load_recipe

FAST = ("optimiser.max_steps=1", "run.eval_every=0", "footprint.measure=false", "evaluation.prompts=0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that `annot train` finished."""
    folder = tmp_path_factory.mktemp("damage")
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in preference_rows(8)))
    train(folder / "runs" / "run", folder / "mine.jsonl", overrides=FAST, quiet=True)
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that `annot evaluate` measured."""
    run = finished_run(tmp_path_factory.mktemp("damage") / "run", ranked_slates(12), strength=0.1, overrides=QUICK)
    evaluate(run, say=lambda _line: None)
    return run


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _other(path: Path) -> None:
    path.write_text('{"something": "else"}')


def _list(path: Path) -> None:
    path.write_text("[1, 2]")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _bytes(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(500))


def _gone(path: Path) -> None:
    path.unlink()


DAMAGES = (_half, _nothing, _other, _list, _deep, _bytes, _gone)


def refused(name: str, action: Callable[[], object]) -> None:
    with pytest.raises(TrainError) as caught:
        action()
    told = str(caught.value)
    assert name in told
    assert len(told.splitlines()) == 1
    assert any(
        remedy in told
        for remedy in (
            "under another --run",
            "run its `annot train`",
            "its `annot train` command again",
            "run `annot evaluate",
        )
    )


@pytest.mark.parametrize("damage", [_half, _other, _bytes, _gone])
@pytest.mark.parametrize(
    "name", ["DONE", "run.json", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"]
)
def test_a_finished_run_with_a_damaged_file_is_neither_given_away_nor_called_finished(
    finished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "runs" / "run"
    damage(run / name)
    refused(
        "" if (name, damage) == ("DONE", _gone) else name,
        lambda: release(run, to=tmp_path / "out", ungated=True),
    )
    refused("" if (name, damage) == ("DONE", _gone) else name, lambda: evaluate(run, say=lambda _line: None))
    assert not (tmp_path / "out").exists()
    if (name, damage) == ("DONE", _gone):  # the adapter stands, and is measured once more
        assert train(run, tmp_path / "mine.jsonl", overrides=FAST, quiet=True).done["adapter_files"]
    else:
        refused(name, lambda: train(run, tmp_path / "mine.jsonl", overrides=FAST, quiet=True))


@pytest.mark.parametrize("damage", [_half, _other, _list, _deep])
def test_a_damaged_evaluation_passes_nothing(measured: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    run = Path(shutil.copytree(measured, tmp_path / "run"))
    damage(run / "evaluation.json")
    refused("evaluation.json", lambda: evaluate(run, say=lambda _line: None))
    refused("evaluation.json", lambda: release(run, to=tmp_path / "out"))
    (run / "evaluation.json").unlink()
    assert not evaluate(run, say=lambda _line: None).already


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_whose_seal_is_damaged_gives_way_to_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for step in (1, 2):
        checkpoint = tmp_path / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_text(str(step))
        seal(checkpoint)
    damage(tmp_path / "checkpoints" / "checkpoint-2" / SEAL)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoints" / "checkpoint-1"


@pytest.mark.parametrize("damage", [_half, _list, _bytes])
def test_a_damaged_energy_file_is_one_sentence_before_anything_is_trained(
    finished: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "runs" / "run"
    (run / "DONE").unlink()
    (run / "energy.json").write_text('{"2026": {"kwh": 1}}')
    damage(run / "energy.json")
    with pytest.raises(TrainError, match=r"energy.json is damaged.*remove it and run the same command again"):
        footprint(run)


def test_held_out_slates_that_are_none_are_one_sentence(measured: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(measured, tmp_path / "run"))
    (run / "held_out_slates.jsonl").write_text('{"a": 1}\n')
    (run / "evaluation.json").unlink()
    refused("held_out_slates.jsonl", lambda: evaluate(run, say=lambda _line: None))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_of_packs_is_one_sentence(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    planned = Schedule(4096, 0, 2, 10**9, 10**8)
    assert kept_schedule(tmp_path, lambda: planned) == planned
    damage(tmp_path / SCHEDULE)
    if damage is _gone:
        assert kept_schedule(tmp_path, lambda: planned) == planned
        return
    with pytest.raises(TrainError, match=f"{SCHEDULE} is damaged.*remove that file and run the same command again"):
        kept_schedule(tmp_path, lambda: planned)


def _other_weights(base: Path) -> None:
    """Other numbers of the same shapes in the same place; the time of the file is what it was."""
    from safetensors.torch import load_file, save_file

    path = base / "model.safetensors"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    save_file({name: weights.flip(0) for name, weights in load_file(path).items()}, path, {"format": "pt"})
    os.utime(path, ns=times)


def _other_template(base: Path) -> None:
    path = base / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|assistant|>", "<|user|>"))


def _other_tokenizer(base: Path) -> None:
    path = base / "tokenizer.json"
    path.write_text(path.read_text().replace("<|user|>", "<|usar|>"))


@pytest.mark.parametrize(
    ("swap", "file"),
    [
        (_other_weights, "model.safetensors"),
        (_other_template, "chat_template.jinja"),
        (_other_tokenizer, "tokenizer.json"),
    ],
)
def test_a_base_that_was_swapped_in_place_is_neither_trained_on_nor_measured_nor_merged(
    tmp_path: Path, swap: Callable[[Path], None], file: str
) -> None:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in preference_rows(8)))
    run, base, source = tmp_path / "runs" / "run", tmp_path / "tiny", tmp_path / "mine.jsonl"
    make_tiny_base(base, [row["chosen"] for row in preference_rows(8)], seed=1)
    train(run, source, base=str(base), overrides=FAST, quiet=True)
    swap(base)
    told = rf"{file} is no longer what the run run was begun with; put that back, or train under another --run\."
    with pytest.raises(TrainError, match=told):
        evaluate(run, say=lambda _line: None)
    with pytest.raises(TrainError, match=told):
        release(run, to=tmp_path / "model", merged=True, ungated=True)
    (run / "DONE").unlink()
    with pytest.raises(TrainError, match=told):
        train(run, source, base=str(base), overrides=FAST, quiet=True)


def test_a_large_file_is_hashed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "LARGE", 1)
    monkeypatch.setattr(content, "SETTLED_S", -1.0)
    monkeypatch.setenv("ANNOT_REFERENCE", str(tmp_path / "cache"))
    path, hashed = tmp_path / "large", []
    file_digest = hashlib.file_digest

    def counted(*args: Any) -> Any:
        hashed.append(1)
        return file_digest(*args)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    path.write_bytes(b"one")
    first, again = content.digests([path]), content.digests([path])
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert first == again == [hashlib.sha256(b"one").hexdigest()]
    assert content.digests([path]) == [hashlib.sha256(b"two").hexdigest()]
    assert len(hashed) == 2
    (tmp_path / "cache" / "digests.json").write_text("{")
    assert content.digests([path]) == [hashlib.sha256(b"two").hexdigest()]


def test_a_snapshot_whose_rows_were_changed_is_not_trained_on_under_its_name(tmp_path: Path) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 3)
    snapshot = project.snapshot_folder(frozen(project).id)
    assert read_slates(snapshot).slates
    rows = read_parquet(snapshot / "rankings.parquet")
    write_parquet(snapshot / "rankings.parquet", [{**rows[0], "ranks": rows[0]["ranks"][::-1]}, *rows[1:]])
    with pytest.raises(TrainError, match="no longer holds the judgements that its name stands for"):
        read_slates(snapshot)


CODE = """
import pathlib
pathlib.Path({mark!r}).write_text("it ran")
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Config(LlamaConfig): model_type = "own"
class Model(LlamaForCausalLM): config_class = Config
class Words(PreTrainedTokenizerFast): pass
"""


@pytest.mark.parametrize("known", [True, False])
def test_code_that_comes_with_a_base_never_runs(tmp_path: Path, known: bool) -> None:
    """A base of a kind that transformers knows is loaded by transformers' own code; any other is refused."""
    folder, mark = tmp_path / "tiny", tmp_path / "mark"
    make_tiny_base(folder, ["¿Qué tal?"], seed=1)
    (folder / "own_code.py").write_text(CODE.format(mark=str(mark)))
    kinds = {
        "AutoConfig": "own_code.Config",
        "AutoModelForCausalLM": "own_code.Model",
        "AutoTokenizer": ["own_code.Words", None],
    }
    own = {} if known else {"model_type": "own", "tokenizer_class": "Words"}
    for name in ("config.json", "tokenizer_config.json"):
        facts = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**facts, **own, "auto_map": kinds}))
    recipe = load_recipe("cpu-smoke", base=str(folder))
    base = find_base(recipe.base, tmp_path, lambda: (), seed=0)
    load: Callable[..., Any]
    for load, given in ((load_vocabulary, ()), (load_tokenizer, ()), (load_model, (recipe.device,))):
        if known:
            assert load(base, recipe.base, *given)
        else:
            with pytest.raises(TrainError, match=r"needs Python code that comes with the base .*name another base"):
                load(base, recipe.base, *given)
    assert not mark.exists()


def test_code_that_comes_with_an_encoder_never_runs(tmp_path: Path) -> None:
    folder, mark = tmp_path / "encoder", tmp_path / "mark"
    make_tiny_base(folder, ["¿Qué tal?"], seed=1)
    (folder / "own_code.py").write_text(CODE.format(mark=str(mark)))
    facts = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own_code.Config", "AutoModel": "own_code.Model"}}
    (folder / "config.json").write_text(json.dumps({**facts, **own}))
    (folder / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "own_code.Model"}]')
    with pytest.raises(EncoderError):
        embed(["¿Qué tal?"], open_encoder(str(folder), tmp_path), tmp_path / "cache")
    assert not mark.exists()
