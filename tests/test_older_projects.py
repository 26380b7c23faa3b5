"""A project that annot 0.1.0 made opens in every later version, and what it wrote then it writes again.

`fixtures/project-0.1/` was made with that version, by its commands on two real servers, and stays as it is. A ledger
only grows, so an earlier moment of the project is its rows up to then.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_argilla import FakeArgilla
from projects import annot

from annotation.project import Project, init_project
from annotation.selection.store import prompt_vectors
from annotation.tasks import TASKS
from annotation.tasks.answers import answers
from annotation.tasks.base import Texts
from annotation.tasks.page import PURPOSE, VECTOR, TeamPage
from annotation.tasks.ranking.tables import SPARSE
from sync.argilla.protocol import Account, Dataset
from sync.cycle import sync_once
from sync.push import push
from sync.reporting.status import report
from sync.snapshot import freeze
from sync.team import add_team
from sync.trigger import trigger

OLD = Path(__file__).parent / "fixtures" / "project-0.1"

MOMENTS = ("quotas to go", "quotas met", "moved")
"""Moments of the project: people are at work; the run has begun; after more work, all is on another server."""

WRITTEN_AT = {
    "prompts": "added_at",
    "candidates": "added_at",
    "dropped": "at",
    "calls": "at",
    "outcomes": "at",
    "slates": "made_at",
    "people": "at",
    "pushes": "at",
    "responses": "pulled_at",
    "launches": "at",
    "launch_events": "at",
    "moved_responses": "at",
    "moves": "at",
}
"""Table of the ledger -> the column that says when a row was written."""

ADDED_BY = {
    2: ("drop table moved_responses", "drop table moves"),
    3: ("drop index responses_of_slate", "drop index slate_of_record"),
}
"""Number of a migration -> what takes it back."""

LATER = SPARSE
"""Columns that came later. Of an older project they are empty."""

MACHINE = {"server", "move", "backup", "next", "short_teams", "last_day", "detail", "reason", "low", "high"}
"""Keys of `annot status --json` that depend on the machine, the day or the random numbers of a bootstrap, or hold a
sentence for people."""


def expected() -> dict[str, Any]:
    """What the version that made the project said of it."""
    found: dict[str, Any] = json.loads((OLD / "expected.json").read_text(encoding="utf-8"))
    return found


def old_project(folder: Path, moment: str, *, tables: int = 3) -> Project:
    """A copy of the project as it was at a moment, with the tables of so many migrations."""
    shutil.copytree(OLD, folder)
    (folder / "secrets.toml").chmod(0o600)
    until = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["moments"][moment]["until"]
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.executescript((folder / "ledger.sql").read_text(encoding="utf-8"))
        for table, column in WRITTEN_AT.items():
            db.execute(f"delete from {table} where {column} > ?", (until,))
        for number in sorted(ADDED_BY, reverse=True):
            for statement in ADDED_BY[number] if number > tables else ():
                db.execute(statement)
        db.execute("delete from migrations where number > ?", (tables,))
        db.commit()
    return Project.open(folder)


# -- what is compared -------------------------------------------------------------------------------------


AS_BEFORE = {"tied": "tie", "contested": "tie"}
"""Reasons that had one name in the version before."""


def status_of(project: Project) -> Any:
    """`annot status --json` without what depends on the machine."""
    return _without_machine(json.loads(annot(project, "status", "--json")))


def _without_machine(told: Any) -> Any:
    if isinstance(told, dict):
        renamed = Counter[str]()
        again = {key for key in AS_BEFORE.keys() & told.keys() if isinstance(told[key], int)}
        for key in again:
            renamed[AS_BEFORE[key]] += told[key]
        kept = {key: value for key, value in told.items() if key not in {*MACHINE, *again}}
        return {key: _without_machine(value) for key, value in {**kept, **renamed}.items()}
    return [_without_machine(item) for item in told] if isinstance(told, list) else told


def exports_of(project: Project, folder: Path) -> dict[str, Any]:
    """File -> its columns and a digest of every row, in their order; of another file, a digest of what is in it."""
    annot(project, "export", "--to", str(folder))
    return {file.name: described(file) for file in sorted(folder.iterdir())}


def described(file: Path) -> Any:
    """A file that annot wrote, in a few words."""
    if file.suffix == ".jsonl":  # as it was written before, with blanks between
        lines = (json.dumps(json.loads(line), ensure_ascii=False) + "\n" for line in file.read_bytes().splitlines())
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if file.suffix != ".parquet":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    table = pq.read_table(file)
    later = [name for name in LATER if name in table.column_names]
    assert not any(value for name in later for value in table[name].to_pylist())
    table = table.drop_columns(later)
    rows = [{key: AS_BEFORE.get(str(value), value) for key, value in row.items()} for row in table.to_pylist()]
    return {"columns": table.column_names, "rows": [digest(list(row.values())) for row in rows]}


def digest(told: Any) -> str:
    """Tells contents apart."""
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:16]


def snapshot_of(project: Project) -> str:
    """Id of the snapshot that is frozen now."""
    frozen = freeze(project, report(project).quotas)
    assert frozen is not None
    return frozen.id


def launches_of(project: Project) -> list[list[str]]:
    """Key, snapshot and run of everything that the trigger owns."""
    rows = project.ledger.rows("select quotas, snapshot_id, run from launches order by at")
    return [[row["quotas"], row["snapshot_id"], row["run"]] for row in rows]


def push_of(project: Project) -> dict[str, Any]:
    """Form and records of each workspace, as an empty server is sent them; vectors and guidelines as digests."""
    api = FakeArgilla()
    add_team(project, api, [person for person in project.ledger.people() if person.active])
    push(api, project.ledger, project.settings, vectors=prompt_vectors(project))
    sent: dict[str, Any] = {}
    for dataset in api.datasets():
        records = []
        for row in api.rows[dataset.id]:
            vectors = {name: struct.pack(f"<{len(v)}f", *v).hex() for name, v in row["vectors"].items()}
            content = {key: row[key] for key in ("external_id", "fields", "metadata")}
            records.append({**content, "vectors": {name: digest(vector) for name, vector in vectors.items()}})
        form = json.loads(json.dumps(asdict(api.forms[dataset.id])))
        form["guidelines"] = digest(form["guidelines"])
        # A dataset that is made now asks for the problems of each answer.
        form["questions"] = [question for question in form["questions"] if question["name"] != "problems"]
        # And it tells what is no work.
        form["metadata"] = [one for one in form["metadata"] if one["name"] != PURPOSE]
        sent[dataset.workspace] = {"name": dataset.name, "form": form, "records": records}
    return sent


def training_of(project: Project) -> dict[str, Any]:
    """What a run would learn from the snapshot that the met quotas own."""
    ((_, snapshot, _),) = launches_of(project)
    words = ("train", "--dry-run", "--preset", "cpu-smoke", "--snapshot", snapshot, "--json")
    plan = json.loads(annot(project, *words))
    counts = ("read", "kept", "prompts", "countries", "answers", "rankings", "comparisons", "ties", "dropped")
    return {
        **{name: plan["preflight"][name] for name in counts},
        **{name: plan[name] for name in ("train_slates", "held_out_slates")},
    }


def holds(found: Any, told: Any) -> bool:
    """Whether all that was told is there still, in its order; more keys may have come, and numbers agree to 1e-9."""
    if isinstance(told, Mapping):
        return isinstance(found, Mapping) and all(key in found and holds(found[key], told[key]) for key in told)
    if isinstance(told, list):
        return isinstance(found, list) and len(found) == len(told) and all(map(holds, found, told))
    if isinstance(told, float):
        return isinstance(found, float | int) and math.isclose(found, told, rel_tol=0, abs_tol=1e-9)
    return bool(found == told)


def argilla_of(project: Project) -> FakeArgilla:
    """The server as the last sync left it, made from what the ledger kept of it."""
    api, ledger = FakeArgilla(), project.ledger
    api.server = ledger.rows("select server from pushes order by at desc limit 1")[0]["server"]
    rooms = {item.id: item.country.lower() for item in ledger.items()}
    texts = Texts.of(ledger, TASKS["ranking"], ledger.items("ranking"))
    fields = {i.id: TASKS["ranking"].record(i, texts, None)["fields"] for i in ledger.items("ranking")}
    records = {}
    for row in ledger.rows("select dataset, item_id, record_id from pushes where server = ?", api.server):
        api.made[row["dataset"]] = Dataset(row["dataset"], "any", rooms[row["item_id"]], True, 2)
        record = {"id": row["record_id"], "external_id": row["item_id"], "responses": []}
        record["fields"] = fields[row["item_id"]]
        api.rows.setdefault(row["dataset"], []).append(record)
        records[row["record_id"]] = record
    for response in ledger.responses(api.server):
        raw = json.loads(response.raw)
        api.users[raw["user_id"]] = Account(raw["user_id"], response.annotator, "", "annotator")
        if response.status != "deleted":
            records[raw["record_id"]]["responses"].append(raw)
    return api


# -- what must stay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_older_project_opens_and_its_counts_quotas_and_agreement_are_what_they_were(
    tmp_path: Path, moment: str
) -> None:
    found, told = (
        status_of(old_project(tmp_path / "p", moment)),
        _without_machine(expected()["moments"][moment]["status"]),
    )
    assert [part for part in told if not holds(found.get(part), told[part])] == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_older_project_exports_the_same_files(tmp_path: Path, moment: str) -> None:
    project = old_project(tmp_path / "p", moment)
    found = exports_of(project, tmp_path / "exports")
    assert found.pop("README.md")  # what `datasets` reads
    assert found == expected()["moments"][moment]["export"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_older_project_freezes_the_same_snapshot(tmp_path: Path, moment: str) -> None:
    project = old_project(tmp_path / "p", moment)
    shutil.rmtree(project.folder / "snapshots")
    assert snapshot_of(project) == expected()["moments"][moment]["snapshot"]


def test_a_snapshot_that_is_frozen_again_has_the_same_files(tmp_path: Path) -> None:
    project = old_project(tmp_path / "p", "quotas met")
    (kept,) = (OLD / "snapshots").iterdir()
    shutil.rmtree(project.folder / "snapshots")
    again = project.snapshot_folder(snapshot_of(project))
    files = sorted(file.name for file in kept.iterdir())
    assert again.name == kept.name
    assert sorted(file.name for file in again.iterdir()) == files
    assert len(files) == 3
    for name in ("preferences.parquet", "rankings.parquet"):
        assert described(again / name) == described(kept / name)
        found = pq.read_table(again / name)
        known = [column for column in found.column_names if column not in LATER]
        assert found.select(known).to_pylist() == pq.read_table(kept / name).to_pylist()
    facts, known = (json.loads((folder / "snapshot.json").read_text(encoding="utf-8")) for folder in (again, kept))
    for key in ("id", "rankings", "preferences", "quotas"):
        assert holds(facts[key], known[key]), key


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_trigger_starts_nothing_that_an_older_version_started(tmp_path: Path, moment: str) -> None:
    project, told = old_project(tmp_path / "p", moment), expected()["moments"][moment]
    launch = trigger(project, report(project).quotas)
    found = [[launch.snapshot_id, launch.run, launch.state]] if launch else []
    assert found == [[snapshot, run, "handed over"] for _, snapshot, run in told["launches"]]
    assert launches_of(project) == told["launches"]
    assert not (project.folder / "runs").exists()


def test_quotas_that_are_met_have_the_key_that_they_had(tmp_path: Path) -> None:
    project = old_project(tmp_path / "p", "quotas met")
    with project.ledger.transaction() as db:
        db.execute("delete from launches")
        db.execute("delete from launch_events")
    launch = trigger(project, report(project).quotas)
    assert launch is not None
    assert launch.state == "started"
    assert launches_of(project) == expected()["moments"]["quotas met"]["launches"]


def test_a_run_learns_the_same_from_an_older_snapshot(tmp_path: Path) -> None:
    assert training_of(old_project(tmp_path / "p", "quotas met")) == expected()["training"]


def test_problems_of_an_older_project_are_those_of_whole_slates(tmp_path: Path) -> None:
    project = old_project(tmp_path / "p", MOMENTS[-1])
    problems = [answer.value.problems for answer in answers(project.ledger, "ranking")]
    assert {of for found in problems for of in found} == {""}


def test_files_that_an_older_version_read_bring_nothing_new(tmp_path: Path) -> None:
    project = old_project(tmp_path / "p", MOMENTS[-1])
    prompts, candidates = project.ledger.prompts(), project.ledger.candidates()
    rows = [
        {"prompt": p.text, "system": p.system, "country": p.country, "language": p.language, "topic": p.topic}
        for p in prompts
    ]
    answers = [{"prompt_id": c.prompt_id, "candidate": c.text} for c in candidates if c.model == "a file"]
    assert rows
    assert answers
    (tmp_path / "prompts.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    annot(project, "prompts", "add", str(tmp_path / "prompts.json"))
    annot(project, "draft", "--from", str(tmp_path / "answers.json"))
    assert project.ledger.prompts() == prompts
    assert project.ledger.candidates() == candidates


def test_an_older_project_sends_the_same_records(tmp_path: Path) -> None:
    found, told = push_of(old_project(tmp_path / "p", MOMENTS[-1])), expected()["push"]
    assert sorted(found) == sorted(told)
    for workspace, sent in told.items():
        sent["form"]["questions"] = [q for q in sent["form"]["questions"] if q["name"] != "problems"]
        assert found[workspace]["records"] == sent["records"]
        # What a new dataset is called, and what people are told, may change.
        assert sent.pop("name")
        assert sent["form"].pop("guidelines")
        assert holds(found[workspace], sent), workspace


def test_an_older_project_goes_on_in_its_datasets(tmp_path: Path) -> None:
    project = old_project(tmp_path / "p", MOMENTS[-1])
    api = argilla_of(project)
    before = api.datasets()
    for dataset in before:
        api.rooms[dataset.workspace] = dataset.workspace
        api.forms[dataset.id] = TASKS["ranking"].form(TeamPage("es"), project.settings)
    sent = push(api, project.ledger, project.settings, tasks=["ranking"])
    assert sum(sent.sent.values()) == 0
    assert sent.standing
    assert [replace(one, rules={}) for one in api.datasets()] == before, "but for who is asked what"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sync_of_an_older_project_finds_nothing_new(tmp_path: Path, moment: str) -> None:
    project, told = old_project(tmp_path / "p", moment), expected()["moments"][moment]["sync"]
    rows = "select count(*) as n from responses"
    before = project.ledger.rows(rows)[0]["n"]
    synced = sync_once(project, argilla_of(project))
    assert synced.pulled.records
    assert not synced.pulled.changed
    if moment == "moved":  # answers that stayed on the older server count too
        told.pop("responses")
    assert holds(synced.as_json()["pulled"], told)
    assert project.ledger.rows(rows)[0]["n"] == before


@pytest.mark.parametrize(("tables", "moment"), [(1, "quotas met"), (2, "moved"), (3, "moved")])
def test_a_ledger_with_the_tables_of_an_earlier_version_is_brought_up_to_date(
    tmp_path: Path, tables: int, moment: str
) -> None:
    project = old_project(tmp_path / "p", moment, tables=tables)
    with closing(sqlite3.connect(project.folder / "ledger.sqlite")) as db:
        assert db.execute("select max(number) from migrations").fetchone() == (tables,)
    fresh = init_project(tmp_path / "fresh", name="prueba", countries=["MX"], languages=["es"])
    assert tables_of(project) == tables_of(fresh)
    told = expected()["moments"][moment]
    assert holds(status_of(project), _without_machine(told["status"]))
    assert snapshot_of(project) == told["snapshot"]
    assert not sync_once(project, argilla_of(project)).pulled.changed


def tables_of(project: Project) -> dict[str, str]:
    """Name of a table, index or trigger -> how it was made."""
    return {row["name"]: row["sql"] for row in project.ledger.rows("select name, sql from sqlite_master")}


def test_the_older_project_holds_every_kind_of_answer(tmp_path: Path) -> None:
    """What is compared above is worth comparing."""
    ledger = old_project(tmp_path / "p", MOMENTS[-1]).ledger
    assert {response.status for response in ledger.responses()} == {"submitted", "draft", "discarded", "deleted"}
    raws = [json.loads(response.raw)["values"] or {} for response in ledger.responses()]
    for question in ("problems", "acceptable", "rewrite"):
        assert any(question in values for values in raws), question
    ranks = [[item["rank"] for item in values["ranking"]["value"]] for values in raws if "ranking" in values]
    assert any(len(set(given)) < len(given) for given in ranks), "no tie"
    assert any("@" in str(values) for values in raws)
    assert ledger.moved({response.response_id for response in ledger.responses()})
    assert ledger.moves()
    assert any(VECTOR in record["vectors"] for record in expected()["push"]["mx"]["records"])
