"""How long commands take in a project with a million candidates and half a million answers, and how much memory.

    .venv/bin/python benchmarks/ledger.py --keep /tmp/million
    .venv/bin/python benchmarks/ledger.py --keep /tmp/middle --prompts 50000 --answers 200000 --only status export
    .venv/bin/python benchmarks/ledger.py --keep /tmp/people --people 10000 --answers 1000000 --prompts 250000 \
        --candidates 4 --only "first report" report "report after 1,000"

Makes a project of 125,000 prompts with 8 candidates each, a slate for each, and 500,000 responses of 40 people in three
countries, as a pull keeps them; then runs whole commands, one at a time, and prints the seconds that each took, those
of the processor, and its peak memory. The first `annot status` counts everything, the second finds nothing new, the
third counts what a pull of 1,000 more answers brought; so do the three of `annot report`. Nothing that the texts say
means anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing import Process
from pathlib import Path

from annotation.files import write_whole
from annotation.ledger import Ledger, Response
from annotation.money import Call, Outcome, reserve, settle
from annotation.project import CACHE, Project, init_project
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import item_of, slate_of
from annotation.types import PROBLEMS, Candidate, Item, Person, Prompt, Slate, content_id
from sync.simulated import Taste, simulate_judgement

HERE = Path(__file__).parent.parent
COUNTRIES = {"MX": "es", "PE": "es", "BR": "pt"}
TOPICS = ("comida", "familia", "trabajo", "fiestas", "historia", "lugares", "musica", "deporte")
CANDIDATES, SEATS, PEOPLE, DAYS = 8, 4, 40, 200
A_DAY = 20
"""Answers of a person on a day on which they work, where they give so few that they do not need every day."""
SERVER, DATASET = "embedded", str(uuid.UUID(int=1))
PAID, EDITED, OTHERS, REWRITTEN = 0.1, 0.05, 0.02, 0.02
"""Shares: prompts whose candidates Cohere drafted; responses with an earlier version; drafts and discarded ones;
responses with a text that somebody typed."""
BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
AT_ONCE = 2500


class Texts:
    """Sentences of words that do not exist, as frequent as words are (Zipf)."""

    def __init__(self, draw: random.Random) -> None:
        parts = [a + b for a in (*"bcdfgjlmnprstv", "ch", "qu") for b in "aeiou"]
        words = ["".join(draw.choices(parts, k=draw.randint(1, 4))) for _ in range(20_000)]
        weights = [rank**-0.8 for rank in range(1, len(words) + 1)]
        self._draw = draw
        self._sentences = [
            " ".join(draw.choices(words, weights, k=draw.randint(8, 20))).capitalize() + "." for _ in range(3000)
        ]

    def of(self, least: int, most: int) -> str:
        """A text of about so many characters."""
        wanted, found = self._draw.randint(least, most), self._draw.choice(self._sentences)
        while len(found) < wanted:
            found += f" {self._draw.choice(self._sentences)}"
        return found[:most]


def make_project(folder: Path, prompts: int, answers: int, people: int, candidates: int) -> None:
    """The project, through the ledger's own methods; `made` is written last."""
    draw, began = random.Random(14), time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    project = init_project(
        folder, name="a million", countries=list(COUNTRIES), languages=sorted(set(COUNTRIES.values())), target=10**6
    )
    ledger, texts = project.ledger, Texts(draw)
    ledger.rows("pragma synchronous = off")
    asked = write_prompts(folder / "questions.jsonl", prompts, texts)
    team = [Person(f"person{n:02}", "", "annotator", list(COUNTRIES)[n % 3], ("es",)) for n in range(people)]
    of_country = {country: [person for person in team if person.country == country] for country in COUNTRIES}
    needed = min(DAYS, max(1, round(answers / people / A_DAY)))
    days = {person.username: draw.sample(range(DAYS), needed) for person in team}
    ledger.add_people(team)
    ledger.add_prompts(asked)
    for start in range(0, prompts, AT_ONCE):
        items = add_slates(ledger, asked[start : start + AT_ONCE], start, texts, draw, candidates)
        ends = [round(n * answers / prompts) for n in range(start, start + len(items) + 1)]
        found = [
            version
            for item, n, m in zip(items, ends, ends[1:], strict=False)
            for who in draw.sample(of_country[item.country], m - n)
            for version in versions(item, who, texts, draw, days[who.username])
        ]
        ledger.add_responses(SERVER, [response for response, newest in found if not newest])
        ledger.add_responses(SERVER, [response for response, newest in found if newest])
        print(f"\r{start + len(items):,} prompts", end="", file=sys.stderr)
    ledger.rows("pragma wal_checkpoint(truncate)")
    ledger.close()
    write_whole(folder / "made", f"{time.perf_counter() - began:.0f} s".encode())
    print(f"\r{folder} is made in {(folder / 'made').read_text()}", file=sys.stderr)


def write_prompts(path: Path, prompts: int, texts: Texts) -> list[Prompt]:
    """Prompts, and the file that they would have come from."""
    found, countries = [], list(COUNTRIES)
    for number in range(prompts):
        country, topic = countries[number % len(countries)], TOPICS[number * 7 % len(TOPICS)]
        source = f"{path.name}:{number + 1}"
        text = f"{number}: {texts.of(60, 160)}"
        found.append(Prompt.make(text, country=country, language=COUNTRIES[country], topic=topic, source=source))
    rows = ({"prompt": p.text, "country": p.country, "language": p.language, "topic": p.topic} for p in found)
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return found


def add_slates(
    ledger: Ledger, prompts: Sequence[Prompt], start: int, texts: Texts, draw: random.Random, candidates: int
) -> Sequence[Item]:
    """Candidates of some prompts, a slate for each, pushed."""
    items = []
    with ledger.transaction():
        for position, prompt in enumerate(prompts, start):
            paid, own = draw.random() < PAID, list[Candidate]()
            for n in range(candidates):
                candidate = Candidate.make(
                    prompt.id, texts.of(400, 800), model=f"model-{n % 4}", voice=f"voice {n}", settings={"seed": n}
                )
                own.append(candidate)
                if not paid:
                    continue
                call = Call(f"{prompt.id}-{n}", 0, prompt.id, n, candidate.model, candidate.voice, {"seed": n}, 1e-4)
                raw = json.dumps({"message": {"content": [{"type": "text", "text": candidate.text}]}})
                reserve(ledger, call, 500.0)
                settle(ledger, call, Outcome("answer", 1e-4, 300, 150, raw=raw), candidate)
            ledger.add_candidates(own)
            seats = tuple(c.id for c in draw.sample(own, SEATS))
            items.append(item_of(Slate(content_id(prompt.id, *sorted(seats)), prompt.id, seats, position), prompt))
        ledger.add_items(items)
        ledger.add_pushes(SERVER, DATASET, {item.id: record_of(item) for item in items})
    return items


def record_of(item: Item) -> str:
    """Argilla's id of an item's record."""
    return str(uuid.UUID(int=int(item.id, 16)))


def versions(
    item: Item, person: Person, texts: Texts, draw: random.Random, days: Sequence[int] = range(DAYS)
) -> Iterator[tuple[Response, bool]]:
    """Versions of one response, as a pull keeps them, and whether each is the newest."""
    slate, response_id = slate_of(item), str(uuid.UUID(int=draw.getrandbits(128)))
    moment = BEGAN + timedelta(days=draw.choice(days), hours=12 * draw.random())
    tastes = {seat: Taste(1 + int(seat[:8], 16) % 6, PROBLEMS[0] if seat[0] == "0" else "") for seat in slate.seats}
    judgement = simulate_judgement(slate, person.username, tastes, 14)
    for newest in [False, True] if draw.random() < EDITED else [True]:
        values = TASKS[item.task].values(item, judgement)
        if newest and draw.random() < REWRITTEN:
            values["rewrite"] = {"value": texts.of(200, 400)}
        status = draw.choice(["draft", "discarded"]) if draw.random() < OTHERS else "submitted"
        at = (moment + timedelta(hours=newest)).isoformat(timespec="microseconds")
        raw = {
            "id": response_id,
            "values": values,
            "status": status,
            "record_id": record_of(item),
            "user_id": str(uuid.UUID(int=int(person.username.removeprefix("person")) + 1)),
            "inserted_at": moment.isoformat().removesuffix("+00:00"),
            "updated_at": at.removesuffix("+00:00"),
        }
        told = json.dumps(raw, ensure_ascii=False, sort_keys=True)
        yield Response(response_id, item.id, person.username, person.country, status, at, told), newest


def answer_thousand(folder: Path) -> None:
    """A new answer to each of 1,000 items, of somebody who has given none."""
    ledger, draw = Project.open(folder).ledger, random.Random(time.time_ns())
    texts, people = Texts(draw), ledger.people()
    rows = ledger.rows("select id from items order by random() limit 1000")
    items = ledger.items(ids=[row["id"] for row in rows])
    given = {(response.item_id, response.annotator) for response in ledger.responses_of(None, {i.id for i in items})}
    found = []
    for item in items:
        free = [p for p in people if p.country == item.country and (item.id, p.username) not in given]
        found += [response for response, newest in versions(item, draw.choice(free), texts, draw) if newest]
    assert ledger.add_responses(SERVER, found) == len(items)
    ledger.close()


FREEZE = """
from pathlib import Path
import sys
from annotation.project import Project
from sync.snapshot import freeze
print(freeze(Project.open(Path(sys.argv[1])), ()))
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """What is measured: name -> words of the command."""
    annot, here = [sys.executable, "-m", "annotation.cli"], ["--project", str(folder)]
    (item,) = Project.open(folder).ledger.rows("select item_id from responses order by seq desc limit 1")
    return {
        "version": [*annot, "--version"],
        "first status": [*annot, "status", *here],
        "status": [*annot, "status", *here],
        "status after 1,000": [*annot, "status", *here],
        "status --json": [*annot, "status", "--json", *here],
        "first report": [*annot, "report", "--out", str(folder / "report.html"), *here],
        "report": [*annot, "report", "--out", str(folder / "report.html"), *here],
        "report after 1,000": [*annot, "report", "--out", str(folder / "report.html"), *here],
        "export": [*annot, "export", *here],
        "freeze": [sys.executable, "-c", FREEZE, str(folder)],
        "prompts list": [*annot, "prompts", "list", *here],
        "prompts add": [*annot, "prompts", "add", str(folder / "questions.jsonl"), *here],
        "draft --dry-run": [*annot, "draft", "--dry-run", *here],
        "trace": [*annot, "trace", item["item_id"], *here],
    }


def measure(name: str, words: Sequence[str], log: Path) -> dict[str, float]:
    """Wall seconds, processor seconds and peak memory in MB of one whole command."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with log.open("wb") as told:
        began = time.perf_counter()
        process = subprocess.Popen(words, cwd=HERE, env=environment, stdout=told, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}: {log.read_text()[-2000:]}")
    seconds = time.perf_counter() - began
    return {"s": seconds, "cpu_s": usage.ru_utime + usage.ru_stime, "MB": usage.ru_maxrss / 1024}


def main() -> None:
    """Make the project where it is not there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=125_000)
    parser.add_argument("--answers", type=int, default=500_000)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="of each prompt")
    parser.add_argument("--keep", type=Path, help="folder of the project, for the next run")
    parser.add_argument("--only", nargs="+", help="names of what is measured")
    parser.add_argument("--out", type=Path, help="JSON")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="annot-ledger-") as scratch:
        folder = told.keep or Path(scratch) / "project"
        if not (folder / "made").exists():
            # In a process of its own: the memory of a command begins with that of whoever starts it.
            sizes = (told.prompts, told.answers, told.people, told.candidates)
            maker = Process(target=make_project, args=(folder, *sizes))
            maker.start()
            maker.join()
        found = {}
        for name, words in commands(folder).items():
            if told.only and name not in told.only:
                continue
            if name.startswith("first "):
                shutil.rmtree(folder / CACHE, ignore_errors=True)
            if name.endswith("after 1,000"):
                answer_thousand(folder)
            run = found[name] = measure(name, words, Path(scratch) / "log")
            print(f"{name:20} {run['s']:8.2f} s {run['cpu_s']:8.2f} s of CPU {run['MB']:7.0f} MB", flush=True)
        size = (folder / "ledger.sqlite").stat().st_size / 1e6
        print(f"{'ledger.sqlite':20} {size:,.0f} MB")
        if told.out:
            told.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
