"""File of the ledger: opened, brought to the newest tables, read with SQL, and written whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotation import files
from annotation.errors import ProjectError
from annotation.migrations import MIGRATIONS
from annotation.types import content_id

BUSY_S = 60.0
"""How long a write waits for another command's write."""


def now() -> str:
    """The present, ISO 8601 in UTC with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class LedgerFile:
    """An open ledger. One object per thread; several processes may hold one each."""

    def __init__(self, path: Path, secret: Callable[[], str] = str) -> None:
        """Open the ledger, making or migrating it.

        Args:
            path: The file.
            secret: Gives the project's, by which names of people who are forgotten are known again.

        Raises:
            ProjectError: The file is no ledger, or was made by a newer annot.
        """
        self.path, self._secret = path, secret
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode = wal")
            # A paid answer must survive a power cut as well as a kill.
            self._db.execute("pragma synchronous = full")
            self._db.execute("pragma foreign_keys = on")
            self._migrate()
        except sqlite3.OperationalError as error:
            # A full or read-only disk, or rights: the file itself is sound.
            remedy = files.trouble(path.parent) or "look at the disk and at who may write there, then run it again."
            raise ProjectError(f"{path} cannot be opened ({error}). {remedy[0].upper()}{remedy[1:]}") from error
        except sqlite3.DatabaseError as error:
            raise ProjectError(
                f"{path} cannot be used as annot's ledger ({error}); restore it from a copy, or move it away."
            ) from error

    @property
    def name(self) -> str:
        """What no other project's is called, made from the moment of its beginning."""
        return content_id(self.rows("select at from migrations where number = 1")[0]["at"])

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write whole or not at all. Waits up to BUSY_S for another writer. Nests into the outer one."""
        if self._db.in_transaction:
            yield self._db
            return
        self._db.execute("begin immediate")
        try:
            yield self._db
        except BaseException:
            with suppress(sqlite3.OperationalError):  # on a full disk SQLite has taken it back already
                self._db.execute("rollback")
            raise
        self._db.execute("commit")

    @contextmanager
    def undone(self, begin: str = "begin immediate") -> Iterator[None]:
        """Take back at the end of the block what was written in it: what a dry run needs to look at."""
        self._db.execute(begin)
        try:
            yield
        finally:
            self._db.execute("rollback")

    def moment(self) -> AbstractContextManager[None]:
        """Read in the block as of one moment, whatever others write meanwhile."""
        return self.undone("begin")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Read with SQL."""
        return self._db.execute(query, values).fetchall()

    def _migrate(self) -> None:
        with self.transaction() as db:
            db.execute("create table if not exists migrations (number integer primary key, name text, at text)")
            done = db.execute("select coalesce(max(number), 0) from migrations").fetchone()[0]
            if done > len(MIGRATIONS):
                raise ProjectError(
                    f"{self.path} was made by a newer annot (version {done} of its tables); upgrade annot."
                )
            for number, migration in enumerate(MIGRATIONS[done:], done + 1):
                migration(db)
                db.execute("insert into migrations values (?, ?, ?)", (number, migration.__name__, now()))
