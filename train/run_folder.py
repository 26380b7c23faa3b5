"""A run's folder: who works in it, what it was begun with, which checkpoint is whole, and how it ended.

run.json                what decides the result: written before anything is trained, never changed
train.jsonl             the rows that are trained on, and held_out.jsonl, dropped.jsonl
log.txt                 what a person is told; libraries.log has the warnings of libraries
metrics.jsonl           one line per log step, and the PNG plots drawn from it
checkpoints/            to go on from after a crash; gone when the run is done
adapter/                the result
report.md               what it is worth
DONE                    JSON, written last; FAILED instead, one line, where trying again would not help
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from annotation.errors import AnnotError, SettingsError, TrainError, TrainLater
from annotation.ledger import now
from annotation.project import write_whole

LOCK_WAIT_S = 3.0
"""Others look at the lock for an instant to see whether a run is alive; a real holder keeps it longer."""

SEAL = "sealed.json"
"""Written into a checkpoint after everything else: size and SHA-256 of each file."""


def name_run(run: str, preset: str, source: Path) -> str:
    """The name of a run: as asked, or from preset and source, so that the same command means the same run.

    Raises:
        SettingsError: It would be no folder of its own.
    """
    name = run or f"{preset}-{source.stem}"
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise SettingsError(f'--run "{name}" is no name for a folder; use letters, digits, dots, dashes and _.')
    return name


@contextlib.contextmanager
def claimed(folder: Path, doing: str = "trained", *, name: str = ".lock") -> Iterator[None]:
    """Work in a run's folder alone. The lock is the operating system's: it is gone when its process is.

    Args:
        folder: The run's.
        doing: What is being done to the run, for others who wait.
        name: Of the lock's file: one that spans several runs is another than that of the run itself.

    Raises:
        TrainLater: Another process is at it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / name), folder / ".holder.json"
    try:
        lock.acquire(timeout=LOCK_WAIT_S)
    except Timeout:
        who, done = "another process", "trained"
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(holder.read_text(encoding="utf-8"))
            who, done = f"process {told['pid']} since {told['since'][:19]}", told["doing"]
        raise TrainLater(f"the run {folder.name} is being {done} by {who}; follow {folder / 'log.txt'}.") from None
    try:
        write_whole(holder, json.dumps({"pid": os.getpid(), "since": now(), "doing": doing}).encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


class Failure:
    """Notes in FAILED why a run ended in an error that trying again would not mend; the error goes on its way.

    Nothing is noted for TrainLater, for Ctrl-C, for a folder that does not exist, is done, or is another process's.
    """

    def __init__(self, folder: Path) -> None:
        """Watch over a run's folder."""
        self.folder = folder

    def __enter__(self) -> None:
        """Begin to watch."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write FAILED where it is due."""
        if not isinstance(error, Exception) or isinstance(error, TrainLater):
            return
        if not self.folder.exists() or (self.folder / "DONE").exists():
            return
        sentence = str(error) if isinstance(error, AnnotError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(TrainLater), claimed(self.folder):
            write_whole(self.folder / "FAILED", (" ".join(sentence.split()) + "\n").encode())


class RunLog:
    """Tells a person what happens, and keeps it in log.txt."""

    def __init__(self, folder: Path, *, quiet: bool = False) -> None:
        """Append to the folder's log.txt; a quiet one shows nothing."""
        self.path, self.quiet = folder / "log.txt", quiet

    def __call__(self, line: str) -> None:
        """Show a line at once and keep it. Where stdout already goes to log.txt, it is written once."""
        self.show(line)
        self.keep(line)

    def show(self, line: str) -> None:
        """Show a line without keeping it."""
        if not self.quiet:
            print(line, flush=True)

    def keep(self, line: str) -> None:
        """Keep a line without showing it."""
        if self.quiet or not _is_stdout(self.path):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def step(self, line: str) -> None:
        """Keep a line; show it only where no progress bar says the same."""
        (self.keep if sys.stderr.isatty() else self)(line)


class Unheard(RunLog):
    """Of a process that only computes: another one tells and keeps."""

    def show(self, line: str) -> None:
        """Say nothing."""

    def keep(self, line: str) -> None:
        """Keep nothing."""


def _is_stdout(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return path.exists() and os.path.samestat(os.fstat(sys.stdout.fileno()), path.stat())
    return False


def begun_with(folder: Path) -> dict[str, Any] | None:
    """What run.json says; None for a run that was not begun."""
    path = folder / "run.json"
    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def finished_run(run: Path) -> tuple[dict[str, Any], str]:
    """What run.json of a finished run says, and the SHA-256 of its adapter's weights.

    Raises:
        TrainError: It is no run, it is not finished, or the adapter is not what the run wrote.
    """
    if not (run / "run.json").exists():
        others = sorted(path.parent.name for path in run.parent.glob("*/run.json"))
        there = f"there are {', '.join(others)}" if others else "there is none yet"
        raise TrainError(f"{run.name} is no run: a run is a folder of {run.parent} that `annot train` made; {there}.")
    if not (run / "DONE").exists():
        raise TrainError(f"{run.name} is not finished; run its `annot train` command again until it is.")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    done = json.loads((run / "DONE").read_text(encoding="utf-8"))
    weights = run / "adapter" / "adapter_model.safetensors"
    digest = ""
    if weights.exists():
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != done["adapter_sha256"]:
        raise TrainError(f"{weights} is missing or not what the run wrote; train it again under another --run.")
    return facts, digest


def check_same(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun with something else.

    Raises:
        TrainError: One of the facts differs from run.json.
    """
    begun = begun_with(folder) or {}
    for key in begun.keys() & facts.keys():
        asked = json.loads(json.dumps(facts[key]))
        if begun[key] != asked:
            place, old, new = _first_difference(key, begun[key], asked)
            raise TrainError(
                f"the run {folder.name} was begun with {place} = {old!r}, and now it is {new!r}; "
                "choose another --run, or give the same settings to go on with it."
            )


def _first_difference(place: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return _first_difference(f"{place}.{key}", old.get(key), new.get(key))
    return place, old, new


def write_if_new(path: Path, content: bytes) -> None:
    """Write a file unless it says just that already: caches go by the time it was written."""
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all, unless they are there already."""
    write_if_new(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as whole."""
    write_whole(checkpoint / SEAL, json.dumps(_digests(checkpoint)).encode())


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; those that a crash left half written, or damaged, are removed."""
    found = sorted((folder / "checkpoints").glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2]))
    for path in found:
        marker = path / SEAL
        if marker.exists() and json.loads(marker.read_text(encoding="utf-8")) == _digests(path):
            return path
        shutil.rmtree(path)
    return None


def _digests(checkpoint: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(checkpoint.iterdir()):
        if path.name != SEAL and not path.name.startswith("."):
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
