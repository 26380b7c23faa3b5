"""One moment of a SQLite database, copied while others write, and checked."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from annotation import files
from annotation.errors import ProjectError
from annotation.screen import Progress, silent


def copy_sqlite(source: Path, target: Path, progress: Progress = silent) -> dict[str, int]:
    """Copy one moment of a SQLite database that others write to; its rows by table.

    SQLite's online backup begins anew whenever another process writes. Under a read transaction it sees
    one moment, and nobody waits for it.

    Raises:
        ProjectError: the database, or its copy, is damaged.
    """
    try:
        with contextlib.closing(_reader(source)) as database, contextlib.closing(sqlite3.connect(target)) as copy:
            database.execute("begin")
            counts = count_rows(database)
            page = database.execute("pragma page_size").fetchone()[0]
            database.backup(
                copy,
                pages=4096,
                progress=lambda _status, left, total: progress((total - left) * page, total * page, source.name),
            )
            copy.execute("pragma journal_mode = delete")  # one file, without a log beside it
            require_sound(copy, source)
    except sqlite3.OperationalError:
        raise  # the disk: the caller says which
    except sqlite3.DatabaseError as problem:
        raise ProjectError(
            f"{source} is damaged ({problem}): nothing was copied; restore the newest archive of "
            "`annot backup --list` into an empty folder."
        ) from problem
    return counts


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, also where the disk takes no writes.

    Beside one with a log SQLite wants to write a file. Where a disk takes none, nobody writes to the database either:
    it can be read without, once its log is merged.
    """
    place = f"file:{quote(str(path))}?mode=ro"
    database = sqlite3.connect(place, uri=True, timeout=60, isolation_level=None)
    try:
        database.execute("select 1 from sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if not files.trouble(path.parent) or (log.exists() and log.stat().st_size):
            raise
        database.close()
        database = sqlite3.connect(f"{place}&immutable=1", uri=True, isolation_level=None)
    return database


def count_rows(database: sqlite3.Connection) -> dict[str, int]:
    """Rows of every table."""
    # Shadow tables of a full-text index, and those of SQLite itself, are somebody else's rows.
    listed = database.execute("pragma table_list").fetchall()
    tables = sorted(row[1] for row in listed if row[2] == "table" and not row[1].startswith("sqlite_"))
    return {name: database.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables}


def require_sound(database: sqlite3.Connection, source: Path) -> None:
    """Let SQLite check a copy; ProjectError when its source is damaged."""
    found = [str(row[0]) for row in database.execute("pragma integrity_check(3)")]
    if found != ["ok"]:
        raise ProjectError(
            f"{source} is damaged ({found[0]}): nothing was copied; restore the newest archive of "
            "`annot backup --list` into an empty folder."
        )
