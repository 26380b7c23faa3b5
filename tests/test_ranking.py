"""The task "rank for cultural fit": forms, records and judgements, without a server."""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.hidden import count_hidden, without_hidden
from annotation.tasks import ranking
from annotation.types import PROBLEMS, SEATS, Judgement, Prompt, Slate

SLATE = Slate("s1", "p1", ("w", "x", "y", "z"), 0)


def response(ranks: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = [{"value": seat, "rank": rank} for seat, rank in ranks.items()]
    values = {"ranking": {"value": given}, **{name: {"value": value} for name, value in more.items()}}
    return {"id": "r1", "status": "submitted", "updated_at": "2026-01-02T03:04:05", "values": values}


def read(told: dict[str, Any], slate: Slate = SLATE) -> Judgement:
    return ranking.judgement(told, slate, annotator="ana", country="MX")


def test_equal_ranks_share_a_tier_and_gaps_mean_nothing() -> None:
    assert read(response({"A": 1, "B": 1, "C": 3, "D": 4})).tiers == (("w", "x"), ("y",), ("z",))
    assert read(response({"D": 1, "C": 2, "B": 4, "A": 4})).tiers == (("z",), ("y",), ("w", "x"))
    assert read(response({"A": 3, "B": 3, "C": 3, "D": 3})).tiers == (("w", "x", "y", "z"),)


def test_everything_else_that_was_answered_is_read() -> None:
    found = read(
        response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=["other", "stereotype"], acceptable="none", rewrite=" Pan ")
    )
    assert found.problems == ("stereotype", "other")
    assert found.none_acceptable is True
    assert found.rewrite == "Pan"
    assert (found.response_id, found.slate_id, found.annotator, found.country) == ("r1", "s1", "ana", "MX")
    assert read(response({"A": 1, "B": 2, "C": 3, "D": 4}, acceptable="some")).none_acceptable is False


@pytest.mark.parametrize(
    "told",
    [
        response({"A": 1, "B": 2, "C": 3}),
        response({"A": 1, "B": 2, "C": 3, "D": 4, "E": 5}),
        response({"A": 1, "B": 2, "C": 3, "E": 4}),
        response({"A": 1, "B": 2, "C": 3, "D": None}),
        response({}),
        response({"A": 1, "B": 2, "C": 3, "D": 4}, problems=["boring"]),
        {**response({}), "values": None},
        {**response({}), "values": {"rewrite": {"value": "Pan"}}},
    ],
)
def test_values_that_do_not_fit_the_slate_are_never_guessed_at(told: dict[str, Any]) -> None:
    with pytest.raises(ranking.Unfit):
        read(told)


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
    problems = tuple(problem for problem in PROBLEMS if draw(st.booleans()))
    text = draw(st.text().filter(lambda text: "&" not in text).map(ranking.as_written).map(str.strip))
    return Judgement("r", "s", "ana", "MX", tiers, problems, draw(st.booleans()), text, "t"), slate


@given(judgements())
def test_what_is_answered_is_what_is_read(case: tuple[Judgement, Slate]) -> None:
    judgement, slate = case
    told = {"id": "r", "updated_at": "t", "values": ranking.answer_values(judgement, slate)}
    assert ranking.judgement(told, slate, annotator="ana", country="MX") == judgement


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
    sent = ranking.as_typed(text)
    page = Tags()
    page.feed(sent)
    page.close()
    assert (page.tags, page.shown) == ([], text)
    assert html.unescape(sent) == text
    assert ranking.as_written(sent) == text
    assert not re.search(r"<([A-Za-z][A-Za-z0-9]*)\b[^>]*>(.*?)</\1>", sent)  # what Argilla takes for HTML


@given(st.text())
def test_an_annotator_sees_every_character_that_a_model_would_learn(text: str) -> None:
    shown = html.unescape(ranking.as_typed(text))
    assert without_hidden(shown) == shown or any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in shown)
    shown.encode()


def test_hidden_characters_are_written_out_and_those_that_a_script_needs_are_left() -> None:
    assert ranking.as_typed("al \u202esárt\u202c") == "al ⟨U+202E⟩sárt⟨U+202C⟩"
    assert ranking.as_typed("ma\u200bíz\ufeff \x00") == "ma⟨U+200B⟩íz⟨U+FEFF⟩ ⟨U+0000⟩"
    assert ranking.as_typed("👩\u200d🌾 नमस्\u200dते") == "👩\u200d🌾 नमस्\u200dते"
    assert ranking.as_typed("שלום\u200f!") == "שלום\u200f!"
    assert ranking.as_typed("שלום\u202e!") == "שלום⟨U+202E⟩!"
    assert ranking.as_written("mi ⟨U+202E⟩texto\u200b") == "mi texto"
    assert count_hidden(["a\u200b\u200b", "b", "\u202ec\u200b"]) == (2, {"U+200B": 3, "U+202E": 1})


@pytest.mark.parametrize("language", ranking.LANGUAGES)
@pytest.mark.parametrize("seats", [2, 4, 8])
def test_every_language_has_a_whole_form(language: str, seats: int) -> None:
    form = ranking.form(language, seats, 3, 384)
    assert form.shape.seats == seats
    assert [field.name for field in form.fields] == ["system", "prompt", *SEATS[:seats]]
    texts = [form.guidelines, *(f.title for f in form.fields), *(q.title for q in form.questions)]
    texts += [text for q in form.questions for text in (q.description, *q.options.values())]
    assert all(text.strip() for text in texts)
    assert set(ranking.TEXTS[language]) == set(ranking.TEXTS["en"])
    assert [q.name for q in form.questions if q.required] == ["ranking"]
    assert tuple(next(q for q in form.questions if q.name == "problems").options) == PROBLEMS


@pytest.mark.parametrize("language", ranking.LANGUAGES)
def test_guidelines_are_short_and_say_what_the_page_asks(language: str) -> None:
    text, say = ranking.guidelines(language), ranking.TEXTS[language]
    assert len(text.split()) < 300
    assert len(text) < 10_000
    for shown in ("none", "wrong_country"):
        assert say[shown] in text


def test_people_who_speak_none_of_our_languages_read_english() -> None:
    assert [ranking.screen_language(code) for code in ("es", "pt", "en", "gn", "fr")] == ["es", "pt", "en", "en", "en"]


def test_a_record_holds_the_slate_and_no_more() -> None:
    prompt = Prompt.make("¿Qué llevo?", country="MX", language="es", topic="<b>fiestas</b>")
    texts = {"w": "W", "x": "X", "y": "Y", "z": "Z", "other": "no"}
    made = ranking.record(SLATE, prompt, texts, None)
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
    assert ranking.record(SLATE, prompt, texts, [1, 0])["vectors"] == {ranking.VECTOR: [1.0, 0.0]}
