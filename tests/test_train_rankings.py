"""What counts as a ranking of a slate that several people judged, and what the objective's settings make of it."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import fill, frozen, make_project, other_way
from train_snapshots import preference_rows, write_snapshot

from annotation.config import check_settings
from annotation.errors import TrainError
from annotation.files import read_parquet, write_parquet, write_whole
from annotation.tables import export
from annotation.tasks.ranking.preferences import build_preferences
from annotation.tasks.ranking.tables import WEIGHED, ranking_rows
from annotation.tasks.ranking.tables import preference_rows as counted_rows
from annotation.types import Answer, Candidate, Judgement, Prompt, Slate
from train.data.objective import apply_objective
from train.data.pairs import Pair, one_row_per_vote
from train.data.plan import pairs_of_slates
from train.data.preflight import check_not_empty
from train.data.read import read_slates
from train.data.regions import for_region, regions, with_country
from train.data.rows import source_digest
from train.data.slates import RankedSlate, Ranking, slate_of_pair
from train.data.split import split_by_prompt
from train.engine.losses import Kind, objective, targets
from train.settings import DpoSettings, RegionSettings, load_recipe

PROMPT = Prompt.make("¿Qué se come?", country="MX", language="es", topic="comida", system="Eres de aquí.")
ANSWERS = [Candidate.make(PROMPT.id, f"respuesta {n}", model="a file") for n in range(4)]
SLATE = Slate("s1", PROMPT.id, tuple(answer.id for answer in ANSWERS), 0)


def said(who: str, ranks: Sequence[int], country: str = "MX", **facts: Any) -> Answer[Judgement]:
    """A judgement: one rank per seat, 1 is best; no ranks, nothing ranked."""
    levels = sorted(set(ranks))
    tiers = tuple(tuple(SLATE.seats[seat] for seat, rank in enumerate(ranks) if rank == level) for level in levels)
    return Answer(f"{who}-{country}", "s1", who, country, "", Judgement(tiers, **facts))


def snapshot(folder: Path, judged: Sequence[Answer[Judgement]], *, min_votes: int = 1, min_margin: float = 0.0) -> Path:
    """The files that `annot sync` would freeze, by the same functions."""
    prompts, candidates = {PROMPT.id: PROMPT}, {answer.id: answer.text for answer in ANSWERS}
    counted = build_preferences([SLATE], judged, pseudonym=str, min_margin=min_margin, min_votes=min_votes)
    rows = [{"weight": None, **row} for row in ranking_rows(judged, {"s1": SLATE}, prompts, candidates, str)]
    # A table needs a row to have columns: the tests that look at nothing else have preferences of another slate.
    other = preference_rows(1, per_prompt=1)
    pairs = [{**dict.fromkeys(WEIGHED), **row} for row in counted_rows(counted.kept, prompts, candidates)]
    home = write_snapshot(folder, "abc", [*pairs, *other], rankings=rows)
    facts = json.loads((home / "snapshot.json").read_text())
    asked = {"task": {"ranking": {"min_votes": min_votes, "min_margin": min_margin}}}
    facts["settings"] = check_settings(asked, place="test").model_dump(mode="json")
    write_whole(home / "snapshot.json", json.dumps(facts).encode())
    return home


def dpo(**changed: Any) -> DpoSettings:
    return DpoSettings(**{**load_recipe("cpu-smoke").dpo.model_dump(), **changed})


def region(**changed: Any) -> RegionSettings:
    return RegionSettings(**{**load_recipe("cpu-smoke").region.model_dump(), **changed})


def test_every_person_is_a_ranking_and_the_slate_counts_once_per_country(tmp_path: Path) -> None:
    judged = [
        said("ana", [1, 2, 3, 4]),
        said("eva", [1, 2, 3, 4]),
        said("leo", [2, 1, 1, 9]),
        said("teo", [4, 3, 2, 1], "AR"),
    ]
    read = read_slates(snapshot(tmp_path, judged))
    mexico, argentina = read.slates
    assert (mexico.id, mexico.country, mexico.people, argentina.id) == ("s1:MX", "MX", 3, "s1:AR")
    assert mexico.rankings == (
        Ranking(((0,), (1,), (2,), (3,)), 2 / 3, 2),
        Ranking(((1, 2), (0,), (3,)), 1 / 3, 1),
    )
    assert sum(ranking.weight for ranking in mexico.rankings) == pytest.approx(1)
    assert mexico.stages == pytest.approx(2 / 3 * 3 + 1 / 3 * 2)
    assert argentina.rankings == (Ranking(((3,), (2,), (1,), (0,)), 1.0, 1),)
    assert mexico.prompt == (
        {"role": "system", "content": "Eres de aquí."},
        {"role": "user", "content": "¿Qué se come?"},
    )
    assert mexico.answers[2] == ({"role": "assistant", "content": "respuesta 2"},)
    assert (mexico.topic, mexico.language, mexico.slate_id) == ("comida", "es", "s1")
    # 1 before 0 for one of three: smoothing is the share of votes against.
    assert [(p.better, p.worse, p.smoothing, p.ties) for p in mexico.comparisons] == [
        (0, 1, 1 / 3, 0),
        (0, 2, 1 / 3, 0),
        (0, 3, 0.0, 0),
        (1, 2, 0.0, 1),
        (1, 3, 0.0, 0),
        (2, 3, 0.0, 0),
    ]
    assert mexico.target == 0


judgements = st.builds(
    lambda ranks, country, bad: (ranks, country, bad),
    st.lists(st.integers(1, 4), min_size=4, max_size=4),
    st.sampled_from(["MX", "AR"]),
    st.sampled_from([False, False, True]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(judgements, min_size=1, max_size=6), st.integers(1, 3), st.sampled_from([0.0, 0.4]))
def test_what_is_counted_here_is_what_the_snapshot_counted(
    tmp_path_factory: pytest.TempPathFactory, people: list[Any], min_votes: int, min_margin: float
) -> None:
    judged = [said(f"p{n}", ranks, country, none_acceptable=bad) for n, (ranks, country, bad) in enumerate(people)]
    home = snapshot(tmp_path_factory.mktemp("s"), judged, min_votes=min_votes, min_margin=min_margin)
    read = read_slates(home)
    counted = build_preferences([SLATE], judged, pseudonym=str, min_margin=min_margin, min_votes=min_votes)
    # The pairs are those of preferences.parquet, thresholds included, with the same votes and the same ids.
    names = ("slate_id", "chosen_id", "rejected_id", "country", "votes_for", "votes_against", "ties")
    rows = [tuple(row[name] for name in names) for row in read_parquet(home / "preferences.parquet")]
    expected = {(":".join(row[:4]), *row[4:]) for row in rows if row[0] == "s1"}
    found = pairs_of_slates(read.slates)
    assert {(pair.id, pair.votes_for, pair.votes_against, pair.ties) for pair in found} == expected
    texts = {answer.id: answer.text for answer in ANSWERS}
    for pair in found:
        _, chosen, rejected, _ = pair.id.split(":")
        assert [one[0]["content"] for one in (pair.chosen, pair.rejected)] == [texts[chosen], texts[rejected]]  # type: ignore[index]
    for slate in read.slates:
        assert sum(ranking.weight for ranking in slate.rankings) == pytest.approx(1)
        assert (
            slate.people == sum(j.country == slate.country and not j.value.none_acceptable for j in judged) >= min_votes
        )
    # "None is acceptable" sets aside the same countries as for preferences, and no slate is lost without a reason.
    excluded = {row.id.rpartition(":")[2]: row.reason for row in read.excluded}
    none = {row.id.rpartition(", ")[2] for row in counted.excluded if row.reason == "none is acceptable"}
    assert {country for country, reason in excluded.items() if reason == "none is acceptable"} == none
    assert {slate.country for slate in read.slates} | set(excluded) == {judgement.country for judgement in judged}
    assert not {slate.country for slate in read.slates} & set(excluded)


def test_slates_that_teach_nothing_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    judged = [
        said("ana", [1, 2, 3, 4], none_acceptable=True),
        said("eva", [1, 2, 3, 4]),
        said("teo", [1, 1, 1, 1], "AR"),
        said("leo", [1, 1, 1, 1], "AR"),
        said("bia", [1, 2, 2, 2], "BR"),
    ]
    read = read_slates(snapshot(tmp_path, judged, min_votes=2))
    assert read.slates == ()
    assert {row.id: (row.reason, row.because_of) for row in read.excluded} == {
        "s1:MX": ("none is acceptable", "1 of 2"),
        "s1:AR": ("all answers tied", ""),
        "s1:BR": ("too few votes", "1 < 2"),
    }


def test_the_threshold_of_an_older_snapshot_holds(tmp_path: Path) -> None:
    home = snapshot(tmp_path, [said("ana", [1, 2, 3, 4])], min_votes=2)
    assert [row.reason for row in read_slates(home).excluded] == ["too few votes"]
    facts = json.loads((home / "snapshot.json").read_text())
    facts["settings"] = {"preferences": {"min_votes": 2, "min_margin": 0.0}}
    write_whole(home / "snapshot.json", json.dumps(facts).encode())
    assert [row.reason for row in read_slates(home).excluded] == ["too few votes"]


def test_a_real_snapshot_and_its_export_are_read_alike(tmp_path: Path) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    fill(project, 3)
    home = project.snapshot_folder(frozen(project).id)
    read = read_slates(home)
    assert len(read.slates) == 3
    assert {slate.rankings for slate in read.slates} == {(Ranking(((0,), (1,), (2, 3)), 1.0, 2),)}
    assert all(len(slate.comparisons) == 5 for slate in read.slates)
    exported = export(project, tmp_path / "exports").files[2]
    again = read_slates(exported)
    assert again.source == "rankings.parquet"
    assert again.slates == read.slates
    pairs = read_slates(tmp_path / "exports" / "preferences.jsonl").slates
    assert [len(slate.answers) for slate in pairs] == [2] * 15


def test_a_rewrite_is_what_the_sft_term_imitates_and_is_compared_with_nothing(tmp_path: Path) -> None:
    judged = [
        said("ana", [2, 1, 3, 4]),
        said("eva", [2, 1, 3, 4], rewrite=" Mejor así. "),
        said("leo", [1, 2, 3, 4], rewrite="O así."),
    ]
    home = snapshot(tmp_path, judged)
    assert read_slates(home).slates[0].target == 1
    read = read_slates(home, rewrites=True)
    slate = read.slates[0]
    assert (slate.target, len(slate.answers)) == (4, 5)
    assert slate.answers[4] == ({"role": "assistant", "content": "Mejor así."},)
    assert {answer for ranking in slate.rankings for tier in ranking.tiers for answer in tier} == {0, 1, 2, 3}
    assert [row.reason for row in read.unused] == ["a slate has one rewrite"]
    assert apply_objective([slate], dpo())[0][0].target is None
    assert apply_objective([slate], dpo(sft_weight=0.2))[0][0].target == 4


def test_a_row_of_votes_is_a_slate_of_two() -> None:
    slate = slate_of_pair(Pair("f:1", "¿Qué?", "sí", "no", "MX", votes_for=3, votes_against=1, ties=1, weight=2.0))
    assert slate.rankings == (
        Ranking(((0,), (1,)), 3 / 5, 3),
        Ranking(((1,), (0,)), 1 / 5, 1),
        Ranking(((0, 1),), 1 / 5, 1),
    )
    assert (slate.weight, slate.people, slate.comparisons[0].smoothing, slate.comparisons[0].lead) == (2, 5, 0.25, 0.4)
    turned = slate_of_pair(Pair("f:2", "¿Qué?", "sí", "no", votes_for=1, votes_against=3))
    assert (turned.comparisons[0].better, turned.comparisons[0].smoothing) == (1, 0.25)
    assert turned.target == 1
    for votes in ({"votes_for": 0, "ties": 2}, {"votes_for": 2, "votes_against": 2}):
        assert slate_of_pair(Pair("f:3", "¿Qué?", "sí", "no", **votes)).comparisons == ()
    pair = Pair("f:4", "¿Qué?", "sí", "no", "MX", "es", "comida", "s", 3, 1, 1, 2.0, 0.5)
    assert slate_of_pair(pair).pairs() == (pair,)


@pytest.mark.parametrize("source", ["snapshot", "pairs"])
def test_a_slate_survives_its_way_through_a_file(tmp_path: Path, source: str) -> None:
    judged = [said("ana", [2, 1, 3, 4], rewrite="Así."), said("eva", [1, 1, 2, 2])]
    slates = (
        read_slates(snapshot(tmp_path, judged), rewrites=True).slates
        if source == "snapshot"
        else [slate_of_pair(Pair("f:1", "¿Qué?", "sí", "no", votes_against=1, weight=0.5, margin=0.1))]
    )
    for slate in slates:
        line = json.dumps(slate.row(), ensure_ascii=False)
        assert RankedSlate.from_row(json.loads(line)) == slate
        assert RankedSlate.from_row(slate.row()) == slate


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "¿Qué?", "candidates": ["a", "b"], "ranks": [1]}, r"r.jsonl:1 is no ranking"),
        ({"prompt": None, "candidates": ["a", "b"], "ranks": [1, 2]}, r"r.jsonl:1 is no ranking"),
        ({"prompt": "¿Qué?", "candidates": "ab", "ranks": [1, 2]}, r"r.jsonl:1 is no ranking"),
        ({"prompt": "¿Qué?", "candidates": ["a", 7], "ranks": [1, 2]}, r"r.jsonl:1 is no ranking"),
        ({"prompt": "¿Qué?", "candidates": ["a", "b"], "ranks": 12}, r"r.jsonl:1 is no ranking"),
        ({"ranks": [1, "2"], "slate_id": "s7"}, r"r.jsonl:1, slate s7, rank '2': ranks are whole numbers from 1"),
        ({"ranks": [1, -2], "slate_id": 7}, r"r.jsonl:1, slate 7, rank -2: .* null where an answer was not ranked"),
        ({"ranks": [1, 1.5]}, r"rank 1\.5: ranks are whole numbers"),
        ({"ranks": [1, True]}, r"rank True: ranks are whole numbers"),
        ({"ranks": [1, math.inf]}, r"rank inf: ranks are whole numbers"),
        ({"ranks": [1, [2]]}, r"rank \[2\]: ranks are whole numbers"),
        ({"ranks": [1, 2], "none_acceptable": "no"}, r"none_acceptable = 'no': write true or false"),
        ({"ranks": [1, 2], "rewrite": 3}, r"rewrite = 3: it is a text"),
        ({"ranks": [1, 2], "candidate_ids": ["x"]}, r"candidate_ids: there must be one for each candidate"),
    ],
)
def test_a_ranking_that_is_none_is_refused_with_its_place(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    whole = row if "candidates" in row else {"prompt": "¿Qué?", "candidates": ["a", "b"], **row}
    path = write_rows(tmp_path, whole)
    with pytest.raises(TrainError, match=told) as caught:
        read_slates(path)
    assert len(str(caught.value).splitlines()) == 1


def write_rows(folder: Path, *rows: dict[str, Any]) -> Path:
    """A file of somebody's own."""
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "r.jsonl"


def ranked(ranks: list[Any], **facts: Any) -> dict[str, Any]:
    return {"prompt": "¿Qué?", "candidates": ["a", "b", "c"], "ranks": ranks, **facts}


def test_ranks_that_a_table_with_gaps_wrote_as_floats_are_ranks_and_gaps_are_not_ranked(tmp_path: Path) -> None:
    import pandas as pd

    said = [ranked([1.0, 2.0, None]), ranked([2.0, 1.0, 2.0])]
    assert [r.tiers for r in read_slates(write_rows(tmp_path, *said)).slates[0].rankings] == [
        ((0,), (1,)),
        ((1,), (0, 2)),
    ]
    assert read_slates(write_rows(tmp_path, ranked([2.0, math.nan, 1.0]))).slates[0].rankings[0].tiers == ((2,), (0,))
    table = pd.DataFrame([ranked([1, 2, None], country="MX"), ranked([1, 2, 3])])
    table.to_parquet(tmp_path / "r.parquet")
    assert {slate.country for slate in read_slates(tmp_path / "r.parquet").slates} == {"MX", ""}


def test_who_ranked_fewer_than_two_answers_takes_no_share_of_the_slate(tmp_path: Path) -> None:
    said = [ranked([1, 2, 3]), ranked([None, None, None]), ranked([]), ranked([None, 1, None])]
    slate = read_slates(write_rows(tmp_path, *said)).slates[0]
    assert (slate.people, slate.rankings) == (1, (Ranking(((0,), (1,), (2,)), 1.0, 1),))


def test_what_a_slate_lacks_is_said_in_the_right_words(tmp_path: Path) -> None:
    one = {"prompt": "¿Uno?", "candidates": ["a"], "ranks": [1]}
    read = read_slates(write_rows(tmp_path, one, ranked([None, 1, None]), ranked([1, 1, 1], slate_id="t")))
    assert [row.reason for row in read.excluded] == [
        "fewer than two answers",
        "nobody ranked two answers",
        "all answers tied",
    ]
    nobody, even = (slate_of_pair(Pair("f:1", "¿Qué?", "sí", "no", votes_for=n, votes_against=n)) for n in (0, 2))
    assert [row.reason for row in apply_objective([nobody], dpo())[1]] == ["nobody ranked two answers"]
    weightless = slate_of_pair(Pair("f:1", "¿Qué?", "sí", "no", weight=0.0))
    assert [row.reason for row in apply_objective([weightless], dpo())[1]] == ["its weight is 0"]
    pairwise = dpo(objective="pairwise")
    assert [row.reason for row in apply_objective([even], pairwise)[1]] == ["no pair is clear enough"]


def test_the_same_person_counts_once_and_not_in_two_ways(tmp_path: Path) -> None:
    ana, eva = ranked([1, 2, 3], annotator="ana"), ranked([3, 2, 1], annotator="eva")
    elsewhere = ranked([3, 2, 1], annotator="ana", country="MX")
    read = read_slates(write_rows(tmp_path, ana, eva, ana, elsewhere, {**ana, "ranks": [10, 20, 30]}))
    assert [slate.people for slate in read.slates] == [2, 1]
    assert [(row.id, row.reason, row.because_of) for row in read.repeated] == [
        ("r.jsonl:3", "the same person twice", "r.jsonl:1"),
        ("r.jsonl:5", "the same person twice", "r.jsonl:1"),
    ]
    assert read_slates(write_rows(tmp_path, ranked([1, 2, 3]), ranked([1, 2, 3]))).slates[0].people == 2  # nameless
    for other in ({**ana, "ranks": [2, 1, 3]}, {**ana, "none_acceptable": True}, {**ana, "rewrite": "Así."}):
        with pytest.raises(TrainError, match=r"r.jsonl:2: ana judged the slate .* in r.jsonl:1 already.* keep one"):
            read_slates(write_rows(tmp_path, ana, other))


def test_one_slate_holds_the_same_answers_in_the_same_order(tmp_path: Path) -> None:
    first = ranked([1, 2, 3], slate_id="s7")
    for other in ({"candidates": ["b", "a", "c"]}, {"prompt": "¿Cómo?"}, {"system": "Eres de aquí."}):
        with pytest.raises(TrainError, match=r"r.jsonl:2 calls its slate s7, as r.jsonl:1 does, and holds another"):
            read_slates(write_rows(tmp_path, first, {**first, **other}))
    # Without a name, what is shown is the name: two personas are two slates.
    assert len(read_slates(write_rows(tmp_path, ranked([1, 2, 3]), ranked([1, 2, 3], system="Eres."))).slates) == 2


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "candidates": ["b", "c"]},
        {"prompt": "a", "chosen": "b"},
        {"prompt": "a", "answer": "b"},
        {"prompt": "a", "chosen": "b", "rejected": None},
        {"prompt": "a", "output": "b"},
    ],
)
def test_a_file_in_which_nothing_is_judged_is_refused_with_the_form_that_it_needs(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    with pytest.raises(TrainError) as caught:
        check_not_empty(read_slates(write_rows(tmp_path, row, row)))
    sentence = str(caught.value)
    assert "r.jsonl holds no preferences that teach anything" in sentence
    assert "(2), the first r.jsonl:1" in sentence
    assert "a row needs a prompt with a chosen and a rejected answer, or with candidates and their ranks" in sentence
    assert len(sentence.splitlines()) == 1


def test_ranks_from_0_and_from_1_are_the_same(tmp_path: Path) -> None:
    (low,) = read_slates(write_rows(tmp_path, ranked([0, 2, 1]))).slates
    (high,) = read_slates(write_rows(tmp_path, ranked([1, 3, 2]))).slates
    assert low.rankings == high.rankings == (Ranking(((0,), (2,), (1,)), 1.0, 1),)


def test_a_ranking_without_a_name_is_told_by_what_it_ranks(tmp_path: Path) -> None:
    rows = [
        {"prompt": "¿Qué?", "candidates": ["a", "b"], "ranks": [1, 2]},
        {"prompt": "¿Qué?", "candidates": ["a", "b"], "ranks": [2, 1]},
        {"prompt": "¿Qué?", "candidates": ["a", "c"], "ranks": [1, 3]},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    both, one = read_slates(tmp_path / "r.jsonl").slates
    assert (both.people, len(both.rankings), both.comparisons) == (2, 2, ())
    assert (one.people, one.rankings[0].tiers) == (1, ((0,), (1,)))


def test_half_a_snapshot_is_refused(tmp_path: Path) -> None:
    home = write_snapshot(tmp_path, "abc", preference_rows(2))
    (home / "rankings.parquet").unlink()
    with pytest.raises(TrainError, match=r"rankings.parquet is missing; run `annot sync` again"):
        read_slates(home)


def test_the_digest_of_a_snapshot_is_of_both_files(tmp_path: Path) -> None:
    home = write_snapshot(tmp_path, "abc", preference_rows(2))
    before = source_digest(home)
    rows = read_parquet(home / "rankings.parquet")
    write_parquet(home / "rankings.parquet", rows[1:])
    assert source_digest(home) != before


# -- the settings of the objective --------------------------------------------------------------------------


def divided(people: int = 4) -> RankedSlate:
    """All but one say 0 before 1 before 2; one says 1 before 0."""
    pair = Pair("f:1", "¿Qué?", "sí", "no", "MX", votes_for=people - 1, votes_against=1)
    return slate_of_pair(pair)


def test_smoothing_margin_and_weight_are_those_of_the_settings() -> None:
    slate = divided()
    assert apply_objective([slate], dpo())[0][0].comparisons[0].smoothing == 0.25
    pairwise = dpo(objective="pairwise", label_smoothing=0.1, margin=2.0)
    taught = apply_objective([slate], pairwise)[0][0].comparisons[0]
    assert (taught.smoothing, taught.margin) == (0.1, 2.0 * (3 - 1) / 4)
    one, many = apply_objective([divided(2), replace(divided(8), id="g")], dpo(weight="people"))[0]
    assert (one.weight, many.weight) == (2 / 5, 8 / 5)  # their mean is 1: the learning rate means what it did


def test_what_says_nothing_to_the_objective_goes_with_a_reason(tmp_path: Path) -> None:
    read = read_slates(snapshot(tmp_path, [said("ana", [1, 2, 3, 4]), said("eva", [4, 3, 2, 1])]))
    assert read.slates[0].comparisons == ()  # nobody has a majority
    assert apply_objective(read.slates, dpo())[1] == ()
    kept, dropped = apply_objective(read.slates, dpo(objective="pairwise"))
    assert (kept, [(row.id, row.reason) for row in dropped]) == ((), [("s1:MX", "no pair is clear enough")])


def test_weights_that_trl_would_ignore_are_refused() -> None:
    slate = replace(divided(), weight=0.5)
    with pytest.raises(TrainError, match="f:1 has a weight or a margin, which TRL's losses ignore"):
        apply_objective([slate], dpo(objective="trl", label_smoothing=0.0))


# -- votes that weigh more or less than 1 --------------------------------------------------------------------------


def weighing(weight: float, given: Answer[Judgement]) -> Answer[Judgement]:
    return replace(given, weight=weight)


EVERYBODY = (
    said("ana", [1, 2, 3, 4]),
    said("eva", [1, 2, 3, 4]),
    said("leo", [2, 1, 1, 9]),
    said("teo", [4, 3, 2, 1], "AR"),
    said("mia", [1, 1, 2, 3]),
    said("sol", [1, 2, 3, 4], none_acceptable=True),
)


def digest(rows: Iterable[Any]) -> str:
    return hashlib.sha256(json.dumps([row.row() for row in rows]).encode()).hexdigest()[:16]


def test_where_all_votes_weigh_one_training_is_given_what_it_was_given_before_there_were_weights(
    tmp_path: Path,
) -> None:
    slates = read_slates(snapshot(tmp_path, EVERYBODY)).slates
    taught = apply_objective(slates, dpo(objective="pairwise", weight="people", margin=0.5))[0]
    rows = one_row_per_vote(pairs_of_slates(slates))
    assert [digest(slates), digest(taught), digest(rows)] == [
        "76a6a0a005c4a031",
        "39b813d47a7721eb",
        "54c7d1b793879061",
    ]
    written = [{**row, "weight": 1.0} for row in read_parquet(tmp_path / "snapshots" / "abc" / "rankings.parquet")]
    write_parquet(tmp_path / "mine.parquet", written)
    bare = [{name: cell for name, cell in row.items() if name != "weight"} for row in written]
    write_parquet(tmp_path / "bare.parquet", bare)
    assert digest(read_slates(tmp_path / "mine.parquet").slates) == digest(
        read_slates(tmp_path / "bare.parquet").slates
    )


def test_a_vote_of_half_the_weight_has_half_the_share(tmp_path: Path) -> None:
    judged = [
        said("ana", [1, 2, 3, 3]),
        weighing(0.5, said("leo", [2, 1, 3, 3])),
        weighing(0.5, said("eva", [2, 1, 3, 3])),
    ]
    (slate,) = read_slates(snapshot(tmp_path / "level", judged)).slates
    assert [(r.weight, r.people) for r in slate.rankings] == [(0.5, 1), (0.5, 1)]
    assert (slate.people, slate.target) == (2, 0)
    assert {(p.better, p.worse) for p in slate.comparisons} == {(0, 2), (0, 3), (1, 2), (1, 3)}, "0 and 1 are level"
    (slate,) = read_slates(snapshot(tmp_path / "two", judged[:2])).slates
    assert [(r.weight, r.people) for r in slate.rankings] == [(1 / 1.5, 1), (0.5 / 1.5, 0.5)]
    (first, *_) = slate.comparisons
    assert (first.better, first.votes_for, first.votes_against, first.smoothing) == (0, 1, 0.5, 0.5 / 1.5)
    assert first.lead == pytest.approx(1 / 3)
    assert (slate.people, slate.stages) == (1.5, 2)
    # 10 who weigh little are outweighed, and are 10 people: no slate has too few votes for it.
    few = [said("ana", [1, 2, 3, 4]), *(weighing(0.05, said(f"p{n}", [4, 3, 2, 1])) for n in range(10))]
    (slate,) = read_slates(snapshot(tmp_path / "few", few, min_votes=11)).slates
    assert (slate.people, slate.target, len(slate.comparisons)) == (1.5, 0, 6)


@pytest.mark.parametrize("kind", ["pairwise", "plackett_luce"])
def test_the_loss_of_two_people_of_whom_one_weighs_half_is_as_arithmetic_says(tmp_path: Path, kind: Kind) -> None:
    """The difference of two rewards is 0.4: ln(1 + e^-0.4) = 0.5130152524 and ln(1 + e^0.4) = 0.9130152524."""
    pair = {"prompt": "¿Qué?", "candidates": ["sí", "no"]}
    told = [{**pair, "ranks": [1, 2], "annotator": "ana"}, {**pair, "ranks": [2, 1], "annotator": "leo", "weight": 0.5}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    (slate,) = apply_objective(read_slates(tmp_path / "mine.jsonl").slates, dpo(objective=kind))[0]
    rewards = torch.tensor([0.3, -0.1], dtype=torch.float64, requires_grad=True)
    loss = objective(rewards, targets([slate], kind))
    loss.backward()
    assert float(loss) == pytest.approx((2 * 0.5130152524 + 0.9130152524) / 3, abs=1e-9)
    assert rewards.grad is not None
    # The slope is sigmoid(0.4) = 0.5986876601 less the share of votes for the first, two of three.
    assert rewards.grad.tolist() == pytest.approx([0.5986876601 - 2 / 3, 2 / 3 - 0.5986876601], abs=1e-9)


def test_weighted_votes_are_the_same_in_a_snapshot_and_in_both_exported_files(tmp_path: Path) -> None:
    project = make_project(tmp_path, '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    slates = fill(project, 3)
    before = frozen(project).id
    other_way(project, slates, "mx_3")
    project.ledger.decide("mx_3", weight=0.25, reason="a test")
    assert frozen(project).id != before
    read = read_slates(project.snapshot_folder(frozen(project).id))
    assert {(r.weight, r.people) for slate in read.slates for r in slate.rankings} == {
        (2 / 2.25, 2),
        (0.25 / 2.25, 0.25),
    }
    export(project, tmp_path / "exports")
    assert read_slates(tmp_path / "exports" / "rankings.parquet").slates == read.slates
    pairs = read_slates(tmp_path / "exports" / "preferences.jsonl").slates
    votes = {(c.votes_for, c.votes_against, c.ties) for slate in read.slates for c in slate.comparisons}
    assert {(c.votes_for, c.votes_against, c.ties) for slate in pairs for c in slate.comparisons} == votes
    assert votes == {(2, 0.25, 0), (0.25, 0, 2)}, "and what two hold for equal, one may decide"
    # Of whom all votes weigh one nothing is added: the older id stands for the older rows.
    project.ledger.decide("mx_3", excluded="a test", weight=1.0)
    assert frozen(project).id == before
    assert not {*WEIGHED, "weight"} & {
        name
        for table in ("preferences", "rankings")
        for row in read_parquet(project.snapshot_folder(before) / f"{table}.parquet")
        for name, cell in row.items()
        if cell is not None
    }


def test_trl_is_given_rows_whose_numbers_come_to_the_votes() -> None:
    """Votes of 0.75 : 0.25 twenty times are fifteen rows and five; whole votes are as many rows as ever."""
    pair = Pair("f:1", "¿Qué?", "sí", "no", votes_for=0.75, votes_against=0.25)
    rows = one_row_per_vote([pair] * 20)
    assert Counter(row.chosen for row in rows) == {"sí": 15, "no": 5}
    assert len(one_row_per_vote([replace(pair, votes_for=3, votes_against=1)])) == 4
    tenths = [replace(pair, votes_for=0.1 * n, votes_against=0.1) for n in range(1, 12)]
    said_so = Counter(row.chosen for row in one_row_per_vote(tenths))
    assert abs(said_so["sí"] - 6.6) <= 0.5
    assert abs(said_so["no"] - 1.1) <= 0.5
    fixed = apply_objective([slate_of_pair(pair)], dpo(objective="trl", loss="robust", label_smoothing=0.1))[0]
    assert pairs_of_slates(fixed)[0].chosen == "sí", "with a fixed smoothing TRL hears which one wins, by weight"


def test_a_weight_that_is_none_is_refused_with_its_place_and_a_vote_of_none_does_not_count(tmp_path: Path) -> None:
    row = {"prompt": "¿Qué?", "candidates": ["sí", "no"], "ranks": [1, 2], "annotator": "ana"}
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({**row, "weight": -1}) + "\n", encoding="utf-8")
    with pytest.raises(TrainError, match=r"mine.jsonl:1, weight = -1: it must be a number from 0 to 1000"):
        read_slates(path)
    against = {**row, "ranks": [2, 1], "annotator": "leo", "weight": 0}
    path.write_text("".join(json.dumps(one) + "\n" for one in (row, against)), encoding="utf-8")
    (slate,) = read_slates(path).slates
    assert (slate.people, slate.comparisons[0].votes_against) == (1, 0)
    path.write_text(json.dumps(against) + "\n", encoding="utf-8")
    assert [one.reason for one in read_slates(path).excluded] == ["its weight is 0"]


# -- regions ------------------------------------------------------------------------------------------------


def asked(number: int, country: str) -> RankedSlate:
    prompt = ({"role": "user", "content": f"¿{country} {number}?"},)
    answers = tuple(({"role": "assistant", "content": text},) for text in ("sí", "no"))
    return replace(divided(), id=f"{number}:{country}", prompt=prompt, answers=answers, country=country, language="es")


def test_a_countrys_adapter_hears_its_own_slates_and_the_others_a_little() -> None:
    split = split_by_prompt([asked(n, c) for c in ("AR", "MX") for n in range(10)], 0.2, 0)
    assert for_region(split, region()) == split
    own = for_region(split, region(country="MX", others=0.2))
    assert {(slate.country, slate.weight) for slate in own.train} == {("MX", 1.0), ("AR", 0.2)}
    assert len(own.train) == len(split.train)
    assert {slate.country for slate in own.held_out} == {"MX"}
    assert [slate for slate in split.held_out if slate.country == "MX"] == list(own.held_out)
    alone = for_region(split, region(country="MX", others=0.0))
    assert {slate.country for slate in alone.train} == {"MX"}
    with pytest.raises(TrainError, match=r"no slate of CL is to train on \(countries here: AR, MX\)"):
        for_region(split, region(country="CL"))


def test_countries_that_are_too_small_are_named_with_the_reason() -> None:
    slates = [asked(n, c) for c, size in (("AR", 10), ("CL", 2), ("", 10)) for n in range(size)]
    found = {one.country: one for one in regions(split_by_prompt(slates, 0.2, 0), region(min_prompts=4))}
    assert found["AR"].skipped == ""
    assert (found["AR"].prompts, found["AR"].held_out, found["AR"].slates) == (10, 2, 8)
    assert found["CL"].skipped == "2 prompts are fewer than region.min_prompts = 4"
    assert found[""].skipped == "these slates name no country"
    alone = regions(split_by_prompt([asked(n, "AR") for n in range(10)], 0.2, 0), region())
    assert "the shared adapter is its own" in alone[0].skipped


def test_a_country_without_a_code_or_without_any_majority_gets_no_adapter() -> None:
    slates = [asked(n, c) for c in ("../x", "AR", "MX") for n in range(10)]
    slates = [replace(slate, comparisons=()) if slate.country == "MX" else slate for slate in slates]
    found = {one.country: one.skipped for one in regions(split_by_prompt(slates, 0.2, 0), region(min_prompts=4))}
    assert found == {
        "../x": "it is named by no ISO 3166-1 code of two capital letters",
        "AR": "",
        "MX": "in none of its held-out slates a majority prefers one answer to another; collect more",
    }


def test_the_country_stands_in_the_system_text_in_the_language_of_the_prompt() -> None:
    plain = asked(1, "MX")
    persona = {"role": "system", "content": "Eres de aquí."}
    brazil = replace(plain, prompt=(persona, *plain.prompt), country="BR", language="pt")
    nowhere = replace(plain, country="")
    told = with_country([plain, brazil, nowhere])
    assert told[0].prompt[0] == {"role": "system", "content": "País: México."}
    assert told[1].prompt[0] == {"role": "system", "content": "Eres de aquí.\n\nPaís: Brasil."}
    assert told[2] == nowhere
    assert [slate.prompt_key for slate in told] == [slate.prompt_key for slate in (plain, brazil, nowhere)]
    with pytest.raises(TrainError, match="prompts must be written as messages"):
        with_country([divided()])
    with pytest.raises(TrainError, match=r"no slate names a country.*add a column country"):
        with_country([nowhere])
