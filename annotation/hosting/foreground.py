"""The embedded Argilla in the foreground: what a container or a service manager starts, watches and stops."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from annotation.hosting import embedded
from annotation.hosting.logs import follow
from annotation.hosting.processes import has_ended

LOOK_EVERY_S = 5.0
"""How often the server is asked whether it answers."""

PAUSE_S = 0.3
"""How often the processes are looked at."""


def accompany(home: Path, write: Callable[[str], None]) -> None:
    """Bind Argilla's processes to this one, before they are started.

    Every line that they write is handed on as `server: line`. They end with this process, also where it is told to end
    while they start; those that ran before are left alone until `attend` is asked.
    """
    if not embedded.state(home).running:
        atexit.register(embedded.stop, home)

    def listen() -> None:
        for line in follow(home):
            write(line)

    threading.Thread(target=listen, daemon=True).start()


def attend(home: Path) -> str:
    """Wait until Ctrl-C or SIGTERM, then stop all processes; empty, or why they were stopped before that."""
    trouble = ""
    try:
        while (found := embedded.state(home)).running:
            _wait(found.processes.values())
        trouble = found.detail
    except KeyboardInterrupt:
        pass
    finally:
        embedded.stop(home)
        time.sleep(0.5)  # their last words
    return trouble


def _wait(processes: Iterable[int]) -> None:
    """Until one of the processes ends, and no longer than until the next look."""
    import psutil

    until = time.monotonic() + LOOK_EVERY_S
    with contextlib.suppress(psutil.NoSuchProcess):
        watched = [psutil.Process(pid) for pid in processes]
        while time.monotonic() < until and not any(has_ended(each) for each in watched):
            time.sleep(PAUSE_S)
