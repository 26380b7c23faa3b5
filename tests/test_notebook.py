"""The notebook goes from an export to two adapters in an empty folder; its outputs are those of its code."""

import json
import re
from pathlib import Path

import pytest
from notebooks import NOTEBOOK, RUN, code_cells, digest_of, execute, read_notebook
from safetensors.numpy import load_file


@pytest.mark.timeout(900)
def test_the_notebook_runs_from_top_to_bottom_and_both_ways_learn(tmp_path: Path) -> None:
    ran = execute(tmp_path)
    kinds = {output.output_type for cell in code_cells(ran) for output in cell.outputs}
    assert kinds == {"stream", "display_data", "execute_result"}
    for adapter in ("trl-adapter", "annot/adapter"):
        weights = load_file(tmp_path / "align" / adapter / "adapter_model.safetensors")
        learnt = [value for name, value in weights.items() if "lora_B" in name]
        assert learnt
        assert all(value.any() for value in learnt)  # they begin at zero
    done = json.loads((tmp_path / "align" / "annot" / "DONE").read_text(encoding="utf-8"))
    printed = "\n".join(
        output.get("text") or output.data["text/plain"] for cell in code_cells(ran) for output in cell.outputs
    )
    (measured,) = re.findall(r"^all +(\d+)% \[(\d+)%, (\d+)%\] +(\d+)% \[(\d+)%, (\d+)%\] +(\d+)%$", printed, re.M)
    trl, trl_low, trl_high, annot, annot_low, annot_high, most = map(int, measured)
    assert 53 < trl <= most
    assert 53 < annot <= most
    assert trl_low < trl < trl_high
    assert annot_low < annot < annot_high
    # The few lines of the notebook measure what annot measures.
    assert annot == pytest.approx(100 * done["accuracy"]["implicit_reward"]["after"]["value"], abs=0.6)


def test_the_outputs_in_the_notebook_are_those_of_its_code() -> None:
    kept, text = read_notebook(), NOTEBOOK.read_text(encoding="utf-8")
    cells = code_cells(kept)
    assert kept.metadata[RUN] == digest_of(kept), "run `make notebook`"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum(output.output_type == "display_data" for output in outputs) == 2
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.findall(r"/(?:home|root|tmp|Users|work|usr|opt)/", text)
    assert len(text) < 300_000
