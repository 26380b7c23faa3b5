"""Commands of stereotypes: `annot stereotypes add`, `share`, `list`, `pairs`, `stories` and `export`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, open_project, stereotypes_app
from annotation.errors import SettingsError


@stereotypes_app.command(
    "add", epilog="Example: annot stereotypes add seegull_ml_stereotypes_es_MX.csv --for MX --limit 500"
)
def stereotypes_add(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="SeeGULL Multilingual, LACES, HESEIA, or a table with the columns identity, attribute and language "
            "(csv, tsv, json, jsonl, parquet, xlsx); or owner/name on the Hub."
        ),
    ] = None,
    folder: Folder = Path(),
    shared: Annotated[
        bool, typer.Option("--shared", help="What the team shared since, and out again what nobody shares any more.")
    ] = False,
    language: Annotated[str, typer.Option(help="Of rows that name none.")] = "",
    country: Annotated[str, typer.Option(help="Where the people live who said so, where a file does not say it.")] = "",
    licence: Annotated[
        str,
        typer.Option("--licence", "--license", help="Of rows that name none.", show_default="of a known set, its own"),
    ] = "",
    for_country: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="CODE",
            help="Country whose people are asked; repeatable. Default: those of project.countries that speak it.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most of each source, drawn evenly over the groups; the same ones again.")
    ] = None,
    author: Annotated[
        str, typer.Option(metavar="USERNAME", help="Who on the team collected them: not asked to rate them.")
    ] = "",
    show: Annotated[bool, typer.Option("--show", help="Print some of the texts, which may hurt.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Read stereotypes that are known: people who agree to see them say how well known each is where they live."""
    from annotation.screen import count_reasons, print_json, progress, show_dropped, table
    from annotation.stereotypes.add import REMEDIES, add_stereotypes
    from annotation.stereotypes.shared import take_shared
    from annotation.text.locales import name_of_country, name_of_language

    if shared == bool(source):
        raise SettingsError("annot stereotypes add reads files, or with --shared what the team wrote; say one of both.")
    if shared:
        taken = take_shared(open_project(folder), dry_run=dry_run)
        if json:
            print_json(taken.as_json())
            return
        print(taken.sentence())
        show_dropped("lines", count_reasons(taken.dropped), {})
        if not dry_run and (taken.items or taken.back or taken.removed):
            print("Next: annot push")
        return
    with progress("stereotypes") as report:
        added = add_stereotypes(
            open_project(folder),
            source or (),
            language=language,
            country=country,
            licence=licence,
            for_countries=for_country or (),
            limit=limit,
            author=author,
            dry_run=dry_run,
            progress=report,
        )
    if json:
        print_json(added.as_json(show=show))
        return
    print(added.sentence())
    asked = [("asked in", name_of_country(code, "en"), count) for code, count in added.asked.items()]
    languages = [("in", name_of_language(code), count) for code, count in added.languages()]
    first, *others = (added.targets()[:10], *added.targets()[10:])
    targets = [("about", name_of_country(code, "en"), count) for code, count in first]
    if others:
        targets.append(("about", f"{len(others)} more", sum(count for _, count in others)))
    table("New", ("", "", "stereotypes"), [*asked, *languages, *targets])
    said = [(name_of_country(code, "en") or "not known", sum(of.values())) for code, of in added.regions.items()]
    table("What the sources say themselves", ("region", "ratings"), sorted(said, key=lambda row: -row[1])[:10])
    show_dropped("rows", added.reasons(), REMEDIES)
    for notice in added.notices:
        print(f"Note: {notice}")
    if show:
        table("Some of them", ("language", "text"), [(one.language, one.text) for one in added.kept[:10]])
    if dry_run:
        print("Nothing was written: leave out --dry-run to add them.")
    elif added.kept:
        print("Nobody sees one of them before they were warned of what it is, and said that they want to.")
        print("Next: annot push --task stereotype")


@stereotypes_app.command("remove", epilog="Example: annot stereotypes remove seegull_ml_stereotypes_es_MX.csv")
def stereotypes_remove(
    which: Annotated[str, typer.Argument(metavar="FILE|ID", help="The file they were read from, or the id of one.")],
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Take stereotypes out that nobody was asked about yet."""
    from annotation.screen import print_json
    from annotation.stereotypes.remove import remove_stereotypes

    found = remove_stereotypes(open_project(folder), which, dry_run=dry_run)
    print_json(asdict(found)) if json else print(found.sentence())


@stereotypes_app.command("share", epilog="Example: annot stereotypes share --about AR --about any --for UY")
def stereotypes_share(
    folder: Folder = Path(),
    about: Annotated[
        list[str] | None,
        typer.Option(
            help='Country whose people are written about, or "any" for a group that people name. Repeatable.',
            show_default="the project's countries and any",
        ),
    ] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option("--for", help="Country that is asked. Repeatable.", show_default="the project's countries"),
    ] = None,
    more: Annotated[bool, typer.Option("--more", help="Another sheet of each: people can share again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Make sheets on which people write what is said of a group where they live; others rate it later."""
    from annotation.screen import print_json
    from annotation.stereotypes.sheets import add_sheets

    done = add_sheets(open_project(folder), about or (), asked or (), more=more, dry_run=dry_run)
    if json:
        print_json(asdict(done))
        return
    print(done.sentence())
    if done.made and not dry_run:
        print("Next: annot push; when people have written, annot sync and annot stereotypes add --shared")


@stereotypes_app.command("list", epilog="Example: annot stereotypes list")
def stereotypes_list(
    folder: Folder = Path(),
    each: Annotated[
        bool, typer.Option("--each", help="Every association that enough people rated, with its text: it may hurt.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what the people of each region know, own group and others apart; nothing of fewer than three raters."""
    from annotation.screen import print_json, progress
    from annotation.stereotypes.overview import overview

    project = open_project(folder)
    with progress("reading ratings") as report:
        found = overview(project, report, each=each)
    if json:
        print_json(found.as_json(each=each))
    else:
        found.show(each=each)


@stereotypes_app.command("pairs", epilog="Example: annot stereotypes pairs --dry-run")
def stereotypes_pairs(
    folder: Folder = Path(),
    show: Annotated[bool, typer.Option("--show", help="Print some of the sentences, which may hurt.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Make sentences of what a region knows, each with control groups; two people check them before they count."""
    from annotation.screen import count_reasons, print_json, show_remedies, table
    from annotation.stereotypes.pairs import REMEDIES, make_pairs
    from annotation.tasks.pair_check.item import pairs_of

    made = make_pairs(open_project(folder), dry_run=dry_run)
    shown = [pairs_of(item)[0] for item in made.items[:10]] if show else []
    texts = [(pair.country, pair.sentence, pair.control_sentence) for pair in shown]
    if json:
        print_json({**made.as_json(), "dry_run": dry_run, **({"sentences_shown": texts} if show else {})})
        return
    print(made.sentence(dry_run=dry_run))
    counts = made.as_json()
    table("New sentences", ("template", "sentences"), counts["by_template"].items())
    table("Associations that give none", ("reason", "associations"), counts["left_out"].items())
    show_remedies((reason for reason, _, _ in count_reasons(made.dropped)), REMEDIES)
    table("Some of them", ("country", "sentence", "control"), texts)
    if made.items and not dry_run:
        print("Next: annot push --task pair_check")


@stereotypes_app.command("stories", epilog="Example: annot stereotypes stories l40s-8b-lora-bf16-2f6c, then annot push")
def stereotypes_stories(
    run: Annotated[str, typer.Argument(help="Name of a run that `annot evaluate RUN --on stories` wrote texts for.")],
    folder: Folder = Path(),
    json: Json = False,
) -> None:
    """Ask people whether what a run's models wrote about people of groups has stereotypes; sides stay hidden."""
    from annotation.screen import print_json
    from annotation.stereotypes.stories import ask_about_stories

    asked = ask_about_stories(open_project(folder), run)
    print_json(asked.as_json()) if json else print("\n".join(asked.lines()))


@stereotypes_app.command("export", epilog="Example: annot stereotypes export --to exports/stereotypes")
def stereotypes_export(
    folder: Folder = Path(),
    to: Annotated[
        Path | None, typer.Option(help="Folder to write into; default: exports/stereotypes in the project.")
    ] = None,
    without_licence: Annotated[
        bool, typer.Option("--without-licence", help="Also what comes from sources that state no licence.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before texts leave the project.")] = False,
    json: Json = False,
) -> None:
    """Write what regions know, and the checked pairs, for evaluation alone: with a card that asks for consent."""
    from annotation.screen import print_json, progress
    from annotation.stereotypes.export import leaving, write_stereotypes

    project = open_project(folder)
    with progress("reading ratings") as report:
        found = leaving(project, without_licence=without_licence, progress=report)
    if not yes:
        if json or not sys.stdin.isatty():
            raise SettingsError(f"{found.sentence()} Say --yes where that is meant.")
        print(found.sentence())
        for reason, source, count in found.reasons():
            print(f"Left out: {count} of {source}, since {reason}.")
        typer.confirm("Write them?", default=False, abort=True, err=True)
    target = to or project.folder / "exports" / "stereotypes"
    files = write_stereotypes(project, target, found)
    if json:
        print_json({**found.as_json(), "files": files})
    else:
        print(f"{len(files)} files are in {target}, which nobody else on this machine may read.")
        print("They are for evaluation alone: nothing may be trained on them. On the Hub, give access on request only.")
