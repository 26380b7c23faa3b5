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
from typing import TYPE_CHECKING, Annotated

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
app.add_typer(prompts_app, name="prompts")
app.add_typer(team_app, name="team")

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


@app.command(epilog="Example: annot up, then open the address that it prints")
def up(folder: Folder = Path(), json: Json = False) -> None:
    """Start Argilla for this project on this machine; the first time it builds its environment."""
    from annotation import embedded
    from annotation.screen import print_json

    project = open_project(folder)
    if project.settings.argilla.url:
        raise SettingsError(
            f"{project.folder / 'annot.toml'}: argilla.url names a server of yours; empty it to use the embedded one."
        )
    server = embedded.start(
        project.argilla_home,
        port=project.settings.argilla.port,
        say=lambda line: print(f"annot: {line}", file=sys.stderr),
    )
    if json:
        print_json(asdict(server))
        return
    print(f"Argilla {server.version} answers at {server.url}, for this machine alone; `annot down` stops it.")
    secrets = project.argilla_home / "secrets.json"
    print(f"Log in as {embedded.owner(project.argilla_home).username}; the password is in {secrets}.")
    print("Next: annot team add roster.csv")


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


@app.command(epilog="Example: annot logs --follow")
def logs(
    folder: Folder = Path(),
    lines: Annotated[int, typer.Option(min=1, help="How many of the newest lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new lines come.")] = False,
    json: Json = False,
) -> None:
    """Show what the embedded Argilla's processes say."""
    from annotation import embedded
    from annotation.screen import print_json

    home = open_project(folder).argilla_home
    if json:
        print_json({"lines": embedded.tail(home, lines).splitlines()})
        return
    print(embedded.tail(home, lines))
    if follow:
        for line in embedded.follow(home):
            print(line, flush=True)


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
    every: Annotated[float, typer.Option(min=1, help="Longest pause of --watch, in seconds.")] = 30,
    relaunch: Annotated[bool, typer.Option("--relaunch", help="Start a failed or lost run again.")] = False,
    json: Json = False,
) -> None:
    """Bring the judgements home, show how far the quotas are, and start the run when all are met."""
    from annotation.screen import print_json, progress
    from sync.board import connect
    from sync.cycle import Synced, follow, sync_once
    from sync.report import show

    project = open_project(folder)
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
    from annotation.screen import print_json, table
    from sync.report import next_step, report, show, stock

    project = open_project(folder)
    server = embedded.state(project.argilla_home)
    counts, found = stock(project), report(project)
    following = next_step(project, found, server.running)
    if json:
        print_json({**counts, "server": asdict(server), **found.as_json(), "next": following})
        return
    table("", ("prompts", "candidates", "slates", "pushed", "spent ($)"), [tuple(counts.values())])
    here = f"running at {server.url}. {server.detail}" if server.running else server.detail
    print(f"Argilla: {project.settings.argilla.url or here}")
    show(found)
    print(f"Next: {following}")


@app.command(epilog="Example: annot export --to exports")
def export(
    folder: Folder = Path(),
    to: Annotated[Path | None, typer.Option(help="Folder to write into; default: exports in the project.")] = None,
    json: Json = False,
) -> None:
    """Write preferences and rankings as parquet, and in TRL's conversational form, under pseudonyms."""
    from annotation.screen import print_json
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
    data: Annotated[Path | None, typer.Option(help="Parquet or jsonl with prompt, chosen, rejected instead.")] = None,
    run: Annotated[str, typer.Option(help="Name of the run; default: preset and snapshot.")] = "",
    preset: Annotated[str, typer.Option(help="Settings to use; default: train.preset of annot.toml.")] = "",
    base: Annotated[str, typer.Option(help="Model folder or Hub id in place of the preset's.")] = "",
    change: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; repeat for more.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the preflight and the plan, train nothing.")] = False,
    list_presets: Annotated[bool, typer.Option("--list-presets", help="Show the presets and end.")] = False,
    json: Json = False,
) -> None:
    """Train a LoRA adapter on preferences with DPO; the same command goes on with a run that was cut off."""
    from annotation.config import TrainSettings
    from annotation.screen import print_json, progress, table
    from train.dataset import newest_snapshot
    from train.dpo import plan_facts, plan_lines, rehearse
    from train.dpo import train as train_run
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
    if dry_run:
        plan, device = rehearse(source, preset=preset, base=base, overrides=change or ())
        print_json(plan_facts(plan, device)) if json else print("\n".join(plan_lines(plan, device)))
        return
    target = home / "runs" / name_run(run, preset, source)
    with progress("training") as bar:
        result = train_run(target, source, preset=preset, base=base, overrides=change or (), quiet=json, progress=bar)
    if json:
        print_json({"folder": result.folder, "already": result.already, **result.done})


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
