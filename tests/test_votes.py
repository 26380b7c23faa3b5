"""Votes of a demo's visitors come home once each, whatever a file holds, and stay apart from the team's work."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from campaigns import kills
from fake_argilla import FakeArgilla, killed_at, person, seconds_of
from hub_server import TOKEN, HubStandIn, ask
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import annot, fill, frozen, make_project
from test_older_projects import old_project, snapshot_of
from test_prompt_check import accept

from annotation.config import Settings
from annotation.drafting.draft import _plan
from annotation.errors import ArgillaError, DraftError, SourceError
from annotation.ledger import Response
from annotation.project import Project
from annotation.prompts.review import add_checks
from annotation.selection.waiting import prompts_waiting
from annotation.tables import export
from annotation.tasks import TASKS
from annotation.tasks.base import Texts, Unfit
from annotation.tasks.duel.task import ADAPTED, BASE, CHOICES, NAME
from annotation.tasks.duel.texts import TEXTS
from annotation.tasks.duel.votes import count_duels, duel_tables, read_duels
from annotation.tasks.page import LANGUAGES, TeamPage, read_guidelines
from annotation.tasks.prompt_check.task import NAME as CHECK
from annotation.types import Answer, Item, Prompt
from sync.push import push
from sync.reporting.next_step import stock
from sync.reporting.status import report
from sync.team import add_team
from sync.votes import pull
from sync.votes.lines import MOST_LINE, Tally, read_votes
from sync.votes.places import place_of
from sync.votes.pull import VotesPulled, pull_votes

SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 1\noverlap = 2\n'
EXAMPLE = Prompt.make("¿Qué se come en la fiesta del pueblo?", country="MX", language="es", source="f.csv:1")
TYPED = "¿Cómo se saluda a la suegra en la comida del domingo?"
ADAPTER = "f" * 64


def begun(id_: str, **more: Any) -> dict[str, Any]:
    """The line that a demo writes before it makes two answers."""
    line = {"format": 1, "kind": "begun", "id": id_, "at": "2026-11-01T01:02Z", "run": "run1"}
    model = {"adapter_sha256": ADAPTER, "base": "owner/base", "base_version": "v1", "adapted": "B"}
    asked = {"country": "MX", "language": "es", "prompt_id": EXAMPLE.id, "seed": 7, "max_new_tokens": 200}
    return {**line, **model, **asked, **more}


def voted(id_: str, **more: Any) -> dict[str, Any]:
    """The line that a demo writes when the visitor has chosen."""
    said = {"at": "2026-11-01T01:03Z", "choice": "B", "may_use": False, "prompt": "", "a": "Mole.", "b": "Pozole."}
    return {"format": 1, "kind": "voted", "id": id_, **said, **more}


def new_id(number: int) -> str:
    return uuid.UUID(int=number).hex


def duel(number: int, prompt: str = "", **more: Any) -> list[dict[str, Any]]:
    """Both lines of a duel; about a typed prompt that may be used where there is one."""
    about = {key: more.pop(key) for key in list(more) if key in begun("")}
    if prompt:
        about, more = {"prompt_id": "", **about}, {"prompt": prompt, "may_use": True, **more}
    return [begun(new_id(number), **about), voted(new_id(number), **more)]


def write(folder: Path, lines: list[Any], name: str = "a" * 32) -> Path:
    """A vote file of these lines: objects, or bytes as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    (folder / f"{name}.jsonl").write_bytes(b"".join(raw))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "p", SETTINGS)
    made.ledger.add_prompts([EXAMPLE])
    return made


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return tmp_path / "votes"


def take(project: Project, folder: Path, *lines: Any, **more: Any) -> VotesPulled:
    return pull_votes(project, str(write(folder, list(lines))), **more)


# -- the task -----------------------------------------------------------------------------------------------

DUEL = TASKS[NAME]
ITEM = Item("d", NAME, 0, "MX", "es", "", {"a": "<b>Mole</b>", "b": "Pozole", "adapted": "B"}, EXAMPLE.id)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_teams_language(language: str) -> None:
    form = DUEL.form(TeamPage(language), Settings())
    assert set(TEXTS[language]) == set(TEXTS["en"])
    assert tuple(form.questions[0].options) == CHOICES
    assert form.guidelines == read_guidelines("annotation.tasks.duel", language)
    assert 500 < len(form.guidelines) < 10_000
    assert len({read_guidelines("annotation.tasks.duel", other) for other in LANGUAGES}) == len(LANGUAGES)


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_written_is_read_back_and_other_values_are_unfit(choice: str) -> None:
    assert DUEL.read(ITEM, {name: told["value"] for name, told in DUEL.values(ITEM, choice).items()}) == choice
    assert DUEL.score(Item(**{**item_fields(), "expected": {"choice": "A"}}), choice) == (choice == "A")
    with pytest.raises(Unfit, match="nothing was chosen"):
        DUEL.read(ITEM, {})
    with pytest.raises(Unfit, match="unknown choice: C"):
        DUEL.read(ITEM, {"choice": "C"})


def item_fields() -> dict[str, Any]:
    return {name: getattr(ITEM, name) for name in Item.__slots__}


def test_a_record_shows_both_answers_as_they_were_typed_and_not_whose_they_are() -> None:
    made = DUEL.record(ITEM, Texts({EXAMPLE.id: EXAMPLE}, {}), None)
    assert made["fields"] == {"prompt": EXAMPLE.text, "a": "&lt;b&gt;Mole&lt;/b&gt;", "b": "Pozole"}
    assert "adapted" not in json.dumps(made)


def test_votes_are_counted_for_the_models_wherever_they_stood() -> None:
    said = [Answer(str(n), "d", f"p{n}", "MX", "t", choice) for n, choice in enumerate(["B", "B", "A", "tie"])]
    assert DUEL.outcome(ITEM, said, Settings()).made == {ADAPTED: 2, BASE: 1, "ties": 1}
    assert set(DUEL.outcome(ITEM, said, Settings()).made) <= set(DUEL.counted)


# -- coming home --------------------------------------------------------------------------------------------


def test_a_vote_comes_home_once_however_often_it_is_pulled(project: Project, votes: Path) -> None:
    first = take(project, votes, *duel(1), begun(new_id(2)))
    assert (first.new, first.already, first.read.unfinished) == ({"MX": 1}, 0, 1)
    again = take(project, votes, *duel(1), begun(new_id(2)), voted(new_id(2), choice="tie", at="2026-11-02T00:00Z"))
    assert (again.new, again.already, again.read.unfinished) == ({"MX": 1}, 1, 0)
    one, two = read_duels(project.ledger)
    assert (one.id, one.choice, one.adapted, one.at) == (new_id(1), "B", "B", "2026-11-01T01:03Z")
    assert (one.run, one.adapter, one.base, one.base_version) == ("run1", ADAPTER, "owner/base", "v1")
    assert (one.country, one.language, one.source) == ("MX", "es", "votes")
    assert (one.prompt_id, one.prompt, one.answers) == (EXAMPLE.id, EXAMPLE.text, ("Mole.", "Pozole."))
    assert two.choice == "tie"
    assert read_duels(project.ledger, adapter=ADAPTER) == [one, two]
    assert read_duels(project.ledger, adapter="0" * 64) == []


def test_of_two_files_the_first_vote_of_an_id_counts(project: Project, votes: Path) -> None:
    write(votes, [*duel(1, choice="A"), *duel(2)], "b" * 32)
    write(votes, [*duel(1, choice="tie"), *duel(3)], "a" * 32)
    found = pull_votes(project, str(votes))
    assert (found.files, found.new) == (2, {"MX": 3})
    assert found.read.left_out.rows() == [("voted twice", 1, f"{'b' * 32}.jsonl:2")]
    assert {one.id: one.choice for one in read_duels(project.ledger)}[new_id(1)] == "tie"


def test_a_file_is_read_up_to_a_half_line_which_counts_when_it_is_whole(project: Project, votes: Path) -> None:
    whole = json.dumps(voted(new_id(2))).encode() + b"\n"
    found = take(project, votes, *duel(1), begun(new_id(2)), whole[:40])
    assert found.new == {"MX": 1}
    assert found.read.left_out.rows() == [("half a line at the end", 1, f"{'a' * 32}.jsonl:4")]
    cut = json.dumps(voted(new_id(2), a="ñ"), ensure_ascii=False).encode()
    assert take(project, votes, *duel(1), begun(new_id(2)), cut[: cut.index("ñ".encode()) + 1]).new == {}
    assert take(project, votes, *duel(1), begun(new_id(2)), whole[:-1]).new == {"MX": 1}


X = new_id(1)
HOSTILE: dict[str, tuple[list[Any], str]] = {
    "no json": ([b"hola\n"], "no JSON"),
    "empty": ([b"\n"], "no JSON"),
    "a list": ([b"[1]\n"], "no JSON object"),
    "deep": ([b"[" * 200_000 + b"\n"], "no JSON"),
    "digits": ([b'{"format": ' + b"1" * 9000 + b"}\n"], "no JSON"),
    "latin": (['{"format": 1, "kind": "año"}\n'.encode("latin-1")], "not UTF-8"),
    "key twice": ([b'{"format": 1, "format": 1, "kind": "begun"}\n'], "no JSON"),
    "other format": ([begun(X, format=2)], "another format"),
    "true is no format": ([begun(X, format=True)], "another format"),
    "unknown kind": ([{**begun(X), "kind": "shown"}], "unknown kind"),
    "kind is a list": ([{**begun(X), "kind": ["begun"]}], "unknown kind"),
    "an address": ([begun(X, ip="10.0.0.1")], "other fields than its kind has"),
    "no run": ([{key: value for key, value in begun(X).items() if key != "run"}], "other fields than its kind has"),
    "id of another form": ([begun(X.upper().replace("0", "G"))], "impossible id"),
    "id is a number": ([begun(X, id=1)], "impossible id"),
    "a way out": ([begun(X, run="../../etc")], "impossible run"),
    "digits of other scripts": ([begun(X, run="١٢٣")], "impossible run"),
    "no such country": ([begun(X, country="XX")], "impossible country"),
    "country in small letters": ([begun(X, country="mx")], "impossible country"),
    "no such language": ([begun(X, language="qqq")], "impossible language"),
    "no digest": ([begun(X, adapter_sha256="f" * 63)], "impossible adapter_sha256"),
    "NUL": ([begun(X, base="a\0b")], "impossible base"),
    "turned around": ([begun(X, base="a\u202eb")], "impossible base"),
    "escape": ([begun(X, base_version="\x1b[31m")], "impossible base_version"),
    "long name": ([begun(X, base="b" * 301)], "impossible base"),
    "side": ([begun(X, adapted="C")], "impossible adapted"),
    "seed": ([begun(X, seed=2**63)], "impossible seed"),
    "not a number": ([json.dumps(begun(X, seed=float("nan"))).encode() + b"\n"], "impossible seed"),
    "negative": ([begun(X, max_new_tokens=-1)], "impossible max_new_tokens"),
    "no such day": ([begun(X, at="2026-02-30T00:00Z")], "impossible at"),
    "seconds": ([begun(X, at="2026-02-20T00:00:00Z")], "impossible at"),
    "the future": ([begun(X, at="2999-01-01T00:00Z")], "impossible at"),
    "long ago": ([begun(X, at="1970-01-01T00:00Z")], "impossible at"),
    "before": ([begun(X), voted(X, at="2026-10-01T00:00Z")], "voted before it was begun"),
    "choice": ([begun(X), voted(X, choice="C")], "impossible choice"),
    "may use": ([begun(X), voted(X, may_use=1)], "impossible may_use"),
    "a number": ([begun(X), voted(X, a=7)], "impossible a"),
    "a long text": ([begun(X), voted(X, b="x" * 20_001)], "impossible b"),
    "half a pair": ([begun(X), json.dumps(voted(X, a="\ud83d")).encode() + b"\n"], "impossible a"),
    "nothing begun": ([voted(X)], "voted without begun"),
    "begun twice": ([begun(X), begun(X)], "begun twice"),
    "a line of ten megabytes": ([b'{"format": 1, "x": "' + b"x" * 10_000_000 + b'"}\n'], "a line that is too long"),
    "just too long": ([b"x" * MOST_LINE + b"\n"], "a line that is too long"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_line_that_is_not_what_it_should_be_is_counted_by_its_reason_and_the_next_is_read(
    project: Project, votes: Path, case: str
) -> None:
    lines, reason = HOSTILE[case]
    found = take(project, votes, *lines, *duel(99))
    assert found.read.left_out.counts == {reason: 1}
    assert found.read.left_out.examples[reason] == f"{'a' * 32}.jsonl:{len(lines)}"
    assert [one.id for one in read_duels(project.ledger)] == [new_id(99)]


def test_a_vote_that_was_misread_does_not_stand_in_the_way_of_the_right_one(project: Project, votes: Path) -> None:
    found = take(project, votes, begun(X), voted(X, choice="?"), voted(X, choice="A"), voted(X, choice="tie"))
    assert found.read.left_out.counts == {"impossible choice": 1, "voted twice": 1}
    assert [one.choice for one in read_duels(project.ledger)] == ["A"]


FIELD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(), max_size=2)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.builds(
            lambda make, name, value: json.dumps({**make(X), name: value}).encode() + b"\n",
            st.sampled_from([begun, voted]),
            st.sampled_from(sorted({*begun(X), *voted(X), "other"})),
            FIELD,
        ),
        max_size=6,
    )
)
def test_no_bytes_break_the_reader_and_every_line_is_a_duel_or_is_counted(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, tally = Path(folder) / "f.jsonl", Tally()
        path.write_bytes(b"".join(lines))
        found = list(read_votes(path, "f.jsonl", tally))
    assert tally.lines == tally.left_out.counts.total() + tally.unfinished + 2 * len(found)
    assert len({vote.id for vote in found}) == len(found)
    assert all(vote.choice in CHOICES and vote.begun.adapted in "AB" for vote in found)


def test_only_vote_files_are_read(project: Project, votes: Path) -> None:
    write(votes, duel(1))
    (votes / "notes.txt").write_text("hola")
    (votes / "\u202eodd.jsonl").write_text("hola")
    (votes / "folder.jsonl").mkdir()
    found = pull_votes(project, str(votes))
    assert (found.files, found.new, found.read.left_out.rows()) == (1, {"MX": 1}, [])


def test_the_folder_above_the_files_is_understood_and_one_of_the_project_is_named_from_there(project: Project) -> None:
    write(project.folder / "runs" / "r" / "demo" / "votes", duel(1))
    assert pull_votes(project, str(project.folder / "runs" / "r" / "demo")).new == {"MX": 1}
    assert [one.source for one in read_duels(project.ledger)] == ["runs/r/demo"]


# -- texts --------------------------------------------------------------------------------------------------


def test_texts_that_nobody_gave_away_are_not_kept(project: Project, votes: Path) -> None:
    found = take(
        project,
        votes,
        begun(X, prompt_id=""),
        voted(X, prompt=TYPED),
        *duel(2, prompt_id="another", may_use=True),
        *duel(3, a="\0Mo\u202ele\x07.\n\nSí"),
        *duel(4, prompt_id="", a="", b=""),
    )
    assert (found.new, found.withheld) == ({"MX": 4}, 2)
    kept = {one.id: (one.prompt, one.answers, one.typed) for one in read_duels(project.ledger)}
    for number in (1, 2, 4):
        assert kept[new_id(number)] == ("", ("", ""), False)
    assert kept[new_id(3)] == (EXAMPLE.text, ("Mole.\n\nSí", "Pozole."), False)
    assert TYPED.encode() not in (project.folder / "ledger.sqlite").read_bytes()


def test_texts_are_masked_before_they_are_kept(project: Project, votes: Path) -> None:
    mine = f"{TYPED} Mi correo es ana@example.org y mi número 55 1234 5678."
    take(project, votes, *duel(1, mine, a="Escribe a ana@example.org.", b="Llama al 55 1234 5678."))
    project.ledger.rows("pragma wal_checkpoint(truncate)")
    kept = (project.folder / "ledger.sqlite").read_bytes()
    assert b"ana@example" not in kept
    assert b"1234 5678" not in kept
    (one,) = read_duels(project.ledger)
    assert (one.prompt, one.typed) == (f"{TYPED} Mi correo es [email] y mi número [phone].", True)
    assert one.answers == ("Escribe a [email].", "Llama al [phone].")
    assert one.prompt_id == project.ledger.prompts()[-1].id


# -- prompts that visitors give away --------------------------------------------------------------------------


@pytest.mark.parametrize("reviewed_only", [False, True])
def test_a_typed_prompt_is_asked_about_and_drafted_for_only_when_people_accepted_it(
    tmp_path: Path, votes: Path, reviewed_only: bool
) -> None:
    project = make_project(tmp_path / "p", f"{SETTINGS}[prompts]\nreviewed_only = {str(reviewed_only).lower()}\n")
    found = take(project, votes, *duel(1, TYPED), *duel(2, prompt_id="another"))
    assert (found.prompts, found.prompts_there) == (1, 0)
    (prompt,) = project.ledger.prompts()
    assert (prompt.text, prompt.source, prompt.licence, prompt.country) == (TYPED, "demo votes", "", "MX")
    assert [item.prompt_id for item in project.ledger.items(CHECK)] == [prompt.id]
    with pytest.raises(DraftError, match=r"No prompt is accepted yet, and .*; run `annot prompts review`"):
        _plan(project)
    assert prompts_waiting(project).coming == ()
    accept(project, 0)
    assert [work.prompt.text for work in _plan(project)[0]] == [TYPED]
    assert [waiting.text for waiting in prompts_waiting(project).to_draft] == [TYPED]


def test_prompts_of_the_team_are_drafted_for_beside_typed_ones_and_asked_about_only_when_told(
    project: Project, votes: Path
) -> None:
    take(project, votes, *duel(1, TYPED))
    assert [work.prompt.id for work in _plan(project)[0]] == [EXAMPLE.id]
    assert len(project.ledger.items(CHECK)) == 1
    assert add_checks(project.ledger) == 1


def test_a_file_whose_name_begins_like_a_demo_is_the_teams(project: Project, tmp_path: Path) -> None:
    (tmp_path / "demo one.csv").write_text(f"prompt\n{TYPED}\n", encoding="utf-8")
    annot(project, "prompts", "add", str(tmp_path / "demo one.csv"))
    assert len(_plan(project)[0]) == 2


def test_refused_prompts_are_counted_by_reason_and_their_votes_count(project: Project, votes: Path) -> None:
    typed = {
        1: TYPED,
        2: TYPED,
        3: TYPED.replace("?", " ?!"),
        4: "¿Qué?",
        5: "55 1234 5678",
        6: "What do people say to each other when they meet on the street in the morning?",
        7: "x" * 5000,
        9: EXAMPLE.text,
        10: '=HYPERLINK("http://elsewhere.example")',
        11: "  \u200b ",
        12: TYPED.replace("?", " ?!"),
    }
    lines = [line for number, text in typed.items() for line in duel(number, text)]
    found = take(project, votes, *lines, *duel(8, "¿Quanto custa um pão de queijo na padaria?", country="BR"))
    assert found.refused.counts == {
        "exact duplicate": 2,
        "near duplicate": 1,
        "too short": 1,
        "personal data only": 1,
        "language": 1,
        "too long": 1,
        "another country": 1,
        "formula": 1,
    }
    assert (found.prompts, found.prompts_there, found.new) == (1, 1, {"MX": 11, "BR": 1})
    by_id = {one.id: one for one in read_duels(project.ledger)}
    assert by_id[new_id(9)].prompt_id == EXAMPLE.id
    assert by_id[new_id(2)].prompt_id == by_id[new_id(1)].prompt_id != ""
    assert by_id[new_id(3)].prompt_id == by_id[new_id(12)].prompt_id == ""
    assert not by_id[new_id(11)].typed
    # Of a text that is no prompt of the project nothing could be removed or forgotten.
    for one in by_id.values():
        assert (one.prompt, one.answers, one.typed) == ("", ("", ""), False) or one.prompt_id
    assert "1 already there, 9 refused and not kept" in " ".join(found.sentences())


def test_what_a_visitor_typed_can_be_removed_and_its_votes_count_no_more(project: Project, votes: Path) -> None:
    take(project, votes, *duel(1, TYPED), *duel(2))
    annot(project, "prompts", "remove", "--file", "demo votes")
    assert [prompt.id for prompt in project.ledger.prompts()] == [EXAMPLE.id]
    assert [one.id for one in read_duels(project.ledger)] == [new_id(2)]
    assert count_duels(project.ledger) == {"MX": 1}
    assert take(project, votes, *duel(1, TYPED), *duel(2), *duel(3, TYPED)).prompts == 0
    assert count_duels(project.ledger) == {"MX": 1}


def test_votes_about_a_forgotten_prompt_are_never_new(project: Project, votes: Path) -> None:
    take(project, votes, *duel(1, TYPED))
    for prompt in project.ledger.prompts():
        annot(project, "forget", prompt.id, "--yes")
    for dry_run in (False, True, False):
        found = take(project, votes, *duel(1, TYPED), *duel(2, TYPED), *duel(3), dry_run=dry_run)
        assert (found.new, found.unknown, found.already) == ({}, {}, 1)
        assert (found.prompts, found.prompts_there, found.withheld) == (0, 0, 0)
        told = f"{'a' * 32}.jsonl:4"
        assert found.read.left_out.rows() == [("about a prompt that was forgotten", 2, told)]


# -- what it costs --------------------------------------------------------------------------------------------


def test_a_page_of_votes_costs_the_same_in_a_project_of_many_prompts(project: Project, votes: Path) -> None:
    take(project, votes, *duel(1, TYPED), *duel(2))
    steps = list[int]()

    def work() -> int:
        steps.clear()
        project.ledger._db.set_progress_handler(lambda: steps.append(1), 10)
        assert len(list(duel_tables(project.ledger, project.settings, str, 2000))) == 1
        assert len(read_duels(project.ledger, adapter=ADAPTER)) == sum(count_duels(project.ledger).values()) == 2
        project.ledger._db.set_progress_handler(None, 10)
        return len(steps)

    few = work()
    more = [Prompt.make(f"¿Qué es {number}?", country="MX", language="es") for number in range(3000)]
    project.ledger.add_prompts(more)
    project.ledger.change_prompts([replace(prompt, topic="fiesta") for prompt in more])
    assert work() < 2 * few


def test_texts_are_read_only_where_they_are_asked_for(project: Project, votes: Path) -> None:
    take(project, votes, *duel(1, TYPED), *duel(2))
    for whole, short in zip(read_duels(project.ledger), read_duels(project.ledger, texts=False), strict=True):
        assert whole.answers == ("Mole.", "Pozole.")
        assert short == replace(whole, prompt="", answers=("", ""))


def test_a_batch_without_new_prompts_does_not_look_at_the_prompt_check(project: Project, votes: Path) -> None:
    take(project, votes, *duel(1, TYPED))
    asked = list[str]()
    project.ledger._db.set_trace_callback(asked.append)
    assert take(project, votes, *duel(1, TYPED), *duel(2), *duel(3, TYPED)).new == {"MX": 2}
    assert any("votes" in query for query in asked)
    assert not [query for query in asked if "items" in query]


# -- apart from the team's ------------------------------------------------------------------------------------


def test_votes_change_nothing_of_the_teams_work(project: Project, votes: Path, tmp_path: Path) -> None:
    fill(project, 2)
    before, have, kept = report(project), stock(project), frozen(project)
    exported = export(project, tmp_path / "before").rows
    found = take(project, votes, *(line for n in range(60) for line in duel(n, country="MX" if n % 3 else "BR")))
    assert found.new == {"MX": 40, "BR": 20}
    after = report(project)
    told = after.as_json()
    assert told.pop("votes") == {"MX": 40, "BR": 20}
    assert {key: value for key, value in before.as_json().items() if key != "votes"} == told
    assert (before.statuses, before.unfit, before.times) == (after.statuses, after.unfit, after.times)
    assert stock(project) == have
    assert frozen(project).id == kept.id
    api = FakeArgilla()
    add_team(project, api, [person("mx_1"), person("mx_2")])
    assert push(api, project.ledger, project.settings).sent == {"mx": 2}
    assert {row["external_id"] for rows in api.rows.values() for row in rows} == {"slate0", "slate1"}
    assert export(project, tmp_path / "after").rows == {**exported, "duels.parquet": 60}
    shown = annot(project, "status")
    assert "Votes of a demo's visitors, apart from the team's: 60 (MX 40, BR 20)." in shown


def test_an_export_holds_the_votes_under_the_name_of_nobody(project: Project, votes: Path, tmp_path: Path) -> None:
    withheld = [begun(new_id(3), prompt_id=""), voted(new_id(3), prompt="¿Secreto?")]
    take(project, votes, *duel(1), *duel(2, f"{TYPED} Pregunta por ana."), *withheld)
    done = export(project, tmp_path / "exports")
    assert (done.rows["duels.parquet"], done.typed) == (3, 1)
    rows = {row["duel_id"]: row for row in pq.read_table(tmp_path / "exports" / "duels.parquet").to_pylist()}
    assert {row["source"] for row in rows.values()} == {"demo"}
    assert {row["annotator"] for row in rows.values()} == {""}
    one, two, three = (rows[new_id(number)] for number in (1, 2, 3))
    assert (one["prompt"], one["typed_prompt"], one["answer_a"], one["answer_b"]) == (
        EXAMPLE.text,
        "",
        "Mole.",
        "Pozole.",
    )
    assert (one["choice"], one["adapted"], one["adapter"], one["country"]) == ("B", "B", ADAPTER, "MX")
    assert two["typed_prompt"] == f"{TYPED} Pregunta por ana."
    assert (three["prompt"], three["typed_prompt"], three["answer_a"]) == ("", "", "")


def test_the_tables_of_a_team_that_compares_answers_carry_pseudonyms(project: Project, tmp_path: Path) -> None:
    project.ledger.add_people([person("ana")])
    project.ledger.add_items([ITEM])
    raw = {"id": "r", "status": "submitted", "values": DUEL.values(ITEM, "A")}
    moment = "2026-01-01T00:00:00.000000"
    project.ledger.add_responses("s", [Response("r", "d", "ana", "MX", "submitted", moment, json.dumps(raw))])
    export(project, tmp_path / "exports")
    (row,) = pq.read_table(tmp_path / "exports" / "duels.parquet").to_pylist()
    assert (row["source"], row["choice"], row["prompt"]) == ("team", "A", EXAMPLE.text)
    assert row["annotator"] == project.pseudonym("ana")
    assert report(project).made[NAME] == {BASE: 1}


def test_an_older_project_takes_votes_in_and_keeps_its_snapshot(tmp_path: Path, votes: Path) -> None:
    project = old_project(tmp_path / "p", "quotas met", tables=2)
    shutil.rmtree(project.folder / "snapshots")
    told = json.loads((project.folder / "expected.json").read_text(encoding="utf-8"))
    prompt = project.ledger.prompts()[0]
    found = take(project, votes, *duel(1, prompt_id=prompt.id))
    assert found.new == {"MX": 1}
    assert [one.prompt for one in read_duels(project.ledger)] == [prompt.text]
    assert snapshot_of(project) == told["moments"]["quotas met"]["snapshot"]


# -- whose adapter ----------------------------------------------------------------------------------------------


def test_a_vote_counts_whatever_adapter_it_was_about_and_unknown_ones_are_named(project: Project, votes: Path) -> None:
    project.run_folder("run1").mkdir(parents=True)
    (project.run_folder("run1") / "DONE").write_text(json.dumps({"adapter_sha256": ADAPTER}), encoding="utf-8")
    other = "0" * 64
    found = take(project, votes, *duel(1), *duel(2, adapter_sha256=other), *duel(3, run="elsewhere"))
    assert found.new == {"MX": 3}
    assert found.unknown == {("run1", other): 1, ("elsewhere", ADAPTER): 1}
    assert "does not have, and counted all the same: run1 (000000000000) 1" in " ".join(found.sentences())


# -- the command, cut off, dry, from the Hub ----------------------------------------------------------------------


def test_a_dry_run_shows_what_would_come_and_writes_nothing(project: Project, votes: Path) -> None:
    write(votes, [*duel(1, TYPED), *duel(2), b"hola\n"])
    shown = annot(project, "votes", "pull", str(votes), "--dry-run")
    assert "2 new votes (MX 2) would come from 1 file of votes; left out: 1." in shown
    told = json.loads(annot(project, "votes", "pull", str(votes), "--dry-run", "--json"))
    assert (told["new"], told["prompts"]["new"], told["dry_run"]) == (2, 1, True)
    assert told["left_out"] == {"no JSON": {"count": 1, "example": f"{'a' * 32}.jsonl:5"}}
    assert count_duels(project.ledger) == {}
    assert project.ledger.prompts() == [EXAMPLE]
    told = json.loads(annot(project, "votes", "pull", str(votes), "--json"))
    assert (told["new"], told["countries"], told["already_here"]) == (2, {"MX": 2}, 0)


def test_a_dry_run_begins_no_ledger(tmp_path: Path, votes: Path) -> None:
    project = make_project(tmp_path / "new", SETTINGS)
    assert not (project.folder / "ledger.sqlite").exists()
    found = take(project, votes, *duel(1, TYPED), *duel(2, prompt_id="another"), dry_run=True)
    assert (found.new, found.prompts, found.withheld) == ({"MX": 2}, 1, 1)
    assert not (project.folder / "ledger.sqlite").exists()


def test_no_command_is_named_that_would_make_duels_for_a_team(project: Project) -> None:
    with pytest.raises(ArgillaError) as refused:
        push(FakeArgilla(), project.ledger, project.settings, tasks=[NAME])
    assert str(refused.value) == "There are no duels to push; no command makes them for a team yet."


def test_a_place_that_is_none_is_one_sentence(project: Project, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere/at/all is no folder here"):
        pull_votes(project, "nowhere/at/all")
    (tmp_path / "empty").mkdir()
    assert pull_votes(project, str(tmp_path / "empty")).sentences() == ["0 new votes from 0 files of empty."]


def test_killed_anywhere_and_run_again_every_vote_is_there_once(
    tmp_path: Path, votes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "AT_ONCE", 20)
    chance = random.Random(0)
    for name in "abc":
        numbers = range(ord(name) * 1000, ord(name) * 1000 + 200)
        lines = [line for n in numbers for line in duel(n, f"¿Cómo se dice {n} veces {n * 7}?" if n % 9 == 0 else "")]
        write(votes, lines, name * 32)

    def folder(number: int) -> Path:
        place = tmp_path / f"p{number}"
        if not place.exists():
            make_project(place, SETTINGS).ledger.add_prompts([EXAMPLE])
        return place

    def work(number: int) -> Callable[[], None]:
        return lambda: void(pull_votes(Project.open(folder(number)), str(votes)))

    lasts = seconds_of(work(0))
    whole = Project.open(folder(0)).ledger
    wanted, killed, halfway = kills(6, 25), 0, 0
    number = attempts = 0
    while (killed < wanted or not halfway) and attempts < 200:
        attempts += 1
        number = number or attempts
        folder(number)
        if not killed_at(chance.uniform(0, lasts), work(number)):
            number = 0  # it was done: another project begins
            continue
        killed += 1
        ledger = Project.open(folder(number)).ledger
        there = sum(count_duels(ledger).values())
        halfway += 0 < there < 600
        # A batch is whole: its prompts, that people are asked about them, and its votes.
        assert {item.prompt_id for item in ledger.items(CHECK)} == {p.id for p in ledger.prompts()[1:]}
        assert {p.id for p in ledger.prompts()[1:]} == {d.prompt_id for d in read_duels(ledger) if d.typed}
        ledger.close()
    assert killed >= wanted
    assert halfway
    last = Project.open(folder(number or attempts))
    assert pull_votes(last, str(votes)).read.left_out.rows() == []
    assert read_duels(last.ledger) == read_duels(whole)
    assert len(read_duels(whole)) == 600
    assert [p.id for p in last.ledger.prompts()] == [p.id for p in whole.prompts()]
    assert len(last.ledger.items(CHECK)) == len(whole.items(CHECK)) > 20


def void(_: object) -> None:
    """For its effect alone."""


def pulled_from(hub: str, project: Project, source: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """The command with a Hub of its own."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(project.folder / "home")}
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, "-m", "annotation.cli", "votes", "pull", source, "--project", str(project.folder)]
    environment |= {"HF_TOKEN": token} if token else {}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_files_of_the_hub_lie_in_the_project_while_they_are_read_and_what_a_killed_pull_left_goes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubStandIn() as hub:
        ask(hub, monkeypatch)
        hub.make("dataset", "team/backups", {"votes/a.jsonl": b"{}\n"})
        left = project.folder / ".votes" / "votes" / "old.jsonl"
        left.parent.mkdir(parents=True)
        left.write_text(TYPED, encoding="utf-8")
        with place_of(project, "team/backups").fetched("a.jsonl") as path:
            assert path.read_bytes() == b"{}\n"
            assert path.is_relative_to(project.folder / ".votes")
            assert (project.folder / ".votes").stat().st_mode & 0o777 == 0o700
            assert not left.exists()
        assert not (project.folder / ".votes").exists()


def test_votes_come_from_a_private_repository_of_the_hub(project: Project, votes: Path) -> None:
    write(votes, duel(1))
    content = (votes / f"{'a' * 32}.jsonl").read_bytes()
    with HubStandIn() as hub:
        files = {"README.md": b"hola", f"votes/{'a' * 32}.jsonl": content, "votes/notes.txt": b"hola"}
        hub.make("dataset", "team/backups", files)
        done = pulled_from(hub.url, project, "team/backups")
        assert done.returncode == 0, done.stderr
        assert "1 new vote (MX 1) from 1 file of team/backups." in done.stdout
        assert [one.source for one in read_duels(project.ledger)] == ["team/backups"]
        assert "already here: 1." in pulled_from(hub.url, project, "team/backups").stdout
        unknown = pulled_from(hub.url, project, "team/nothing")
        assert (unknown.returncode, "There is no dataset team/nothing on the Hub" in unknown.stderr) == (2, True)
        nobody = pulled_from(hub.url, project, "team/backups", token="")
        assert (nobody.returncode, "set HF_TOKEN: repositories of votes are private" in nobody.stderr) == (2, True)
        hub.fail(503, times=10**6)
        down = pulled_from(hub.url, project, "team/backups")
        assert (down.returncode, "run it again" in down.stderr, down.stderr.count("\n")) == (2, True, 1)
    away = pulled_from(hub.url, project, "team/backups")
    assert (away.returncode, "The Hub cannot be reached" in away.stderr, away.stderr.count("\n")) == (2, True, 1)
    assert not any(b"Mole" in path.read_bytes() for path in (project.folder / "home").rglob("*") if path.is_file())
