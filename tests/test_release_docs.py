"""The page about giving a model away, run line by line against a stand-in for the Hub."""

import os
import re
import subprocess
import sys
from pathlib import Path

from finished_runs import QUICK, finished_run, ranked_slates
from hub_server import TOKEN, HubStandIn, environment
from released_data import SECRETS, judged_project

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "release.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    assert len(BLOCKS) == 5
    folder = tmp_path / "mexico"
    judged_project(folder)
    finished_run(folder / "runs" / "first-try", ranked_slates(24), 1.0, overrides=QUICK)
    settings = folder / "annot.toml"
    settings.write_text(settings.read_text().partition("[release]")[0])
    path = {"PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    with HubStandIn() as hub:

        def run(script: str) -> str:
            done = subprocess.run(
                ["bash", "-c", f"set -euo pipefail\n{script}"],
                cwd=folder,
                env={**os.environ, **environment(hub), **path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
            return done.stdout + done.stderr

        said, folders, trace, push, space = BLOCKS
        run(said)
        assert "put right" not in run(folders)
        assert "run.json/recipe/dpo/beta" in run(trace)
        token, dry_run, real = push.splitlines()
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
        run(space)
        assert (folder / "our-space" / "demo.json").exists()
        run(f"{token}\nannot release first-try --ungated --space our-space --push team/our-model")
        assert {*hub.repositories} == {
            *((kind, "team/our-model") for kind in ("model", "dataset", "space")),
            ("dataset", "team/our-model-votes"),
        }
