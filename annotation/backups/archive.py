"""The file that holds a backup: a zip file with a manifest, checked member by member.

`manifest.json` says what is in it, with a checksum for every file and the number of rows of every table.
A zip file's table of contents comes last: one that was cut off shows at once. Names are compared with
those that a backup holds: nothing is ever written because an archive says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from annotation.errors import ProjectError
from annotation.screen import Progress

FORMAT = 1
"""Of the archive; a newer one is refused."""

LEDGER = "ledger.sqlite"
SERVER = ".argilla/argilla.db"
DUMP = ".argilla/argilla.dump"
SETTINGS = "annot.toml"
SINGLE = (SETTINGS, "prices.toml", "secrets.toml", LEDGER, SERVER, DUMP, ".argilla/secrets.json")
"""Every file that may be in an archive, by its name in the project ..."""
PICTURES = "images"
FOLDERS = ("snapshots", "guidelines", "exams", PICTURES)
"""... and the folders whose files may be. Pictures never change and are larger than all else: the rolling backup, whose
archives stand beside them, has none, and those of snapshots are linked again by a restore."""

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 64 * 1024 * 1024
"""That of half a million files; a zip file of a megabyte may hold one that no memory does."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive that stands on the disk."""

    path: str
    made_at: str
    """ISO 8601, UTC."""
    annot: str
    argilla: str
    database: str
    """sqlite, postgresql, or empty where Argilla was never started."""
    bytes: int
    counts: Mapping[str, int]
    """Rows by table: `ledger.responses`, `argilla.records`, ..."""
    left_out: Mapping[str, int]
    """Bytes of what is in the project's folder and not in the archive."""
    ledger: int
    """How many migrations the ledger has had."""
    postgresql: int
    """PostgreSQL's major version; 0 for SQLite."""

    def sentence(self) -> str:
        """For a person."""
        counted = ", ".join(
            f"{self.counts[key]} {key.partition('.')[2]}"
            for key in ("ledger.prompts", "ledger.slates", "argilla.users", "argilla.records", "argilla.responses")
            if key in self.counts
        )
        counted = counted or "no work of people yet"
        return f"{self.path}: {readable_size(self.bytes)}, {self.made_at[:16].replace('T', ' ')} UTC, {counted}."

    @property
    def lacks_records(self) -> bool:
        """Whether Argilla held no record although annot had pushed some: it was emptied, or began anew."""
        return bool(self.database and self.counts.get("ledger.pushes") and not self.counts.get("argilla.records"))


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive, by the name it has in the project."""

    name: str
    bytes: int
    sha256: str


def pack(path: Path, sources: Mapping[str, Path], manifest: Mapping[str, Any], progress: Progress) -> None:
    """Write the archive; the manifest comes last, and a zip file's table of contents after it."""
    total = sum(source.stat().st_size for source in sources.values())
    done, members = 0, []
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "w+b") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, source in sources.items():
            digest, size = hashlib.sha256(), 0
            entry = zipfile.ZipInfo(name, date_time=datetime.now(UTC).timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o600) << 16
            with source.open("rb") as content, archive.open(entry, "w", force_zip64=True) as member:
                while block := content.read(_CHUNK):
                    digest.update(block)
                    member.write(block)
                    size += len(block)
                    progress(done + size, total, "packing")
            done += size
            members.append(Member(name, size, digest.hexdigest()))
        described = {**manifest, "files": [asdict(member) for member in members]}
        archive.writestr(_MANIFEST, json.dumps(described, indent=2))


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that is open."""

    file: Path
    backup: Backup
    members: Sequence[Member]
    _zip: zipfile.ZipFile

    def extract(self, member: Member, target: IO[bytes] | None, progress: Progress) -> None:
        """Read a member to its end and compare it with the manifest; written to `target` if there is one."""
        digest, size = hashlib.sha256(), 0
        place = f"{self.file} is damaged at {member.name}"
        try:
            with self._zip.open(member.name) as content:
                while block := content.read(_CHUNK):
                    digest.update(block)
                    size += len(block)
                    if size > member.bytes:
                        break
                    if target:
                        target.write(block)
                    progress(size, member.bytes, f"checking {member.name}")
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as problem:
            raise ProjectError(f"{place} ({problem}); take another archive.") from None
        if (size, digest.hexdigest()) != (member.bytes, member.sha256):
            raise ProjectError(f"{place} (its checksum differs); take another archive.")

    def check(self, progress: Progress) -> None:
        """Read every member and compare it with the manifest."""
        for member in self.members:
            self.extract(member, None, progress)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Archive]:
    """Open an archive and read its manifest; ProjectError when it is none, was cut off, or holds something else."""
    if file.exists() and not file.is_file():
        raise ProjectError(f"{file} is a folder or a device and no archive; name the file that `annot backup` made.")
    try:
        archive = zipfile.ZipFile(file)
    except FileNotFoundError:
        raise ProjectError(
            f"{file} is not there; name an archive with its folder: if you named no other, they are in the project's "
            "backups, and the rolling ones in its .argilla/backups."
        ) from None
    except (zipfile.BadZipFile, OSError, ValueError) as problem:
        raise ProjectError(f"{file} is no archive of annot, or was cut off ({problem}); take another one.") from None
    with archive:
        yield Archive(file, *_read_manifest(file, archive), archive)


def _read_manifest(file: Path, archive: zipfile.ZipFile) -> tuple[Backup, list[Member]]:
    """What an archive says it holds; the table of contents must say the same."""
    manifest = _manifest(file, archive)
    try:
        if int(manifest["format"]) > FORMAT:
            raise ProjectError(
                f"{file} was made by a newer annot ({manifest['annot']}); upgrade annot to at least that, and run "
                "the same again."
            )
        members = [Member(str(f["name"]), int(f["bytes"]), str(f["sha256"])) for f in manifest["files"]]
        backup = Backup(
            path=str(file),
            made_at=str(manifest["made_at"]),
            annot=str(manifest["annot"]),
            argilla=str(manifest["argilla"]),
            database=str(manifest["database"]),
            bytes=file.stat().st_size,
            counts={str(key): int(value) for key, value in manifest["counts"].items()},
            left_out={str(key): int(value) for key, value in manifest["left_out"].items()},
            ledger=int(manifest["ledger"]),
            postgresql=int(manifest["postgresql"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise ProjectError(f"{file} has a damaged {_MANIFEST}; take another archive.") from None
    _require_names(file, backup, [member.name for member in members], archive.namelist())
    return backup, members


def _require_names(file: Path, backup: Backup, promised: Sequence[str], found: Sequence[str]) -> None:
    """Compare what an archive says it holds with what it holds, and both with what a backup must and may hold."""
    needed = {SETTINGS, *([LEDGER] if backup.ledger else ())}
    needed |= {"sqlite": {SERVER}, "postgresql": {DUMP}}.get(backup.database, set())
    if missing := sorted((needed | set(promised)) - set(found)) or sorted(needed - set(promised)):
        raise ProjectError(f"{file} lacks {missing[0]}: it is damaged; take another archive.")
    if sorted([*promised, _MANIFEST]) != sorted(found) or not all(_belongs(name) for name in promised):
        raise ProjectError(
            f"{file} holds files that no backup of annot holds; it is damaged or foreign: take another archive."
        )


def _manifest(file: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        with archive.open(_MANIFEST) as content:
            text = content.read(_LARGEST_MANIFEST + 1)
        found = json.loads(text) if len(text) <= _LARGEST_MANIFEST else None
    except KeyError:
        raise ProjectError(f"{file} is no archive of annot: it holds no {_MANIFEST}; take another file.") from None
    except (ValueError, zipfile.BadZipFile, OSError, EOFError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProjectError(f"{file} has a damaged {_MANIFEST}; take another archive.")
    return found


def _belongs(name: str) -> bool:
    """Whether a name is one of those that a backup holds: nothing above, beside or outside of the project."""
    if name in SINGLE:
        return True
    parts = name.split("/")
    return (
        len(parts) > 1
        and parts[0] in FOLDERS
        and not any(part in ("", ".", "..") or part.startswith(".") or "\\" in part or "\0" in part for part in parts)
        and PurePosixPath(name).as_posix() == name
    )


def readable_size(size: int) -> str:
    """A number of bytes for a person."""
    if size < 1e6:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
