"""Tables that leave a project: what every task says of its answers, read part by part and written as files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from annotation.files import whole_file, write_whole
from annotation.images.store import link_pictures
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.tasks import TASKS
from annotation.tasks.answers import AT_ONCE, answered_items
from annotation.tasks.base import Kind, Rows, Texts
from annotation.tasks.duel.task import NAME as DUEL
from annotation.tasks.duel.votes import duel_tables
from annotation.tasks.ranking.file_judgements import FILE_RANKINGS, file_tables
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.tasks.ranking.tables import IMAGE
from annotation.text.privacy import mask_typed

LEFT_OUT = "left_out.parquet"
"""Whose answers are in no other file of an export, and why."""

TYPED = ("rewrite", "comment", "correction", "typed_prompt")
"""Columns with what people typed."""

_PICTURE = re.compile(r"[0-9a-f]{64}\.jpg")
"""Name of a picture's file."""

STALE_S = 86_400.0
"""Nothing was written into a file for so long: whoever wrote it is gone."""


def read_tables(project: Project, name: str, *, progress: Progress = silent) -> Iterator[dict[str, Rows]]:
    """A task's tables (file name -> rows), part by part in the order of the items' ids.

    A task without items has none; but the ranking has empty ones in a project in which nothing is ranked.
    """
    ledger, task = project.ledger, TASKS[name]
    ranked = (name,) if name != RANKING else (RANKING, DESCRIPTION)
    there = {of for of in ranked if ledger.rows("select 1 from items where task = ? limit 1", of)}
    if name not in there and (there or name != RANKING):
        return
    for items, answers in answered_items(ledger, name, progress=progress):
        texts = Texts.of(ledger, task, [items[item_id] for item_id in {answer.item_id for answer in answers}])
        yield task.tables(items, answers, texts, project.settings, project.pseudonym)


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written by `annot export`.

    Attributes:
        rows: File -> how many it holds.
        files: Where they are.
        typed: Rows with a text that somebody typed.
        removed_prompts: Prompts that none of them names, as they were taken out.
        left_out: Sensitive tasks whose answers none of them holds -> how many these are.
    """

    rows: Mapping[str, int]
    files: tuple[Path, ...]
    typed: int = 0
    removed_prompts: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


def export(project: Project, folder: Path, *, progress: Progress = silent) -> Exported:
    """Write what the ledger says now for people and for other trainers: the tables of every task that has answers.

    What may hurt has a command of its own: sensitive tasks are left out, and counted.
    """
    with project.ledger.moment(), ExitStack() as files:
        written, typed, pictures = Tables(folder, files), 0, set[str]()
        for name in (name for name, task in TASKS.items() if not task.sensitive):
            found = read_tables(project, name, progress=progress)
            votes = duel_tables(project.ledger, project.settings, project.pseudonym, AT_ONCE) if name == DUEL else ()
            told = file_tables(project.ledger, AT_ONCE) if name == RANKING else ()
            for tables in chain(found, votes, told):
                for file, table in tables.items():
                    written.add(file, table)
                    pictures.update(row[IMAGE] for row in table.rows if IMAGE in row)
                    if columns := [name for name in TYPED if name in table.columns]:
                        typed += sum(any(row.get(name) for name in columns) for row in table.rows)
        people = project.ledger.named_people()
        out = [
            {
                "annotator": project.pseudonym(person.username),
                "country": person.country,
                "reason": mask_typed(person.excluded, person.country, people),
            }
            for person in people
            if person.excluded
        ]
        if out:
            written.add(LEFT_OUT, Rows(out, {"annotator": "text", "country": "text", "reason": "text"}))
        else:
            (folder / LEFT_OUT).unlink(missing_ok=True)
        if FILE_RANKINGS not in written.counts:  # What is gone from the ledger stays in no file of an export.
            (folder / FILE_RANKINGS).unlink(missing_ok=True)
        _link(project, folder, pictures)  # before the tables that name them are in their place
        sensitive = count_answers(project.ledger, [name for name, task in TASKS.items() if task.sensitive])
    _describe(folder, [name for name, rows in written.counts.items() if rows], pictures=bool(pictures))
    removed = project.ledger.count_prompts()[1]
    return Exported(written.counts, tuple(folder / file for file in written.counts), typed, removed, sensitive)


def _link(project: Project, folder: Path, pictures: Collection[str]) -> None:
    """Put the pictures that tables name beside these; those of an earlier export that none names any more go.

    Raises:
        LostPicture: The file of one is not there.
    """
    link_pictures(sorted(pictures), project.folder, folder)
    if not (folder / "annot.toml").exists():  # else it is a project, and has pictures of its own
        for path in folder.glob("images/??/*.jpg"):
            if _PICTURE.fullmatch(path.name) and path.stem not in pictures:
                path.unlink()


def count_answers(ledger: Ledger, tasks: Collection[str]) -> dict[str, int]:
    """Task -> how many responses were submitted to its items, of those tasks that have any; texts are not read."""
    rows = ledger.rows(
        """select task, count(*) as n from responses r join items i on i.id = r.item_id
           where r.status = 'submitted' and task in (select value from json_each(?))
             and not exists (select 1 from responses l where l.server = r.server
               and l.response_id = r.response_id and l.seq > r.seq)
           group by task""",
        json.dumps(list(tasks)),
    )
    return {row["task"]: row["n"] for row in rows}


def _describe(folder: Path, names: Iterable[str], *, pictures: bool = False) -> None:
    """Have `datasets.load_dataset(FOLDER)` load the first table, and `load_dataset(FOLDER, NAME)` each.

    None of them is empty: the library loads no empty one. Where tables name pictures, it says where these are.
    """
    path, head = folder / "README.md", "---\nconfigs:\n"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(head):
        return  # somebody's own
    tables = [name for name in names if name.endswith(".parquet")]  # one kind of file: the library takes no other then
    if not tables:
        path.unlink(missing_ok=True)
        return
    first, *more = (f"- config_name: {Path(name).stem}\n  data_files: {name}\n" for name in tables)
    said = (
        "\nThe `image` of a row is the id of a picture, its file `images/`, the first two signs of the id, `/ID.jpg`.\n"
    )
    end = "---\n" + (said if pictures else "")
    write_whole(path, (head + first + "  default: true\n" + "".join(more) + end).encode())


class Tables:
    """Files of tables, written part by part beside one another: whole at the end of the stack, or absent."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self.folder, self.files = folder, files
        self.counts: dict[str, int] = {}
        self._writers: dict[str, Callable[[Rows], None]] = {}

    def add(self, name: str, table: Rows) -> None:
        if name not in self._writers:
            self._writers[name] = self.files.enter_context(_writer(self.folder / name, table.columns))
        self._writers[name](table)
        self.counts[name] = self.counts.get(name, 0) + len(table.rows)


@contextmanager
def _writer(path: Path, columns: Mapping[str, Kind]) -> Iterator[Callable[[Rows], None]]:
    """What appends to a file, parquet or JSON lines by its name."""
    for left in path.parent.glob(f".{path.name}.*"):  # of an export that was killed
        if time.time() - left.stat().st_mtime > STALE_S:
            left.unlink(missing_ok=True)
    with whole_file(path) as beside:
        if path.suffix == ".jsonl":
            from pydantic_core import to_json

            with beside.open("wb") as file:
                yield lambda table: file.writelines(to_json(table.line(row)) + b"\n" for row in table.rows)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = schema_of(columns)
            with pq.ParquetWriter(beside, schema) as writer:

                def append(table: Rows) -> None:
                    if table.rows:  # the library `datasets` reads as many rows at once as the first part of a file has
                        rows = pa.array(table.rows, pa.struct(list(schema)))  # half the time of Table.from_pylist
                        writer.write_batch(pa.RecordBatch.from_struct_array(rows))

                yield append


def schema_of(columns: Mapping[str, Kind]) -> Any:
    """The schema of a table, of pyarrow."""
    import pyarrow as pa

    kinds = {
        "text": pa.string(),
        "texts": pa.list_(pa.string()),
        "int": pa.int64(),
        "ints": pa.list_(pa.int64()),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "lists of texts": pa.list_(pa.list_(pa.string())),
    }
    return pa.schema({name: kinds[kind] for name, kind in columns.items()})
