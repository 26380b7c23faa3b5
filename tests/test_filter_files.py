"""What `annot filter` writes, what other commands make of it, and the hint of a judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cohere_server import KEY, Answer, CohereStandIn, say
from hypothesis import given
from hypothesis import strategies as st
from preference_sets import SETTINGS, THINGS, Filter, looker, row
from projects import fill, make_project, other_way

from annotation.errors import ProjectError, SourceError
from annotation.files import read_parquet
from annotation.filtering.filter import filter_examples, filter_source
from annotation.filtering.hint import AGAINST, UNDECIDED, WITH, hint_outlook, hint_questions, judge
from annotation.filtering.rows import majority, split_of
from annotation.filtering.rules import chosen_rules, rules_of
from annotation.filtering.write import DROPPED, KEPT, write_filtered
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.reading.conversations import Turn
from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement, read_examples


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


@pytest.fixture
def look(project: Project, tmp_path: Path) -> Filter:
    return looker(project, tmp_path)


def test_pairs_are_written_as_training_and_prompts_add_read_them(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    from train.data.read import read_slates

    found = look([row(1, system_prompt="Eres de aquí.", margin=0.5), row(2), row(3, chosen="HTTP 500")])
    write_filtered(found, tmp_path / "out", project.pseudonym)
    slates = read_slates(tmp_path / "out" / KEPT).slates
    assert [slate.country for slate in slates] == ["MX", "MX"]
    assert [slate.comparisons[0].margin for slate in slates] == [0.5, 0.0]
    asked = ({"role": "system", "content": "Eres de aquí."}, {"role": "user", "content": row(1)["question"]})
    assert slates[0].prompt == asked
    added = add_prompts(project, str(tmp_path / "out" / KEPT), foreign_language=True)
    assert (len(added.kept), added.candidates) == (2, 4)
    (dropped,) = read_parquet(tmp_path / "out" / DROPPED)
    assert dropped == {"place": "set.jsonl:3", "answer": "chosen", "rule": "error", "threshold": None, "measured": None,
                       "because_of": "HTTP 500", "whole": True}  # fmt: skip


def test_weights_are_written_whatever_the_first_row_has_and_where_they_cannot_be_it_is_said(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    from train.data.read import read_slates

    found = look([row(1), row(2, weight="2"), row(3, weight=3)])
    write_filtered(found, tmp_path / "out", project.pseudonym)
    slates = read_slates(tmp_path / "out" / KEPT).slates
    assert [slate.weight for slate in slates] == [1.0, 2.0, 3.0]
    assert not any("not written" in notice for notice in found.notices)
    sides = {"response_a": row(4)["chosen"], "response_b": row(4)["rejected"], "weight": 2}
    voted = [{**sides, "prompt": row(n)["question"], "winner": who} for n, who in ((4, "tie"), (5, "model_a"))]
    assert any("weight and margin are not written" in notice for notice in look(voted).notices)


def test_who_found_nothing_acceptable_does_not_vote_and_stays(project: Project) -> None:
    answers = tuple(FoundAnswer(text, "") for text in (row(1)["chosen"], row(1)["rejected"], "HTTP 503"))
    said = (FoundJudgement(((2,), (1,)), none_acceptable=True), FoundJudgement(((0,), (1,), (2,))))
    example = Example("s:0", (Turn("user", row(1)["question"]),), answers, said)
    found = filter_examples(project, Examples("s", 1, (example,)), chosen_rules(project.settings), meaning=False)
    (kept,) = found.kept
    assert kept.pairs == ((0, 1),)
    assert [(one.tiers, one.none_acceptable) for one in kept.judgements] == [(((1,),), True), (((0,), (1,)), False)]


def test_a_conversation_is_written_as_messages(look: Filter, project: Project, tmp_path: Path) -> None:
    from train.data.read import read_slates

    talk = [{"role": "user", "content": "¿Qué hay el domingo?"}, {"role": "assistant", "content": "Fiesta."}]
    asked = {"role": "user", "content": "¿Y quién lleva la comida a la fiesta?"}
    answers = {side: [*talk, asked, {"role": "assistant", "content": row(1)[side]}] for side in ("chosen", "rejected")}
    write_filtered(look([{"country": "MX", **answers}]), tmp_path, project.pseudonym)
    (slate,) = read_slates(tmp_path / KEPT).slates
    assert slate.prompt == (*talk, asked)
    assert slate.answers[0] == ({"role": "assistant", "content": row(1)["chosen"]},)


def test_rankings_lose_an_answer_and_keep_the_order_of_the_others(project: Project, tmp_path: Path) -> None:
    from train.data.read import read_slates

    texts = [row(1)["chosen"], "Lo siento, no puedo ayudarte con esa pregunta.", row(2)["chosen"], row(3)["rejected"]]
    said = (
        FoundJudgement(((2,), (1,), (0, 3)), annotator="lupita_77", country="Mexico"),
        FoundJudgement(((2, 1), (3,), (0,)), annotator="beto"),
    )
    example = Example(
        "s:1",
        (Turn("user", row(1)["question"]),),
        tuple(FoundAnswer(t, f"rank {n}") for n, t in enumerate(texts)),
        said,
    )
    found = filter_examples(project, Examples("s", 1, (example,)), chosen_rules(project.settings), meaning=False)
    assert [(one.answer, one.whole) for one in found.left] == [("rank 1", False)]
    write_filtered(found, tmp_path, project.pseudonym)
    rows = read_parquet(tmp_path / KEPT)
    assert [one["ranks"] for one in rows] == [[2, 1, 2], [3, 1, 2]]
    assert "lupita" not in str(rows)
    assert len({one["annotator"] for one in rows}) == 2
    (slate,) = read_slates(tmp_path / KEPT).slates
    assert slate.people == 2


def test_the_projects_own_set_has_the_pairs_that_an_export_has(project: Project, tmp_path: Path) -> None:
    fill(project, 3)
    found = filter_source(project, "", meaning=False, keep=["repeated", "contrast", "language"])
    from annotation.tables import export

    exported = export(project, tmp_path / "export")
    assert sum(len(row.pairs) for row in found.kept) == exported.rows["preferences.parquet"] > 0
    write_filtered(found, tmp_path, project.pseudonym)
    assert {one["annotator"] for one in read_parquet(tmp_path / KEPT)} == {
        project.pseudonym(n) for n in ("mx_1", "mx_2")
    }


def test_what_votes_of_the_projects_own_set_weigh_goes_along(project: Project, tmp_path: Path) -> None:
    from train.data.read import read_slates

    other_way(project, fill(project, 3), "mx_3")
    project.ledger.decide("mx_3", weight=0.25, reason="a test")
    found = filter_source(project, "", meaning=False, keep=["repeated", "contrast", "language"])
    write_filtered(found, tmp_path, project.pseudonym)
    assert sorted(one["weight"] for one in read_parquet(tmp_path / KEPT)) == [0.25] * 3 + [1.0] * 6
    assert {slate.people for slate in read_slates(tmp_path / KEPT).slates} == {2.25}
    # A file of counted pairs: how many people said so is no count of what won.
    from annotation.tables import export

    export(project, tmp_path / "export")
    pairs = filter_source(project, str(tmp_path / "export" / "preferences.jsonl"), meaning=False)
    assert {len(row.judgements) for row in pairs.kept} == {1}
    assert {row.pairs for row in pairs.kept} == {((0, 1),)}


def test_what_files_said_stands_apart_from_what_the_team_said(project: Project, tmp_path: Path) -> None:
    fill(project, 1)
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row(1, annotator="lupita_77")), encoding="utf-8")
    add_prompts(project, str(path), foreign_language=True)
    found = filter_source(project, "", meaning=False, keep=["repeated", "contrast", "language"])
    apart = {row.place.rpartition(":")[2]: len(row.pairs) for row in found.kept}
    assert apart["files"] == 1
    assert apart["MX"] > 1
    write_filtered(found, tmp_path, project.pseudonym)
    assert "lupita" not in str(read_parquet(tmp_path / KEPT))


@pytest.mark.parametrize(
    ("place", "split"),
    [("owner/set:train:12", "train"), ("owner/set:es:test:3", "test"), ("set.jsonl:12", ""), ("set.json:mx", "")],
)
def test_the_split_of_a_datasets_row_is_known_by_its_place(place: str, split: str) -> None:
    assert split_of(Example(place, (Turn("user", "¿Y?"),))) == split


def test_a_project_without_prompts_says_what_to_name(project: Project) -> None:
    with pytest.raises(ProjectError, match="annot filter FILE"):
        filter_source(project, "")
    assert not (project.folder / "ledger.sqlite").exists()


def test_where_nothing_is_kept_nothing_is_written_and_an_older_result_is_not_taken_for_it(
    look: Filter, project: Project, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="Nothing of"):
        write_filtered(look([row(1, chosen="HTTP 500")]), tmp_path / "out", project.pseudonym)
    assert not (tmp_path / "out").exists()
    write_filtered(look([row(1)]), tmp_path / "out", project.pseudonym)
    (tmp_path / "out" / DROPPED).unlink()
    (tmp_path / "out" / DROPPED).mkdir()  # cannot be replaced by a file: the run ends in the middle
    with pytest.raises(OSError, match="directory"):
        write_filtered(look([row(2)]), tmp_path / "out", project.pseudonym)
    assert not (tmp_path / "out" / KEPT).exists()


@given(st.lists(st.permutations(range(4)), max_size=6))
def test_the_majority_of_rankings_is_what_counting_every_pair_says(orders: list[tuple[int, ...]]) -> None:
    judgements = [FoundJudgement(tuple((place,) for place in order)) for order in orders]
    wanted = set()
    for one in range(4):
        for two in range(4):
            ahead = sum(order.index(one) < order.index(two) for order in orders)
            if one != two and 2 * ahead > len(orders):
                wanted.add((one, two))
    assert set(majority(judgements)) == wanted


def annot(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annotation.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_the_command_shows_every_rule_and_writes_only_when_asked(project: Project, tmp_path: Path) -> None:
    path, out = tmp_path / "set.jsonl", tmp_path / "out"
    rows = [row(1), row(2, chosen="Lo siento, no puedo ayudarte con esa pregunta."), row(3)]
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    words = ("filter", str(path), "--project", str(project.folder), "--no-meaning")
    for dry in ((), ("--out", str(out), "--dry-run")):
        shown = annot(*words, *dry)
        assert shown.returncode == 0, shown.stderr
        assert all(rule.name in shown.stdout for rule in rules_of(project.settings))
        assert "Nothing was written" in shown.stdout
        assert not out.exists()
        assert sorted(file.name for file in project.folder.iterdir() if not file.name.startswith(".")) == ["annot.toml"]
    assert annot(*words, "--report", "--out", str(out)).returncode == 0
    assert {file.name for file in out.iterdir()} == {"report.md", "report.html"}
    done = annot(*words, "--out", str(out), "--threshold", "contrast=0.8", "--json")
    told = json.loads(done.stdout)
    assert (told["rows"], told["kept"], told["dropped"]) == (3, 2, 1)
    assert {file.name for file in out.iterdir()} == {"report.md", "report.html", KEPT, DROPPED}
    shown = annot(*words, "--out", str(out), "--drop", "refusal")
    assert f"Next: annot train --data {out / KEPT} --dry-run, or annot prompts add {out / KEPT}" in shown.stdout
    assert not any("Not read" in notice for notice in read_examples(str(out / KEPT)).notices)
    shown = annot("prompts", "add", str(path), "--project", str(project.folder), "--dry-run")
    assert f"Before you add it: annot filter {path} shows refusals" in shown.stdout
    refused = annot(*words, "--threshold", "contrast=much")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    kept = (out / KEPT).read_bytes()
    refused = annot("filter", str(out / KEPT), *words[2:], "--out", str(out))
    assert (refused.returncode, refused.stderr.count("\n"), (out / KEPT).read_bytes()) == (2, 1, kept)


def judging(words: Mapping[str, tuple[str, str]]) -> CohereStandIn:
    """A judge that says (chosen stands first, rejected stands first) of the pair whose question holds the key."""

    def answer(body: dict[str, Any], _: int) -> Answer:
        text = body["messages"][-1]["content"]
        said = next(said for key, said in words.items() if key in text)
        chosen_first = text.index("De ") < text.index("Mira, ")
        return Answer(say(body, json.dumps({"better": said[not chosen_first]})))

    return CohereStandIn(answer)


WORDS = {
    THINGS[1]: ("first", "second"),
    THINGS[2]: ("second", "first"),
    THINGS[3]: ("first", "first"),
    THINGS[4]: ("tie", "tie"),
}


def test_a_judge_orders_what_people_look_at_and_decides_nothing(
    look: Filter, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look([row(n) for n in range(1, 5)])
    questions = hint_questions(found, "command-r7b-12-2024")
    assert hint_outlook(project, questions).prompts == 8
    monkeypatch.setenv("CO_API_KEY", KEY)
    with judging(WORDS) as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        hints = judge(project, found, questions)
        assert judge(project, found, questions) == hints
    assert len(server.requests) == 8  # the second time nothing is paid
    assert hints.said == {0: WITH, 1: AGAINST, 2: UNDECIDED, 3: UNDECIDED}
    write_filtered(found, tmp_path, project.pseudonym, hints.first)
    rows = read_parquet(tmp_path / KEPT)
    assert [one["first"] for one in rows] == [3, 0, 1, 2]
    assert [(one["chosen"], one["rejected"]) for one in rows] == [
        (row(n)["chosen"], row(n)["rejected"]) for n in range(1, 5)
    ]


def test_the_command_shows_the_price_of_a_judge_before_it_pays_and_the_order_afterwards(
    project: Project, tmp_path: Path
) -> None:
    path, out = tmp_path / "set.jsonl", tmp_path / "out"
    path.write_text("\n".join(json.dumps(row(n)) for n in range(1, 5)), encoding="utf-8")
    words = ("filter", str(path), "--project", str(project.folder), "--no-meaning", "--hint", "--json")
    with judging(WORDS) as server:
        dry = annot(*words, "--dry-run", CO_API_URL=server.url)
        assert dry.returncode == 0, dry.stderr
        assert "8 calls about 4 pairs" in dry.stderr
        assert 0 < json.loads(dry.stdout)["hint"]["usd"] < 0.01
        assert not server.requests
        keyless = annot(*words, CO_API_URL=server.url, CO_API_KEY="")
        assert (keyless.returncode, "leave out --hint" in keyless.stderr) == (2, True)
        done = annot(*words, "--hint-limit", "3", "--out", str(out), CO_API_URL=server.url, CO_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["hint"] == {AGAINST: 1, UNDECIDED: 1, WITH: 1}
        assert len(server.requests) == 6
    assert "against the people 1" in (out / "report.md").read_text(encoding="utf-8")
    assert [one["first"] for one in read_parquet(out / KEPT)] == [2, 0, 1, 3]
