"""The talk: five minutes of words, every number from a run, slides that open anywhere, and the team's words stay."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import hostile
import pypdfium2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.sync_api import Browser
from test_browser import HOSTILE, Outside, browser, open_page, outside  # noqa: F401
from told_projects import told_project
from train_snapshots import made_once
from typer.testing import CliRunner

from annotation.cli import app
from annotation.config import check_settings
from annotation.errors import TrainError
from train.release.figures import FIGURES, read_figures, why_not
from train.release.talk.deck import BEGIN, END, SLIDES, read_slides
from train.release.talk.language import LANGUAGES, Words, escaped
from train.release.talk.speech import LIMIT_S, RATE, TURN_S, count_words, seconds_of
from train.release.talk.talk import PAGE, PDF, SCRIPT, make_talk

STRANGE = f"<img src=x onerror={hostile.RUN}> | $x$ *a* [b](https://{hostile.ELSEWHERE}) --> `c"
"""A name that would be more than a name."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three measured runs."""
    return shutil.copytree(made_once(tmp_path_factory, "told", told_project), tmp_path_factory.mktemp("talk") / "told")


@pytest.fixture(scope="module")
def talks(project: Path) -> dict[str, tuple[Path, str]]:
    """The talk in each language as the command makes it, and what the command says."""
    made = {}
    for language in LANGUAGES:
        words = ["talk", str(project / language), "--project", str(project), "--language", language]
        made[language] = (project / language, CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    return made


@pytest.fixture
def copied(talks: dict[str, tuple[Path, str]], tmp_path: Path) -> Path:
    """The Spanish talk, to be changed."""
    return shutil.copytree(talks["es"][0], tmp_path / "talk")


def write_own(folder: Path, part: str, shown: str, said: str) -> None:
    """Write into a part as a person does, in place of what stands there."""
    path, begin, end = folder / SLIDES, BEGIN.format(name=part), END.format(name=part)
    before, rest = path.read_text(encoding="utf-8").split(begin)
    path.write_text(
        f"{before}{begin}\n\n{shown}\n\n<!--\n{said}\n-->\n\n{end}{rest.partition(end)[2]}", encoding="utf-8"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_of_the_talk_stands_in_a_run(
    project: Path, talks: dict[str, tuple[Path, str]], language: str
) -> None:
    folder, said = talks[language]
    assert "stands in no run" not in said
    assert "says otherwise" not in said
    figures = read_figures(folder / FIGURES)
    assert len(figures) > 40
    assert {figure.file.split("/")[1] for figure in figures} == {"first", "second_b", "third"}
    assert [reason for figure in figures if (reason := why_not(figure, project))] == []
    text = (folder / SLIDES).read_text(encoding="utf-8")
    ranked = json.loads((project / "runs/second_b/evaluation.json").read_text())["measures"]["ranking"]["groups"][0]
    percent = Words(language).marks[2]
    assert f"# {ranked['accuracy']['value']:.0%}".replace("%", percent) in text
    assert ("β = 0.3" if language == "en" else "β = 0,3") in text
    assert ("fewer than three", "menos de tres", "menos de três")[("en", "es", "pt").index(language)] in text
    assert len(read_slides(text, folder)) == 12


def test_a_run_that_says_otherwise_now_and_a_number_of_no_run_are_named(project: Path, copied: Path) -> None:
    figures = read_figures(copied / FIGURES)
    home = shutil.copytree(project / "runs", copied / "other" / "runs").parent
    path = home / "runs" / "second_b" / "preflight.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "prompts": 39}))
    assert {why for figure in figures if (why := why_not(figure, home))} == {
        "runs/second_b/preflight.json says otherwise at /prompts"
    }
    done = CliRunner().invoke(app, ["trace", str(copied / SLIDES), "0,3", "--project", str(project)])
    assert "runs/second_b/run.json/recipe/dpo/beta: 0.3" in done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_time_is_the_sum_of_the_words_that_are_there(talks: dict[str, tuple[Path, str]], language: str) -> None:
    folder, said = talks[language]
    script = (folder / SCRIPT).read_text(encoding="utf-8")
    parts = re.split(r"^## ", script, flags=re.MULTILINE)[1:]
    times = [int(re.search(r"\((\d+) s\)", part.split("\n")[0])[1]) for part in parts]  # type: ignore[index]
    slides = read_slides((folder / SLIDES).read_text(encoding="utf-8"), folder)
    assert len(parts) == len(slides) == 12
    for part, slide, seconds in zip(parts, slides, times, strict=True):
        spoken = slide.said if "own" not in slide.kind else ""
        assert seconds == math.ceil(60 * count_words(spoken) / RATE + TURN_S), part
        assert spoken.split() == part.partition("\n")[2].split() or "own" in slide.kind
    total = f"{sum(times) // 60}:{sum(times) % 60:02}"
    assert sum(times) <= LIMIT_S
    assert f"**{total}**" in script
    assert f"{total} of 5:00 at 130 words a minute" in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_with_every_measure_and_long_names_it_is_still_below_five_minutes(language: str) -> None:
    words = Words(language)
    shares = ("low", "high", "value", "most", "line", "gate", "number", "run", "project", "prompts", "answers")
    values = dict.fromkeys(shares, "100 %")
    values |= {"worst": "República Dominicana", "best": "República Dominicana", "judges": words("programs")}
    values["spread"] = words("end_spread", low="10 %", high="100 %")
    spoken = [name for name in words.names if "_says" in name or name in ("data_range", "data_means")]
    spoken = [name for name in spoken if name not in ("countries_one_says", "end_says_short")]
    assert len(spoken) > 15
    said = sum(count_words(words(name, **values)) for name in spoken)
    assert seconds_of(said, RATE) + 12 * (TURN_S + 1) <= LIMIT_S - 20


def test_the_teams_words_stay_and_count(project: Path, copied: Path) -> None:
    (copied / "nos.png").write_bytes((copied / "results.png").read_bytes())
    elsewhere = f"https://{hostile.ELSEWHERE}/a.png"
    shown = f"Porque **acá** se dice 99 veces «laburo».\n\n![nosotros](nos.png) ![otros]({elsewhere})"
    write_own(copied, "why", shown, "Somos de acá y decimos laburo.")
    before = (copied / SLIDES).read_text(encoding="utf-8")
    made = make_talk(project, copied, language="es")
    assert (copied / SLIDES).read_text(encoding="utf-8") == before
    page = (copied / PAGE).read_text(encoding="utf-8")
    assert "Porque <strong>acá</strong> se dice 99 veces" in page
    assert page.count("data:image/png;base64,") == 3
    assert elsewhere not in page
    assert "Somos de acá y decimos laburo." in (copied / SCRIPT).read_text(encoding="utf-8")
    assert made.slides[1].seconds == math.ceil(60 * 6 / RATE + TURN_S)
    assert [sentence.partition(":")[2] for sentence in made.warnings] == [
        " “Quiénes somos” waits for your own words.",
        f" the picture {elsewhere} is not shown: put it into the folder and name it without an address.",
    ]

    write_own(copied, "why", shown, "palabra " * 300)
    made = make_talk(project, copied, language="pt")
    assert made.seconds > LIMIT_S
    assert (
        f"{made.seconds - LIMIT_S} s more than five minutes; shorten what is said to: Por quê (2:21)." in made.warnings
    )
    assert any("was in es and is in pt now; name another folder" in sentence for sentence in made.warnings)
    assert "Porque **acá** se dice" in (copied / SLIDES).read_text(encoding="utf-8")
    assert "Aqui entram as palavras" in (copied / SLIDES).read_text(encoding="utf-8")
    assert make_talk(project, copied).language == "pt", "the same command without --language makes it again"


def test_words_beside_what_annot_put_there_stay(project: Path, copied: Path) -> None:
    path = copied / SLIDES
    text = path.read_text(encoding="utf-8")
    end = END.format(name="why")
    added = text.replace(end, f"Lo decimos así.\n\n{end}")
    path.write_text("\ufeff" + added.replace("\n", "\r\n"), encoding="utf-8")
    made = make_talk(project, copied, language="es")
    assert "Lo decimos así." in path.read_text(encoding="utf-8")
    assert [one for one in made.warnings if "Por qué" in one] == []


def test_words_in_the_wrong_place_are_not_lost_and_a_folder_of_others_is_not_touched(
    project: Path, copied: Path, tmp_path: Path
) -> None:
    path = copied / SLIDES
    whole = path.read_text(encoding="utf-8")
    for changed, reason in (
        (whole.replace("## Análisis", "## Mi análisis"), "changed outside of the parts that are yours"),
        (whole.replace(END.format(name="why"), ""), "put the line .* back below"),
        (whole.replace("# annot ", "# "), "annot did not write it"),
    ):
        assert changed != whole
        path.write_text(changed, encoding="utf-8")
        with pytest.raises(TrainError, match=reason):
            make_talk(project, copied)
        assert path.read_text(encoding="utf-8") == changed
    other = tmp_path / "other"
    other.mkdir()
    (other / SCRIPT).write_text("mine")
    with pytest.raises(TrainError, match="is no talk's: name another folder"):
        make_talk(project, other)
    assert [file.name for file in other.iterdir()] == [SCRIPT]


def test_what_is_written_while_the_talk_is_made_stays_and_a_talk_that_was_cut_off_is_begun_again(
    project: Path, copied: Path
) -> None:
    path = copied / SLIDES

    def somebody_writes(_done: int, _total: int = 0, note: str = "") -> None:
        if note == "drawing":
            path.write_text(path.read_text(encoding="utf-8") + "mine", encoding="utf-8")

    with pytest.raises(TrainError, match="was changed while the talk was made"):
        make_talk(project, copied, progress=somebody_writes)
    assert path.read_text(encoding="utf-8").endswith("mine")
    path.unlink()  # as a first `annot talk` leaves it that is killed while it draws
    make_talk(project, copied)
    assert path.exists()


def test_without_a_measured_run_there_is_one_sentence(project: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    words = ["talk", str(tmp_path / "talk"), "--project", str(tmp_path)]
    command = [sys.executable, "-m", "annotation.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"[^\n]* holds no finished run, [^\n]*\n", done.stderr)
    shutil.copytree(project / "runs" / "first", tmp_path / "runs" / "first")
    (tmp_path / "runs" / "first" / "evaluation.json").unlink()
    with pytest.raises(TrainError, match="run `annot evaluate first` first"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "talk").exists()


def test_of_a_run_that_says_little_little_is_told(project: Path, tmp_path: Path) -> None:
    run = shutil.copytree(project / "runs" / "first", tmp_path / "runs" / "first")
    for name in ("preflight.json", "snapshot.json", "energy.json", "metrics.jsonl"):
        (run / name).unlink()
    made = make_talk(tmp_path, tmp_path / "talk", language="en")
    titles = "Why; Method: the training; Result; Result by country; Analysis; What we do not know; Conclusion"
    assert [slide.title for slide in made.slides] == [tmp_path.name, *titles.split("; "), "Who we are"]
    text = (tmp_path / "talk" / SLIDES).read_text(encoding="utf-8").partition("<!--")[2]
    assert re.findall(r"  |\{|None", text) == []
    assert "The energy of this training was not measured" in text


@given(st.text(max_size=60))
@example(STRANGE)
@example("1. uno")
@example("&amp; https://example.org --> \u202e")
def test_no_name_becomes_markup(text: str) -> None:
    name = escaped(text)
    (slide,) = read_slides(f"## x\n\n- **y** {name}\n\n| a |\n| --- |\n| {name} |\n", Path())
    assert set(re.findall(r"</?(\w+)", slide.body)) <= {
        "h2",
        "ul",
        "li",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert slide.said == ""


def test_without_a_browser_it_is_said_how_to_get_the_pdf(
    project: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    made = make_talk(project, copied, language="es")
    assert PDF not in made.files
    assert not (copied / PDF).exists()
    assert "because no Chromium, Chrome or Edge was found here: open " in made.warnings[-1]


OVERFLOWS = """() => [...document.querySelectorAll("section")].flatMap((section) => {
  const { right, bottom } = section.getBoundingClientRect();
  const out = [...section.children].filter((part) => {
    const box = part.getBoundingClientRect();
    return box.width && (box.right > right + 1 || box.bottom > bottom + 1);
  });
  const wide = section.scrollHeight > section.clientHeight || section.scrollWidth > section.clientWidth;
  return [...out.map(({ outerHTML }) => outerHTML), ...(wide ? [section.className] : [])];
})"""


@pytest.mark.browser
@pytest.mark.parametrize("language", LANGUAGES)
def test_slides_open_from_a_disk_turn_by_keyboard_and_fit(
    talks: dict[str, tuple[Path, str]],
    browser: tuple[Browser, list[bytes]],  # noqa: F811
    outside: Outside,  # noqa: F811
    language: str,
) -> None:
    folder, _ = talks[language]
    page = open_page(browser[0], outside, language)
    page.goto((folder / PAGE).as_uri())
    numbers = page.locator("article:visible section")
    seen = []
    for _ in range(12):
        assert numbers.count() == 1
        seen.append(numbers.get_attribute("data-page"))
        assert page.evaluate(OVERFLOWS) == []
        page.keyboard.press("ArrowRight")
    assert seen == [f"{number} / 12" for number in range(1, 13)]
    page.keyboard.press("Home")
    assert page.locator("aside:visible").count() == 0
    page.keyboard.press("n")
    assert Words(language)("warn_says") in page.locator("aside:visible").inner_text()
    # No slide of ours needs smaller type.
    assert page.evaluate("[...document.querySelectorAll('section')].map(({ style }) => style.fontSize)") == [""] * 12
    assert {urlsplit(address).scheme for address in outside.asked} <= {"file"}
    assert (browser[1], outside.refused, outside.errors) == ([], [], [])
    page.context.close()


@pytest.mark.browser
def test_what_people_typed_runs_nothing_asks_for_nothing_and_fits(
    project: Path,
    tmp_path: Path,
    browser: tuple[Browser, list[bytes]],  # noqa: F811
    outside: Outside,  # noqa: F811
) -> None:
    home = tmp_path / "project"
    run = shutil.copytree(project / "runs" / "second_b", home / "runs" / "second_b")
    for name in ("preflight.json", "snapshot.json", "evaluation.json"):
        text = (run / name).read_text(encoding="utf-8")
        (run / name).write_text(text.replace('"AR"', json.dumps(STRANGE)), encoding="utf-8")
    words = {"motivation": f"{STRANGE}\n\n{HOSTILE} " + "otra palabra " * 90, "team": [STRANGE, "Ñandú"]}
    settings = check_settings({"project": {"name": STRANGE[:60], "languages": ["es"]}, "demo": words}, place="test")
    made = make_talk(home, tmp_path / "talk", settings=settings)
    assert [warning for warning in made.warnings if "no run" in warning or "otherwise" in warning] == []
    assert any("“Por qué” shows" in warning for warning in made.warnings)
    page = open_page(browser[0], outside, "es")
    page.goto((tmp_path / "talk" / PAGE).as_uri())
    assert page.locator("section").count() == len(made.slides)
    assert page.evaluate("top.brokenIn ?? null") is None
    assert page.locator("section img:not([src^='data:'])").count() == 0
    assert page.evaluate(OVERFLOWS) == []
    assert page.locator("section.lead h1").inner_text() == " ".join(STRANGE[:60].split())
    assert {urlsplit(address).scheme for address in outside.asked} <= {"file"}
    assert (browser[1], outside.refused, outside.errors) == ([], [], [])
    page.context.close()


@pytest.mark.browser
def test_the_pdf_has_a_page_for_each_slide(
    talks: dict[str, tuple[Path, str]],
    browser: tuple[Browser, list[bytes]],  # noqa: F811, ARG001
) -> None:
    for language, (folder, _) in talks.items():
        document = pypdfium2.PdfDocument(folder / PDF)
        texts = [page.get_textpage().get_text_bounded() for page in document]
        slides = read_slides((folder / SLIDES).read_text(encoding="utf-8"), folder)
        assert len(texts) == len(slides)
        for text, slide in zip(texts, slides, strict=True):
            assert slide.title.split()[0] in text
        assert {document[0].get_width() / document[0].get_height()} == {16 / 9}
        assert Words(language)("keys") not in texts[0]
        document.close()
