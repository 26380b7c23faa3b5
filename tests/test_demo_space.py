"""A demo Space is whole, says what is true of its run, and loses no vote."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import free_port
from demo_pages import RUN, VOTES, demo_project
from finished_runs import finished_run, ranked_slates
from typer.testing import CliRunner

from annotation.cli import app
from annotation.config import read_settings
from annotation.errors import SettingsError, TrainError
from annotation.project import Project
from annotation.prompts.review import visitors_source
from annotation.types import Person, Prompt
from train.data.encoding import token_ids
from train.models.base import Base
from train.models.tokenizer import load_tokenizer
from train.release.given import Given
from train.release.lint import lint
from train.release.space import ISLAND, MOST_PROMPTS, make_space
from train.settings import load_recipe

ROOT = Path(__file__).parent.parent
GIVEN = Given("apache-2.0", "cc-by-4.0", ("es", "pt"), "team/our-model", "team/our-model")


def prompt(text: str, country: str = "MX", **more: Any) -> Prompt:
    return Prompt.make(text, country=country, language="pt" if country == "BR" else "es", **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with prompts of every kind."""
    return demo_project(
        tmp_path / "ours",
        [
            *(prompt(f"¿Cómo se invita a un mate, caso {number}?") for number in range(20)),
            prompt("¿Cómo se dice el asunto 0?"),
            prompt("Escríbele a rosa.perez@ejemplo.mx, o a Rosa Pérez"),
            prompt("Responda.", system="Eres un juez."),
            prompt("Lo escribió una visita", source=visitors_source(VOTES)),
            prompt("¿Qué es esto? " * 200),
            prompt("Como se convida para um café?", "BR"),
            prompt("De otro país", "UY"),
        ],
        motivation="Porque sí.\n\nY porque no.",
        team=["Ana", "Bia"],
        links=["Nuestro artículo: https://example.org/a"],
    )


def test_a_space_says_what_is_true_of_its_run_and_its_project(project: Project, tmp_path: Path) -> None:
    project.ledger.add_people([Person("rosa", "Rosa Pérez", "annotator", "MX", ("es",))])
    removed = prompt("¿Cómo se invita a un mate, caso 19?")
    project.ledger.change_prompts([replace(removed, removed=True)])
    run, to = project.run_folder(RUN), tmp_path / "space"
    (run / "slates.jsonl").write_text(
        "".join(json.dumps(slate.row()) + "\n" for slate in ranked_slates(1)), encoding="utf-8"
    )
    record = make_space(run, to, GIVEN, project=project, votes_repo=VOTES, ungated=True)
    demo = json.loads((to / "demo.json").read_text())
    done = json.loads((run / "DONE").read_text())
    assert (demo["run"], demo["adapter_sha256"], demo["votes_repo"]) == (RUN, done["adapter_sha256"], VOTES)
    assert (demo["title"], demo["team"]) == ("Lo nuestro", ["Ana", "Bia"])
    assert demo["links"] == [{"title": "Nuestro artículo", "url": "https://example.org/a"}]
    assert (demo["gate"], demo["ungated"], demo["base_is_tiny_and_random"]) == ("not measured", True, True)
    assert demo["countries"] == ["MX", "BR", "AR"]
    assert demo["country_names"]["BR"] == {"es": "Brasil", "pt": "Brasil", "en": "Brazil"}
    assert demo["country_texts"]["MX"] == "País: México."
    assert not demo["country_in_prompt"]

    texts = [told["text"] for told in demo["prompts"] if told["country"] == "MX"]
    assert len(texts) == MOST_PROMPTS
    assert texts[:2] == ["Escríbele a [email], o a [user]", "¿Cómo se invita a un mate, caso 18?"]
    assert [told["text"] for told in demo["prompts"] if told["country"] != "MX"] == ["Como se convida para um café?"]
    shown = " ".join(texts)
    for never in ("caso 19", "Responda", "visita", "¿Qué es esto?", "asunto 0"):
        assert never not in shown

    assert record["kind"] == "space"
    assert {"app.py", "model.py", "texts.json", "demo.json", "adapter/adapter_model.safetensors"} <= set(
        record["files"]
    )
    assert "adapter/README.md" not in record["files"]
    assert lint(to, run) == []
    for path in (path for path in to.rglob("*") if path.is_file()):
        assert str(project.folder).encode() not in path.read_bytes(), f"{path.name} names a folder of this machine"
    # What it is made of fits what it is tested with.
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    wanted = dict(re.findall(r"^([\w-]+)==(\S+)$", (to / "requirements.txt").read_text(), re.M))
    assert wanted
    assert wanted.items() <= pinned.items()


def test_a_space_is_made_anew_and_never_over_something_else(project: Project, tmp_path: Path) -> None:
    run, to = project.run_folder(RUN), tmp_path / "space"
    before = make_space(run, to, GIVEN, project=project, ungated=False)
    with (to / "README.md").open("a") as card:
        card.write("Nuestra nota.\n")
    project.ledger.add_prompts([prompt("Otra pregunta más")])
    after = make_space(run, to, GIVEN, project=project, ungated=True)
    changed = {name for name in after["files"] if after["files"][name] != before["files"].get(name)}
    assert changed == {"demo.json"}
    assert (to / "README.md").read_text().endswith("Nuestra nota.\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(TrainError, match="holds something else"):
        make_space(run, other, GIVEN, ungated=False)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_a_space_cannot_have_a_base_that_is_on_this_machine_only(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "runs" / "r1", ranked_slates(6), 0.1)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps({**facts, "base": str(run / "base"), "base_is_tiny_and_random": False}), encoding="utf-8"
    )
    with pytest.raises(TrainError, match="annot demo r1"):
        make_space(run, tmp_path / "space", GIVEN, ungated=False)
    assert not (tmp_path / "space").exists()
    make_space(run, tmp_path / "space", GIVEN, ungated=False, here=True)


def test_an_address_of_a_link_is_one(tmp_path: Path) -> None:
    path = tmp_path / "annot.toml"
    for link in ("https://example.org", "Página: javascript:alert(1)", ": https://example.org", "A: https://"):
        path.write_text(f"[demo]\nlinks = [{json.dumps(link)}]\n", encoding="utf-8")
        with pytest.raises(SettingsError, match=r"demo\.links"):
            read_settings(path)


def test_the_files_of_a_space_import_nothing_of_ours_and_say_everything_in_three_languages() -> None:
    files = sorted(ISLAND.glob("*.py"))
    assert len(files) > 5
    for path in files:
        imported = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.M))
        assert imported
        assert not imported & {"annotation", "sync", "train"}, path
    texts = json.loads((ISLAND / "texts.json").read_text(encoding="utf-8"))
    assert set(texts) == {"es", "pt", "en"}
    for language, own in texts.items():
        assert own.keys() == texts["en"].keys(), language
        for name, text in own.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", texts["en"][name])), (language, name)


MODEL = """
import json, sys
import torch
from transformers import AutoModelForCausalLM
import model
messages = json.loads(sys.argv[1])
def last(sides, seed):
    found = {}
    for side, text in model.answers(messages, sides, seed=seed):
        found[side] = text
    return [found[side] for side in sorted(found)]
ids = model._encode(messages)
both = last([True, False], 7)
cut = model.answers(messages, [False], seed=7)
next(cut)
cut.close()  # a visitor who left
torn = []
for pair in zip(model.answers(messages, [False], seed=7), model.answers(messages, [True], seed=7), strict=False):
    torn = [text for _, text in pair]
left = model.answers(messages, [False], seed=7)
next(left)  # it is never asked again, and kept
plain = AutoModelForCausalLM.from_pretrained("base")
with torch.inference_mode():
    tokens = torch.tensor([ids])
    with model.MODEL.disable_adapter():
        same = torch.equal(model.MODEL(tokens).logits, plain(tokens).logits)
print(json.dumps({
    "torn": torn, "apart": [last([False], 7)[0], last([True], 7)[0]],
    "seconds": [model.seconds(messages, sides, seed=7) for sides in ([True], [True, False])],
    "ids": ids, "both": both, "swapped": last([False, True], 7), "other": last([True], 8), "same": same,
    "alike": last([True, True], 7), "long": len(model._encode([{"role": "user", "content": "a b " * 9000}])),
}))
"""


def test_both_sides_are_one_model_with_the_same_seed_and_the_base_is_the_base(project: Project, tmp_path: Path) -> None:
    run, to = project.run_folder(RUN), tmp_path / "space"
    make_space(run, to, GIVEN, project=project, ungated=False)
    messages = [{"role": "system", "content": "País: México."}, {"role": "user", "content": "¿Cómo se dice camión?"}]
    done = subprocess.run(
        [sys.executable, "-c", MODEL, json.dumps(messages)],
        cwd=to,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    tokenizer = load_tokenizer(Base("", run / "base", "", tiny=True), load_recipe("cpu-smoke", ()).base)
    assert found["ids"] == token_ids(tuple(messages), tokenizer, prompt=True)  # type: ignore[arg-type]
    assert found["swapped"] == found["both"][::-1]
    assert found["alike"] == [found["both"][0]] * 2
    assert found["both"][0] != found["both"][1]
    assert found["other"] != found["both"][:1]
    assert [text[: len(cut)] for text, cut in zip(found["apart"], found["torn"], strict=True)] == found["torn"]
    assert all(len(text) > 20 for text in found["torn"])
    assert found["seconds"] == [22.0, 34.0], "200 tokens a side"
    assert found["same"], "with the adapter switched off it is another model than the base"
    assert found["long"] == 4096 - 200


def begin_demo(project: Project, port: int) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """`annot demo`, and what it says once the page answers."""
    command = [sys.executable, "-m", "annotation.cli", "demo", RUN, "--project", str(project.folder)]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--json"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    return process, json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_demo_leaves_its_port_free(project: Project) -> None:
    port = free_port()
    for _ in range(2):
        process, _told = begin_demo(project, port)
        pages = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert pages
        assert not psutil.wait_procs(pages, timeout=60)[1]


def test_annot_demo_serves_a_run_on_this_machine_until_it_is_ended(project: Project) -> None:
    port = free_port()
    process, told = begin_demo(project, port)
    try:
        assert told["url"] == f"http://127.0.0.1:{port}"
        assert Path(told["votes"]) == project.run_folder(RUN) / "demo" / "votes"
        assert httpx.get(told["url"], trust_env=False).is_success
        busy = CliRunner().invoke(app, ["demo", RUN, "--project", str(project.folder), "--port", str(port)])
        assert isinstance(busy.exception, Exception)
        assert str(port) in str(busy.exception)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait()
    assert code == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(told["url"], trust_env=False)


def test_a_page_that_cannot_start_says_why(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["demo", RUN, "--project", str(project.folder), "--port", str(free_port())]
    (project.run_folder(RUN) / "base" / "model.safetensors").write_bytes(b"")
    refused = CliRunner().invoke(app, command)
    assert "the page did not start" in str(refused.exception)
    monkeypatch.setattr("train.release.demo.find_spec", lambda name: None if name == "gradio" else name)
    refused = CliRunner().invoke(app, command)
    assert "pip install -e '.[space]'" in str(refused.exception)
    shutil.rmtree(project.run_folder(RUN) / "adapter")
