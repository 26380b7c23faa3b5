"""Prompts that are taken out, put back or moved, before and after people have answered; nothing is paid or lost."""

import json
from collections import Counter
from pathlib import Path

import pytest
from fake_argilla import World, person, ranking_of, some_project
from projects import fill, frozen, make_project
from test_push import dataset_name, datasets, held, send
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError
from annotation.item_counts import Counts
from annotation.project import Project
from annotation.prompts.add import add_prompts, count_prompts
from annotation.prompts.change import PromptsChanged, Which, change_prompts
from annotation.tables import export
from annotation.tally import count
from annotation.tasks.answers import answers
from annotation.types import Candidate, Prompt
from sync.pull import pull
from sync.quotas import count_quotas
from sync.team import add_team

ROWS = (
    {"prompt": "¿Qué se come en una fiesta de quince años?", "topic": "comida"},
    {"prompt": "O que se come numa festa junina?", "language": "pt", "topic": "comida"},
    {"prompt": "O que se canta numa roda de samba?", "language": "pt", "topic": "música"},
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two Portuguese prompts that landed in Mexico, and one that belongs there."""
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n')
    source = tmp_path / "festas.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    add_prompts(project, str(source))
    return project


def groups(project: Project) -> dict[tuple[str, str, str], int]:
    return {(g.country, g.language, g.topic): g.prompts for g in count_prompts(project)}


def remove(project: Project, which: Which, *, undo: bool = False) -> PromptsChanged:
    return change_prompts(project, which, {"removed": not undo})


# -- before anybody is asked --------------------------------------------------------------------------------


def test_prompts_that_landed_in_the_wrong_country_are_moved_and_can_be_moved_back(project: Project) -> None:
    ids = [prompt.id for prompt in project.ledger.prompts()]
    moved = change_prompts(project, Which(country="MX", language="pt"), {"country": "BR"})
    assert (len(moved.changed), moved.unchanged, moved.dropped) == (2, 0, ())
    there = {("BR", "pt", "comida"): 1, ("BR", "pt", "música"): 1, ("MX", "es", "comida"): 1}
    assert groups(project) == there
    assert [prompt.id for prompt in project.ledger.prompts()] == ids
    again = change_prompts(project, Which(language="pt"), {"country": "BR"})
    assert (again.changed, again.unchanged) == ((), 2)
    change_prompts(project, Which(country="BR"), {"country": "MX"})
    assert groups(project) == {("MX", "es", "comida"): 1, ("MX", "pt", "comida"): 1, ("MX", "pt", "música"): 1}


def test_a_removed_prompt_is_put_back_with_its_candidates(project: Project, tmp_path: Path) -> None:
    prompt = project.ledger.prompts()[1]
    project.ledger.add_candidates([Candidate.make(prompt.id, "Canjica", model="m", cost_usd=0.5)])
    gone = remove(project, Which(ids=(prompt.id[:8],)))
    assert (len(gone.changed), gone.candidates) == (1, 1)
    assert prompt not in project.ledger.prompts()
    again = add_prompts(project, str(tmp_path / "festas.jsonl"))
    assert (again.kept, again.already_there, again.removed) == ((), 3, 1)
    assert "1 of them removed" in again.sentence()
    remove(project, Which(ids=(prompt.id,)), undo=True)
    assert prompt in project.ledger.prompts()
    assert [candidate.cost_usd for candidate in project.ledger.candidates(prompt.id)] == [0.5]


def test_a_file_that_was_read_by_mistake_is_taken_out_whole(project: Project, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("prompt\n¿Qué se baila en una boda del norte?\n", encoding="utf-8")
    add_prompts(project, str(tmp_path / "other.csv"))
    assert len(remove(project, Which(file="elsewhere/festas.jsonl")).changed) == 3
    assert groups(project) == {("MX", "es", "general"): 1}


def test_what_was_removed_does_not_keep_the_same_question_of_another_file_out(project: Project, tmp_path: Path) -> None:
    remove(project, Which(language="pt"))
    better = tmp_path / "better.jsonl"
    better.write_text(json.dumps({"prompt": "O que se come numa festa junina??", "language": "pt"}) + "\n")
    assert len(add_prompts(project, str(better)).kept) == 1


def test_a_prompt_is_not_moved_onto_one_that_says_the_same(project: Project) -> None:
    project.ledger.add_prompts([Prompt.make(ROWS[1]["prompt"], country="BR", language="pt")])
    moved = change_prompts(project, Which(country="MX", language="pt"), {"country": "BR"})
    assert (len(moved.changed), len(moved.dropped)) == (1, 1)
    assert groups(project)["MX", "pt", "comida"] == 1


def test_a_dry_run_tells_all_and_writes_nothing(project: Project) -> None:
    before = project.ledger.prompts()
    seen = change_prompts(project, Which(language="pt"), {"country": "BR", "topic": "fiestas"}, dry_run=True)
    assert seen.groups() == [("BR", "pt", "fiestas", 2)]
    assert project.ledger.prompts() == before


@pytest.mark.parametrize(
    ("which", "changes", "said"),
    [
        (Which(), {"removed": True}, "Say which prompts"),
        (Which(ids=("zzz",)), {"removed": True}, 'No prompt has the id "zzz"'),
        (Which(ids=("",), topic="comida"), {"removed": True}, "3 prompts have an id that begins"),
        (Which(country="Brasil"), {"removed": True}, "No prompt fits"),
        (Which(country="Atlantis"), {"removed": True}, '"Atlantis" is no country'),
        (Which(language="pt"), {}, "Say what they become"),
        (Which(language="pt"), {"language": "fr"}, "project.languages"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    project: Project, which: Which, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        change_prompts(project, which, changes)


def test_the_commands_say_what_changed_and_how_to_find_a_prompt(project: Project) -> None:
    def annot(*words: str) -> str:
        done = CliRunner().invoke(app, ["prompts", *words, "-p", str(project.folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "Now country BR: 2 prompts." in annot(
        "set", "--country", "México", "--language", "pt", "--to-country", "Brasil"
    )
    assert "Would become removed: 2 prompts." in annot("remove", "--country", "BR", "--dry-run")
    assert json.loads(annot("remove", "--country", "BR", "--json"))["candidates"] == 0
    assert "2 removed" in annot("list")
    assert project.ledger.prompts()[0].id in annot("list", "--each")
    listed = json.loads(annot("list", "--each", "--json"))
    assert (listed["prompts"], listed["removed"], len(listed["each"])) == (1, 2, 3)
    assert "Now in the project again: 2 prompts." in annot("remove", "--country", "BR", "--undo")


# -- when people were asked already -------------------------------------------------------------------------


def counts(project: Project) -> Counts:
    return count(project.ledger, project.settings)


def items(project: Project) -> dict[str, tuple[int, int]]:
    """Country -> items and answers that count for it."""
    return {s.quota.country: (s.items, s.answers) for s in count_quotas(project.settings, counts(project))}


def test_what_nobody_answered_is_taken_away_and_what_somebody_answered_stays(world: World, tmp_path: Path) -> None:
    project = some_project(tmp_path / "p", name=dataset_name())
    name = f"ana-{project.settings.task.ranking.dataset[-6:]}"
    add_team(project, world.api, [person(name), person(f"r{name}", "BR", languages=("pt",))])
    send(world, project)
    ana = world.annotator_client(name, project.secrets()["passwords"][name])
    first, second, third = ana.queue(datasets(world.api, project)["mx"].id)
    ana.answer(first["id"], ranking_of("1234"))
    pull(world.api, project.ledger)
    assert items(project) == {"BR": (3, 0), "MX": (3, 1)}

    prompt_of = {item.id: item.prompt_id for item in project.ledger.items()}
    gone = remove(project, Which(ids=tuple(prompt_of[row["external_id"]] for row in (first, second))))
    assert (gone.pushed, gone.answered, gone.answers) == (1, 1, 1)
    assert items(project) == {"BR": (3, 0), "MX": (1, 0)}
    assert counts(project)["unfit", "its prompt was removed"] == 1
    assert send(world, project, dry_run=True).taken == 1
    pushed = send(world, project)
    assert (pushed.taken, pushed.sent) == (1, {})
    assert pushed.notes[0].startswith("somebody has answered 1 item of removed")
    assert sorted(held(world.api, project)["mx"]) == sorted([first["external_id"], third["external_id"]])
    assert pull(world.api, project.ledger, whole=True).missing == 0
    assert send(world, project).taken == 0

    remove(project, Which(country="MX"), undo=True)
    assert send(world, project).sent == {"mx": 1}
    assert len(held(world.api, project)["mx"]) == 3
    assert items(project) == {"BR": (3, 0), "MX": (3, 1)}


def test_a_moved_slate_goes_to_the_other_team_and_answers_of_the_first_do_not_count(
    world: World, tmp_path: Path
) -> None:
    project = some_project(tmp_path / "p", name=dataset_name())
    tail = project.settings.task.ranking.dataset[-6:]
    add_team(project, world.api, [person(f"ana-{tail}"), person(f"rui-{tail}", "BR", languages=("pt", "es"))])
    send(world, project)
    secrets = project.secrets()["passwords"]
    ana, rui = (world.annotator_client(f"{who}-{tail}", secrets[f"{who}-{tail}"]) for who in ("ana", "rui"))
    first = ana.queue(datasets(world.api, project)["mx"].id)[0]
    ana.answer(first["id"], ranking_of("1234"))
    pull(world.api, project.ledger)

    change_prompts(project, Which(country="MX"), {"country": "BR"})
    pushed = send(world, project)
    assert (pushed.taken, pushed.sent, pushed.standing) == (2, {"br": 3}, 3)
    assert held(world.api, project)["mx"] == [first["external_id"]]
    assert len(held(world.api, project)["br"]) == 6
    for row in rui.queue(datasets(world.api, project)["br"].id):
        rui.answer(row["id"], ranking_of("4321"))
    pull(world.api, project.ledger)
    assert items(project)["BR"] == (6, 6)
    assert counts(project)["unfit", "given in MX, from where its prompt was moved"] == 1
    assert Counter(answer.country for answer in answers(project.ledger, "ranking")) == {"BR": 6}


def test_a_snapshot_and_an_export_leave_removed_prompts_out_and_count_them(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    slates = fill(project, 3)
    before = frozen(project)
    remove(project, Which(ids=(slates[0].prompt_id,)))
    after = frozen(project)
    assert (before.rankings, after.rankings) == (6, 4)
    facts = json.loads((project.snapshot_folder(after.id) / "snapshot.json").read_text(encoding="utf-8"))
    assert facts["removed_prompts"] == 1
    done = export(project, tmp_path / "out")
    assert (done.rows["rankings.parquet"], done.removed_prompts) == (4, 1)
    remove(project, Which(ids=(slates[0].prompt_id,)), undo=True)
    assert frozen(project).id == before.id
