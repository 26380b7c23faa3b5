"""Argilla's own environment: built once per user with uv, shared by all projects.

Argilla's server pins older versions of libraries that annot needs newer. The environment stands in the
user's cache, named after what it holds: a new list of packages makes a new one beside the old.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from annotation.errors import ServerError
from annotation.files import lock_file, user_cache

SERVER_FOLDER = Path(__file__).parent.parent / "server"
"""The programs that run in the environment."""

_REQUIREMENTS = SERVER_FOLDER / "requirements.txt"
_ALONE = SERVER_FOLDER / "alone.txt"
"""Packages of which only files are used: they come without what they depend on."""
_READY = "READY"  # written last into the environment


def ensure_environment(say: Callable[[str], None]) -> Path:
    """The Python of Argilla's environment; built first where it is missing or was left half built.

    It stands in the user's cache, named after what it holds, and is shared by all projects. It is built
    beside its place and renamed, so that an interrupted build leaves nothing that looks whole.

    Raises:
        ServerError: uv is missing or could not install something.
    """
    place = _environment_path()
    python = place / "bin" / "python"
    if _is_whole(place):
        return python
    place.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(
        place.with_name(f"{place.name}.lock"), say, "Another annot is building Argilla's environment; waiting."
    ):
        if _is_whole(place):
            return python
        for leftover in place.parent.glob(f"{place.name}*"):
            if leftover.is_dir():
                say(f"Removing a half-built environment: {leftover}")
                shutil.rmtree(leftover)
        building = place.with_name(f"{place.name}.building")
        began = time.monotonic()
        say("Building Argilla's own environment (once per machine, a minute or two) ...")
        _uv(["venv", "--quiet", "--python", _python_request(), str(building)], say)
        install = ["pip", "install", "--no-progress", "--python", str(building / "bin" / "python")]
        _uv([*install, "-r", str(_REQUIREMENTS)], say)
        _uv([*install, "--no-deps", "-r", str(_ALONE)], say)
        (building / _READY).write_text("")
        building.rename(place)
        say(f"Built in {time.monotonic() - began:.0f} s.")
    return python


def standing_environment() -> Path | None:
    """The Python of Argilla's environment; None where it is still to be built."""
    place = _environment_path()
    return place / "bin" / "python" if _is_whole(place) else None


def _environment_path() -> Path:
    python = "{}.{}".format(*sys.version_info)
    contents = "\n".join([_REQUIREMENTS.read_text(), _ALONE.read_text(), python, sys.platform, platform.machine()])
    return user_cache() / f"argilla-server-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"


def _is_whole(place: Path) -> bool:
    # `exists` follows the link to the interpreter: one that was uninstalled since makes a new build.
    return (place / _READY).exists() and (place / "bin" / "python").exists()


def _python_request() -> str:
    """Which Python to build with: our own where Argilla's pins and Redis have wheels for it."""
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return sys.executable
    return ">=3.11,<3.13"


def _uv(arguments: list[str], say: Callable[[str], None]) -> None:
    try:
        import uv

        binary = uv.find_uv_bin()
    except (ImportError, FileNotFoundError) as problem:
        raise ServerError(
            "uv, which builds Argilla's environment, is missing from annot's own: run `pip install uv` there."
        ) from problem
    environment = dict(os.environ)
    # pip's folder of local wheels, by uv's name for it: blanks there, commas here.
    if "UV_FIND_LINKS" not in environment and (links := environment.get("PIP_FIND_LINKS")):
        environment["UV_FIND_LINKS"] = ",".join(links.split())
    environment.pop("VIRTUAL_ENV", None)
    output: list[str] = []
    with subprocess.Popen(
        [binary, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() and not line.startswith((" + ", " - ")):
                output.append(line.strip())
                say(f"  {line.strip()}")
    if process.returncode:
        reason = next((line for line in output if "error" in line.lower()), output[-1] if output else "no reason given")
        raise ServerError(
            f"Argilla's environment could not be built: {reason} "
            "Check the network and the disk, then run `annot up` again."
        )


def pinned_version() -> str:
    """The version of argilla-server that the environment holds."""
    lines = _REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("argilla-server=="))


if __name__ == "__main__":  # for `make lint`
    print(ensure_environment(lambda line: print(line, file=sys.stderr)))
