"""The dataset repository of a release: tables of what people said, the page that they worked in, and a datasheet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.data_facts import data_facts, origins
from annotation.errors import TrainError
from annotation.exams.export import released_questions, released_table
from annotation.files import write_whole
from annotation.project import Project
from annotation.prompts.review import waiting_prompts
from annotation.screen import Progress, silent
from annotation.tables import Tables, read_tables
from annotation.tasks import TASKS
from annotation.tasks.base import Kind, Rows
from annotation.tasks.ranking.slates import RANKING
from annotation.text.privacy import mask_typed
from annotation.types import Dropped, Prompt
from train.release.argilla_files import argilla_files, slate_table
from train.release.datasheet import datasheet
from train.release.few import without_few
from train.release.figures import read_json
from train.release.folder import made_whole, own_words, write_card, write_release
from train.release.given import Given
from train.release.judged import DATA
from train.release.pictures import TABLE, given_pictures, picture_facts, write_pictures
from train.run_folder import finished_run

SLATES, PROMPTS, EXAMS, CHECKS = (f"{name}.parquet" for name in ("slates", "prompts", "exams", "exam_checks"))

NOT_HERE = ("preferences.jsonl", "description_preferences.jsonl", "exam_questions.parquet")
"""Tables of an export that say here what another one says: the preferences, and the exams that may be given away."""

PROMPT: Mapping[str, Kind] = dict.fromkeys(
    ("prompt_id", "prompt", "system", "country", "language", "topic", "source", "licence"), "text"
)

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(slots=True)
class Written:
    """What was written of a project.

    Attributes:
        rows: Table -> rows, of those that have any.
        judged: Rows of those tables that hold what people said.
        lengths: Of preferences: "pairs" of different length, and those whose "longer" answer was chosen.
        exams: What was given away and what not.
        pictures: The same of pictures; nothing where there are none.
    """

    rows: dict[str, int] = field(default_factory=dict)
    judged: int = 0
    lengths: Counter[str] = field(default_factory=Counter)
    exams: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Any] = field(default_factory=dict)


def make_dataset(project: Project, run: Path, to: Path, given: Given, *, progress: Progress = silent) -> dict[str, int]:
    """Make the folder of a project's data, as its ledger is now; one that an earlier release of the run made goes.

    Votes of a demo's visitors are not in it. What its datasheet says is kept in the run's folder as dataset.json.

    Args:
        project: Whose data it is.
        run: Folder of the finished run that the data is released with.
        to: Folder to make.
        given: What people said of the release.
        progress: Told how many items of a task are read.

    Returns:
        Table -> rows.

    Raises:
        TrainError: Nobody has answered anything yet, the run is not finished, or the target is taken.
    """
    name = finished_run(run)[0]["run"]
    with made_whole(to, {"kind": "dataset", "run": name}) as beside:
        yours = own_words(to)
        with project.ledger.moment():
            written = _write_tables(project, beside / "data", progress)
            if not written.judged:
                raise TrainError(
                    f"{project.folder} has no answer of anybody yet, so there is no dataset to give away; "
                    "`annot sync` brings them."
                )
            facts = _facts(project, run, beside / "data", written, given)
            _write_texts(project, beside, facts["data"])
        write_whole(run / DATA, json.dumps(facts, ensure_ascii=False, indent=2).encode())
        write_card(beside, *datasheet(run), yours)
        write_release(beside, "dataset", run, project=project.ledger.name)
    return written.rows


def _write_tables(project: Project, folder: Path, progress: Progress) -> Written:
    """A file for every table that has rows."""
    written, (chosen, dropped) = Written(), released_questions(project)
    questions, waiting = {found.question.id for found in chosen}, waiting_prompts(project.ledger, project.settings)
    with ExitStack() as files:
        tables = Tables(folder, files)
        # What may hurt leaves the project by `annot stereotypes export` alone.
        for name in (name for name, task in TASKS.items() if not task.sensitive):
            for part in read_tables(project, name, progress=progress):
                for file, table in part.items():
                    own = [row for row in table.rows if row.get("prompt_id") not in waiting]
                    if file == CHECKS:
                        own = [row for row in own if row["question_id"] in questions]
                    table = Rows(own, table.columns)
                    if file not in NOT_HERE:
                        tables.add(file, table)
                        written.judged += len(table.rows)
                if name == RANKING:
                    tables.add(SLATES, slate_table(project, {row["slate_id"] for row in part["rankings.parquet"].rows}))
                for file in (file for file in part if file.endswith("preferences.parquet")):
                    _count_lengths(part[file].rows, written.lengths)
        prompts = [prompt for prompt in project.ledger.prompts() if prompt.id not in waiting]
        shown: dict[str, Kind] = {"image": "text"} if any(prompt.image for prompt in prompts) else {}
        tables.add(PROMPTS, Rows(_prompts(project, prompts), {**PROMPT, **shown}))
        tables.add(EXAMS, released_table(chosen))
    # Argilla's own library reads the first table: as records.
    for file in sorted(tables.counts, key=lambda file: file != SLATES):
        if rows := tables.counts[file]:
            written.rows[file] = rows
        else:  # the library `datasets` loads no empty one
            (folder / file).unlink()
    pictures, left = given_pictures(project, prompts)
    if pictures:
        write_pictures(project, pictures, folder / TABLE)
        written.rows[TABLE] = len(pictures)
    if pictures or left:
        written.pictures = picture_facts(pictures, left)
    exams = Counter((q.country, q.exam, q.source, q.licence) for q in (found.question for found in chosen))
    names = ("country", "exam", "source", "licence")
    written.exams = {
        "questions": len(chosen),
        "exams": [{**dict(zip(names, key, strict=True)), "questions": exams[key]} for key in sorted(exams)],
        "left_out": _reasons(dropped),
    }
    return written


def _reasons(dropped: Sequence[Dropped]) -> dict[str, int]:
    return dict(sorted(Counter(one.reason for one in dropped).items()))


def _count_lengths(rows: Sequence[Mapping[str, Any]], lengths: Counter[str]) -> None:
    for row in rows:
        chosen, rejected = len(row["chosen"]), len(row["rejected"])
        lengths["pairs"] += chosen != rejected
        lengths["longer"] += chosen > rejected


def _prompts(project: Project, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
    origin = origins(project.ledger, prompts)
    rows = []
    for prompt in prompts:
        own = {name: getattr(prompt, name) for name in ("system", "country", "language", "topic", "licence", "image")}
        rows.append({"prompt_id": prompt.id, "prompt": prompt.text, "source": origin[prompt.id], **own})
    return sorted(rows, key=lambda row: row["prompt_id"])


def _facts(project: Project, run: Path, folder: Path, written: Written, given: Given) -> dict[str, Any]:
    """All that the datasheet says."""
    own, lengths = project.settings.release, written.lengths
    most = max(written.rows.values())
    return {
        "run": finished_run(run)[0]["run"],
        "project": project.settings.project.name,
        "motivation": project.settings.demo.motivation,
        "newest_answer": project.ledger.rows("select max(updated_at) as at from responses where status = 'submitted'")[
            0
        ]["at"],
        "licence": given.data_licence,
        "consent": own.consent,
        "contact": own.contact,
        "model": given.model if given.dataset else "",
        "size": next((name for below, name in SIZES if most < below), "1M<n<10M"),
        "tables": written.rows,
        "exams": written.exams,
        **({"pictures": written.pictures} if written.pictures else {}),
        "chosen_is_longer": {**lengths, "share": round(lengths["longer"] / lengths["pairs"], 4)}
        if lengths["pairs"]
        else {},
        "snapshot": _snapshot(project, run, folder),
        "data": without_few(data_facts(project)),
    }


def _snapshot(project: Project, run: Path, folder: Path) -> dict[str, Any]:
    """What the run was trained on, and which of its rankings are in the tables that are given away."""
    name = finished_run(run)[0].get("snapshot")
    if not name:
        return {}
    home = project.snapshot_folder(name)
    facts = read_json(run / "snapshot.json") or read_json(home / "snapshot.json") or {}
    found = {"id": name, **{key: facts[key] for key in ("made_at", "rankings", "preferences") if key in facts}}
    before, after = _rankings(home / "rankings.parquet"), _rankings(folder / "rankings.parquet")
    if before is None or after is None:
        return found
    return {**found, "kept": len(before & after), "gone": len(before - after), "new": len(after - before)}


def _rankings(path: Path) -> set[tuple[str, str]] | None:
    """Slates and pseudonyms of a table of rankings; None where there is none."""
    if not path.exists():
        return None
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["slate_id", "annotator"])
    return set(zip(table["slate_id"].to_pylist(), table["annotator"].to_pylist(), strict=True))


def _write_texts(project: Project, beside: Path, data: Mapping[str, Any]) -> None:
    """The guidelines of every task, and the ranking's page in Argilla's own form."""
    people = project.ledger.named_people()
    for name, task in data["tasks"].items():
        for shown in task["guidelines"]:
            if "text" in shown:
                shown["file"] = f"guidelines/{name}-{'-'.join(shown['countries'])}-{shown['language']}.md"
                shown["text"] = mask_typed(shown["text"], None, people)
                write_whole(beside / shown["file"], f"{shown['text']}\n".encode())
    if answers := data["tasks"].get(RANKING, {}).get("answers_by_country"):
        for path, content in argilla_files(project, next(iter(answers))).items():
            write_whole(beside / path, json.dumps(content, ensure_ascii=False, indent=1).encode())
