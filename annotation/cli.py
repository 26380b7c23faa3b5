"""The `annot` command. A command opens the project, calls one function and reports; nothing imports this module."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from annotation.errors import AnnotError, SettingsError

if TYPE_CHECKING:
    from annotation.project import Project

app = typer.Typer(
    name="annot",
    help="Turn a community's judgement into an aligned language model.",
    epilog="First time here: annot init . --country MX --language es, then annot status says what comes next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prompts_app = typer.Typer(help="Read prompts into the project and look at them.", no_args_is_help=True)
team_app = typer.Typer(help="Who ranks: accounts, workspaces and roles.", no_args_is_help=True)
server_app = typer.Typer(help="Look after the embedded Argilla.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")
app.add_typer(team_app, name="team")
app.add_typer(server_app, name="server")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

REFUSED = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What the file system says of a full or read-only disk, of rights and of odd paths: a person's to mend, not ours."""

Folder = Annotated[Path, typer.Option("--project", "-p", help="Project folder.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def open_project(folder: Path) -> Project:
    """Open the project of a command."""
    from annotation.project import Project

    return Project.open(folder)


# -- project ------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot init mexico --country MX --language es")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make the project in.")] = Path(),
    country: Annotated[list[str] | None, typer.Option(help="ISO 3166 code; repeat for more than one.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="ISO 639-1 code; repeat for more than one.")] = None,
    name: Annotated[str, typer.Option(help="What annotators see as the project's name.")] = "cultural fit",
    json: Json = False,
) -> None:
    """Make a project folder with a commented annot.toml."""
    from annotation.project import init_project
    from annotation.screen import print_json

    if not country or not language:
        raise SettingsError("annot init needs --country and --language, for example --country MX --language es.")
    project = init_project(folder, name=name, countries=country, languages=language)
    if json:
        print_json({"project": str(project.folder), "settings": project.settings.model_dump()})
    else:
        enter = "" if project.folder == Path.cwd() else f"cd {shlex.quote(str(folder))}, then "
        print(f"{project.folder / 'annot.toml'} is ready. Next: {enter}annot prompts add FILE")


# -- prompts ------------------------------------------------------------------------------------------------


@prompts_app.command("add", epilog="Example: annot prompts add questions.csv --column prompt=Question --country MX")
def prompts_add(
    source: Annotated[
        str,
        typer.Argument(help="A csv, tsv, json, jsonl, parquet or xlsx file, or owner/name of a dataset on the Hub."),
    ],
    folder: Folder = Path(),
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Say what a column means, for example prompt=Question; repeatable."),
    ] = None,
    country: Annotated[str, typer.Option(help="Of rows that name none.", show_default="the project's first")] = "",
    language: Annotated[str, typer.Option(help="Of rows that name none.", show_default="detected")] = "",
    topic: Annotated[str, typer.Option(help="Of rows that name none.", show_default="general")] = "",
    licence: Annotated[str, typer.Option(help="Of rows that name none.", show_default="not stated")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Read prompts into the project: cleaned, masked, without duplicates."""
    from annotation.prompts import add_prompts
    from annotation.screen import print_json, progress, table

    columns = {}
    for pair in column or ():
        wanted, sign, name = pair.partition("=")
        if not (sign and wanted.strip() and name.strip()):
            raise SettingsError(f'--column "{pair}" says too little; write FIELD=COLUMN, for example prompt=Question.')
        columns[wanted.strip()] = name.strip()
    said = {"country": country, "language": language, "topic": topic, "licence": licence}
    defaults = {name: value for name, value in said.items() if value}
    with progress("prompts") as report:
        added = add_prompts(
            open_project(folder), source, columns=columns, defaults=defaults, dry_run=dry_run, progress=report
        )
    if json:
        print_json(added.as_json())
        return
    print(added.sentence())
    if not added.changed:
        return
    if dry_run:
        table("", ("country", "language", "topic", "prompts"), added.groups())
        table("", ("the first of them",), ((prompt.text[:100],) for prompt in added.kept[:5]))
    table("Left out", ("reason", "rows", "for example"), added.reasons())
    for notice in added.notices:
        print(f"Note: {notice}")


@prompts_app.command("list", epilog="Example: annot prompts list --json")
def prompts_list(folder: Folder = Path(), json: Json = False) -> None:
    """Count the project's prompts by country, language and topic."""
    from annotation.prompts import count_prompts
    from annotation.screen import print_json, table

    groups = count_prompts(open_project(folder))
    if json:
        total = sum(group.prompts for group in groups)
        print_json({"prompts": total, "groups": [asdict(group) for group in groups]})
    elif groups:
        table("", ("country", "language", "topic", "prompts", "answers"), (tuple(asdict(g).values()) for g in groups))
    else:
        print("There are no prompts yet. Next: annot prompts add FILE")


# -- draft --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot draft --dry-run, then annot draft --limit 5, then annot draft")
def draft(
    folder: Folder = Path(),
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take answers written elsewhere from a file; nothing is paid."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens, dollars and minutes; no key.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Work on so many prompts that lack answers.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Write prices.toml into the project, to be edited.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json: Json = False,
) -> None:
    """Draft candidate answers with Cohere, or take them from a file."""
    from annotation.drafting import report

    if sum((source is not None, dry_run, prices)) > 1:
        raise SettingsError("annot draft takes one of --from, --dry-run and --prices at a time.")
    project = open_project(folder)
    if prices:
        report.write_prices(project, json=json)
    elif source is not None:
        report.take_from_file(project, source, json=json)
    elif dry_run:
        report.show_outlook(project, limit, json=json)
    else:
        report.draft_and_show(project, limit, ask_first=not yes and sys.stdin.isatty(), json=json)


# -- select -------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot select --dry-run, then annot select")
def select(
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be chosen; store only vectors.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Add no more slates than this.")] = None,
    json: Json = False,
) -> None:
    """Choose the answers that really differ, seat them on slates and put the slates in order."""
    from annotation import selection_report, slates
    from annotation.screen import print_json, progress

    project = open_project(folder)
    with progress("selecting") as bar:
        chosen = slates.select(project, limit=limit, dry_run=dry_run, progress=bar)
    if json:
        print_json(selection_report.as_json(chosen, dry_run=dry_run))
    elif not chosen.slates:
        print(selection_report.nothing_new(chosen))
    else:
        selection_report.show(chosen)
        print("Nothing was stored." if dry_run else f"Plots: {project.folder / 'selection'}. Next: annot push")


# -- the embedded Argilla -----------------------------------------------------------------------------------


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

    stopped = embedded.stop(open_project(folder).argilla_home)
    if json:
        print_json({"stopped": stopped})
    elif stopped:
        print("Argilla is stopped; `annot up` starts it again.")


@server_app.command("reindex", epilog="Example: annot server reindex, when a search misses what you see in a record.")
def server_reindex(folder: Folder = Path(), json: Json = False) -> None:
    """Make again what search needs beside Argilla's own tables; people may go on working."""
    from annotation import embedded
    from annotation.screen import print_json, progress

    project = open_project(folder)
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

    home = open_project(folder).argilla_home
    if json:
        print_json({"lines": tail(home, lines).splitlines()})
        return
    print(tail(home, lines))
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
    if json:
        print_json(asdict(made))
        return
    print(made.sentence())
    if rolling:
        return
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
        print(f"{target} is the project of that moment. Next: annot up --project {shlex.quote(str(target))}")


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
    begun = unfinished(project)
    server = embedded.state(project.argilla_home)
    counts, found = stock(project), report(project)
    following = next_step(project, found.quotas, found.runs, argilla_runs=server.running)
    if json:
        print_json(
            {
                **counts,
                "server": asdict(server),
                **found.as_json(),
                "move": begun,
                "backup": standing(project),
                "next": following,
            }
        )
        return
    table("", ("prompts", "candidates", "slates", "pushed", "spent ($)"), [tuple(counts.values())])
    here = f"running at {server.url}. {server.detail}" if server.running else server.detail
    print(f"Argilla: {project.settings.argilla.url or here}")
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
    dtype: Annotated[str, typer.Option(help="With --merged: float32, bfloat16 or float16 on disk.")] = "float32",
    ungated: Annotated[
        bool, typer.Option("--ungated", help="With --run: although `annot evaluate` did not pass it.")
    ] = False,
    json: Json = False,
) -> None:
    """Write preferences and rankings, under pseudonyms, as parquet and in TRL's form; or a run's adapter or model."""
    from annotation.screen import print_json, progress

    if run:  # needs no project, as `annot train --data FILE` needs none
        from train.export import export_run

        home = folder.expanduser().resolve()
        target = to or home / "exports" / f"{run}{'-merged' if merged else ''}"
        with progress("exporting") as bar:
            given = export_run(
                home / "runs" / run,
                target,
                merged=merged,
                dtype=dtype,
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
    if json:
        print_json(asdict(done))
        return
    print(f"{done.preferences} preferences and {done.rankings} rankings; {done.aside} pairs or slates set aside.")
    for file in done.files:
        print(f"  {file}")


# -- train --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot train --preset cpu-smoke")
def train(
    folder: Folder = Path(),
    snapshot: Annotated[str, typer.Option(help="Id of a snapshot; default: the newest.")] = "",
    data: Annotated[Path | None, typer.Option(help="Parquet or jsonl with rankings or pairs instead.")] = None,
    run: Annotated[str, typer.Option(help="Name of the run; default: preset and snapshot.")] = "",
    preset: Annotated[str, typer.Option(help="Settings to use; default: train.preset of annot.toml.")] = "",
    base: Annotated[str, typer.Option(help="Model folder or Hub id in place of the preset's.")] = "",
    by: Annotated[
        Literal["shared", "country", "prompt"] | None,
        typer.Option(help="An adapter per country too, or one told the country in its prompt; default: train.by."),
    ] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; repeat for more.")] = None,
    several: Annotated[int, typer.Option("--processes", min=1, help="Train with several cards of this machine.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the preflight and the plan, train nothing.")] = False,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="Show the presets and end.")] = False,
    json: Json = False,
) -> None:
    """Train a LoRA adapter on preferences with DPO; the same command goes on with a run that was cut off."""
    from annotation.config import TrainSettings
    from annotation.screen import print_json, progress, table
    from train import processes
    from train.by_country import train_by_country
    from train.dataset import newest_snapshot
    from train.dpo import plan_facts, plan_lines, rehearse
    from train.dpo import train as train_run
    from train.regions import region_line
    from train.run_folder import name_run
    from train.settings import describe_preset, preset_names

    if list_presets:
        presets = {name: describe_preset(name) for name in preset_names()}
        print_json(presets) if json else table("", ["preset", "for"], presets.items())
        return
    if data and snapshot:
        raise SettingsError("--data and --snapshot exclude each other; name one of them.")
    outside = data is not None and not (folder / "annot.toml").exists()
    settings = TrainSettings() if outside else open_project(folder).settings.train
    home = folder.expanduser().resolve()
    source = data or (home / "snapshots" / snapshot if snapshot else newest_snapshot(home))
    preset = preset or settings.preset
    if preset == settings.preset:  # annot.toml's base belongs to annot.toml's preset
        base = base or settings.base
    by = by or settings.by
    change = [*(change or ()), *(["region.in_prompt=true"] if by == "prompt" else ())]
    if dry_run:
        plan, device = rehearse(source, preset=preset, base=base, overrides=change)
        lines = [*plan_lines(plan, device), *(map(region_line, plan.regions) if by == "country" else ())]
        print_json(plan_facts(plan, device)) if json else print("\n".join(lines))
        return
    target = home / "runs" / name_run(run, preset, source)
    if by == "country" and max(several, processes.count()) > 1:
        raise SettingsError("--by country trains in one process; with several, --set region.country=MX trains one.")
    if several > processes.count():
        raise typer.Exit(processes.launch(several, sys.argv[1:]))
    with progress("training") as bar:
        start = train_by_country if by == "country" else train_run
        result = start(target, source, preset=preset, base=base, overrides=change, quiet=json, progress=bar)
    if json and processes.is_first():
        print_json({"folder": result.folder, "already": result.already, **result.done})


@app.command(epilog="Example: annot evaluate l40s-8b-lora-bf16-2f6c, then --against another run")
def evaluate(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    folder: Folder = Path(),
    against: Annotated[str, typer.Option(metavar="RUN", help="Another measured run, to compare slate by slate.")] = "",
    change: Annotated[list[str] | None, typer.Option("--set", help="evaluation.key=value; repeat for more.")] = None,
    json: Json = False,
) -> None:
    """Measure a run on held-out slates: ranking, per country; distance from the base; what it writes; the gate."""
    from annotation.screen import print_json, progress, table
    from train import evaluation_report as report
    from train.evaluate import check_measured, compare
    from train.evaluate import evaluate as evaluate_run

    runs = folder.expanduser().resolve() / "runs"
    if against not in ("", run):
        check_measured(runs / against)  # before the hours, not after
    with progress("evaluating") as bar:
        found = evaluate_run(
            runs / run,
            overrides=change or (),
            say=lambda line: print(f"annot: {line}", file=sys.stderr),
            progress=bar,
        )
    versus = compare(runs / run, runs / against) if against else ()
    if json:
        print_json({**found.as_json(), "already": found.already, "against": [asdict(one) for one in versus]})
        return
    table(f"{run} on what it has not seen", report.GROUP_COLUMNS, report.group_rows(found))
    table("", report.WRITING_COLUMNS, report.writing_rows(found))
    table(f"{run} minus {against}", report.VERSUS_COLUMNS, report.versus_rows(versus))
    print("\n".join(report.lines(found)))
    print(f"Plots and tables: {runs / run / 'report.md'}")


# -- quickstart ---------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot quickstart --country BR; annot quickstart --simulate needs no people.")
def quickstart(
    folder: Annotated[Path | None, typer.Argument(help="Demo project; default: demo, or demo-simulated.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulated annotators rank until DONE.")] = False,
    country: Annotated[str, typer.Option(help="Whose quota starts the run when people rank.")] = "MX",
    port: Annotated[int | None, typer.Option(min=1024, max=65535, help="Of Argilla; default: a free one.")] = None,
    json: Json = False,
) -> None:
    """Go the whole way on bundled prompts: select, open Argilla, rank, sync, train."""
    from annotation.quickstart import run_for_people, run_simulated
    from annotation.screen import print_json

    def say(line: str) -> None:
        print(f"annot: {line}", file=sys.stderr)

    if not simulate:
        run_for_people(folder or Path("demo"), country=country, port=port, say=say)
        return
    summary = run_simulated(folder or Path("demo-simulated"), port=port, say=say)
    if json:
        print_json(asdict(summary))
    else:
        print(summary.text())


def main() -> None:
    """Run the command line: a person's mistake is one sentence and exit code 2, ours a traceback."""
    # Libraries that call home at import are told not to, before any of them is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Being told to end is like Ctrl-C: what was started is stopped, and nothing is half written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except AnnotError as error:
        print(f"annot: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        print(
            f"annot: {error.filename or 'a file'}: {error.strerror}; mend that, then run the same command again.",
            file=sys.stderr,
        )
        sys.exit(AnnotError.exit_code)
    except sqlite3.OperationalError as error:
        if not any(word in str(error) for word in ("full", "readonly", "locked", "disk I/O", "unable to open")):
            raise
        print(
            f"annot: the ledger cannot be written ({error}); mend that, then run the same command again.",
            file=sys.stderr,
        )
        sys.exit(AnnotError.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer has turned Ctrl-C into this.
            print("annot: stopped; run the same command again to go on.", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
