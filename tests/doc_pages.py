"""Pages of docs/ and the READMEs: their shell blocks, run as they stand, and where each block stands."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from conftest import free_port

from annotation.config import read_settings
from annotation.project import Project

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BIN = Path(sys.prefix) / "bin"

NOT_RUN = {
    ("CONTRIBUTING.md", "git clone"): "it makes the environment that the tests run in, and runs them",
    ("README.md", "make quickstart"): "it makes the environment; what it then runs, test_quickstart.py runs",
    ("argilla.md", "docker build"): "Docker",
    ("argilla.md", "cp docker/.env.example"): "Docker",
    ("argilla.md", "ANNOT_TEST_STACK=1"): "the stack of docker/compose.yaml",
    ("rounds.md", "annot draft --source RUN"): "a finished run; test_train_serve.py drafts so",
    ("rounds.md", "annot draft --source http"): "a server; test_draft_source.py has one",
    ("rounds.md", "annot serve RUN"): "a finished run; test_train_serve.py serves one",
    ("rounds.md", "annot round start"): "minutes: a round is run end to end where rounds are tested",
    ("scale.md", "annot evaluate NAME"): "a trained run; test_release_model.py releases one, and merges it",
    ("scale.md", "annot train --preset l40s"): "cards; test_train_processes.py runs the same on processors",
    (
        "stereotypes.md",
        "annot evaluate RUN --on bias",
    ): "a while; the page's first blocks do",
    ("stereotypes.md", "annot evaluate RUN --on esbbq"): "the Hub; exams.md asks the same of a file",
    (
        "stereotypes.md",
        "annot evaluate RUN --on stories",
    ): "a while; the page's first blocks do",
    ("training.md", "annot train --preset cpu-smoke-vlm"): "a minute; images.md trains so",
}
"""Blocks that nothing runs, by page and how they begin, and what they would need; test_docs.py reads their commands."""


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        page: File name of the page; READMEs have names of their own.
        line: Number of the line at which the fence opens.
        kind: The word behind the fence, such as `sh`.
        text: What is in it, without the indentation of a list.
    """

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text.strip().splitlines()[0] if self.text.strip() else self.kind}"

    @property
    def why_not_run(self) -> str:
        """What the block needs that no test has; empty: it is run."""
        names = {self.page, re.sub(r"\.(es|pt)\.md$", ".md", self.page)}
        return next((why for (name, head), why in NOT_RUN.items() if name in names and self.text.startswith(head)), "")


def path_of(page: str) -> Path:
    """The file of a page."""
    return DOCS / page if (DOCS / page).exists() else ROOT / page


def pages() -> list[str]:
    """Every page that people read, by file name."""
    return [
        path.name for path in (*sorted(DOCS.glob("*.md")), *sorted(ROOT.glob("README*.md")), ROOT / "CONTRIBUTING.md")
    ]


def blocks_of(page: str, *kinds: str) -> list[Block]:
    """The fenced blocks of a page, in order; all, or those of some kinds."""
    text = path_of(page).read_text(encoding="utf-8")
    found = re.finditer(
        r"^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", text, flags=re.DOTALL | re.M
    )
    blocks = [
        Block(page, text.count("\n", 0, one.start()) + 1, one["kind"].strip(), textwrap.dedent(one["text"]))
        for one in found
    ]
    return [block for block in blocks if not kinds or block.kind in kinds]


@contextmanager
def page(name: str, fill_in: Mapping[str, str] | None = None) -> Iterator[Iterator[str]]:
    """The shell blocks of a page to be run, in order; a page that ends with one left over fails.

    Args:
        name: File name of the page.
        fill_in: What stands in the place of words that a reader fills in.
    """
    blocks = [block for block in blocks_of(name, "sh") if not block.why_not_run]

    def filled(text: str) -> str:
        for word, value in (fill_in or {}).items():
            text = text.replace(word, value)
        return text

    left = iter(blocks)
    yield (filled(block.text) for block in left)
    over = [str(block) for block in left]
    assert not over, f"no test runs these blocks: {over}"


class Shell:
    """A shell in which every command has to succeed; it keeps the folder that it came to, and what was printed."""

    def __init__(self, where: Path, environment: Mapping[str, str] | None = None) -> None:
        self.where, self.printed = where, ""
        self.environment = {**os.environ, **(environment or {}), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def __call__(self, script: str) -> str:
        left, said = os.pipe()
        with os.fdopen(left, encoding="utf-8") as heard:
            done = subprocess.run(
                ["bash", "-c", f"set -euo pipefail\n{script}\npwd >&{said}"],
                cwd=self.where,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
                pass_fds=(said,),
            )
            os.close(said)
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            self.where = Path(heard.readline().strip())
        self.printed += done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def page_of(self, script: str) -> Iterator[str]:
        """The address of the page that a command shows until Ctrl-C, on a port of its own."""
        port = free_port()
        line = f"exec {script.partition('#')[0].strip()} --port {port}"
        with subprocess.Popen(
            ["bash", "-c", line], cwd=self.where, env=self.environment, stdout=subprocess.PIPE
        ) as live:
            assert live.stdout is not None
            try:
                assert any(f":{port}".encode() in said for said in live.stdout), script
                yield f"http://127.0.0.1:{port}/"
            finally:
                live.send_signal(signal.SIGINT)


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
    with down_at_last(run):
        yield run, Project(run.where, read_settings(path))


@contextmanager
def down_at_last(run: Shell, *projects: str) -> Iterator[None]:
    """Whatever happens, the Argilla of the shell's project is stopped; or of these, as seen from where it is then."""
    try:
        yield
    finally:
        for project in projects or (".",):
            command = [BIN / "annot", "down", "--project", run.where / project]
            subprocess.run(command, env=run.environment, check=False)
