"""How long the commands of stereotypes take with 50,000 associations and 200,000 ratings, and how much memory.

    .venv/bin/python benchmarks/stereotypes.py
    .venv/bin/python benchmarks/stereotypes.py --rows 5000 --ratings 20000 --only list pairs

Makes a table of invented associations of real peoples' names with words that do not exist, reads it for five countries,
has people rate as many items as are asked for, four each, as a pull keeps their answers, and runs whole commands one at
a time. Prints the seconds that each took, those of the processor, and its peak memory. Nothing that the texts say means
anything.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing import Process
from pathlib import Path

from ledger import BEGAN, SERVER, measure  # beside this script

from annotation.ledger import Response
from annotation.project import Project, init_project
from annotation.stereotypes.identities import written
from annotation.tasks import TASKS
from annotation.tasks.stereotype.item import NAME
from annotation.tasks.stereotype.rating import Rating
from annotation.types import Item, Person

COUNTRIES = ("MX", "AR", "PE", "CO", "CL")
RATERS = 4
STEPS = ("add", "add again", "list", "pairs", "status", "export")


def write_table(path: Path, rows: int, draw: random.Random) -> None:
    """Groups and what is said of them, each pair once."""
    groups = [forms[2] for forms in written("es").values()]
    parts = [a + b for a in "bcdfgjlmnprstv" for b in "aeiou"]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("identity", "attribute", "language"))
        for number in range(rows):
            said = f"{''.join(draw.choices(parts, k=3))}dor {number}"
            table.writerow((groups[number % len(groups)], said, "es"))


def rate(folder: Path, ratings: int) -> None:
    """What people of each country say, four of each item; every twentieth skips."""
    project, draw = Project.open(folder), random.Random(1)
    people = [Person(f"{c.lower()}_{n}", "", "annotator", c, ("es",)) for c in COUNTRIES for n in range(RATERS)]
    project.ledger.add_people(people)
    items = project.ledger.items(NAME)[: ratings // RATERS]

    def answers() -> Iterator[Response]:
        for item in items:
            for number in range(RATERS):
                yield answer(item, number, draw)

    project.ledger.add_responses(SERVER, answers())


def answer(item: Item, number: int, draw: random.Random) -> Response:
    """One person's."""
    who, known = f"{item.country.lower()}_{number}", draw.choices((1, 2, 3, 4, 5, None), (2, 3, 5, 5, 4, 1))[0]
    name = f"{item.id}{number}"
    raw = {"id": name, "record_id": f"r{item.id}", "user_id": who, "status": "submitted"}
    raw["values"] = TASKS[NAME].values(item, Rating(known, draw.randint(1, 5) if known else None))
    return Response(name, item.id, who, item.country, "submitted", BEGAN.isoformat(), json.dumps(raw, sort_keys=True))


def main(words: Sequence[str] | None = None) -> None:
    """Make the project and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--ratings", type=int, default=200_000)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    wanted = parser.parse_args(words)
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as made:
        folder, table = Path(made) / "project", Path(made) / "invented.csv"
        init_project(folder, name="benchmark", countries=COUNTRIES, languages=("es",))
        write_table(table, wanted.rows, draw)
        annot = [sys.executable, "-c", "from annotation.cli import main; main()"]
        at = ["--project", str(folder)]
        commands = {
            "add": [*annot, "stereotypes", "add", str(table), "--licence", "CC-BY-4.0", *at],
            "add again": [*annot, "stereotypes", "add", str(table), "--licence", "CC-BY-4.0", *at],
            "list": [*annot, "stereotypes", "list", *at],
            "pairs": [*annot, "stereotypes", "pairs", *at],
            "status": [*annot, "status", *at],
            "export": [*annot, "stereotypes", "export", "--yes", *at],
        }
        for name in STEPS:
            if name == "add" or name in wanted.only:
                found = measure(name, commands[name], Path(made) / "log")
                print(
                    f"{name:10} {found['s']:7.1f} s {found['cpu_s']:7.1f} s of a CPU {found['MB']:7.0f} MB", flush=True
                )
            if name == "add":
                # In a process of its own: a child's peak memory begins with that of whoever starts it.
                rating = Process(target=rate, args=(folder, wanted.ratings))
                rating.start()
                rating.join()


if __name__ == "__main__":
    main()
