"""Drafting with the real Cohere SDK, against a stand-in for Cohere over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from cohere_server import KEY, Answer, Behaviour, CohereStandIn, invent, say, standing_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.config import DraftSettings, Settings, read_settings
from annotation.drafting.cohere import Cohere
from annotation.drafting.draft import Drafted, Tally, draft, outlook
from annotation.drafting.personas import personas
from annotation.drafting.plan import estimate, plan, slots
from annotation.drafting.prices import OURS, Price, read_prices
from annotation.drafting.verdict import verdict
from annotation.drafting.workers import Patience
from annotation.drafting.writer import Fault, Reply
from annotation.errors import BudgetExhausted, DraftError, SettingsError
from annotation.ledger import Ledger
from annotation.money import Call, Outcome, committed_usd, reserve, settle, settle_lost
from annotation.project import Project, init_project
from annotation.types import Prompt

QUICK = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=5.0, jitter_s=0.0)
PRICES = OURS.read_text(encoding="utf-8")
FAST = PRICES.replace("per_minute = 20", "per_minute = 60000").replace(", per_month = 1000", "")


def make_project(folder: Path, prompts: int = 2, prices: str = FAST, **changes: Any) -> Project:
    """A project with prompts in Spanish and Portuguese, limits that do not slow a test down, and [draft] as asked."""
    project = init_project(folder, name="prueba", countries=["MX", "BR"], languages=["es", "pt"])
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in {"candidates": 4, **changes}.items())
    path = folder / "annot.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[draft]", f"[draft]\n{lines}"), encoding="utf-8")
    (folder / "prices.toml").write_text(prices, encoding="utf-8")
    project.ledger.add_prompts(
        Prompt.make(f"¿Qué se come en la fiesta número {number}?", country="MX", language="es")
        if number % 2 == 0
        else Prompt.make(f"O que se come na festa número {number}?", country="BR", language="pt")
        for number in range(prompts)
    )
    return Project(project.folder, read_settings(path))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[CohereStandIn]:
    with standing_in() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        yield server


def billed_usd(server: CohereStandIn, project: Project) -> float:
    """What the stand-in billed, at the project's prices."""
    prices = read_prices(project.folder).models
    return sum(prices[request.model].usd(*request.billed) for request in server.requests)


def answers_per_prompt(project: Project) -> set[int]:
    counted = Counter(candidate.prompt_id for candidate in project.ledger.candidates())
    return {counted[prompt.id] for prompt in project.ledger.prompts()}


def calls_of(project: Project) -> list[sqlite3.Row]:
    """All calls with what became of them, oldest first."""
    return project.ledger.rows(
        "select c.*, o.outcome from calls c left join outcomes o using (slot_id, attempt) order by c.rowid"
    )


def instant(at: str) -> float:
    """Seconds of a time in the ledger."""
    return datetime.fromisoformat(at).timestamp()


def once(what: Answer) -> Behaviour:
    """Do it the first time a request comes, and answer when it comes again."""
    return lambda _body, seen: what if seen == 0 else None


def always(what: Answer) -> Behaviour:
    """Do it to every call."""
    return lambda _body, _seen: what


def for_slot_of(project: Project, number: int, what: Answer) -> Behaviour:
    """Do it to every call for one slot number, and answer the others."""
    prompts = project.ledger.prompts()
    seeds = {
        slot.settings["seed"]
        for prompt in prompts
        for slot in slots(prompt, project.settings.draft, project.settings.project.seed)
        if slot.number == number
    }
    return lambda body, _seen: what if body["seed"] in seeds else None


# -- the good case ------------------------------------------------------------------------------------------


def test_every_prompt_gets_its_answers_and_the_ledger_knows_what_they_cost(
    tmp_path: Path, stand_in: CohereStandIn
) -> None:
    project = make_project(tmp_path, prompts=4)
    done = draft(project)
    assert done.answers == 16
    assert done.outcomes == {"answer": Tally(16, done.usd)}
    assert (done.open, done.short) == (0, ())
    assert answers_per_prompt(project) == {4}
    assert done.usd == pytest.approx(billed_usd(stand_in, project)) == pytest.approx(committed_usd(project.ledger))
    assert sum(candidate.cost_usd for candidate in project.ledger.candidates()) == pytest.approx(done.usd)
    [row] = {row["raw"] for row in project.ledger.rows("select raw from outcomes limit 1")}
    assert json.loads(row)["usage"]["billed_units"]["output_tokens"] > 0


@pytest.mark.parametrize("whole", [True, False])
def test_addresses_and_numbers_in_what_cohere_says_are_kept_nowhere(
    tmp_path: Path, stand_in: CohereStandIn, whole: bool
) -> None:
    project = make_project(tmp_path, prompts=2)
    private = ("chef.ana@example.mx", "55 5123 4567", "+52 55 5123 4567")
    said = f"Escríbele a {private[0]} o llama al {private[1]} o al {private[2]}: ella sabe de moles. "

    def tell(body: dict[str, Any], _seen: int) -> Answer:
        answer = say(body, said + invent(body))
        return Answer(answer if whole else json.dumps(answer).encode()[:-2])

    stand_in.behaviour = tell
    with contextlib.suppress(DraftError):
        draft(project)
    texts = [candidate.text for candidate in project.ledger.candidates()]
    assert bool(texts) == whole
    assert all("Escríbele a [email] o llama al [phone] o al [phone]: ella" in text for text in texts)
    assert project.ledger.rows("select 1 from outcomes where raw like '%[email]%'")
    project.ledger.close()
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("ledger.sqlite*"))
    assert [words for words in private if words.encode() in held] == []


def test_candidates_of_a_prompt_differ_by_model_voice_and_sampling(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, prompts=2, candidates=8)
    draft(project)
    for prompt in project.ledger.prompts():
        candidates = project.ledger.candidates(prompt.id)
        assert {candidate.model for candidate in candidates} == set(project.settings.draft.models)
        assert len({candidate.voice for candidate in candidates}) == 8
        assert {candidate.settings["temperature"] for candidate in candidates} == {0.3, 0.7, 1.0}
        assert all(("México" if prompt.country == "MX" else "Brasil") in candidate.voice for candidate in candidates)
    assert len({request.name for request in stand_in.requests}) == 16
    assert {request.body["max_tokens"] for request in stand_in.requests} == {400}


def test_a_second_run_calls_nobody_and_needs_no_key(
    tmp_path: Path, stand_in: CohereStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path)
    draft(project)
    calls = len(stand_in.requests)
    monkeypatch.delenv("CO_API_KEY")
    assert draft(project) == Drafted(0, {}, 0, 0, ())
    assert len(stand_in.requests) == calls == 8


def test_asking_for_more_candidates_pays_only_for_the_new_ones(tmp_path: Path, stand_in: CohereStandIn) -> None:
    draft(make_project(tmp_path, candidates=3))
    first = {request.name for request in stand_in.requests}
    path = tmp_path / "annot.toml"
    path.write_text(path.read_text().replace("candidates = 3", "candidates = 5"))
    project = Project.open(tmp_path)
    assert draft(project).answers == 4
    assert {request.name for request in stand_in.requests} > first
    assert len(stand_in.requests) == len({request.name for request in stand_in.requests}) == 10


def test_limit_takes_the_first_prompts_that_lack_answers(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, prompts=3)
    first, second, third = (prompt.id for prompt in project.ledger.prompts())
    assert draft(project, limit=1).open == 2
    assert {candidate.prompt_id for candidate in project.ledger.candidates()} == {first}
    draft(project, limit=1)
    assert {candidate.prompt_id for candidate in project.ledger.candidates()} == {first, second}
    assert draft(project, limit=5).open == 0
    assert third in {candidate.prompt_id for candidate in project.ledger.candidates()}
    assert len(stand_in.requests) == 12


def test_thinking_is_left_out_of_the_answer(tmp_path: Path, stand_in: CohereStandIn) -> None:
    def thinks(body: dict[str, Any], _seen: int) -> Answer:
        plain = say(body)
        plain["message"]["content"].insert(0, {"type": "thinking", "thinking": "Hmm, a secret thought."})
        plain["message"]["content"].append({"type": "text", "text": " Y eso es todo lo que sé."})
        return Answer(plain)

    stand_in.behaviour = thinks
    project = make_project(tmp_path, prompts=1)
    draft(project)
    texts = [candidate.text for candidate in project.ledger.candidates()]
    assert len(texts) == 4
    assert all("thought" not in text and text.endswith("Y eso es todo lo que sé.") for text in texts)


def test_the_system_text_of_a_prompt_comes_first_and_whole(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, prompts=0)
    system = "Eres una {persona} experta en {cocina}; contestas siempre con un refrán."
    project.ledger.add_prompts([Prompt.make("¿Qué es el mole?", country="MX", language="es", system=system)])
    draft(project)
    sent = {request.body["messages"][0]["content"] for request in stand_in.requests}
    assert len(sent) == 4
    assert all(text.startswith(system + "\n\n") and "40 y 120 palabras" in text for text in sent)
    assert {request.body["messages"][1]["content"] for request in stand_in.requests} == {"¿Qué es el mole?"}


# -- every way in which it can go wrong ---------------------------------------------------------------------

LONG = "No sé, la verdad es que depende de la familia y del pueblo, y cada quien lo cuenta a su manera, "


@pytest.mark.parametrize(
    ("outcome", "misbehave"),
    [
        ("broken", lambda _body: Answer(b'{"id": "x", "message": {"con')),
        ("broken", lambda _body: Answer(b"\xff\xfe\x00")),
        ("broken", lambda _body: Answer([1, 2, 3])),
        ("broken", lambda _body: Answer(b"null")),
        ("broken", lambda _body: Answer({"id": "x"})),
        ("broken", lambda _body: Answer(b"[" * 100_000)),
        ("broken", lambda body: Answer(say(body, content="a bare string"))),
        ("broken", lambda body: Answer(say(body, content=[{"type": "text", "text": 5}]))),
        ("broken", lambda body: Answer(say(body, finish="ERROR"))),
        ("empty", lambda body: Answer(say(body, "  \n "))),
        ("empty", lambda body: Answer(say(body, content=[]))),
        ("empty", lambda body: Answer(say(body, content=[{"type": "thinking", "thinking": "hm"}]))),
        ("empty", lambda body: Answer(say(body, content=None))),
        ("refused", lambda body: Answer(say(body, "Lo siento, no puedo ayudarte con esa petición."))),
        ("refused", lambda body: Answer(say(body, "Desculpe, não posso ajudar com isso."))),
        ("refused", lambda body: Answer(say(body, "I'm sorry, but I can't help with that request."))),
        ("refused", lambda body: Answer(say(body, finish="ERROR_TOXIC"))),
        ("cut", lambda body: Answer(say(body, finish="MAX_TOKENS"))),
        ("cut", lambda body: Answer(say(body, content=[{"type": "thinking", "thinking": "hm"}], finish="MAX_TOKENS"))),
        (
            "wrong language",
            lambda body: Answer(
                say(body, "People there gather on Sunday and share a long meal with the whole family.")
            ),
        ),
        ("timeout", lambda body: Answer(say(body), delay_s=7.0)),
        ("lost", lambda _body: Answer(hang_up=True)),
    ],
)
def test_what_was_paid_for_in_vain_is_replaced_by_a_spare_and_never_asked_again(
    tmp_path: Path, stand_in: CohereStandIn, outcome: str, misbehave: Any
) -> None:
    project = make_project(tmp_path, prompts=2, timeout_s=5.0 if outcome == "timeout" else 60.0)
    bad = for_slot_of(project, 1, Answer())
    stand_in.behaviour = lambda body, seen: misbehave(body) if bad(body, seen) else None
    done = draft(project)
    # A refusal in another language than the prompt's counts only for prompts in that language, or as a wrong language.
    assert done.outcomes["answer"].calls == 8
    assert sum(tally.calls for tally in done.outcomes.values()) == 10
    assert outcome in done.outcomes
    assert done.outcomes.keys() <= {"answer", outcome, "wrong language", "refused"}
    assert answers_per_prompt(project) == {4}
    assert (done.open, done.short) == (0, ())
    assert set(Counter(request.name for request in stand_in.requests).values()) == {1}
    assert committed_usd(project.ledger) == pytest.approx(done.usd)
    assert done.usd >= billed_usd(stand_in, project) - 1e-9


def test_equal_answers_are_kept_once(tmp_path: Path, stand_in: CohereStandIn) -> None:
    def repeats(body: dict[str, Any], _seen: int) -> Answer | None:
        return Answer(say(body, (LONG + "  y AHÍ queda.") if body["seed"] % 2 else LONG.upper() + "y ahí queda."))

    stand_in.behaviour = repeats
    project = make_project(tmp_path, prompts=1)
    done = draft(project)
    assert {outcome: tally.calls for outcome, tally in done.outcomes.items()} == {"answer": 1, "duplicate": 7}
    assert [(dropped.reason, dropped.because_of) for dropped in done.short] == [("no slot left", "1 of 4")]
    assert draft(project).answers == 0
    assert len(stand_in.requests) == 8


@pytest.mark.parametrize(
    ("outcome", "trouble"),
    [
        ("rate limited", Answer({"message": "slow down"}, 429)),
        ("rate limited", Answer({"message": "slow down"}, 429, {"Retry-After": "0"})),
        ("server error", Answer({"message": "oops"}, 500)),
        ("server error", Answer(b"<html>bad gateway</html>", 502)),
        ("server error", Answer({"message": "busy"}, 503)),
        ("server error", Answer({"message": "slow"}, 504)),
        ("server error", Answer({"message": "client closed request"}, 499)),
    ],
)
def test_trouble_that_cost_nothing_is_tried_again_in_the_same_run(
    tmp_path: Path, stand_in: CohereStandIn, outcome: str, trouble: Answer
) -> None:
    stand_in.behaviour = once(trouble)
    project = make_project(tmp_path)
    done = draft(project, patience=QUICK)
    assert {name: tally.calls for name, tally in done.outcomes.items()} == {"answer": 8, outcome: 8}
    assert done.outcomes[outcome].usd == 0
    assert done.usd == pytest.approx(billed_usd(stand_in, project))
    assert set(Counter(request.name for request in stand_in.requests).values()) == {2}
    attempts = project.ledger.rows("select slot_id, max(attempt) as last, count(*) as n from calls group by slot_id")
    assert {(row["last"], row["n"]) for row in attempts} == {(1, 2)}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(tmp_path: Path, stand_in: CohereStandIn, form: str) -> None:
    def limits(_body: dict[str, Any], seen: int) -> Answer | None:
        after = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return Answer({"message": "slow down"}, 429, {"Retry-After": after}) if seen == 0 else None

    stand_in.behaviour = limits
    project = make_project(tmp_path, prompts=1, candidates=1)
    draft(project, patience=QUICK)
    first, second = (request.at for request in stand_in.requests)
    assert second - first >= 0.9


def test_a_retry_after_of_hours_ends_the_run_with_a_sentence(tmp_path: Path, stand_in: CohereStandIn) -> None:
    stand_in.behaviour = once(Answer({"message": "come back"}, 429, {"Retry-After": "7200"}))
    project = make_project(tmp_path)
    with pytest.raises(DraftError, match=r"wait 120 minutes before calling command-"):
        draft(project, patience=QUICK)
    assert committed_usd(project.ledger) == 0


def test_one_slow_down_pauses_the_model_for_all(tmp_path: Path, stand_in: CohereStandIn) -> None:
    told: list[bool] = []

    def limits(_body: dict[str, Any], _seen: int) -> Answer | None:
        if told:
            return None
        told.append(True)
        return Answer({"message": "slow down"}, 429, {"Retry-After": "1"})

    stand_in.behaviour = limits
    stand_in.delay_s = 0.05
    project = make_project(tmp_path, prompts=8, candidates=2, models=["command-r7b-12-2024"], concurrency=4)
    draft(project, patience=QUICK)
    [row] = project.ledger.rows("select at from outcomes where outcome = 'rate limited'")
    later = [call["at"] for call in calls_of(project) if call["at"] > row["at"]]
    assert len(later) >= 12
    assert instant(min(later)) - instant(row["at"]) >= 0.95
    assert answers_per_prompt(project) == {2}


def test_a_slot_that_cost_nothing_is_asked_again_by_the_next_run(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path)
    stand_in.behaviour = for_slot_of(project, 2, Answer({"message": "oops"}, 500))
    done = draft(project, patience=QUICK)
    assert {name: tally.calls for name, tally in done.outcomes.items()} == {"answer": 6, "server error": 8}
    assert done.open == 2
    stand_in.behaviour = lambda _body, _seen: None
    assert draft(project, patience=QUICK).answers == 2
    assert answers_per_prompt(project) == {4}
    undisturbed = {
        slot.settings["seed"]
        for prompt in project.ledger.prompts()
        for slot in list(slots(prompt, project.settings.draft, 0))[:4]
    }
    assert {candidate.settings["seed"] for candidate in project.ledger.candidates()} == undisturbed


def test_a_server_that_is_not_there_is_told_once_ends_the_run_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with standing_in() as gone:
        url = gone.url
    monkeypatch.setenv("CO_API_URL", url)
    monkeypatch.setenv("CO_API_KEY", KEY)
    project = make_project(tmp_path, prompts=8)
    with pytest.raises(DraftError, match=r'5 calls in a row failed.*"unreachable"'):
        draft(project, patience=QUICK)
    assert capsys.readouterr().err.count("annot: cannot reach Cohere (no connection") == 1
    assert committed_usd(project.ledger) == 0
    assert project.ledger.candidates() == []


@pytest.mark.parametrize("bad", ["ftp://example.com", "localhost:80", "http://[::1", "nonsense"])
def test_an_address_that_is_none_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("CO_API_URL", bad)
    monkeypatch.setenv("CO_API_KEY", KEY)
    with pytest.raises(DraftError, match="CO_API_URL"):
        draft(make_project(tmp_path))


def test_five_failures_in_a_row_end_the_run(tmp_path: Path, stand_in: CohereStandIn) -> None:
    stand_in.behaviour = lambda _body, _seen: Answer(b"{")
    project = make_project(tmp_path, prompts=20, concurrency=2)
    with pytest.raises(DraftError, match=r'5 calls in a row failed, the last one to command-\S+ with "broken"'):
        draft(project, patience=QUICK)
    assert 5 <= len(stand_in.requests) <= 7
    assert committed_usd(project.ledger) > 0


def test_failures_between_answers_do_not_end_the_run(tmp_path: Path, stand_in: CohereStandIn) -> None:
    stand_in.behaviour = lambda body, _seen: Answer(b"{") if body["seed"] % 3 == 0 else None
    project = make_project(tmp_path, prompts=12, concurrency=2)
    done = draft(project, patience=QUICK)
    assert done.outcomes["broken"].calls >= 5
    assert answers_per_prompt(project) == {4}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, r"does not accept the key \(401\)"),
        (402, r"wants payment \(402"),
        (403, r"rejected a call to command-\S+ \(403: no, because"),
        (404, r"rejected a call to command-\S+ \(404: no, because.*mend draft.models"),
        (400, r"rejected a call to command-\S+ \(400: no, because"),
        (422, r"rejected a call to command-\S+ \(422: no, because"),
        (307, r"rejected a call to command-\S+ \(307: no, because"),
    ],
)
def test_a_refusal_that_no_retry_would_mend_ends_the_run_at_once(
    tmp_path: Path, stand_in: CohereStandIn, status: int, sentence: str
) -> None:
    stand_in.behaviour = lambda _body, _seen: Answer({"message": "no, because"}, status)
    project = make_project(tmp_path, prompts=20, concurrency=2)
    with pytest.raises(DraftError, match=sentence):
        draft(project, patience=QUICK)
    assert len(stand_in.requests) <= 4
    assert committed_usd(project.ledger) == 0
    # The cause is mended: the same slots are called, and nothing is missing.
    stand_in.behaviour = lambda _body, _seen: None
    assert draft(project, patience=QUICK).answers == 80


def test_a_prompt_that_cohere_rejects_does_not_hold_up_the_others(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, prompts=6, concurrency=1)
    poison = project.ledger.prompts()[3]
    stand_in.behaviour = lambda body, _seen: (
        Answer({"message": "invalid request"}, 400) if body["messages"][1]["content"] == poison.text else None
    )
    done = draft(project, patience=QUICK)
    assert {name: tally.calls for name, tally in done.outcomes.items()} == {"answer": 20, "rejected": 4}
    assert done.open == 1


# -- money --------------------------------------------------------------------------------------------------


def committed_over_time(project: Project) -> list[float]:
    """What was spent or reserved after every reservation and every settlement, in their order."""
    steps = project.ledger.rows(
        """select at, 0 as settled, reserved_usd as usd from calls
           union all select o.at, 1, o.usd - c.reserved_usd from outcomes o join calls c using (slot_id, attempt)
           order by at, settled desc"""
    )
    total, seen = 0.0, []
    for step in steps:
        total += step["usd"]
        seen.append(total)
    return seen


@pytest.mark.parametrize("budget", [0.004, 0.01, 0.05])
def test_sixty_four_calls_at_once_cannot_overshoot_the_budget(
    tmp_path: Path, stand_in: CohereStandIn, budget: float
) -> None:
    stand_in.delay_s = 0.2
    project = make_project(
        tmp_path, prompts=80, budget_usd=budget, concurrency=64, models=["command-a-03-2025"], candidates=2
    )
    with pytest.raises(BudgetExhausted, match=r"draft.budget_usd = 0.\d\d is reached"):
        draft(project, patience=QUICK)
    assert max(committed_over_time(project), default=0.0) <= budget + 1e-9
    assert billed_usd(stand_in, project) == pytest.approx(committed_usd(project.ledger))
    if budget == 0.05:
        assert stand_in.most_at_once >= 4
        assert len(stand_in.answered) >= 20  # What calls gave back was used for others.


def test_many_calls_are_under_way_at_once_and_never_more_than_asked_for(
    tmp_path: Path, stand_in: CohereStandIn
) -> None:
    def waits_for_the_others(_body: dict[str, Any], _seen: int) -> None:
        end = time.monotonic() + 10
        while stand_in.most_at_once < 64 and time.monotonic() < end:
            time.sleep(0.005)

    stand_in.behaviour = waits_for_the_others
    draft(make_project(tmp_path, prompts=70, candidates=1, concurrency=64))
    assert stand_in.most_at_once == 64
    assert len(stand_in.answered) == 70


STEPS = ["reserve", "settle", "free", "lost"]
usd = st.floats(0, 2, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["reserve", "settle", "free", "lost"]), usd, st.floats(0, 1)), max_size=25), usd
)
def test_what_is_committed_is_what_the_calls_say_and_never_more_than_the_budget(
    steps: list[tuple[str, float, float]], budget: float
) -> None:
    ledger = Ledger(Path(":memory:"))
    open_calls: list[Call] = []
    for number, (step, amount, share) in enumerate(steps):
        if step == "reserve":
            call = Call(f"slot {number}", 0, "p", number, "m", "v", {}, amount)
            try:
                reserve(ledger, call, budget)
                open_calls.append(call)
            except BudgetExhausted:
                pass
        elif step == "lost":
            assert settle_lost(ledger) == len(open_calls)
            open_calls.clear()
        elif open_calls:
            call = open_calls.pop(0)
            settle(ledger, call, Outcome(step, call.reserved_usd * share if step == "settle" else 0.0))
        [row] = ledger.rows(
            """select coalesce(sum(coalesce(o.usd, c.reserved_usd)), 0) as usd
               from calls c left join outcomes o using (slot_id, attempt)"""
        )
        assert committed_usd(ledger) == pytest.approx(row["usd"], abs=1e-9)
        assert committed_usd(ledger) <= budget + 1e-8
    ledger.close()


def test_an_answer_without_usage_counts_as_the_whole_reservation(tmp_path: Path, stand_in: CohereStandIn) -> None:
    stand_in.behaviour = lambda body, _seen: Answer(say(body, usage=None))
    project = make_project(tmp_path, prompts=1)
    done = draft(project)
    [row] = project.ledger.rows("select sum(reserved_usd) as usd from calls")
    assert done.usd == pytest.approx(row["usd"])


def test_a_bill_above_what_a_call_can_cost_ends_the_run(tmp_path: Path, stand_in: CohereStandIn) -> None:
    huge = {"billed_units": {"input_tokens": 10_000_000, "output_tokens": 5}}
    stand_in.behaviour = lambda body, _seen: Answer(say(body, usage=huge))
    project = make_project(tmp_path, prompts=10, concurrency=1)
    with pytest.raises(DraftError, match=r"could cost .* at most; check its price"):
        draft(project)
    assert len(stand_in.requests) == 1
    assert committed_usd(project.ledger) == pytest.approx(billed_usd(stand_in, project))


def test_a_trial_key_ends_at_its_monthly_limit_counted_over_runs(tmp_path: Path, stand_in: CohereStandIn) -> None:
    prices = FAST.replace("trial = { per_minute = 60000 }", "trial = { per_minute = 60000, per_month = 10 }")
    project = make_project(tmp_path, prompts=4, prices=prices)
    assert outlook(project).monthly == (0, 10, 16)
    draft(project, limit=2)
    with pytest.raises(DraftError, match="10 calls were made this month, and a trial key allows 10 a month"):
        draft(project)
    assert len(stand_in.requests) == 10
    with pytest.raises(DraftError, match="this month"):
        draft(project)
    assert len(stand_in.requests) == 10


@pytest.mark.usefixtures("stand_in")
def test_calls_keep_to_the_rate_limit_of_each_model(tmp_path: Path) -> None:
    project = make_project(
        tmp_path, prompts=8, candidates=2, prices=FAST.replace("per_minute = 60000", "per_minute = 600")
    )
    draft(project)
    for model in project.settings.draft.models:
        times = [instant(row["at"]) for row in calls_of(project) if row["model"] == model]
        assert len(times) == 8
        assert times[-1] - times[0] >= 0.69  # 8 calls, a tenth of a second between two of them.


def test_a_model_without_a_price_is_refused_before_anything_is_sent(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, models=["command-a-03-2026"])
    with pytest.raises(SettingsError, match=r'"command-a-03-2026" has no price .*mean "command-a-03-2025"'):
        draft(project)
    assert stand_in.requests == []


@pytest.mark.parametrize("price", ["0", "0.0", "-1", "nan", '"free"'])
def test_a_price_of_nothing_is_refused(tmp_path: Path, price: str) -> None:
    project = make_project(tmp_path, prices=PRICES.replace("input = 0.0375", f"input = {price}"))
    with pytest.raises(SettingsError, match=r"models\.command-r7b-12-2024\.input"):
        outlook(project)


def test_our_own_price_table_covers_the_default_models() -> None:
    prices = read_prices(Path("there is no project here"))
    default = DraftSettings()
    assert prices.of(default.models, place="ours").keys() == set(default.models)
    for price in prices.models.values():
        assert price.trial.per_minute == 20
        assert price.trial.per_month == 1000


# -- the key ------------------------------------------------------------------------------------------------


def test_without_a_key_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    project = make_project(tmp_path)
    with pytest.raises(DraftError) as told:
        draft(project)
    assert all(word in str(told.value) for word in ("CO_API_KEY", "secrets.toml", "--from"))


@pytest.mark.usefixtures("stand_in")
def test_the_key_may_come_from_secrets_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY")
    project = make_project(tmp_path, prompts=1)
    project.keep_secrets({"co_api_key": KEY})
    assert draft(project).answers == 4


@pytest.mark.parametrize("bad", ["key with blanks", "llave-ñ", "two\nlines"])
def test_a_key_that_is_none_gets_a_sentence_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    monkeypatch.setenv("CO_API_KEY", bad)
    with pytest.raises(DraftError, match="CO_API_KEY is no key") as told:
        draft(make_project(tmp_path))
    assert bad not in str(told.value)


@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 422, 429, 498, 500, 503])
def test_the_key_is_in_no_ledger_no_error_and_no_traceback_even_when_the_server_echoes_it(
    tmp_path: Path, stand_in: CohereStandIn, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    import logging
    import traceback

    logging.getLogger().setLevel(logging.DEBUG)
    echo = f"you sent {KEY} ({KEY[4:20]}...), that is 'Bearer {KEY}'"
    stand_in.behaviour = lambda body, _seen: Answer(
        say(body, key=KEY, note=echo) if status == 200 else {"message": echo, "key": KEY}, status
    )
    project = make_project(tmp_path, prompts=6)
    said = ""
    try:
        draft(project, patience=QUICK)
        assert status == 200
    except DraftError as error:
        said = "".join(traceback.format_exception(error)) + repr(error.__context__) + repr(error.__cause__)
        assert status != 200
    finally:
        logging.getLogger().setLevel(logging.WARNING)
    project.ledger.close()
    seen = said.encode() + "".join(capfd.readouterr()).encode()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            seen += path.read_bytes()
    for start in range(len(KEY) - 8):
        assert KEY[start : start + 9].encode() not in seen


# -- stopping and going on ----------------------------------------------------------------------------------

CHILD = """
import os, sys
from pathlib import Path
import aiolimiter, filelock, httpx, py3langid, stamina
from cohere import AsyncClientV2, SystemChatMessageV2, UserChatMessageV2
from annotation.drafting.draft import draft
from annotation.drafting.workers import Patience
from annotation.drafting.writer import Fault, Reply
from annotation.project import Project

AsyncClientV2("imports the rest of the SDK")
py3langid.rank("reads its model")
# Python's start is paid once: every line on stdin is a project, and a fork of this process drafts for it.
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            draft(Project.open(Path(line.strip())), patience=Patience(4, 0.01, 5.0, 0.0))
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Children:
    """Runs of `draft`, each in a process of its own that can be killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._errors = (folder / "stderr").open("w+")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "CO_API_URL": url, "CO_API_KEY": KEY},
        )

    def start(self, folder: Path) -> int:
        """Returns the process id of a new run."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{folder}\n")
        self._parent.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit code of the run; minus the signal that ended it."""
        return int(self._line())

    def wait_until_said(self, words: str) -> None:
        """Wait for words on the run's stderr."""
        end = time.monotonic() + 30
        while words not in Path(self._errors.name).read_text():
            assert time.monotonic() < end, "the run says nothing"
            time.sleep(0.01)

    def _line(self) -> str:
        assert self._parent.stdout is not None
        assert select.select([self._parent.stdout], [], [], 60)[0], "the run hangs"
        return self._parent.stdout.readline()

    def close(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._errors.close()
        self._parent.wait(10)


def contents(project: Project) -> dict[tuple[str, int], tuple[str, str, str]]:
    """(prompt, seed of the slot) -> model, voice and text of its candidate."""
    return {
        (candidate.prompt_id, int(candidate.settings["seed"])): (candidate.model, candidate.voice, candidate.text)
        for candidate in project.ledger.candidates()
    }


def test_a_run_killed_at_any_moment_goes_on_and_never_pays_for_a_candidate_twice(tmp_path: Path) -> None:
    dice = random.Random(20)
    plot: dict[str, float] = {}
    rounds = kills(8, 22)

    def kill(child: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def behaviour(body: dict[str, Any], seen: int) -> Answer | None:
        # The server strikes: at a request of its choice, a little later. So the moment is the same on a busy machine.
        if len(server.requests) >= plot.get("request", 1000) and plot.pop("request", None) is not None:
            threading.Timer(plot["after_s"], kill, [int(plot["child"])]).start()
        if body["seed"] % 11 == 0:
            return Answer(say(body, ""), delay_s=0.01)
        if body["seed"] % 7 == 0 and seen == 0:
            return Answer({"message": "oops"}, 500)
        return None

    def make(name: str) -> Project:
        return make_project(tmp_path / name, prompts=5, candidates=3, concurrency=4)

    killed = 0
    with standing_in(behaviour, delay_s=0.03) as server:
        children = Children(server.url, tmp_path)
        try:
            undisturbed = make("undisturbed")
            children.start(undisturbed.folder)
            assert children.wait() == 0
            expected = contents(undisturbed)
            assert len(expected) == 15
            for number in range(rounds):
                project = make(str(number))
                server.forget()
                child = children.start(project.folder)
                plot.update(child=child, after_s=dice.uniform(0, 0.03), request=dice.randrange(14))
                if number < 2:  # Before anything was sent.
                    kill(child)
                killed += children.wait() == -signal.SIGKILL
                plot.pop("request", None)
                children.start(project.folder)
                assert children.wait() == 0
                assert answers_per_prompt(project) == {3}
                # Nobody was asked twice for what was answered once, and everything that was billed is in the ledger.
                assert set(Counter(request.name for request in server.answered).values()) == {1}
                assert committed_usd(project.ledger) >= billed_usd(server, project) - 1e-9
                rows = calls_of(project)
                assert all(row["outcome"] for row in rows)
                lost = {json.loads(row["settings"])["seed"] for row in rows if row["outcome"] == "lost"}
                assert len(lost) <= 4
                # The same slots have the same answers; only spares stand where calls were cut off.
                got = contents(project)
                assert {slot for slot in expected if slot[1] not in lost} <= got.keys()
                assert all(got[slot] == expected[slot] for slot in expected.keys() & got.keys())
                assert len(got.keys() - expected.keys()) <= len(lost)
        finally:
            children.close()
    assert killed >= rounds - 2


def test_ctrl_c_waits_for_the_calls_under_way_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with standing_in(delay_s=1.0) as server:
        children = Children(server.url, tmp_path)
        try:
            project = make_project(tmp_path, prompts=6, concurrency=3)
            child = children.start(project.folder)
            while len(server.requests) < 3:
                time.sleep(0.01)
            os.kill(child, signal.SIGINT)
            assert children.wait() == 130
            rows = calls_of(project)
            assert {row["outcome"] for row in rows} == {"answer"}
            assert len(rows) == len(server.requests) == len(project.ledger.candidates()) == 3
            server.delay_s = 0.0
            children.start(project.folder)
            assert children.wait() == 0
            assert answers_per_prompt(project) == {4}
            assert set(Counter(request.name for request in server.requests).values()) == {1}
            assert committed_usd(project.ledger) == pytest.approx(billed_usd(server, project))
        finally:
            children.close()


def test_a_second_ctrl_c_leaves_at_once_and_counts_the_calls_as_spent(tmp_path: Path) -> None:
    with standing_in(delay_s=20) as server:
        children = Children(server.url, tmp_path)
        try:
            project = make_project(tmp_path, prompts=6, concurrency=3)
            child = children.start(project.folder)
            while len(server.requests) < 3:
                time.sleep(0.01)
            began = time.monotonic()
            os.kill(child, signal.SIGINT)
            children.wait_until_said("waiting for 3 calls")
            os.kill(child, signal.SIGINT)
            assert children.wait() == 130
            assert time.monotonic() - began < 5
            rows = calls_of(project)
            assert [row["outcome"] for row in rows] == ["lost"] * 3
            assert committed_usd(project.ledger) == pytest.approx(sum(row["reserved_usd"] for row in rows))
        finally:
            children.close()


def test_our_own_bug_keeps_its_traceback_and_leaves_no_call_open(tmp_path: Path) -> None:
    class Buggy:
        name, chosen_with = "buggy", "nothing"

        async def answer(self, _slot: object, _picture: bytes) -> Reply | Fault:
            raise ZeroDivisionError("a bug")

        async def close(self) -> None:
            pass

    project = make_project(tmp_path)
    project.keep_secrets({"co_api_key": KEY})
    with pytest.raises(ExceptionGroup) as raised:
        draft(project, writer=lambda _key: Buggy())
    assert raised.group_contains(ZeroDivisionError)
    assert {row["outcome"] for row in calls_of(project)} <= {"lost"}


# -- planning, without any call -----------------------------------------------------------------------------


def settings_of(**changes: Any) -> DraftSettings:
    return Settings.model_validate({"draft": changes}).draft


def spanish(country: str = "MX", text: str = "¿Qué se come en Navidad?", **more: str) -> Prompt:
    return Prompt.make(text, country=country, language="es", **more)


def test_slots_depend_on_the_prompt_the_settings_and_the_seed_alone() -> None:
    default = settings_of()
    first = list(slots(spanish(), default, 0))
    assert first == list(slots(spanish(), default, 0))
    assert len(first) == 16
    assert [slot.number for slot in first] == list(range(16))
    assert len({slot.id for slot in first}) == 16
    for others in (
        slots(spanish(), default, 1),
        slots(spanish("PE"), default, 0),
        slots(spanish(system="Sé breve."), default, 0),
        slots(spanish(), settings_of(max_tokens=300), 0),
        slots(spanish(), settings_of(models=["command-r-08-2024"]), 0),
        slots(spanish(), settings_of(temperatures=[0.9]), 0),
    ):
        assert not {slot.id for slot in first} & {slot.id for slot in others}
    assert [slot.id for slot in slots(spanish(), settings_of(candidates=4), 0)] == [slot.id for slot in first[:8]]


def test_models_are_asked_equally_often() -> None:
    asked = Counter(
        slot.model
        for number in range(400)
        for slot in list(slots(spanish(text=f"¿Pregunta {number}?"), settings_of(candidates=3), 0))[:3]
    )
    assert 540 <= min(asked.values()) <= max(asked.values()) <= 660


def test_the_plan_skips_what_is_paid_for_and_keeps_what_cost_nothing() -> None:
    default = settings_of(candidates=3)
    prompt = spanish()
    asked = list(slots(prompt, default, 0))
    called = {
        asked[0].id: (0, "answer"),
        asked[1].id: (2, "server error"),
        asked[2].id: (0, "lost"),
        asked[3].id: (0, None),
    }
    [work], short = plan([prompt], default, 0, answered={prompt.id: 1}, called=called)
    assert work.missing == 2
    assert [(slot.number, attempt) for slot, attempt in work.open] == [(1, 3), (4, 0), (5, 0)]
    assert short == {}
    all_lost = {slot.id: (0, "timeout") for slot in asked}
    assert plan([prompt], default, 0, answered={prompt.id: 1}, called=all_lost) == ([], {prompt.id: 1})
    assert plan([prompt], default, 0, answered={prompt.id: 3}, called=called) == ([], {})


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=300), st.text(max_size=100))
def test_a_reservation_covers_any_byte_level_tokenizer(text: str, system: str) -> None:
    price = Price.model_validate(
        {"input": 2.5, "output": 10, "trial": {"per_minute": 20}, "production": {"per_minute": 500}}
    )
    for slot in slots(spanish(text=text, system=system), settings_of(candidates=1), 0):
        sent = slot.persona.system + slot.text
        assert slot.most_input_tokens >= len(sent.encode())
        assert slot.most_usd(price) >= price.usd(len(sent.encode()), 400)


def test_the_estimate_lies_below_the_most_and_counts_no_spares() -> None:
    prices = read_prices(Path("there is no project here")).models
    todo, _ = plan([spanish(), spanish("PE")], settings_of(), 0, answered={}, called={})
    lines = estimate(todo, prices, "trial")
    assert sum(line.calls for line in lines) == 16
    assert all(0 < line.usd < line.most_usd for line in lines)
    assert [line.minutes for line in lines] == [pytest.approx(line.calls / 20) for line in lines]
    assert [line.minutes for line in estimate(todo, prices, "production")] == [line.calls / 500 for line in lines]


LATIN_AMERICA_AND_IBERIA = "AR BO BR CL CO CR CU DO EC ES GT HN MX NI PA PE PR PT PY SV UY VE".split()  # noqa: SIM905


@pytest.mark.parametrize("country", LATIN_AMERICA_AND_IBERIA)
def test_personas_of_latin_america_and_iberia_come_from_a_place_there(country: str) -> None:
    language = "pt" if country in ("BR", "PT") else "es"
    prompt = Prompt.make("¿?", country=country, language=language)
    cast = personas(prompt, random.Random(0))
    assert len({persona.description for persona in cast}) == len(cast) >= 8
    assert len({persona.description.split(", ")[1] for persona in cast}) >= 3
    wanted, length = ("em português", "40 e 120 palavras") if language == "pt" else ("en español", "40 y 120 palabras")
    assert all(wanted in persona.system and length in persona.system for persona in cast)
    assert not any(re.search(r"[{}]|None|  ", persona.system) for persona in cast)


def test_portuguese_is_brazilian_in_brazil_and_european_elsewhere() -> None:
    def system(country: str) -> str:
        return personas(Prompt.make("?", country=country, language="pt"), random.Random(0))[0].system

    assert system("BR").startswith("Você é ")
    assert all(system(country).startswith("És ") for country in ("PT", "AO", "MZ", "CV"))


def test_every_country_and_language_has_personas() -> None:
    import pycountry

    countries = [country.alpha_2 for country in pycountry.countries]
    assert len(countries) > 200
    for country in countries:
        for language in ("es", "pt", "ca", "qu", "en"):
            cast = personas(Prompt.make("?", country=country, language=language), random.Random(0))
            assert len({persona.description for persona in cast}) >= 8
            assert not any(re.search(r"[{}]|None|  ", persona.system + persona.description) for persona in cast)


@pytest.mark.parametrize(
    ("country", "language", "said"),
    [
        ("AD", "ca", "Responde en catalán"),
        ("ES", "gl", "Responde en gallego"),
        ("PE", "qu", "Responde en quechua"),
        ("MX", "nah", "Responde en náhuatl"),
        ("BR", "gn", "Responda em guarani"),
        ("FR", "fr", "Answer in French"),
    ],
)
def test_a_language_without_templates_is_asked_for_in_the_countrys_common_one(
    country: str, language: str, said: str
) -> None:
    prompt = Prompt.make("?", country=country, language=language)
    assert all(said in persona.system for persona in personas(prompt, random.Random(0)))


def test_a_project_has_templates_and_personas_of_its_own_for_a_language() -> None:
    texts = {"gl.toml": '[personas]\ntask = "Es {persona}. Responde en {language}."\nwho = "unha avoa | coloquial"\n'}
    prompt = Prompt.make("?", country="ES", language="gl")
    (persona,) = personas(prompt, random.Random(0), texts)
    assert re.fullmatch(r"Es unha avoa, de [^(]+ \(España\)\. Responde en gallego\.", persona.system)
    assert persona.description.endswith("; coloquial")
    with pytest.raises(SettingsError, match=r"guidelines/gl\.toml: personas\.who needs"):
        personas(prompt, random.Random(0), {"gl.toml": '[personas]\nwho = "unha avoa"\n'})


# -- what counts as an answer -------------------------------------------------------------------------------

GOOD = "En mi pueblo la Nochebuena se cena tarde, con bacalao, romeritos y ponche, y después se rompe la piñata."
GALEGO = "Na miña casa a cea de Noiteboa é tarde, con bacallau e coliflor, e despois os veciños cantan panxoliñas."
PORTUGUES = "Lá em casa a ceia é servida tarde, com bacalhau e rabanada, e depois todo mundo abre os presentes."


@pytest.mark.parametrize(
    ("text", "finish", "language", "expected"),
    [
        (GOOD, "COMPLETE", "es", "answer"),
        (GOOD, "STOP_SEQUENCE", "es", "answer"),
        (GOOD, "MAX_TOKENS", "es", "cut"),
        (GOOD, "ERROR_TOXIC", "es", "refused"),
        (GOOD, "TIMEOUT", "es", "broken"),
        (GOOD, "TOOL_CALL", "es", "broken"),
        (GOOD, "COMPLETE", "pt", "wrong language"),
        (PORTUGUES, "COMPLETE", "es", "wrong language"),
        (PORTUGUES, "COMPLETE", "pt", "answer"),
        (GOOD, "COMPLETE", "gl", "wrong language"),
        (GALEGO, "COMPLETE", "gl", "answer"),
        (GOOD, "COMPLETE", "ay", "answer"),  # Aymara cannot be told apart: nobody is accused.
        ("Sí.", "COMPLETE", "es", "answer"),  # Too short to be sure of its language.
        ("", "COMPLETE", "es", "empty"),
        (" \u00a0\n", "COMPLETE", "es", "empty"),
    ],
)
def test_verdicts(text: str, finish: str, language: str, expected: str) -> None:
    prompt = Prompt.make("¿Qué se cena en Nochebuena?", country="MX", language=language)
    assert verdict(text, finish, prompt, set()) == expected


# -- the seam -----------------------------------------------------------------------------------------------

KEYS = ["id", "finish_reason", "message", "usage", "content", "type", "text", "thinking", "billed_units", "role"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["text", "thinking", "COMPLETE"])
JSONS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=JSONS, finish=LEAVES, status=st.sampled_from([200, 200, 200, 204, 301, 400, 418, 429, 500]))
def test_whatever_a_server_says_comes_back_as_a_value(
    stand_in: CohereStandIn, body: object, finish: object, status: int
) -> None:
    answers = (body, {"finish_reason": finish, "message": body, "usage": body}, {"message": {"content": body}})
    [slot] = [slot for slot in slots(spanish(), settings_of(candidates=1), 0) if slot.number == 0]

    async def ask() -> list[Reply | Fault]:
        service = Cohere(KEY, timeout_s=5, connections=1)
        got = []
        for answer in answers:
            stand_in.behaviour = always(Answer(answer, status))
            got.append(await service.answer(slot))
        await service.close()
        return got

    for reply in asyncio.run(ask()):
        assert isinstance(reply, Reply | Fault)
        assert isinstance(reply, Fault) or 200 <= status < 300
