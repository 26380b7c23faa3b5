"""Words that people gave for a release: licences, languages and its name on the Hub; kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from annotation.config import Settings
from annotation.files import write_whole
from train.data.rows import read_rows
from train.run_folder import read_facts

GIVEN = "given.json"
"""In the run's folder, for its cards."""


@dataclass(frozen=True, slots=True)
class Given:
    """What no measurement says.

    Attributes:
        model_licence: Of the weights, as the Hub names licences; "" where nobody said.
        data_licence: Of the data.
        languages: ISO 639-1 codes.
        model: OWNER/NAME of the model on the Hub; "" where it is not known yet.
        dataset: The same of the data; "" too where none is given away.
        contact: Where one asks about it.
    """

    model_licence: str = ""
    data_licence: str = ""
    languages: Sequence[str] = ()
    model: str = ""
    dataset: str = ""
    contact: str = ""

    def keep(self, run: Path) -> Given:
        """Write it into the run's folder."""
        write_whole(run / GIVEN, json.dumps(asdict(self), ensure_ascii=False, indent=2).encode())
        return self


def keep_given(run: Path, settings: Settings | None, *, repository: str, with_data: bool) -> Given:
    """Take it from a project's settings, or from the run where there is no project, and keep it.

    Names on the Hub that it was given before stay, where no other is given.

    Args:
        run: The run's folder.
        settings: Of the project; None on a machine that has only the run.
        repository: OWNER/NAME, or "".
        with_data: The data that it was trained on is given away too.

    Raises:
        TrainError: What was kept before is damaged.
    """
    paths = (run / name for name in ("slates.jsonl", "held_out_slates.jsonl"))  # runs of earlier versions have none
    rows = (row for path in paths if path.exists() for row in read_rows(path))
    languages = sorted({str(row.get("language") or "") for row in rows} - {""})
    release = settings.release if settings else None
    remedy = "remove it, and run `annot release` again"
    before = read_facts(run / GIVEN, {"model": str, "dataset": str}, remedy) if (run / GIVEN).exists() else {}
    return Given(
        release.model_licence if release else "",
        release.data_licence if release else "",
        languages or (settings.project.languages if settings else ()),
        repository or before.get("model", ""),
        repository if repository and with_data else before.get("dataset", ""),
        release.contact if release else "",
    ).keep(run)
