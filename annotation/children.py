"""Child processes that end when the process that started them does, by kill -9 as well."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable


def ends_with_parent() -> Callable[[], None]:
    """What a child does before it begins (`preexec_fn`): Linux ends it with its parent; elsewhere nothing happens."""
    parent, set_parent_death_signal = os.getpid(), 1
    # Found before the fork: another thread may hold the loader's lock at that moment, and nobody would let go of it.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def begin() -> None:
        if prctl:
            prctl(set_parent_death_signal, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before this
                os._exit(1)

    return begin
