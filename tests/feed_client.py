"""Readers of the change feed, and people who write past the API."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from postgres import Postgres
from search_client import Client, Json


class Reader:
    """Reads from where the feed ends now."""

    def __init__(self, client: Client) -> None:
        self.client = client
        begun = self.ask()
        assert begun["reset"]
        self.feed, self.last = begun["feed"], begun["last"]

    def ask(self, **parameters: Any) -> Json:
        answer = self.client.call("GET", "/annot/changes", params=parameters)
        assert set(answer) == {"feed", "last", "changes", "more", "reset", "guards", "assigns"}
        assert isinstance(answer, dict)
        return answer

    def next(self, wait: float = 0) -> Json:
        """The next answer; one of another feed is a failure."""
        answer = self.ask(feed=self.feed, after=self.last, wait=wait)
        assert (answer["feed"], answer["reset"]) == (self.feed, False)
        self.last = answer["last"]
        return answer

    def told(self) -> set[str]:
        """The records of all answers until there is nothing more."""
        found: set[str] = set()
        while True:
            answer = self.next()
            ids = [change["record_id"] for change in answer["changes"]]
            assert len(ids) == len(set(ids))
            assert bool(ids) or not answer["more"]
            found.update(ids)
            if not answer["more"]:
                return found


class Mirror(threading.Thread):
    """Keeps a copy of all answers by reading what the feed names, as a sync does; waits for a server that is away."""

    def __init__(self, client: Client, read_all: Callable[[], Iterable[Json]]) -> None:
        super().__init__(daemon=True)
        self.reader, self._read_all = Reader(client), read_all
        self.copy: dict[str, Any] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.read(wait=1)
            except httpx.TransportError:
                time.sleep(0.05)

    def read(self, wait: float = 0) -> bool:
        """Read what the next answer names; whether it named something."""
        feed, last = self.reader.feed, self.reader.last
        answer = self.reader.next(wait)
        self.reader.last = last  # what is not copied is asked for again
        named = {change["record_id"] for change in answer["changes"]}
        there = {record["id"]: answers(record) for record in self._read_all()} if named else {}
        for record_id in named:
            self.copy[record_id] = there.get(record_id, [])
        self.reader.feed, self.reader.last = feed, answer["last"]
        return bool(answer["changes"])


def answers(record: Json) -> list[Any]:
    """The answers to a record as the API has them."""
    kept = ("id", "values", "status", "user_id", "updated_at")
    return sorted([response[name] for name in kept] for response in record["responses"])


class Sql:
    """One connection to the database, with a transaction at a time."""

    def __init__(self, home: Path, database: str, server: Postgres | None) -> None:
        """Connect.

        Args:
            home: of the Argilla.
            database: address of the PostgreSQL; empty for SQLite.
            server: where it is.
        """
        self._sqlite: sqlite3.Connection | None = None
        if server is None:
            self._sqlite = sqlite3.connect(
                home / "argilla.db", timeout=60, isolation_level=None, check_same_thread=False
            )
            self._sqlite.execute("PRAGMA foreign_keys = ON")
        else:
            command = [str(server.programs / "psql"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", database]
            self._psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.run("SET lock_timeout = '30s'")  # who waits for another here waits for ever

    def run(self, *statements: str) -> list[str]:
        """Run statements; the rows, columns separated by `|`."""
        if self._sqlite is not None:
            rows = [row for statement in statements for row in self._sqlite.execute(statement).fetchall()]
            return ["|".join(map(str, row)) for row in rows]
        assert self._psql.stdin
        assert self._psql.stdout
        self._psql.stdin.write("".join(f"{statement};\n" for statement in (*statements, "SELECT 'done'")))
        self._psql.stdin.flush()
        read = []
        while (line := self._psql.stdout.readline()) != "done\n":
            assert line, f"psql ended at {statements}"
            read.append(line.rstrip("\n"))
        return read

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.run("BEGIN" if self._sqlite is None else "BEGIN IMMEDIATE")

    def id(self, value: str) -> str:
        """An id as the database writes it."""
        return UUID(value).hex if self._sqlite is not None else value

    def answer(self, record: str, user: str) -> None:
        """Answer a record, or change the answer."""
        self.run(
            'INSERT INTO responses (id, "values", status, record_id, user_id, inserted_at, updated_at) VALUES '
            f"('{self.id(str(uuid4()))}', '{{}}', 'draft', '{self.id(record)}', '{self.id(user)}', "
            "CURRENT_TIMESTAMP, CURRENT_TIMESTAMP) "
            "ON CONFLICT (record_id, user_id) DO UPDATE SET status = 'discarded', updated_at = CURRENT_TIMESTAMP"
        )

    def withdraw(self, record: str, user: str) -> None:
        """Delete an answer."""
        self.run(f"DELETE FROM responses WHERE record_id = '{self.id(record)}' AND user_id = '{self.id(user)}'")

    def close(self) -> None:
        """Let go of the database; a transaction that is open is rolled back."""
        if self._sqlite is not None:
            self._sqlite.close()
            return
        assert self._psql.stdin
        assert self._psql.stdout
        self._psql.stdin.close()
        self._psql.wait(10)
        self._psql.stdout.close()
