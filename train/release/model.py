"""The model repository of a release: weights, the card with its plots, and what all of it is."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path

from annotation.screen import Progress, silent
from train.evaluate.run import read_evaluation
from train.release.card import model_card
from train.release.figures import FIGURES
from train.release.folder import digests_in, made_whole, own_words, read_release, write_card, write_release
from train.release.given import Given
from train.release.hub.contents import RELEASE
from train.release.weights import MERGED, Weights, write_adapter, write_merged
from train.run_folder import finished_run, read_facts


def make_model(
    run: Path,
    to: Path,
    given: Given,
    *,
    merged: bool = False,
    dtype: str = "float32",
    project: str = "",
    progress: Progress = silent,
) -> Weights:
    """Make the folder of a finished run's model; one that an earlier release of the run made is made anew.

    Args:
        run: Folder of a finished run.
        to: Folder to make.
        given: What people said of the release.
        merged: The whole model instead of the adapter. One that was merged before from the same adapter is kept.
        dtype: Of a merged model's weights on disk.
        project: Id of the project's ledger; "" where there is none.
        progress: Told the stage of merging.

    Raises:
        SettingsError: There is no such dtype.
        TrainError: The run is not finished, its adapter is damaged, the target is taken, or a merged model is not the
            trained one.
        TrainLater: The base is on the Hub and cannot be reached.
    """
    facts, adapter = finished_run(run)
    with made_whole(to, {"kind": "model", "run": facts["run"]}) as beside:
        yours = own_words(to)
        if not merged:
            weights = write_adapter(run, beside)
        elif kept := _merged_before(run, to, adapter, dtype):
            weights = kept
            for name in read_release(to)["files"]:
                if not name.endswith((FIGURES, ".png")):
                    shutil.copy2(to / name, beside / name)
        else:
            weights = write_merged(run, beside, dtype=dtype, progress=progress)
        found = read_evaluation(run)
        for plot in (name for summary in (found.summaries.values() if found else ()) for name in summary.plots()):
            if (run / plot).exists():
                shutil.copy2(run / plot, beside / plot)
        write_card(beside, *model_card(run, weights, given), yours)
        write_release(beside, "model", run, project=project)
    return weights


def _merged_before(run: Path, to: Path, adapter: str, dtype: str) -> Weights | None:
    """The merged model of an earlier release in the same folder, where it still is what was compared then."""
    if not (to / RELEASE).exists() or not (run / MERGED).exists():
        return None
    before = read_release(to)
    facts = read_facts(run / MERGED, {"adapter_sha256": str, "dtype": str}, "remove it and run `annot release` again")
    same = before["adapter_sha256"] == adapter == facts.pop("adapter_sha256") and facts["dtype"] == dtype
    if not same or not (to / "config.json").exists() or digests_in(to) != before["files"]:
        return None
    return Weights(**{field.name: facts[field.name] for field in fields(Weights) if field.name in facts})
