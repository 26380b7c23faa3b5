"""Two rounds end to end with simulated people whose taste is known: what is learnt rises, and the report says so.

People rank answers by how many of their country's own words are in them, with noise (benchmarks/planted.py). The base
says the words of Spain and Portugal; round 1 ranks answers of another model, round 2 also the aligned model's own.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_argilla import FakeWorld, person
from planted import COUNTRIES, Asked, Noise, ask, drafted, local_words, make_base, ranked
from select_project import word_encoder
from typer.testing import CliRunner

from annotation.cli import app
from annotation.project import Project, init_project
from annotation.rounds import open_prompts, own_candidates
from annotation.selection.select import select
from annotation.tasks.ranking.slates import slate_of
from annotation.types import Item, Judgement, Prompt
from sync.cycle import Synced, sync_once
from sync.push import Pushed, push
from sync.simulated import answer_queue
from sync.team import add_team

PROMPTS, MORE = 100, 380
"""Questions of round 1, and those that are added in round 2."""
AGAIN = 15
"""Prompts of each country that people are asked about once more, with the aligned model's own answers."""
SKIPPED = 2
"""Slates of each country that nobody answers in round 1."""
PEOPLE = 2
NOISE = Noise(strength=3.0, tie=0.3, swap=0.0)
ELSEWHERE = 0.5
"""How often the other model says a thing in the country's own word."""

CHANGES = (
    "data.split=prompt",  # its questions are all alike
    "data.held_out=0.5",
    "optimiser.learning_rate=1e-2",
    "optimiser.epochs=1",
    "optimiser.batch=8",
    "optimiser.warmup=0.0",
    "optimiser.max_steps=0",
    "run.eval_every=0",
    "run.save_every=1000",
    "footprint.measure=false",
)
LAUNCHER = f"sh -c 'eval \"$ANNOT_TRAIN {' '.join(f'--set {change}' for change in CHANGES)}\"'"
"""The team's own: it comes back when the run is done."""


def command(project: Project, *words: str) -> str:
    """What a command printed, in this process: its libraries are loaded once."""
    done = CliRunner().invoke(app, [*words, "--project", str(project.folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def digests(folder: Path) -> dict[str, str]:
    """File -> SHA-256; locks hold nothing."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Campaign:
    """A project, an Argilla, and people whose taste is known.

    Attributes:
        before: Digests of what round 1 left, before round 2 began.
        pushed: What each push did.
        queues: Items that people were shown in round 2.
        seconds: Stage -> how long it took.
    """

    project: Project
    world: FakeWorld
    asked: dict[str, Asked]
    runs: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    pushed: list[Pushed] = field(default_factory=list)
    queues: list[set[str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add_questions(self, count: int) -> None:
        """Questions that nobody has asked yet, the countries in turn."""
        chance, wanted = random.Random(count), len(self.asked) + count
        while len(self.asked) < wanted:
            one = ask(len(self.asked), chance)
            prompt = Prompt.make(one.text, country=one.country, language=one.language)
            self.project.ledger.add_prompts([prompt])
            self.asked.setdefault(prompt.id, one)

    def draft_elsewhere(self, name: str, each: int, open_ones: set[str] | None = None) -> None:
        """Answers of another model, from a file: Cohere's stand-in."""
        chance, rows = random.Random(name), []
        for prompt_id, asked in self.asked.items():
            if open_ones is not None and prompt_id not in open_ones:
                continue
            texts: set[str] = set()
            while len(texts) < each:
                texts.add(drafted(asked, ELSEWHERE, chance))
            rows += [{"prompt_id": prompt_id, "answer": text, "model": "elsewhere"} for text in sorted(texts)]
        path = self.project.folder / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        command(self.project, "draft", "--from", str(path))

    def ask_people(self, *, skipped: int = 0) -> None:
        """Select, push, and let everybody answer what they are asked, but for the last slates of each country."""
        project, api = self.project, self.world.api
        select(project, encoder=word_encoder())
        self.pushed.append(push(api, project.ledger, project.settings))
        items = {item.id: item for item in project.ledger.items("ranking")}
        texts = {candidate.id: candidate.text for candidate in project.ledger.candidates()}
        passwords, seen = project.secrets()["passwords"], set[str]()
        for country in COUNTRIES:
            dataset = next(one.id for one in api.datasets() if one.workspace == country.lower())
            for number in range(PEOPLE):
                name = f"{country.lower()}_{number}"

                def judge(item: Item, name: str = name) -> Judgement:
                    slate = slate_of(item)
                    local = [local_words(texts[seat], item.country) for seat in slate.seats]
                    tiers = ranked(local, NOISE, random.Random(f"{name} {item.id}"))
                    return Judgement(tuple(tuple(slate.seats[seat] for seat in tier) for tier in tiers))

                client = self.world.annotator_client(name, passwords[name])
                waiting = client.queue(dataset, limit=1000)
                seen |= {record["external_id"] for record in waiting}
                answers = answer_queue(client, dataset, items, judge)  # type: ignore[arg-type]
                for _ in range(len(waiting) - skipped):
                    next(answers)
        self.queues.append(seen)

    def sync(self) -> Synced:
        """Bring the answers home; met quotas start a run, which the launcher ends before it comes back."""
        done = sync_once(self.project, self.world.api)
        (launch,) = done.launches
        self.runs.append(launch.run)
        folder = self.project.run_folder(launch.run)
        assert (folder / "DONE").exists(), (folder / "launcher.log").read_text(encoding="utf-8")
        return done

    def kept(self) -> dict[str, Any]:
        """What the first round left: its slates, its snapshot and its run."""
        run = self.runs[0]
        snapshot = json.loads((self.project.run_folder(run) / "snapshot.json").read_text(encoding="utf-8"))["id"]
        slates = [item for item in self.project.ledger.items("ranking") if item.round == 1]
        return {
            "slates": [(item.prompt_id, item.id, (item.position, item.content)) for item in slates],
            "snapshot": digests(self.project.snapshot_folder(snapshot)),
            "run": digests(self.project.run_folder(run)),
        }

    def timed(self, stage: str, began: float) -> float:
        """Note how long a stage took."""
        now = time.monotonic()
        self.seconds[stage] = round(now - began, 1)
        return now


def begin(folder: Path, base: Path) -> Campaign:
    """A project with prompts, and people of both countries who are logged in."""
    project = init_project(
        folder,
        name="prueba",
        countries=list(COUNTRIES),
        languages=["es", "pt"],
        target=PROMPTS // 2 - SKIPPED,
        overlap=PEOPLE,
        preset="cpu-smoke",
    )
    toml = folder / "annot.toml"
    text = toml.read_text(encoding="utf-8")
    for name, value in (
        ("select", "off_topic = -1.0\nnear_duplicate = 1.0"),
        ("train", f"base = {json.dumps(str(base))}\nlauncher = {json.dumps(LAUNCHER)}"),
        ("draft", "temperatures = [0.6]\nmax_tokens = 40"),
    ):
        assert f"[{name}]\n" in text
        text = text.replace(f"[{name}]\n", f"[{name}]\n{value}\n", 1)
    toml.write_text(text, encoding="utf-8")
    project, world = Project.open(folder), FakeWorld()
    names = [(f"{country.lower()}_{number}", country) for country in COUNTRIES for number in range(PEOPLE)]
    add_team(project, world.api, [person(name, country) for name, country in names])
    made = Campaign(project, world, {})
    made.add_questions(PROMPTS)
    return made


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Campaign:  # noqa: ARG001
    """Both rounds, and the comparison of their runs."""
    home, at = tmp_path_factory.mktemp("rounds"), time.monotonic()
    base, _ = make_base(home / "base", steps=120)
    made = begin(home / "project", base)
    at = made.timed("base and project", at)

    made.draft_elsewhere("round1.jsonl", each=4)
    made.ask_people(skipped=SKIPPED)
    made.sync()
    at = made.timed("round 1, to its run", at)
    command(made.project, "evaluate", made.runs[0], "--on", "ranking")
    made.before = made.kept()

    toml = made.project.folder / "annot.toml"  # the lead wants more: the targets are raised, so every prompt is thin
    toml.write_text(toml.read_text().replace(f"target = {PROMPTS // 2 - SKIPPED} ", f"target = {PROMPTS + MORE} "))
    made.project = Project.open(made.project.folder)
    command(made.project, "round", "start", "--most", str(AGAIN))
    command(made.project, "draft", "--source", made.runs[0], "--answers", "2", "--yes")
    at = made.timed("round 2, to its drafts", at)
    made.add_questions(MORE)
    made.draft_elsewhere("round2.jsonl", each=8, open_ones=open_prompts(made.project.ledger))
    made.ask_people()
    made.sync()
    command(made.project, "evaluate", made.runs[1], "--on", "ranking", "--against", made.runs[0])
    made.timed("round 2, to its comparison", at)
    print(f"seconds: {made.seconds}")
    return made


@pytest.mark.timeout(900)
def test_the_second_round_leaves_all_of_the_first_as_it_was(campaign: Campaign) -> None:
    assert campaign.before["run"]
    assert campaign.before["snapshot"]
    assert campaign.kept() == campaign.before


def test_people_are_asked_about_the_second_rounds_slates_alone(campaign: Campaign) -> None:
    of_round = {item.id: item.round for item in campaign.project.ledger.items("ranking")}
    assert {of_round[item] for item in campaign.queues[0]} == {1}
    assert {of_round[item] for item in campaign.queues[1]} == {2}
    assert sum(campaign.pushed[1].sent.values()) == sum(number == 2 for number in of_round.values()) == 2 * AGAIN + MORE
    assert campaign.pushed[1].taken == 2 * SKIPPED  # what nobody had answered


def test_half_of_each_slate_of_a_prompt_that_is_asked_again_is_the_aligned_models_own(campaign: Campaign) -> None:
    ledger, again = campaign.project.ledger, {prompt_id for prompt_id, _, _ in campaign.before["slates"]}
    own = own_candidates(ledger, {candidate.id for candidate in ledger.candidates()})
    seats = [(item.round, item.prompt_id, len(own & set(item.content["seats"]))) for item in ledger.items("ranking")]
    assert all(number == 0 for of, prompt_id, number in seats if of == 1 or prompt_id not in again)
    assert sum(number == 2 for of, prompt_id, number in seats if of == 2 and prompt_id in again) > 0.6 * 2 * AGAIN


def test_the_report_says_how_people_placed_the_aligned_models_own_answers(campaign: Campaign) -> None:
    state = json.loads(command(campaign.project, "round", "list", "--json"))["rounds"][1]
    own, ahead = state["own"]["all"], state["own"]["all"]["ahead"]
    assert own["slates"] <= 2 * AGAIN
    assert own["above"] + own["level"] + own["below"] == pytest.approx(1)
    assert ahead["value"] == pytest.approx(own["above"] - own["below"])
    assert ahead["low"] < ahead["value"] < ahead["high"]
    assert (ahead["verdict"] == "cannot tell") == (ahead["low"] <= 0 <= ahead["high"])
    value, low, high = (f"{100 * ahead[end]:+.0f}" for end in ("value", "low", "high"))
    said = f"on {own['slates']} slates; {value} ({low} to {high}) points: {ahead['verdict']}."
    assert said in command(campaign.project, "round", "list")


def test_tau_rises_on_what_both_runs_held_out_and_the_report_says_so_with_its_interval(campaign: Campaign) -> None:
    first, second = (campaign.project.run_folder(run) for run in campaign.runs)
    held = (first / "held_out_slates.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads((second / "against" / f"{first.name}.json").read_text(encoding="utf-8"))["groups"][0]
    assert found["slates"] > 0.8 * len(held)
    (run,) = json.loads(command(campaign.project, "round", "list", "--json"))["rounds"][1]["runs"]
    assert (run["run"], run["before"], run["shared"]) == (second.name, first.name, found["slates"])
    for name in ("tau", "accuracy"):
        told, kept = run[f"{name}_gain"], found[name]
        assert (told["value"], told["low"], told["high"]) == (kept["value"], kept["low"], kept["high"])
        assert 0 < told["low"] < told["value"] < told["high"]
    assert run["verdict"] == "better"
    assert run["tau"]["low"] > 0  # it ranks as people do
    gain = run["tau_gain"]
    said = f"tau {gain['value']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f}): better."
    assert said in command(campaign.project, "round", "list")
    command(campaign.project, "report")
    page = (campaign.project.folder / "report.html").read_text(encoding="utf-8")
    assert f"{gain['value']:.2f}".replace(".", ",") in page
    assert second.name in page
