"""Commands of the embedded Argilla and its copies: `annot down`, `logs`, `server reindex`, `backup` and `restore`."""

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
    from annotation.database_address import Database

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


@app.command(epilog="Example: annot down")
def down(folder: Folder = Path(), json: Json = False) -> None:
    """Stop the embedded Argilla. Everything is kept."""
    from annotation.hosting import embedded
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
    from annotation.hosting import embedded
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
    from annotation.hosting.logs import follow as read_on
    from annotation.hosting.logs import tail
    from annotation.screen import print_json

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
    from annotation.backups.archive import readable_size
    from annotation.backups.make import archives, back_up, say_ahead
    from annotation.backups.rolling import roll
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
            if ahead := say_ahead(found):
                print(f"{ahead[0].upper()}{ahead[1:]}. Look at this machine's clock, and move them elsewhere.")
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
        files = ", ".join(f"{name} ({readable_size(size)})" for name, size in made.left_out.items())
        print(f"Left out, to be copied by hand or computed again: {files}.")
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
    from annotation.backups import restore as restoring
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
