"""Several processes of one run, as torchrun and `accelerate launch` start them: one writes, the others compute."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from annotation.errors import TrainLater
from train.settings import DeviceSettings

GRACE_S = 15.0
"""How long the others may take to end once one has ended."""

GONE = ("closed by peer", "reset by peer", "Broken pipe", "Socket closed", "remote process exited")
"""What gloo and NCCL say when the other end of a connection is gone."""

GO_ON = "the same command goes on from the last checkpoint"


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def init_distributed(device: DeviceSettings) -> None:
    """Connect to the other processes; alone there is nothing to do."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState(cpu=device.kind == "cpu")


def broadcast(here: Any) -> Any:
    """Send the first process's value to the others, which wait for it."""
    if world_size() == 1:
        return here
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([here])[0]


def launch(processes: int, command: Sequence[str]) -> int:
    """Run a command of ours in several processes on this machine, and wait.

    The first has this terminal to itself; what another one writes is shown where it fails before the first.

    Args:
        processes: How many; one per card.
        command: Arguments of `annot`.

    Returns:
        The exit status of the first process, or of another one that failed before it.

    Raises:
        TrainLater: A process was killed and the first could not say so.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared.setdefault("OMP_NUM_THREADS", "1")
    started: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as kept:
        errors = [kept.enter_context(tempfile.TemporaryFile()) for _ in range(processes - 1)]
        kept.callback(_end, started)
        for rank in range(processes):
            streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": errors[rank - 1]} if rank else {}
            environment = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            started.append(
                subprocess.Popen([sys.executable, "-m", "annotation.cli", *command], env=environment, **streams)
            )
        while all(process.poll() is None for process in started):
            time.sleep(0.1)
        ended = next(rank for rank, process in enumerate(started) if process.poll() is not None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started[0].wait(GRACE_S if started[ended].returncode else None)
        if ended and started[ended].returncode:
            errors[ended - 1].seek(0)
            sys.stderr.write(errors[ended - 1].read().decode(errors="replace"))
        code = started[ended if started[0].poll() is None else 0].returncode
        if code < 0:
            raise TrainLater(f"process {ended} of {processes} was ended by signal {-code}; {GO_ON}.")
        return code


@contextlib.contextmanager
def lost_process_may_return() -> Iterator[None]:
    """Compute with other processes: that one of them is gone is no failure of the run.

    Raises:
        TrainLater: One is.
    """
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(words in str(error) for words in GONE):
            raise
        raise TrainLater(f"another process of this run is gone; {GO_ON}.") from None


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
