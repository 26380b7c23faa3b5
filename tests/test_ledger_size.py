"""A large ledger: what is counted is looked up and not read through, and is right after every change."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

from fake_argilla import person
from projects import fill, make_project

from annotation.ledger import MovedResponse, Response
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.tables import export
from annotation.types import Candidate, Prompt
from sync.reporting.next_step import next_step, stock
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX", "BR"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 5\noverlap = 2\n'
ROOT = Path(__file__).parent.parent


def look(project: Project) -> None:
    """What `annot status` reads of the ledger."""
    next_step(project, report(project), argilla_runs=True, have=stock(project))


def test_a_status_reads_through_no_table_of_texts_and_answers(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    slates = fill(project, 3)
    project.ledger.add_pushes("test", "dataset", {slate.id: slate.id for slate in slates})
    look(project)  # counts the answers; the next one finds them counted
    asked: list[str] = []
    project.ledger._db.set_trace_callback(asked.append)
    look(project)
    project.ledger._db.set_trace_callback(None)
    assert len(asked) > 20
    plans = {
        query: [row["detail"] for row in project.ledger.rows(f"explain query plan {query}")]
        for query in asked
        if not re.search(r"desc limit \d+(\)|$)", query.strip())  # the newest rows, found from the end
    }
    large = ("SCAN responses", "SCAN candidates", "SCAN pushes")
    through = {q: of for q, of in plans.items() if any(s.startswith(large) and "COVERING" not in s for s in of)}
    assert through == {}


def test_the_stock_is_what_the_tables_hold_after_every_change(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    ledger = project.ledger
    slates = fill(project, 4, ())
    first, second, *_ = (prompt.id for prompt in ledger.prompts())

    def told() -> tuple[float, ...]:
        have = stock(project)
        everyone = ledger.prompts(removed=True)
        assert ledger.count_prompts() == (have["prompts"], sum(prompt.removed for prompt in everyone))
        assert have["prompts"] == sum(not prompt.removed for prompt in everyone)
        return have["prompts"], have["candidates"], have["slates"], have["pushed"]

    assert told() == (4, 16, 4, 0)
    ledger.add_pushes("old", "dataset", {slate.id: slate.id for slate in slates[:3]})
    ledger.add_pushes("new", "dataset", {slate.id: slate.id for slate in slates[1:3]})
    assert told() == (4, 16, 4, 3)
    ledger.add_pushes("old", "dataset", {slates[0].id: ""})
    assert told() == (4, 16, 4, 2)
    change_prompts(project, Which(ids=(first, second)), {"removed": True})
    assert told() == (2, 16, 2, 2)
    change_prompts(project, Which(ids=(first,)), {"removed": False})
    assert told() == (3, 16, 3, 2)
    change_prompts(project, Which(ids=(first,)), {"country": "BR"})
    assert told() == (3, 16, 3, 2)
    change_prompts(project, Which(ids=(second,)), {"removed": False})
    change_prompts(project, Which(ids=(second,)), {"removed": True})
    ledger.add_prompts([Prompt.make("¿Otra?", country="MX", language="es")])
    ledger.add_candidates([Candidate.make(first, "Una más.", model="a file")])
    assert told() == (4, 17, 3, 2)


def test_everybody_was_seen_when_they_answered_last_and_not_when_they_were_moved(tmp_path: Path) -> None:
    project, draw = make_project(tmp_path, SETTINGS), random.Random(3)
    slates = fill(project, 3, ())
    project.ledger.add_people([person("ana"), person("eva"), person("rui", "BR"), person("zoe")])
    seen: dict[str, str] = {}
    for number in range(60):
        who, at = draw.choice(["ana", "eva", "rui"]), f"2026-0{draw.randint(1, 8)}-{number % 28 + 1:02}"
        slate, moved = draw.choice(slates), draw.random() < 0.4
        if moved:
            project.ledger.add_moved("new", [MovedResponse(f"r{number}", at, f"was{number}", "2025-01-01")])
        else:
            seen[who] = max(at, seen.get(who, ""))
        project.ledger.add_responses("new", [Response(f"r{number}", slate.id, who, "MX", "draft", at, "{}")])
        assert {w.annotator: w.last_seen for w in report(project).people} == {
            "zoe": "",
            "ana": "",
            "eva": "",
            "rui": "",
        } | seen


def test_lines_of_json_hold_every_text_as_it_is(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    odd = 'Dijo "sí" \\ y\n«no»\u2028\x7f 🌮 \x00 <b>&amp;</b>\tñ'
    slates = fill(project, 1)
    with project.ledger.transaction() as db:
        db.execute("update candidates set text = ? where id = ?", (odd, slates[0].seats[0]))
    done = export(project, tmp_path / "out")
    lines = (tmp_path / "out" / "preferences.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines[:-1]]
    assert len(rows) == done.rows["preferences.jsonl"] == 5
    assert lines[-1] == ""
    assert [row["chosen"] for row in rows].count([{"role": "assistant", "content": odd}]) == 3
    assert {"chosen_problems", "system"}.isdisjoint(rows[0])


def test_answers_that_a_project_has_are_known_by_their_ids(tmp_path: Path) -> None:
    project = make_project(tmp_path, SETTINGS)
    seats = fill(project, 2, ())[0].seats
    assert project.ledger.known_candidates([*seats[:2], "another"]) == set(seats[:2])
    assert project.ledger.known_candidates([]) == set()


def test_the_benchmark_makes_its_project_and_measures_every_command(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    words = ["--prompts", "30", "--answers", "120", "--keep", str(tmp_path / "p"), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "benchmarks/ledger.py", *words, "--only", "first status", "status after 1,000", "export"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert list(found) == ["first status", "status after 1,000", "export"]
    assert all(run["s"] > 0 and run["cpu_s"] > 0 and run["MB"] > 10 for run in found.values())
    assert stock(Project.open(tmp_path / "p")) | {"usd": 0} == {
        "prompts": 30,
        "candidates": 240,
        "slates": 30,
        "pushed": 30,
        "usd": 0,
    }
