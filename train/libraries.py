"""The libraries under a run: deterministic, quiet on the screen, and without calls home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from train.settings import Recipe


@contextmanager
def deterministic(recipe: Recipe) -> Iterator[None]:
    """Make torch deterministic where it can be, and safe where it cannot."""
    import torch

    # cuDNN's attention can give NaN gradients with a mask on some cards.
    torch.backends.cuda.enable_cudnn_sdp(False)
    threads, repeatable = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    if recipe.device.kind == "cpu":
        torch.set_num_threads(recipe.device.threads or threads)
        torch.use_deterministic_algorithms(True)
        # It would write NaN into every new tensor, which costs more than the training of a small model.
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(repeatable)
        memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def work_offline() -> None:
    """Keep every library from asking the Hub for anything: all is on this machine now (a save would ask each time)."""
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True


@contextmanager
def quiet_libraries(log: Path | None) -> Iterator[None]:
    """Keep libraries from calling home, drawing bars and filling the screen; their warnings go to a file."""
    import logging
    import warnings

    for name, value in (
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TQDM_DISABLE", "1"),
        ("BITSANDBYTES_NOWELCOME", "1"),
    ):
        os.environ[name] = value
    handler: logging.Handler = logging.FileHandler(log, encoding="utf-8", delay=True) if log else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            import datasets
            import huggingface_hub.constants
            import transformers

            huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
            offline = huggingface_hub.constants.HF_HUB_OFFLINE
            datasets.disable_progress_bars()
            transformers.utils.logging.disable_progress_bar()
            transformers.utils.logging.disable_default_handler()
            transformers.utils.logging.enable_propagation()
            try:
                yield
            finally:
                huggingface_hub.constants.HF_HUB_OFFLINE = offline
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
