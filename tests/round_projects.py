"""Projects with rounds: prompts whose answers people of two countries ranked, runs without a model, visitors' votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_argilla import ranking_of
from projects import make_project

from annotation.ledger import Response
from annotation.project import Project
from annotation.rounds import SOURCE, current_round
from annotation.tasks.duel.votes import Duel, add_duels
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Person, Prompt, Slate
from sync.rounds import begin_round

SETTINGS = """[project]
countries = ["MX", "BR"]
languages = ["es", "pt"]
[task.ranking]
target = {target}
overlap = 5
"""
LANGUAGES = {"MX": "es", "BR": "pt"}
PEOPLE = 5
AGREED = ("1234",) * 5
LEANING = ("1234", "1234", "1234", "4321", "4321")
SPLIT = ("1234", "1234", "4321", "4321", "1111")
ADAPTER = "ab" * 32


def round_project(folder: Path, *, target: int = 4) -> Project:
    """Five people in each of two countries, and nothing to do yet."""
    project = make_project(folder, SETTINGS.format(target=target))
    names = [(f"{country.lower()}_{n}", country) for country in LANGUAGES for n in range(PEOPLE)]
    project.ledger.add_people([Person(who, "", "annotator", of, (LANGUAGES[of],)) for who, of in names])
    return project


def ask(project: Project, number: int, orders: Sequence[str], *, country: str = "MX", own: int = 0) -> str:
    """A slate of this round, ranked so by as many people as there are orders; the id of its prompt.

    Args:
        project: The project.
        number: Of the prompt: the same one is asked about anew.
        orders: "1123" ties A and B in the first place.
        country: Of the prompt.
        own: Seats, from A on, that are the aligned model's own.
    """
    ledger, now = project.ledger, current_round(project.ledger)
    prompt = Prompt.make(f"¿Qué se hace en la fiesta {number}?", country=country, language=LANGUAGES[country])
    answers = [
        Candidate.make(
            prompt.id,
            f"En la ronda {now} se hace {n} en la fiesta {number}.",
            model="a file",
            settings={SOURCE: "run-1"} if n < own else {},
        )
        for n in range(4)
    ]
    ledger.add_prompts([prompt])
    ledger.add_candidates(answers)
    place = len(ledger.rows("select 1 from items"))
    slate = Slate(f"{country}{number}-{now}", prompt.id, tuple(a.id for a in answers), place, now)
    add_slates(ledger, [slate])
    given = []
    for n, order in enumerate(orders):
        who, moment = f"{country.lower()}_{n}", f"2026-01-{now:02}T00:00:{n:02}.000000+00:00"
        raw = {"id": f"{slate.id}-{who}", "record_id": slate.id, "user_id": who, "values": ranking_of(order)}
        given.append(Response(str(raw["id"]), slate.id, who, country, "submitted", moment, json.dumps(raw)))
    ledger.add_responses("test", given)
    return prompt.id


def write_run(
    project: Project,
    name: str,
    snapshot: str,
    *,
    tau: float = 0.2,
    key: str = "",
    finished_at: str = "2026-02-01T00:00:00+00:00",
    adapter: str = ADAPTER,
) -> Path:
    """What a finished and measured run says of itself, without a model."""
    folder = project.run_folder(name)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"run": name, "snapshot": snapshot}))
    group = {"by": "all", "name": "", "slates": 40, "prompts": 40}
    group |= {"accuracy": {"value": 0.5 + tau / 2, "low": 0.4, "high": 0.8}, "tau": ends(tau, 0.1)}
    measures: dict[str, Any] = {"ranking": {"key": key or name, "groups": [group]}}
    (folder / "evaluation.json").write_text(json.dumps({"run": name, "gate": "passed", "measures": measures}))
    (folder / "DONE").write_text(json.dumps({"adapter_sha256": adapter, "finished_at": finished_at}))
    return folder


def compared(folder: Path, other: str, gain: float, *, half: float = 0.05, keys: Sequence[str] = ()) -> None:
    """What `annot evaluate --against` keeps."""
    (folder / "against").mkdir(exist_ok=True)
    group = {"group": "all", "slates": 30, "accuracy": ends(gain / 2, half / 2), "tau": ends(gain, half)}
    facts = {"run": folder.name, "against": other, "keys": list(keys) or [folder.name, other], "groups": [group]}
    (folder / "against" / f"{other}.json").write_text(json.dumps(facts))


def ends(value: float, half: float) -> dict[str, float]:
    """An interval of this half width."""
    return {"value": value, "low": value - half, "high": value + half}


def vote(project: Project, prompt_id: str, choices: str, *, adapter: str = ADAPTER) -> None:
    """Visitors' votes about a prompt: "a" for the adapter, "b" for the base, "=" for neither."""
    said = {"a": "A", "b": "B", "=": "tie"}
    there = len(project.ledger.rows("select 1 from votes"))
    about = ("run-1", adapter, "base", "1", "MX", "es")
    add_duels(
        project.ledger,
        [
            Duel(f"duel{there + n}", *about, said[choice], "A", prompt_id, "", ("", ""), "2026-02-01T00:00Z", "here")
            for n, choice in enumerate(choices)
        ],
    )


def two_rounds(folder: Path) -> Project:
    """A project in its second round: people liked the aligned model's own answers, and the second run gained by it."""
    project = round_project(folder, target=12)
    for number in range(24):
        ask(project, number, (AGREED, LEANING, SPLIT)[number % 3], country=("MX", "BR")[number % 2])
    started = begin_round(project, most=8)
    write_run(project, "run-1", started.snapshots["ranking"], tau=0.12)
    asked = {row["id"]: row["text"] for row in project.ledger.rows("select id, text from prompts")}
    for one in started.prompts:
        number = int("".join(filter(str.isdigit, asked[one.prompt_id])))
        ask(
            project,
            number,
            LEANING if number % 4 else ("1243", "2134", "1234", "4312", "2211"),
            country=one.country,
            own=2,
        )
    second = write_run(project, "run-2", "second", tau=0.31, finished_at="2026-03-01T00:00:00+00:00")
    (second / "snapshot.json").write_text(json.dumps({"id": "second", "task": "ranking", "round": 2}))
    compared(second, "run-1", 0.19)
    return project
