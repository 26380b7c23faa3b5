"""Facts about a project's data: they add up, name nobody, and a snapshot keeps those of its moment."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from annotation.data_facts import data_facts, table_of
from annotation.ledger import Response
from annotation.money import Call, Outcome, reserve, settle
from annotation.prompts.change import Which, change_prompts
from annotation.prompts.review import add_checks
from annotation.tasks import TASKS
from annotation.tasks.page import TeamPage
from annotation.types import Candidate, Person, Prompt, Slate
from sync.snapshot import freeze
from tests.projects import fill, frozen, judge, make_project, quotas

TWO_TEAMS = '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es", "pt"]\n[task.ranking]\noverlap = 2\n'


def test_people_answers_and_items_are_counted_by_country_and_agree_with_the_tables(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    slates = fill(project, 6, ("mx_1", "mx_2", "mx_3"))
    project.ledger.add_people([Person("br_1", "Rui Sá", "annotator", "BR", ("pt",))])
    found = data_facts(project)["tasks"]["ranking"]
    assert (found["items"], found["answered"], found["answers"]) == (6, 6, 18)
    assert found["people_per_item"] == {"3": 6}
    assert found["answers_by_country"] == {"MX": 18}
    assert (found["people"], found["countries"], found["people_by_country"]) == (3, 1, {"MX": 3})
    assert found["agreement"]["MX"] == {"alpha": 1.0, "low": None, "high": None, "items": 6, "annotators": 3}
    assert found["made"] == {"preferences": frozen(project).preferences}
    assert len(slates) == 6


def test_what_does_not_count_is_counted_by_reason_and_names_nobody(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    slates = fill(project, 4, ("ana.lopez", "mx_2"))
    judge(project, slates[:1], ("mx_3",))
    change_prompts(project, Which(ids=(slates[0].prompt_id,)), {"removed": True})
    project.ledger.decide("ana.lopez", excluded='Ana López wrote "(nothing)"')
    taken = next(r for r in project.ledger.responses() if r.item_id == slates[1].id and r.annotator == "mx_2")
    stranger = replace(taken, response_id="other", annotator="el.dueño")
    project.ledger.add_responses(
        "test", [replace(taken, status="deleted", updated_at="2026-02-01T00:00:00.000000"), stranger]
    )
    found = data_facts(project)
    assert found["left_out"] == {
        "removed_prompts": 1,
        "excluded_people": 1,
        "withdrawn": 1,
        "drafts": 0,
        "passed_over": 0,
        "answers": {
            "by people whose answers are left out": 3,
            "its prompt was removed": 3,
            "by people who are not on the team": 1,
        },
        "prompts_at_reading": {},
    }
    text = json.dumps(found, ensure_ascii=False)
    assert not [name for name in ("ana.lopez", "López", "mx_2", "dueño") if name in text]


def test_weights_of_votes_are_told_as_numbers_of_people_and_only_where_there_are_any(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    fill(project, 2, ("mx_1", "mx_2", "mx_3", "mx_4"))
    assert "weighted" not in data_facts(project)
    project.ledger.decide("mx_1", weight=0.5, auto=True, reason="mx_1 hurries")
    project.ledger.decide("mx_2", weight=1.5, reason="knows it best")
    project.ledger.decide("mx_3", auto=True)
    project.ledger.decide("mx_4", weight=0.5, excluded="never reads")
    project.ledger.add_people([Person("br_1", "", "annotator", "BR", ("pt",), weight=0.5)])  # who answered nothing
    found = data_facts(project)
    assert found["weighted"] == {"people": 2}
    assert not [name for name in ("mx_1", "hurries", "knows it best") if name in json.dumps(found)]


def test_sources_models_and_money_are_told(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    project.ledger.add_people([Person("maria_souza", "Maria Souza", "annotator", "MX", ("es",))])
    project.ledger.add_prompts(
        [
            Prompt.make(f"pregunta {n}", country="MX", language="es", topic="agua", source=source, licence=licence)
            for n, (source, licence) in enumerate(
                (("uno.csv:1", "cc-by-4.0"), ("uno.csv:2 q 2", "cc-by-4.0"), ("maria_souza.csv:3", ""))
            )
        ]
    )
    first = project.ledger.prompts()[0]
    call = Call("s", 0, first.id, 0, "model-b", "", {}, 0.5)
    reserve(project.ledger, call, 10)
    made = [Candidate.make(first.id, text, model="model-b", cost_usd=0.25) for text in ("sí", "claro")]
    settle(project.ledger, call, Outcome("answer", 0.25), made[0])
    project.ledger.add_candidates([*made, Candidate.make(first.id, "no", model="model-a")])
    from annotation.tasks.ranking.slates import add_slates

    add_slates(project.ledger, [Slate("s1", first.id, (made[0].id, made[1].id), 0)])
    found = data_facts(project)
    assert found["prompts"]["sources"] == [
        {"source": "[user].csv", "licence": "", "prompts": 1},
        {"source": "uno.csv", "licence": "cc-by-4.0", "prompts": 2},
    ]
    assert found["prompts"]["topics"] == {"agua": 3}
    assert found["prompts"]["characters"]["median"] == len("pregunta 0")
    assert (found["candidates"]["candidates"], found["candidates"]["on_slates"]) == (3, 2)
    assert found["candidates"]["usd"] == 0.25
    shares = {"candidates": 2, "on_slates": 2, "share": 0.6667, "share_on_slates": 1.0, "usd": 0.25}
    assert found["candidates"]["models"][1] == {"model": "model-b", **shares}


def test_guidelines_are_told_as_each_team_reads_them(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    fill(project, 2)
    add_checks(project.ledger)
    project.ledger.add_people([Person("br_1", "", "annotator", "BR", ("pt",))])
    ours = TASKS["ranking"].form(TeamPage("es", "MX"), project.settings).guidelines
    (ranking,) = data_facts(project)["tasks"]["ranking"]["guidelines"]
    digest = sha256(ours.encode()).hexdigest()
    assert ranking == {"countries": ["MX"], "language": "es", "file": "", "sha256": digest, "text": ours}
    # Nobody has checked a prompt: what the teams would read.
    checks = data_facts(project)["tasks"]["prompt_check"]
    assert (checks["items"], checks["answered"], checks["answers"]) == (2, 0, 0)
    assert [text["countries"] for text in checks["guidelines"]] == [["BR"], ["MX"]]
    (project.folder / "guidelines").mkdir()
    (project.folder / "guidelines" / "MX.md").write_text("# Nuestras reglas\n", encoding="utf-8")
    (ranking,) = data_facts(project)["tasks"]["ranking"]["guidelines"]
    assert (ranking["file"], ranking["text"]) == ("MX.md", "# Nuestras reglas")
    (project.folder / "guidelines" / "es.toml").write_text("[nothing]\n", encoding="utf-8")
    (ranking,) = data_facts(project)["tasks"]["ranking"]["guidelines"]
    assert ranking == {"reason": "the project's own texts could not be read"}


def test_a_snapshot_keeps_the_facts_of_its_moment_and_its_id(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    fill(project, 6)
    snapshot = frozen(project)
    marker = project.snapshot_folder(snapshot.id) / "snapshot.json"
    kept = json.loads(marker.read_text(encoding="utf-8"))
    assert kept["data"] == data_facts(project)
    # A prompt more changes what is said of the data, and nothing that a run is trained on.
    project.ledger.add_prompts([Prompt.make("otra", country="MX", language="es")])
    again = freeze(project, quotas(project))
    assert again is not None
    assert again.id == snapshot.id
    assert json.loads(marker.read_text(encoding="utf-8")) == kept
    shutil.rmtree(project.folder / "snapshots")
    assert frozen(project).id == snapshot.id
    assert json.loads(marker.read_text(encoding="utf-8"))["data"]["prompts"]["prompts"] == 7


def test_an_empty_project_has_facts_without_tasks(tmp_path: Path) -> None:
    found = data_facts(make_project(tmp_path / "p", TWO_TEAMS))
    assert found["tasks"] == {}
    assert found["people"] == {"people": 0, "countries": 0, "people_by_country": {}}
    assert found["candidates"]["usd"] == 0


def test_the_table_of_a_prompt_is_told_without_its_row() -> None:
    assert table_of("a:b.xlsx:12 label: 3") == "a:b.xlsx"
    assert table_of("https://example.org/x:7") == "https://example.org/x"
    assert table_of("typed by hand") == "typed by hand"


def test_responses_of_nobody_are_no_people(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TWO_TEAMS)
    slate = fill(project, 1)[0]
    known = project.ledger.responses()[0]
    project.ledger.add_responses("demo", [Response("x", slate.id, "", "MX", "submitted", known.updated_at, known.raw)])
    assert data_facts(project)["people"]["people"] == 2
