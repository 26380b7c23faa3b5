"""Adapters on 4-bit and 8-bit bases: float32 from the first step to the last, and resumed to the last bit."""

import json
from pathlib import Path
from typing import Any

import pytest
from picture_snapshots import write_picture_snapshot
from train_snapshots import QUICK, preference_rows, write_snapshot

import train.dpo
import train.engine.callbacks
from train.data.read import read_slates
from train.data.split import all_texts
from train.models.tiny_model import make_tiny_base
from train.models.tiny_vision import make_tiny_vision_base
from train.run_folder import seal


class Cut(BaseException):
    """Stands for a kill at a place that random moments seldom hit."""


@pytest.mark.parametrize(
    ("quantisation", "preset"), [("nf4", "cpu-smoke"), ("int8", "cpu-smoke"), ("nf4", "cpu-smoke-vlm")]
)
def test_a_run_on_a_quantised_base_cut_off_ends_like_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantisation: str, preset: str
) -> None:
    import torch
    from safetensors.torch import load_file

    if preset == "cpu-smoke-vlm":
        source, make, vision = write_picture_snapshot(tmp_path, "abc"), make_tiny_vision_base, "frozen"
    else:
        source, make, vision = write_snapshot(tmp_path, "abc", preference_rows(12)), make_tiny_base, "none"
    base = make(tmp_path / "tiny", all_texts(read_slates(source, vision=vision).slates), seed=1)
    overrides = (
        *QUICK,
        f"base.quantisation={quantisation}",
        "base.dtype=bfloat16",
        "optimiser.autocast=bfloat16",
        "optimiser.max_steps=4",
        "run.eval_every=0",
        "evaluation.prompts=0",
    )

    def run(name: str) -> dict[str, Any]:
        train.dpo.train(tmp_path / name, source, preset=preset, base=str(base), overrides=overrides, quiet=True)
        return {
            "adapter": json.loads((tmp_path / name / "DONE").read_text())["adapter_sha256"],
            "metrics": (tmp_path / name / "metrics.jsonl").read_bytes(),
        }

    whole = run("whole")
    with monkeypatch.context() as patch:

        def cut(checkpoint: Path) -> None:
            if checkpoint.name == "checkpoint-4":
                optimiser = torch.load(checkpoint / "optimizer.pt", weights_only=True)
                moments = [value for state in optimiser["state"].values() for value in state.values()]
                assert {value.dtype for value in moments} == {torch.float32}
                raise Cut
            seal(checkpoint)

        patch.setattr(train.engine.callbacks, "seal", cut)
        with pytest.raises(Cut):
            run("cut")
    assert run("cut") == whole
    assert "going on from step 2 of 4" in (tmp_path / "cut" / "log.txt").read_text()
    tensors = load_file(tmp_path / "cut" / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert all((tensor != tensor.bfloat16().float()).any() for tensor in tensors.values())
