"""Rows of a dataset on the Hugging Face Hub, read through `datasets`."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.reading.parquet import text_columns
from annotation.reading.rows import Limits, Row, Table, size
from annotation.screen import Progress, silent

HUB_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*/[\w-]+(?:\.[\w-]+)*(?::[\w.-]+)?")


def read_dataset(name: str, *, limits: Limits | None = None, progress: Progress = silent) -> Table:
    """Read all splits of a dataset through `datasets`.

    Args:
        name: "owner/name" or "owner/name:configuration" on the Hub; whatever else `datasets.load_dataset` takes.
        limits: What it may weigh.
        progress: Gets the number of rows.

    Raises:
        SourceError: It is not there, the Hub cannot be reached, or it cannot be read.
    """
    limits = limits or Limits()
    rows: list[Row] = []
    columns: dict[str, None] = {}
    for split, part in load_splits(name).items():
        readable = text_columns(part.data.schema)
        columns.update(dict.fromkeys(readable))
        part = part.select_columns(readable)
        if part.data.nbytes > limits.total:
            raise SourceError(
                f"The dataset {name} holds more than {size(limits.total)} of text; download and split it."
            )
        number = 0
        for batch in part.with_format("arrow").iter(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                rows.append(Row(f"{split}:{number}", values))
            progress(len(rows), note="reading")
    if not rows:
        raise SourceError(f"The dataset {name} holds no rows; choose another one.")
    return Table(name, tuple(columns), tuple(rows))


def load_splits(name: str) -> Any:
    """Splits of a dataset by name, as `datasets` has them; see `read_dataset`."""
    import datasets
    import pyarrow as pa
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # HTTPError of the client in use, whose package changes between versions.
    transport: type[BaseException] = HfHubHTTPError.__bases__[0]
    repository, _, configuration = name.partition(":")
    try:
        with _quiet():
            if not Path(repository).exists():
                # Asked once first: `datasets` alone needs half a minute of retries to find out that nobody answers.
                # Where the environment forbids the network, it looks into its cache.
                with contextlib.suppress(OfflineModeIsEnabled):
                    HfApi().dataset_info(repository, timeout=20)
            return datasets.load_dataset(repository, configuration or None)
    except (datasets.exceptions.DatasetsError, transport, OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, (ConnectionError, transport)) and not isinstance(error, HfHubHTTPError):
            raise SourceError(
                f"{name} is no file here, and the Hub cannot be reached ({reason}); check the name and your "
                "connection, or download the dataset and name its file."
            ) from error
        raise SourceError(
            f"The dataset {name} cannot be loaded ({reason}); check its name (owner/name:configuration), or set "
            "HF_TOKEN if it is private."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines of the libraries (every retry would be one), and no progress bars where no person sees them."""
    import datasets

    loggers = [logging.getLogger(library) for library in ("huggingface_hub", "datasets")]
    levels = [logger.level for logger in loggers]
    bars = not datasets.are_progress_bars_disabled()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()
