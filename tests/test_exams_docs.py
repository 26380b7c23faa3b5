"""The page about exams, run line by line, with simulated people where people check."""

import json
from pathlib import Path

import pytest
from doc_pages import mexico, page
from fake_argilla import person
from finished_runs import finished_run, ranked_slates
from test_train_exams import bbq_rows

from annotation.exams.checked import exam_questions
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.exam.check import Check
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect
from sync.team import add_team


def check_as_the_team(project: Project) -> None:
    """What two people do between the push and the sync: everything is right, and the last of five options goes."""
    api = connect(project)
    (dataset,) = [found for found in api.datasets() if found.ready]
    items = {item.id: item for item in project.ledger.items("exam")}
    for name in ("mx_1", "mx_2"):
        client = AnnotatorClient(api.url, name, project.secrets()["passwords"][name])
        for record in client.queue(dataset.id):
            item = items[record["external_id"]]
            gone = len(item.content["options"]) - 1 if len(item.content["options"]) > 4 else None
            said = Check("right", removed=gone, feature="region explicit")
            client.answer(record["id"], TASKS["exam"].values(item, said))


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    with page("exams.md") as blocks, mexico(tmp_path) as (run, project):
        folder = project.folder
        said = run(next(blocks))
        assert "3 new questions would come from 5 questions of examen.csv; left out: 2." in said
        assert "exact or natural science" in said
        run("annot up")
        add_team(project, connect(project), [person("mx_1"), person("mx_2")])
        push, sync, status = next(blocks).splitlines()
        run(push)
        check_as_the_team(project)
        run(sync)
        assert "Examen de muestra" in run(status)
        said = run(next(blocks))
        assert "3 questions of 1 exam written" in said
        assert run("annot exams add exams/data/Spanish.parquet").startswith("0 new questions")
        finished_run(folder / "runs" / "my-run", ranked_slates(6), 0.1)
        rows = [json.dumps(row) for row in bbq_rows(4)]
        (folder / "esbbq_age.jsonl").write_text("\n".join(rows), encoding="utf-8")
        said = run(next(blocks))
        assert "my-run: exams, asked in the chat template" in said
        assert "esbbq_age, plain: the base is not above chance" in said
    first, *_, third = exam_questions(project.ledger, project.settings)
    assert (first.answer, first.regional_feature, len(third.options)) == (0, "region explicit", 4)
    assert (folder / "exams" / "submission" / "MX-es-examen-de-muestra.json").exists()
