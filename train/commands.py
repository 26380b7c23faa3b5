"""Commands with a model on this machine: `annot train`, `evaluate`, `release`, `paper`, `talk`, `demo`, `serve` …"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from annotation.commands import Folder, Json, app, named_values, open_project
from annotation.errors import SettingsError

# -- train --------------------------------------------------------------------------------------------------


@app.command(epilog="Example: annot train --preset cpu-smoke")
def train(
    folder: Folder = Path(),
    snapshot: Annotated[str, typer.Option(help="Id of a snapshot; default: the newest.")] = "",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file that says which answers are better (csv, tsv, json, jsonl, parquet, xlsx), or OWNER/NAME of a "
            "dataset on the Hub. Rows that are for evaluation only are refused.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Say what a column of --data means: prompt=Question; repeatable."),
    ] = None,
    repeated: Annotated[
        bool, typer.Option("--repeated", help="Take also an answer of --data that is the rejected one of many prompts.")
    ] = False,
    run: Annotated[str, typer.Option(help="Name of the run; default: preset and snapshot.")] = "",
    preset: Annotated[
        str, typer.Option(help="Settings to use; default: train.preset, or train.picture_preset, of annot.toml.")
    ] = "",
    base: Annotated[str, typer.Option(help="Model folder, Hub id or package:NAME in place of the preset's.")] = "",
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
    from train.by_country import train_by_country
    from train.data.regions import region_line
    from train.data.rows import is_about_pictures, newest_snapshot
    from train.dpo import dry_run as plan_run
    from train.dpo import train as train_run
    from train.engine import distributed
    from train.run_folder import name_run
    from train.settings import as_toml, describe_preset, load_recipe, preset_names

    if list_presets:
        presets = {name: describe_preset(name) for name in preset_names()}
        print_json(presets) if json else table("", ["preset", "for"], presets.items())
        return
    if data and snapshot:
        raise SettingsError("--data and --snapshot exclude each other; name one of them.")
    if not data and (column or repeated):
        raise SettingsError("--column and --repeated are about the file of --data; name one, or leave them out.")
    outside = data is not None and not (folder / "annot.toml").exists()
    settings = TrainSettings() if outside else open_project(folder).settings.train
    home = folder.expanduser().resolve()
    named = home / "snapshots" / snapshot if snapshot else None
    pictures = load_recipe(preset, change or ()).base.vision != "none" if preset else None
    source = data or named or newest_snapshot(home, pictures=pictures)
    if not preset:
        preset = settings.picture_preset if not data and is_about_pictures(source) else settings.preset
    # annot.toml's base belongs to annot.toml's preset
    base = base or {settings.preset: settings.base, settings.picture_preset: settings.picture_base}.get(preset, "")
    by = by or settings.by
    change = [*(change or ()), *(["region.in_prompt=true"] if by == "prompt" else ())]
    change += ["data.repeated=true"] if repeated else []
    change += [f"data.columns={as_toml(named_values(column))}"] if column else []
    target = home / "runs" / name_run(run, preset, source)
    if dry_run:
        price = settings.dollars_per_hour
        plan, device, needed = plan_run(
            source, preset=preset, base=base, overrides=change, dollars_per_hour=price, folder=target
        )
        lines = [*plan.lines(device), *(f"{label:<22}{value}" for label, value in needed.lines())]
        lines += map(region_line, plan.regions) if by == "country" else ()
        print_json({**plan.as_json(device), "estimate": asdict(needed)}) if json else print("\n".join(lines))
        return
    if by == "country" and max(several, distributed.world_size()) > 1:
        raise SettingsError("--by country trains in one process; with several, --set region.country=MX trains one.")
    if several > distributed.world_size():
        raise typer.Exit(distributed.launch(several, sys.argv[1:]))
    with progress("training") as bar:
        start = train_by_country if by == "country" else train_run
        result = start(target, source, preset=preset, base=base, overrides=change, quiet=json, progress=bar)
    if json and distributed.is_first():
        print_json({"folder": result.folder, "already": result.already, **result.done})


@app.command(epilog="Example: annot describe Qwen/Qwen2.5-VL-7B-Instruct --dry-run, then without it")
def describe(
    model: Annotated[
        str, typer.Argument(help="A model that sees: a folder, a Hub id or a run's name; tiny is made on the spot.")
    ],
    folder: Folder = Path(),
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the lines go; default: descriptions-MODEL.jsonl.")
    ] = None,
    each: Annotated[
        int | None, typer.Option(min=1, max=50, help="Descriptions of a picture; default: draft.candidates.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most pictures now; 0: all that lack descriptions.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Time two pictures, write nothing.")] = False,
    json: Json = False,
) -> None:
    """Describe the project's pictures with a model on this machine; `annot draft --from` takes the file."""
    from annotation.screen import print_json, progress
    from train.describe import describe as describe_pictures
    from train.describe import load_describer
    from train.libraries import quiet_libraries

    project = open_project(folder)
    name = model.rstrip("/").rpartition("/")[2]
    target = out or project.folder / f"descriptions-{name}.jsonl"
    with progress("describing") as bar, quiet_libraries(None):
        found = describe_pictures(
            project,
            lambda: load_describer(project, model),
            target,
            each=each or project.settings.draft.candidates,
            limit=limit,
            dry_run=dry_run,
            progress=bar,
        )
    print_json(asdict(found)) if json else print("\n".join(found.lines()))


@app.command(epilog="Example: annot evaluate l40s-8b-lora-bf16-2f6c, then --against another run")
def evaluate(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    folder: Folder = Path(),
    on: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="ranking, looks, writing, exams, votes, bias, stories, and tasks of lm-evaluation-harness (TASK@5: "
            "with five examples); default: ranking and writing, looks where pictures were held out, and exams, bias, "
            "stories and votes once people have checked questions and pairs, judged stories, or voted.",
        ),
    ] = "",
    task_data: Annotated[
        list[str] | None,
        typer.Option("--task-data", metavar="TASK=FILE", help="Rows of a task, or pairs (bias=FILE), in a file."),
    ] = None,
    against: Annotated[str, typer.Option(metavar="RUN", help="Another measured run, to compare slate by slate.")] = "",
    change: Annotated[list[str] | None, typer.Option("--set", help="evaluation.key=value; repeat for more.")] = None,
    json: Json = False,
) -> None:
    """Measure a run: how it ranks held-out slates, what it writes, exams, votes, bias, benchmarks; and the gate."""
    from annotation.screen import print_json, progress, table
    from train.evaluate import report
    from train.evaluate.command_line import (
        chosen_measures,
        duels_about,
        exam_questions_of,
        files_of_tasks,
        minimal_pairs_of,
        seen_in_training,
        shows_pictures,
        stories_about,
    )
    from train.evaluate.compare import (
        VERSUS_COLUMNS,
        check_measured,
        compare,
        keep_comparison,
        versus_rows,
        warn_of_bases,
    )
    from train.evaluate.run import evaluate as evaluate_run
    from train.run_folder import check_name

    for name in filter(None, (run, against)):
        check_name(name)
    runs = folder.expanduser().resolve() / "runs"
    if against not in ("", run):
        check_measured(runs / against)  # before the hours, not after

    def say(line: str) -> None:
        print(f"annot: {line}", file=sys.stderr)

    questions = exam_questions_of(folder) if not on or "exams" in on else ()
    files = files_of_tasks(task_data or ())
    # Whatever is measured: an earlier result of bias is about the pairs that there were.
    pairs = minimal_pairs_of(folder) if "stories" in on or "bias" not in files else ()
    duels, base_version = duels_about(folder, runs / run)
    stories = stories_about(folder, runs / run)
    with progress("evaluating") as bar:
        found = evaluate_run(
            runs / run,
            on=chosen_measures(
                on, questions, say, duels, base_version, pairs, stories, looks=shows_pictures(runs / run)
            ),
            questions=questions,
            seen=seen_in_training(runs / run, questions),
            data=files,
            duels=duels,
            pairs=pairs,
            stories=stories,
            overrides=change or (),
            say=say,
            progress=bar,
        )
    versus = compare(runs / run, runs / against) if against else ()
    bases = warn_of_bases(runs / run, runs / against) if against else ""
    if against:
        keep_comparison(runs / run, runs / against, versus, bases)
    if json:
        print_json(
            {**found.as_json(), "already": found.already, "against": [asdict(one) for one in versus], "bases": bases}
        )
        return
    for shown in (one for summary in found.summaries.values() for one in summary.tables()):
        table(shown.title and f"{run}: {shown.title}", shown.columns, shown.rows)
    table(f"{run} minus {against}", VERSUS_COLUMNS, versus_rows(versus))
    print("\n".join([*([f"warning: {bases}"] if bases else []), *report.lines(found)]))
    print(f"Plots and tables: {runs / run / 'report.md'}")


@app.command(epilog="Example: annot release l40s-8b-lora-bf16-2f6c, then --push OWNER/NAME --dry-run, then without it")
def release(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    folder: Folder = Path(),
    to: Annotated[
        Path | None,
        typer.Option(help="Folder for model/ and dataset/; default: exports/RUN in the project, unless only --space."),
    ] = None,
    space: Annotated[Path | None, typer.Option(help="Folder for the demo, as a Space of the Hub.")] = None,
    push: Annotated[str, typer.Option(metavar="OWNER/NAME", help="Also put it on the Hub; HF_TOKEN may write.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Repositories that --push makes are not private.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --push: make the folders, show each file, send none.")
    ] = False,
    merged: Annotated[bool, typer.Option("--merged", help="The whole model, the adapter merged in.")] = False,
    dtype: Annotated[
        str | None, typer.Option(help="With --merged: float32 (default), bfloat16 or float16 on disk.")
    ] = None,
    ungated: Annotated[bool, typer.Option("--ungated", help="Although `annot evaluate` did not pass it.")] = False,
    json: Json = False,
) -> None:
    """Give away a finished run that passed its gate: model, data and demo with cards, as folders or on the Hub."""
    from annotation.screen import print_json, progress
    from train.release.release import release as give_away
    from train.run_folder import check_name

    if dtype and not merged:
        raise SettingsError("--dtype is that of a merged model; add --merged, or leave it out.")
    if merged and space and not to:
        raise SettingsError("--merged is about the model, and with --space alone there is none; add --to FOLDER.")
    if not push and (dry_run or public):
        raise SettingsError("--dry-run and --public speak of a push; add --push OWNER/NAME, or leave them out.")
    check_name(run)
    home = folder.expanduser().resolve()
    project = open_project(folder) if (home / "annot.toml").exists() else None
    with progress("releasing") as bar:
        done = give_away(
            home / "runs" / run,
            project=project,
            to=to.expanduser() if to else None if space else home / "exports" / run,
            space=space.expanduser() if space else None,
            merged=merged,
            dtype=dtype or "float32",
            ungated=ungated,
            repository=push,
            private=not public,
            dry_run=dry_run,
            progress=bar,
        )
    print_json(asdict(done)) if json else print("\n".join(done.lines()))


@app.command(epilog="Example: annot paper our-paper, then write in our-paper/words.md and run it again")
def paper(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make, or one that was made before.")],
    folder: Folder = Path(),
    run: Annotated[
        str, typer.Option(metavar="NAME", help="The run it is about; default: the newest that passed its gate.")
    ] = "",
    json: Json = False,
) -> None:
    """Write a paper from the finished runs: LaTeX (ACL) and Markdown, with every number read from a run."""
    from annotation.screen import print_json, progress
    from train.libraries import quiet_libraries
    from train.release.paper.make import make_paper
    from train.run_folder import check_name

    if run:
        check_name(run)
    with progress("writing") as bar, quiet_libraries(None):
        done = make_paper(folder.expanduser().resolve(), to.expanduser(), run=run, progress=bar)
    print_json(asdict(done)) if json else print("\n".join(done.lines()))


@app.command(epilog="Example: annot talk our-talk --language es")
def talk(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to make, or one that was made before.")],
    folder: Folder = Path(),
    run: Annotated[
        str, typer.Option(metavar="NAME", help="The run it is about; default: the newest that passed its gate.")
    ] = "",
    language: Annotated[
        Literal["es", "pt", "en"] | None,
        typer.Option(help="Of the talk; default: that of the talk in FOLDER, else the project's first."),
    ] = None,
    rate: Annotated[int, typer.Option(min=60, max=240, help="Words that are spoken in a minute.")] = 130,
    json: Json = False,
) -> None:
    """Make a talk of five minutes: slides for a browser, as PDF and for Marp, and the words to be spoken, timed."""
    from annotation.screen import print_json, progress
    from train.libraries import quiet_libraries
    from train.release.talk.talk import make_talk
    from train.run_folder import check_name

    if run:
        check_name(run)
    home = folder.expanduser().resolve()
    settings = open_project(folder).settings if (home / "annot.toml").exists() else None
    with progress("making the talk") as bar, quiet_libraries(None):
        done = make_talk(
            home, to.expanduser(), run=run, language=language or "", rate=rate, settings=settings, progress=bar
        )
    print_json(asdict(done)) if json else print("\n".join(done.lines()))


@app.command(epilog="Example: annot demo l40s-8b-lora-bf16-2f6c")
def demo(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    folder: Folder = Path(),
    port: Annotated[int, typer.Option(help="Port of this machine.")] = 7860,
    json: Json = False,
) -> None:
    """Show a finished run here: a blind comparison with its base that people vote on, and a chat of a text model."""
    from annotation.screen import print_json
    from train.release.demo import Demo, serve_demo
    from train.run_folder import check_name

    check_name(run)
    home = folder.expanduser().resolve()
    project = open_project(folder) if (home / "annot.toml").exists() else None

    def ready(shown: Demo) -> None:
        ending = f"Ctrl-C ends it; `annot votes pull {shlex.quote(str(shown.votes))}` then brings the votes home."
        print_json(asdict(shown)) if json else print(f"{run}: {shown.url}\n{ending}", flush=True)

    serve_demo(home / "runs" / run, ready, project=project, port=port)


@app.command(epilog="Example: annot serve l40s-8b-lora-bf16-2f6c")
def serve(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    folder: Folder = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine; 0 takes one that is free.")] = 8000,
    json: Json = False,
) -> None:
    """Serve the model of a finished run to this machine: any client of OpenAI's chat completions can talk to it."""
    from annotation.screen import print_json
    from train.run_folder import check_name
    from train.serve import Served
    from train.serve import serve as serve_run

    check_name(run)

    def ready(served: Served) -> None:
        if json:
            print_json(asdict(served))
        else:
            print(f"{run}: {served.url}, as the model {served.model}\nCtrl-C ends it; it asks for no key.")
        sys.stdout.flush()

    serve_run(folder.expanduser().resolve() / "runs" / run, ready, port=port)
