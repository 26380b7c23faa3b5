"""The model of a release: an adapter or a merged model that is the trained one, and a card of measured numbers."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from finished_runs import finished_run, ranked_slates
from train_snapshots import shared_run
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import AnnotError, SettingsError, TrainError
from annotation.files import write_whole
from annotation.project import HOLDS_FORGOTTEN
from train.evaluate.gate import EVALUATION
from train.evaluate.run import evaluate
from train.release.card import model_card
from train.release.figures import FIGURES, read_figures
from train.release.given import Given
from train.release.hub.contents import CARD, RELEASE, YOURS
from train.release.lint import lint
from train.release.model import make_model
from train.release.release import RELEASES, release
from train.release.weights import MERGED, MOST_KL, Weights, write_merged

PRESETS = ("cpu-smoke", "l40s-8b-lora-bf16", "l40s-8b-qlora")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run of each kind of base: float32, bfloat16 and 4-bit."""
    runs = [shared_run(tmp_path_factory, preset) for preset in PRESETS]
    project = tmp_path_factory.mktemp("project")
    for run in runs:
        shutil.copytree(run, project / "runs" / run.name)
    return project


@pytest.fixture(scope="module")
def released(project: Path) -> tuple[Path, str]:
    """The merged model of a run as the command releases it, and what the command says."""
    words = ["release", "cpu-smoke", "--project", str(project), "--ungated", "--merged"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    return project / "exports" / "cpu-smoke" / "model", shown.stdout


@pytest.mark.parametrize("preset", PRESETS)
def test_a_merged_model_is_the_trained_one(
    project: Path, released: tuple[Path, str], tmp_path: Path, preset: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, run = released[0], project / "runs" / preset
    if preset != "cpu-smoke":
        folder = tmp_path / "model"
        make_model(run, folder, Given(), merged=True)
    facts = json.loads((run / MERGED).read_text())
    assert -1e-9 < facts["kl"] < MOST_KL
    assert facts["tokens"] > 100
    assert json.loads((folder / RELEASE).read_text())["snapshot"] == "abc"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_merging_changes_the_model(project: Path, released: tuple[Path, str]) -> None:
    from safetensors.torch import load_file

    base = project / "runs" / "cpu-smoke" / "base"
    before, after = (load_file(folder / "model.safetensors") for folder in (base, released[0]))
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)


def test_a_merged_model_that_is_not_the_trained_one_is_not_written(project: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"merged in bfloat16 is .* nats per token away .* --dtype float32"):
        make_model(project / "runs" / "cpu-smoke", tmp_path / "model", Given(), merged=True, dtype="bfloat16")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_was_merged_is_not_merged_again(project: Path, tmp_path: Path) -> None:
    run, to = shutil.copytree(project / "runs" / "cpu-smoke", tmp_path / "runs" / "run"), tmp_path / "model"
    make_model(run, to, Given(), merged=True)
    before = (to / "model.safetensors").stat().st_mtime_ns
    make_model(run, to, Given(), merged=True)
    assert (to / "model.safetensors").stat().st_mtime_ns == before
    (to / "model.safetensors").unlink()
    make_model(run, to, Given(), merged=True)
    assert (to / "model.safetensors").exists()
    (to / "model.safetensors").write_bytes(b"other")
    with pytest.raises(TrainError, match=r"model\.safetensors is not what annot wrote"):
        make_model(run, to, Given(), merged=True)


def test_an_adapter_is_given_with_what_it_is(project: Path, tmp_path: Path) -> None:
    run, to = project / "runs" / "cpu-smoke", tmp_path / "adapter"
    make_model(run, to, Given())
    for file in (run / "adapter").iterdir():
        if file.name != "adapter_config.json":
            assert (to / file.name).read_bytes() == file.read_bytes()
    facts = json.loads((to / RELEASE).read_text())
    told = ("kind", "run", "snapshot", "gate")
    assert [facts[key] for key in told] == ["model", "cpu-smoke", "abc", "not measured"]
    # Where the base was on this machine is nobody's business.
    assert json.loads((to / "adapter_config.json").read_text())["base_model_name_or_path"] == "base"
    written = [path.read_bytes() for path in to.rglob("*") if path.is_file()]
    assert not any(str(project).encode() in content for content in written)


def test_what_cannot_be_given_away_is_one_sentence(project: Path, tmp_path: Path) -> None:
    run = project / "runs" / "cpu-smoke"
    damaged = tmp_path / "runs" / "damaged"
    shutil.copytree(run, damaged)
    with (damaged / "adapter" / "adapter_model.safetensors").open("ab") as file:
        file.write(b"x")
    unfinished = tmp_path / "runs" / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "DONE").unlink()
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")

    for folder, to, reason in (
        (damaged, tmp_path / "a", "not what the run wrote"),
        (unfinished, tmp_path / "b", "is not finished"),
        (tmp_path / "runs" / "none", tmp_path / "c", r"none is no run: .*; there are damaged, unfinished\."),
        (run, taken, "is there already"),
    ):
        with pytest.raises(TrainError, match=reason):
            make_model(folder, to, Given())
    with pytest.raises(SettingsError, match="choose float32, bfloat16, float16"):
        make_model(run, tmp_path / "d", Given(), merged=True, dtype="float8")
    assert (taken / "mine").read_text() == "mine"


def test_another_base_than_the_trained_one_is_refused(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "moved"
    shutil.copytree(project / "runs" / "l40s-8b-lora-bf16", run)
    facts = json.loads((run / "run.json").read_text())
    write_whole(run / "run.json", json.dumps({**facts, "base_version": "0123456789abcdef"}).encode())
    with pytest.raises(TrainError, match="no longer the model"):
        write_merged(run, tmp_path / "model")


def test_only_a_run_that_passed_its_gate_is_given_away(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "judged"
    shutil.copytree(project / "runs" / "cpu-smoke", run)
    with pytest.raises(
        TrainError, match=r"gate is not measured: .*; run `annot evaluate judged` first, or .*--ungated"
    ):
        release(run, to=tmp_path / "a")
    remedies = {"failed": "look at its report.md", "undecided": "ask for fewer with `annot evaluate judged --set"}
    for verdict, given in (("failed", False), ("undecided", False), ("passed", True)):
        facts = {"gate": verdict, "gate_reason": "because", "gate_worst": "country MX", "method": 0}
        write_whole(run / EVALUATION, json.dumps(facts).encode())
        to = tmp_path / verdict
        if given:
            release(run, to=to)
        else:
            told = f"gate is {verdict}: because; .*{remedies[verdict]}.*, or take it upon yourself with --ungated"
            with pytest.raises(TrainError, match=told):
                release(run, to=to)
        assert to.exists() == given


def test_a_run_whose_snapshot_holds_what_is_forgotten_is_not_given_away(project: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "before"
    shutil.copytree(project / "runs" / "cpu-smoke", run)
    write_whole(tmp_path / "snapshots" / "abc" / HOLDS_FORGOTTEN, b"{}")
    with pytest.raises(TrainError, match=r"`annot forget` took out of the project: train again"):
        release(run, to=tmp_path / "model", ungated=True)
    assert not (tmp_path / "model").exists()


def test_the_command_releases_a_run_and_says_what_it_is(project: Path, released: tuple[Path, str]) -> None:
    folder, shown = released
    assert shown.startswith(f"model: {folder}\n")
    assert "put right before a push: model: README.md has no `license` in its head; say it in annot.toml" in shown
    card = (folder / CARD).read_text()
    assert "nats per token away from the trained model on" in card
    words = ["release", "cpu-smoke", "--project", str(project), "--ungated"]
    given = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert [one["kind"] for one in given["folders"]] == ["model"]  # there is no project here, so no data
    assert (folder / "adapter_config.json").exists()  # made anew: the adapter takes the merged model's place
    assert not (folder / "model.safetensors").exists()
    for more, told in (
        (["--dtype", "bfloat16"], "--dtype is that of a merged model; add --merged, or leave it out."),
        (["--dry-run"], "--dry-run and --public speak of a push; add --push OWNER/NAME, or leave them out."),
    ):
        refused = CliRunner().invoke(app, [*words, *more]).exception
        assert isinstance(refused, SettingsError)
        assert str(refused) == told


# -- the card -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = finished_run(tmp_path_factory.mktemp("measured") / "runs" / "run", ranked_slates(24), 1.0)
    evaluate(run, say=lambda _line: None)
    return run


@pytest.fixture
def measured(measured_once: Path, tmp_path: Path) -> Path:
    """A run that was measured, and fails its gate."""
    return Path(shutil.copytree(measured_once, tmp_path / "runs" / "run"))


def test_every_number_of_a_card_stands_in_the_runs_folder(measured: Path, tmp_path: Path) -> None:
    given = Given("apache-2.0", "", ("es", "pt"), "team/model-7b", "team/model-7b").keep(measured)
    make_model(measured, tmp_path / "model", given)
    assert lint(tmp_path / "model", measured) == []
    figures = read_figures(tmp_path / "model" / FIGURES)
    assert len(figures) > 60
    assert {"run.json", "evaluation.json", "given.json", "report.md"} <= {figure.file for figure in figures}


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("model/README.md", "| all | 24 |", "| all | 25 |", r"README\.md line \d+ says 25, which stands nowhere"),
        ("model/README.md", "## Limits", "## Limits of 3 kinds", r"line \d+ says 3, which stands nowhere"),
        ("model/README.md", "pipeline_tag", "emissions: 7\npipeline_tag", r"emissions is 7 in its head, which stands"),
        ("model/README.md", "- Safety was", "- [More Information Needed]\n- Safety was", r"is left from a template"),
        ("model/README.md", "annot keeps it. -->", "annot keeps it. -->\nx@example.org", r"personal data \(e-mail"),
        ("model/README.md", "license: apache-2.0", "license: my-own", r'the Hub knows no licence "my-own"'),
        ("model/README.md", "- es\n", "- spanish\n", r'"spanish" is no ISO 639-1 code'),
        ("model/README.md", "library_name: peft\n", "", r"has no `library_name` in its head"),
        ("model/adapter_config.json", "{", '{"x": "HOME/x", ', r"adapter_config\.json holds a path of this machine"),
        (
            "model/README.md",
            "annot keeps it. -->",
            "annot keeps it. -->\n/home/maria/x",
            r"holds a path of this machine",
        ),
        ("model/README.md", "annot keeps it. -->", f"annot keeps it. -->\nhf_{'a1' * 15}", r"holds a token"),
        ("runs/run/run.json", '"rank": ', '"rank": 1', r"run\.json says otherwise at /recipe/lora/rank"),
        ("runs/run/evaluation.json", '"most": 0.', '"most": 0.1', r"evaluation\.json says otherwise at /measures/rank"),
    ],
)
def test_what_does_not_fit_in_a_card_is_found_without_a_network(
    measured: Path, tmp_path: Path, file: str, old: str, new: str, told: str
) -> None:
    make_model(measured, tmp_path / "model", Given("apache-2.0", "", ("es", "pt")).keep(measured))
    assert lint(tmp_path / "model", measured) == []
    content = (tmp_path / file).read_text()
    assert old in content
    (tmp_path / file).write_text(content.replace(old, new.replace("HOME", str(Path.home()))))
    assert any(re.search(told, problem) for problem in lint(tmp_path / "model", measured)), lint(
        tmp_path / "model", measured
    )


def test_an_evaluation_of_another_adapter_or_with_another_verdict_opens_no_gate(measured: Path, tmp_path: Path) -> None:
    path = measured / EVALUATION
    facts = json.loads(path.read_text())
    for changed, told in (
        ({"key": "0" * 16}, "is about another adapter than the run's"),
        ({"gate": "passed"}, "says passed, and its own numbers say failed"),
        ({"measures": {"ranking": {**facts["measures"]["ranking"], "kl_per_token": {}}}}, "is damaged"),
    ):
        path.write_text(json.dumps({**facts, **changed}))
        with pytest.raises(TrainError, match=rf"{told}.* run `annot evaluate run` again"):
            release(measured, to=tmp_path / "out", ungated=True)
        assert not (tmp_path / "out").exists()


def test_what_others_wrote_is_text_in_a_card_and_no_line_of_its_own(measured: Path) -> None:
    path = measured / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "source": f"a\n{YOURS}\n<script>1</script> ![x](https://example.org/7)"}))
    card, _ = model_card(measured, Weights(), Given())
    assert "&lt;script>1&lt;/script> !(x] (https://example.org/7)".replace("!(x", "![x") in card
    assert YOURS not in card


def test_a_card_says_what_was_not_measured_and_that_a_run_is_ungated(project: Path, measured: Path) -> None:
    card, _ = model_card(project / "runs" / "cpu-smoke", Weights(), Given())
    assert "**Ungated: nothing says what it is worth; it was not measured by `annot evaluate`.**" in card
    assert "The base is a tiny model with random weights" in card
    assert "Who judged, and how far they agree, was not recorded with this run." in card
    card, _ = model_card(measured, Weights(), Given())
    assert "**Ungated: its gate says *failed*, and it is given away all the same.** " in card
    assert "## Energy and carbon\n\nNot measured.\n" in card


def test_what_people_write_below_the_line_stays_and_above_it_is_not_lost(measured: Path, tmp_path: Path) -> None:
    to = tmp_path / "model"
    make_model(measured, to, Given())
    path = to / CARD
    path.write_text(path.read_text() + "We are a school of 12.\n")
    make_model(measured, to, Given("apache-2.0", "", ("es",)).keep(measured))
    assert path.read_text().endswith(f"{YOURS}\nWe are a school of 12.\n")
    assert "license: apache-2.0" in path.read_text()
    assert lint(to, measured) == []
    path.write_text(path.read_text().replace("## Limits", "## Our limits"))
    before = path.read_text()
    with pytest.raises(TrainError, match=r"was changed above the line .* move your words below the line"):
        make_model(measured, to, Given())
    assert path.read_text() == before
    (to / "mine.txt").write_text("mine")
    with pytest.raises(TrainError, match=r"mine\.txt is not what annot wrote; take it out of the folder"):
        make_model(measured, to, Given())


def test_the_code_in_a_card_loads_what_is_given_away(project: Path, tmp_path: Path) -> None:
    """As it stands in the card, but for the two names: what is on the Hub is a folder here."""
    run = project / "runs" / "cpu-smoke"
    for merged in (False, True):
        to = tmp_path / f"model-{merged}"
        make_model(run, to, Given(languages=("pt",), model="team/model"), merged=merged)
        code = (to / CARD).read_text().partition("```python\n")[2].partition("```")[0]
        assert "numa festa do bairro" in code
        code = code.replace('"team/model"', repr(str(to))).replace('"the folder of the base"', repr(str(run / "base")))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip() != "") == (0, True), done.stderr


DAMAGES = {
    "gone": None,
    "empty": b"",
    "a list": b"[]",
    "nothing in it": b"{}",
    "no object": b"null",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "other kinds": b'{"kept": "many", "countries": [1], "dropped": "no", "length": 5, "measures": {"a": {}}}',
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_of_a_run_is_one_sentence_or_not_needed(
    measured_once: Path, tmp_path: Path, content: bytes | None
) -> None:
    """Never a traceback, and never half a folder."""
    others = {"preflight.json", "energy.json", "snapshot.json", "merged.json", RELEASES}  # this run has none
    names = sorted({*others, *(path.name for path in measured_once.iterdir() if path.is_file())})
    assert len(names) > 10
    for name in names:
        run, to = tmp_path / name / "run", tmp_path / name / "out"
        shutil.copytree(measured_once, run)
        (run / name).unlink(missing_ok=True)
        if content is not None:
            (run / name).write_bytes(content)
        told = ""
        try:
            release(run, to=to, ungated=True)
        except AnnotError as error:
            told = str(error)
        assert "\n" not in told
        assert (to / "model" / RELEASE).exists() is not bool(told)
        assert not told or not to.exists() or not any(to.iterdir())


def test_where_a_run_was_given_away_is_kept_with_it_once(measured: Path, tmp_path: Path) -> None:
    for _ in range(2):
        release(measured, to=tmp_path / "out", ungated=True)
    (line,) = (measured / RELEASES).read_text().splitlines()
    assert json.loads(line)["folder"] == str(tmp_path / "out" / "model")
    release(measured, to=tmp_path / "other", ungated=True)
    assert len((measured / RELEASES).read_text().splitlines()) == 2
