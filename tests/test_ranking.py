"""The task "rank for cultural fit": forms, records and judgements, without a server."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import ranking_item, ranking_record, ranking_values

from annotation.config import Settings
from annotation.errors import SettingsError
from annotation.ledger import Response
from annotation.tasks import TASKS, page
from annotation.tasks.answers import Answers, read_answers
from annotation.tasks.page import LANGUAGES, TeamPage, as_typed, as_written
from annotation.tasks.ranking import task, texts
from annotation.text.hidden import count_hidden, without_hidden
from annotation.text.locales import name_of_country
from annotation.types import PROBLEMS, SEATS, Judgement, Person, Prompt, Slate, in_order
from sync.quickstart import COUNTRIES

SLATE = Slate("s1", "p1", ("w", "x", "y", "z"), 0)


def response(ranks: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = [{"value": seat, "rank": rank} for seat, rank in ranks.items()]
    values = {"ranking": {"value": given}, **{name: {"value": value} for name, value in more.items()}}
    return {"id": "r1", "status": "submitted", "updated_at": "2026-01-02T03:04:05", "values": values}


ANA = Person("ana", "Ana", "annotator", "MX", ("es",))


def answers(told: dict[str, Any], slate: Slate = SLATE) -> Answers:
    said = Response("r1", slate.id, "ana", "MX", "submitted", "2026-01-02T03:04:05", json.dumps(told))
    return read_answers([said], {slate.id: ranking_item(slate)}, {"ana": ANA})


def read(told: dict[str, Any], slate: Slate = SLATE) -> Judgement:
    (answer,) = answers(told, slate).kept
    found: Judgement = answer.value
    return found


def test_equal_ranks_share_a_tier_and_gaps_mean_nothing() -> None:
    assert read(response({"A": 1, "B": 1, "C": 3, "D": 4})).tiers == (("w", "x"), ("y",), ("z",))
    assert read(response({"D": 1, "C": 2, "B": 4, "A": 4})).tiers == (("z",), ("y",), ("w", "x"))
    assert read(response({"A": 3, "B": 3, "C": 3, "D": 3})).tiers == (("w", "x", "y", "z"),)


def test_everything_else_that_was_answered_is_read() -> None:
    marks = ["D:other", "B:other", "B:stereotype"]
    told = response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=marks, acceptable="none", rewrite=" Pan ")
    found = read(told)
    assert found.problems == {"x": ("stereotype", "other"), "z": ("other",)}
    assert found.none_acceptable is True
    assert found.rewrite == "Pan"
    (answer,) = answers(told).kept
    assert (answer.response_id, answer.item_id, answer.annotator, answer.country) == ("r1", "s1", "ana", "MX")
    assert answer.submitted_at == "2026-01-02T03:04:05"
    assert read(response({"A": 1, "B": 2, "C": 3, "D": 4}, acceptable="some")).none_acceptable is False


def test_problems_that_an_older_dataset_asked_for_are_those_of_the_whole_slate() -> None:
    found = read(response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=["other", "stereotype"]))
    assert found.problems == {"": ("stereotype", "other")}


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (response({"A": 1, "B": 2, "C": 3}), "other seats than the slate's were ranked"),
        (response({"A": 1, "B": 2, "C": 3, "D": 4, "E": 5}), "other seats than the slate's were ranked"),
        (response({"A": 1, "B": 2, "C": 3, "E": 4}), "other seats than the slate's were ranked"),
        (response({"A": 1, "B": 2, "C": 3, "D": None}), "a seat without a rank"),
        (response({}), "nothing was ranked"),
        (response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=["A:boring"]), "unknown problem: A:boring"),
        (response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=["E:other"]), "unknown problem: E:other"),
        ({**response({}), "values": None}, "nothing was ranked"),
        ({**response({}), "values": {"rewrite": {"value": "Pan"}}}, "nothing was ranked"),
    ],
)
def test_values_that_do_not_fit_the_slate_are_never_guessed_at(told: dict[str, Any], reason: str) -> None:
    found = answers(told)
    assert found.kept == ()
    assert [(dropped.id, dropped.reason, dropped.because_of) for dropped in found.dropped] == [("r1", reason, "s1")]


@st.composite
def judgements(draw: st.DrawFn) -> tuple[Judgement, Slate]:
    count = draw(st.integers(2, len(SEATS)))
    candidates = [f"c{n}" for n in range(count)]
    ranks = draw(st.lists(st.integers(1, count), min_size=count, max_size=count))
    tiers = tuple(
        tuple(c for c, rank in zip(candidates, ranks, strict=True) if rank == place) for place in sorted(set(ranks))
    )
    order = draw(st.permutations(candidates))
    slate = Slate("s", "p", tuple(order), 0)
    tiers = tuple(tuple(sorted(tier, key=order.index)) for tier in tiers)
    marks = st.sets(st.sampled_from(PROBLEMS), min_size=1).map(in_order)
    problems = draw(st.dictionaries(st.sampled_from(["", *candidates]), marks))
    text = draw(st.text().filter(lambda text: "&" not in text).map(as_written).map(str.strip))
    return Judgement(tiers, problems, draw(st.booleans()), text), slate


@given(judgements())
def test_what_is_answered_is_what_is_read(case: tuple[Judgement, Slate]) -> None:
    judgement, slate = case
    assert read({"values": ranking_values(judgement, slate)}, slate) == judgement


class Tags(HTMLParser):
    """Collects every tag that a browser would make of a text, and the text that it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.shown = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag} {attrs}")

    def handle_data(self, data: str) -> None:
        self.shown += data


@given(st.text(alphabet="<>&;/ !-abscript=#x3\n\"'"))
def test_no_answer_becomes_a_tag_in_an_annotators_browser(text: str) -> None:
    sent = as_typed(text)
    page = Tags()
    page.feed(sent)
    page.close()
    assert (page.tags, page.shown) == ([], text)
    assert html.unescape(sent) == text
    assert as_written(sent) == text
    assert not re.search(r"<([A-Za-z][A-Za-z0-9]*)\b[^>]*>(.*?)</\1>", sent)  # what Argilla takes for HTML


@given(st.text())
def test_an_annotator_sees_every_character_that_a_model_would_learn(text: str) -> None:
    shown = html.unescape(as_typed(text))
    assert without_hidden(shown) == shown or any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in shown)
    shown.encode()


def test_hidden_characters_are_written_out_and_those_that_a_script_needs_are_left() -> None:
    assert as_typed("al \u202esárt\u202c") == "al ⟨U+202E⟩sárt⟨U+202C⟩"
    assert as_typed("ma\u200bíz\ufeff \x00") == "ma⟨U+200B⟩íz⟨U+FEFF⟩ ⟨U+0000⟩"
    assert as_typed("👩\u200d🌾 नमस्\u200dते") == "👩\u200d🌾 नमस्\u200dते"
    assert as_typed("שלום\u200f!") == "שלום\u200f!"
    assert as_typed("שלום\u202e!") == "שלום⟨U+202E⟩!"
    assert as_written("mi ⟨U+202E⟩texto\u200b") == "mi texto"
    assert count_hidden(["a\u200b\u200b", "b", "\u202ec\u200b"]) == (2, {"U+200B": 3, "U+202E": 1})


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seats", [2, 4, 8])
def test_every_language_has_a_whole_form(language: str, seats: int) -> None:
    form = task.form(TeamPage(language), seats, 3, 384)
    assert form.shape.seats == seats
    assert [field.name for field in form.fields] == ["system", "prompt", *SEATS[:seats]]
    shown = [form.guidelines, *(f.title for f in form.fields), *(q.title for q in form.questions)]
    shown += [text for q in form.questions for text in (q.description, *q.options.values())]
    shown += [p.title for p in form.metadata]
    assert all(text.strip() for text in shown)
    assert set(texts.TEXTS[language]) == set(texts.TEXTS["en"])
    assert set(page.TEXTS[language]) == set(page.TEXTS["en"])
    assert [q.name for q in form.questions if q.required] == ["ranking"]
    marks = tuple(next(q for q in form.questions if q.name == "problems").options)
    assert marks == tuple(f"{seat}:{problem}" for seat in SEATS[:seats] for problem in PROBLEMS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_guidelines_are_short_and_say_what_the_page_asks(language: str) -> None:
    text, say = task.form(TeamPage(language), 4, 1).guidelines, texts.TEXTS[language]
    assert len(text.split()) < 500
    assert len(text) < page.MOST_CHARACTERS
    for shown in ("none", "keys", *PROBLEMS):
        assert say[shown].casefold() in text.casefold()
    assert not re.search("[{}]", text)


SHOWN = {"AR": "es", "BR": "pt", "CL": "es", "CO": "es", "ES": "es", "MX": "es", "PE": "es", "PT": "pt"}


def test_the_countries_of_the_bundled_prompts_have_an_example_of_their_own_and_others_a_neutral_one() -> None:
    def told(language: str, country: str) -> str:
        return task.form(TeamPage(language, country), 4, 1).guidelines

    own = {country: told(language, country) for country, language in SHOWN.items()}
    assert tuple(own) == COUNTRIES
    assert len(set(own.values())) == len(own)
    for country, language in SHOWN.items():
        assert own[country] != told(language, "")
    for country, language in {"UY": "es", "VE": "es", "AO": "pt", "JM": "en", "BR": "es", "MX": "pt"}.items():
        assert told(language, country) == told(language, "")
    named = {name_of_country(country, language) for country in SHOWN for language in LANGUAGES}
    for language in LANGUAGES:
        assert not {name for name in named if name in told(language, "")}


@pytest.mark.parametrize(
    ("language", "country", "base"),
    [
        ("es", "BR", "es"),
        ("gl", "ES", "es"),
        ("nah", "MX", "es"),
        ("gn", "BR", "pt"),
        ("vmw", "MZ", "pt"),
        ("fr", "FR", "en"),
    ],
)
def test_people_whose_language_has_no_texts_read_the_common_one_of_their_country(
    language: str, country: str, base: str
) -> None:
    assert task.form(TeamPage(language, country), 4, 1).questions == task.form(TeamPage(base), 4, 1).questions
    assert (TeamPage(language, country).fallback() == "") == (language == base)


def test_a_projects_own_texts_stand_before_annots_and_a_countrys_before_a_languages(tmp_path: Path) -> None:
    folder = tmp_path / page.OWN
    (folder / "prompt_check").mkdir(parents=True)
    galician = '[ranking]\nprompt = "Cuestión"\n"ranking.help" = "A mellor vai no posto 1."\n[page]\ntopic = "Asunto"\n'
    for name, text in {
        "ES.md": "Para España",
        "gl.md": "En galego",
        "prompt_check/gl.md": "Outra",
        "gl.toml": galician,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    own = page.own_texts(tmp_path)
    form = task.form(TeamPage("gl", "ES", own), 4, 1)
    assert (form.guidelines, form.fields[1].title) == ("Para España", "Cuestión")
    assert (form.questions[0].title, form.questions[0].description) == (
        texts.TEXTS["es"]["ranking"],
        "A mellor vai no posto 1.",
    )
    assert form.metadata[0].title == "Asunto"
    assert task.form(TeamPage("gl", "PT", own), 4, 1).guidelines == "En galego"
    assert task.form(TeamPage("es", "MX", own), 4, 1) == task.form(TeamPage("es", "MX"), 4, 1)
    assert TASKS["prompt_check"].form(TeamPage("gl", "ES", own), Settings()).guidelines == "Outra"
    assert TeamPage("gl", "ES", own).fallback() == ""
    assert TeamPage("gl", "ES", {"gl.md": "x"}).fallback() == (
        "annot has no texts in Galician, so Spanish stands in their place; to change that, put texts into "
        "guidelines/gl.toml"
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("AR.md", b"x" * 10_001, r"AR\.md has 10001 characters, .* 1 to 10000; write them, or shorten the file\."),
        ("AR.md", b" \n", "has 0 characters"),
        ("AR.md", b"\xe1", "is not UTF-8 text; save it again as UTF-8"),
        ("gl.toml", b"[ranking", r"guidelines/gl\.toml is no valid TOML: .*mend that line"),
        ("gl.toml", b"[rankin]", r"no table 'rankin'; did you mean \"ranking\"\?"),
        ("gl.toml", b'[ranking]\npromt = "x"', r"guidelines/gl\.toml: ranking has no text 'promt'; did you mean"),
        ("gl.toml", b"[ranking]\nprompt = 3", r"ranking\.prompt must be text in quotes"),
        ("gl.toml", b'[ranking]\nseat = "{sit}"', r"in braces may stand: \{seat\}\."),
        ("gl.toml", b'[ranking]\nprompt = "{"', "in braces may stand: none"),
    ],
)
def test_a_text_of_a_project_that_cannot_be_shown_is_one_sentence(
    tmp_path: Path, name: str, text: bytes, said: str
) -> None:
    (tmp_path / page.OWN).mkdir()
    (tmp_path / page.OWN / name).write_bytes(text)
    with pytest.raises(SettingsError, match=said):
        task.form(TeamPage("gl", "ES", page.own_texts(tmp_path)), 4, 1)


def test_a_record_holds_the_slate_and_no_more() -> None:
    prompt = Prompt.make("¿Qué llevo?", country="MX", language="es", topic="<b>fiestas</b>")
    candidates = {"w": "W", "x": "X", "y": "Y", "z": "Z", "other": "no"}
    made = ranking_record(SLATE, prompt, candidates, None)
    assert made["external_id"] == "s1"
    assert made["fields"] == {"prompt": "¿Qué llevo?", "A": "W", "B": "X", "C": "Y", "D": "Z"}
    assert made["metadata"] == {
        "topic": "&lt;b&gt;fiestas&lt;/b&gt;",
        "country": "MX",
        "language": "es",
        "slate": "s1",
        "position": 0,
    }
    assert "vectors" not in made
    assert ranking_record(SLATE, prompt, candidates, [1, 0])["vectors"] == {page.VECTOR: [1.0, 0.0]}


TIERS = st.permutations("ABCD").flatmap(
    lambda seats: st.lists(st.integers(1, 3), max_size=3, unique=True).map(
        lambda cuts: [tuple(seats[a:b]) for a, b in pairwise([0, *sorted(cuts), 4])]
    )
)


@given(TIERS)
def test_middle_ranks_always_add_up_to_the_same(ranked: list[tuple[str, ...]]) -> None:
    ranks = task.middle_ranks(ranked)
    assert sum(ranks.values()) == 10
    places = [ranks[seat] for tier in ranked for seat in tier]
    assert places == sorted(places)


@given(TIERS, TIERS)
def test_a_score_is_the_share_of_pairs_that_are_ordered_as_expected(
    expected: list[tuple[str, ...]], ranked: list[tuple[str, ...]]
) -> None:
    def order(tiers: list[tuple[str, ...]], one: str, other: str) -> int:
        places = {seat: place for place, tier in enumerate(tiers) for seat in tier}
        return (places[one] > places[other]) - (places[one] < places[other])

    item = replace(ranking_item(SLATE), expected={"tiers": expected})
    same = [order(expected, *pair) == order(ranked, *pair) for pair in combinations("ABCD", 2)]
    assert TASKS["ranking"].score(item, Judgement(tuple(ranked))) == sum(same) / 6
    assert TASKS["ranking"].score(item, Judgement(tuple(expected))) == 1
