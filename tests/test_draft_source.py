"""Another model's own answers: drafted beside Cohere's over OpenAI's protocol, with the same ledger and outcomes."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, Answer, standing_in
from openai_server import MODEL, OpenAIStandIn, chat, serving
from picture_projects import add_drawn
from test_draft import FAST, QUICK, answers_per_prompt, calls_of, make_project

from annotation import cli
from annotation.drafting.draft import Drafted, Tally, draft, outlook
from annotation.drafting.plan import slots
from annotation.drafting.source import find_source
from annotation.errors import BudgetExhausted, DraftError
from annotation.money import committed_usd
from annotation.project import Project
from annotation.rounds import start_round
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Prompt, Slate

PRICED = (
    FAST
    + f"""
[models.{MODEL}]
input = 1.0
output = 2.0
trial = {{ per_minute = 60000 }}
production = {{ per_minute = 60000 }}
"""
)

_packing = zlib.compressobj(9, zlib.DEFLATED, 31)
UNPACKS_FOR_EVER = b"".join(_packing.compress(b" " * 10**7) for _ in range(10)) + _packing.flush()


@pytest.fixture
def server() -> Iterator[OpenAIStandIn]:
    with serving() as running:
        yield running


def ask(project: Project, server: OpenAIStandIn, answers: int = 2, **how: Any) -> Drafted:
    return draft(project, source=find_source(project, server.url, answers=answers, **how), patience=QUICK)


def test_a_models_own_answers_stand_beside_coheres_and_count_by_themselves(
    tmp_path: Path, server: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, prompts=2)
    project.ledger.add_prompts([Prompt.make("¿Y el mole?", country="MX", language="es", system="Sé breve.")])
    with standing_in() as cohere:
        monkeypatch.setenv("CO_API_URL", cohere.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        draft(project)
        spent = committed_usd(project.ledger)
        assert ask(project, server) == Drafted(6, {"answer": Tally(6, 0.0)}, 0.0, 0, ())
        assert draft(project).answers == 0, "the prompts have enough answers now, wherever they are from"
    assert answers_per_prompt(project) == {6}
    own = [candidate for candidate in project.ledger.candidates() if candidate.model == MODEL]
    assert Counter(candidate.prompt_id for candidate in own) == {p.id: 2 for p in project.ledger.prompts()}
    assert {(candidate.voice, candidate.cost_usd) for candidate in own} == {("", 0.0)}
    assert spent == committed_usd(project.ledger) > 0
    # Nobody tells it who it is: the prompt's own system text, or none, as it was trained.
    said = Counter(tuple(m["content"] for m in request.body["messages"][:-1]) for request in server.requests)
    assert said == {(): 4, ("Sé breve.",): 2}


def test_a_second_run_asks_the_server_nothing_but_its_name(tmp_path: Path, server: OpenAIStandIn) -> None:
    project = make_project(tmp_path)
    assert ask(project, server).answers == 4
    assert ask(project, server) == Drafted(0, {}, 0.0, 0, ())
    assert len(server.requests) == 4
    assert ask(project, server, answers=3).answers == 2
    assert set(Counter(request.name for request in server.requests).values()) == {1}


def test_a_prompt_that_has_its_slate_is_asked_about_in_the_next_round_alone(
    tmp_path: Path, server: OpenAIStandIn
) -> None:
    project = make_project(tmp_path, prompts=2)
    seated, free = project.ledger.prompts()
    old = [Candidate.make(seated.id, f"Se come así, dice {n}.", model="m") for n in range(4)]
    project.ledger.add_candidates(old)
    add_slates(project.ledger, [Slate("s", seated.id, tuple(one.id for one in old), 0)])
    assert ask(project, server).answers == 2
    start_round(project.ledger, {seated.id: "thin"}, {})
    assert ask(project, server).answers == 2
    own = Counter(one.prompt_id for one in project.ledger.candidates() if one.model == MODEL)
    assert own == {seated.id: 2, free.id: 2}


def test_each_model_has_slots_of_its_own(tmp_path: Path) -> None:
    project = make_project(tmp_path, prompts=1)
    with serving(models=("one", "two")) as server:
        for name in ("one", "two"):
            ask(project, server, model=name)
    assert Counter(candidate.model for candidate in project.ledger.candidates()) == {"one": 2, "two": 2}
    assert len({row["slot_id"] for row in calls_of(project)}) == 4
    assert {request.body["temperature"] for request in server.requests} == {0.3, 0.7}


def test_what_costs_nothing_is_drafted_when_the_budget_is_spent(tmp_path: Path, server: OpenAIStandIn) -> None:
    project = make_project(tmp_path, budget_usd=0.0)
    seen = outlook(project, source=find_source(project, server.url, answers=2))
    assert (seen.free, seen.usd, seen.monthly) == (True, 0.0, None)
    assert [(line.model, line.calls) for line in seen.models] == [(MODEL, 4)]
    assert server.requests == []
    assert ask(project, server).answers == 4


def test_a_model_with_a_price_is_paid_out_of_the_same_budget(tmp_path: Path, server: OpenAIStandIn) -> None:
    project = make_project(tmp_path, prompts=8, prices=PRICED, budget_usd=0.004, concurrency=4)
    with pytest.raises(BudgetExhausted, match=r"draft.budget_usd = 0.00 is reached"):
        ask(project, server)
    spent = sum(request.billed[0] * 1e-6 + request.billed[1] * 2e-6 for request in server.requests)
    assert 0 < spent <= 0.004
    assert spent == pytest.approx(committed_usd(project.ledger))
    assert sum(candidate.cost_usd for candidate in project.ledger.candidates()) == pytest.approx(spent)


@pytest.mark.parametrize(
    ("outcome", "trouble", "again"),
    [
        ("rate limited", Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"}), True),
        ("server error", Answer({"detail": "oops"}, 503), True),
        ("lost", Answer(hang_up=True), False),
        ("broken", Answer(b'{"choices": [{'), False),
    ],
)
def test_faults_mean_for_this_model_what_they_mean_for_cohere(
    tmp_path: Path, server: OpenAIStandIn, outcome: str, trouble: Answer, again: bool
) -> None:
    project = make_project(tmp_path, prompts=3)
    source = find_source(project, server.url, answers=2)
    own = source.drafted_in(project).settings.draft
    prompts = project.ledger.prompts()
    first = {next(slots(prompt, own, 0, persona=source.persona(prompt))).settings["seed"] for prompt in prompts}
    server.behaviour = lambda body, seen: trouble if body["seed"] in first and seen == 0 else None
    done = draft(project, source=source, patience=QUICK)
    assert {name: tally.calls for name, tally in done.outcomes.items()} == {"answer": 6, outcome: 3}
    assert set(Counter(r.name for r in server.requests if r.body["seed"] in first).values()) == {2 if again else 1}
    assert (done.open, done.short) == (0, ())


def test_a_server_that_hangs_up_for_ever_ends_the_run_under_its_own_name(tmp_path: Path, server: OpenAIStandIn) -> None:
    server.behaviour = lambda _body, _seen: Answer({"detail": "no such route"}, 404)
    place = server.url.removeprefix("http://")
    with pytest.raises(DraftError, match=rf"^{place} rejected a call to {MODEL} \(404: .*mend --model or the prompt"):
        ask(make_project(tmp_path), server)


def test_pictures_are_described_by_a_model_that_sees_and_left_alone_by_others(tmp_path: Path) -> None:
    project = make_project(tmp_path, prompts=1)
    add_drawn(project, range(2))
    with serving() as blind:
        assert ask(project, blind).answers == 2
    with serving(sees=True, models=("vlm",)) as seeing:
        assert ask(project, seeing, pictures=True).answers == 4
        assert all(isinstance(request.body["messages"][-1]["content"], list) for request in seeing.requests)
        assert {len(request.body["messages"]) for request in seeing.requests} == {1}


@pytest.mark.parametrize(
    ("lie", "outcome"),
    [
        (lambda body: Answer(json.dumps(chat(body, finish="\udc00")).encode()), "answer"),
        (lambda _body: Answer(b'{"error": "\\ud800"}', 503), "server error"),
        (lambda _body: Answer({}, 503, {"Retry-After": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}), "server error"),
        (lambda body: Answer(chat(body), charset="hex"), "answer"),
        (lambda _body: Answer(UNPACKS_FOR_EVER, headers={"Content-Encoding": "gzip"}), "broken"),
    ],
    ids=["half a character", "half a character in an error", "a year beyond time", "no text", "a bomb"],
)
def test_what_no_server_should_say_ends_as_an_outcome(
    tmp_path: Path, server: OpenAIStandIn, lie: Callable[[dict[str, Any]], Answer], outcome: str
) -> None:
    server.behaviour = lambda body, _seen: lie(body)
    project = make_project(tmp_path, prompts=1)
    assert ask(project, server, answers=1).outcomes.keys() == {outcome}
    assert {row["outcome"] for row in calls_of(project)} == {outcome}, "each call is settled"


def test_an_answer_holds_neither_the_key_nor_what_the_model_thought_nor_what_no_database_takes(
    tmp_path: Path, server: OpenAIStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOT_SOURCE_KEY", KEY)
    server.key = KEY
    said = f"Pienso en la mesa.</think>En mi casa eso \0se cocina \ud800 despacio con Bearer {KEY} y con mi madre."
    server.behaviour = lambda body, _seen: Answer(json.dumps(chat(body, said)).encode())
    project = make_project(tmp_path, prompts=1)
    ask(project, server, answers=1)
    assert [candidate.text for candidate in project.ledger.candidates()] == [
        "En mi casa eso se cocina ? despacio con Bearer [key] y con mi madre."
    ]


# -- the server that somebody names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"models": ("a", "b")}, r"has several models \(a, b\); name one with --model"),
        ({"models": ()}, "has no model; name one"),
        ({"key": KEY}, r"does not accept the key \(401\); set ANNOT_SOURCE_KEY"),
    ],
)
def test_a_server_without_one_model_gets_a_sentence(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    project = make_project(tmp_path)
    with serving(**settings) as server, pytest.raises(DraftError, match=sentence):
        find_source(project, server.url)


@pytest.mark.parametrize(
    "listing",
    [
        *(Answer(b"<html>"), Answer([]), Answer({"data": 5}), Answer({"data": [1]}), Answer({}, 404)),
        *(Answer({"data": [{"id": name}]}) for name in (None, "", "a\x1b[2Jb", "\ud800", "x" * 10**5)),
        Answer(UNPACKS_FOR_EVER, headers={"Content-Encoding": "gzip"}),
    ],
)
def test_what_is_no_list_of_models_gets_a_sentence(tmp_path: Path, listing: Answer) -> None:
    project = make_project(tmp_path)
    with serving() as server:
        server.listing = listing
        with pytest.raises(DraftError, match="name one with --model"):
            find_source(project, server.url)


@pytest.mark.parametrize(
    "address",
    ["ftp://example.com", "http://", "http://[::1", "https://user:secret@127.0.0.1:9/v1", "http://h/v1?key=s"],
)
def test_an_address_that_is_none_gets_a_sentence_without_a_secret(tmp_path: Path, address: str) -> None:
    with pytest.raises(DraftError, match="address") as told:
        find_source(make_project(tmp_path), address)
    assert "secret" not in str(told.value) or "user:secret" not in str(told.value)


def test_the_key_opens_the_server_and_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path, prompts=1)
    monkeypatch.setenv("ANNOT_SOURCE_KEY", KEY)
    with serving(key=KEY) as server:
        assert ask(project, server).answers == 2
        server.behaviour = lambda _body, _seen: Answer({"error": f"you sent Bearer {KEY}"}, 403)
        with pytest.raises(DraftError, match="403") as told:
            ask(project, server, answers=4)
    project.ledger.close()
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in held + str(told.value).encode() + "".join(capfd.readouterr()).encode()


def test_of_a_thousand_models_a_few_are_named(tmp_path: Path) -> None:
    with serving(models=[f"m{number}" for number in range(1000)]) as server, pytest.raises(DraftError) as told:
        find_source(make_project(tmp_path), server.url)
    assert "(m0, m1, m2, m3, m4, m5, m6, m7 and 992 more)" in str(told.value)


@pytest.mark.parametrize("recipe", [5, {"region": "MX"}, {"base": [1]}])
def test_a_run_whose_facts_are_damaged_gets_a_sentence(tmp_path: Path, recipe: object) -> None:
    project = make_project(tmp_path)
    folder = project.folder / "runs" / "first"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"recipe": recipe}))
    (folder / "DONE").write_text('{"adapter_sha256": "0123"}')
    with pytest.raises(DraftError, match="first is damaged: put a copy of it back"):
        find_source(project, "first")


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def annot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(project: Project, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["annot", *words, "--project", str(project.folder)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_command_forecasts_drafts_and_says_what_it_cost(
    tmp_path: Path, server: OpenAIStandIn, annot: Callable[..., tuple[int, str, str]]
) -> None:
    project = make_project(tmp_path)
    code, out, _ = annot(project, "draft", "--source", server.url, "--dry-run")
    assert (code, server.requests) == (0, [])
    assert "4 calls for 2 prompts: they cost nothing." in out, "half of draft.candidates"
    assert MODEL in out
    assert "key" not in out
    told = json.loads(annot(project, "draft", "--source", server.url, "--dry-run", "--json", "--answers", "3")[1])
    assert (told["prompts"], told["usd"], [line["calls"] for line in told["models"]]) == (2, 0, [6])
    code, out, _ = annot(project, "draft", "--source", server.url)
    assert code == 0
    assert re.search(r"answer +4 ", out)
    assert "4 new candidates.\n" in out
    assert annot(project, "draft", "--source", server.url)[1] == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--source", "x", "--from", "f"), "leave out --from and --prices"),
        (("--model", "x"), "add --source RUN or URL"),
        (("--answers", "3"), "add --source RUN or URL"),
        (("--source", "nobody"), "nobody is no finished run of this project, nor an address"),
        (("--source", "../runs/x"), "is no finished run of this project"),
    ],
)
def test_what_makes_no_sense_gets_one_sentence(
    tmp_path: Path, annot: Callable[..., tuple[int, str, str]], words: tuple[str, ...], sentence: str
) -> None:
    code, _, err = annot(make_project(tmp_path), "draft", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert sentence in err
