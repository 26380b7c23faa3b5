"""Doubtful pages of an exam, told apart by a stand-in for Cohere that speaks its protocol to the real SDK."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, Answer, CohereStandIn, say
from projects import make_project

from annotation.errors import BudgetExhausted, DraftError
from annotation.exams.found import FoundExam, FoundQuestion
from annotation.exams.with_cohere import read_doubtful_pages
from annotation.money import committed_usd
from annotation.project import Project
from annotation.types import Dropped

SETTINGS = '[draft]\nmodels = ["command-r7b-12-2024"]\nkey = "production"\nbudget_usd = {}\n'
PAGE = """7. ¿Cómo se llama la sala en que se vela el
maíz? a) El troje b) La era
c) El co-
rral d) El pajar
8. ¿Quién la abre? a) Nadie b) El alcalde c) Todos d) La más joven"""
SURE = FoundQuestion("page 2", "6", "¿Y la otra?", ("u", "v", "w", "x"), 0, page=2)
RULES = FoundQuestion("page 2", "7", "¿Cómo se llama la sala?", ("El troje", "La era"), 1, page=2, unsure="2 options")
EXAM = FoundExam(
    "exam.pdf",
    "0" * 64,
    (SURE, RULES),
    (Dropped("question 8", "no options", "page 2: ¿Quién la abre?"), Dropped("question 31", "no options", "page 5")),
    doubtful={2: PAGE},
)
SEVEN = {
    "number": "7",
    "question": "¿Cómo se llama la sala en que se vela el maíz?",
    **dict(zip("abcd", ("El troje", "La era", "El corral", "El pajar"), strict=True)),
}
EIGHT = {
    "number": "8.",
    "question": "¿Quién la abre?",
    **dict(zip("abcd", ("Nadie", "El alcalde", "Todos", "La más joven"), strict=True)),
}


def telling(*questions: dict[str, str]) -> CohereStandIn:
    """A stand-in that tells these questions apart on every page."""
    return CohereStandIn(lambda body, _: Answer(say(body, json.dumps({"questions": questions}))))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("CO_API_KEY", KEY)
    return make_project(tmp_path / "p", SETTINGS.format(1))


def test_questions_that_stand_on_the_page_replace_those_that_the_rules_doubt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {**SEVEN, "number": "6", "question": "¿Y la otra?"}
    with telling(SEVEN, EIGHT, changed) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX")
    sure, seven, eight = found.questions
    assert sure == SURE
    assert seven == replace(
        RULES,
        question=SEVEN["question"],
        options=("El troje", "La era", "El corral", "El pajar"),
        extractor="Cohere command-r7b-12-2024",
        unsure="told apart by a model",
    )
    assert (eight.number, eight.options[3], eight.answer) == ("8", "La más joven", None)
    assert [drop.id for drop in found.dropped] == ["question 31"]
    assert found.notices == ("2 questions on 1 doubtful page told apart by command-r7b-12-2024.",)
    (request,) = server.requests
    assert request.body["response_format"]["type"] == "json_object"
    assert request.body["messages"][1]["content"] == PAGE


def test_options_in_another_order_or_with_a_gap_are_refused_since_the_key_would_mean_another(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = {**SEVEN, "c": SEVEN["d"], "d": SEVEN["c"]}
    gap = {**EIGHT, "c": "", "d": EIGHT["c"], "e": EIGHT["d"]}
    with telling(turned, gap) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX")
    assert (found.questions, found.dropped) == (EXAM.questions, EXAM.dropped)
    assert "2 refused that do not stand there" in found.notices[0]


def test_lost_questions_of_two_exams_with_one_number_stay_two(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = (Dropped("question 1-14", "no options", "page 2: a"), Dropped("question 2-14", "no options", "page 9: b"))
    with telling(SEVEN) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, replace(EXAM, dropped=both), "MX")
    assert found.dropped == both


def test_another_country_pays_for_no_page_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with telling(SEVEN) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        read_doubtful_pages(project, EXAM, "")
        read_doubtful_pages(project, EXAM, "MX")
    assert len(server.requests) == 1


def test_an_answer_that_was_cut_off_is_paid_once_and_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with CohereStandIn(lambda body, _: Answer(say(body, '{"questions": [', finish="MAX_TOKENS"))) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX")
    assert (found.questions, len(server.requests)) == (EXAM.questions, 1)
    assert "1 page answered in no form that can be read" in found.notices[0]


@pytest.mark.parametrize("part", ["question", "a", "d"])
def test_a_text_that_does_not_stand_on_the_page_is_never_accepted(
    project: Project, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    with telling({**SEVEN, part: SEVEN[part] + " mayor"}) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX")
    assert found.questions == EXAM.questions
    assert "1 refused that do not stand there" in found.notices[0]


def test_a_page_is_paid_for_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with telling(SEVEN) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        first = read_doubtful_pages(project, EXAM, "MX")
        spent = committed_usd(project.ledger)
        assert read_doubtful_pages(project, EXAM, "MX") == first
        monkeypatch.delenv("CO_API_KEY")
        assert read_doubtful_pages(project, EXAM, "MX") == first
    assert len(server.requests) == 1
    assert spent == committed_usd(project.ledger) > 0


def test_a_dry_run_says_what_it_may_cost_and_sends_and_makes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(SEVEN) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX", dry_run=True)
    assert (found.questions, server.requests) == (EXAM.questions, [])
    assert "1 page not read by it yet: at most $0.0" in found.notices[0]
    assert not (project.folder / "ledger.sqlite").exists()


def test_no_page_is_sent_that_could_exceed_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CO_API_KEY", KEY)
    project = make_project(tmp_path / "p", SETTINGS.format(0.0001))
    with telling(SEVEN) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        with pytest.raises(BudgetExhausted, match="budget_usd"):
            read_doubtful_pages(project, EXAM, "MX")
    assert server.requests == []


def test_an_answer_that_is_no_json_is_paid_and_another_is_asked_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behaviour(body: dict[str, Any], _: int) -> Answer:
        good = json.dumps({"questions": [SEVEN]})
        return Answer(say(body, "Claro, aquí están:" if body["seed"] == 0 else good))

    with CohereStandIn(behaviour) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        found = read_doubtful_pages(project, EXAM, "MX")
    assert (found.questions[1].options[2], len(server.requests)) == ("El corral", 2)


def test_without_a_key_the_sentence_says_what_to_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(DraftError, match="without --with-cohere the rules alone"):
        read_doubtful_pages(project, EXAM, "MX")


READ = """
from pathlib import Path
from test_exams_cohere import EXAM
from annotation.exams.with_cohere import read_doubtful_pages
from annotation.project import Project
pages = {page: EXAM.doubtful[2].replace("7.", f"{page}7.") for page in range(1, 9)}
from dataclasses import replace
read_doubtful_pages(Project.open(Path("%s")), replace(EXAM, doubtful=pages), "MX")
"""


def test_killed_while_pages_are_read_no_page_is_paid_for_twice(project: Project) -> None:
    with CohereStandIn(lambda body, _: Answer(say(body, '{"questions": []}'), delay_s=0.3)) as server:
        environment = {**os.environ, "CO_API_URL": server.url, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", READ % project.folder]
        killed = subprocess.Popen(command, env=environment)
        while len(server.requests) < 3:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        subprocess.run(command, env=environment, check=True, timeout=120)
    assert len({request.body["messages"][1]["content"] for request in server.requests}) == 8
    assert len({request.name for request in server.requests}) == len(server.requests)
    outcomes = Counter(row["outcome"] for row in project.ledger.rows("select outcome from outcomes"))
    # What was cut off counts as paid in full, and another slot was called in its place.
    assert outcomes["lost"] > 0
    assert outcomes == {"answer": 8, "lost": outcomes["lost"]}
