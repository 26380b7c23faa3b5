"""Projects whose whole chain is known: paid drafts, judgements, a snapshot, a run on it, a release with its card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from projects import frozen, make_project, ranking_values

from annotation.ledger import Response
from annotation.money import Call, Outcome, reserve, settle
from annotation.project import Project
from annotation.tasks.ranking.slates import add_slates
from annotation.types import Candidate, Judgement, Person, Prompt, Slate
from train.data.read import read_slates
from train.data.slates import RankedSlate
from train.release.figures import Figures
from train.release.folder import write_card
from train.run_folder import write_rows

SETTINGS = """[project]
countries = ["MX"]
languages = ["es"]
[task.ranking]
target = {target}
overlap = 2
[train]
launcher = "true"
"""

ANA, LEO = "ana_torres_77", "leo.ruiz"
NAME = "Ana Torres Quispe"
TYPED = "En mi casa decimos quiubo"
"""What Ana wrote herself into a rewrite."""


@dataclass(frozen=True)
class Chain:
    """A project from prompts to a release."""

    project: Project
    slates: list[Slate]
    snapshot: str
    ranked: tuple[RankedSlate, ...]
    run: Path


def prompt_of(number: int) -> Prompt:
    return Prompt.make(
        f"¿Cómo saluda tu abuela el día {number}?",
        country="MX",
        language="es",
        topic="saludos",
        source=f"preguntas.csv:{number + 2}",
        licence="CC BY 4.0",
        author=ANA if number == 1 else "",
    )


def candidate_of(prompt: Prompt, number: int) -> Candidate:
    text = f"Respuesta {number} a «{prompt.text}»"
    settings: dict[str, str | int | float] = {"temperature": 0.7, "seed": number}
    return Candidate.make(prompt.id, text, model="command-a", voice=f"voz {number}", settings=settings, cost_usd=0.002)


def response_id(slate: str, who: str, *, other: str = "") -> str:
    """As a server names responses: it says nothing of the person."""
    return str(uuid5(NAMESPACE_URL, f"{slate} {who} {other}"))


def answer(slate: Slate, who: str, *, at: str = "2026-01-01T00:00:00.000000+00:00", rewrite: str = "") -> Response:
    """A ranking A > B > C = D as the server would tell it."""
    a, b, c, d = slate.seats
    given = Judgement(((a,), (b,), (c, d)), problems={d: ("stereotype",)}, rewrite=rewrite)
    raw = {
        "id": response_id(slate.id, who),
        "record_id": f"record-{slate.id}",
        "user_id": f"account-of-{who}",
        "status": "submitted",
        "values": ranking_values(given, slate),
    }
    return Response(raw["id"], slate.id, who, "MX", "submitted", at, json.dumps(raw))


def paid_project(folder: Path, *, slates: int = 6, target: int = 3) -> tuple[Project, list[Slate]]:
    """Prompts, drafts that were paid for, slates, and two people who ranked them all."""
    project = make_project(folder, SETTINGS.format(target=target))
    ledger, made = project.ledger, []
    ledger.add_people([Person(ANA, NAME, "annotator", "MX", ("es",)), Person(LEO, "Leo", "annotator", "MX", ("es",))])
    for number in range(slates):
        prompt = prompt_of(number)
        ledger.add_prompts([prompt])
        drafts = [candidate_of(prompt, place) for place in range(4)]
        for place, draft in enumerate(drafts):
            call = Call(f"slot-{number}-{place}", 0, prompt.id, place, draft.model, draft.voice, draft.settings, 0.005)
            reserve(ledger, call, 10)
            settle(ledger, call, Outcome("answer", 0.002, 20, 30, raw=json.dumps({"said": draft.text})), draft)
        made.append(Slate(f"slate{number:04}", prompt.id, tuple(draft.id for draft in drafts), number))
    add_slates(ledger, made)
    ledger.add_responses("server", [answer(slate, ANA, rewrite=TYPED) for slate in made])
    ledger.add_responses("server", [answer(slate, LEO) for slate in made])
    project.keep_secrets({"passwords": {ANA: "secreto", LEO: "otro"}})
    return project, made


def write_run(project: Project, name: str, snapshot: str, ranked: tuple[RankedSlate, ...]) -> Path:
    """The files that a finished run holds, without a model: the last slate left out, that before it held out."""
    run = project.run_folder(name)
    run.mkdir(parents=True)
    train, held, left = ranked[:-2], ranked[-2:-1], ranked[-1]
    write_rows(run / "slates.jsonl", [slate.row() for slate in train])
    write_rows(run / "held_out_slates.jsonl", [slate.row() for slate in held])
    write_rows(run / "train.jsonl", [pair.row() for slate in train for pair in slate.pairs()])
    write_rows(run / "held_out.jsonl", [pair.row() for slate in held for pair in slate.pairs()])
    write_rows(run / "dropped.jsonl", [{"what": "slate", "id": left.id, "reason": "too long", "because_of": "900"}])
    facts = {"run": name, "snapshot": snapshot, "source": f"snapshot {snapshot}", "base": "tiny", "base_version": "1"}
    (run / "run.json").write_text(json.dumps(facts))
    (run / "evaluation.json").write_text(json.dumps({"ranking": {"groups": [{"accuracy": 0.6125}]}}))
    (run / "DONE").write_text(json.dumps({"adapter_sha256": "ab" * 32}))
    return run


def release_of(chain: Chain) -> Path:
    """A release of the run as a folder, with its card."""
    folder = chain.project.folder / "exports" / chain.run.name / "model"
    folder.mkdir(parents=True)
    fig = Figures(chain.run)
    shown = [fig.number("evaluation.json", "ranking", "groups", 0, "accuracy", form=form) for form in (".0%", ".1%")]
    card = f"# Un modelo\n\nIt agrees with people in {shown[0]} of pairs.\nBy country: MX {shown[0]} ({shown[1]}).\n"
    write_card(folder, *fig.page(card), "")
    facts = {"kind": "model", "run": chain.run.name, "snapshot": chain.snapshot, "adapter_sha256": "ab" * 32}
    (folder / "release.json").write_text(json.dumps({**facts, "made_at": "2026-02-03T04:05:06"}), encoding="utf-8")
    pushed = {
        "kind": "model",
        "repo": "team/model",
        "folder": "",
        "commit": "c0ffee",
        "at": "2026-02-04T04:05",
        **facts,
    }
    (chain.run / "releases.jsonl").write_text(json.dumps(pushed) + "\n", encoding="utf-8")
    return folder


def chain_in(folder: Path, *, slates: int = 6) -> Chain:
    """All of it."""
    project, made = paid_project(folder, slates=slates)
    snapshot = frozen(project).id
    ranked = read_slates(project.snapshot_folder(snapshot)).slates
    chain = Chain(project, made, snapshot, ranked, write_run(project, "mexico-1", snapshot, ranked))
    release_of(chain)
    return chain


def kinds(tree: dict[str, Any]) -> set[str]:
    """Kinds of all nodes of a trace's JSON."""
    return {tree["kind"]}.union(*(kinds(below) for below in tree.get("below", ())))


def nodes(tree: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """All nodes of a kind in a trace's JSON."""
    own = [tree] if tree["kind"] == kind else []
    return own + [node for below in tree.get("below", ()) for node in nodes(below, kind)]
