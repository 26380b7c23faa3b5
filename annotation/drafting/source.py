"""Source of drafts other than Cohere: a model that answers as itself, of a server or of a run on this machine."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation.children import ends_with_parent
from annotation.config import DraftSettings
from annotation.drafting.openai_server import KEY, OpenAIServer, served_model
from annotation.drafting.personas import Persona
from annotation.drafting.prices import Limit, Price
from annotation.drafting.writer import Writer
from annotation.errors import DraftError
from annotation.project import Project
from annotation.text.locales import country_line
from annotation.types import Prompt

RUN_TIMEOUT_S = 3600.0
"""Longest wait for an answer of a run: its server is ours, does one batch after the other, and may have no card."""


class Free(Price):
    """Price of a model that nobody bills, as often as one likes."""

    input: float = 0.0
    output: float = 0.0
    trial: Limit = Limit(per_minute=1e6, per_month=None)
    production: Limit = Limit(per_minute=1e6, per_month=None)


@dataclass(frozen=True, slots=True)
class Source:
    """A model beside Cohere's, whose own answers are drafted: no persona tells it how to speak.

    Attributes:
        model: Its name, as it is called and as candidates have it.
        answers: Of this model, to each prompt; as many spares stand by.
        opened: Makes the service; it may start a server, which ends when the service is closed.
        sees: It describes pictures; otherwise it answers prompts of text alone.
        country: Whose prompts alone it answers, or "".
        told_country: Its system text says the country, as in its training.
    """

    model: str
    answers: int
    opened: Callable[[DraftSettings], Writer]
    sees: bool = False
    country: str = ""
    told_country: bool = False

    def drafted_in(self, project: Project) -> Project:
        """The project, with settings under which this model alone is called."""
        draft = project.settings.draft
        wanted = {"models": (self.model,), "picture_models": (self.model,), "candidates": self.answers}
        settings = project.settings.model_copy(update={"draft": draft.model_copy(update=wanted)})
        return replace(project, settings=settings)

    def takes(self, prompt: Prompt) -> bool:
        """Whether it answers a prompt."""
        return bool(prompt.image) == self.sees and self.country in ("", prompt.country)

    def persona(self, prompt: Prompt) -> Persona:
        """Nobody: the prompt's own system text, as in training."""
        lines = [prompt.system.strip()]
        if self.told_country and prompt.country:
            lines.append(country_line(prompt.country, prompt.language))
        return Persona("", "\n\n".join(filter(None, lines)))

    def prices(self, known: Mapping[str, Price]) -> dict[str, Price]:
        """Its price where the table has one; else it is free."""
        return {self.model: known.get(self.model) or Free()}


def find_source(
    project: Project, named: str, *, model: str = "", answers: int | None = None, pictures: bool = False
) -> Source:
    """Find what somebody named: the address of a server, or a finished run of the project.

    Args:
        project: The project.
        named: An address that begins with http:// or https://, or the name of a run.
        model: Of a server; "" is the only one that it has.
        answers: To each prompt; None is half of draft.candidates.
        pictures: A server's model describes pictures. A run says it by itself.

    Raises:
        DraftError: There is no such run, or it is not finished; the server cannot be reached or has several models; or
            its key cannot be one.
    """
    answers = answers or max(1, project.settings.draft.candidates // 2)
    if "://" in named:
        key = project.secret(KEY) or ""

        def connect(draft: DraftSettings) -> Writer:
            return OpenAIServer(named, key, timeout_s=draft.timeout_s, connections=draft.concurrency)

        return Source(model or served_model(named, key), answers, connect, pictures)
    if model or pictures:
        raise DraftError(f"--source {named} is a run, which has one model and says itself whether it sees pictures.")
    folder = project.run_folder(named)
    facts, done = (_read(project, folder / name) for name in ("run.json", "DONE"))
    recipe, adapter = facts.get("recipe"), done.get("adapter_sha256")
    parts = [recipe.get(name) or {} for name in ("region", "base")] if isinstance(recipe, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts) or not isinstance(adapter, str):
        raise DraftError(f"{folder} is damaged: put a copy of it back, or train again under another --run.")
    region, base = parts
    return Source(
        model_of_run(named, adapter),
        answers,
        lambda draft: ServedRun(folder, connections=draft.concurrency),
        base.get("vision", "none") != "none",
        region.get("country", ""),
        bool(region.get("in_prompt")),
    )


def model_of_run(run: str, adapter_sha256: str) -> str:
    """Name of a run's model, which says exactly which adapter wrote a candidate."""
    return f"annot:{run}@{adapter_sha256[:8]}"


class ServedRun(OpenAIServer):
    """A server of a run, `annot serve`, that lives as long as this service."""

    def __init__(self, run: Path, *, connections: int) -> None:
        """Start it, and wait until its model is loaded.

        Raises:
            DraftError: It cannot start; in the sentence that it ended with.
        """
        command = [sys.executable, "-m", "annotation.cli", "serve", run.name, "--project", str(run.parent.parent)]
        print(f"annot: loading the model of {run.name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryFile() as said:
            # A session of its own: Ctrl-C is for the drafting, which still waits for the calls under way.
            self._process = subprocess.Popen(
                [*command, "--port", "0", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
                preexec_fn=ends_with_parent(),
            )
            try:
                said_first = self._first()
                if "url" not in said_first:
                    said.seek(0)
                    lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
                    why = said_first.get("error", lines[-1])
                    raise DraftError(f"the model of {run.name} cannot be served: {why}")
                super().__init__(
                    said_first["url"],
                    timeout_s=RUN_TIMEOUT_S,
                    connections=connections,
                    name=f"`annot serve {run.name}`",
                )
            except BaseException:  # Ctrl-C, for one
                self._end()
                raise

    async def close(self) -> None:
        """Let go of the connections, and end the server."""
        self._end()
        await super().close()

    def _first(self) -> dict[str, Any]:
        """What the server says once it is ready, or why it cannot be; nothing where it just ended."""
        said = b""
        for line in self._process.stdout or ():
            said += line
            with contextlib.suppress(ValueError):
                return dict(json.loads(said))
        return {}

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _read(project: Project, path: Path) -> dict[str, Any]:
    """A file of a finished run.

    Raises:
        DraftError: There is none, or it is damaged.
    """
    name = path.parent.name
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) and path.parent.parent == project.folder / "runs":
        with contextlib.suppress(ValueError, OSError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    finished = sorted(marker.parent.name for marker in (project.folder / "runs").glob("*/DONE"))
    there = f"finished are {', '.join(finished)}" if finished else "`annot train` makes runs"
    raise DraftError(
        f"--source {name} is no finished run of this project, nor an address such as http://127.0.0.1:8000/v1; {there}."
    )
