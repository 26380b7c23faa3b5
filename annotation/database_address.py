"""The address of a PostgreSQL database: read, checked, and shown without its password."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, quote, unquote, urlsplit

from annotation.errors import ServerError

_EXAMPLE = "write postgresql://user:password@host:5432/name"
_SCHEMES = ("postgresql", "postgres")
_DEFAULT_PORT = 5432
_SSL = ("sslmode", "sslrootcert")  # parameters of the address that have a variable of the same name


@dataclass(frozen=True, slots=True)
class Database:
    """Where a PostgreSQL database is, and as whom to enter."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(default="", repr=False)
    """Empty: PGPASSWORD, or the file of passwords that PostgreSQL's own programs read (~/.pgpass)."""
    ssl: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, address: str) -> Database:
        """Read `postgresql://user:password@host:port/name?sslmode=require`.

        Raises:
            ServerError: It is no such address. The sentence does not repeat it: it may hold a password.
        """
        try:
            parts = urlsplit(address.strip())
            port = parts.port or _DEFAULT_PORT
            query = {key: values[-1] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        except ValueError:
            raise ServerError(f"The address of the database cannot be read; {_EXAMPLE}.") from None
        if "\0" in unquote(address):  # no variable of the environment can hold it
            raise ServerError(f"The address of the database has the character NUL in it; {_EXAMPLE}.")
        if parts.scheme not in _SCHEMES:
            raise ServerError(f"Argilla works on its own SQLite file or on PostgreSQL; {_EXAMPLE}.")
        host = query.pop("host", "") or unquote(parts.hostname or "")
        if unknown := sorted(set(query) - set(_SSL)):
            raise ServerError(
                f"The address of the database has a parameter {unknown[0]!r}; only {' and '.join(_SSL)} are known."
            )
        name, user = unquote(parts.path.lstrip("/")), unquote(parts.username or "")
        for value, what in ((host, "host"), (name, "name of a database"), (user, "user")):
            if not value or not value.isprintable():
                raise ServerError(f"The address of the database has no {what}; {_EXAMPLE}.")
        return cls(host, port, name, user, unquote(parts.password or ""), tuple(sorted(query.items())))

    @property
    def shown(self) -> str:
        """The address without the password, for people and for files that anyone may read."""
        return replace(self, password="").address

    @property
    def address(self) -> str:
        """The whole address. It may hold the password: for the file of secrets only."""
        entry = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        query = dict(self.ssl)
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host.startswith("/"):  # the folder of a socket
            host, query = "", {"host": self.host, **query}
        port = "" if self.port == _DEFAULT_PORT else f":{self.port}"
        parameters = "&".join(f"{key}={quote(value, safe='/')}" for key, value in query.items())
        return f"postgresql://{entry}@{host}{port}/{quote(self.name, safe='')}{'?' if parameters else ''}{parameters}"

    @property
    def place(self) -> tuple[str, int, str]:
        """What makes it this database, whoever enters."""
        return ("localhost" if self.host in ("127.0.0.1", "::1") else self.host.lower(), self.port, self.name)

    def environment(self) -> dict[str, str]:
        """The variables of libpq; asyncpg reads the same."""
        found = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.name,
            "PGUSER": self.user,
            "PGCONNECT_TIMEOUT": "10",
            **{f"PG{key.upper()}": value for key, value in self.ssl},
        }
        if self.password:
            found["PGPASSWORD"] = self.password
        elif entered := os.environ.get("PGPASSWORD"):
            found["PGPASSWORD"] = entered
        if passwords := os.environ.get("PGPASSFILE"):
            found["PGPASSFILE"] = passwords
        return found
