"""The next round: which prompts are asked about anew, what is frozen and closed, and what the report says of rounds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from campaigns import kills
from fake_argilla import killed_at, ranking_of, seconds_of
from finished_runs import finished_run, ranked_slates
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import make_project
from round_projects import (
    AGREED,
    LEANING,
    PEOPLE,
    SETTINGS,
    SPLIT,
    ask,
    compared,
    ends,
    round_project,
    two_rounds,
    vote,
    write_run,
)
from test_adjudicate import say, side
from typer.testing import CliRunner

from annotation.adjudicate import queue
from annotation.cli import app
from annotation.errors import ProjectError, SettingsError
from annotation.item_counts import ALL
from annotation.project import Project
from annotation.prompts.change import Which, change_prompts
from annotation.prompts.review import visitors_source
from annotation.rounds import CONTESTED, REASONS, SOURCE, THIN, VOTES, current_round, rounds
from annotation.types import Candidate, Person, Prompt
from sync.reporting.next_step import next_step
from sync.reporting.page.facts import gather, only
from sync.reporting.rounds import Interval, Own, by_round, sentences
from sync.reporting.status import report
from sync.rounds import NextRound, begin_round

ALL_TIED = "1111"


def annot(project: Project, *words: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, [*words, "-p", str(project.folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def by_reason(found: NextRound) -> dict[str, list[str]]:
    """Reason -> prompts, in the order in which they were chosen."""
    return {reason: [one.prompt_id for one in found.prompts if one.reason == reason] for reason in REASONS}


# -- what is chosen -------------------------------------------------------------------------------------


def test_the_most_divided_come_first_and_what_was_decided_comes_later(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    agreed, leaning, split, decided, unfit = (
        ask(project, n, orders) for n, orders in enumerate((AGREED, LEANING, SPLIT, SPLIT, AGREED))
    )
    for who in range(3):
        say(project, "MX4-1", f"mx_{who}", ranking_of("1111", acceptable="none"), at=30)
    project.ledger.add_people([Person("dora", "Dora Robledo", "adjudicator", "MX", ("es",))])
    queue(project)
    say(project, side(project)["MX3-1"].id, "dora", ranking_of("1234"), at=40)
    found = begin_round(project, most=9, reasons=[CONTESTED], dry_run=True)
    weights = {one.prompt_id: one.weight for one in found.prompts}
    assert weights == {split: 1.0, unfit: 1.0, leaning: pytest.approx(0.8), decided: 0.5}
    assert [one.weight for one in found.prompts] == sorted(weights.values(), reverse=True)
    assert agreed not in weights


def test_two_countries_that_prefer_opposite_answers_put_a_prompt_into_the_round(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    both, one = (ask(project, n, AGREED) for n in range(2))
    for n in range(PEOPLE):
        say(project, "MX0-1", f"br_{n}", ranking_of("4321"), country="BR")
    found = begin_round(project, reasons=[CONTESTED], dry_run=True)
    assert [(chosen.prompt_id, chosen.country, chosen.weight) for chosen in found.prompts] == [(both, "MX", 1.0)]
    assert one != both


def test_votes_count_where_the_base_is_ahead_of_the_newest_runs_adapter(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    few, many, level, ours, older = (ask(project, n, AGREED) for n in range(5))
    old = "cd" * 32
    write_run(project, "run-0", "none", adapter=old, finished_at="2026-01-01T00:00:00+00:00")
    write_run(project, "run-1", "none")
    for prompt_id, choices in ((few, "bb=a"), (many, "bbbbb="), (level, "bbaa"), (ours, "aaa")):
        vote(project, prompt_id, choices)
    vote(project, older, "bbbb", adapter=old)
    found = begin_round(project, reasons=[VOTES], dry_run=True)
    assert [(one.prompt_id, one.weight) for one in found.prompts] == [(many, 5.0), (few, 1.0)]
    assert found.runs == {"ranking": "run-1"}
    assert found.next_steps() == "annot draft --source run-1, then annot draft, then annot select, then annot push"


def test_a_country_with_too_little_gets_as_many_as_it_lacks_incomplete_ones_first(tmp_path: Path) -> None:
    project = round_project(tmp_path, target=4)
    for n in range(10):
        ask(project, n, AGREED, country="BR")
    tied, whole, begun, untouched = (
        ask(project, n, orders) for n, orders in enumerate(((ALL_TIED,) * 5, AGREED, AGREED[:2], ()))
    )
    found = begin_round(project, dry_run=True)
    # MX completed 2: half of the median (6 of 2 and 10) is 3, and its target 4.
    assert by_reason(found) == {CONTESTED: [], VOTES: [], THIN: [untouched, begun]}
    assert found.closed == {"MX": 2}
    poor = make_project(tmp_path, SETTINGS.format(target=2))
    for n in range(10, 30):
        ask(poor, n, AGREED, country="BR")
    # The median of 2 and 30 is 16: of half of that MX lacks 6, and has 4 prompts.
    assert by_reason(begin_round(poor, dry_run=True, most=9))[THIN] == [untouched, begun, tied, whole]


def test_reasons_take_turns_up_to_the_most_of_each_country(tmp_path: Path) -> None:
    project = round_project(tmp_path, target=5)  # of which BR lacks two slates
    divided = [ask(project, n, SPLIT) for n in range(4)]
    against = [ask(project, n, AGREED) for n in range(4, 6)]
    here = [ask(project, n, SPLIT, country="BR") for n in range(3)]
    write_run(project, "run-1", "none")
    for prompt_id in (*against, divided[0]):
        vote(project, prompt_id, "bb")
    found = begin_round(project, most=3, dry_run=True)
    assert [(one.country, one.reason) for one in found.prompts] == [
        *[("BR", CONTESTED), ("BR", THIN), ("BR", CONTESTED)],
        *[("MX", CONTESTED), ("MX", VOTES), ("MX", CONTESTED)],
    ]
    assert found.left == 3
    assert len({one.prompt_id for one in found.prompts}) == 6
    only_mx = begin_round(project, most=9, country="MX", reasons=[CONTESTED], dry_run=True)
    assert {one.prompt_id for one in only_mx.prompts} == set(divided)
    assert begin_round(project, dry_run=True).table()[0][0] == "BR"
    assert set(here) >= {one.prompt_id for one in found.prompts if one.country == "BR"}


def test_removed_prompts_and_those_of_other_countries_are_never_chosen(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    gone, stays = (ask(project, n, SPLIT) for n in range(2))
    change_prompts(project, Which(ids=(gone,)), {"removed": True})
    ask(project, 2, SPLIT, country="BR")
    alone = make_project(tmp_path, SETTINGS.format(target=4).replace(', "BR"', ""))
    assert {one.prompt_id for one in begin_round(alone, dry_run=True).prompts} == {stays}


def test_a_prompt_is_looked_at_by_its_newest_slate(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    calm, still = (ask(project, n, SPLIT) for n in range(2))
    begin_round(project, reasons=[CONTESTED])
    ask(project, 0, AGREED)
    ask(project, 1, SPLIT)
    assert begin_round(project, reasons=[CONTESTED], dry_run=True).prompts[0].prompt_id == still
    assert calm not in {one.prompt_id for one in begin_round(project, reasons=[CONTESTED], dry_run=True).prompts}


slates = st.lists(
    st.tuples(
        st.sampled_from(("MX", "BR")),
        st.lists(st.sampled_from(("1234", "4321", "1111", "2143")), max_size=PEOPLE),
        st.text(alphabet="ab=", max_size=3),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(slates, st.integers(1, 4), st.sets(st.sampled_from(REASONS), min_size=1), st.integers(1, 6))
def test_every_chosen_prompt_has_a_reason_that_holds_and_no_country_exceeds_the_most(
    said: list[tuple[str, list[str], str]], most: int, reasons: set[str], target: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = round_project(Path(folder), target=target)
        write_run(project, "run-1", "none")
        made = {}
        for number, (country, orders, votes) in enumerate(said):
            made[prompt_id := ask(project, number, orders, country=country)] = (country, orders, votes)
            vote(project, prompt_id, votes)
        try:
            found = begin_round(project, most=most, reasons=reasons, dry_run=True)
        except ProjectError:
            return
        again = begin_round(project, most=most, reasons=reasons, dry_run=True)
        assert found.prompts == again.prompts
        assert len({one.prompt_id for one in found.prompts}) == len(found.prompts)
        assert max(Counter(one.country for one in found.prompts).values()) <= most
        complete = Counter(country for country, orders, _ in made.values() if len(orders) == PEOPLE)
        most_complete = max(complete.values(), default=0)
        for one in found.prompts:
            country, orders, votes = made[one.prompt_id]
            assert one.country == country
            assert one.reason in reasons
            match one.reason:
                case "contested":
                    assert len(orders) == PEOPLE
                    assert len(set(orders)) > 1
                case "votes":
                    assert votes.count("b") - votes.count("a") == one.weight > 0
                case "thin":
                    assert complete[country] < max(target, most_complete / 2)


# -- its start ------------------------------------------------------------------------------------------


def test_a_round_freezes_what_there_is_closes_its_slates_and_opens_what_was_chosen(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    split, agreed, begun = (ask(project, n, orders) for n, orders in enumerate((SPLIT, AGREED, AGREED[:1])))
    fresh, typed = (Prompt.make(f"¿Y qué {n}?", country="MX", language="es") for n in ("más", "menos"))
    # What a visitor typed is asked about when people have accepted it.
    project.ledger.add_prompts([fresh, replace(typed, source=visitors_source("demo"))])
    dry = begin_round(project, dry_run=True)
    assert (current_round(project.ledger), list(tmp_path.glob("snapshots/*"))) == (1, [])
    assert (dry.snapshots, dry.started) == ({}, None)
    found = begin_round(project)
    assert found.prompts == dry.prompts
    assert (found.closed, found.fresh) == ({"MX": 1}, 1)
    facts = rounds(project.ledger)[1].facts
    assert facts == {"snapshots": found.snapshots, "most": None, "reasons": list(REASONS)}
    frozen = json.loads((project.snapshot_folder(found.snapshots["ranking"]) / "snapshot.json").read_text())
    assert (frozen["rankings"], frozen.get("round", 1)) == (11, 1)
    opened = {row["id"] for row in project.ledger.rows("select id from open_prompts")}
    assert opened == {split, begun, fresh.id, typed.id}
    assert agreed not in opened
    assert [item.id for item in project.ledger.items() if not item.closed] == []


def test_one_sentence_says_why_no_round_can_start_and_what_to_do(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    with pytest.raises(ProjectError, match=r"Round 1 has no slate yet.*`annot status`"):
        begin_round(project)
    ask(project, 0, ())
    with pytest.raises(ProjectError, match=r"No slate of round 1 was sent.*`annot push`.*`annot sync`"):
        begin_round(project)
    for n in range(1, 6):
        ask(project, n, AGREED)
    with pytest.raises(
        ProjectError,
        match=r"^No prompt is to be asked.*no slate that 3 people.*no run is.*`target`.*prompts add",
    ):
        begin_round(project, reasons=[CONTESTED, VOTES])
    with pytest.raises(SettingsError, match="--reason mood: take contested, votes or thin"):
        begin_round(project, reasons=["mood"])
    ask(project, 6, SPLIT)
    begin_round(project, reasons=[CONTESTED])
    with pytest.raises(ProjectError, match="Round 2 has no slate yet"):
        begin_round(project)
    assert current_round(project.ledger) == 2


def test_a_start_that_is_killed_leaves_a_whole_round_or_none(tmp_path: Path) -> None:
    def filled(name: str) -> Project:
        project = round_project(tmp_path / name)
        for n in range(12):
            ask(project, n, LEANING)
        return project

    def start(name: str) -> None:
        begin_round(Project.open(tmp_path / name))

    filled("timed")
    usual = seconds_of(lambda: start("timed"))
    times = kills(6, 60)
    for number in range(times):
        name = f"killed{number}"
        project = filled(name)
        killed_at(usual * (number + 1) / times, lambda name=name: start(name))  # type: ignore[misc]
        prompts = len(project.ledger.rows("select 1 from round_prompts"))
        (whole,) = rounds(project.ledger)[1:] or [None]
        assert (prompts, whole is None) in ((0, True), (4, False))
        if whole is None:
            begin_round(project)
        else:
            assert (project.snapshot_folder(whole.facts["snapshots"]["ranking"]) / "snapshot.json").exists()
        assert sum(rounds(project.ledger)[1].reasons.values()) == 4


def test_two_starts_at_once_make_one_round(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    for n in range(6):
        ask(project, n, SPLIT)
    command = [sys.executable, "-m", "annotation.cli", "round", "start", "--json", "-p", str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [json.loads(process.communicate()[0]) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert [one["round"] for one in said if "round" in one] == [2]
    assert next(one["error"] for one in said if "error" in one).startswith("Round 2 has no slate yet")
    assert len(rounds(project.ledger)) == 2


def test_a_start_waits_for_a_selection_that_is_at_work(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    ask(project, 0, SPLIT)
    command = [sys.executable, "-m", "annotation.cli", "round", "start", "-p", str(tmp_path)]
    with project.lock("select"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "to finish its select" in process.stderr.readline()
        assert current_round(project.ledger) == 1
    out, _ = process.communicate()
    assert (process.returncode, current_round(project.ledger)) == (0, 2)
    assert "Next: annot draft, then annot select" in out


def test_the_commands_say_what_starts_and_what_came_of_each_round(tmp_path: Path) -> None:
    project = two_rounds(tmp_path)
    said = annot(project, "round", "start", "--dry-run", "--most", "1")
    assert re.search(r"\n MX +1 +0 +0 +1 +0", said)
    assert "Round 3 would start with 2 prompts" in said
    assert "Nothing was written" in said
    listed = annot(project, "round", "list")
    assert re.search(r"\n +1 +– +– +– +– +24 +24 +120 +10 +\d+", listed)
    assert re.search(r"\n +2 +\d{4}-\d\d-\d\d +16 +0 +0 +16 +16 +80 +10 +\d+", listed)
    assert "run-2 against run-1, on 30 slates held out of both: tau +0.19 (+0.14 to +0.24): better." in listed
    states = json.loads(annot(project, "round", "list", "--json"))["rounds"]
    assert [state["number"] for state in states] == [1, 2]
    assert states[1]["own"]["all"]["slates"] == 16
    told = json.loads(annot(project, "status", "--json"))["rounds"]
    assert told == states
    assert f"Round 2, since {rounds(project.ledger)[1].started_at[:10]}" in annot(project, "status")


# -- what came of rounds ---------------------------------------------------------------------------------


def test_the_own_answers_are_counted_by_who_was_put_above_whom(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    for n in range(6):
        ask(project, n, AGREED, own=1)  # A is best of four: three votes above for each person
    ask(project, 7, (ALL_TIED,) * 5, own=1)
    ask(project, 8, ("4123",) * 5, own=1, country="BR")
    (state,) = by_round(project)
    own = state.own
    assert {group: (one.above, one.level, one.below, one.slates) for group, one in own.items()} == {
        ALL: (90, 15, 15, 8),
        "MX": (90, 15, 0, 7),
        "BR": (0, 0, 15, 1),
    }
    assert own[ALL].ahead.value == pytest.approx(75 / 120)
    assert own["BR"].ahead == Interval(-1.0, None, None)
    assert [one.verdict for one in (own["MX"].ahead, own["BR"].ahead)] == ["better", "cannot tell"]


def test_the_interval_of_the_own_answers_covers_the_truth() -> None:
    chance, inside = np.random.default_rng(3), 0
    for _ in range(200):
        # Slates differ: on half of them 80 % of 15 votes are above, on the other half 40 %; the truth is 0.2.
        above = chance.binomial(15, np.where(chance.random(60) < 0.5, 0.8, 0.4))
        said = Counter((int(n), 0, int(15 - n)) for n in above)
        found = Own(int(above.sum()), 0, int((15 - above).sum()), 60, said).ahead
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.2 <= found.high
    assert 180 <= inside <= 200


def test_a_slate_that_two_countries_answered_is_one_slate_of_all(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    ask(project, 0, AGREED, own=1)
    for n in range(PEOPLE):
        say(project, "MX0-1", f"br_{n}", ranking_of("4321"), country="BR")
    own = by_round(project)[0].own
    assert {group: (one.above, one.below, one.slates) for group, one in own.items()} == {
        ALL: (15, 15, 1),
        "BR": (0, 15, 1),
        "MX": (15, 0, 1),
    }
    assert next(iter(own)) == ALL


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({(3, 0, 0): 4}, "cannot tell"),
        ({(3, 0, 0): 20}, "better"),
        ({(0, 0, 3): 20}, "worse"),
        ({(0, 3, 0): 20}, "cannot tell"),
        ({(2, 0, 1): 10, (1, 0, 2): 10}, "cannot tell"),
    ],
)
def test_better_is_said_only_where_the_interval_leaves_no_doubt(
    said: dict[tuple[int, int, int], int], verdict: str
) -> None:
    above, level, below = (sum(kind[n] * number for kind, number in said.items()) for n in range(3))
    assert Own(above, level, below, sum(said.values()), said).ahead.verdict == verdict


def test_a_run_stands_at_the_round_that_it_was_trained_on_and_beside_that_of_the_round_before(tmp_path: Path) -> None:
    project = two_rounds(tmp_path)
    one, two = by_round(project)
    assert [(run.run, run.before, run.tau and run.tau.value) for run in (*one.runs, *two.runs)] == [
        ("run-1", "", 0.12),
        ("run-2", "run-1", 0.31),
    ]
    assert two.runs[0].tau_gain == Interval(**ends(0.19, 0.05))
    compared(project.run_folder("run-2"), "run-1", -0.1)
    assert sentences(by_round(project))[-1].endswith("tau -0.10 (-0.15 to -0.05): worse.")
    compared(project.run_folder("run-2"), "run-1", 0.01)
    assert sentences(by_round(project))[-1].endswith("cannot tell.")
    # One of them was measured anew since.
    compared(project.run_folder("run-2"), "run-1", 0.19, keys=("run-2", "another"))
    assert sentences(by_round(project))[-1] == "Round 2: `annot evaluate run-2 --against run-1` says more."
    for damaged in ("", "[]", '{"measures": {"ranking": {"groups": 3}}}'):
        (project.run_folder("run-2") / "evaluation.json").write_text(damaged)
        assert by_round(project)[1].runs[0].tau is None


def test_what_evaluate_keeps_of_a_comparison_is_what_the_report_reads(tmp_path: Path) -> None:
    project = two_rounds(tmp_path)
    for name, seed in (("run-1", 1), ("run-2", 2)):
        folder = project.run_folder(name)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        finished_run(folder, ranked_slates(12), strength=0.3, seed=seed)
        facts = json.loads((folder / "run.json").read_text())
        snapshot = rounds(project.ledger)[1].facts["snapshots"]["ranking"] if name == "run-1" else "second"
        (folder / "run.json").write_text(json.dumps({**facts, "snapshot": snapshot}))
        (folder / "snapshot.json").write_text(json.dumps({"round": int(name[-1])}))
        done = json.loads((folder / "DONE").read_text())
        (folder / "DONE").write_text(json.dumps({**done, "finished_at": f"2026-0{seed}-01T00:00:00+00:00"}))
    for words in (["run-1"], ["run-2", "--against", "run-1"]):
        told = json.loads(annot(project, "evaluate", *words, "--on", "ranking", "--json"))
    (run,) = by_round(project)[1].runs
    group = told["measures"]["ranking"]["groups"][0]
    assert (run.tau, run.slates) == (Interval(*(group["tau"][end] for end in ("value", "low", "high"))), 12)
    gain = told["against"][0]["tau"]
    assert (run.tau_gain, run.shared) == (Interval(gain["value"], gain["low"], gain["high"]), 12)


# -- what comes next, and the page -----------------------------------------------------------------------


def step(project: Project) -> str:
    return next_step(project, report(project), argilla_runs=True)


def test_in_a_new_round_the_newest_run_drafts_first(tmp_path: Path) -> None:
    project = round_project(tmp_path)
    prompt_id = ask(project, 0, SPLIT)
    write_run(project, "run-1", "none")
    begin_round(project, reasons=[CONTESTED])
    assert step(project).startswith("annot draft --source run-1: ")
    own = Candidate.make(prompt_id, "Del modelo.", model="run-1", settings={SOURCE: "run-1"})
    project.ledger.add_candidates([own])
    assert step(project) == "annot draft: 1 prompt without a slate can get more answers"
    others = [Candidate.make(prompt_id, f"De otro {n}.", model="a file") for n in range(12)]
    project.ledger.add_candidates(others)
    assert step(project) == "annot select"


@pytest.mark.parametrize("language", ["es", "pt", "en"])
def test_the_page_tells_round_by_round_in_words_what_is_sure(tmp_path: Path, language: str) -> None:
    project = two_rounds(tmp_path)
    annot(project, "report", "--language", language)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = html[html.index('id="rounds"') : html.index("</section>", html.index('id="rounds"'))]
    better, unsure = {
        "es": ("mejor", "no se puede saber"),
        "pt": ("melhor", "não dá para saber"),
        "en": ("better", "cannot tell"),
    }[language]
    assert f": {better}.</li>" in section
    assert unsure in section
    assert section.count('class="whisker"') == 5
    assert "run-2" in section


def test_a_lead_of_one_country_sees_no_rounds_of_all(tmp_path: Path) -> None:
    shown = gather(two_rounds(tmp_path), argilla_runs=True)
    assert len(shown.found.rounds) == 2
    assert only(shown, ["MX"]).found.rounds == ()
