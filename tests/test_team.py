"""A roster becomes a team: once, again, edited, cut off."""

from __future__ import annotations

import json
import math
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from fake_argilla import FakeArgilla, FakeWorld, World, person, some_project
from hypothesis import given
from hypothesis import strategies as st
from projects import annot, make_project

from annotation.errors import AnnotError, ArgillaError, SourceError
from annotation.hosting.embedded import Owner
from annotation.passwords import WORDS, WORDS_PER_PASSWORD, make_password
from annotation.project import Project
from annotation.types import Person
from sync.team import TeamChange, add_team, read_roster, remove_member

ROSTER = """username,name,role,country,languages
ana,Ana,annotator,MX,es
beto,Beto,admin,MX,es;en
caio,Caio,annotator,BR,pt
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return some_project(tmp_path / "p")


def roster(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "roster.csv"
    path.write_bytes(text.encode(encoding))
    return path


def members(world: World, workspace: str) -> set[str]:
    names = {account.id: account.username for account in world.api.accounts()}
    return {names[account_id] for account_id in world.api.members(world.api.workspaces()[workspace])}


def unique(*people: Person) -> list[Person]:
    """The same people under names that no other test on this server has."""
    tail = uuid4().hex[:6]
    return [replace(p, username=f"{p.username}-{tail}") for p in people]


# -- reading --------------------------------------------------------------------------------------------


def test_a_roster_is_read_as_it_stands(tmp_path: Path) -> None:
    assert read_roster(roster(tmp_path, ROSTER)) == [
        Person("ana", "Ana", "annotator", "MX", ("es",)),
        Person("beto", "Beto", "admin", "MX", ("es", "en")),
        Person("caio", "Caio", "annotator", "BR", ("pt",)),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_roster_from_a_spreadsheet_in_spanish_is_understood(tmp_path: Path, encoding: str) -> None:
    text = "Usuario;Nombre;Rol;País;Idiomas;Teléfono\r\níñigo;Íñigo;Anotador;México;español, inglés;5512345678\r\n"
    assert read_roster(roster(tmp_path, text, encoding=encoding)) == [
        Person("íñigo", "Íñigo", "annotator", "MX", ("es", "en"))
    ]


@pytest.mark.parametrize("cell", ["qu es", "qu y es", "quechua español", "qu|es", '"qu, es"'])
def test_languages_may_be_parted_by_blanks(tmp_path: Path, cell: str) -> None:
    (ana,) = read_roster(roster(tmp_path, f"username,role,country,languages\nana,annotator,PE,{cell}\n"))
    assert ana.languages == ("qu", "es")


def test_a_roster_that_changes_somebodys_languages_says_so(world: World, project: Project) -> None:
    ana = Person("ana", "Ana", "annotator", "MX", ("es",))
    add_team(project, world.api, [ana])
    changed = add_team(project, world.api, [replace(ana, languages=("nah", "es"))])
    assert changed == TeamChange(languages=("ana: es -> nah, es",))


def test_a_roster_in_portuguese_is_understood(tmp_path: Path) -> None:
    text = "usuário\tnome\tpapel\tpaís\tidiomas\nlu\tLu\tCoordenadora\tbrasil\tportuguês\n"
    assert read_roster(roster(tmp_path, text)) == [Person("lu", "Lu", "admin", "BR", ("pt",))]


def test_what_a_row_leaves_out_has_a_default(tmp_path: Path) -> None:
    found = read_roster(roster(tmp_path, "country,username\nAR,luz\n"), languages=("es", "pt"))
    assert found == [Person("luz", "", "annotator", "AR", ("es", "pt"))]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("ana@example.org,Ana,annotator,MX,es", ':2: "ana@example.org" is an e-mail address.*"ana"'),
        ("+52 55 1234 5678,Ana,annotator,MX,es", ":2: .* cannot be a user name"),
        ("5512345678,Ana,annotator,MX,es", ":2: .* phone or document number"),
        ("=HYPERLINK(1),Ana,annotator,MX,es", ":2: .* cannot be a user name"),
        (",Ana,annotator,MX,es", ":2: .* cannot be a user name"),
        (f"ana,{'A' * 81},annotator,MX,es", ":2: the name .* has 81 characters; write 80 at most"),
        ("ana,Ana,boss,MX,es", ':2: "boss" is no role'),
        ("ana,Ana,owner,MX,es", ':2: "owner" is no role'),
        ("ana,Ana,annotator,Narnia,es", ':2: "Narnia" is no country'),
        ("ana,Ana,annotator,,es", ":2: .* no country"),
        ('ana,Ana,annotator,"MX;ES",es', ':2: "MX;ES" names ES and MX; one person has one country'),
        ("ana,Ana,annotator,México y Perú,es", "names MX and PE"),
        ("ana,Ana,annotator,es-MX,es", "names ES and MX"),
        ("ana,Ana,annotator,FR,es", '"FR" is none of the project.s countries .*; correct it, or add "FR" to'),
        ("ana,Ana,annotator,MX,klingonish", ':2: "klingonish" is no language'),
        ("ana,Ana,annotator,MX,", ":2: no language is named"),
        ("ana,Ana,annotator,MX,es\nAna,Ana,annotator,AR,es", ":3: .* stands in line 2 already"),
    ],
)
def test_an_impossible_row_is_refused_with_its_line_and_a_remedy(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_roster(roster(tmp_path, f"username,name,role,country,languages\n{rows}\n"), countries=("MX", "AR"))


def test_all_faults_of_a_roster_are_told_in_one_run_and_nothing_is_done(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    path = roster(tmp_path, "username,role,country\nana,boss,MX;ES\nluz,,MX\nLuis Pérez,,FR\nLUZ,,MX\n")
    command = [sys.executable, "-m", "annotation.cli", "team", "add", str(path), "-p", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    places = [line.removeprefix("annot: ").partition(": ")[0] for line in done.stderr.splitlines()]
    assert (done.returncode, places) == (2, [f"roster.csv:{line}" for line in (2, 2, 4, 4, 5)])
    assert 'for example "luis.pérez"' in done.stderr
    assert project.ledger.people() == []


def test_a_country_whose_name_has_several_words_is_one_country(tmp_path: Path) -> None:
    names = {"Trinidad y Tobago": "TT", "Bosnia y Herzegovina": "BA", "Guinea-Bissau": "GW", "Papúa Nueva Guinea": "PG"}
    rows = "".join(f"p{code},{name}\n" for name, code in names.items())
    found = read_roster(roster(tmp_path, f"username,country\n{rows}"), languages=("es",))
    assert [each.country for each in found] == list(names.values())


def test_a_password_can_be_read_out_and_not_be_guessed() -> None:
    made = {make_password() for _ in range(1000)}
    assert len(made) == 1000
    assert WORDS_PER_PASSWORD * math.log2(len(WORDS)) >= 50
    assert len(set(WORDS)) == len(WORDS)
    for password in made:
        words = password.split("-")
        assert len(words) == WORDS_PER_PASSWORD
        assert set(words) <= set(WORDS)
    assert not set("".join(WORDS)) & set("lbvcszgjhkq01IO")


@pytest.mark.parametrize(
    "text", ["", "username,country\n", "name,country\nAna,MX\n", "username,usuario,country\na,b,MX\n", "\0\0\0"]
)
def test_a_file_that_is_no_roster_is_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError):
        read_roster(roster(tmp_path, text))


def test_a_roster_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file"):
        read_roster(tmp_path / "team" / "roster")


@given(st.binary(max_size=200))
def test_no_bytes_are_a_traceback(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("rosters") / "roster.csv"
    path.write_bytes(b"username,country\n" + raw)
    try:
        people = read_roster(path, languages=("es",))
    except AnnotError:
        return
    assert all(p.username and len(p.country) == 2 for p in people)


# -- making the team ------------------------------------------------------------------------------------


def test_everybody_can_log_in_and_is_in_the_workspace_of_their_country(world: World, project: Project) -> None:
    ana, beto, caio = people = unique(person("ana"), person("beto", role="admin"), person("caio", "BR"))
    change = add_team(project, world.api, people)
    assert set(change.created) == {p.username for p in people}
    assert {ana.username, beto.username} <= members(world, "mx")
    assert caio.username in members(world, "br")
    assert caio.username not in members(world, "mx")
    roles = {a.username: (a.first_name, a.role) for a in world.api.accounts()}
    assert roles[ana.username] == (ana.name, "annotator")
    assert roles[beto.username] == (beto.name, "admin")
    passwords = project.secrets()["passwords"]
    for p in people:
        world.annotator_client(p.username, passwords[p.username])
    assert len(set(passwords.values())) == 3
    assert stat.S_IMODE((project.folder / "secrets.toml").stat().st_mode) == 0o600
    assert project.ledger.people() == sorted(people, key=lambda p: p.username)


def test_a_roster_read_twice_changes_nothing(world: World, project: Project) -> None:
    people = unique(person("ana"), person("caio", "BR"))
    add_team(project, world.api, people)
    before = project.secrets(), project.ledger.rows("select * from people"), world.api.accounts()
    assert add_team(project, world.api, people) == TeamChange()
    assert before == (project.secrets(), project.ledger.rows("select * from people"), world.api.accounts())


def test_who_changes_country_moves_and_keeps_the_log_in(world: World, project: Project) -> None:
    (ana,) = unique(person("ana"))
    add_team(project, world.api, [ana])
    password = project.secrets()["passwords"][ana.username]
    moved = replace(ana, country="AR", name="Ana Luz", role="admin")
    change = add_team(project, world.api, [moved])
    assert (change.created, change.corrected) == ((), (ana.username,))
    assert ana.username in members(world, "ar")
    assert ana.username not in members(world, "mx")
    assert project.secrets()["passwords"][ana.username] == password
    assert project.ledger.people() == [moved]


def test_who_is_removed_keeps_the_account_and_comes_back_with_a_roster(world: World, project: Project) -> None:
    ana, beto = unique(person("ana"), person("beto"))
    add_team(project, world.api, [ana, beto])
    assert remove_member(world.api, project.ledger, ana.username) == replace(ana, active=False)
    assert ana.username not in members(world, "mx")
    assert beto.username in members(world, "mx")
    assert ana.username in {a.username for a in world.api.accounts()}
    assert remove_member(world.api, project.ledger, ana.username).active is False
    change = add_team(project, world.api, [ana])
    assert change == TeamChange(joined=(f"{ana.username} -> mx",))
    assert project.ledger.people()[0].active is True


def test_people_that_the_roster_does_not_name_stay(project: Project) -> None:
    world = FakeWorld()
    ana, beto = unique(person("ana"), person("beto"))
    add_team(project, world.api, [ana])
    add_team(project, world.api, [beto])
    assert {ana.username, beto.username} <= members(world, "mx")


def test_somebody_elses_account_of_the_same_name_is_not_drawn_in(world: World, project: Project) -> None:
    ana, beto = unique(person("ana"), person("beto"))
    world.api.add_account(beto.username, "Other Beto", "annotator", "a long password")
    with pytest.raises(ArgillaError, match=f"{beto.username}.*--adopt"):
        add_team(project, world.api, [ana, beto])
    assert ana.username not in {a.username for a in world.api.accounts()}
    assert project.ledger.people() == []
    add_team(project, world.api, [ana, beto], adopt=True)
    assert {ana.username, beto.username} <= members(world, "mx")
    assert beto.username not in project.secrets()["passwords"]
    world.annotator_client(beto.username, "a long password")
    assert add_team(project, world.api, [ana, beto]) == TeamChange()


@pytest.mark.parametrize("adopt", [False, True])
def test_an_owner_is_never_made_an_annotator(project: Project, adopt: bool) -> None:
    api = FakeArgilla()
    with pytest.raises(ArgillaError, match="is an owner"):
        add_team(project, api, [person("owner")], adopt=adopt)
    assert next(a.role for a in api.accounts()) == "owner"


def test_removing_somebody_unknown_names_the_nearest(project: Project) -> None:
    world = FakeWorld()
    (ana,) = unique(person("anabel"))
    add_team(project, world.api, [ana])
    with pytest.raises(ArgillaError, match=f'did you mean "{ana.username}"'):
        remove_member(world.api, project.ledger, ana.username[:-1])
    with pytest.raises(ArgillaError, match="annot team list"):
        remove_member(world.api, project.ledger, "zzzzzzzzzz")


def test_an_account_that_was_deleted_on_the_page_is_made_again_or_forgotten(project: Project) -> None:
    world = FakeWorld()
    ana, beto = unique(person("ana"), person("beto"))
    add_team(project, world.api, [ana, beto])
    for account in world.api.accounts():
        if account.username in (ana.username, beto.username):
            world.delete_account(account.id)
    assert remove_member(world.api, project.ledger, beto.username).active is False
    change = add_team(project, world.api, [ana])
    assert change.created == (ana.username,)
    world.annotator_client(ana.username, project.secrets()["passwords"][ana.username])


class CutOff(BaseException):
    """A kill: nothing in annot catches it."""


def test_cut_off_after_any_call_the_same_command_goes_on(tmp_path: Path) -> None:
    people = [person("ana"), person("beto", role="admin"), person("caio", "BR")]
    calls = ("add_account", "add_workspace", "add_member", "change_account")

    def cut(api: FakeArgilla, after: int) -> None:
        done = 0

        def wrapped(call: str) -> None:
            real = getattr(api, call)

            def counted(*values: object) -> object:
                nonlocal done
                found = real(*values)
                done += 1
                if done == after:
                    raise CutOff
                return found

            setattr(api, call, counted)

        for call in calls:
            wrapped(call)

    cuts = 0
    for after in range(1, 20):
        world, project = FakeWorld(), some_project(tmp_path / str(after))
        cut(world.api, after)
        try:
            add_team(project, world.api, people)
        except CutOff:
            cuts += 1
            add_team(project, world.api, people)
        assert members(world, "mx") == {"ana", "beto"}
        assert members(world, "br") == {"caio"}
        for p in people:
            world.annotator_client(p.username, project.secrets()["passwords"][p.username])
        assert add_team(project, world.api, people) == TeamChange()
    assert cuts == 8  # 2 workspaces, 3 accounts, 3 memberships


def test_a_sheet_holds_what_a_person_needs_in_the_language_of_the_team(tmp_path: Path) -> None:
    project = make_project(
        tmp_path,
        '[project]\ncountries = ["MX", "BR", "JM"]\nlanguages = ["es"]\n[argilla]\nurl = "https://annot.example.org"\n',
    )
    rui = person("rui", "BR", languages=("pt",), name="")
    project.ledger.add_people(
        [person("ana"), person("luz", active=False), rui, person("joy", "JM", languages=("en",)), person("eva")]
    )
    project.keep_secrets({"passwords": {name: f"password-of-{name}" for name in ("ana", "luz", "rui", "joy")}})
    told = json.loads(annot(project, "team", "sheet", "--json"))["sheets"]
    assert list(told) == ["ana", "eva", "joy", "rui"]
    for name, greeting in {"ana": "Hola, Ana:", "rui": "Olá, rui:", "joy": "Hello Joy,"}.items():
        assert told[name].startswith(greeting)
        for needed in ("https://annot.example.org", name, f"password-of-{name}", "1.", "3.", "↓"):
            assert needed in told[name]
    assert "la que ya tienes" in told["eva"]
    shown = annot(project, "team", "sheet")
    assert all(sheet in shown for sheet in told.values())
    assert "one that somebody has changed since cannot be shown" in shown
    assert "opens on this machine alone" not in shown

    folder = tmp_path / "handed" / "out"
    annot(project, "team", "sheet", "ana", "--to", str(folder), "--url", "http://127.0.0.1:6900")
    (written,) = folder.iterdir()
    assert written.name == "ana.txt"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert written.read_text(encoding="utf-8") == told["ana"].replace(
        "https://annot.example.org", "http://127.0.0.1:6900"
    )
    (tmp_path / "guidelines").mkdir()
    (tmp_path / "guidelines" / "es.toml").write_text('[page]\nsheet = "{name}: {password}"\n', encoding="utf-8")
    assert json.loads(annot(project, "team", "sheet", "ana", "--json"))["sheets"] == {"ana": "Ana: password-of-ana"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ana",), "`annot team list` shows who is"),
        (("luz",), "None of them is on the team now"),
        (("--url", "annot.example.org"), "--url: it is no address; write for example"),
        ((), "Argilla was never started here; run `annot up`"),
    ],
)
def test_a_sheet_that_cannot_be_made_is_one_sentence(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    project.ledger.add_people([person("luz", active=False)])
    address = () if not words or "--url" in words else ("--url", "http://127.0.0.1:6900")
    command = [sys.executable, "-m", "annotation.cli", "team", "sheet", *words, *address, "-p", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.mark.server
def test_the_commands_do_it_all(
    argilla_server: tuple[str, Owner],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from annotation.cli import app

    url, owner = argilla_server
    project = some_project(tmp_path / "p")
    toml = project.folder / "annot.toml"
    toml.write_text(toml.read_text().replace('# url = ""', f'url = "{url}"'))
    monkeypatch.setenv("ARGILLA_API_KEY", owner.api_key)
    name = f"ana-{uuid4().hex[:6]}"
    path = str(roster(tmp_path, f"username,country\n{name},MX\n"))

    def annot(*words: str) -> str:
        app([*words, "--project", str(project.folder)], standalone_mode=False)
        return capsys.readouterr().out

    assert name in annot("team", "add", path)
    assert annot("team", "add", path) == "Nothing to change: 1 person is as the roster says.\n"
    assert name in annot("team", "list")
    password = project.secrets()["passwords"][name]
    assert password not in annot("team", "list")
    assert password in annot("team", "list", "--passwords")
    assert password not in annot("team", "list", "--json")
    assert json.loads(annot("team", "list", "--passwords", "--json"))["people"][0]["password"] == password
    assert "sent 3 to mx" in annot("push")
    pushed = json.loads(annot("push", "--json"))
    assert [note.partition("and ")[2].partition(":")[0] for note in pushed.pop("notes")] == [
        "BR has only 0, MX has only 1"
    ]
    dropped = {"no team for the country": 3}
    assert pushed == {"sent": {}, "aside": {}, "standing": 3, "later": 0, "taken": 0, "dropped": dropped}
    assert "stays" in annot("team", "remove", name)
