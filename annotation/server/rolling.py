"""The rolling backup: begins `annot backup` from time to time while Argilla runs.

The worker calls it, because the worker is there anyway. What is copied, kept and thrown away is decided
by annot, in its own environment: this is a clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import time
from pathlib import Path

ARCHIVES = Path("backups")  # below the working directory, which is Argilla's home
RETRY_S = 15 * 60.0
"""A backup that failed, for want of room perhaps, is tried again so much later."""
AHEAD_S = 600.0
"""An archive that is dated further ahead was made with a wrong clock; the next one does not wait for that time."""

log = logging.getLogger("annot")


class RollingBackup:
    """When the next backup is due, and the one that is under way."""

    def __init__(self, command: list[str], every_s: float) -> None:
        """Take the command line that makes one, and the seconds between two."""
        self._command = command
        self._every_s = every_s
        self._under_way: subprocess.Popen[bytes] | None = None
        self._not_before = time.time()

    @classmethod
    def from_environment(cls) -> RollingBackup | None:
        """What `annot up` asks for; None where it asks for nothing."""
        if command := os.environ.get("ANNOT_BACKUP"):
            return cls(json.loads(command), float(os.environ["ANNOT_BACKUP_EVERY_S"]))
        return None

    def begin_if_due(self) -> None:
        """Begin a backup when the newest one is too old; returns at once."""
        if self._under_way is not None:
            if self._under_way.poll() is None:
                return
            self._under_way = None
        if time.time() < self._not_before or time.time() < self._newest() + self._every_s:
            return
        self._not_before = time.time() + min(self._every_s, RETRY_S)
        try:
            # Its words go where ours go: into the worker's log. People at work come first: hence `nice`.
            self._under_way = subprocess.Popen(
                ["nice", *self._command], stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as problem:
            log.error("The rolling backup cannot be begun (%s); run `annot down` and `annot up`.", problem)

    @staticmethod
    def _newest() -> float:
        """When the newest archive was made; without one, when Argilla was first started here."""
        made = []
        for archive in ARCHIVES.glob("*.zip"):
            with contextlib.suppress(FileNotFoundError):  # thrown away by a backup just now
                made.append(archive.stat().st_mtime)
        made = [moment for moment in made if moment <= time.time() + AHEAD_S]
        return max(made) if made else Path("secrets.json").stat().st_mtime
