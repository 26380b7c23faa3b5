"""Careless answers show: a seat that is always first, copies, answers at odds with all, without reading, by length."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import annot, make_project, ranking_values

from annotation.ledger import MovedResponse, Response
from annotation.project import Project
from annotation.quality import signs as module
from annotation.quality.pairs_of_people import shared_items
from annotation.quality.signs import Sign, signs
from annotation.tally import count
from annotation.tasks.page import CONTROL
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Item, Judgement, Person, Prompt, Slate
from sync.reporting.status import report

SETTINGS = '[project]\ncountries = ["MX", "BO"]\nlanguages = ["es"]\n[task.ranking]\noverlap = 5\n'
SLATES = 40
Tiers = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Asked:
    """A slate as somebody sees it: strengths of its answers by opinion, their lengths, what others said before."""

    slate: Slate
    strengths: Mapping[str, Mapping[str, float]]
    lengths: Mapping[str, int]
    said: Mapping[str, Tiers]


Way = Callable[[Asked, random.Random], Tiers]


def by(opinion: str, skill: float = 2.0) -> Way:
    """Somebody who has an opinion and feels it so well."""

    def way(asked: Asked, draw: random.Random) -> Tiers:
        felt = {c: skill * asked.strengths[opinion][c] + draw.gauss(0, 1) for c in asked.slate.seats}
        return tuple((c,) for c in sorted(felt, key=lambda c: -felt[c]))

    return way


def by_seats(asked: Asked, _: random.Random) -> Tiers:
    return tuple((c,) for c in asked.slate.seats)


def at_random(asked: Asked, draw: random.Random) -> Tiers:
    return tuple((c,) for c in draw.sample(asked.slate.seats, 4))


def longest_first(asked: Asked, _: random.Random) -> Tiers:
    return tuple((c,) for c in sorted(asked.slate.seats, key=lambda c: -asked.lengths[c]))


def all_alike(asked: Asked, _: random.Random) -> Tiers:
    return (asked.slate.seats,)


def like_first(asked: Asked, _: random.Random) -> Tiers:
    return asked.said["mx_0"]


HONEST = by("most")


def judged(
    folder: Path, people: Mapping[str, Way], *, pace: Mapping[str, float] | None = None, seed: int = 1
) -> Project:
    """A project that people judged, each in their way, in this order; country by the name's beginning."""
    project, draw = make_project(folder, SETTINGS), random.Random(seed)
    pace = pace or {}
    made, lengths = [], {}
    for number in range(SLATES):
        prompt = Prompt.make(f"pregunta {number}", country="MX", language="es")
        answers = [Candidate.make(prompt.id, f"{number}{n}" + "a" * draw.randint(9, 99), model="m") for n in range(4)]
        lengths |= {answer.id: len(answer.text) for answer in answers}
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        made.append(Slate(f"slate{number}", prompt.id, tuple(draw.sample([a.id for a in answers], 4)), number))
    add_slates(project.ledger, made)
    project.ledger.add_people([Person(who, "", "annotator", who[:2].upper(), ("es",)) for who in people])
    responses = []
    for number, slate in enumerate(made):
        strengths = {opinion: {c: draw.gauss(0, 1) for c in slate.seats} for opinion in ("most", "other")}
        said: dict[str, Tiers] = {}
        for place, (who, way) in enumerate(people.items()):
            said[who] = way(Asked(slate, strengths, lengths, said), draw)
            later = timedelta(seconds=pace.get(who, 40.0) * number + place)
            moment = (datetime(2026, 1, 1, tzinfo=UTC) + later).isoformat(timespec="microseconds")
            raw = {"id": f"{slate.id}-{who}", "values": ranking_values(Judgement(said[who]), slate)}
            country = who[:2].upper()
            responses.append(Response(raw["id"], slate.id, who, country, "submitted", moment, json.dumps(raw)))  # type: ignore[arg-type]
    project.ledger.add_responses("test", responses)
    return project


def signs_of(project: Project) -> tuple[Sign, ...]:
    return signs(count(project.ledger, project.settings), project.ledger)


TEAM = {f"mx_{n}": HONEST for n in range(5)}


def test_honest_people_raise_no_sign(tmp_path: Path) -> None:
    assert signs_of(judged(tmp_path, TEAM)) == ()


SUSPECTS: dict[str, tuple[Way, float, str, str]] = {
    "a seat": (
        by_seats,
        40.0,
        "position",
        "mx_8 put the answer in place A first on 40 of 40 slates; chance would be 25%.",
    ),
    "all alike": (all_alike, 40.0, "position", "mx_8 put nothing before anything else on 40 of 40 slates; usual are"),
    "a copy": (like_first, 40.0, "copying", "mx_8 gave the very same order as mx_0 to 40 of the 40 slates that both"),
    "at random": (at_random, 40.0, "agreement", "mx_8 agrees with the others of the country in "),
    "the longest": (
        longest_first,
        40.0,
        "length",
        "mx_8 put the longer answer above on 40 of 40 slates; the others do",
    ),
    "without reading": (
        HONEST,
        2.0,
        "speed",
        "mx_8 takes 2 s for an answer, half of the time or more; usual are 40 s.",
    ),
}


@pytest.mark.parametrize("suspect", SUSPECTS)
def test_who_is_careless_is_named_with_what_it_stands_on_and_nobody_else(tmp_path: Path, suspect: str) -> None:
    way, seconds, kind, said = SUSPECTS[suspect]
    project = judged(tmp_path, {**TEAM, "mx_8": way}, pace={"mx_8": seconds})
    found = signs_of(project)
    assert {sign.annotator for sign in found} == {"mx_8"}
    (sign,) = [sign for sign in found if sign.kind == kind]
    assert sign.sentence.startswith(said)
    assert sign.low <= sign.value <= sign.high
    assert sign.n >= 39
    assert sign.usual != pytest.approx(sign.value, abs=0.15)


def test_the_lead_is_told_what_to_do_and_hears_no_more_of_who_is_left_out(tmp_path: Path) -> None:
    project = judged(tmp_path, {**TEAM, "mx_8": by_seats})
    shown = annot(project, "status")
    assert 'annot people set NAME --weight 0 --reason "…"' in shown
    assert report(project).doubts[0] in shown
    project.ledger.decide("mx_8", excluded="always the first")
    assert report(project).doubts == ()


def test_who_was_copied_is_not_named_and_two_people_alone_are_not_compared(tmp_path: Path) -> None:
    found = signs_of(judged(tmp_path / "team", {**TEAM, "mx_8": like_first}))
    assert [(sign.annotator, sign.kind) for sign in found] == [("mx_8", "copying")]
    assert "after mx_0 on 40" in found[0].sentence
    assert signs_of(judged(tmp_path / "two", {"mx_0": HONEST, "mx_8": like_first})) == ()


def test_what_was_answered_under_another_name_is_no_copy_and_no_other_persons_pace(tmp_path: Path) -> None:
    def sometimes(asked: Asked, draw: random.Random) -> Tiers:
        return asked.said["mx_0"] if asked.slate.position % 3 == 0 else HONEST(asked, draw)

    project = judged(tmp_path, {**TEAM, "mx_8": sometimes}, pace={"mx_8": 2.0})
    project.ledger.add_people([Person("ocho", "", "annotator", "MX", ("es",))])
    project.ledger.add_aliases({"mx_8": "ocho"})
    assert list(shared_items(project.ledger, "ranking", [("mx_0", "ocho")]).values()) == [SLATES]
    assert {sign.annotator for sign in signs_of(project)} == {"ocho"}


def test_of_others_nothing_is_said_where_there_are_none(tmp_path: Path) -> None:
    (sign,) = signs_of(judged(tmp_path / "ties", {"mx_8": all_alike}))
    assert sign.sentence == "mx_8 put nothing before anything else on 40 of 40 slates."
    (sign,) = signs_of(judged(tmp_path / "pace", {"mx_8": HONEST}, pace={"mx_8": 2.0}))
    assert sign.sentence == "mx_8 takes 2 s for an answer, half of the time or more."
    assert signs_of(judged(tmp_path / "long", {"mx_8": longest_first})) == ()


def test_two_people_of_another_opinion_are_not_called_careless(tmp_path: Path) -> None:
    project = judged(tmp_path, {**TEAM, "mx_7": by("other"), "mx_8": by("other")})
    assert signs_of(project) == ()


def test_a_small_country_of_another_opinion_is_not_called_careless(tmp_path: Path) -> None:
    project = judged(tmp_path, {**{f"mx_{n}": HONEST for n in range(8)}, "bo_1": by("other"), "bo_2": by("other")})
    assert signs_of(project) == ()


def test_in_a_team_of_five_one_alone_with_an_opinion_is_not_called_careless(tmp_path: Path) -> None:
    assert signs_of(judged(tmp_path, {**{f"mx_{n}": HONEST for n in range(4)}, "mx_8": by("other")})) == ()


def test_who_puts_the_worst_first_is_named_in_a_small_team_too(tmp_path: Path) -> None:
    def reversed_way(asked: Asked, draw: random.Random) -> Tiers:
        return tuple(reversed(HONEST(asked, draw)))

    (sign,) = signs_of(judged(tmp_path, {**{f"mx_{n}": HONEST for n in range(4)}, "mx_8": reversed_way}))
    assert (sign.annotator, sign.kind) == ("mx_8", "agreement")
    assert sign.sentence.endswith("Do they put the worst first?")


def test_where_nobody_agrees_nobody_is_called_careless(tmp_path: Path) -> None:
    assert signs_of(judged(tmp_path, {f"mx_{n}": at_random for n in range(5)})) == ()


def test_answers_that_were_copied_by_a_move_are_not_quick(tmp_path: Path) -> None:
    project = judged(tmp_path, TEAM)
    moved, copies = [], []
    for number, response in enumerate(project.ledger.responses()):
        moment = (datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=0.1 * number)).isoformat(timespec="microseconds")
        name = f"new-{response.response_id}"
        copies.append(replace(response, response_id=name, updated_at=moment))
        moved.append(MovedResponse(name, moment, response.response_id, response.updated_at))
    project.ledger.add_responses("new", copies)
    project.ledger.add_moved("new", moved)
    assert signs_of(project) == ()


def test_errors_on_control_items_are_a_sign(tmp_path: Path) -> None:
    project = judged(tmp_path, TEAM)
    tiers = [["right"], ["b"], ["c"], ["d"]]
    items = [
        Item(
            *(f"control{n}", "ranking", n, "MX", "es", "", {"seats": ["right", "b", "c", "d"], CONTROL: "garbled"}),
            purpose="control",
            expected={"tiers": tiers},
        )
        for n in range(12)
    ]
    project.ledger.add_items(items)
    responses = []
    for item in items:
        for who, order in (("mx_1", "right b c d"), ("mx_2", "d c b right")):
            slate = Slate(item.id, "", ("right", "b", "c", "d"), 0)
            values = ranking_values(Judgement(tuple((c,) for c in order.split())), slate)
            raw = json.dumps({"id": f"{item.id}-{who}", "values": values})
            moment = f"2026-01-02T00:00:{item.position:02}.000000+00:00"
            responses.append(Response(f"{item.id}-{who}", item.id, who, "MX", "submitted", moment, raw))
    project.ledger.add_responses("test", responses)
    (sign,) = signs_of(project)
    assert (sign.annotator, sign.kind, sign.n, sign.value) == ("mx_2", "control", 12, 1.0)
    assert sign.low > 0.3


def test_the_more_is_measured_of_a_person_the_surer_each_measure_must_be() -> None:
    assert module._z(1) == pytest.approx(1.6449, abs=1e-3)
    assert module._z(10) == pytest.approx(2.5758, abs=1e-3)
    # Wilson (1927), as tabulated for 7 of 10 at 95 %.
    assert module._wilson(7, 10, 1.95996) == pytest.approx((0.3968, 0.8922), abs=1e-3)


@given(st.lists(st.floats(0, 9), min_size=2), st.data())
def test_the_median_of_others_leaves_one_out(numbers: list[float], data: st.DataObject) -> None:
    own = data.draw(st.sampled_from(numbers))
    others = list(numbers)
    others.remove(own)
    assert module._median_of_others(sorted(numbers), own) == pytest.approx(median(others))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_other_names_change_nothing_but_the_names(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    ways = [HONEST, HONEST, HONEST, HONEST, by_seats, at_random]
    found = []
    for names in (("mx_0", "mx_1", "mx_2", "mx_3", "mx_4", "mx_5"), ("mx_z", "mx_y", "mx_x", "mx_w", "mx_v", "mx_u")):
        project = judged(tmp_path_factory.mktemp("p"), dict(zip(names, ways, strict=True)), seed=seed)
        found.append(sorted((names.index(s.annotator), s.kind, round(s.value, 6), s.n) for s in signs_of(project)))
    assert found[0] == found[1]
