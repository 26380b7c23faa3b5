"""The page about giving a model away, run line by line against a stand-in for the Hub."""

from pathlib import Path

import httpx
import pytest
from doc_pages import Shell, page
from finished_runs import QUICK, finished_run, ranked_slates
from hub_server import TOKEN, HubStandIn, environment
from released_data import SECRETS, judged_project


@pytest.mark.timeout(900)
def test_the_page_works_as_it_is_written_and_so_does_the_one_about_the_demo(tmp_path: Path) -> None:
    folder = tmp_path / "mexico"
    judged_project(folder)
    finished_run(folder / "runs" / "first-try", ranked_slates(24), 1.0, overrides=QUICK)
    settings = folder / "annot.toml"
    settings.write_text(settings.read_text().partition("[release]")[0])
    with HubStandIn() as hub, page("release.md") as blocks:
        run = Shell(folder, environment(hub))
        run(next(blocks))
        assert "put right" not in run(next(blocks))
        assert "run.json/recipe/dpo/beta" in run(next(blocks))
        token, dry_run, real = next(blocks).splitlines()
        shown = run(f"{token}\n{dry_run}")
        assert "Would go to the dataset team/our-model" in shown
        assert "data/rankings.parquet" in shown
        assert hub.requests == []
        done = run(f"{token}\n{real}")
        assert "(private; " in done
        assert TOKEN not in done
        model, dataset = (hub.repositories[kind, "team/our-model"] for kind in ("model", "dataset"))
        assert b'name = "team/our-model"' in model.files["README.md"]
        assert b"license: cc-by-4.0" in dataset.files["README.md"]
        assert not any(secret.encode() in content for secret in SECRETS for content in dataset.files.values())
        run(f"{token}\n{real}")
        assert [len(repository.commits) for repository in (model, dataset)] == [1, 1]
        run(next(blocks))
        assert (folder / "our-space" / "demo.json").exists()
        told = run(next(blocks))
        assert "Paper about first-try" in told
        assert "put right" not in told
        assert "words.md" in told
        assert "of 5:00 at 130 words a minute" in run(next(blocks))
        assert (folder / "our-talk" / "slides.html").exists()
        assert "stands there" in run('annot trace our-talk/slides.md "50 %"')
        run(f"{token}\nannot release first-try --ungated --space our-space --push team/our-model")
        assert {*hub.repositories} == {
            *((kind, "team/our-model") for kind in ("model", "dataset", "space")),
            ("dataset", "team/our-model-votes"),
        }
    run = Shell(folder)
    with page("demo.md", {"RUN": "first-try"}) as blocks, run.page_of(next(blocks)) as url:
        assert "gradio" in httpx.get(url).text
