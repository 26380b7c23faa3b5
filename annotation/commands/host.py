"""Where people rank: the embedded Argilla, its copies, and the way to another one."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from annotation.commands import Folder, Json, app, open_project, server_app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project


DATABASE_VARIABLE = "ANNOT_DATABASE_URL"


def given_database(flag: str) -> str:
    """The address of a PostgreSQL from a flag or ANNOT_DATABASE_URL; a password does not stay on the command line."""
    from annotation.server_database import Database

    if flag and Database.parse(flag).password:
        run_again_without(flag)
    return flag or os.environ.get(DATABASE_VARIABLE, "")


def run_again_without(flag: str) -> NoReturn:
    """Replace this process by the same command with the address in its environment.

    Everybody on this machine can read command lines; the environment of a process only its owner can read.
    """
    os.environ[DATABASE_VARIABLE] = flag
    words = [word for word in sys.orig_argv[1:] if word not in ("--database", flag, f"--database={flag}")]
    print(f"annot: your shell may remember that password; {DATABASE_VARIABLE} keeps it out of there.", file=sys.stderr)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *words])


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
    from annotation import embedded
    from annotation.backup import keep_before_upgrade, rolling, standing
    from annotation.foreground import accompany
    from annotation.screen import print_json, progress
    from annotation.server_address import HOST, exposure
    from sync.move import unfinished
    from sync.report import next_step
    from sync.snapshot import gather
    from sync.trigger import launches

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
    secrets = project.argilla_home / "secrets.json"
    print(f"Log in as {embedded.owner(project.argilla_home).username}; the password is in {secrets}.")
    if foreground:
        print("Ctrl-C stops it.", flush=True)
        attend_argilla(project)
        return
    print(f"Next: {next_step(project, gather(project).quotas, launches(project), argilla_runs=True)}")


def attend_argilla(project: Project) -> None:
    """Stay until told to end; ServerError when a process ended by itself."""
    from annotation.errors import ServerError
    from annotation.foreground import attend

    if trouble := attend(project.argilla_home):
        raise ServerError(trouble)


@app.command(epilog="Example: annot down")
def down(folder: Folder = Path(), json: Json = False) -> None:
    """Stop the embedded Argilla. Everything is kept."""
    from annotation import embedded
    from annotation.screen import print_json

    project = open_project(folder)
    stopped = embedded.stop(project.argilla_home)
    if json:
        print_json({"stopped": stopped})
        return
    again = moved_away(project) or "`annot up` starts it again."
    print(f"The embedded Argilla is stopped. {again}" if stopped else f"No embedded Argilla runs here. {again}")


def moved_away(project: Project) -> str:
    """A sentence where the project's Argilla is not the embedded one; empty otherwise."""
    url = project.settings.argilla.url
    return url and f"This project's Argilla is at {url}; the embedded one is no longer used."


@server_app.command("reindex", epilog="Example: annot server reindex, when a search misses what you see in a record.")
def server_reindex(folder: Folder = Path(), json: Json = False) -> None:
    """Make again what search needs beside Argilla's own tables; people may go on working."""
    from annotation import embedded
    from annotation.screen import print_json, progress

    project = open_project(folder)
    if elsewhere := moved_away(project):
        raise SettingsError(f"{elsewhere} Its search is looked after there.")
    with progress("words into the index") as bar:
        records = embedded.reindex(project.argilla_home, bar)
    if json:
        print_json({"records": records})
        return
    print(f"The words of {records} records were read into the index again, and the vectors are read again when needed.")


@app.command(epilog="Example: annot logs --follow")
def logs(
    folder: Folder = Path(),
    lines: Annotated[int, typer.Option(min=1, help="How many of the newest lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new lines come.")] = False,
    json: Json = False,
) -> None:
    """Show what the embedded Argilla's processes say."""
    from annotation.screen import print_json
    from annotation.server_home import follow as read_on
    from annotation.server_home import tail

    project = open_project(folder)
    home = project.argilla_home
    written = tail(home, lines)
    if json:
        print_json({"lines": written.splitlines()})
        return
    if elsewhere := moved_away(project):
        print(f"annot: {elsewhere}", file=sys.stderr)
    print(written or "Nothing was written yet: the embedded Argilla has not run here.")
    if follow:
        for line in read_on(home):
            print(line, flush=True)


@app.command(epilog="Example: annot backup /mnt/elsewhere/mexico.zip; annot backup --list")
def backup(
    file: Annotated[
        str | None, typer.Argument(help="Archive to make, or a folder for it; default: backups in the project.")
    ] = None,
    folder: Folder = Path(),
    list_: Annotated[bool, typer.Option("--list", help="Show the project's archives, rolling ones too.")] = False,
    rolling: Annotated[bool, typer.Option("--rolling", hidden=True, help="As Argilla's worker does it.")] = False,
    json: Json = False,
) -> None:
    """Copy everything that cannot be made again into one checked archive, while people work.

    Vectors, plots, exports and runs are left out, and named. The archive holds passwords and keys, so that people can
    log in to what is restored: keep it as safe as the project. While Argilla runs, a rolling backup is made anyway
    (argilla.backup_every); one on another disk is yours to make.
    """
    from annotation.archive import readable_size
    from annotation.backup import archives, back_up, roll
    from annotation.screen import print_json, progress, table

    if file == "":
        raise SettingsError("annot backup was given an empty name; name a file or a folder, or leave it out.")
    project = open_project(folder)
    if list_:
        found = archives(project)
        if json:
            print_json({"backups": [asdict(made) for made in found]})
        elif found:
            table(
                "",
                ("when (UTC)", "size", "database", "responses", "archive"),
                [
                    (
                        made.made_at[:16].replace("T", " "),
                        readable_size(made.bytes),
                        made.database or "none",
                        made.counts.get("argilla.responses"),
                        made.path,
                    )
                    for made in found
                ],
            )
        else:
            print("There are no backups yet; run `annot backup`.")
        return
    with progress("backup") as bar:
        made = roll(project, progress=bar) if rolling else back_up(project, Path(file) if file else None, progress=bar)
    url = project.settings.argilla.url
    if json:
        print_json({**asdict(made), "server_not_included": url})
        return
    print(made.sentence())
    if made.lacks_records:
        print("warning: slates were pushed, and Argilla held no record: was it emptied? Keep the archives from before.")
    if rolling:
        return
    if url:
        print(f"The server at {url} is not in it: have that backed up where it runs.")
    if made.left_out:
        told = ", ".join(f"{name} ({readable_size(size)})" for name, size in made.left_out.items())
        print(f"Left out, to be copied by hand or computed again: {told}.")
    print("It holds passwords and keys: keep it safe, on another disk. `annot restore` brings it back.")


@app.command(epilog="Example: annot restore backups/mexico-20260131-120000.zip --project restored")
def restore(
    file: Annotated[Path, typer.Argument(help="An archive of `annot backup`.")],
    folder: Folder = Path(),
    database: Annotated[
        str,
        typer.Option(metavar="URL", help=f"Empty PostgreSQL to fill; default: {DATABASE_VARIABLE}, then the old one."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the whole archive; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Bring a project back from an archive into an empty folder, with its accounts and passwords."""
    from annotation import restore as restoring
    from annotation.screen import print_json, progress

    target = folder.expanduser().resolve()
    with progress("restore") as bar:
        found = restoring.restore(file, target, database=given_database(database), dry_run=dry_run, progress=bar)
    if json:
        print_json({**asdict(found), "project": str(target), "dry_run": dry_run})
        return
    print(found.sentence())
    if dry_run:
        print("The archive is whole. Nothing was written.")
    else:
        step = "up" if found.database else "status"
        print(f"{target} is the project of that moment. Next: annot {step} --project {shlex.quote(str(target))}")


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
    from sync.move import move as move_project
    from sync.move import named_address

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
        print("Hand out the new address; `annot team list --passwords` prints the log-ins.")
        if os.environ.get("ARGILLA_API_KEY") not in (None, key):
            print("ARGILLA_API_KEY in this environment is still the old server's: unset it.")
