"""Judgements that a file holds come in apart from the team's: under pseudonyms, once, and to be forgotten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from projects import fill, make_project
from typer.testing import CliRunner

from annotation.cli import app
from annotation.data_facts import data_facts
from annotation.errors import SourceError
from annotation.files import read_parquet
from annotation.lineage.forget import find_forgettable, forget, plan
from annotation.lineage.subject import Home, find_subject
from annotation.lineage.trace import trace
from annotation.project import Project
from annotation.prompts.add import add_prompts
from annotation.prompts.change import Which, change_prompts
from annotation.tables import export
from annotation.tally import count
from annotation.tasks.ranking.file_judgements import FILE_RANKINGS, count_judgements
from train.data.read import read_slates

Q1, Q2 = "¿Qué se lleva a una posada?", "¿Cómo se saluda a una vecina mayor?"
A, B, C = "Un ponche casero.", "Cualquier cosa sirve.", "Fruta de temporada."
EVA = "Eva@Example.org"
SETTINGS = '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n[task.ranking]\ntarget = 4\noverlap = 2\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project", SETTINGS)


def pair(question: str = Q1, chosen: str = A, rejected: Any = B, **more: Any) -> dict[str, Any]:
    return {"question": question, "chosen": chosen, "rejected": rejected, **more}


def write(folder: Path, *rows: dict[str, Any], name: str = "v0.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(folder / name)


def exported(project: Project, folder: Path) -> list[dict[str, Any]]:
    export(project, folder)
    return list(read_parquet(folder / FILE_RANKINGS)) if (folder / FILE_RANKINGS).exists() else []


def test_judgements_come_in_under_pseudonyms_and_a_second_reading_adds_none(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path,
        pair(username=EVA),
        pair(username=EVA.lower()),
        pair(Q2, username="leo_77", both_bad=True),
        pair(Q2, A, C, username="leo_77", country="Chile", tie=True),
    )
    added = add_prompts(project, source)
    assert (len(added.kept), added.candidates, added.judgements) == (3, 6, 3)
    assert "with 6 answers and 3 judgements" in added.sentence()
    assert added.as_json()["judgements"] == 3
    rows = project.ledger.rows("select * from file_judgements order by place")
    assert {row["annotator"] for row in rows} == {project.pseudonym("eva@example.org"), project.pseudonym("leo_77")}
    assert [row["country"] for row in rows] == ["MX", "MX", "CL"]
    copy = tmp_path / "otro nombre.jsonl"
    shutil.copy(source, copy)
    assert [add_prompts(project, path).judgements for path in (source, str(copy))] == [0, 0]
    project.ledger.close()
    stored = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    for secret in (b"leo_77", b"eva@example", b"Eva@"):
        assert secret not in stored


def test_rows_without_a_name_that_are_alike_count_each(project: Project, tmp_path: Path) -> None:
    assert add_prompts(project, write(tmp_path, pair(), pair())).judgements == 2
    assert add_prompts(project, write(tmp_path, pair(), pair(), pair(), name="more.jsonl")).judgements == 1
    rows = exported(project, tmp_path / "out")
    assert len({row["annotator"] for row in rows}) == len(rows) == 3
    (slate,) = read_slates(tmp_path / "out" / FILE_RANKINGS).slates
    assert slate.people == 3
    add_prompts(project, write(tmp_path, pair(chosen=B, rejected=A), name="against.jsonl"))
    exported(project, tmp_path / "out")
    assert read_slates(tmp_path / "out" / FILE_RANKINGS).slates[0].people == 4


def test_what_a_person_said_last_of_the_same_answers_is_exported_and_trained_on(
    project: Project, tmp_path: Path
) -> None:
    for number, row in enumerate((pair(username=EVA), pair(chosen=B, rejected=A, username=EVA))):
        assert add_prompts(project, write(tmp_path, row, name=f"{number}.jsonl")).judgements == 1
    (row,) = exported(project, tmp_path / "out")
    assert dict(zip(row["candidates"], row["ranks"], strict=True)) == {B: 1, A: 2}
    assert len(read_slates(tmp_path / "out" / FILE_RANKINGS).slates) == 1


def test_files_of_one_name_without_names_do_not_contradict_each_other(project: Project, tmp_path: Path) -> None:
    for row in (pair(), pair(chosen=B, rejected=A)):
        add_prompts(project, write(tmp_path, row))
    assert len({row["annotator"] for row in exported(project, tmp_path / "out")}) == 2
    read_slates(tmp_path / "out" / FILE_RANKINGS)


def test_a_rewrite_without_a_ranking_is_left_out_with_its_reason(project: Project, tmp_path: Path) -> None:
    row = {"prompt": Q1, "response_a": A, "response_b": B, "winner": "", "rewrite": C}
    added = add_prompts(project, write(tmp_path, row))
    assert [reason for reason, _, _ in added.reasons()] == ["a rewrite alone compares no answers"]


def test_a_dry_run_counts_and_leaves_no_trace(project: Project, tmp_path: Path) -> None:
    added = add_prompts(project, write(tmp_path, pair(username=EVA)), dry_run=True)
    assert added.judgements == 1
    assert not (project.folder / "ledger.sqlite").exists()
    assert not (project.folder / "secrets.toml").exists()


def test_nothing_of_the_teams_is_counted_with_them(project: Project, tmp_path: Path) -> None:
    fill(project, 2)
    before = count(project.ledger, project.settings), data_facts(project)["tasks"], data_facts(project)["people"]
    add_prompts(project, write(tmp_path, pair(username=EVA), pair(Q2, username="mx_1")))
    after = count(project.ledger, project.settings), data_facts(project)["tasks"], data_facts(project)["people"]
    assert after == before
    assert len(exported(project, tmp_path / "out")) == 2
    assert {row["prompt"] for row in read_parquet(tmp_path / "out" / "rankings.parquet")}.isdisjoint({Q1, Q2})


def test_an_export_holds_them_as_rankings_that_can_be_trained_on(project: Project, tmp_path: Path) -> None:
    ranked = {"prompt": Q2, "candidates": [A, B, C], "ranks": [0, None, 2], "annotator": "leo_77"}
    source = write(tmp_path, pair(username=EVA), pair(Q1, username="leo_77", tie=True), pair(Q1, C, B, both_bad=True))
    add_prompts(project, source)
    add_prompts(project, write(tmp_path, ranked, name="ranks.jsonl"))
    rows = exported(project, tmp_path / "out")
    by_prompt = {(row["prompt"], row["annotator"]): row for row in rows}
    eva = by_prompt[Q1, project.pseudonym("eva@example.org")]
    assert dict(zip(eva["candidates"], eva["ranks"], strict=True)) == {A: 1, B: 2}
    leo = by_prompt[Q2, project.pseudonym("leo_77")]
    assert dict(zip(leo["candidates"], leo["ranks"], strict=True)) == {A: 1, B: None, C: 2}
    assert [row["ranks"] for row in rows if row["none_acceptable"]] == [[]]
    same = [row for row in rows if row["prompt"] == Q1 and A in row["candidates"]]
    assert len({(row["slate_id"], *row["candidate_ids"]) for row in same}) == 1
    assert f"data_files: {FILE_RANKINGS}" in (tmp_path / "out" / "README.md").read_text()
    slates = read_slates(tmp_path / "out" / FILE_RANKINGS)
    assert sorted(len(slate.answers) for slate in slates.slates) == [2, 3]
    assert [drop.reason for drop in slates.excluded] == ["none is acceptable"]


def test_an_export_that_is_read_into_another_project_brings_all_that_was_said(project: Project, tmp_path: Path) -> None:
    fill(project, 1)
    export(project, tmp_path / "out")
    other = make_project(tmp_path / "other", SETTINGS)
    added = add_prompts(other, str(tmp_path / "out" / "rankings.parquet"))
    assert (len(added.kept), added.candidates, added.judgements) == (1, 4, 2)
    told = {row["annotator"] for row in other.ledger.rows("select annotator from file_judgements")}
    assert told == {project.pseudonym("mx_1"), project.pseudonym("mx_2")}
    exported(other, tmp_path / "again")
    ranks = [
        {tuple(sorted(zip(row["candidates"], row["ranks"], strict=True))) for row in read_parquet(path)}
        for path in (tmp_path / "out" / "rankings.parquet", tmp_path / "again" / FILE_RANKINGS)
    ]
    assert ranks[0] == ranks[1]


def test_a_removed_prompts_judgements_do_not_count_until_it_is_back(project: Project, tmp_path: Path) -> None:
    first, _ = add_prompts(project, write(tmp_path, pair(), pair(Q2))).kept
    change_prompts(project, Which((first.id,)), {"removed": True})
    assert [row["prompt"] for row in exported(project, tmp_path / "out")] == [Q2]
    change_prompts(project, Which(file="v0.jsonl"), {"removed": True})
    assert exported(project, tmp_path / "out") == []
    change_prompts(project, Which(file="v0.jsonl"), {"removed": False})
    assert len(exported(project, tmp_path / "out")) == 2


def test_answers_that_were_left_out_are_in_no_judgement(project: Project, tmp_path: Path) -> None:
    questions = ("¿Qué se come el día de muertos?", "¿Cómo se pide fiado?", "¿Qué música suena en una boda?")
    rows = [pair(question, f"Depende: {question}", "ERROR DE RED. VUELVA A CARGAR.") for question in questions]
    rows += [pair("¿Qué se regala en Reyes?", "Se hace en familia.", None), pair("¿Cuándo se cena?", A, A)]
    added = add_prompts(project, write(tmp_path, *rows))
    assert (added.judgements, added.candidates) == (0, 4)
    assert [reason for reason, _, _ in added.reasons()] == [
        "the rejected answer of many prompts (--repeated takes it)",
        "answer empty or too long",
        "identical answers",
    ]
    assert add_prompts(project, write(tmp_path, *rows), repeated=True).judgements == 3


# -- forgetting and tracing ---------------------------------------------------------------------------------


def facts_of(project: Project, what: str) -> list[str]:
    home = Home(project.folder, project)
    return [node.line for node in trace(home, find_subject(home, what)).below if node.kind == "in files"]


def test_a_trace_of_a_person_a_prompt_and_an_answer_shows_them(project: Project, tmp_path: Path) -> None:
    (prompt,) = add_prompts(project, write(tmp_path, pair(username=EVA), pair(chosen=C, username="leo_77"))).kept
    answer = next(one for one in project.ledger.candidates() if one.text == B)
    for what, number in ((EVA, "1 judgement"), (prompt.id, "2 judgements"), (answer.id, "2 judgements")):
        (line,) = facts_of(project, what)
        assert line.startswith(f"{number} in files that were read")


@pytest.mark.parametrize("by_pseudonym", [False, True])
def test_somebody_known_from_a_file_alone_is_forgotten_for_good(
    project: Project, tmp_path: Path, by_pseudonym: bool
) -> None:
    source = write(tmp_path, pair(username=EVA), pair(Q2, username="leo_77"))
    add_prompts(project, source)
    pseudonym, home = project.pseudonym("eva@example.org"), Home(project.folder, project)
    subject = find_forgettable(home, pseudonym if by_pseudonym else "eva@example.org")
    meant = plan(home, subject)
    assert (meant.id, meant.judgements) == (pseudonym, 1)
    assert "1 judgement that files held" in meant.goes()
    forget(home, subject)
    assert count_judgements(project.ledger, annotator=pseudonym) == 0
    assert [row["prompt"] for row in exported(project, tmp_path / "out")] == [Q2]
    again = write(tmp_path, pair(username=EVA), pair(chosen=C, username=EVA), name="again.jsonl")
    assert add_prompts(project, again).judgements == 0


def test_a_member_of_the_team_is_found_by_pseudonym_whatever_files_say_of_them(
    project: Project, tmp_path: Path
) -> None:
    fill(project, 1)
    add_prompts(project, write(tmp_path, pair(username="mx_1")))
    home = Home(project.folder, project)
    subject = find_forgettable(home, project.pseudonym("mx_1"))
    assert (plan(home, subject).answers, plan(home, subject).judgements) == (1, 1)
    forget(home, subject)
    assert not project.ledger.rows("select 1 from responses where annotator = 'mx_1'")
    assert count_judgements(project.ledger) == 0


def test_a_forgotten_prompts_judgements_are_blank_and_do_not_come_back(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path, pair(username=EVA), pair(Q2, username="leo_77"))
    prompt, _ = add_prompts(project, source).kept
    home = Home(project.folder, project)
    forget(home, find_forgettable(home, prompt.id))
    add_prompts(project, source)
    add_prompts(project, write(tmp_path, pair(chosen=C), pair(Q2), name="more.jsonl"))
    assert count_judgements(project.ledger, prompt_id=prompt.id) == 0
    assert {row["prompt"] for row in exported(project, tmp_path / "out")} == {Q2}


# -- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--json"]])
def test_a_source_of_which_nothing_comes_ends_with_a_sentence(
    project: Project, tmp_path: Path, more: list[str]
) -> None:
    source = write(
        tmp_path,
        {"prompt": [{"role": "user", "content": Q1}], "chosen": A, "rejected": [{"role": "user", "content": B}]},
    )
    done = CliRunner().invoke(app, ["prompts", "add", source, "--project", str(project.folder), *more])
    assert isinstance(done.exception, SourceError)
    assert "Nothing came of the 1 row of v0.jsonl: unclear conversation 1 (v0.jsonl:1:" in str(done.exception)
    assert not done.output


def test_answers_to_prompts_that_nobody_has_end_with_a_sentence(project: Project, tmp_path: Path) -> None:
    add_prompts(project, write(tmp_path, {"prompt": Q1}))
    source = write(tmp_path, {"prompt": Q2, "answer": A}, name="b.jsonl")
    done = CliRunner().invoke(app, ["draft", "--from", source, "--project", str(project.folder)])
    assert "No answer came of the 1 row of b.jsonl: unknown prompt 1 (b.jsonl:1)" in str(done.exception)


def test_answers_of_every_form_are_drafts_of_the_prompts_they_belong_to(project: Project, tmp_path: Path) -> None:
    add_prompts(project, write(tmp_path, {"prompt": Q1}, {"prompt": Q2}))
    arena = {"prompt": Q1, "response_a": A, "response_b": B, "model_a": "x", "model_b": "y", "winner": "model_a"}
    rated = {"instruction": Q2, "completions": [{"response": A, "model": "x"}, {"response": C, "model": "z"}]}
    for number, row in enumerate((arena, rated)):
        source = write(tmp_path, row, name=f"{number}.jsonl")
        CliRunner().invoke(app, ["draft", "--from", source, "--project", str(project.folder)], catch_exceptions=False)
    assert [(one.text, one.model) for one in project.ledger.candidates()] == [(A, "x"), (B, "y"), (A, "x"), (C, "z")]


def test_what_is_not_taken_of_a_file_of_answers_is_said(project: Project, tmp_path: Path) -> None:
    add_prompts(project, write(tmp_path, {"prompt": Q1}))
    source = write(tmp_path, pair(mood="ok"), name="b.jsonl")
    done = CliRunner().invoke(app, ["draft", "--from", source, "--project", str(project.folder)])
    said = " ".join(done.output.split())
    assert "1 judgement of these answers stays in b.jsonl" in said
    assert 'Not read (cells with something in them): "mood" (1)' in said


def test_whoever_signed_a_judgement_alone_is_masked_in_the_texts_too(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "signed.jsonl"
    said = {"user_id": "nube_92", "values": {"preference": {"value": "response_a"}}, "status": "submitted"}
    fields = {
        "prompt": "¿Qué se lleva a una posada?",
        "response_a": "Pregunta a nube_92, que sabe.",
        "response_b": "No hay costumbre alguna.",
    }
    source.write_text(json.dumps({"fields": fields, "responses": [said]}), encoding="utf-8")
    assert add_prompts(project, str(source)).judgements == 1
    assert not [one for one in project.ledger.candidates() if "nube_92" in one.text]
