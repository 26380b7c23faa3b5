"""Prompts that a stand-in for Cohere proposes: asked for, taken in, checked by people, and paid for once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from cohere_server import KEY, Answer, CohereStandIn, Request, say
from proposing import propose, run, sentence, thin_project
from select_project import word_encoder

from annotation.data_facts import origins
from annotation.drafting.ask import ask
from annotation.errors import BudgetExhausted, SettingsError
from annotation.extending.draft import Wish, plan_draft
from annotation.extending.gaps import find_gaps
from annotation.extending.take_in import open_answers
from annotation.extending.worth import worth
from annotation.ledger import Response
from annotation.lineage.erase import erase_prompt
from annotation.money import committed_usd
from annotation.project import Project
from annotation.prompts.change import Which, find_prompts
from annotation.prompts.proposed import Proposal, proposal_of, proposed_prompts
from annotation.prompts.review import accepted_prompts, only_accepted, waiting_prompts
from annotation.text.register import FORMAL, register_of
from annotation.types import Person, Prompt


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CohereStandIn]:
    with CohereStandIn(propose) as stand_in:
        monkeypatch.setenv("CO_API_URL", stand_in.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        yield stand_in


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return thin_project(tmp_path / "p")


def shown(request: Request) -> list[str]:
    """The numbered prompts in a request."""
    return re.findall(r"(?m)^\d+\. (.*)$", request.body["messages"][1]["content"])


def saying(server: CohereStandIn, *proposals: dict[str, Any]) -> None:
    """Have the stand-in answer every call with these."""
    server.behaviour = lambda body, _: Answer(say(body, json.dumps({"prompts": proposals}, ensure_ascii=False)))


def accept(project: Project, prompts: list[Prompt], *, accepting: bool = True) -> None:
    """Have two people of each country say the same of prompts that are asked about."""
    items = {item.prompt_id: item.id for item in project.ledger.items("prompt_check")}
    values = {"verdict": {"value": "knowledge" if accepting else "stereotype"}}
    for prompt in prompts:
        for who in ("1", "2"):
            name, id_ = f"{prompt.country.lower()}_{who}", f"{prompt.id}-{who}"
            raw = json.dumps({"id": id_, "status": "submitted", "values": values})
            project.ledger.add_people([Person(name, "", "annotator", prompt.country, ("es",))])
            response = Response(id_, items[prompt.id], name, prompt.country, "submitted", "2026-01-01T00:00:00", raw)
            project.ledger.add_responses("test", [response])


def test_what_is_missing_is_proposed_and_counts_only_when_people_accept_it(
    project: Project, server: CohereStandIn
) -> None:
    before = {prompt.id for prompt in project.ledger.prompts()}
    done = run(project)
    assert (len(done.kept), done.dropped) == (14, ())
    assert Counter(prompt.country for prompt in done.kept) == {"MX": 6, "PE": 8}
    assert {proposal_of(prompt.source).model for prompt in done.kept} == {"command-r7b-12-2024"}  # type: ignore[union-attr]
    assert {item.prompt_id for item in project.ledger.items("prompt_check")} == {prompt.id for prompt in done.kept}
    assert only_accepted(project.ledger, project.settings) == before
    assert waiting_prompts(project.ledger, project.settings) == {prompt.id for prompt in done.kept}
    assert set(origins(project.ledger, done.kept).values()) == {"drafted by command-r7b-12-2024"}
    assert find_prompts(project, Which(file="drafted by command-r7b-12-2024")) == list(done.kept)
    assert find_gaps(project).missing == 0
    assert run(project).kept == ()
    assert [one.per_dollar for one in worth(project)] == [None]
    mexican = [prompt for prompt in done.kept if prompt.country == "MX"]
    accept(project, mexican[:4])
    accept(project, mexican[4:], accepting=False)
    assert accepted_prompts(project.ledger, project.settings) == {prompt.id for prompt in mexican[:4]}
    assert only_accepted(project.ledger, project.settings) == before | {prompt.id for prompt in mexican[:4]}
    (brought,) = worth(project)
    assert (brought.calls, brought.proposed, brought.kept, brought.accepted, brought.rejected) == (2, 14, 14, 4, 2)
    assert brought.usd == pytest.approx(committed_usd(project.ledger))
    assert brought.per_dollar == pytest.approx(4 / brought.usd)
    # What people rejected is missing again, and is asked for in other words.
    assert find_gaps(project).missing == 2
    assert len(run(project).kept) == 2
    assert len({request.name for request in server.requests}) == len(server.requests) == 3


def test_examples_are_of_the_country_alone_and_differ_from_call_to_call(tmp_path: Path, server: CohereStandIn) -> None:
    project = thin_project(tmp_path / "p", mx=15, pe=2, target=31)
    run(project, Wish(country="MX"))
    mexican = {prompt.text for prompt in project.ledger.prompts() if prompt.country == "MX"}
    assert len(server.requests) == 2
    assert [len(shown(request)) for request in server.requests] == [6, 6]
    assert all(set(shown(request)) <= mexican for request in server.requests)
    assert not set(shown(server.requests[0])) & set(shown(server.requests[1]))
    (system,) = {request.body["messages"][0]["content"] for request in server.requests}
    assert "people in Mexico" in system
    assert "takes for granted what the people of a country" in system


@pytest.mark.parametrize("perspective", [False, True])
def test_prompts_that_came_with_a_system_text_are_examples_too(
    tmp_path: Path, server: CohereStandIn, perspective: bool
) -> None:
    project = thin_project(tmp_path / "p", mx=0, pe=0, target=3)
    project.ledger.add_prompts(
        Prompt.make(
            sentence(name), country=name, language="es", topic="fiestas", source="v0.csv:2", system="Eres de ahí."
        )
        for name in ("MX", "PE")
    )
    assert len(run(project, Wish(country="MX", perspective=perspective)).kept) == (1 if perspective else 2)
    (request,) = server.requests
    assert shown(request) == [sentence("PE" if perspective else "MX")]
    assert "Eres de ahí." not in request.name


def test_a_register_is_asked_for_and_what_is_not_in_it_is_left_out(tmp_path: Path, server: CohereStandIn) -> None:
    project = thin_project(tmp_path / "p", mx=10, pe=10, share=0.2)
    done = run(project)
    assert len(done.kept) == 8
    assert Counter(register_of(prompt.text, "es", prompt.country) for prompt in done.kept)[FORMAL] == 4
    server.forget()
    other = thin_project(tmp_path / "q", mx=10, pe=10, share=0.2)
    saying(server, *({"text": sentence(str(n)), "presumes": False} for n in range(2)))
    done = run(other)
    assert (done.kept, {drop.reason for drop in done.dropped}) == ((), {"another address"})


def test_repeats_other_languages_generalisations_and_too_many_are_left_out_with_the_reason(
    project: Project, server: CohereStandIn
) -> None:
    known = next(prompt.text for prompt in project.ledger.prompts() if prompt.country == "PE")
    words = sentence("otra").strip("¿?").split()
    saying(
        server,
        {"text": sentence("nueva"), "presumes": False},
        {"text": known, "presumes": False},
        {"text": known.replace("?", " ?"), "presumes": False},
        {"text": sentence("otra"), "presumes": False},
        {"text": f"¿{' '.join(reversed(words))}?", "presumes": False},
        {"text": "What do people usually eat at the wedding of a neighbour there?", "presumes": False},
        {"text": "¿Por qué los de la sierra son tan flojos?", "presumes": True},
        {"text": "=1+1", "presumes": False},
        {"text": sentence("una más"), "presumes": False},
    )
    done = run(project, Wish(country="PE"))
    assert [prompt.text for prompt in done.kept] == [sentence("nueva"), sentence("otra")]
    assert {drop.id.partition(":")[2]: drop.reason for drop in done.dropped} == {
        "2": "already there",
        "3": "near duplicate",
        "5": "asks the same",
        "6": "language",
        "7": "the model says that it generalises about people",
        "8": "formula",
        "9": "not asked for",
    }
    assert worth(project)[0].proposed == 9


def test_personal_data_in_a_proposal_is_masked_in_the_prompt_and_in_what_the_ledger_keeps(
    project: Project, server: CohereStandIn
) -> None:
    saying(server, {"text": "¿Le escribo a ana.perez@example.com para la fiesta del barrio?", "presumes": False})
    (prompt,) = run(project, Wish(country="PE")).kept
    assert "ana.perez" not in prompt.text
    assert not project.ledger.rows("select 1 from outcomes where raw like '%ana.perez%'")


def test_another_perspective_names_its_parent_and_asks_each_question_once_for_a_country(
    project: Project, server: CohereStandIn
) -> None:
    peru = Wish(country="PE", perspective=True)
    done = run(project, peru)
    mexican = {prompt.id: prompt for prompt in project.ledger.prompts() if prompt.country == "MX"}
    parents = [found.parent for prompt in done.kept if (found := proposal_of(prompt.source))]
    assert set(parents) == mexican.keys()
    assert len(parents) == 4
    assert all(
        prompt.text == f"{mexican[parent].text[:-1]} en Lima?" and (prompt.country, prompt.topic) == ("PE", "fiestas")
        for prompt, parent in zip(done.kept, parents, strict=True)
    )
    assert "in Peru would ask" in server.requests[0].body["messages"][0]["content"]
    assert run(project, peru).kept == ()
    assert plan_draft(project, peru, word_encoder()).without
    assert len(server.requests) == 1


def test_a_rewriting_of_a_prompt_that_was_not_shown_is_left_out(project: Project, server: CohereStandIn) -> None:
    saying(server, *({"number": n, "text": sentence(str(n)), "presumes": False} for n in (0, 1, 5)))
    done = run(project, Wish(country="PE", perspective=True))
    assert [prompt.text for prompt in done.kept] == [sentence("1")]
    assert [drop.reason for drop in done.dropped] == ["not asked for", "not asked for"]


@pytest.mark.usefixtures("server")
def test_a_country_without_prompts_of_its_own_is_named_and_nothing_is_asked(tmp_path: Path) -> None:
    project = thin_project(tmp_path / "p", mx=10, pe=0)
    plan = plan_draft(project, Wish(), word_encoder())
    assert ([cell.country for cell in plan.without], plan.questions) == (["PE"], ())
    assert len(run(project, Wish(perspective=True)).kept) == 10


def test_models_take_turns_and_each_has_its_own_worth(tmp_path: Path, server: CohereStandIn) -> None:
    project = thin_project(tmp_path / "p", target=20)
    two = ("command-r7b-12-2024", "command-r-08-2024")
    settings = project.settings.model_copy(update={"draft": project.settings.draft.model_copy(update={"models": two})})
    project = Project(project.folder, settings)
    run(project)
    assert {request.model for request in server.requests} == set(two)
    assert {one.model: one.kept for one in worth(project)}.keys() == set(two)
    assert sum(one.kept for one in worth(project)) == 34
    assert {question.model for question in plan_draft(project, Wish(model=two[0]), word_encoder()).questions} <= {
        two[0]
    }


def test_the_wish_limits_what_is_asked_for_and_one_that_nobody_owes_is_refused(project: Project) -> None:
    encoder = word_encoder()
    assert plan_draft(project, Wish(limit=9), encoder).prompts == 9
    assert plan_draft(project, Wish(country="México"), encoder).prompts == 6
    assert plan_draft(project, Wish(topic="fiestas"), encoder).prompts == 14
    one = plan_draft(project, Wish(model="command-r-08-2024"), encoder)
    assert {question.model for question in one.questions} == {"command-r-08-2024"}
    for wrong in (Wish(country="BR"), Wish(topic="comida")):
        with pytest.raises(SettingsError, match="No quota asks for"):
            plan_draft(project, wrong, encoder)
    with pytest.raises(SettingsError, match='"command-r8b" has no price'):
        plan_draft(project, Wish(model="command-r8b"), encoder)


def test_the_budget_ends_a_run_and_what_was_paid_for_is_taken_in(tmp_path: Path, server: CohereStandIn) -> None:
    project = thin_project(tmp_path / "p", target=60)
    plan = plan_draft(project, Wish(), word_encoder())
    most = 1.5 * plan.outlook.most_usd / len(plan.questions)
    settings = project.settings.draft.model_copy(update={"budget_usd": most, "concurrency": 1})
    poor = Project(project.folder, project.settings.model_copy(update={"draft": settings}))
    with pytest.raises(BudgetExhausted):
        run(poor)
    assert 0 < len(server.answered) < 15
    assert committed_usd(poor.ledger) <= most
    assert len(run(replace_budget(poor, 0.0)).kept) >= 8 * len(server.answered) - 8


def replace_budget(project: Project, usd: float) -> Project:
    """The same project, with another budget and nothing to ask for."""
    settings = project.settings.draft.model_copy(update={"budget_usd": usd})
    owed = project.settings.task.model_copy(
        update={"ranking": project.settings.task.ranking.model_copy(update={"target": 2})}
    )
    return Project(project.folder, project.settings.model_copy(update={"draft": settings, "task": owed}))


def test_what_was_answered_before_a_crash_is_taken_in_by_the_next_run_for_nothing(
    project: Project, server: CohereStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_draft(project, Wish(), word_encoder())
    ask(project, plan.questions)
    assert proposed_prompts(project.ledger) == {}
    assert len(open_answers(project.ledger)) == 2
    # Other prompts have come meanwhile, so that other questions would be asked.
    project.ledger.add_prompts([Prompt.make(sentence("más"), country="PE", language="es", topic="fiestas")])
    spent = committed_usd(project.ledger)
    monkeypatch.delenv("CO_API_KEY")
    assert len(run(project).kept) == 14
    assert (open_answers(project.ledger), committed_usd(project.ledger), len(server.requests)) == ([], spent, 2)


def test_an_answer_that_brings_nothing_is_looked_at_once(project: Project, server: CohereStandIn) -> None:
    server.behaviour = lambda body, _: Answer(say(body, '{"prompts": [{"te', finish="MAX_TOKENS"))
    assert [drop.reason for drop in run(project, Wish(country="PE")).dropped] == ["nothing that can be read"]
    assert open_answers(project.ledger) == []
    assert (worth(project)[0].calls, worth(project)[0].proposed) == (1, 0)


@pytest.mark.usefixtures("server")
def test_a_forgotten_proposal_leaves_the_answer_that_it_stood_in(project: Project) -> None:
    kept = run(project, Wish(country="PE")).kept
    erase_prompt(project.ledger, kept[0].id, "")
    assert {row["raw"] for row in project.ledger.rows("select raw from outcomes")} == {""}
    assert run(project, Wish(country="PE", limit=1)).dropped == ()
    assert kept[0].id not in {prompt.id for prompt in project.ledger.prompts()}


def test_a_run_killed_at_any_moment_goes_on_and_pays_for_no_question_twice(tmp_path: Path) -> None:
    dice, plot = random.Random(3), dict[str, Any]()

    def strike(child: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()

    def behaviour(body: dict[str, Any], _: int) -> Answer:
        # The server strikes: at a request of its choice, a little later. So the moment is the same on a busy machine.
        if len(server.requests) >= plot.get("request", 1000) and plot.pop("request", None) is not None:
            threading.Timer(plot["after_s"], strike, [plot["child"]]).start()
        return replace(propose(body), delay_s=0.02)

    killed, rounds = 0, kills(2, 15)
    code = "import sys; from pathlib import Path; from proposing import run_in; run_in(Path(sys.argv[1]))"
    with CohereStandIn(behaviour) as server:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "CO_API_URL": server.url, "CO_API_KEY": KEY, "PYTHONPATH": path}
        for number in range(rounds):
            project = thin_project(tmp_path / str(number), target=40)
            server.forget()
            plot.update(after_s=dice.uniform(0, 0.06), request=dice.randrange(9))
            for _ in range(2):
                child = subprocess.Popen([sys.executable, "-c", code, project.folder], env=environment, text=True)
                plot["child"] = child
                killed += child.wait(120) == -signal.SIGKILL
            plot.pop("request", None)
            while find_gaps(project).missing:
                subprocess.run([sys.executable, "-c", code, project.folder], env=environment, check=True)
            assert set(Counter(request.name for request in server.answered).values()) == {1}
            assert open_answers(project.ledger) == []
            outcomes = Counter(row["outcome"] for row in project.ledger.rows("select outcome from outcomes"))
            assert outcomes.keys() <= {"answer", "lost"}
            assert outcomes["lost"] <= 8
            assert len(server.answered) <= outcomes.total()
            proposed = proposed_prompts(project.ledger)
            assert len({found.call for found in proposed.values()}) == outcomes["answer"]
            assert {item.prompt_id for item in project.ledger.items("prompt_check")} == proposed.keys()
            assert find_gaps(project).cells[0].to_check + find_gaps(project).cells[1].to_check == len(proposed) == 74
            billed = sum(0.0375 * r.billed[0] + 0.15 * r.billed[1] for r in server.answered) / 1e6
            assert committed_usd(project.ledger) >= billed - 1e-9
    assert killed >= rounds - 1


def test_the_source_of_a_proposal_is_read_as_it_was_written_and_no_file_is_taken_for_one() -> None:
    for proposal in (Proposal("command-a-03-2025", "a" * 16), Proposal("m", "0" * 16, "b" * 16)):
        assert proposal_of(proposal.source) == proposal
        assert ":" not in proposal.source
    assert proposal_of("drafted by hand.csv:3") is None
