"""Pages of docs/, whose shell blocks are run as they stand, in a project of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import free_port

from annotation.config import read_settings
from annotation.project import Project

DOCS = Path(__file__).parent.parent / "docs"
BIN = Path(sys.prefix) / "bin"


def blocks_of(page: str) -> list[str]:
    """The shell blocks of a page, in order."""
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


class Shell:
    """A shell in a project's folder, in which every command has to succeed; it keeps what was printed."""

    def __init__(self, where: Path) -> None:
        self.where, self.printed = where, ""
        self.environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

    def __call__(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{script}"],
            cwd=self.where,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        self.printed += done.stdout + done.stderr
        return done.stdout


@contextmanager
def mexico(folder: Path) -> Iterator[tuple[Shell, Project]]:
    """A new project `mexico` with a port of its own, and a shell in it; whatever happens, its Argilla is stopped."""
    run = Shell(folder)
    run("annot init mexico --country MX --language es")
    run.where = folder / "mexico"
    path = run.where / "annot.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("# port = 6900", f"port = {free_port()}"), encoding="utf-8"
    )
    try:
        yield run, Project(run.where, read_settings(path))
    finally:
        subprocess.run([BIN / "annot", "down", "--project", run.where], env=run.environment, check=False)
