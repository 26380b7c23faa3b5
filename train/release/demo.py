"""The demo on this machine: a run's Space, made in its folder, and served to this machine alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from annotation.children import ends_with_parent
from annotation.errors import ServerError, SettingsError, TrainError
from annotation.files import lock_file
from annotation.hosting.address import HOST, free_port, require_free
from annotation.project import Project
from train.evaluate.gate import gate_of
from train.evaluate.run import recipe_of
from train.models.base import base_of_run
from train.release.given import Given
from train.release.space import make_space
from train.run_folder import finished_run

LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo on this machine.

    Attributes:
        url: Where it is.
        space: Its files.
        votes: Folder of the votes.
        log: What its process says.
    """

    url: str
    space: Path
    votes: Path
    log: Path


def serve_demo(run: Path, ready: Callable[[Demo], None], *, project: Project | None, port: int) -> None:
    """Make a run's page anew and serve it until somebody ends this process, or the page's own.

    Args:
        run: Folder of a finished run.
        ready: Told once the page answers.
        project: Whose prompts and words are shown; None where there is none.
        port: Of this machine.

    Raises:
        SettingsError: The page's libraries are not installed.
        ServerError: The port is taken.
        TrainError: The run is not finished or its base is another one now, or the page cannot start.
        TrainLater: The base is on the Hub and cannot be reached.
    """
    facts, _ = finished_run(run)
    if missing := [name for name in ("gradio", "spaces") if find_spec(name) is None]:
        raise SettingsError(
            f"the page is made with {' and '.join(missing)}, which is not installed: `make` installs it; without "
            "make, type `pip install -e '.[space]'` in annot's folder."
        )
    try:
        require_free(HOST, port)
    except ServerError as busy:  # its remedy is about Argilla
        taken = str(busy).partition(";")[0].rstrip(".")
        raise ServerError(f"{taken}; take another with `annot demo {run.name} --port {free_port()}`.") from None
    base = base_of_run(run, recipe_of(facts).base, facts)
    home = run / "demo"
    demo = Demo(f"http://{HOST}:{port}", home / "space", home / "votes", home / "log.txt")
    home.mkdir(exist_ok=True)
    with lock_file(home / ".lock", print, "annot: waiting for another `annot demo` to make the page ..."):
        make_space(run, demo.space, Given(), project=project, ungated=not gate_of(run).open, here=True)
    settings = {
        "ANNOT_DEMO_BASE": str(base.folder),
        "ANNOT_DEMO_VOTES": str(demo.votes),
        "GRADIO_SERVER_NAME": HOST,
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TQDM_DISABLE": "1",
    }
    with demo.log.open("ab") as log:
        page = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=demo.space,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            preexec_fn=ends_with_parent(),
        )
    try:
        while not _answers(demo.url):
            if page.poll() is not None:
                raise TrainError(f"the page did not start: {_last_line(demo.log)}; {demo.log} has all that it said.")
            time.sleep(LOOK_EVERY_S)
        ready(demo)
        if page.wait() not in (0, -signal.SIGTERM):
            raise TrainError(f"the page ended: {_last_line(demo.log)}; {demo.log} has all that it said.")
    except KeyboardInterrupt:
        pass
    finally:
        page.terminate()
        page.wait()


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _last_line(log: Path) -> str:
    return next(iter(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[::-1]), "it said nothing")
