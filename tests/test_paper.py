"""The paper: every number in it stands in a run, people's words stay, and no text breaks its LaTeX."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from told_projects import HOSTILE, told_project, told_run
from train_snapshots import made_once
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from train.evaluate.compare import comparison_file
from train.evaluate.measure import Table
from train.release.figures import FIGURES, read_figures
from train.release.findings import ablations, find_runs, table_of_runs
from train.release.paper.blocks import Document, Heading, Points, References, Tabular, Text
from train.release.paper.latex import LETTERS, Latex
from train.release.paper.make import lint_paper, make_paper
from train.release.paper.pdf import PDF, build_pdf
from train.release.paper.references import bibtex
from train.release.paper.words import WORDS, WORKS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three measured runs, none of which passed its gate."""
    return shutil.copytree(made_once(tmp_path_factory, "told", told_project), tmp_path_factory.mktemp("paper") / "told")


@pytest.fixture(scope="module")
def paper(project: Path) -> tuple[Path, str]:
    """The paper as the command makes it, and what the command says."""
    folder = project / "our-paper"
    words = ["paper", str(folder), "--project", str(project)]
    return folder, CliRunner().invoke(app, words, catch_exceptions=False).stdout


@pytest.fixture
def pdflatex() -> str:
    program = shutil.which("pdflatex")
    if program is None:
        reason = "there is no pdfLaTeX on this machine; tests/latex.sh says why"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def problems(folder: Path, home: Path) -> list[str]:
    return lint_paper(folder, home, read_figures(folder / FIGURES))


def test_every_number_of_the_paper_stands_in_a_run(project: Path, paper: tuple[Path, str]) -> None:
    folder, said = paper
    assert "put right" not in said
    figures = read_figures(folder / FIGURES)
    assert {figure.page for figure in figures} == {"paper.md", "paper.tex"}
    assert {figure.file.split("/")[1] for figure in figures} == {"first", "second_b", "third"}
    assert len(figures) > 200
    assert problems(folder, project) == []
    text = (folder / "paper.md").read_text(encoding="utf-8")
    accuracy = json.loads((project / "runs/second_b/evaluation.json").read_text())["measures"]["ranking"]["groups"][0]
    assert f"agrees with {accuracy['accuracy']['value']:.1%}" in text
    assert "| Mexico | 14 | 7 | 42 | 0.41 [0.30, 0.52] |" in text
    assert "| Argentina | 13 | fewer than three | 39 | not measured |" in text
    assert "| people | 14 |" not in text  # with it the two of Argentina could be told
    assert "(β = 0.3)" in text
    assert "12.35 US dollars" in text
    assert all((folder / place).is_file() for place in re.findall(r"\]\((figures/[^)]+\.png)\)", text))
    assert text.count("](figures/") == text.count(".png)") >= 3  # no page shows a PDF as a picture
    assert "21 of round 1, 11 of round 2. A slate weighs 1.0 times as much as one of the round after it" in text


def test_a_number_that_no_run_says_is_named(project: Path, paper: tuple[Path, str], tmp_path: Path) -> None:
    folder = shutil.copytree(paper[0], tmp_path / "paper")
    for name in ("paper.md", "paper.tex"):
        path = folder / name
        text = path.read_text(encoding="utf-8").replace("Safety was not measured", "Safety was 97 of 100")
        path.write_text(text.replace("Limitations", str(Path.home())), encoding="utf-8")
    found = problems(folder, project)
    assert [re.sub(r"line \d+", "line N", one) for one in found] == [
        f"{name} {wrong}"
        for name in ("paper.md", "paper.tex")
        for wrong in ("holds a path of this machine", "line N says 97, which stands in no run's folder")
    ]


def test_a_run_that_says_otherwise_now_is_named(project: Path, paper: tuple[Path, str], tmp_path: Path) -> None:
    assert paper[0].is_relative_to(project)
    home = shutil.copytree(project, tmp_path / "project")
    path = home / "runs" / "third" / "energy.json"
    path.write_text(path.read_text().replace("0.42", "0.77"))
    found = problems(home / "our-paper", home)
    assert found
    assert all("'0.42', and runs/third/energy.json says otherwise" in one for one in found)


def test_the_paper_is_about_the_newest_run_that_passed_and_beside_it_stand_the_others(
    project: Path, tmp_path: Path
) -> None:
    found = find_runs(project)
    assert [run.name for run in found.runs] == ["second_b", "third", "first"]
    assert [run.key for run in found.runs] == ["R1", "R2", "R3"]
    assert "no run passed its gate" in found.because
    passed = shutil.copytree(project, tmp_path / "project")
    evaluation = passed / "runs" / "first" / "evaluation.json"
    evaluation.write_text(json.dumps({**json.loads(evaluation.read_text()), "gate": "passed"}))
    assert find_runs(passed).main.name == "first"
    assert find_runs(passed).because == "is the newest run that passed its gate"
    named = find_runs(project, "first")
    assert named.main.name == "first"
    assert named.main.key == "R1"
    page, figures = named.fig.page("\n".join(row[5] for row in ablations(named).rows))
    kept = json.loads((project / "runs" / "first" / comparison_file("second_b")).read_text())
    difference = kept["groups"][0]["accuracy"]
    assert any(f"{100 * difference['value']:+.1f} [{100 * difference['low']:+.1f}" in line for line in page.split("\n"))
    assert {figure.file for figure in figures} == {
        f"runs/first/{comparison_file(run)}" for run in ("second_b", "third")
    }
    assert named.fig.page(table_of_runs(named).rows[1][1])[0] in ("second_b", "third")


def test_a_number_of_the_paper_is_followed_to_its_run(project: Path, paper: tuple[Path, str]) -> None:
    for name in ("paper.md", "paper.tex"):
        words = ["trace", str(paper[0] / name), "12.35", "--project", str(project)]
        shown = CliRunner().invoke(app, words, catch_exceptions=False).stdout
        assert "runs/second_b/snapshot.json/data/candidates/usd: 12.345" in shown
        assert shown.count("run second_b: finished") == 1
        assert "“12.35” stands there 1 time" in shown
    tau = next(one.shown for one in read_figures(paper[0] / FIGURES) if re.match(r"-0\.\d\d$", one.shown))
    words = ["trace", str(paper[0] / "paper.tex"), tau.replace("-", "−"), "--project", str(project)]
    assert f"“{words[2]}” stands there" in CliRunner().invoke(app, words, catch_exceptions=False).stdout


def test_peoples_words_stay_and_words_in_the_wrong_file_are_not_lost(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "paper"
    monkeypatch.setenv("PATH", "")  # without LaTeX
    first = make_paper(project, to)
    assert first.unwritten == ["Title", "Authors", "Abstract", "Introduction"]
    own = (
        "# Title\nWhat 7 people know of 99 dishes & more\n\n# Authors\nA. Person, a@example.org\n\n# Abstract\n"
        "We asked 1234 people.\n\n# Related work\n\nOthers [@other2024] did; [@nobody] did not.\n\n- one_1\n- two\n"
    )
    (to / WORDS).write_text(own, encoding="utf-8")
    (to / WORKS).write_text("@misc{other2024, author = {Other, An}, title = {A work}, year = {2024}}\n")
    second = make_paper(project, to)
    assert second.unwritten == ["Introduction"]
    assert second.problems == []
    assert (to / WORDS).read_text(encoding="utf-8") == own
    tex = (to / "paper.tex").read_text(encoding="utf-8")
    assert r"\title{What 7 people know of 99 dishes \& more}" in tex
    assert r"Others \citep{other2024} did; {[}@nobody{]} did not." in tex
    assert r"\item one\_1" in tex
    assert r"\bibliography{references,words}" in tex
    for name in ("paper.md", "paper.tex"):
        before = (to / name).read_text(encoding="utf-8")
        (to / name).write_text(before + "mine", encoding="utf-8")
        with pytest.raises(TrainError, match=rf"{name} is not what annot wrote.*words\.md"):
            make_paper(project, to)
        assert (to / name).read_text(encoding="utf-8").endswith("mine")
        (to / name).write_text(before, encoding="utf-8")
    (to / WORDS).write_text("# Titel\nx\n", encoding="utf-8")
    with pytest.raises(
        SettingsError, match='has a part "Titel", for which the paper has no place; its parts are Title'
    ):
        make_paper(project, to)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("\ufeff# Title\r\nDos mesas\r\n", ""),  # as Windows saves it
        ("# Title\n\ue0009999,5\ue001Dos mesas\n", ""),  # a mark of figures.py
        ("# Title\nUna\n\n# Title\nDos mesas\n", 'has the part "Title" twice; put its words together'),
    ],
    ids=["a mark of Windows", "a mark of ours", "a part twice"],
)
def test_own_words_are_read_however_they_were_saved_and_none_is_left_out(
    project: Path, tmp_path: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # without LaTeX
    (tmp_path / WORDS).write_text(words, encoding="utf-8", newline="")
    if said:
        with pytest.raises(SettingsError, match=said):
            make_paper(project, tmp_path)
        return
    make_paper(project, tmp_path)
    assert re.search(r"\\title\{.*Dos mesas\}", (tmp_path / "paper.tex").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["paper.pdf", "figures/loss.pdf", "paper.json"])
def test_a_paper_that_annot_did_not_make_is_not_touched(project: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(TrainError) as told:
        make_paper(project, tmp_path)
    assert "remove the folder" not in str(told.value), "people's own words are in it"
    assert (tmp_path / name).read_text() == '{"mine": 1}'
    with pytest.raises(TrainError, match="is a file; name a folder"):
        make_paper(project, tmp_path / name)


def test_a_folder_of_others_is_not_touched(project: Path, tmp_path: Path) -> None:
    (tmp_path / "paper.tex").write_text("mine")
    with pytest.raises(TrainError, match="is not what annot wrote"):
        make_paper(project, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["paper.tex"]


def test_a_run_that_was_not_measured_says_so_and_no_run_at_all_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["paper", str(tmp_path / "paper"), "--project", str(tmp_path)])
    assert isinstance(result.exception, TrainError)
    assert "holds no finished run" in str(result.exception)
    assert not (tmp_path / "paper").exists()
    run = told_run(tmp_path / "runs" / "only", 0.2, on="")
    for name in ("snapshot.json", "preflight.json", "energy.json", "metrics.jsonl"):
        (run / name).unlink()
    (tmp_path / "runs" / "begun").mkdir()
    made = make_paper(tmp_path, tmp_path / "paper")
    assert made.unfinished == ["begun"]
    assert made.problems == []
    text = (tmp_path / "paper" / "paper.md").read_text(encoding="utf-8")
    for said in (
        "Not measured by `annot evaluate`",
        "Who judged, and how far they agree, was not recorded",
        "What drafted the answers was not recorded",
        "The energy of R1 was not measured",
    ):
        assert said in text
    assert "[#" not in text
    assert "Comparison of runs" not in text


def test_the_pdf_is_built_and_shows_what_people_typed(paper: tuple[Path, str], pdflatex: str) -> None:
    folder, said = paper
    assert pdflatex
    assert "Characters of paper.tex for which pdfLaTeX has no glyph" in said
    assert ": 3 (U+1F372, U+65E5, U+672C); paper.md has them" in said
    pages = [page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(folder / PDF)]
    text = " ".join(" ".join(pages).split())
    assert 3 <= len(pages) <= 9
    for shown in (
        "fútbol & música_100% #1 ~",
        r"\end{document}\input{/etc/passwd}",
        "[@dpo] **a",
        "Rafailov",
        "Limitations",
        "Mexico",
    ):
        assert shown in text, shown
    assert "??" not in text.replace("? ??", "")  # a reference that leads nowhere
    assert "root:" not in text
    assert HOSTILE[2] in (folder / "paper.md").read_text(encoding="utf-8").replace("'", "`")


def test_without_latex_the_paper_is_made_and_how_to_build_it_is_said(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = make_paper(project, tmp_path / "paper")
    assert "pdflatex and bibtex is not installed here" in made.no_pdf
    assert "pdflatex paper && bibtex paper && pdflatex paper && pdflatex paper" in made.no_pdf
    assert (tmp_path / "paper" / "paper.tex").exists()
    assert not (tmp_path / "paper" / PDF).exists()


TYPED = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(list("\\{}[]$&#%_^~<>|\"'`*-,?!@ ") + list("áñçãüßẽỹ→–“”…₂€") + ["\u0303", "\u0301"]),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(TYPED)
@example("[@dpo] **a `b** c` [#x]")
@example("i\u0301\u0301 \u0301 -- ,, ?` 𝔘 ﬁ")
def test_a_text_has_no_command_of_its_own_in_latex(text: str) -> None:
    writer = Latex()
    written = writer.inline(text)
    assert "\n" not in written
    assert all(" " <= sign <= "~" or sign in LETTERS or sign in "\ue000\ue001" for sign in written)
    plain = re.sub(r"\\[\\{}$&#%_]", "", written)
    assert not re.search(r"(?<!\\)[$&#%_^]", re.sub(r"\$\\[a-z]+\$|\$-\$|\\\^", "", plain))
    depth = 0
    for sign in plain:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    commands = set(re.findall(r"\\([A-Za-z]+)", plain))
    assert not commands & {"input", "include", "write", "def", "end", "begin", "csname", "immediate"}


def test_latex_builds_whatever_people_typed(tmp_path: Path, pdflatex: str) -> None:
    """One document with hundreds of texts that hypothesis made, in paragraphs, lists, captions and cells."""
    assert pdflatex
    texts = list(HOSTILE)

    @settings(max_examples=150, database=None, derandomize=True)
    @given(TYPED)
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    rows = [(first, second, "x") for first, second in zip(texts[::2], texts[1::2], strict=False)]
    blocks = [
        *(Heading(text or "x", level=2) for text in texts[:20]),
        *(Text(text or "x") for text in texts),
        Points(texts),
        Tabular(Table(texts[1], ("first", "second", "third"), rows, texts[0]), "one"),
    ]
    (tmp_path / "figures").mkdir()
    writer = Latex()
    page = writer.page(Document(texts[0], "\n".join(texts[:5]) or "x", texts[2], [*blocks, References()]))
    (tmp_path / "paper.tex").write_text(page, encoding="utf-8")
    (tmp_path / "references.bib").write_text(bibtex(writer.cited), encoding="utf-8")
    assert build_pdf(tmp_path) == ""
