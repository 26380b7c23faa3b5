"""The folder of a run: its lock, its log, the facts that it was begun with, whole checkpoints, and how it ended.

run.json                what decides the result: written before anything is trained, never changed
images/                 the pictures of its slates, by content; absent for texts
snapshot.json           facts of the snapshot that it is trained on, copied; absent for a file, and in runs of before
train.jsonl             the rows that are trained on, and held_out.jsonl, dropped.jsonl
log.txt                 what a person reads; libraries.log has the warnings of libraries
metrics.jsonl           one line per log step, and the PNG plots drawn from it
checkpoints/            to go on from after a crash; gone when the run is done
preflight.json          what was looked at before; energy.json: what was used
adapter/                the result
report.md               what it is worth; evaluation.json and evaluation_… are what `annot evaluate` found
against/OTHER.json      how it ranks compared with another run, slate by slate
given.json              what people said of a release; dataset.json and merged.json: what was measured for it
releases.jsonl          where it was given away; demo/ is its page on this machine, with the votes
evaluation_tasks/       exams and local rows as tasks of lm-evaluation-harness
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from annotation.errors import AnnotError, SettingsError, TrainError, TrainLater
from annotation.files import write_whole
from annotation.ledger_file import now
from annotation.screen import Progress, silent
from train.settings import Recipe

WEIGHTS = "adapter_model.safetensors"
"""The weights among the files of an adapter."""

LOCK_WAIT_S = 3.0
"""Others look at the lock for an instant to see whether a run is alive; a real holder keeps it longer."""

SEAL = "sealed.json"
"""Written into a checkpoint after everything else: the SHA-256 of each file."""

FACTS = {
    "run": str,
    "recipe": dict,
    "digest": str,
    "seed": int,
    "base": str,
    "base_version": str,
    "base_is_tiny_and_random": bool,
    "base_note": str,
}
"""What run.json must say for anything to be done with a run, and as what."""

CONTENT = {"digest": "judgements", "pictures": "pictures"}
"""Hashes in run.json of what a run was begun with -> what they are of."""

ADAPTER_FACTS = dict.fromkeys(("peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules"), object)
"""What adapter_config.json must say: PEFT takes a default of its own for what is missing."""


def name_run(run: str, preset: str, source: Path) -> str:
    """The name of a run: as asked, or from preset and source, so that the same command means the same run.

    Raises:
        SettingsError: It would be no folder of its own.
    """
    stem = re.sub(r"[^\w.-]+", "-", source.stem)
    return check_name(run or f"{preset}-{stem}")


def check_name(run: str) -> str:
    """The name of a run, if it is one: a run is a folder of runs/, and no path.

    Raises:
        SettingsError: It is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", run):
        raise SettingsError(
            f'the run "{run}": that is no name for a folder of runs/; use letters, digits, dots, dashes and _.'
        )
    return run


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
            facts = json.loads(holder.read_text(encoding="utf-8"))
            who, done = f"process {facts['pid']} since {facts['since'][:19]}", facts["doing"]
        raise TrainLater(f"the run {folder.name} is being {done} by {who}; follow {folder / 'log.txt'}.") from None
    try:
        write_whole(holder, json.dumps({"pid": os.getpid(), "since": now(), "doing": doing}).encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


class Failure:
    """Writer of FAILED: why a run ended in an error that trying again would not mend; the error goes on its way.

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
    """The log of a run: lines on the screen and in log.txt, and the bar of what is being done."""

    def __init__(self, folder: Path, *, quiet: bool = False, progress: Progress = silent) -> None:
        """Append to the folder's log.txt; a quiet one shows nothing."""
        self.folder, self.path, self.quiet, self.progress = folder, folder / "log.txt", quiet, progress

    def __call__(self, line: str) -> None:
        """Show a line at once and keep it. Where stdout already goes to log.txt, it is written once."""
        self.show(line)
        self.keep(line)

    def show(self, line: str) -> None:
        """Show a line without keeping it."""
        if not self.quiet:
            try:
                print(line, flush=True)
            except BrokenPipeError:  # whoever read it has gone; log.txt holds the lines
                self.quiet = True
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def keep(self, line: str) -> None:
        """Keep a line without showing it."""
        if self.quiet or not _is_stdout(self.path):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def step(self, line: str) -> None:
        """Keep a line; show it only where no progress bar says the same."""
        (self.keep if sys.stderr.isatty() else self)(line)


class NullLog(RunLog):
    """The log of a process that only computes: another one shows and keeps."""

    def show(self, line: str) -> None:
        """Show nothing."""

    def keep(self, line: str) -> None:
        """Keep nothing."""


def _is_stdout(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return path.exists() and os.path.samestat(os.fstat(sys.stdout.fileno()), path.stat())
    return False


def read_facts(path: Path, kinds: Mapping[str, type], remedy: str) -> dict[str, Any]:
    """A file of a run that holds one JSON object. All are written whole: a damaged one was damaged from outside.

    Args:
        path: The file.
        kinds: What it must say -> as what.
        remedy: What a person can do where it does not; the end of a sentence.

    Raises:
        TrainError: It is gone, is no JSON object, or does not say all that it must.
    """
    try:
        facts: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainError(f"{path} is gone; {remedy}.") from None
    except OSError as error:
        raise TrainError(f"{path} cannot be read ({error.strerror}); mend that first.") from None
    except (ValueError, RecursionError):
        raise TrainError(f"{path} is damaged: it is no whole JSON text; {remedy}.") from None
    if not isinstance(facts, dict):
        raise TrainError(f"{path} is damaged: it is no JSON object; {remedy}.")
    if wrong := [key for key, kind in kinds.items() if key not in facts or not isinstance(facts[key], kind)]:
        raise TrainError(f"{path} is damaged: it does not say what its {', '.join(wrong)} must say; {remedy}.")
    return facts


def begun_with(folder: Path) -> dict[str, Any] | None:
    """Facts of run.json; None for a run that was not begun.

    Raises:
        TrainError: It is damaged, or gone although something was trained.
    """
    path = folder / "run.json"
    if not path.exists() and not any((folder / name).exists() for name in ("checkpoints", "adapter", "DONE")):
        return None
    return read_facts(path, FACTS, "nobody knows any more what the run was begun with, so train it under another --run")


def read_done(folder: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Facts of DONE.

    Args:
        folder: The run's.
        keys: Texts that it must hold, beside the digest of the weights.

    Raises:
        TrainError: It is damaged.
    """
    # Without DONE a run is measured once more, and its trained adapter kept.
    remedy = "remove that file and run its `annot train` command again"
    done = read_facts(folder / "DONE", dict.fromkeys(("adapter_sha256", *keys), str), remedy)
    if not isinstance(done.setdefault("adapter_files", {}), dict):
        raise TrainError(f"{folder / 'DONE'} is damaged: its adapter_files are none; {remedy}.")
    return done


def adapter_digests(adapter: Path) -> dict[str, str]:
    """SHA-256 of each file of an adapter."""
    return {path.name: file_digest(path) for path in sorted(adapter.iterdir()) if path.is_file()}


def check_adapter(adapter: Path, remedy: str) -> None:
    """Make sure that an adapter whose digest is nowhere noted can be loaded.

    Raises:
        TrainError: A file is gone or damaged; `remedy` ends the sentence.
    """
    from safetensors import SafetensorError, safe_open

    read_facts(adapter / "adapter_config.json", ADAPTER_FACTS, remedy)
    weights = adapter / WEIGHTS
    try:
        with safe_open(weights, "pt"):
            pass  # opening compares the header with the length of the file
    except (OSError, SafetensorError):
        raise TrainError(f"{weights} is gone or damaged; {remedy}.") from None


def finished_run(run: Path) -> tuple[dict[str, Any], str]:
    """Facts of run.json of a finished run, and the SHA-256 of its adapter's weights.

    Raises:
        TrainError: It is no run, it is not finished, a file is damaged, or the adapter is not what the run wrote.
    """
    again = "train it again under another --run"
    if (run / "DONE").exists():
        facts = read_facts(run / "run.json", FACTS, again)
    elif not (run / "run.json").exists():
        others = sorted(path.parent.name for path in run.parent.glob("*/run.json"))
        there = f"there are {', '.join(others)}" if others else "there is none yet"
        raise TrainError(f"{run.name} is no run: a run is a folder of {run.parent} that `annot train` made; {there}.")
    else:
        raise TrainError(f"{run.name} is not finished; run its `annot train` command again until it is.")
    done = read_done(run)
    # Runs of earlier versions noted the digest of the weights alone.
    written = {**done["adapter_files"], WEIGHTS: done["adapter_sha256"]}
    for name, digest in written.items():
        path = run / "adapter" / name
        if not path.is_file() or file_digest(path) != digest:
            raise TrainError(f"{path} is missing or not what the run wrote; {again}.")
    read_facts(run / "adapter" / "adapter_config.json", ADAPTER_FACTS, again)
    return facts, written[WEIGHTS]


def as_begun(recipe: Recipe, folder: Path, overrides: Sequence[str]) -> Recipe:
    """A recipe with which a run goes on: what its run.json does not know yet does what it did before.

    Args:
        recipe: As it is asked for now.
        folder: The run's; one that was not begun changes nothing.
        overrides: "section.key=value" that somebody asked for: these hold.

    Raises:
        TrainError: run.json is damaged.
    """
    begun = (begun_with(folder) or {}).get("recipe", {})
    asked = {override.partition("=")[0].strip() for override in overrides}
    raw = recipe.model_dump(mode="json")
    with contextlib.suppress(ValidationError):  # check_same says what differs
        before = Recipe.model_validate(begun).model_dump(mode="json")
        for section, values in before.items():
            new = values.keys() - begun[section].keys()
            raw[section] |= {key: values[key] for key in new if f"{section}.{key}" not in asked}
    return Recipe.model_validate(raw)


def check_same(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that was begun with something else.

    Raises:
        TrainError: One of the facts differs from run.json.
    """
    begun = dict(begun_with(folder) or {})
    with contextlib.suppress(ValidationError):  # what a setting did before there was one
        begun["recipe"] = Recipe.model_validate(begun.get("recipe")).model_dump(mode="json")
    for key in (key for key in facts if key in begun):
        given = json.loads(json.dumps(facts[key]))
        if begun[key] != given and key in CONTENT:
            raise TrainError(
                f"{begun.get('source', 'the source')} holds other {CONTENT[key]} than when the run {folder.name} was "
                "begun; choose another --run, or put the old ones back to go on with it."
            )
        if begun[key] != given:
            place, old, new = _first_difference(key, begun[key], given)
            raise TrainError(
                f"the run {folder.name} was begun with {place} = {old!r}, and now it is {new!r}; "
                "choose another --run, or give the same settings to go on with it."
            )


def check_held_out(folder: Path, slates: Sequence[str]) -> None:
    """Refuse to go on with a run of another annot that held out other slates: it has learnt from some of these.

    Args:
        folder: The run's.
        slates: Ids of the slates that are held out now.

    Raises:
        TrainError: Others were.
    """
    path = folder / "held_out_slates.jsonl"
    rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if rows and [json.loads(row)["id"] for row in rows] != list(slates):
        raise TrainError(
            f"the run {folder.name} was begun by another version of annot, which held out other slates; choose another "
            "--run to begin anew."
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
        if _is_whole(path):
            return path
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path) -> bool:
    marker = checkpoint / SEAL
    if not marker.exists():
        return False
    try:
        sealed = json.loads(marker.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False  # a damaged seal vouches for nothing
    return bool(sealed == _digests(checkpoint))


def _digests(checkpoint: Path) -> dict[str, str]:
    return {
        path.name: file_digest(path)
        for path in sorted(checkpoint.iterdir())
        if path.name != SEAL and not path.name.startswith(".")
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
