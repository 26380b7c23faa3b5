"""Rankings become preferences; what is no preference is set aside with a reason."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from annotation.tasks.ranking.preferences import Preferences, build_preferences
from annotation.types import Answer, Judgement, Slate

SLATE = Slate("s", "p", ("a", "b", "c", "d"), 0)


def vote(who: str, *tiers: str, country: str = "MX", none: bool = False) -> Answer[Judgement]:
    given = Judgement(tuple(tuple(tier) for tier in tiers), none_acceptable=none)
    return Answer(f"r-{who}", "s", who, country, "", given)


def build(*votes: Answer[Judgement], **thresholds: float) -> Preferences:
    return build_preferences([SLATE], votes, pseudonym=str.upper, **thresholds)  # type: ignore[arg-type]


def test_one_ranking_gives_a_pair_for_every_two_tiers() -> None:
    found = build(vote("p1", "a", "bc", "d"))
    pairs = {(p.chosen, p.rejected) for p in found.kept}
    assert pairs == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    assert [(d.id, d.reason) for d in found.excluded] == [("s:b/c, MX", "tied")]
    assert all(p.annotators == ("P1",) for p in found.kept)


def test_votes_stay_attached_to_a_pair() -> None:
    found = build(vote("p1", "a", "b", "c", "d"), vote("p2", "a", "b", "c", "d"), vote("p3", "b", "a", "cd"))
    pair = next(p for p in found.kept if {p.chosen, p.rejected} == {"a", "b"})
    assert (pair.chosen, pair.votes_for, pair.votes_against, pair.ties) == ("a", 2, 1, 0)
    last = next(p for p in found.kept if {p.chosen, p.rejected} == {"c", "d"})
    assert (last.votes_for, last.votes_against, last.ties) == (2, 0, 1)
    assert pair.annotators == ("P1", "P2", "P3")


def test_problems_that_anybody_of_the_country_marked_go_with_the_pair() -> None:
    marked = Judgement((("a",), ("b", "c", "d")), {"b": ("offensive", "other"), "": ("stereotype",)})
    told = [
        Answer("r1", "s", "p1", "MX", "", marked),
        Answer("r2", "s", "p2", "MX", "", replace(marked, problems={"a": ("other",), "b": ("stereotype",)})),
        Answer("r3", "s", "p3", "PT", "", replace(marked, problems={"a": ("factual_error",)})),
    ]
    pair = next(p for p in build(*told).kept if (p.country, p.rejected) == ("MX", "b"))
    assert (pair.chosen_problems, pair.rejected_problems) == (("other",), ("stereotype", "offensive", "other"))


def test_equal_votes_are_contested_and_no_votes_are_tied_and_neither_becomes_a_pair() -> None:
    found = build(vote("p1", "a", "bcd"), vote("p2", "bcd", "a"))
    assert found.kept == ()
    reasons = {d.id: (d.reason, d.because_of) for d in found.excluded}
    assert reasons["s:a/b, MX"] == ("contested", "1 : 1, 0 tied")
    assert reasons["s:b/c, MX"] == ("tied", "0 : 0, 2 tied")


def test_who_finds_none_acceptable_does_not_vote() -> None:
    found = build(vote("p1", "a", "bcd"), vote("p2", "a", "bcd"), vote("p3", "bcd", "a", none=True))
    assert {(p.chosen, p.votes_against) for p in found.kept} == {("a", 0)}


def test_a_slate_that_half_find_unacceptable_is_set_aside() -> None:
    found = build(vote("p1", "a", "bcd"), vote("p2", "a", "bcd", none=True))
    assert found.kept == ()
    assert [(d.id, d.reason, d.because_of) for d in found.excluded] == [("s, MX", "none is acceptable", "1 of 2")]


def test_countries_are_counted_apart_and_both_answers_stay() -> None:
    found = build(vote("p1", "a", "bcd"), vote("p4", "bcd", "a", country="PT"))
    assert {(p.country, p.chosen) for p in found.kept} == {("MX", "a"), ("PT", "b"), ("PT", "c"), ("PT", "d")}


def test_margin_and_votes_below_the_threshold_are_set_aside() -> None:
    votes = (vote("p1", "a", "b", "cd"), vote("p2", "a", "b", "cd"), vote("p3", "b", "a", "cd"))
    found = build(*votes, min_margin=0.34)
    assert ("s:a/b, MX", "below margin") in {(d.id, d.reason) for d in found.excluded}
    assert {d.reason for d in build(*votes, min_votes=4).excluded} == {"too few votes", "tied"}


rankings = st.permutations("abcd").flatmap(
    lambda seats: st.lists(st.integers(0, 3), min_size=4, max_size=4).map(
        lambda places: tuple(
            tuple(seat for seat, place in zip(seats, places, strict=True) if place == tier)
            for tier in sorted(set(places))
        )
    )
)


@given(st.lists(st.tuples(rankings, st.sampled_from(["MX", "PT"]), st.booleans()), max_size=8))
def test_every_pair_is_kept_once_or_set_aside_once(sheets: list[tuple[tuple[tuple[str, ...], ...], str, bool]]) -> None:
    votes = [
        Answer(str(n), "s", f"p{n}", country, "", Judgement(ranked, none_acceptable=none))
        for n, (ranked, country, none) in enumerate(sheets)
    ]
    found = build(*votes)
    kept = [(p.country, frozenset((p.chosen, p.rejected))) for p in found.kept]
    assert len(kept) == len(set(kept)), "a pair goes both ways"
    for country in {v.country for v in votes}:
        if any(d.id == f"s, {country}" for d in found.excluded):
            assert not any(place == country for place, _ in kept)
            continue
        aside = [d for d in found.excluded if d.id.endswith(f", {country}")]
        assert sum(place == country for place, _ in kept) + len(aside) == len(list(combinations("abcd", 2)))
    for pair in found.kept:
        ours = [v for v in votes if v.country == pair.country and not v.value.none_acceptable]
        assert pair.votes_for + pair.votes_against + pair.ties == len(ours)
        assert 0 < pair.margin <= 1


def weighing(weight: float, given: Answer[Judgement]) -> Answer[Judgement]:
    return replace(given, weight=weight)


def test_what_outweighs_the_other_is_chosen_and_how_many_people_voted_stays_a_count_of_people() -> None:
    votes = (
        weighing(0.25, vote("p1", "a", "b", "cd")),
        weighing(0.5, vote("p2", "a", "b", "cd")),
        weighing(1.5, vote("p3", "b", "a", "cd")),
    )
    found = build(*votes, min_votes=3)
    pair = next(p for p in found.kept if {p.chosen, p.rejected} == {"a", "b"})
    assert (pair.chosen, pair.votes_for, pair.votes_against, pair.ties) == ("b", 1, 2, 0)
    assert (pair.weights, pair.margin) == ((1.5, 0.75, 0), 0.75 / 2.25)
    assert {d.reason for d in build(*votes, min_votes=4).excluded} == {"too few votes", "tied"}
    below = {(d.id, d.reason, d.because_of) for d in build(*votes, min_margin=0.34).excluded}
    assert ("s:b/a, MX", "below margin", "0.33 <= 0.34") in below


def test_weights_whose_sums_are_equal_are_contested_whatever_floats_make_of_them() -> None:
    for shares in ((0.1, 0.2), (0.7, 0.1, 0.1), (1.1, 2.2)):
        against = weighing(round(sum(shares), 2), vote("q", "bcd", "a"))
        found = build(*(weighing(w, vote(f"p{n}", "a", "bcd")) for n, w in enumerate(shares)), against)
        assert found.kept == ()
        assert {d.reason for d in found.excluded} == {"contested", "tied"}


def test_a_slate_is_unacceptable_to_half_by_weight() -> None:
    bad = vote("p1", "a", "bcd", none=True)
    assert build(weighing(0.5, bad), vote("p2", "a", "bcd")).kept
    (why,) = build(weighing(0.5, bad), weighing(0.5, vote("p2", "a", "bcd"))).excluded
    assert (why.reason, why.because_of) == ("none is acceptable", "0.5 of 1")
    (why,) = build(weighing(1.5, bad), vote("p2", "a", "bcd")).excluded
    assert why.because_of == "1.5 of 2.5"


def test_votes_that_all_weigh_one_are_counted_as_if_there_were_no_weights() -> None:
    found = build(vote("p1", "a", "bcd"), vote("p2", "a", "bcd"), weighing(0.5, vote("p9", "b", "acd", country="PT")))
    (mexico,) = {p.weights for p in found.kept if p.country == "MX"}
    (portugal,) = {p.weights for p in found.kept if p.country == "PT"}
    assert (mexico, portugal) == (None, (0.5, 0, 0))
    assert all(isinstance(number, int) for p in found.kept if p.country == "MX" for number in p.votes)


weighted_votes = st.lists(st.tuples(st.permutations("abcd"), st.integers(1, 40)), min_size=1, max_size=6)


@given(weighted_votes, st.integers(2, 7))
def test_a_weight_is_as_good_as_so_many_people_who_say_the_same(told: list[tuple[list[str], int]], size: int) -> None:
    weighed = build(*(weighing(n / 20, vote(f"p{k}", *order)) for k, (order, n) in enumerate(told)))
    crowd = build(*(vote(f"p{k}-{i}", *order) for k, (order, n) in enumerate(told) for i in range(n)))
    assert {(p.chosen, p.rejected, round(p.margin, 9)) for p in weighed.kept} == {
        (p.chosen, p.rejected, round(p.margin, 9)) for p in crowd.kept
    }
    # Which weight is called 1 does not matter either.
    other = build(*(weighing(n / size, vote(f"p{k}", *order)) for k, (order, n) in enumerate(told)))
    assert {(p.chosen, p.rejected) for p in other.kept} == {(p.chosen, p.rejected) for p in weighed.kept}
