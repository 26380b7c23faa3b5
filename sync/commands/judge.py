"""Who ranks, and what they said: `annot team`, `push`, `sync`, `status` and `export`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app, open_project, prompts_app, team_app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project
    from sync.push import Pushed

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
    from sync.argilla.client import connect
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
    from sync.argilla.client import connect
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


@app.command(epilog="Example: annot push --limit 100; annot push --task prompt_check")
def push(
    folder: Folder = Path(),
    task: Annotated[list[str] | None, typer.Option(help="Only items of this task; repeat for more.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Send no more items than this, the first first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    json: Json = False,
) -> None:
    """Send what is not in Argilla yet, each to the team of its country; can be run again at any time."""
    from annotation.screen import print_json

    pushed = push_tasks(open_project(folder), known_tasks(task), limit=limit, dry_run=dry_run)
    print_json(pushed.as_json()) if json else show_pushed(pushed, dry_run=dry_run)


def known_tasks(named: Sequence[str] | None) -> list[str]:
    """Names of tasks, or all of them; SettingsError when one is none."""
    from annotation.tasks import TASKS

    if unknown := [name for name in named or () if name not in TASKS]:
        raise SettingsError(f'There is no task "{unknown[0]}"; there are {", ".join(TASKS)}.')
    return list(named or TASKS)


def push_tasks(project: Project, tasks: Sequence[str], *, limit: int | None, dry_run: bool) -> Pushed:
    """Send the items of some tasks, with the vectors of their prompts."""
    from annotation.screen import progress
    from annotation.selection.store import prompt_vectors
    from sync.argilla.client import connect
    from sync.push import push as send

    with project.lock("push"), progress("pushing") as bar:
        return send(
            connect(project),
            project.ledger,
            project.settings,
            tasks=tasks,
            vectors=prompt_vectors(project),
            limit=limit,
            dry_run=dry_run,
            progress=bar,
        )


def show_pushed(pushed: Pushed, *, dry_run: bool) -> None:
    """Say what was sent, and what was not."""
    from annotation.screen import table
    from sync.push import count_dropped

    print(("would have " if dry_run else "") + pushed.sentence())
    for note in pushed.notes:
        print(note)
    table("Not sent", ("reason", "what", "items"), count_dropped(pushed.dropped))


@prompts_app.command("review", epilog="Example: annot prompts review, then annot sync when people have answered")
def prompts_review(
    folder: Folder = Path(),
    limit: Annotated[int | None, typer.Option(min=0, help="Send no more prompts than this, the oldest first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    json: Json = False,
) -> None:
    """Ask the teams which prompts are worth ranking answers to; nobody is asked about a prompt of their own."""
    from annotation.prompts.review import add_checks
    from annotation.screen import print_json
    from annotation.tasks.prompt_check.task import NAME

    project = open_project(folder)
    if not project.ledger.prompts():
        raise SettingsError(f"{project.folder} has no prompts to check; run `annot prompts add FILE` first.")
    add_checks(project.ledger)
    pushed = push_tasks(project, [NAME], limit=limit, dry_run=dry_run)
    print_json(pushed.as_json()) if json else show_pushed(pushed, dry_run=dry_run)


# -- sync, status and export --------------------------------------------------------------------------------


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
    table("", [name.replace("usd", "spent ($)") for name in counts], [tuple(counts.values())])
    here = f"running at {server.url}. {server.detail}" if server.running else server.detail
    print(f"Argilla: {url or here.removeprefix('Argilla ')}")
    for trouble in filter(None, (begun, standing(project))):
        print(trouble)
    show(found)
    print(f"Next: {following}")


@app.command(epilog="Example: annot export --to exports")
def export(
    context: typer.Context,
    folder: Folder = Path(),
    to: Annotated[Path | None, typer.Option(help="Folder to write into; default: exports in the project.")] = None,
    run: Annotated[str, typer.Option(help="Give away this finished run: the same as `annot release`.")] = "",
    merged: Annotated[bool, typer.Option("--merged", hidden=True)] = False,
    dtype: Annotated[str | None, typer.Option(hidden=True)] = None,
    ungated: Annotated[bool, typer.Option("--ungated", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Write what people said, under pseudonyms: rankings, preferences also in TRL's form, and every other task's."""
    from annotation.screen import print_json
    from sync.snapshot import export as write

    if run:
        print("annot: `annot release` gives a run away; `annot export --run` does the same.", file=sys.stderr)
        assert context.parent is not None
        release = context.parent.command.commands["release"]  # type: ignore[attr-defined]
        given = {"run": run, "folder": folder, "to": to, "merged": merged, "dtype": dtype, "ungated": ungated}
        context.invoke(release, **given, json=json)
        return
    if merged or ungated or dtype:
        raise SettingsError("--merged, --dtype and --ungated speak of a run; name it with --run.")
    project = open_project(folder)
    done = write(project, to or project.folder / "exports")
    if not any(done.rows.values()):
        print("annot: there is no judgement yet, so the files hold no rows; `annot sync` brings them.", file=sys.stderr)
    if json:
        print_json(asdict(done))
        return
    for file in done.files:
        print(f"{done.rows[file.name]:>9,} rows in {file}")
