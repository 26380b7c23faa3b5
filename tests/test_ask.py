"""Questions with structured answers, put to a stand-in for Cohere that speaks its protocol to the real SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, Answer, CohereStandIn, say
from projects import make_project

from annotation.drafting.ask import Question, answered, ask, outlook_of
from annotation.errors import BudgetExhausted, DraftError, SettingsError
from annotation.money import committed_usd
from annotation.project import Project

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "better": {"type": "string", "enum": ["A", "B", "tie"]},
        "why": {"type": "array", "items": {"type": "string"}},
        "sure": {"type": "boolean"},
        "places": {"type": "integer"},
    },
    "required": ["better", "why"],
}
ASKED = Question("hint", "command-r7b-12-2024", "Say which is better.", "A: sí. B: no.", SCHEMA, 100, country="MX")
HINT = {"better": "tie", "why": ["igual"], "sure": True, "places": 2}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("CO_API_KEY", KEY)
    return make_project(tmp_path / "p", '[draft]\nkey = "production"\nbudget_usd = 1\n')


Saying = Callable[..., CohereStandIn]


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Saying:
    def begin(*texts: str, finish: str = "COMPLETE") -> CohereStandIn:
        left = list(texts)
        server = CohereStandIn(
            lambda body, _: Answer(say(body, left.pop(0) if len(left) > 1 else left[0], finish=finish))
        )
        monkeypatch.setenv("CO_API_URL", server.url)
        return server

    return begin


def test_an_answer_is_paid_once_and_read_from_the_ledger_afterwards(
    project: Project, saying: Saying, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(ASKED, text="A: no. B: sí.")
    with saying(json.dumps(HINT)) as server:
        assert ask(project, [ASKED, ASKED, other]) == {ASKED.id: HINT, other.id: HINT}
        monkeypatch.delenv("CO_API_KEY")
        assert ask(project, [other, replace(ASKED, voice="another", country="PE")]) == {ASKED.id: HINT, other.id: HINT}
    assert len(server.requests) == 2
    body = server.requests[0].body
    assert body["response_format"] == {"type": "json_object", "json_schema": SCHEMA}
    assert [message["content"] for message in body["messages"]] in (
        [ASKED.system, ASKED.text],
        [ASKED.system, other.text],
    )
    billed = sum(
        0.0375 * tokens_in + 0.15 * tokens_out for tokens_in, tokens_out in (r.billed for r in server.requests)
    )
    assert committed_usd(project.ledger) == pytest.approx(billed / 1e6)


@pytest.mark.parametrize(
    "wrong",
    [
        "no JSON",
        "[]",
        '{"better": "A"}',
        '{"better": "C", "why": []}',
        '{"better": "A", "why": [1]}',
        '{"better": "A", "why": [], "sure": 1}',
        '{"better": "A", "why": [], "places": true}',
    ],
)
def test_an_answer_of_another_shape_is_paid_and_another_try_stands_in_for_it(
    project: Project, saying: Saying, wrong: str
) -> None:
    with saying(wrong, json.dumps(HINT)) as server:
        assert ask(project, [ASKED]) == {ASKED.id: HINT}
    assert [request.body["seed"] for request in server.requests] == [0, 1]
    assert [row["outcome"] for row in project.ledger.rows("select outcome from outcomes")] == ["broken", "answer"]


def test_an_answer_that_was_cut_off_is_paid_once_and_says_nothing(project: Project, saying: Saying) -> None:
    with saying('{"better": "A", "wh', finish="MAX_TOKENS") as server:
        assert ask(project, [ASKED]) == {ASKED.id: None}
        assert ask(project, [ASKED]) == {ASKED.id: None}
    assert len(server.requests) == 1


def test_after_three_tries_a_question_stays_without_an_answer(project: Project, saying: Saying) -> None:
    with saying("no JSON") as server:
        assert ask(project, [ASKED]) == {}
        assert ask(project, [ASKED]) == {}
    assert len(server.requests) == 3


def test_a_forecast_sends_nothing_makes_no_ledger_and_knows_what_is_answered(project: Project, saying: Saying) -> None:
    seen = outlook_of(project, [ASKED], answer_tokens=30)
    assert not (project.folder / "ledger.sqlite").exists()
    (line,) = seen.models
    assert (seen.prompts, line.calls, line.output_tokens) == (1, 1, 30)
    assert 0 < seen.usd < seen.most_usd
    with saying(json.dumps(HINT)):
        ask(project, [ASKED])
    assert outlook_of(project, [ASKED], answer_tokens=30).prompts == 0


def test_a_model_without_a_price_and_a_call_beyond_the_budget_are_refused(project: Project, saying: Saying) -> None:
    with saying(json.dumps(HINT)) as server:
        with pytest.raises(SettingsError, match="has no price"):
            ask(project, [replace(ASKED, model="command-r8b")])
        with pytest.raises(BudgetExhausted):
            ask(project, [replace(ASKED, model="command-a-03-2025", max_tokens=200_000)])
    assert not server.requests


def test_without_a_key_the_sentence_says_what_helps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY")
    with pytest.raises(DraftError, match=r"\(mode 0600\); ask nobody\.$"):
        ask(project, [ASKED], otherwise="ask nobody")
    with pytest.raises(DraftError, match=r"\(mode 0600\)\.$"):
        ask(project, [ASKED])


def test_what_a_forgotten_prompt_was_asked_about_says_nothing_any_more(project: Project, saying: Saying) -> None:
    from annotation.lineage.erase import erase_prompt
    from annotation.types import Prompt

    prompt = Prompt.make("¿Qué se come en la feria?", country="MX", language="es")
    project.ledger.add_prompts([prompt])
    about = replace(ASKED, about=prompt.id)
    with saying(json.dumps(HINT)) as server:
        ask(project, [about])
        erase_prompt(project.ledger, prompt.id, "")
        assert ask(project, [about]) == answered(project.ledger, [about]) == {about.id: None}
    assert len(server.requests) == 1
