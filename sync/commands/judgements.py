"""Commands of judgements, brought home, counted and written: `annot sync`, `status` and `export`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, app, open_project
from annotation.errors import SettingsError


@app.command(epilog="Example: annot sync --watch")
def sync(
    folder: Folder = Path(),
    watch: Annotated[bool, typer.Option("--watch", help="Keep going until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(min=1, help="With --watch, on a server without a change feed: seconds between two looks.")
    ] = 30,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, whatever the server's change feed tells; daily anyway.")
    ] = False,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Start a failed or lost run again.")] = False,
    json: Json = False,
) -> None:
    """Bring the judgements home, show how far the quotas are, and start the run when all are met."""
    from annotation.screen import print_json, progress
    from sync.argilla.client import connect
    from sync.cycle import Synced, follow, sync_once
    from sync.moving.unfinished import unfinished
    from sync.reporting.terminal import show

    project = open_project(folder)
    if begun := unfinished(project):
        print(f"annot: {begun}", file=sys.stderr)
    api = connect(project)
    first = True

    def tell(synced: Synced) -> None:
        nonlocal first
        if json:
            print_json(synced.as_json())
        else:
            print(synced.sentence())
            show(synced.report, brief=not first)
        sys.stdout.flush()  # whoever reads a pipe has it now, and not when the watch has filled a buffer
        first = False

    if not watch:
        with progress("pulling") as bar:
            synced = sync_once(project, api, whole=full, relaunch=relaunch, progress=bar)
        tell(synced)
        return
    if relaunch:
        sync_once(project, api, relaunch=True)
    print("annot: watching; Ctrl-C ends it and loses nothing.", file=sys.stderr)
    follow(project, api, every_s=every, whole=full, tell=tell)


@app.command(epilog="Example: annot status --json")
def status(folder: Folder = Path(), json: Json = False) -> None:
    """Say how the project stands and what comes next. Reads only what is on this machine."""
    from annotation.backups.rolling import standing
    from annotation.hosting import embedded
    from annotation.screen import print_json, progress, table
    from sync.moving.unfinished import unfinished
    from sync.reporting.next_step import next_step, stock
    from sync.reporting.status import report
    from sync.reporting.terminal import show

    project = open_project(folder)
    url = project.settings.argilla.url
    begun = unfinished(project)
    server = embedded.state(project.argilla_home)
    counts = stock(project)
    with progress("counting") as bar:
        found = report(project, progress=bar)
    following = next_step(project, found, argilla_runs=server.running, have=counts)
    if json:
        print_json(
            {
                **counts,
                # Of a server elsewhere only the address is known here.
                "server": {"url": url, "embedded": False} if url else {**asdict(server), "embedded": True},
                **found.as_json(),
                "move": begun,
                "backup": standing(project),
                "next": following,
            }
        )
        return
    # With pictures alone, no slates of texts are no news.
    shown = {name: number for name, number in counts.items() if number or name != "slates" or "pictures" not in counts}
    heads = {"usd": "spent ($)", "pushed_aside": "pushed control items, tests"}
    table("", [heads.get(name, name) for name in shown], [tuple(shown.values())])
    here = f"running at {server.url}. {server.detail}".rstrip() if server.running else server.detail
    print(f"Argilla: {url or here.removeprefix('Argilla ')}")
    for trouble in filter(None, (begun, standing(project))):
        print(trouble)
    show(found)
    print(f"Next: {following}")


@app.command(epilog="Example: annot export --to exports")
def export(
    folder: Folder = Path(),
    to: Annotated[Path | None, typer.Option(help="Folder to write into; default: exports in the project.")] = None,
    run: Annotated[str | None, typer.Option(help="Give away this finished run: the same as `annot release`.")] = None,
    merged: Annotated[bool, typer.Option("--merged", hidden=True)] = False,
    dtype: Annotated[str | None, typer.Option(hidden=True)] = None,
    ungated: Annotated[bool, typer.Option("--ungated", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Write what people said, under pseudonyms: rankings, preferences also in TRL's form, and every other task's."""
    from annotation.screen import counted, print_json, progress
    from annotation.tables import export as write
    from annotation.tasks import TASKS

    if run is not None:
        print("annot: `annot release` gives a run away; `annot export --run` does the same.", file=sys.stderr)
        # By name: sync and train never import each other.
        release = next(c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == "release")
        release(run=run, folder=folder, to=to, merged=merged, dtype=dtype, ungated=ungated, json=json)
        return
    if merged or ungated or dtype:
        raise SettingsError("--merged, --dtype and --ungated speak of a run; name it with --run.")
    project = open_project(folder)
    with progress("exporting") as bar:
        done = write(project, to or project.folder / "exports", progress=bar)
    if not any(done.rows.values()):
        print("annot: there is no judgement yet, so the files hold no rows; `annot sync` brings them.", file=sys.stderr)
    if json:
        print_json(asdict(done))
        return
    for file in done.files:
        print(f"{done.rows[file.name]:>9,} rows in {file}")
    if done.typed:
        print(
            f"{counted(done.typed, 'row has', 'rows have')} a text that somebody typed. Names of people other than the "
            "team are not masked: read those texts before you publish them."
        )
    if done.removed_prompts:
        print(f"Left out: {counted(done.removed_prompts, 'removed prompt')} and what was answered to them.")
    if done.left_out:
        told = ", ".join(f"{TASKS[name].title} {number}" for name, number in done.left_out.items())
        print(f"Left out: answers about texts that may hurt ({told}); `annot stereotypes export` writes what they say.")
