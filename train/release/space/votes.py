"""Votes: files of its own for every process, to which lines are only added, and their copies on the Hub.

A restarted Space may find its disk empty and two replicas may run at once, so no process ever writes to a path that
another has written to, neither here nor on the Hub.
"""

from __future__ import annotations

import errno
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

MOST_BYTES = 50_000_000
"""From here on duels are begun in another file: each upload sends a file whole."""


class VoteFiles:
    """The vote files of this process, the newest last; each is made with its first line."""

    def __init__(self, folder: Path) -> None:
        """Choose a name that no other process has."""
        self.folder, self.paths, self._lock = folder, [_path_in(folder)], threading.Lock()

    def add(self, kind: str, duel: str, file: Path | None = None, **facts: Any) -> Path:
        """Add a line, which is on disk when this returns, or not there at all.

        Args:
            kind: Of the line.
            duel: Its id.
            file: Where the duel was begun, since both lines stand in one file; the newest file when None.
            facts: What else the line says.

        Returns:
            The file.
        """
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        told = json.dumps({"format": FORMAT, "kind": kind, "id": duel, "at": at, **facts}, ensure_ascii=False)
        line = f"{told}\n".encode()
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not file and size_of(self.paths[-1]) >= MOST_BYTES:
                self.paths.append(_path_in(self.folder))
            path = file or self.paths[-1]
            with path.open("ab", buffering=0) as lines:
                size = lines.seek(0, os.SEEK_END)
                try:
                    if lines.write(line) < len(line):
                        raise OSError(errno.ENOSPC, "half a line")
                    os.fsync(lines.fileno())
                except OSError:
                    lines.truncate(size)
                    raise
        return path

    def content(self, path: Path) -> bytes:
        """All lines of a file so far."""
        with self._lock:
            return path.read_bytes()


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where it is not made yet."""
    return path.stat().st_size if path.exists() else 0


def _path_in(folder: Path) -> Path:
    return folder / f"{uuid.uuid4().hex}.jsonl"


class Uploader:
    """Copies of vote files in a private dataset repository: the whole file each time, under its own name.

    What cannot be uploaded now is uploaded the next time, since the files hold all lines.
    """

    def __init__(self, votes: VoteFiles, repository: str, *, every_s: float) -> None:
        """Nothing is uploaded before `start`."""
        self.votes, self.repository, self.every_s = votes, repository, every_s
        self._uploaded: dict[Path, int] = {}
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
        """Upload the files that have grown; whether all of them are on the Hub now."""
        from huggingface_hub import HfApi

        with self._lock:
            grown = [path for path in [*self.votes.paths] if size_of(path) != self._uploaded.get(path, 0)]
            if not grown:
                return True
            hub = HfApi(token=os.environ.get("HF_TOKEN"))
            try:
                hub.create_repo(self.repository, repo_type="dataset", private=True, exist_ok=True)
                if not hub.dataset_info(self.repository).private:
                    _say(f"{self.repository} is public, so no votes are put there; make it private.")
                    return False
                for path in grown:
                    content = self.votes.content(path)
                    hub.upload_file(
                        path_or_fileobj=content,
                        path_in_repo=f"votes/{path.name}",
                        repo_id=self.repository,
                        repo_type="dataset",
                        commit_message="Votes of the demo",
                    )
                    self._uploaded[path] = len(content)
            except (OSError, ValueError, RuntimeError, httpx.HTTPError) as error:
                reason = " ".join(str(error).split())[:300]
                _say(
                    f"not uploaded to {self.repository} yet ({type(error).__name__}: {reason}); kept, and tried again."
                )
                return False
            return True

    def _go_on(self) -> None:
        while not self._end.wait(self.every_s):
            self.upload()


def _say(line: str) -> None:
    print(f"votes: {line}", file=sys.stderr, flush=True)
