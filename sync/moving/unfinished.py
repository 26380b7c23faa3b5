"""Unfinished moves, which every other command names first."""

from __future__ import annotations

from annotation.hosting import embedded
from annotation.hosting.address import HOST
from annotation.project import MOVING, Project


def unfinished(project: Project) -> str:
    """A sentence when a move of the project was begun and not finished; empty otherwise."""
    url = begun(project)
    if not url:
        return ""
    sentence = f"A move to {url} is not finished: run the same `annot move --to {url}` again, unless it is at work now."
    home, settings = project.argilla_home, project.settings.argilla
    there = embedded.state(home)
    if not settings.url and there.running and there.url != f"http://{HOST}:{settings.port}":
        sentence += " Until then Argilla is closed to people; `annot down`, then `annot up` let them in again."
    return sentence


def begun(project: Project) -> str:
    """Where a move goes that is not finished; empty for none."""
    try:
        return (project.folder / MOVING).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
