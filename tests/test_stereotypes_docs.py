"""The page about stereotypes, run line by line, with people who consent, rate, share and check through Argilla."""

import json
from pathlib import Path

import pytest
from doc_pages import Shell, mexico, page
from fake_argilla import person
from finished_runs import finished_run, ranked_slates

from annotation.project import Project
from annotation.stereotypes.pairs import checked_pairs
from annotation.tasks import TASKS
from annotation.tasks.form import GUARD
from annotation.tasks.pair_check.check import Check
from annotation.tasks.share.sheet import Written
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Item
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect
from sync.team import add_team

TEAM = tuple(f"mx_{number}" for number in range(1, 6))
SEEGULL = """identity,attribute,stereotype,non_stereotype,unsure,mean_offensive_score
colombianos,buenos para el baile,3,0,0,0.5
cubanos,platicadores,2,1,0,-1
"""
TEXTS = ("toman mate", "alegres", "madrugadores", "picante", "bailan bien")


def answers_of(item: Item) -> object:
    """What everybody says; whoever shares, shares one thing about one country."""
    match item.task:
        case "stereotype":
            return Rating(5, 1, "others")
        case "share" if item.content["target"] == "MX":
            return Written("share", lines=("bailan bien",))
        case "share":
            return Written("nothing")
        case "pair_check":
            return Check("right")
    raise AssertionError(item.task)


def answer_as_the_team(project: Project, *, consenting: bool) -> dict[str, int]:
    """Everybody answers all that they are shown; the first person does not consent. Task -> records that were shown."""
    api = connect(project)
    items = {item.id: item for task in TASKS for item in project.ledger.items(task)}
    seen = dict[str, int]()
    # The consent stands first: nothing is guarded that is shown before it.
    datasets = sorted((found for found in api.datasets() if found.ready), key=lambda found: GUARD in found.rules)
    for name in TEAM:
        client = AnnotatorClient(api.url, name, project.secrets()["passwords"][name])
        for dataset in datasets:
            for record in client.queue(dataset.id):
                item = items[record["external_id"]]
                if item.task == "consent":
                    values = {"answer": {"value": "yes" if name != TEAM[0] else "no"}}
                    if consenting:
                        client.answer(record["id"], values)
                    continue
                assert name != TEAM[0], "who did not consent is shown nothing"
                seen[item.task] = seen.get(item.task, 0) + 1
                client.answer(record["id"], TASKS[item.task].values(item, answers_of(item)))
    return seen


@pytest.mark.server
@pytest.mark.timeout(900)
def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    words = {"FOLDER": "given", "--for UY --for MX": "--for MX"}
    with page("stereotypes.md", words) as blocks, mexico(tmp_path) as (run, project):
        assert "4 new stereotypes from 4 rows" in run(next(blocks))
        add_team(project, connect(project), [person(name) for name in TEAM])
        push, *rest = next(blocks).splitlines()
        run(push)
        assert answer_as_the_team(project, consenting=True) == {"stereotype": 16, "share": 8}
        assert "Consent to see such texts: MX 4." in run("\n".join(rest))
        add, pairs, push, sync = next(blocks).splitlines()
        assert "1 shared stereotype taken in" in run(add)
        assert "made of 4 associations" in run(pairs)
        run(push)
        assert answer_as_the_team(project, consenting=False)["pair_check"] > 8
        run(sync)
        assert len(checked_pairs(project.ledger, project.settings)) > 8
        finished_run(project.folder / "runs" / "my-run", ranked_slates(6), 0.1)
        assert "cannot tell" in run(next(blocks))
        run(next(blocks))
        (project.folder / "seegull_es_MX.csv").write_text(SEEGULL, encoding="utf-8")
        assert "2 new stereotypes from 2 rows" in run(next(blocks))
        run(next(blocks))
        listed = next(blocks).splitlines()
        run(listed[0])
        assert "toman mate" in Shell(project.folder)(listed[1]), "whoever asks for the texts is shown them"
        assert json.loads(run(listed[2]))
        run(next(blocks))
        asking, told = next(blocks).splitlines()
        run(f"! {asking.partition('#')[0]}")
        run(told)
        assert (project.folder / "given" / "README.md").exists()
    assert not [text for text in TEXTS if text in run.printed], "a text was printed that nobody asked for"
    exported = (project.folder / "exports/stereotypes/pairs.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in exported.splitlines()]
    assert {(row["use"], row["licence"]) for row in rows} == {("evaluation-only", "CC-BY-4.0")}
