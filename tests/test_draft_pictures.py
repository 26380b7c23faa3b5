"""Descriptions of pictures drafted with the real Cohere SDK, against a stand-in for Cohere over loopback."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import kills
from cohere_server import KEY, VISION, Answer, CohereStandIn, parts_of, pixels, say, standing_in
from picture_projects import add_drawn, drawn, file_of
from test_draft import FAST, PRICES, QUICK, Children, answers_per_prompt, billed_usd, calls_of, contents, settings_of
from test_draft import make_project as make_text_project

from annotation.drafting.draft import draft, outlook
from annotation.drafting.from_file import draft_from_file
from annotation.drafting.personas import describers
from annotation.drafting.pictures import picture_tokens
from annotation.drafting.plan import slots
from annotation.drafting.report import draft_and_show, outlook_sentence, show_outlook, take_from_file
from annotation.errors import BudgetExhausted, DraftError, SettingsError, SourceError
from annotation.extending.gaps import find_gaps
from annotation.images.question import QUESTION
from annotation.images.store import read_pictures
from annotation.money import committed_usd
from annotation.project import Project
from annotation.types import Prompt, content_id

ONLY_VISION = FAST.replace(
    "production = { per_minute = 60000 }", "production = { per_minute = 60000, per_month = 6 }"
).replace("production = { per_minute = 500 }", "production = { per_minute = 60000 }")
"""With a production key, models that see may be called 6 times a month, the others as often as one likes."""


def make_project(folder: Path, pictures: int = 2, *, texts: int = 0, **changes: Any) -> Project:
    """A project with as many pictures, all in Spanish, and as many prompts without one."""
    project = make_text_project(folder, prompts=texts, **changes)
    add_drawn(project, range(pictures))
    return project


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[CohereStandIn]:
    with standing_in() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", KEY)
        yield server


def test_every_picture_gets_descriptions_from_a_model_that_sees_and_the_ledger_knows_what_they_cost(
    tmp_path: Path, stand_in: CohereStandIn
) -> None:
    project = make_project(tmp_path, pictures=2, texts=2)
    done = draft(project)
    assert (done.answers, set(done.outcomes)) == (16, {"answer"})
    assert answers_per_prompt(project) == {4}
    assert done.usd == pytest.approx(billed_usd(stand_in, project)) == pytest.approx(committed_usd(project.ledger))
    blocks = [parts_of(request.body["messages"][1]) for request in stand_in.requests]
    assert Counter(request.model == VISION for request in stand_in.requests) == {True: 8, False: 8}
    about = [parts for parts in blocks if len(parts) == 2]
    assert len(about) == 8
    assert {part["image_url"]["detail"] for parts in about for part in parts[1:]} == {"high"}
    sent = Counter(base64.b64decode(parts[1]["image_url"]["url"].partition(",")[2]) for parts in about)
    assert sent == {drawn(0).jpeg: 4, drawn(1).jpeg: 4}
    # The question stands before the picture, and the answer is kept with how it was made.
    assert {parts[0]["text"] for parts in about} == {QUESTION["es"]}
    of_pictures = {prompt.id for prompt in project.ledger.prompts() if prompt.image}
    kept = [candidate for candidate in project.ledger.candidates() if candidate.prompt_id in of_pictures]
    assert {candidate.settings["detail"] for candidate in kept} == {"high"}
    assert draft(project).answers == 0
    assert len(stand_in.requests) == 16


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((1024, 1024), "low", 256),
        ((512, 512), "high", 512),
        ((513, 512), "high", 768),
        ((1000, 1000), "high", 1280),
        ((1024, 576), "auto", 1280),
        ((768, 768), "auto", 256),
        ((769, 64), "auto", 768),
    ],
)
def test_tokens_of_a_picture_are_known_before_the_call_as_the_service_bills_them(
    tmp_path: Path, stand_in: CohereStandIn, size: tuple[int, int], detail: Any, tokens: int
) -> None:
    assert picture_tokens(*size, detail) == tokens
    project = make_text_project(tmp_path, prompts=0, candidates=1, picture_detail=detail)
    add_drawn(project, [0], size=size)
    seen = outlook(project)
    draft(project)
    [request] = stand_in.answered
    text = sum(len(part["text"]) for message in request.body["messages"] for part in parts_of(message)[:1]) // 4
    assert request.billed[0] == text + tokens
    [line] = seen.models
    price = calls_of(project)[0]["reserved_usd"]
    assert line.most_usd == pytest.approx(price)
    assert tokens < line.input_tokens < tokens + 1000
    assert committed_usd(project.ledger) < price


def test_nothing_of_a_picture_is_in_the_ledger_the_log_or_a_sentence_even_when_the_server_echoes_it(
    tmp_path: Path, stand_in: CohereStandIn, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    project = make_project(tmp_path, pictures=2, candidates=2)
    encoded = [base64.b64encode(drawn(number).jpeg).decode() for number in range(2)]

    def echo(body: dict[str, Any], seen: int) -> Answer:
        address = parts_of(body["messages"][1])[1]["image_url"]["url"]
        if seen == 0:
            return Answer({"message": f"overloaded with {address[60:200]} of {address}"}, 500)
        return Answer(say(body, meta={"echo": address, "beginning": address[:80], "middle": address[300:320]}))

    stand_in.behaviour = echo
    draft(project, patience=QUICK)
    assert project.ledger.rows("select detail from outcomes where detail like '%[picture]%'")
    stand_in.behaviour = lambda body, _seen: Answer({"message": f"bad image: {body['messages'][1]}"}, 422)
    other = make_project(tmp_path / "other", pictures=1)
    with pytest.raises(DraftError, match="rejected a call"):
        draft_and_show(other, None, ask_first=False)
    shown = capsys.readouterr()
    for folder in (tmp_path, tmp_path / "other"):
        seen = b"".join(path.read_bytes() for path in folder.glob("ledger.sqlite*"))
        told = seen.decode("latin-1") + caplog.text + shown.out + shown.err
        for text in encoded:
            assert not any(text[at : at + 24] in told for at in range(0, len(text) - 24, 8))


def test_a_missing_picture_is_named_with_its_remedy_before_anything_is_spent(
    tmp_path: Path, stand_in: CohereStandIn
) -> None:
    project = make_project(tmp_path, pictures=3, texts=1)
    gone = file_of(project, project.ledger.prompts()[-1])
    gone.unlink()
    for ask in (outlook, draft):
        with pytest.raises(DraftError, match=rf"{gone.name} is missing .1 picture of 3.*annot images add"):
            ask(project)
    assert not stand_in.requests
    assert not calls_of(project)


@pytest.mark.parametrize("what", ["another", "gone"])
def test_a_picture_that_changes_under_way_ends_the_run_and_is_not_sent(
    tmp_path: Path, stand_in: CohereStandIn, what: str
) -> None:
    project = make_project(tmp_path, pictures=2, candidates=2, concurrency=1)
    last = file_of(project, project.ledger.prompts()[1])

    def spoil(_body: dict[str, Any], _seen: int) -> None:
        if what == "gone":
            last.unlink(missing_ok=True)
        else:
            last.write_bytes(drawn(1).jpeg + b"where it was taken")

    stand_in.behaviour = spoil
    with pytest.raises(DraftError, match=f"{last.name} {'is missing' if what == 'gone' else 'was changed'}"):
        draft(project)
    assert len(stand_in.requests) == len(calls_of(project)) == 2
    assert {row["outcome"] for row in calls_of(project)} == {"answer"}


def test_a_model_that_does_not_see_is_refused_by_the_service_and_costs_nothing(
    tmp_path: Path, stand_in: CohereStandIn
) -> None:
    project = make_project(tmp_path, picture_models=["command-r7b-12-2024"])
    with pytest.raises(DraftError, match=r"400.*does not support image input"):
        draft(project)
    assert committed_usd(project.ledger) == 0
    assert not stand_in.answered


def test_an_impossible_detail_is_refused_with_the_words_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"picture_detail.*'low', 'high' or 'auto'"):
        make_project(tmp_path, picture_detail="medium")


def test_a_team_without_pictures_needs_no_price_of_a_model_that_sees(tmp_path: Path, stand_in: CohereStandIn) -> None:
    start, end = FAST.index("[models.command-a-vision"), FAST.index("[models.command-r-plus")
    prices = FAST[:start] + FAST[end:]
    project = make_text_project(tmp_path, prompts=1, prices=prices, candidates=1)
    assert draft(project).answers == 1
    add_drawn(project, [0])
    with pytest.raises(SettingsError, match=r'"command-a-vision-07-2025" has no price'):
        draft(project)
    assert len(stand_in.requests) == 1


def test_pictures_alone_need_no_price_of_the_models_of_texts(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, pictures=1, candidates=1, models=["of-no-price"])
    assert draft(project).answers == 1
    assert [request.model for request in stand_in.requests] == [VISION]


def test_gaps_are_of_texts_alone(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=3, texts=4)
    texts = make_text_project(tmp_path / "texts", prompts=4)
    assert find_gaps(project).as_json() == find_gaps(texts).as_json()
    assert find_gaps(project).prompts == 4


# -- budget and months --------------------------------------------------------------------------------------


def test_tokens_of_pictures_count_for_the_hard_budget(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_text_project(tmp_path, prompts=0, candidates=8, budget_usd=0.05, concurrency=8)
    add_drawn(project, range(6), size=(1024, 1024))
    seen = outlook(project)
    assert seen.most_usd > 6 * 8 * 1280 * 2.5e-6
    with pytest.raises(BudgetExhausted):
        draft(project)
    assert 0 < len(stand_in.answered) < 48
    assert billed_usd(stand_in, project) <= committed_usd(project.ledger) <= 0.05


def with_key(folder: Path, key: str, *, pictures: int, texts: int) -> Project:
    return make_project(folder, pictures=pictures, texts=texts, prices=ONLY_VISION, key=key, candidates=4)


def test_with_a_production_key_the_month_ends_for_pictures_alone(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = with_key(tmp_path, "production", pictures=3, texts=3)
    seen = outlook(project)
    assert (seen.monthly, seen.months) == ((0, 6, 12), 2)
    said = outlook_sentence(project, seen, "6 prompts")
    assert "0 of the 6 calls a month to command-a-vision-07-2025 that a production key allows are used" in said
    assert "it needs 2 months, or fewer draft.candidates." in said
    assert "lifts that" not in said
    with pytest.raises(
        DraftError, match=r"6 calls were made this month, and a production key allows 6 .* next month\."
    ):
        draft(project)
    asked = Counter(request.model == VISION for request in stand_in.requests)
    assert asked == {True: 6, False: 12}  # What is not limited went on to its end.
    seen = outlook(project)
    assert (seen.monthly, sum(line.calls for line in seen.models)) == ((6, 6, 6), 6)
    with pytest.raises(DraftError, match="this month"):
        draft(project)
    assert len(stand_in.requests) == 18


def test_slots_that_have_no_call_left_this_month_hold_nobody_up(tmp_path: Path, stand_in: CohereStandIn) -> None:
    prices = ONLY_VISION.replace("per_minute = 60000, per_month = 6", "per_minute = 0.1, per_month = 1")
    project = make_text_project(
        tmp_path, prompts=3, prices=prices, key="production", candidates=2, models=["command-r-08-2024", VISION]
    )
    with pytest.raises(DraftError, match="1 calls were made this month"):
        draft(project)  # in ten minutes for each slot, were they to wait their turn
    # The model without a limit went on with every prompt, and wrote no answer in the place of the other one's.
    assert Counter(request.model == VISION for request in stand_in.requests) == {True: 1, False: 3}


def test_months_count_only_what_is_left_of_this_one(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=1)
    seen = outlook(project)
    months = {replace(seen, monthly=monthly).months for monthly in ((3000, 1000, 100), (0, 1000, 1001), (999, 1000, 2))}
    assert months == {2}
    assert [replace(seen, monthly=monthly).months for monthly in ((0, 6, 6), (6, 6, 0), None)] == [1, 1, 1]


@pytest.mark.usefixtures("stand_in")
def test_with_a_trial_key_calls_about_texts_and_pictures_use_up_one_month(tmp_path: Path) -> None:
    prices = FAST.replace("trial = { per_minute = 60000 }", "trial = { per_minute = 60000, per_month = 20 }")
    project = make_project(tmp_path, pictures=0, texts=2, prices=prices, models=["command-r-08-2024"])
    draft(project)
    add_drawn(project, range(4))
    seen = outlook(project)
    assert seen.monthly == (8, 20, 16)
    assert seen.months == 2


def test_the_dry_run_shows_calls_tokens_dollars_and_minutes_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_text_project(tmp_path, prompts=2, prices=PRICES, candidates=8, picture_detail="low")
    add_drawn(project, range(150), size=(64, 64))
    show_outlook(project, None, json=True)
    told = json.loads(capsys.readouterr().out)
    [line] = [line for line in told["models"] if line["model"] == VISION]
    assert line["calls"] == 1200
    assert line["minutes"] == 60
    assert line["input_tokens"] > 1200 * 256
    assert line["usd"] == pytest.approx((2.5 * line["input_tokens"] + 10 * line["output_tokens"]) / 1e6)
    assert told["monthly"] == [0, 1000, 1216]
    assert told["months"] == 2
    show_outlook(project, None)
    assert "0 of the 1,000 calls a month that a trial key allows are used; this needs 1,216." in capsys.readouterr().out


# -- stopping and going on ----------------------------------------------------------------------------------


def test_a_run_about_pictures_killed_at_any_moment_never_pays_for_a_description_twice(tmp_path: Path) -> None:
    dice, plot = random.Random(3), dict[str, float]()

    def kill(child: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def behaviour(_body: dict[str, Any], _seen: int) -> None:
        if len(server.requests) >= plot.get("request", 1000) and plot.pop("request", None) is not None:
            threading.Timer(plot["after_s"], kill, [int(plot["child"])]).start()

    killed, rounds = 0, kills(4, 10)
    with standing_in(behaviour, delay_s=0.03) as server:
        children = Children(server.url, tmp_path)
        try:
            undisturbed = make_project(tmp_path / "undisturbed", pictures=4, candidates=3)
            children.start(undisturbed.folder)
            assert children.wait() == 0
            expected = contents(undisturbed)
            for number in range(rounds):
                project = make_project(tmp_path / str(number), pictures=4, candidates=3, concurrency=4)
                server.forget()
                child = children.start(project.folder)
                plot.update(child=child, after_s=dice.uniform(0, 0.03), request=dice.randrange(9))
                killed += children.wait() == -signal.SIGKILL
                plot.pop("request", None)
                children.start(project.folder)
                assert children.wait() == 0
                assert answers_per_prompt(project) == {3}
                assert set(Counter(request.name for request in server.answered).values()) == {1}
                assert committed_usd(project.ledger) >= billed_usd(server, project) - 1e-9
                lost = {json.loads(row["settings"])["seed"] for row in calls_of(project) if row["outcome"] == "lost"}
                got = contents(project)
                assert {slot for slot in expected if slot[1] not in lost} <= got.keys()
        finally:
            children.close()
    assert killed >= rounds - 1


# -- who describes ------------------------------------------------------------------------------------------


def picture_prompt(country: str = "MX", language: str = "es") -> Prompt:
    return Prompt.make("Describe esta imagen.", country=country, language=language, image="ab" * 32)


@pytest.mark.parametrize(
    ("country", "language"), [("MX", "es"), ("BR", "pt"), ("AO", "pt"), ("US", "en"), ("ES", "gl")]
)
def test_descriptions_differ_by_persona_focus_and_length(country: str, language: str) -> None:
    cast = describers(picture_prompt(country, language), random.Random(0), None, 15)
    seen = [persona.description.rpartition("; ")[2].split(", ") for persona in cast]
    assert len({tuple(pair) for pair in seen}) == 15
    assert [len({pair[place] for pair in seen}) for place in (0, 1)] == [5, 3]
    assert len({pair[0] for pair in seen[:5]}) == 5  # Even few candidates look at everything.
    assert len({pair[1] for pair in seen[:4]}) >= 2
    assert len({persona.description.rpartition("; ")[0] for persona in cast}) >= 8
    for persona in cast:
        told = persona.system.lower()
        assert any(word in told for word in ("no identifiques a nadie", "não identifi", "do not identify anybody"))
        assert any(word in told for word in ("no inventes", "não invente", "do not make up"))
        assert not any(mark in told for mark in "{}")


def test_a_team_has_its_own_focuses_for_a_language() -> None:
    texts = {
        "gl.toml": '[personas]\nfocus = "comida | o que se come\\nfesta | a festa"\nlength = "curta | Unha frase."\n'
    }
    cast = describers(picture_prompt("ES", "gl"), random.Random(0), texts, 4)
    assert sorted({persona.description.rpartition("; ")[2] for persona in cast}) == ["comida, curta", "festa, curta"]
    with pytest.raises(SettingsError, match=r"guidelines/gl\.toml: personas\.focus needs a word, \|"):
        describers(picture_prompt("ES", "gl"), random.Random(0), {"gl.toml": '[personas]\nfocus = "comida"\n'}, 4)


def test_slots_of_a_picture_depend_on_its_detail_and_settings_alone(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=2)
    one, other = project.ledger.prompts()
    pictures = read_pictures(project.ledger)

    def ids(prompt: Prompt, **changes: Any) -> set[str]:
        return {slot.id for slot in slots(prompt, settings_of(**changes), 0, None, pictures[prompt.image])}

    assert ids(one) == ids(one) == ids(one, models=["command-r-08-2024"])
    assert len(ids(one)) == 16
    for others in (ids(other), ids(one, picture_detail="low"), ids(one, picture_models=["another"])):
        assert not others & ids(one)


@pytest.mark.parametrize(
    ("text", "country", "language", "system", "ids"),
    [
        ("¿Qué se come en Navidad?", "MX", "es", "", "d28727c1375ec6c9"),
        ("O que se come no Natal?", "BR", "pt", "", "102f19e5ae1e0f94"),
        ("Que se come en Nadal?", "ES", "gl", "Se breve.", "f3b27ca56b2b59dc"),
    ],
)
def test_slots_of_texts_are_those_that_projects_have_paid_for(
    text: str, country: str, language: str, system: str, ids: str
) -> None:
    prompt = Prompt.make(text, country=country, language=language, system=system)
    assert content_id(*(slot.id for slot in slots(prompt, settings_of(), 7))) == ids


# -- from a file --------------------------------------------------------------------------------------------

WORDS = "Un plato redondo y blanco sobre una mesa de color, con una franja verde arriba, número {}."


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "descripciones.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_descriptions_written_elsewhere_name_their_picture_by_prompt_id_or_file(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=3)
    prompts = project.ledger.prompts()
    rows = [
        {"image": prompts[0].image, "answer": WORDS.format(0)},
        {"image": "fotos/plato 1.jpg", "answer": WORDS.format(1)},
        {"image": "Plato 1.JPG", "answer": WORDS.format(2)},
        {"image": str(file_of(project, prompts[2])), "answer": WORDS.format(3), "model": "un-modelo", "voice": "ropa"},
        {"image": "plato 9.jpg", "answer": WORDS.format(4)},
    ]
    added = draft_from_file(project, write(tmp_path, rows))
    assert (added.new, [(drop.id, drop.reason) for drop in added.dropped]) == (
        4,
        [("descripciones.jsonl:5", "unknown picture")],
    )
    assert not any("image" in notice for notice in added.notices)
    found = {prompt.id: project.ledger.candidates(prompt.id) for prompt in prompts}
    assert [len(found[prompt.id]) for prompt in prompts] == [1, 2, 1]
    assert (found[prompts[2].id][0].model, found[prompts[2].id][0].voice) == ("un-modelo", "ropa")


def test_a_file_that_a_local_model_wrote_is_read(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=2)
    rows = [
        {"prompt_id": prompt.id, "answer": WORDS.format(n), "model": "tiny-vlm", "voice": "comida, breve"}
        for prompt in project.ledger.prompts()
        for n in range(3)
    ]
    added = draft_from_file(project, write(tmp_path, rows))
    assert (added.new, added.dropped, added.notices) == (6, (), ())
    assert {c.model for c in project.ledger.candidates()} == {"tiny-vlm"}
    assert {c.voice for c in project.ledger.candidates()} == {"comida, breve"}


def test_the_text_alone_names_no_picture_and_the_screen_says_what_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path, pictures=2)
    asked = project.ledger.prompts()[0].text
    rows = [{"prompt": asked, "image": "", "answer": WORDS.format(0)}]
    with pytest.raises(SourceError, match="several pictures have this prompt"):
        draft_from_file(project, write(tmp_path, rows))
    rows.append({"prompt": asked, "image": "plato 0.jpg", "answer": WORDS.format(1)})
    take_from_file(project, write(tmp_path, rows))
    assert "say which picture in a column image" in " ".join(capsys.readouterr().out.split())
    assert len(project.ledger.candidates()) == 1


def test_a_picture_of_two_languages_is_told_by_the_language(tmp_path: Path) -> None:
    project = make_project(tmp_path, pictures=1)
    [brazilian] = add_drawn(project, [0], country="BR", language="pt")
    rows = [{"image": "plato 0.jpg", "answer": WORDS.format(0), "language": language} for language in ("pt", "")]
    added = draft_from_file(project, write(tmp_path, rows))
    assert [drop.reason for drop in added.dropped] == ["several prompts are about this picture"]
    assert len(project.ledger.candidates(brazilian.id)) == 1


def test_pictures_are_drafted_for_although_prompts_wait_for_people(tmp_path: Path, stand_in: CohereStandIn) -> None:
    project = make_project(tmp_path, pictures=1, texts=1, candidates=1)
    path = project.folder / "annot.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[prompts]", "[prompts]\nreviewed_only = true"))
    draft(Project.open(tmp_path))
    assert [request.model for request in stand_in.requests] == [VISION]
    assert pixels(parts_of(stand_in.requests[0].body["messages"][1])[1]["image_url"]).size == (640, 480)
