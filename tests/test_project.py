"""The project folder: settings, ledger, secrets, locks, whole files."""

import contextlib
import hashlib
import json
import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import without_progress

from annotation.config import Settings, check_settings, read_settings
from annotation.drafting.personas import personas
from annotation.errors import AnnotError, ProjectError, SettingsError
from annotation.files import read_parquet, write_parquet, write_whole
from annotation.ledger import Ledger
from annotation.migrations import MIGRATIONS
from annotation.project import Project, init_project
from annotation.tasks import TASKS
from annotation.tasks.page import TeamPage, own_texts
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.types import Candidate, Person, Prompt, Slate, content_id


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return init_project(tmp_path / "mexico", name="México", countries=["mx"], languages=["es"])


EXAMPLE = """\
# [[task.ranking.group]]   # a group with a target of its own
# country = "MX"
# topic = "comida"
# target = 20
"""
"""Of the template: no default."""


def test_the_commented_template_says_what_the_defaults_are(project: Project) -> None:
    text = (project.folder / "annot.toml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (?=\w+ = |\[)", "", text.replace(EXAMPLE, ""), flags=re.MULTILINE)
    assert (text.count(EXAMPLE), text.count("\n# [")) == (1, 10), "a commented table is not uncommented here"
    (project.folder / "all.toml").write_text(uncommented, encoding="utf-8")
    shown = read_settings(project.folder / "all.toml").model_dump()
    default = Settings().model_dump()
    default["project"] |= {"name": "México", "countries": ("MX",), "languages": ("es",)}
    assert shown == default
    for section, values in default.items():
        for key in values:
            assert key in text, f"{section}.{key} is not in the template"


PRIVATE = (
    "roster.csv",
    "questions.xlsx",
    "backup.zip",
    "ledger.sqlite",
    "exports/rankings.jsonl",
    ".argilla/argilla.db",
    "exams/pictures/7.jpg",
)


@pytest.mark.parametrize(
    "before", [None, "# Passwords, keys and what people said: none of it belongs into git.\nexports/\n"]
)
def test_what_people_said_is_for_nobody_else_on_the_machine_and_in_no_commit(
    project: Project, before: str | None
) -> None:
    folder = project.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in (*PRIVATE, "guidelines/MX.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    if before is not None:  # a project of an earlier version
        folder.chmod(0o755)
        (folder / ".gitignore").write_text(before)
        Project.open(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    kept = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    assert kept == [".gitignore", "annot.toml", "guidelines/MX.md"]


def test_a_list_of_ones_own_of_what_git_ignores_stays(project: Project) -> None:
    (project.folder / ".gitignore").write_text("mine\n")
    Project.open(project.folder)
    assert (project.folder / ".gitignore").read_text() == "mine\n"


def test_init_refuses_to_overwrite_a_project(project: Project) -> None:
    before = (project.folder / "annot.toml").read_bytes()
    with pytest.raises(SettingsError, match="exists already"):
        init_project(project.folder, name="x", countries=["BR"], languages=["pt"])
    assert (project.folder / "annot.toml").read_bytes() == before


def test_init_takes_names_and_several_at_once(tmp_path: Path) -> None:
    place = str(tmp_path / "p")
    command = [
        sys.executable,
        "-m",
        "annotation.cli",
        "init",
        place,
        "--country",
        "Perú, BO",
        "--language",
        "quechua,es",
    ]
    subprocess.run(command, capture_output=True, check=True)
    found = Project.open(tmp_path / "p").settings.project
    assert (found.countries, found.languages) == (("PE", "BO"), ("qu", "es"))


@pytest.mark.parametrize("language", ["gl", "ca", "eu", "qu", "gn", "nah", "ay", "arn"])
def test_init_takes_languages_that_annot_has_no_texts_in_and_says_what_stands_for_them(
    tmp_path: Path, language: str
) -> None:
    command = [sys.executable, "-m", "annotation.cli", "init", str(tmp_path / "p"), "--country", "BO"]
    done = subprocess.run([*command, "--language", language], capture_output=True, text=True, check=True)
    assert f"to change that, put texts into guidelines/{language}.md and guidelines/{language}.toml" in done.stdout
    project = Project.open(tmp_path / "p")
    assert project.settings.project.languages == (language,)
    page = TeamPage(language, "BO", own_texts(project.folder))
    assert page.fallback() in done.stdout, "what is to be translated translates nothing by itself"
    # All of it stands for itself: taking every # away changes nothing.
    text = (project.folder / page.toml).read_text(encoding="utf-8")
    taken = TeamPage(language, "BO", {f"{language}.toml": text.partition("\n")[2].replace("# ", "")})
    settings = project.settings
    for task in TASKS.values():
        assert task.form(taken, settings) == task.form(page, settings)
    prompt = Prompt.make("?", country="BO", language=language)
    assert personas(prompt, random.Random(0), taken.own) == personas(prompt, random.Random(0))


def test_init_with_a_wrong_country_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='"XX" is no ISO 3166'):
        init_project(tmp_path / "new", name="x", countries=["XX"], languages=["es"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["/proc/annot-cannot-be-here", "a file/project"])
def test_init_where_no_folder_can_be_is_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("x")
    with pytest.raises(SettingsError, match="choose another folder"):
        init_project(tmp_path / place, name="x", countries=["MX"], languages=["es"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ({"draft": {"candidats": 3}}, 'did you mean "candidates"'),
        ({"proyect": {}}, 'did you mean "project"'),
        (
            {"task": {"ranking": {"group": [{"country": "MX", "target": 1, "tema": "x"}]}}},
            'there is no setting "task.ranking.group.0.tema"',
        ),
        ({"select": {"slate": 99}}, "select.slate = 99"),
        ({"project": {"languages": ["spanish"]}}, "no language code of ISO 639"),
        ({"draft": {"budget_usd": float("inf")}}, "finite"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(text: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_settings(text, place="annot.toml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[project\n", b"\xff\xfe\x00", b"name = \n"])
def test_a_broken_annot_toml_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "annot.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"annot\.toml"):
        Project.open(tmp_path)


def test_a_folder_without_settings_says_annot_init(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="annot init"):
        Project.open(tmp_path)


def test_every_error_of_the_family_exits_with_2() -> None:
    def family(kind: type[AnnotError]) -> list[type[AnnotError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in family(child))]

    assert len(family(AnnotError)) > 8
    assert {kind.exit_code for kind in family(AnnotError)} == {2}


def test_the_command_line_turns_the_family_into_one_line_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "annotation.cli", "prompts", "list", "--project", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "annot init" in done.stderr
    assert done.stdout == ""


# -- ledger -------------------------------------------------------------------------------------------------

PROMPT = Prompt.make("¿Qué se come en una posada?", country="MX", language="es")


def test_what_is_added_twice_is_kept_once(project: Project) -> None:
    ledger = project.ledger
    answers = [Candidate.make(PROMPT.id, text, model="file", settings={"seed": 1}) for text in ("uno", "dos", "uno")]
    assert (ledger.add_prompts([PROMPT, PROMPT]), ledger.add_prompts([PROMPT])) == (1, 0)
    assert (ledger.add_candidates(answers), ledger.add_candidates(answers)) == (2, 0)
    assert ledger.prompts() == [PROMPT]
    assert ledger.candidates(PROMPT.id) == answers[:2]


def test_a_prompt_keeps_its_first_slate(project: Project) -> None:
    project.ledger.add_prompts([PROMPT])
    first = Slate("one", PROMPT.id, ("b", "a"), 0)
    assert add_slates(project.ledger, [first]) == 1
    assert add_slates(project.ledger, [Slate("two", PROMPT.id, ("a", "b"), 1)]) == 0
    assert read_slates(project.ledger) == [first]


def test_people_are_known_as_they_were_last(project: Project) -> None:
    member = Person("mx_1", "", "annotator", "MX", ("es",))
    gone = Person("mx_1", "", "annotator", "MX", ("es",), active=False)
    assert [project.ledger.add_people([p]) for p in (member, member, gone, gone, member)] == [1, 0, 1, 0, 1]
    assert project.ledger.people() == [member]


def test_a_failed_transaction_leaves_nothing(project: Project) -> None:
    def fail_half_way() -> None:
        with project.ledger.transaction():
            project.ledger.add_prompts([PROMPT])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert project.ledger.prompts() == []


def test_a_ledger_of_a_newer_annot_is_refused(project: Project) -> None:
    project.ledger.close()
    with sqlite3.connect(project.folder / "ledger.sqlite") as db:
        db.execute("insert into migrations values (999, 'from the future', '')")
    with pytest.raises(ProjectError, match="newer annot"):
        Ledger(project.folder / "ledger.sqlite")


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(project: Project) -> None:
    path = project.folder / "ledger.sqlite"
    path.write_bytes(b"this is no database, it is a letter to a friend" * 50)
    before = path.read_bytes()
    with pytest.raises(ProjectError, match="cannot be used"):
        Ledger(path)
    assert path.read_bytes() == before


def test_eight_processes_open_and_fill_one_new_ledger_together(project: Project) -> None:
    code = """
import sys
from pathlib import Path
from annotation.project import Project
from annotation.types import Prompt
project = Project.open(Path(sys.argv[1]))
for number in range(20):
    project.ledger.add_prompts([Prompt.make(f"pregunta {number}", country="MX", language="es"),
                                Prompt.make(f"de {sys.argv[2]}: {number}", country="MX", language="es")])
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(project.folder), str(n)], stderr=subprocess.PIPE)
        for n in range(8)
    ]
    assert [(process.communicate()[1], process.returncode) for process in running] == [(b"", 0)] * 8
    assert len(project.ledger.prompts()) == 20 + 8 * 20


# -- ids ----------------------------------------------------------------------------------------------------


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_ids_are_equal_only_for_equal_content(one: list[str], other: list[str]) -> None:
    import unicodedata

    def normal(parts: list[str]) -> list[str]:
        return [unicodedata.normalize("NFC", part).strip() for part in parts]

    assert (content_id(*one) == content_id(*other)) == (normal(one) == normal(other))


# -- secrets, files, locks ----------------------------------------------------------------------------------


def test_secrets_are_kept_in_a_file_that_only_its_owner_reads(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    project.keep_secrets({"co_api_key": 'a"b\\c', "passwords": {"mx_1": "ñandú"}})
    project.keep_secrets({"passwords": {"mx_2": "y"}})
    assert stat.S_IMODE((project.folder / "secrets.toml").stat().st_mode) == 0o600
    assert project.secret("CO_API_KEY") == 'a"b\\c'
    assert project.secrets()["passwords"] == {"mx_1": "ñandú", "mx_2": "y"}
    monkeypatch.setenv("CO_API_KEY", "from the environment")
    assert project.secret("CO_API_KEY") == "from the environment"


def test_secrets_that_others_can_read_are_refused(project: Project) -> None:
    project.keep_secrets({"co_api_key": "x"})
    (project.folder / "secrets.toml").chmod(0o644)
    with pytest.raises(ProjectError, match="chmod 600"):
        project.secret("CO_API_KEY_2")


def test_a_pseudonym_is_stable_here_and_different_elsewhere(project: Project, tmp_path: Path) -> None:
    elsewhere = init_project(tmp_path / "peru", name="x", countries=["PE"], languages=["es"])
    again = Project.open(project.folder)
    assert project.pseudonym("mx_1") == again.pseudonym("mx_1") != project.pseudonym("mx_2")
    assert elsewhere.pseudonym("mx_1") != project.pseudonym("mx_1")
    assert "mx" not in project.pseudonym("mx_1").removeprefix("annotator-")


def test_a_file_whose_writing_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, [{"a": 1}])

    def fail(beside: Path) -> None:
        beside.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert read_parquet(path) == [{"a": 1}]
    assert os.listdir(tmp_path) == ["x.parquet"]


def test_a_second_command_waits_and_says_for_whom(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()
    order: list[str] = []

    def first() -> None:
        with project.lock("draft"):
            entered.set()
            time.sleep(0.4)
            order.append("first leaves")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with Project.open(project.folder).lock("draft"):
        order.append("second enters")
    thread.join()
    assert order == ["first leaves", "second enters"]
    assert f"(process {os.getpid()}" in capsys.readouterr().err


def test_a_lock_that_is_not_given_up_ends_in_a_sentence(project: Project) -> None:
    with (
        project.lock("draft"),
        pytest.raises(ProjectError, match="holds its draft lock"),
        Project.open(project.folder).lock("draft", wait_s=0.1),
    ):
        pass
    with project.lock("select"), project.lock("draft"):
        pass


def test_the_lock_of_a_killed_command_is_free(project: Project) -> None:
    code = """
import sys, time
from pathlib import Path
from annotation.project import Project
with Project.open(Path(sys.argv[1])).lock("draft"):
    print("in", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(project.folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    process.kill()
    process.wait()
    with project.lock("draft", wait_s=5):
        assert json.loads((project.folder / ".locks" / "draft.json").read_text())["pid"] == os.getpid()


# -- nonsense -----------------------------------------------------------------------------------------------


def run_status(folder: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annotation.cli", "status", "--project", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_that_cannot_be_a_project_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    init_project(tmp_path / "mexico", name="x", countries=["MX"], languages=["es"])
    (tmp_path / "directory" / "annot.toml").mkdir(parents=True)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "annot.toml").symlink_to("annot.toml")
    places = ["directory", "loop", "mexico/annot.toml", "x" * 300]
    for place in places:
        done = run_status(tmp_path / place)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (place, done.stderr)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[project]\nseed = " + "9" * 5000, "far too long"),
        ("a = " + "[" * 5000, "far too long|no valid TOML"),
        ("project = 3", r"write it as a table, \[project\]"),
        ("[prompts]\nmin_chars = 50\nmax_chars = 10", "no prompt can pass"),
        (
            '[[task.ranking.group]]\ncountry = "MX"\ntarget = 5\n[[task.ranking.group]]\ncountry = "MX"\ntarget = 7',
            r"task\.ranking: group MX stands there twice",
        ),
        ("[task.ranking]\noverlap = 99999999999", r"task\.ranking\.overlap"),
        ("[task.ranking]\ntarget = 100000000000000000000000", r"task\.ranking\.target"),
        ("task = 3", r"write it as a table, \[task\]"),
        ("task.ranking = 3", r"write it as a table, \[task\.ranking\]"),
        ('[train]\nlauncher = "sbatch {runs}"', "means nothing here"),
    ],
)
def test_impossible_settings_are_refused_when_they_are_read(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "annot.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=sentence):
        Project.open(tmp_path)


OLD_NAMES = """\
[quota]
target = 7
overlap = 2
by = "country+topic"
[[quota.group]]
country = "mx"
topic = "comida"
target = 3
[preferences]
min_margin = 0.25
min_votes = 4
[argilla]
dataset = "old name"
port = 7000
"""


NEW_NAMES = """\
[task.ranking]
dataset = "old name"
target = 7
overlap = 2
by = "country+topic"
min_margin = 0.25
min_votes = 4
[[task.ranking.group]]
country = "mx"
topic = "comida"
target = 3
[argilla]
port = 7000
"""


def test_the_names_of_older_settings_still_hold(tmp_path: Path) -> None:
    found = []
    for text in (OLD_NAMES, NEW_NAMES):
        (tmp_path / "annot.toml").write_text(text, encoding="utf-8")
        found.append(Project.open(tmp_path).settings)
    assert found[0] == found[1]
    assert found[0].argilla.port == 7000
    assert found[0].task.ranking.model_dump() == {
        "dataset": "old name",
        "target": 7,
        "overlap": 2,
        "by": "country+topic",
        "group": ({"country": "MX", "topic": "comida", "language": "", "target": 3},),
        "min_margin": 0.25,
        "min_votes": 4,
    }


def test_a_setting_under_its_old_and_its_new_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "annot.toml").write_text(
        "[quota]\ntarget = 7\n[task.ranking]\ntarget = 7\noverlap = 2", encoding="utf-8"
    )
    with pytest.raises(SettingsError) as refused:
        Project.open(tmp_path)
    sentence = "task.ranking.target stands also as quota.target, its older name; keep the first."
    assert str(refused.value) == f"{tmp_path / 'annot.toml'}: {sentence}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[quota]\ntargt = 7", 'there is no setting "quota.targt"; did you mean "target"?'),
        ("[quota]\nmin_votes = 7", 'there is no setting "quota.min_votes"; there are target, overlap, by, group'),
        ("[preferences]\ntarget = 7", 'there is no setting "preferences.target"; there are min_margin, min_votes'),
        ('[argilla]\ndatset = "x"', 'there is no setting "argilla.datset"; did you mean "database"?'),
        ('[[quota.group]]\ncountry = "MX"\ntarget = 1\ntema = "x"', 'there is no setting "quota.group.0.tema"'),
        ('[[quota.group]]\ncountry = "XX"\ntarget = 1', "quota.group.0.country = 'XX': \"XX\" is no ISO 3166"),
        ("[quota]\noverlap = 99999999999", "quota.overlap = 99999999999: "),
        ("[preferences]\nmin_votes = 0", "preferences.min_votes = 0: "),
        ('[[quota.group]]\ncountry = "MX"\ntarget = 5\n' * 2, "quota: group MX stands there twice; keep one"),
        ("quota = 5", "quota = 5: write it as a table, [task.ranking]."),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_written(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "annot.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        Project.open(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'annot.toml'}: {sentence}")


def test_init_writes_the_new_names(project: Project) -> None:
    text = (project.folder / "annot.toml").read_text(encoding="utf-8")
    tables = re.findall(r"^(?:# )?\[+([\w.]+)\]+", text, flags=re.MULTILINE)
    assert "task.ranking" in tables
    assert not {"quota", "quota.group", "preferences"} & set(tables)
    assert "dataset" not in text[text.index("\n[argilla]") :]


def test_a_byte_order_mark_of_a_windows_editor_is_no_mistake(project: Project) -> None:
    path = project.folder / "annot.toml"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert Project.open(project.folder).settings == project.settings


def test_a_name_with_a_control_character_survives_the_template(tmp_path: Path) -> None:
    made = init_project(tmp_path, name='a\x7fb\t"c"\\', countries=["MX"], languages=["es"])
    assert Project.open(tmp_path).settings == made.settings
    made.keep_secrets({"passwords": {"x": "p\x7fq"}})
    assert made.secrets() == {"passwords": {"x": "p\x7fq"}}


@pytest.mark.parametrize("content", [b"a\xff", b"passwords = 3", b"pseudonym_key = 5", b"x ="])
def test_broken_secrets_are_one_sentence_and_nothing_is_replaced(project: Project, content: bytes) -> None:
    path = project.folder / "secrets.toml"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ProjectError, match=r"secrets\.toml"):
        project.pseudonym("mx_1")
    assert path.read_bytes() == content


def test_four_first_exports_at_once_make_one_pseudonym(project: Project) -> None:
    code = "import sys; from pathlib import Path; from annotation.project import Project;"
    code += "print(Project.open(Path(sys.argv[1])).pseudonym('mx_1'))"
    command = [sys.executable, "-c", code, str(project.folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(project: Project, tmp_path: Path) -> None:
    # A limit on the size of files is what a full disk is to SQLite: the write fails half way.
    code = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
sys.argv = ["annot", "prompts", "add", sys.argv[1], "--project", sys.argv[2], "--language", "es"]
runpy.run_module("annotation.cli", run_name="__main__")
"""
    project.ledger.add_prompts([PROMPT])
    words = ["gato", "mesa", "lluvia", "tamal", "fiesta", "calle", "abuela", "mercado", "río", "canción", "pan", "sol"]
    rows = [
        f"¿Qué dicen en {a} de {b} cuando {c} llega al {d} número {n}?" for n, (a, b, c, d) in enumerate(_mix(words))
    ]
    (tmp_path / "big.csv").write_text("pregunta\n" + "\n".join(rows), encoding="utf-8")
    command = [sys.executable, "-c", code, str(tmp_path / "big.csv"), str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(without_progress(done.stderr)) == 1
    assert Project.open(project.folder).ledger.prompts() == [PROMPT]


def _mix(words: list[str]) -> list[tuple[str, ...]]:
    from itertools import permutations

    return list(permutations(words, 4))[:6000]


def test_the_first_tables_of_the_ledger_are_as_they_were_released(tmp_path: Path) -> None:
    """A migration that was released is never edited: projects made with it are on other people's disks."""
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as database:
        MIGRATIONS[0](database)
        made = sorted(" ".join(sql.split()) for (sql,) in database.execute("select sql from sqlite_schema") if sql)
    assert len(made) == 17
    assert hashlib.sha256("\n".join(made).encode()).hexdigest()[:16] == "9d8ffbf8b119dfff"
