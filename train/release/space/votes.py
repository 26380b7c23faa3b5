"""Votes: a file of its own for every process, to which lines are only added, and its copies on the Hub.

A restarted Space may find its disk empty and two replicas may run at once, so no process ever writes to a path that
another has written to, neither here nor on the Hub.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

FORMAT = 1


class VoteFile:
    """The vote file of this process; it is made with its first line."""

    def __init__(self, folder: Path) -> None:
        """Choose a name that no other process has."""
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._lock = threading.Lock()

    def add(self, kind: str, duel: str, **facts: Any) -> None:
        """Add a line, which is on disk when this returns."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        line = json.dumps({"format": FORMAT, "kind": kind, "id": duel, "at": at, **facts}, ensure_ascii=False)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())

    def content(self) -> bytes:
        """All whole lines so far."""
        with self._lock:
            return self.path.read_bytes() if self.path.exists() else b""


class Uploader:
    """Copies of a vote file in a private dataset repository: the whole file each time, under its own name.

    What cannot be uploaded now is uploaded the next time, since the file holds all lines.
    """

    def __init__(self, votes: VoteFile, repository: str, *, every_s: float) -> None:
        """Nothing is uploaded before `start`."""
        self.votes, self.repository, self.every_s = votes, repository, every_s
        self._uploaded = b""
        self._process, self._lock, self._end = os.getpid(), threading.Lock(), threading.Event()

    def start(self) -> None:
        """Upload from time to time, beside everything else."""
        threading.Thread(target=self._go_on, name="votes", daemon=True).start()

    def close(self) -> None:
        """Upload what is left. A process that was forked from the one that began has nothing of its own to upload."""
        if os.getpid() == self._process:
            self._end.set()
            self.upload()

    def upload(self) -> bool:
        """Upload the file if it has changed; whether all of it is on the Hub now."""
        from huggingface_hub import HfApi

        with self._lock:
            content = self.votes.content()
            if content == self._uploaded:
                return True
            hub = HfApi(token=os.environ.get("HF_TOKEN"))
            try:
                hub.create_repo(self.repository, repo_type="dataset", private=True, exist_ok=True)
                if not hub.dataset_info(self.repository).private:
                    _say(f"{self.repository} is public, so no votes are put there; make it private.")
                    return False
                hub.upload_file(
                    path_or_fileobj=content,
                    path_in_repo=f"votes/{self.votes.path.name}",
                    repo_id=self.repository,
                    repo_type="dataset",
                    commit_message="Votes of the demo",
                )
            except (OSError, ValueError, httpx.HTTPError) as error:
                reason = " ".join(str(error).split())[:300]
                _say(
                    f"not uploaded to {self.repository} yet ({type(error).__name__}: {reason}); kept, and tried again."
                )
                return False
            self._uploaded = content
            return True

    def _go_on(self) -> None:
        while not self._end.wait(self.every_s):
            self.upload()


def _say(line: str) -> None:
    print(f"votes: {line}", file=sys.stderr, flush=True)
