"""Demos for the tests: a project with a finished run, its Space, and the Space's own process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from conftest import free_port
from finished_runs import finished_run, ranked_slates
from hub_server import HubStandIn, environment
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from annotation.project import Project, init_project
from annotation.types import Prompt
from train.release.given import Given
from train.release.space import ISLAND, make_space

RUN = "nuestra"
VOTES = "team/our-model-votes"
QUESTION = "¿Cómo se invita a un mate en casa?"
TEXTS = json.loads((ISLAND / "texts.json").read_text(encoding="utf-8"))
"""Words of the page."""


def demo_project(folder: Path, prompts: list[Prompt] | None = None, **words: Any) -> Project:
    """A project of three countries with the finished run RUN, prompts, and `words` in its [demo]."""
    project = init_project(folder, name="Lo nuestro", countries=["MX", "BR", "AR"], languages=["es", "pt"])
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in words.items())
    settings = folder / "annot.toml"
    head, heading, rest = settings.read_text(encoding="utf-8").partition("\n[demo]")
    settings.write_text(head + heading + rest.replace("\n", f"\n{table}", 1), encoding="utf-8")
    project = Project.open(folder)
    project.ledger.add_prompts(prompts or [])
    finished_run(folder / "runs" / RUN, ranked_slates(12), 0.5)
    return project


def speak_only(space: Path, texts: list[str]) -> None:
    """Give the model of a Space a vocabulary of nothing but these texts, so that it writes them and no other."""
    vocabulary = {f"{texts[number % len(texts)]} {number}": number for number in range(512)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=next(iter(vocabulary))))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=list(vocabulary)[1])
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(space / "adapter")


def break_model(space: Path) -> None:
    """Make the adapter of a Space one that fails when it writes: none of its weights is a number."""
    path = space / "adapter" / "adapter_model.safetensors"
    save_file({name: weights * float("nan") for name, weights in load_file(path).items()}, path)


@contextmanager
def served(space: Path, votes: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Space's own process, and where its page is."""
    port = free_port()
    settings = {
        "ANNOT_DEMO_VOTES": str(votes),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    log = space.parent / "page.log"
    with log.open("wb") as file:
        page = subprocess.Popen(
            [sys.executable, "app.py"], cwd=space, env={**variables, **settings}, stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(url, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert page.poll() is None, log.read_text()
        yield url, page
    finally:
        page.kill()
        page.wait()


def lines_of(votes: Path) -> list[dict[str, Any]]:
    """All lines of all vote files."""
    return [json.loads(line) for path in sorted(votes.glob("*.jsonl")) for line in path.read_text().splitlines()]


def island(name: str) -> ModuleType:
    """A module of a Space that needs no other one of it."""
    spec = importlib.util.spec_from_file_location(f"island_{name}", ISLAND / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


@dataclass
class Demo:
    """A Space that is served.

    Attributes:
        project: Whose it is.
        url: Where its page is.
        votes: Folder of its votes.
        process: That serves it.
        hub: Where its votes go.
    """

    project: Project
    url: str
    votes: Path
    process: subprocess.Popen[bytes]
    hub: HubStandIn

    def lines(self) -> list[dict[str, Any]]:
        """What its vote files say."""
        return lines_of(self.votes)


@contextmanager
def running_demo(home: Path) -> Iterator[Demo]:
    """The Space of a project with two examples, not gated, with six questions a minute."""
    project = demo_project(
        home / "ours",
        [
            Prompt.make(QUESTION, country="MX", language="es"),
            Prompt.make("Como se convida para um café?", country="BR", language="pt"),
        ],
        title="Lo nuestro, alineado",
        motivation="Porque un modelo debe hablar como su gente.",
        impact="Para escuelas.",
        team=["Ana Q.", "Bia R."],
        links=["Artículo: https://example.org/articulo"],
    )
    make_space(project.run_folder(RUN), home / "space", Given(), project=project, votes_repo=VOTES, ungated=True)
    with HubStandIn() as hub, served(home / "space", home / "votes", environment(hub)) as (url, process):
        yield Demo(project, url, home / "votes", process, hub)


@contextmanager
def running_picture_demo(home: Path) -> Iterator[Demo]:
    """The Space of a run about pictures, of a project with three of them."""
    from picture_projects import describe
    from picture_runs import coloured_slates, picture_run

    project = init_project(home / "ours", name="Lo que se ve", countries=["MX", "BR"], languages=["es", "pt"])
    describe(project, 3, ())
    slates = coloured_slates(home / "source", 4)
    picture_run(project.run_folder(RUN), slates, home / "source", steps=3)
    make_space(project.run_folder(RUN), home / "space", Given(), project=project, votes_repo=VOTES, ungated=True)
    with HubStandIn() as hub, served(home / "space", home / "votes", environment(hub)) as (url, process):
        yield Demo(project, url, home / "votes", process, hub)
