"""Commands of the place where people work: `annot up`, `doctor`, `move`, and `quickstart`, the whole way."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app, open_project
from annotation.commands.host import DATABASE_VARIABLE, given_database
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project

ELSEWHERE = 'docs/argilla.md, "People elsewhere"'


@app.command(epilog="Example: annot up, then open the address that it prints; annot up --host 0.0.0.0 for a network.")
def up(
    folder: Folder = Path(),
    host: Annotated[
        str, typer.Option(help="Listen on this address of the machine as well; 0.0.0.0: on all. Not remembered.")
    ] = "127.0.0.1",
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Work on a PostgreSQL, postgresql://user:password@host/name; remembered. "
            f"Better in {DATABASE_VARIABLE}: a shell remembers its lines.",
        ),
    ] = "",
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show what Argilla says, and stop it at Ctrl-C or SIGTERM.")
    ] = False,
    json: Json = False,
) -> None:
    """Start Argilla for this project on this machine; the first time it builds its environment."""
    from annotation.backups.rolling import keep_before_upgrade, rolling, standing
    from annotation.hosting import embedded
    from annotation.hosting.address import HOST, exposure
    from annotation.hosting.foreground import accompany
    from annotation.screen import print_json, progress
    from sync.moving.unfinished import unfinished
    from sync.reporting.next_step import next_step
    from sync.reporting.status import report

    project = open_project(folder)
    if project.settings.argilla.url:
        raise SettingsError(
            f"{project.folder / 'annot.toml'}: argilla.url names a server of yours; empty it to use the embedded one."
        )
    address = given_database(database) or project.settings.argilla.database

    def say(line: str) -> None:
        print(f"annot: {line}", file=sys.stderr)

    with progress("backup before the upgrade") as bar:
        project.require_ledger()
        keep_before_upgrade(project, say, bar)
    if foreground:
        accompany(project.argilla_home, lambda line: print(line, flush=True))
    server = embedded.start(
        project.argilla_home,
        port=project.settings.argilla.port,
        host=host,
        database=address,
        backup=rolling(project),
        say=say,
    )
    people = sum(person.active for person in project.ledger.people())
    exposed = exposure(server.host, server.url, people)
    trouble = [line for line in (server.detail, unfinished(project), standing(project)) if line]
    if json:
        print_json({**asdict(server), "exposed": exposed, "trouble": trouble})
        if foreground:
            attend_argilla(project)
        return
    whom = "for this machine alone" if server.host == HOST else "for others too"
    print(f"Argilla {server.version} answers at {server.url}, {whom}; `annot down` stops it.")
    for line in (*exposed, *trouble):
        print(line)
    if server.host == HOST:
        print(f"Others get in with --host 0.0.0.0 on the same network, or by a tunnel, or by a Space: {ELSEWHERE}.")
    secrets = project.argilla_home / "secrets.json"
    who = embedded.owner(project.argilla_home).username
    print(f"Log in as {who}; the password is in {secrets}, unless somebody changed it in Argilla: then theirs stays.")
    if foreground:
        print("Ctrl-C stops it.", flush=True)
        attend_argilla(project)
        return
    print(f"Next: {next_step(project, report(project), argilla_runs=True)}")


def attend_argilla(project: Project) -> None:
    """Stay until told to end; ServerError when a process ended by itself."""
    from annotation.errors import ServerError
    from annotation.hosting.foreground import attend

    if trouble := attend(project.argilla_home):
        raise ServerError(trouble)


@app.command(epilog="Example: annot doctor --json")
def doctor(folder: Folder = Path(), json: Json = False) -> None:
    """Look at this machine, the project and its Argilla, and say what to do. Exit code 1 when something fails."""
    from annotation.screen import print_json, table
    from sync.doctor import examine, worst

    found = examine(folder)
    if json:
        print_json({"level": worst(found), "findings": [asdict(finding) for finding in found]})
    else:
        table("", ("", "what", "found", "what to do"), ((f.level, f.what, f.said, f.remedy) for f in found))
    if worst(found) == "fail":
        raise typer.Exit(1)


@app.command(epilog="Example: annot move --to https://argilla.example.org --dry-run")
def move(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="The Argilla to move to.")],
    folder: Folder = Path(),
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Environment variable with an owner's API key of the new server.")
    ] = "ARGILLA_API_KEY",
    adopt: Annotated[bool, typer.Option("--adopt", help="Accounts that are on the server already are theirs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied; change nothing.")] = False,
    json: Json = False,
) -> None:
    """Copy datasets, people and answers to another Argilla, compare, and go on there; a killed move goes on."""
    from annotation.screen import print_json, progress, table
    from sync.moving.move import move as move_project
    from sync.moving.move import named_address

    project = open_project(folder)
    to = named_address(to)
    key = os.environ.get(api_key_env, "")
    if not key:
        raise SettingsError(
            f"There is no key for {to}: copy an owner's API key from its settings page to the environment as "
            f"{api_key_env}."
        )
    if project.settings.argilla.url.rstrip("/") not in ("", to) and api_key_env == "ARGILLA_API_KEY":
        raise SettingsError(
            f"ARGILLA_API_KEY is the key of {project.settings.argilla.url}; put the new server's key into another "
            "variable and name it with --api-key-env."
        )
    with progress("records") as bar:
        done = move_project(
            project,
            to,
            key,
            key_named=api_key_env,
            adopt=adopt,
            dry_run=dry_run,
            say=lambda line: print(f"annot: {line}", file=sys.stderr),
            progress=bar,
        )
    if json:
        print_json(done.as_json())
        return
    table(
        f"From {done.source} to {done.target}",
        ("dataset", "records", "responses"),
        ((name, *counts) for name, counts in done.datasets.items()),
    )
    made, adopted = ("to be made", "to be adopted") if dry_run else ("made", "adopted")
    for what, names in ((made, done.accounts), (adopted, done.adopted)):
        if names:
            print(f"accounts {what}: {', '.join(names)}")
    for note in done.notes:
        print(f"Note: {note}")
    if dry_run:
        print("Nothing was copied. Next: the same command without --dry-run")
    else:
        print(f"Everything is at {done.target} and was compared; annot.toml names it from now on.")
        print("Hand out the new address: `annot team sheet` prints a log-in sheet for each person.")
        print("Argilla tells no passwords: whoever had changed theirs gets the one that is printed there.")
        if os.environ.get("ARGILLA_API_KEY") not in (None, key):
            print("ARGILLA_API_KEY in this environment is still the old server's: unset it.")


@app.command(epilog="Example: annot quickstart --country BR; annot quickstart --images --simulate needs no people.")
def quickstart(
    folder: Annotated[
        Path | None, typer.Argument(help="Demo project; default: demo, demo-images, demo-simulated, demo-real, …")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulated annotators rank until DONE.")] = False,
    real: Annotated[
        bool,
        typer.Option("--real", help="Train a small real model, of 135 million weights, instead of a tiny random one."),
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Pictures, whose descriptions people rank, instead of questions.")
    ] = False,
    country: Annotated[str, typer.Option(help="Whose quota starts the run when people rank.")] = "MX",
    port: Annotated[int | None, typer.Option(min=1024, max=65535, help="Of Argilla; default: a free one.")] = None,
    json: Json = False,
) -> None:
    """Go the whole way on bundled prompts: select, open Argilla, rank, sync, train."""
    from annotation.screen import print_json
    from sync.demos import PICTURES, QUESTIONS
    from sync.quickstart import run_for_people, run_simulated

    def say(line: str) -> None:
        print(f"annot: {line}", file=sys.stderr)

    demo = PICTURES if images else QUESTIONS
    folder = folder or Path(demo.name + "-simulated" * simulate + "-real" * real)
    if not simulate:
        run_for_people(folder, demo, real=real, country=country, port=port, say=say)
        return
    summary = run_simulated(folder, demo, real=real, port=port, say=say)
    if json:
        print_json(asdict(summary))
    else:
        print(summary.text())
