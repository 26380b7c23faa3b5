"""Words that people gave for a release: licences, languages and its name on the Hub; kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from annotation.config import Settings
from annotation.files import write_whole
from train.data.rows import read_rows
from train.evaluate.run import held_out_slates

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
    """

    model_licence: str = ""
    data_licence: str = ""
    languages: Sequence[str] = ()
    model: str = ""
    dataset: str = ""

    def keep(self, run: Path) -> Given:
        """Write it into the run's folder."""
        write_whole(run / GIVEN, json.dumps(asdict(self), ensure_ascii=False, indent=2).encode())
        return self


def keep_given(run: Path, settings: Settings | None, *, repository: str, with_data: bool) -> Given:
    """Take it from a project's settings, or from the run where there is no project, and keep it.

    Args:
        run: The run's folder.
        settings: Of the project; None on a machine that has only the run.
        repository: OWNER/NAME, or "".
        with_data: A dataset is given away too.
    """
    trained = run / "slates.jsonl"  # runs of earlier versions have none
    found = {str(row.get("language") or "") for row in (read_rows(trained) if trained.exists() else ())}
    languages = sorted({*found, *(slate.language for slate in held_out_slates(run))} - {""})
    release = settings.release if settings else None
    return Given(
        release.model_licence if release else "",
        release.data_licence if release else "",
        languages or (settings.project.languages if settings else ()),
        repository,
        repository if with_data else "",
    ).keep(run)
