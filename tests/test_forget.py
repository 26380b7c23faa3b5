"""`annot forget`: of a person or a prompt nothing counts, nothing new holds it, and nothing brings it back."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from campaigns import kills
from fake_argilla import FakeWorld, killed_at, person, ranking_of, seconds_of, some_project
from lineage_projects import ANA, LEO, NAME, TYPED, Chain, answer, chain_in, nodes, paid_project, prompt_of, write_run
from projects import annot, frozen, quotas
from test_older_projects import old_project
from typer.testing import CliRunner

from annotation.backups.make import back_up
from annotation.cli import app
from annotation.data_facts import data_facts, origins
from annotation.errors import ArgillaError, ProjectError, SettingsError, SourceError, TrainError
from annotation.files import read_parquet, write_parquet
from annotation.ledger import Ledger
from annotation.lineage.erase import erase_person
from annotation.lineage.files import files_holding
from annotation.lineage.forget import find_forgettable, forget, plan
from annotation.lineage.subject import Home
from annotation.money import committed_usd
from annotation.project import HOLDS_FORGOTTEN, Project
from annotation.prompts.add import add_prompts
from annotation.prompts.change import Which, change_prompts
from annotation.tables import export
from annotation.tally import count
from annotation.tasks.duel.votes import Duel, add_duels, read_duels
from annotation.types import Candidate, Person, Prompt, mark_of
from sync.pull import pull
from sync.push import push
from sync.reporting.next_step import next_step
from sync.reporting.status import report
from sync.team import add_team
from sync.trigger import trigger
from train.data.read import read_slates
from train.release.argilla_files import argilla_files

PROMPT = prompt_of(2)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return chain_in(tmp_path / "project")


def home_of(project: Project) -> Home:
    return Home(project.folder, project)


def forgotten(project: Project, what: str) -> None:
    home = home_of(project)
    forget(home, find_forgettable(home, what))


def holding(folder: Path, *words: str) -> list[str]:
    """Files in which one of some words stands; tables are read, whatever they are packed with."""
    assert words
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += json.dumps(read_parquet(path), ensure_ascii=False).encode()
        if any(word.encode() in content for word in words):
            found.append(str(path.relative_to(folder)))
    return found


def exported(project: Project, folder: Path) -> dict[str, bytes]:
    """Every file of an export, by name."""
    export(project, folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def without(chain: Chain, folder: Path, *, person: str = "", prompt: str = "") -> Project:
    """The same project as if somebody had never answered, or a prompt had never been there."""
    project, slates = paid_project(folder)
    shutil.copy(chain.project.folder / "secrets.toml", folder / "secrets.toml")
    gone = {slate.id for slate in slates if slate.prompt_id == prompt}
    with project.ledger.transaction() as db:
        db.execute("delete from responses where annotator = ?", (person,))
        db.execute("delete from people where username = ?", (person,))
        for slate_id in gone:
            db.execute("delete from responses where item_id = ?", (slate_id,))
            db.execute("delete from items where id = ?", (slate_id,))
    return Project.open(folder)


# -- a person ---------------------------------------------------------------------------------------------


def test_of_a_forgotten_person_no_new_file_holds_a_byte_and_every_count_is_as_if_they_had_never_answered(
    chain: Chain, tmp_path: Path
) -> None:
    project, name = chain.project, chain.project.pseudonym(ANA)
    before = exported(project, tmp_path / "before")
    assert holding(tmp_path / "before", name, TYPED)
    assert quotas(project)[0].completed == 6
    forgotten(project, ANA)
    other = without(chain, tmp_path / "other", person=ANA)
    after = exported(project, tmp_path / "after")
    assert after == exported(other, tmp_path / "never")
    assert after != before
    assert not holding(tmp_path / "after", ANA, NAME, TYPED, name)
    assert frozen(project).id == frozen(other).id != chain.snapshot
    assert not holding(project.snapshot_folder(frozen(project).id), ANA, NAME, TYPED, name)
    assert quotas(project) == quotas(other)
    assert quotas(project)[0].completed == 0
    assert report(project).agreement == report(other).agreement
    assert "left_out.parquet" not in after


def test_no_file_of_the_project_keeps_a_forgotten_persons_name_or_words_but_those_that_are_named(chain: Chain) -> None:
    quotas(chain.project)  # what was counted names people
    folder = chain.project.folder
    assert {".cache/tally.sqlite", "ledger.sqlite-wal", "secrets.toml"} <= set(holding(folder, ANA))
    meant = plan(home_of(chain.project), find_forgettable(home_of(chain.project), ANA))
    forgotten(chain.project, ANA)
    assert holding(folder, ANA, NAME, TYPED, f"account-of-{ANA}") == [f"snapshots/{chain.snapshot}/rankings.parquet"]
    assert set(holding(folder, TYPED)) <= set(meant.files)
    assert chain.project.secrets()["passwords"] == {LEO: "otro"}
    assert [person.username for person in chain.project.ledger.people()] == [LEO]
    assert chain.project.ledger.prompts([prompt_of(1).id])[0].author == ""


def test_what_a_lead_wrote_of_somebody_is_forgotten_with_them_and_a_decision_on_others_names_them_no_more(
    chain: Chain,
) -> None:
    annot(chain.project, "people", "set", ANA, "--weight", "auto", "--reason", f"{NAME} asked for it")
    annot(chain.project, "people", "set", LEO, "--weight", "0", "--reason", f"copies {ANA} forty times")
    forgotten(chain.project, ANA)
    assert holding(chain.project.folder, ANA, NAME) == []
    (leo,) = chain.project.ledger.people()
    assert leo.excluded == f"copies {chain.project.pseudonym(ANA)} forty times"


def test_no_lock_keeps_the_command_that_named_somebody(chain: Chain) -> None:
    folder = chain.project.folder
    older = {"pid": 1, "command": ["people", "set", ANA], "since": "2026-01-01T00:00:00"}
    (folder / ".locks" / "backup.json").write_text(json.dumps(older))
    annot(chain.project, "forget", ANA, "--yes")
    assert holding(folder / ".locks", ANA) == []
    assert (folder / ".locks" / "team.lock").exists()


def test_marks_cannot_be_tested_without_the_projects_secret(chain: Chain) -> None:
    forgotten(chain.project, ANA)
    (person,) = chain.project.ledger.forgotten_people()
    guesses = [hashlib.sha256(f"{person.username} {ANA}".encode()).hexdigest(), mark_of(person.username, ANA)]
    assert not {*guesses} & {*person.marks}
    assert mark_of(person.mark_key, ANA) in person.marks
    assert person.mark_key not in repr(person)
    # Whoever has lost the secret knows nobody again: docs/lineage.md says so.
    assert chain.project.ledger.forgets()(ANA) == person.username
    assert not Ledger(chain.project.folder / "ledger.sqlite").forgets()(ANA)


def test_a_reader_of_what_was_before_is_said_and_the_second_time_it_is_whole(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.ledger_file.BUSY_S", 0.05)
    monkeypatch.setattr("annotation.lineage.forget.BUSY_S", 0.05)
    quotas(chain.project)
    folder = chain.project.folder
    home = Home.open(folder)
    with chain.project.ledger.moment():
        assert chain.project.ledger.people()
        with pytest.raises(ProjectError, match="another command is still reading"):
            forget(home, find_forgettable(home, ANA))
    with closing(sqlite3.connect(folder / ".cache" / "tally.sqlite", isolation_level=None)) as db:
        db.execute("begin immediate")
        with pytest.raises(ProjectError, match="another command is still reading"):
            forget(home, find_forgettable(home, ANA))
    forget(home, find_forgettable(home, ANA))
    assert not [name for name in holding(folder, ANA) if name.startswith(("ledger", ".cache", "secrets"))]


def test_a_person_is_forgotten_by_the_very_name_alone(chain: Chain) -> None:
    home = home_of(chain.project)
    with pytest.raises(SourceError, match=f'"{ANA}" is'):
        find_forgettable(home, ANA.upper())
    chain.project.ledger.add_people([Person(ANA.upper(), "Ana", "annotator", "MX", ("es",))])
    assert find_forgettable(home, ANA.upper()).id == ANA.upper()
    assert find_forgettable(home, ANA).id == ANA


def test_a_pseudonym_that_only_a_snapshot_knows_is_forgotten_too(chain: Chain) -> None:
    stranger, folder = "annotator-0123456789", chain.project.snapshot_folder(chain.snapshot)
    rows = read_parquet(folder / "rankings.parquet")
    write_parquet(folder / "rankings.parquet", [{**rows[0], "annotator": stranger}, *rows[1:]])
    said = json.loads(annot(chain.project, "forget", stranger, "--yes", "--json"))
    assert (said["id"], said["snapshots"]) == (stranger, [chain.snapshot])
    assert json.loads((folder / HOLDS_FORGOTTEN).read_text())["people"] == [stranger]
    assert json.loads(annot(chain.project, "trace", stranger, "--json"))["id"] == stranger


def test_what_is_told_of_the_data_names_nobody_who_is_forgotten(chain: Chain) -> None:
    project, ledger = chain.project, chain.project.ledger
    prompt = Prompt.make("¿Qué se come en tu casa?", country="MX", language="es", source=f"de {ANA}.csv:2")
    ledger.add_prompts([prompt])
    ledger.add_candidates([Candidate.make(prompt.id, "Tamales", model=f"models/{ANA}.gguf")])
    guidelines = project.folder / "guidelines" / "MX.md"
    guidelines.parent.mkdir()
    guidelines.write_text(f"Pregunten a {ANA}.", encoding="utf-8")
    forgotten(project, ANA)
    told = json.dumps([data_facts(project)["candidates"], origins(ledger, [prompt]), argilla_files(project, "MX")])
    assert ANA not in told
    assert told.count("[user]") >= 3


def test_a_reading_of_the_same_answers_and_later_ones_brings_nothing_of_the_person_back(chain: Chain) -> None:
    project, ledger = chain.project, chain.project.ledger
    forgotten(project, ANA)
    before = ledger.rows("select * from responses")
    again = [answer(slate, ANA, at="2027-01-01T00:00:00.000000+00:00", rewrite=TYPED) for slate in chain.slates]
    assert ledger.add_responses("server", again) == 0
    assert ledger.add_responses("another server", again) == 0
    assert ledger.rows("select * from responses") == before
    assert ledger.add_responses("server", [answer(chain.slates[0], LEO, at="2027-01-01T00:00:00.000000+00:00")]) == 1


def test_what_others_typed_about_a_forgotten_person_is_masked_as_before(chain: Chain, tmp_path: Path) -> None:
    project = chain.project
    said = "Como dice Ana de Torres, y ANA_TORRES_77 también; Ana cocina, y las torres del sur son altas."
    project.ledger.add_responses(
        "server", [answer(chain.slates[0], LEO, at="2027-01-01T00:00:00.000000+00:00", rewrite=said)]
    )
    export(project, tmp_path / "before")
    forgotten(project, ANA)
    export(project, tmp_path / "after")
    (before,) = [
        row["rewrite"] for row in read_parquet(tmp_path / "before" / "rankings.parquet") if "Como" in row["rewrite"]
    ]
    (after,) = [
        row["rewrite"] for row in read_parquet(tmp_path / "after" / "rankings.parquet") if "Como" in row["rewrite"]
    ]
    assert before == after == "Como dice [user], y [user] también; Ana cocina, y las torres del sur son altas."


def test_a_pull_leaves_out_who_is_forgotten_and_still_brings_everybody_else(tmp_path: Path) -> None:
    world = FakeWorld()
    project = some_project(tmp_path, slates=6)
    ana, leo = (person(name, "MX") for name in ("ana_77", "leo_77"))
    add_team(project, world.api, [ana, leo])
    push(world.api, project.ledger, project.settings)
    records = [r for item, r in project.ledger.rows("select item_id, record_id from pushes order by item_id")]
    client = {
        who.username: world.annotator_client(who.username, _password(project, who.username)) for who in (ana, leo)
    }
    client["ana_77"].answer(records[0], ranking_of("1234", rewrite=TYPED))
    client["leo_77"].answer(records[0], ranking_of("1234"))
    assert pull(world.api, project.ledger, whole=True).new == 2
    forgotten(project, "ana_77")
    nothing = pull(world.api, project.ledger, whole=True)
    assert not nothing.changed
    assert (nothing.missing, nothing.foreign, nothing.untold) == (0, 0, 0)
    client["ana_77"].answer(records[0], ranking_of("4321", rewrite=TYPED))
    client["ana_77"].answer(records[2], ranking_of("4321"))
    client["leo_77"].answer(records[2], ranking_of("4321"))
    brought = pull(world.api, project.ledger)
    assert (brought.new, brought.edited) == (1, 0)
    assert report(project).statuses == {"forgotten": 1, "submitted": 2}
    assert not holding(tmp_path, "ana_77", TYPED)
    item = project.ledger.rows("select item_id from pushes where record_id = ?", records[0])[0]["item_id"]
    forgotten(project, project.ledger.items(ids=[item])[0].prompt_id)
    client["leo_77"].answer(records[0], ranking_of("4321", rewrite="Otra cosa mía"))
    nothing = pull(world.api, project.ledger, whole=True)
    assert not nothing.changed
    assert (nothing.missing, nothing.foreign, nothing.texts) == (0, 0, 0)
    assert not holding(tmp_path, "Otra cosa mía")


def _password(project: Project, who: str) -> str:
    return str(project.secrets()["passwords"][who])


def test_a_forgotten_user_name_cannot_be_on_a_roster_again(tmp_path: Path) -> None:
    world, project = FakeWorld(), some_project(tmp_path)
    ana = person("ana_77", "MX")
    add_team(project, world.api, [ana])
    forgotten(project, "ana_77")
    with pytest.raises(ArgillaError, match="another user name"):
        add_team(project, world.api, [ana])
    assert project.ledger.people() == []


# -- a prompt ---------------------------------------------------------------------------------------------


def test_of_a_forgotten_prompt_no_new_file_holds_a_byte_and_every_count_is_as_if_it_had_never_been(
    chain: Chain, tmp_path: Path
) -> None:
    project = chain.project
    answers = [row["text"] for row in project.ledger.rows("select text from candidates where prompt_id = ?", PROMPT.id)]
    assert len(answers) == 4
    spent = committed_usd(project.ledger)
    forgotten(project, PROMPT.id)
    other = without(chain, tmp_path / "other", prompt=PROMPT.id)
    assert exported(project, tmp_path / "after") == exported(other, tmp_path / "never")
    assert not holding(tmp_path / "after", PROMPT.id, PROMPT.text, *answers)
    assert frozen(project).id == frozen(other).id != chain.snapshot
    assert quotas(project) == quotas(other)
    assert quotas(project)[0].completed == 5
    assert committed_usd(project.ledger) == spent
    assert not [name for name in holding(project.folder, PROMPT.text, *answers) if name.startswith("ledger")]


def test_the_same_file_of_prompts_and_a_change_do_not_bring_a_forgotten_prompt_back(
    chain: Chain, tmp_path: Path
) -> None:
    project = chain.project
    forgotten(project, PROMPT.id)
    file = tmp_path / "preguntas.csv"
    file.write_text(f"prompt,country,language,topic\n{PROMPT.text},MX,es,saludos\n", encoding="utf-8")
    added = add_prompts(project, str(file))
    assert (len(added.kept), added.already_there) == (0, 1)
    assert project.ledger.add_candidates([Candidate.make(PROMPT.id, "Otra respuesta", model="m")]) == 0
    changed = change_prompts(project, Which(ids=(PROMPT.id,)), {"removed": False})
    assert [(drop.id, drop.reason) for drop in changed.dropped] == [(PROMPT.id, "forgotten for good")]
    change_prompts(project, Which(country="MX"), {"topic": "otra"})
    (prompt,) = project.ledger.prompts([PROMPT.id])
    assert (prompt.removed, prompt.text) == (True, "")
    assert PROMPT.id not in {prompt.id for prompt in project.ledger.prompts()}


def test_votes_of_a_demo_about_a_forgotten_prompt_lose_their_texts_and_do_not_come_back(chain: Chain) -> None:
    ledger = chain.project.ledger

    def duel(name: str, prompt_id: str, answer: str, typed: str = "") -> Duel:
        told = ("r", "a", "b", "1", "MX", "es", "A", "A", prompt_id, typed, (answer, "y"), "2026-11-29T01:02Z", "demo")
        return Duel(name, *told, bool(typed))

    asked, other = duel("d1", PROMPT.id, "Texto uno"), duel("d3", prompt_of(0).id, "Texto otro")
    assert add_duels(ledger, [asked, duel("d2", "", "Texto tres", PROMPT.text), other]) == 3
    (votes,) = nodes(json.loads(annot(chain.project, "trace", PROMPT.id, "--json")), "votes")
    assert (votes["votes"], votes["line"]) == (1, "1 vote of a demo's visitors")
    forgotten(chain.project, PROMPT.id)
    assert not [name for name in holding(chain.project.folder, "Texto uno", "Texto tres") if name.startswith("ledger")]
    assert [d.answers[0] for d in read_duels(ledger) if d.answers[0]] == ["Texto otro"]
    assert add_duels(ledger, [asked, replace(asked, id="d4")]) == 0


def test_of_a_forgotten_prompts_slates_the_seats_stay_whatever_was_answered(chain: Chain) -> None:
    project, slate = chain.project, chain.slates[2]
    project.ledger.add_candidates([Candidate.make(PROMPT.id, digit, model="m") for digit in "0123456789"])
    forgotten(project, PROMPT.id)
    (item,) = project.ledger.items(ids=[slate.id])
    assert item.content == {"seats": list(slate.seats)}


def test_a_forgotten_prompt_is_not_credited_to_whoever_adds_it_again(chain: Chain, tmp_path: Path) -> None:
    forgotten(chain.project, PROMPT.id)
    file = tmp_path / "preguntas.csv"
    file.write_text(f"prompt,country,language,topic\n{PROMPT.text},MX,es,saludos\n", encoding="utf-8")
    assert add_prompts(chain.project, str(file), author=LEO).credited == 0
    assert chain.project.ledger.prompts([PROMPT.id])[0].author == ""


# -- what was made before ---------------------------------------------------------------------------------


def test_what_holds_it_still_is_named_and_stays_as_it_is(chain: Chain) -> None:
    project, name = chain.project, chain.project.pseudonym(ANA)
    export(project, project.folder / "exports")
    archive = back_up(project)
    (project.folder / "roster.csv").write_text(f"username,country\n{ANA},MX\n")
    (project.folder / "notes.md").write_text(f"Preguntar a {NAME}.")
    before = {path: path.read_bytes() for path in (project.folder / "exports").rglob("*") if path.is_file()}
    said = json.loads(annot(project, "forget", ANA, "--yes", "--json"))
    assert (said["id"], said["answers"], said["items"], said["prompts"]) == (name, 6, 6, 1)
    assert said["snapshots"] == [chain.snapshot]
    assert said["runs"] == {
        "mexico-1": "trained on 4 slates (20 pairs); held out 1 slate (5 pairs); left out 1 (too long)"
    }
    assert said["releases"] == ["mexico-1: team/model", f"mexico-1: {project.folder}/exports/mexico-1/model"]
    assert {"exports/preferences.jsonl", "exports/rankings.parquet", "notes.md"} <= set(said["files"])
    assert said["archives"] == [str(archive.path)]
    told = " ".join([*said["cannot_be_undone"], *said["remedies"]])
    assert all(
        word in told for word in ("weights", "downloaded", "restore", "Argilla", "no way back", "train again", "Hub")
    )
    assert {path: path.read_bytes() for path in before} == before
    mark = json.loads((project.snapshot_folder(chain.snapshot) / HOLDS_FORGOTTEN).read_text())
    assert mark["people"] == [name]
    again = json.loads(annot(project, "forget", ANA, "--yes", "--json"))
    assert "roster.csv" in again["files"]
    assert set(again["files"]) == set(said["files"]) & {*holding(project.folder, name, ANA)}


def test_files_are_looked_for_everywhere_by_content_and_by_their_own_names(tmp_path: Path) -> None:
    texts = {
        "roster.csv": "username,country\nana,MX\n",
        "sheets/ana.txt": "contraseña",
        "guidelines/es.md": "Lo decidió «ana».",
        "notes.md": "Pregunten a ana.",
        "rows.jsonl": '{"said": "hola\\nana\\u00bf"}',
        "old/typed.txt": "antes En mi casa y después",
    }
    others = {
        "a.md": "la semana",
        "b.md": "mañana, cañana",
        "c.md": "ana.torres y ana-b y ana_c",
        "d.json": '"ma\\u00f1ana"',
        "e/banana.txt": "ñana anaí",
        "secrets.toml": "ana",
        ".argilla/ana": "ana",
        "ledger.sqlite": "ana",
    }
    for name, text in {**texts, **others}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_parquet(tmp_path / "f.parquet", [{"said": [{"content": "semana"}]}])
    write_parquet(tmp_path / "g.parquet", [{"said": [{"content": "semana"}, {"content": "ana"}]}])
    found = {str(path.relative_to(tmp_path)) for path in files_holding(tmp_path, ["ana", ""], ["En mi casa"])}
    assert found == {*texts, "g.parquet"}


def test_a_run_whose_snapshot_holds_what_is_forgotten_is_not_advised_to_be_given_away(chain: Chain) -> None:
    project = chain.project
    assert trigger(project, quotas(project)) is not None
    run = project.run_folder(report(project).runs[-1].run)
    shutil.rmtree(run)
    write_run(project, run.name, chain.snapshot, chain.ranked)
    (run / "evaluation.json").write_text('{"gate": "passed"}')
    project.ledger.add_pushes("server", "MX", {slate.id: f"record-{slate.id}" for slate in chain.slates})
    assert next_step(project, report(project), argilla_runs=True) == f"annot release {run.name}"
    forgotten(project, PROMPT.id)
    assert next_step(project, report(project), argilla_runs=True) == "annot sync --watch"


def test_nothing_is_trained_on_an_old_snapshot_and_the_next_sync_makes_another(chain: Chain) -> None:
    project = chain.project
    first = trigger(project, quotas(project))
    assert first is not None
    assert first.snapshot_id == chain.snapshot
    assert trigger(project, quotas(project)) is not None
    assert len(project.ledger.rows("select 1 from launches")) == 1
    forgotten(project, PROMPT.id)
    with pytest.raises(TrainError, match=r"annot forget(?s:.*)annot sync"):
        read_slates(project.snapshot_folder(chain.snapshot))
    second = trigger(project, quotas(project))
    assert second is not None
    assert second.snapshot_id != chain.snapshot
    assert len(read_slates(project.snapshot_folder(second.snapshot_id)).slates) == 5
    third = trigger(project, quotas(project))
    assert third is not None
    assert third.run == second.run
    assert len(project.ledger.rows("select 1 from launches")) == 2


# -- counted item by item, killed, repeated ---------------------------------------------------------------


def test_what_is_counted_item_by_item_is_what_a_count_of_everything_is(chain: Chain) -> None:
    project, ledger = chain.project, chain.project.ledger
    assert count(ledger, project.settings)
    # Without what `forget` does after it: a kill may come in between.
    erase_person(ledger, ANA, project.pseudonym(ANA), "")
    kept = count(ledger, project.settings)
    (project.folder / ".cache" / "tally.sqlite").unlink()
    assert kept == count(ledger, project.settings)
    assert not [key for key in kept if ANA in key]
    forgotten(project, PROMPT.id)
    kept = count(ledger, project.settings)
    (project.folder / ".cache" / "tally.sqlite").unlink()
    assert kept == count(ledger, project.settings)


def state(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Rows of the ledger without times, and every file that a person would look at."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        rows = [
            repr(row)
            for table in ("responses", "people", "prompts", "candidates", "outcomes", "items")
            for row in db.execute(f"select * from {table}")
        ]
        rows += [repr(row) for row in db.execute("select kind, id, marks, reason from forgotten")]
        rows += [repr(row) for row in db.execute("select prompt_id, removed from prompt_changes")]
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name == HOLDS_FORGOTTEN:
            files[name] = json.dumps({**json.loads(path.read_text()), "at": ""})
        elif not path.name.startswith(".") and not name.startswith((".", "ledger.sqlite")):
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return rows, files


@pytest.mark.parametrize("what", [ANA, PROMPT.id])
@pytest.mark.timeout(600)
def test_killed_anywhere_and_run_again_it_is_whole(what: str, tmp_path: Path) -> None:
    fresh, undisturbed, disturbed = tmp_path / "fresh", tmp_path / "undisturbed", tmp_path / "disturbed"
    project = chain_in(fresh).project
    quotas(project)
    project.ledger.close()

    def work(folder: Path) -> None:
        home = Home.open(folder)
        forget(home, find_forgettable(home, what))

    shutil.copytree(fresh, undisturbed)
    lasts = seconds_of(lambda: work(undisturbed))
    expected = state(undisturbed)
    assert any(name.endswith(HOLDS_FORGOTTEN) for name in expected[1])
    chance, killed, wanted = random.Random(5), 0, kills(6, 60)
    for _ in range(20 * wanted):
        shutil.rmtree(disturbed, ignore_errors=True)
        shutil.copytree(fresh, disturbed)
        killed += killed_at(chance.uniform(0, lasts), lambda: work(disturbed))
        work(disturbed)
        assert state(disturbed) == expected
        words = ANA if what == ANA else PROMPT.text
        assert not [name for name in holding(disturbed, words) if name.startswith(("ledger", ".cache", "secrets"))]
        if killed >= wanted:
            break
    assert killed >= wanted


def test_forgetting_twice_changes_nothing_and_both_names_still_find_the_person(chain: Chain) -> None:
    project, name = chain.project, chain.project.pseudonym(ANA)
    forgotten(project, ANA)
    before = state(project.folder)
    for way in (ANA, name):
        said = json.loads(annot(project, "forget", way, "--yes", "--json"))
        assert (said["already"], said["answers"]) == (True, 0)
        assert said["snapshots"] == [chain.snapshot]
        assert state(project.folder) == before
    told = json.loads(annot(project, "trace", ANA, "--json"))
    assert (told["id"], told["forgotten"]) == (name, True)
    assert [run["id"] for run in nodes(told, "run")] == ["mexico-1"]


# -- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [ANA, PROMPT.id])
def test_a_dry_run_changes_nothing(chain: Chain, what: str) -> None:
    chain.project.ledger.close()
    before = {path: path.read_bytes() for path in sorted(chain.project.folder.rglob("*")) if path.is_file()}
    said = annot(chain.project, "forget", what, "--dry-run")
    assert said.startswith("To be forgotten: ")
    assert "mexico-1" in said
    after = {path: path.read_bytes() for path in sorted(chain.project.folder.rglob("*")) if path.is_file()}
    assert after == before


def test_without_a_terminal_it_asks_for_yes_and_it_takes_nothing_but_people_and_prompts(chain: Chain) -> None:
    place = ["--project", str(chain.project.folder)]
    assert isinstance(CliRunner().invoke(app, ["forget", ANA, *place]).exception, SettingsError)
    assert isinstance(CliRunner().invoke(app, ["forget", chain.slates[0].id, "--yes", *place]).exception, SourceError)
    assert chain.project.ledger.forgotten("person") == set()


def test_a_project_of_the_first_version_forgets_too(tmp_path: Path) -> None:
    project = old_project(tmp_path / "old", "moved")
    people = project.ledger.people()
    who = next(
        p.username for p in people if project.ledger.rows("select 1 from responses where annotator = ?", p.username)
    )
    export(project, tmp_path / "before")
    assert holding(tmp_path / "before", project.pseudonym(who))
    with pytest.raises(ProjectError, match="`annot team remove`"):
        forgotten(project, who)
    assert not project.ledger.forgotten("person")
    project.ledger.add_people([replace(person, active=False) for person in people])
    forgotten(project, who)
    export(project, tmp_path / "after")
    assert not holding(tmp_path / "after", project.pseudonym(who))
    assert not holding(project.folder / ".cache", who)
    assert count(project.ledger, project.settings) == count(Ledger(project.folder / "ledger.sqlite"), project.settings)
    assert not [row for row in project.ledger.rows("select annotator from responses") if row["annotator"] == who]
