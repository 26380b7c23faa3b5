"""Commands of the team and its work: `annot team`, `push` and `prompts review`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from annotation.commands import Folder, Json, app, open_project, prompts_app, team_app
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project
    from sync.push import Pushed


@team_app.command("add", epilog="Example: annot team add roster.csv")
def team_add(
    roster: Annotated[
        Path,
        typer.Argument(
            help="csv or xlsx: username, name, role (annotator, admin or adjudicator), country, languages; or in "
            "Spanish. One person has one country: an adjudicator decides there alone."
        ),
    ],
    folder: Folder = Path(),
    adopt: Annotated[bool, typer.Option("--adopt", help="Accounts that are on the server already are theirs.")] = False,
    json: Json = False,
) -> None:
    """Make accounts, a workspace per country and memberships agree with a roster; can be run again at any time."""
    from annotation.screen import counted, print_json, progress
    from sync.argilla.client import connect
    from sync.team import add_team, read_roster

    project = open_project(folder)
    people = read_roster(
        roster, languages=project.settings.project.languages, countries=project.settings.project.countries
    )
    with project.lock("team"), progress("adding people") as bar:
        change = add_team(project, connect(project), people, adopt=adopt, progress=bar)
    if json:
        print_json(asdict(change))
        return
    known = {person.username: person for person in people}
    for what, names in asdict(change).items():
        if names:
            said = [f"{name} ({known[name].role}, {known[name].country})" if name in known else name for name in names]
            print(f"{what}: {', '.join(said)}")
    if not any(asdict(change).values()):
        print(f"Nothing to change: {counted(len(people), 'person is', 'people are')} as the roster says.")
    if change.created:
        print("`annot team sheet` prints a log-in sheet for each person, to hand out.")


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
        (
            "username",
            "name",
            "role",
            "workspace",
            "languages",
            "active",
            "left out",
            *(("password",) if passwords else ()),
        ),
        [
            (
                p.username,
                p.name,
                p.role,
                workspace_of(p.country),
                " ".join(p.languages),
                "yes" if p.active else "no",
                p.excluded or "no",
                *((known.get(p.username, "their own"),) if passwords else ()),
            )
            for p in people
        ],
    )


@team_app.command(
    "sheet", epilog="Example: annot team sheet --to sheets; annot team sheet ana --url http://192.168.1.7:6900"
)
def team_sheet(
    usernames: Annotated[
        list[str] | None, typer.Argument(help="Of whom.", show_default="everybody on the team")
    ] = None,
    folder: Folder = Path(),
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Write one .txt per person, for your eyes only.")
    ] = None,
    url: Annotated[str, typer.Option(help="Address that people open.", show_default="the server's")] = "",
    json: Json = False,
) -> None:
    """Show a log-in sheet to hand out for each person, in the team's language: page, log-in, first steps, keys."""
    from annotation.config import api_address
    from annotation.files import write_whole
    from annotation.screen import print_json
    from sync.sheets import log_in_sheets, page_address
    from sync.team import known_person

    project = open_project(folder)
    try:
        url = api_address(url) if url else page_address(project)
    except ValueError as fault:
        raise SettingsError(f"--url: {fault}.") from None
    chosen = [known_person(project.ledger, name) for name in usernames or ()] or project.ledger.people()
    sheets = log_in_sheets(project, [person for person in chosen if person.active], url)
    if not sheets:
        raise SettingsError("None of them is on the team now; run `annot team add` with a roster first.")
    if to is not None:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        for username, sheet in sheets.items():
            write_whole(to / f"{username}.txt", sheet.encode(), mode=0o600)
    if json:
        print_json({"url": url, "sheets": sheets})
        return
    print(f"In {to}: {', '.join(f'{name}.txt' for name in sheets)}." if to else f"\n{'-' * 60}\n".join(sheets.values()))
    print("Passwords are those that annot made: one that somebody has changed since cannot be shown.")
    if urlsplit(url).hostname in ("127.0.0.1", "localhost"):
        print(f"{url} opens on this machine alone: docs/argilla.md tells how others get in; --url names their address.")


@app.command(epilog="Example: annot push --limit 100; annot push --task prompt_check")
def push(
    folder: Folder = Path(),
    task: Annotated[list[str] | None, typer.Option(help="Only items of this task; repeat for more.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Send no more items than this, the first first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    put_back: Annotated[
        bool, typer.Option("--put-back", help="Put back the texts that somebody changed on the server; send nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Send what is not in Argilla yet, each to the team of its country; can be run again at any time."""
    from annotation.screen import counted, print_json, progress

    project = open_project(folder)
    if put_back:
        from sync.argilla.client import connect
        from sync.taking_back import put_texts_back

        with project.lock("push"), progress("putting back") as bar:
            count = put_texts_back(connect(project), project.ledger, progress=bar)
        print_json({"put_back": count}) if json else print(
            f"Put back: the texts of {counted(count, 'record')}. Next: annot sync"
        )
        return
    pushed = push_tasks(project, known_tasks(task), limit=limit, dry_run=dry_run)
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
    from annotation.tasks.page import own_texts
    from sync.argilla.client import connect
    from sync.push import push as send

    with project.lock("push"), progress("pushing") as bar:
        return send(
            connect(project),
            project.ledger,
            project.settings,
            tasks=tasks,
            texts=own_texts(project.folder),
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
    with project.ledger.undone() if dry_run else nullcontext():
        add_checks(project.ledger)
        pushed = push_tasks(project, [NAME], limit=limit, dry_run=dry_run)
    print_json(pushed.as_json()) if json else show_pushed(pushed, dry_run=dry_run)
