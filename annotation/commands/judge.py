"""Who ranks, and what they said: `annot team`, `push`, `sync`, `status` and `export`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, app, open_project, team_app
from annotation.errors import SettingsError

# -- team and push ------------------------------------------------------------------------------------------


@team_app.command("add", epilog="Example: annot team add roster.csv")
def team_add(
    roster: Annotated[Path, typer.Argument(help="CSV: username,name,role,country,languages.")],
    folder: Folder = Path(),
    adopt: Annotated[bool, typer.Option("--adopt", help="Accounts that are on the server already are theirs.")] = False,
    json: Json = False,
) -> None:
    """Make accounts, a workspace per country and memberships agree with a roster; can be run again at any time."""
    from annotation.screen import print_json, progress
    from sync.board import connect
    from sync.team import add_team, read_roster

    project = open_project(folder)
    people = read_roster(roster, languages=project.settings.project.languages)
    with project.lock("team"), progress("adding people") as bar:
        change = add_team(project, connect(project), people, adopt=adopt, progress=bar)
    if json:
        print_json(asdict(change))
        return
    for what, names in asdict(change).items():
        if names:
            print(f"{what}: {', '.join(names)}")
    if change.created:
        print("`annot team list --passwords` prints the log-ins to hand out.")


@team_app.command("remove", epilog="Example: annot team remove ana")
def team_remove(username: str, folder: Folder = Path(), json: Json = False) -> None:
    """Take someone out of the team. Their judgements stay, and a roster that names them brings them back."""
    from annotation.screen import print_json
    from sync.board import connect
    from sync.team import remove_member

    project = open_project(folder)
    with project.lock("team"):
        gone = remove_member(connect(project), project.ledger, username)
    if json:
        print_json(asdict(gone))
    else:
        print(f"{gone.username} is out of the team; what {gone.username} answered stays.")


@team_app.command("list", epilog="Example: annot team list --passwords")
def team_list(
    folder: Folder = Path(),
    passwords: Annotated[bool, typer.Option("--passwords", help="Show the log-ins, to hand them out.")] = False,
    json: Json = False,
) -> None:
    """Show who is on the team. Reads only what is on this machine."""
    from annotation.screen import print_json, table
    from sync.team import workspace_of

    project = open_project(folder)
    people = project.ledger.people()
    known = project.secrets().get("passwords", {}) if passwords else {}
    if json:
        shown = [{**asdict(p), **({"password": known.get(p.username)} if passwords else {})} for p in people]
        print_json({"people": shown})
        return
    if not people:
        print("Nobody yet; run `annot team add roster.csv`.")
        return
    table(
        "",
        ("username", "name", "role", "workspace", "languages", "active", *(("password",) if passwords else ())),
        [
            (
                p.username,
                p.name,
                p.role,
                workspace_of(p.country),
                " ".join(p.languages),
                "yes" if p.active else "no",
                *((known.get(p.username, "their own"),) if passwords else ()),
            )
            for p in people
        ],
    )


@app.command(epilog="Example: annot push --limit 100")
def push(
    folder: Folder = Path(),
    limit: Annotated[int | None, typer.Option(min=0, help="Send no more slates than this, the first first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send the slates that are not in Argilla yet, each to the team of its country; can be run again at any time."""
    from annotation.screen import print_json, progress, table
    from annotation.slates import prompt_vectors
    from sync.board import connect
    from sync.push import count_dropped
    from sync.push import push as send

    project = open_project(folder)
    with project.lock("push"), progress("pushing") as bar:
        pushed = send(
            connect(project),
            project.ledger,
            project.settings,
            vectors=prompt_vectors(project),
            limit=limit,
            dry_run=dry_run,
            progress=bar,
        )
    if json:
        print_json(pushed.as_json())
        return
    print(("would have " if dry_run else "") + pushed.sentence())
    for note in pushed.notes:
        print(note)
    table("Not sent", ("reason", "what", "slates"), count_dropped(pushed.dropped))


# -- sync, status and export --------------------------------------------------------------------------------


@app.command(epilog="Example: annot sync --watch")
def sync(
    folder: Folder = Path(),
    watch: Annotated[bool, typer.Option("--watch", help="Keep going until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Pause between two looks at everything, in seconds.")] = 30,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Start a failed or lost run again.")] = False,
    json: Json = False,
) -> None:
    """Bring the judgements home, show how far the quotas are, and start the run when all are met."""
    from annotation.screen import print_json, progress
    from sync.board import connect
    from sync.cycle import Synced, follow, sync_once
    from sync.move import unfinished
    from sync.report import show

    project = open_project(folder)
    if begun := unfinished(project):
        print(f"annot: {begun}", file=sys.stderr)
    board = connect(project)
    first = True

    def tell(synced: Synced) -> None:
        nonlocal first
        if json:
            print_json({"pulled": synced.pulled.as_json(), **synced.report.as_json()})
        else:
            print(synced.pulled.sentence())
            show(synced.report, brief=not first)
        first = False

    if not watch:
        with progress("pulling") as bar:
            tell(sync_once(project, board, relaunch=relaunch, progress=bar))
        return
    if relaunch:
        sync_once(project, board, relaunch=True)
    print("annot: watching; Ctrl-C ends it and loses nothing.", file=sys.stderr)
    follow(project, board, every_s=every, tell=tell)


@app.command(epilog="Example: annot status --json")
def status(folder: Folder = Path(), json: Json = False) -> None:
    """Say how the project stands and what comes next. Reads only what is on this machine."""
    from annotation import embedded
    from annotation.backup import standing
    from annotation.screen import print_json, table
    from sync.move import unfinished
    from sync.report import next_step, report, show, stock

    project = open_project(folder)
    url = project.settings.argilla.url
    begun = unfinished(project)
    server = embedded.state(project.argilla_home)
    counts, found = stock(project), report(project)
    following = next_step(project, found.quotas, found.runs, argilla_runs=server.running)
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
    table("", ("prompts", "candidates", "slates", "pushed", "spent ($)"), [tuple(counts.values())])
    here = f"running at {server.url}. {server.detail}" if server.running else server.detail
    print(f"Argilla: {url or here.removeprefix('Argilla ')}")
    for trouble in filter(None, (begun, standing(project))):
        print(trouble)
    show(found)
    print(f"Next: {following}")


@app.command(epilog="Example: annot export --to exports; a trained model: annot export --run NAME --merged")
def export(
    folder: Folder = Path(),
    to: Annotated[Path | None, typer.Option(help="Folder to write into; default: exports in the project.")] = None,
    run: Annotated[str, typer.Option(help="Give away this finished run's adapter instead of the judgements.")] = "",
    merged: Annotated[
        bool, typer.Option("--merged", help="With --run: the whole model, the adapter merged in.")
    ] = False,
    dtype: Annotated[
        str | None, typer.Option(help="With --merged: float32 (default), bfloat16 or float16 on disk.")
    ] = None,
    ungated: Annotated[
        bool, typer.Option("--ungated", help="With --run: although `annot evaluate` did not pass it.")
    ] = False,
    json: Json = False,
) -> None:
    """Write preferences and rankings, under pseudonyms, as parquet and in TRL's form; or a run's adapter or model."""
    from annotation.screen import print_json, progress

    if dtype and not merged:
        raise SettingsError("--dtype is that of a merged model; add --run NAME --merged, or leave it out.")
    if run:  # needs no project, as `annot train --data FILE` needs none
        from train.export import export_run
        from train.run_folder import check_name

        check_name(run)
        home = folder.expanduser().resolve()
        target = to or home / "exports" / f"{run}{'-merged' if merged else ''}"
        with progress("exporting") as bar:
            given = export_run(
                home / "runs" / run,
                target,
                merged=merged,
                dtype=dtype or "float32",
                ungated=ungated,
                progress=bar,
            )
        print_json(asdict(given)) if json else print(given.line())
        return
    if merged or ungated:
        raise SettingsError("--merged and --ungated speak of a run; name it with --run.")
    from sync.snapshot import export as write

    project = open_project(folder)
    done = write(project, to or project.folder / "exports")
    if not done.rankings:
        print("annot: there is no judgement yet, so the files hold no rows; `annot sync` brings them.", file=sys.stderr)
    if json:
        print_json(asdict(done))
        return
    print(f"{done.preferences} preferences and {done.rankings} rankings; {done.aside} pairs or slates set aside.")
    for file in done.files:
        print(f"  {file}")
