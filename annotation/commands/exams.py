"""Commands of exams: `annot exams add`, `remove`, `list` and `export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from annotation.commands import Folder, Json, exams_app, open_project


@exams_app.command(
    "add",
    epilog="Example: annot exams add exam.pdf --key answers.pdf --country PE --language es --exam ENAM "
    "--level Professional --category Medicine --source-url https://example.org/exam --licence CC-BY-4.0",
)
def exams_add(
    source: Annotated[
        list[str],
        typer.Argument(help="PDF files, tables (csv, tsv, json, jsonl, parquet, xlsx), or owner/name on the Hub."),
    ],
    folder: Folder = Path(),
    country: Annotated[str, typer.Option(help="Of questions that name none.", show_default="exams.country")] = "",
    language: Annotated[str, typer.Option(help="Of questions that name none.", show_default="exams.language")] = "",
    exam: Annotated[str, typer.Option(help="Name of the exam.", show_default="exams.exam")] = "",
    level: Annotated[
        str, typer.Option(help='"Academic", "Professional", "License", …', show_default="exams.level")
    ] = "",
    category: Annotated[str, typer.Option(help="Subject, in English.", show_default="exams.category")] = "",
    domain: Annotated[str, typer.Option(help="INCLUDE's wider field, for example Social Science.")] = "",
    source_url: Annotated[
        str, typer.Option("--source-url", help="Where the exam can be had.", show_default="exams.source")
    ] = "",
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="As the source states it.", show_default="exams.licence")
    ] = "",
    key: Annotated[
        Path | None,
        typer.Option(help='Answers to one PDF: another PDF, a txt ("1 A" in each line), or a table (number, answer).'),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Questions to leave out, for example INCLUDE's; a file or a Hub dataset. Repeatable."),
    ] = None,
    author: Annotated[
        str, typer.Option(metavar="USERNAME", help="Who on the team extracted them: not asked to check them.")
    ] = "",
    with_cohere: Annotated[
        bool,
        typer.Option("--with-cohere", help="Pages that the rules are unsure of go to Cohere, within draft.budget_usd."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come; write and pay nothing.")] = False,
    json: Json = False,
) -> None:
    """Read multiple-choice exams: what INCLUDE takes becomes questions that people check with `annot push`."""
    from annotation.exams.add import REMEDIES, add_exams
    from annotation.screen import print_json, progress, show_dropped, table

    given = {
        "country": country,
        "language": language,
        "exam": exam,
        "level": level,
        "category": category,
        "domain": domain,
        "source": source_url,
        "licence": licence,
    }
    with progress("exams") as report:
        added = add_exams(
            open_project(folder),
            source,
            given=given,
            key=key,
            against=against or (),
            author=author,
            with_cohere=with_cohere,
            dry_run=dry_run,
            progress=report,
        )
    if json:
        print_json(added.as_json())
        return
    print(added.sentence())
    table("New", ("country", "language", "exam", "category", "questions"), added.groups())
    table("People decide, when they check", ("what", "questions"), added.waiting())
    show_dropped("questions", added.reasons(), REMEDIES)
    for notice in added.notices:
        print(f"Note: {notice}")
    if dry_run:
        print("Nothing was written: leave out --dry-run to add them.")
    elif added.kept:
        print("Look at them before you go on: once people are asked, keys and provenance stay as they are.")
        print("Next: annot exams list --each, then annot push")


@exams_app.command("remove", epilog='Example: annot exams remove "ENAM 2018 A"')
def exams_remove(
    exam: Annotated[str, typer.Argument(help="Name of the exam, as `annot exams list` shows it.")],
    folder: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Take an exam out that nobody was asked about yet, for example to add it anew with its key."""
    from annotation.exams.remove import remove_exam
    from annotation.screen import print_json

    found = remove_exam(open_project(folder), exam, dry_run=dry_run)
    print_json(asdict(found)) if json else print(found.sentence())


@exams_app.command("list", epilog="Example: annot exams list --each")
def exams_list(
    folder: Folder = Path(),
    each: Annotated[bool, typer.Option("--each", help="Every question, as people settled it so far.")] = False,
    json: Json = False,
) -> None:
    """Count the questions by exam and by what people say of them, and those that training texts give away."""
    from annotation.exams.checked import count_questions, settled_questions
    from annotation.exams.contamination import contamination
    from annotation.screen import print_json, progress, table

    project = open_project(folder)
    settled = settled_questions(project.ledger, project.settings)
    with progress("looking for contamination") as report:
        seen = contamination(project, [found.question for found in settled], report)
    columns = ("country", "exam", "category", "status", "questions")
    groups = [(*group, count) for group, count in sorted(count_questions(settled).items())]
    if json:
        listed = {"each": [asdict(found) for found in settled]} if each else {}
        exams = [dict(zip(columns, group, strict=True)) for group in groups]
        print_json({"questions": len(settled), "exams": exams, "contamination": seen.as_json(), **listed})
    elif not settled:
        print("There are no exam questions yet. Next: annot exams add FILE")
    else:
        if each:
            rows = ((f.question.id, f.question.exam, f.question.number, f.status, f.question.question) for f in settled)
            table("", ("id", "exam", "number", "status", "question"), rows)
        else:
            table("", columns, groups)
        print(seen.sentence())


@exams_app.command("export", epilog="Example: annot exams export --to exports/exams")
def exams_export(
    folder: Folder = Path(),
    to: Annotated[
        Path | None, typer.Option(help="Folder to write into; default: exports/exams in the project.")
    ] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Also what nobody has checked yet.")] = False,
    json: Json = False,
) -> None:
    """Write the checked questions as INCLUDE takes them, and as a dataset with its card."""
    from annotation.exams.contamination import contamination
    from annotation.exams.export import export_exams
    from annotation.screen import print_json, progress

    project = open_project(folder)
    target = to or project.folder / "exports" / "exams"
    with progress("looking for contamination") as report:
        done = export_exams(
            project,
            target,
            only_checked=not unchecked,
            notes=lambda questions: [contamination(project, questions, report).sentence()],
        )
    if json:
        print_json(asdict(done))
        return
    print("\n".join([done.sentence(), *done.notes, f"They are in {target}."]))
