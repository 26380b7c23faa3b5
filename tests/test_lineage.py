"""`annot trace`: from a number in a card back to what a call cost, and from a person forward to a release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from lineage_projects import ANA, LEO, NAME, Chain, answer, chain_in, nodes, response_id
from projects import annot, make_project
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SourceError
from annotation.lineage.subject import Home, find_subject
from annotation.types import Person


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return chain_in(tmp_path_factory.mktemp("chain") / "project")


def traced(chain: Chain, *what: str) -> dict[str, Any]:
    """What the command says as JSON; in no trace does a user name or a name stand."""
    said = CliRunner().invoke(app, ["trace", *what, "--json", "--project", str(chain.project.folder)]).output
    assert not [name for name in (ANA, LEO, NAME) if name in said]
    found: dict[str, Any] = json.loads(said)
    return found


def test_a_number_of_a_card_leads_back_to_its_value_the_run_the_people_and_the_money(chain: Chain) -> None:
    card = chain.project.folder / "exports" / "mexico-1" / "model" / "README.md"
    tree = traced(chain, str(card), "61 %")
    assert len(nodes(tree, "line")) == 2
    assert {value["value"] for value in nodes(tree, "value")} == {0.6125}
    assert "By country" in nodes(tree, "line")[1]["line"]
    (run,) = nodes(tree, "run")
    assert (run["id"], run["snapshot"]) == ("mexico-1", chain.snapshot)
    (used,) = nodes(run, "used")
    assert used["slates"] == {"trained on": 4, "held out": 1}
    assert used["dropped"] == {"too long": 1}
    assert sum(used["pairs"].values()) == 5 * 5
    by = {node["id"]: node["judgements"] for node in nodes(run, "by")}
    assert by == {chain.project.pseudonym(ANA): 6, chain.project.pseudonym(LEO): 6}
    (drafting,) = nodes(run, "drafting")
    assert (drafting["calls"], drafting["usd"]) == (20, pytest.approx(20 * 0.002))
    assert any("preguntas.csv" in node["id"] and "CC BY 4.0" in node["line"] for node in nodes(run, "source"))
    # One step further in: a slate that the run names, its candidates and the very calls.
    slate = traced(chain, nodes(run, "slate")[0]["id"])
    assert {call["usd"] for call in nodes(slate, "call")} == {0.002}
    assert len(nodes(slate, "call")) == 4
    assert nodes(slate, "candidate")[0]["settings"] == {"temperature": 0.7, "seed": 0}


def test_a_pair_of_train_jsonl_leads_to_its_votes_and_to_what_became_of_it(chain: Chain) -> None:
    pair = json.loads((chain.run / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    tree = traced(chain, pair["id"])
    assert {node["annotator"] for node in nodes(tree, "judgement")} == set(map(chain.project.pseudonym, (ANA, LEO)))
    (snapshot,) = nodes(tree, "snapshot")
    assert (snapshot["judgements"], snapshot["preferences"]) == (2, 1)
    (run,) = nodes(tree, "run")
    assert run["pairs"] == {"trained on": 1}
    assert {node["repo"] for node in nodes(run, "release")} == {"team/model", ""}
    assert traced(chain, pair["id"] + ":against") == tree


def test_a_judgement_a_candidate_and_a_prompt_go_forward_to_the_same_run(chain: Chain) -> None:
    slate = chain.slates[0]
    for what in (response_id(slate.id, ANA), slate.seats[0], slate.prompt_id, slate.id):
        (run,) = nodes(traced(chain, what), "run")
        assert run["slates"] == {"trained on": 1}, what
    left_out = chain.ranked[-1].slate_id
    (run,) = nodes(traced(chain, left_out), "run")
    assert (run["slates"], run["dropped"]) == ({}, {"too long": 1})
    one = traced(chain, response_id(slate.id, LEO))
    assert (one["annotator"], one["country"], one["counts"]) == (chain.project.pseudonym(LEO), "MX", True)
    assert "A > B > C = D" in one["line"]
    assert nodes(one, "snapshot")[0]["judgements"] == 1


@pytest.mark.parametrize("way", ["user name", "capitals", "pseudonym", "kind"])
def test_a_person_is_found_by_any_of_their_names_and_shown_by_one(chain: Chain, way: str) -> None:
    name = chain.project.pseudonym(ANA)
    tree = traced(chain, {"user name": ANA, "capitals": ANA.upper(), "pseudonym": name, "kind": f"person:{ANA}"}[way])
    assert tree["id"] == name
    assert nodes(tree, "answered")[0]["items"] == 6
    assert nodes(tree, "wrote")[0]["prompts"] == 1
    (run,) = nodes(tree, "run")
    assert run["slates"] == {"trained on": 4, "held out": 1}


def test_what_a_vote_weighs_is_told_of_the_person_and_of_each_judgement(chain: Chain, tmp_path: Path) -> None:
    folder = shutil.copytree(chain.project.folder, tmp_path / "copy")
    project = make_project(folder, (folder / "annot.toml").read_text())
    project.ledger.decide(ANA, weight=0.35, auto=True, reason=f"{ANA} is new")
    tree = json.loads(annot(project, "trace", f"person:{ANA}", "--json"))
    assert tree["line"].endswith("annotator, MX, votes weigh 0.35, as measured")
    told = nodes(json.loads(annot(project, "trace", f"item:{chain.slates[0].id}", "--json")), "judgement")
    name = project.pseudonym(ANA)
    assert {node["annotator"]: node.get("weight") for node in told} == {name: 0.35, project.pseudonym(LEO): None}
    (own,) = (node["line"] for node in told if node["annotator"] == name)
    assert "; weighs 0.35" in own


def test_a_snapshot_and_a_release_folder_lead_to_the_run_and_back(chain: Chain) -> None:
    assert [run["id"] for run in nodes(traced(chain, chain.snapshot[:6]), "run")] == ["mexico-1"]
    folder = chain.project.folder / "exports" / "mexico-1" / "model"
    release = traced(chain, str(folder))
    assert [snapshot["id"] for snapshot in nodes(release, "snapshot")] == [chain.snapshot]
    assert traced(chain, "exports/mexico-1/model")["below"] == release["below"]


def test_lists_are_short_unless_all_is_asked_for(chain: Chain) -> None:
    assert [node["more"] for node in nodes(traced(chain, chain.snapshot), "…")] == [1]
    assert len(nodes(traced(chain, chain.snapshot, "--all"), "slate")) == 6
    shown = annot(chain.project, "trace", chain.snapshot)
    assert "1 more; --all shows them" in shown


def test_what_is_unknown_or_may_be_several_things_is_one_sentence(chain: Chain) -> None:
    home = Home.open(chain.project.folder)
    with pytest.raises(SourceError, match=r"the name of a run.* or a release's folder"):
        find_subject(home, "nobody")
    with pytest.raises(SourceError, match=r"item:slate0000, item:slate0001, .* say which"):
        find_subject(home, "slate")
    (chain.project.folder / "runs" / chain.slates[0].id).mkdir()
    try:
        with pytest.raises(SourceError, match="run:slate0000, item:slate0000"):
            find_subject(home, "slate0000")
        assert find_subject(home, "item:slate0000").kind == "item"
    finally:
        (chain.project.folder / "runs" / chain.slates[0].id).rmdir()


def test_a_name_that_two_people_have_but_for_capitals_is_asked_about(chain: Chain, tmp_path: Path) -> None:
    folder = shutil.copytree(chain.project.folder, tmp_path / "copy")
    project = make_project(folder, (folder / "annot.toml").read_text())
    project.ledger.add_people([Person(ANA.title(), "", "annotator", "MX", ("es",))])
    home = Home.open(folder)
    with pytest.raises(SourceError, match=f"may mean person:{ANA.title()}, person:{ANA}; say which"):
        find_subject(home, ANA.upper())
    assert find_subject(home, ANA.title()).id == ANA.title()


def test_a_claim_that_no_card_makes_is_refused_with_those_it_makes(chain: Chain) -> None:
    card = chain.project.folder / "exports" / "mexico-1" / "model" / "README.md"
    done = CliRunner().invoke(app, ["trace", str(card), "99 %", "--project", str(chain.project.folder)])
    assert isinstance(done.exception, SourceError)
    assert "it shows 61" in str(done.exception)


def test_a_judgement_that_was_changed_after_the_snapshot_says_so(chain: Chain, tmp_path: Path) -> None:
    folder = shutil.copytree(chain.project.folder, tmp_path / "copy")
    project = make_project(folder, (folder / "annot.toml").read_text())
    later = answer(chain.slates[0], LEO, at="2999-01-01T00:00:00.000000+00:00")
    assert project.ledger.add_responses("server", [later]) == 1
    tree = json.loads(annot(project, "trace", later.response_id, "--json"))
    assert chain.snapshot in nodes(tree, "changed since")[0]["line"]
    assert not nodes(traced(chain, later.response_id), "changed since")


def test_a_run_from_elsewhere_says_what_it_can_without_a_ledger(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.run, tmp_path / "runs" / "mexico-1")
    from annotation.lineage.trace import trace

    home = Home.open(tmp_path)
    tree = trace(home, find_subject(home, "mexico-1")).as_json()
    assert nodes(tree, "used")[0]["slates"] == {"trained on": 4, "held out": 1}
    assert "not on this machine" in nodes(tree, "snapshot")[0]["line"]
    shutil.copytree(chain.project.snapshot_folder(chain.snapshot), tmp_path / "snapshots" / chain.snapshot)
    tree = trace(home, find_subject(home, "mexico-1")).as_json()
    assert {node["judgements"] for node in nodes(tree, "by")} == {6}
    assert "came from elsewhere" in nodes(tree, "slates")[0]["line"]
    assert not (tmp_path / "ledger.sqlite").exists()


def test_damaged_runs_and_snapshots_are_named_and_the_rest_is_told(chain: Chain, tmp_path: Path) -> None:
    folder = shutil.copytree(chain.project.folder, tmp_path / "copy")
    (folder / "runs" / "broken").mkdir()
    (folder / "runs" / "broken" / "run.json").write_text("{")
    other = folder / "snapshots" / "0123456789abcdef"
    other.mkdir()
    (other / "rankings.parquet").write_bytes(b"PAR1 and no more")
    project = make_project(folder, (folder / "annot.toml").read_text())
    tree = json.loads(annot(project, "trace", ANA, "--json"))
    assert [run["id"] for run in nodes(tree, "run")] == ["mexico-1"]
    said = " ".join(node["line"] for node in nodes(tree, "unknown"))
    assert "broken" in said
    assert "0123456789abcdef: damaged" in said
    assert "damaged" in annot(project, "trace", "0123456789abcdef")
