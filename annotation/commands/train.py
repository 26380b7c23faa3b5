"""From rankings to a model: `annot train`, `evaluate`, and all of it at once: `quickstart`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from annotation.commands import Folder, Json, app, open_project
from annotation.errors import SettingsError

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
    target = home / "runs" / name_run(run, preset, source)
    if dry_run:
        plan, device = rehearse(source, preset=preset, base=base, overrides=change)
        lines = [*plan_lines(plan, device), *(map(region_line, plan.regions) if by == "country" else ())]
        print_json(plan_facts(plan, device)) if json else print("\n".join(lines))
        return
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
    from train.evaluate import check_measured, compare, warn_of_bases
    from train.evaluate import evaluate as evaluate_run
    from train.run_folder import check_name

    for name in filter(None, (run, against)):
        check_name(name)
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
    bases = warn_of_bases(runs / run, runs / against) if against else ""
    if json:
        print_json(
            {**found.as_json(), "already": found.already, "against": [asdict(one) for one in versus], "bases": bases}
        )
        return
    table(f"{run} on what it has not seen", report.GROUP_COLUMNS, report.group_rows(found))
    table("", report.WRITING_COLUMNS, report.writing_rows(found))
    table(f"{run} minus {against}", report.VERSUS_COLUMNS, report.versus_rows(versus))
    print("\n".join([*([f"warning: {bases}"] if bases else []), *report.lines(found)]))
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
