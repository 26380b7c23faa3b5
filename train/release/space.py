"""The demo Space of a finished run: the files of `space/`, the adapter, and demo.json on what the page shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotation.config import DemoSettings
from annotation.errors import TrainError
from annotation.files import write_whole
from annotation.images.store import read_picture
from annotation.json_pointer import look_up
from annotation.project import Project
from annotation.prompts.review import accepted_prompts, only_accepted, rejected_prompts
from annotation.text.locales import common_language, country_line, name_of_country
from annotation.text.privacy import mask_typed
from train.data.rows import read_rows
from train.evaluate.gate import gate_of
from train.evaluate.ranking_summary import RankingSummary
from train.evaluate.run import held_out_slates, read_evaluation, recipe_of
from train.models.base import is_on_hub, public_name
from train.models.tiny_model import NOTICE
from train.release.figures import DAMAGED, read_json
from train.release.folder import made_whole, own_words, write_release
from train.release.given import Given
from train.release.hub.contents import CARD, YOURS
from train.release.pictures import given_pictures
from train.release.weights import write_adapter
from train.run_folder import finished_run
from train.statistics import FEWEST_PROMPTS

ISLAND = Path(__file__).parent / "space"
"""What every Space consists of; its files import nothing of ours."""

FILES = ("*.py", "*.json", "*.css", "*.txt")
"""Those of it that are copied."""

PAGE_LANGUAGES = ("es", "pt", "en")

MOST_PROMPTS, MOST_CHARACTERS = 12, 2000
"""Examples of a country, and the longest."""

LIMITS = {"max_new_tokens": 200, "upload_minutes": 5, "rate_per_minute": 6}

FRONT = """\
---
title: {title}
sdk: gradio
sdk_version: {gradio}
python_version: "3.12"
app_file: app.py
suggested_hardware: zero-a10g
license: {licence}
{lists}---

# {heading}

A blind comparison of {run} with its base ({base}): two answers to the same question, and a vote. Made with
annot {annot}.

Votes are kept without any name, address or browser, {kept}{pictures}
"""

PICTURES = "pictures"
"""Folder in the Space with the pictures that it shows."""

SIGHT = "# The processors of some models that see, as Qwen-VL, need it; it fits the torch above.\ntorchvision\n"
"""What a Space that shows pictures needs too."""

PEOPLE = "people can be recognised on it, who did not agree to a public page"
"""Why a picture is not shown."""


def make_space(
    run: Path,
    to: Path,
    given: Given,
    *,
    project: Project | None = None,
    votes_repo: str = "",
    ungated: bool,
    here: bool = False,
) -> dict[str, Any]:
    """Make the folder of a demo Space, and return its release.json; one that was made of the run before is made anew.

    Args:
        run: Folder of a finished run.
        to: Folder to make.
        given: What people said of the release.
        project: Whose prompts and [demo] are shown; None where there is none.
        votes_repo: Private dataset repository that the votes go to; "" keeps them beside the page.
        ungated: It is shown although its gate did not pass; the page says so.
        here: The page runs on this machine, where the base is.

    Raises:
        TrainError: The run is not finished or is damaged, the target is taken, or a Space could not have the base.
    """
    facts, digest = finished_run(run)
    base, tiny = facts["base"], facts["base_is_tiny_and_random"]
    on_hub = is_on_hub(facts)
    if not (on_hub or tiny or here):
        raise TrainError(
            f"{run.name} was trained on {base}, which is on this machine only: a Space fetches its base from the Hub; "
            f"show it here with `annot demo {run.name}`, or train on a base of the Hub."
        )
    ledger = project.ledger.name if project else ""
    demo = {
        "run": facts["run"],
        "base": public_name(facts),
        "base_version": facts["base_version"],
        "base_revision": facts["base_version"] if on_hub else "",
        "base_is_tiny_and_random": tiny,
        "simulated": bool(look_up(read_json(run / "snapshot.json"), "/data/simulated")),
        "adapter_sha256": digest,
        "project": ledger,
        "votes_repo": votes_repo,
        "ungated": ungated,
        **LIMITS,
        **_contents(run, facts, project),
    }
    with made_whole(to, {"kind": "space", "run": facts["run"]}) as beside:
        yours = own_words(to)
        for pattern in FILES:
            for path in sorted(ISLAND.glob(pattern)):
                shutil.copyfile(path, beside / path.name)
        (beside / "adapter").mkdir()
        write_adapter(run, beside / "adapter")
        (beside / "adapter" / CARD).unlink(missing_ok=True)  # PEFT's, with the place of the base on this machine
        if tiny and not here:
            shutil.copytree(run / "base", beside / "base")
        if demo["pictures"]:
            with (beside / "requirements.txt").open("a", encoding="utf-8") as file:
                file.write(SIGHT)
        for prompt in demo["prompts"]:
            if "picture" in prompt and project:
                (beside / PICTURES).mkdir(exist_ok=True)
                write_whole(beside / prompt["picture"], read_picture(project.folder, Path(prompt["picture"]).stem))
        write_whole(beside / "demo.json", json.dumps(demo, ensure_ascii=False, indent=2).encode())
        write_whole(beside / CARD, f"{_card(demo, given).rstrip()}\n\n{YOURS}\n{yours}".encode())
        return write_release(beside, "space", run, project=ledger)


def _contents(run: Path, facts: dict[str, Any], project: Project | None) -> dict[str, Any]:
    """What the page shows of a run and its project.

    Raises:
        TrainError: Neither of them names a country.
    """
    region, slates = recipe_of(facts).region, held_out_slates(run)
    own = project.settings.demo if project else DemoSettings()
    declared = project.settings.project.countries if project else ()
    judged = sorted({slate.country for slate in slates} - {""})
    countries = [region.country] if region.country else [*(declared or judged)]
    if not countries:
        raise TrainError(
            f"{run.name} names no country, and votes are counted by country: make the demo in a project whose "
            "annot.toml has [project] countries."
        )
    left: dict[str, int] = {}
    sees = recipe_of(facts).base.vision != "none"
    if sees:
        prompts, left = _pictures(project, countries, run) if project else ([], {})
    else:
        prompts = _examples(project, countries, _trained_on(run)) if project else []
    spoken = {prompt["country"]: prompt["language"] for prompt in reversed(prompts)}
    gate = gate_of(run)
    return {
        "title": own.title or (project.settings.project.name if project else run.name),
        "motivation": own.motivation,
        "impact": own.impact,
        "team": own.team,
        "links": [{"title": title, "url": url} for title, _, url in (link.partition(": ") for link in own.links)],
        "countries": countries,
        "country_names": {c: {lang: name_of_country(c, lang) for lang in PAGE_LANGUAGES} for c in countries},
        "country_texts": {c: country_line(c, spoken.get(c) or common_language(c)) for c in countries},
        "country_in_prompt": region.in_prompt,
        "languages": project.settings.project.languages if project else sorted({s.language for s in slates} - {""}),
        "prompts": prompts,
        "pictures": sees,
        "left_out": left,
        "card": {"groups": _accuracies(run, countries)},
        "gate": gate.verdict,
        "gate_reason": gate.reason,
    }


def _examples(project: Project, countries: Sequence[str], trained: set[str]) -> list[dict[str, str]]:
    """Prompts of the project for each country: those that it did not learn first, then accepted ones, then the newest.

    What visitors of a demo typed is among them only where people accepted it, and nothing that people rejected.
    """
    ledger, people = project.ledger, project.ledger.named_people()
    accepted, rejected = accepted_prompts(ledger, project.settings), rejected_prompts(ledger, project.settings)
    allowed = only_accepted(ledger, project.settings)
    usable = [
        prompt
        for prompt in reversed(ledger.prompts())
        if not prompt.system
        and not prompt.image
        and len(prompt.text) <= MOST_CHARACTERS
        and prompt.id not in rejected
        and (allowed is None or prompt.id in allowed)
    ]
    usable.sort(key=lambda prompt: (prompt.text in trained, prompt.id not in accepted))
    return [
        {
            "id": prompt.id,
            "text": mask_typed(prompt.text, country, people),
            "country": country,
            "language": prompt.language,
            "topic": prompt.topic,
        }
        for country in countries
        for prompt in [prompt for prompt in usable if prompt.country == country][:MOST_PROMPTS]
    ]


def _pictures(project: Project, countries: Sequence[str], run: Path) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Pictures of the project for each country that the run did not learn from and everybody may see; and what is left.

    A public page is no place for people who agreed to less: only pictures on which nobody can be recognised are shown.
    """
    rejected, trained = rejected_prompts(project.ledger, project.settings), _learnt(run)
    prompts = [prompt for prompt in project.ledger.prompts() if prompt.id not in rejected]
    given, left = given_pictures(project, [prompt for prompt in prompts if prompt.image not in trained])
    crowd = sum(picture.people != "none" for picture, _ in given)
    free = [(picture, prompt) for picture, prompt in given if picture.people == "none"]
    found = [
        {
            "id": prompt.id,
            "text": prompt.text,
            "country": country,
            "language": prompt.language,
            "topic": prompt.topic,
            "picture": f"{PICTURES}/{picture.id}.jpg",
            "credit": f"{picture.creator} · {picture.licence}",
        }
        for country in countries
        for picture, prompt in [(picture, prompt) for picture, prompt in free if prompt.country == country][
            :MOST_PROMPTS
        ]
    ]
    return found, {**left, **({PEOPLE: crowd} if crowd else {})}


def _learnt(run: Path) -> set[str]:
    """Pictures that a run was trained on."""
    path = run / "slates.jsonl"
    return {str(row.get("image") or "") for row in read_rows(path)} - {""} if path.exists() else set()


def _trained_on(run: Path) -> set[str]:
    """Questions in what a run was trained on; none where its slates are not kept."""
    path = run / "slates.jsonl"
    try:
        prompts = [row["prompt"] for row in read_rows(path)] if path.exists() else []
        return {prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in prompts}
    except (LookupError, TypeError):
        raise TrainError(f"{path} is damaged: not every line is a slate; {DAMAGED}.") from None


def _accuracies(run: Path, countries: Sequence[str]) -> list[dict[str, Any]]:
    """Ranking accuracy for all slates and for the countries; empty where nothing is measured."""
    measured = read_evaluation(run)
    ranking = measured.summaries.get("ranking") if measured else None
    groups = ranking.groups if isinstance(ranking, RankingSummary) else ()
    return [
        {
            "country": group.name,
            **{name: getattr(group.accuracy, name) for name in ("value", "low", "high")},
            "prompts": group.prompts,
        }
        for group in groups
        if group.prompts >= FEWEST_PROMPTS
        and (group.by == "all" or (group.by == "country" and group.name in countries))
    ]


def _card(demo: dict[str, Any], given: Given) -> str:
    """README.md of the Space, whose head says to the Hub how to run it."""
    models = [name for name in (demo["base"] if demo["base_revision"] else "", given.model) if name]
    lists = {"models": models, "datasets": [given.dataset] if given.dataset else []}
    return FRONT.format(
        title=json.dumps(demo["title"], ensure_ascii=False),
        gradio=_pinned("gradio"),
        licence=json.dumps(given.model_licence),
        lists="".join(_yaml(name, entries) for name, entries in lists.items()),
        heading=" ".join(demo["title"].split()),
        run=demo["run"],
        base=demo["base"] or NOTICE,
        annot=version("annot"),
        kept=f"in the private dataset {demo['votes_repo']}." if demo["votes_repo"] else "beside the page.",
        pictures=_told_of_pictures(demo),
    )


def _told_of_pictures(demo: dict[str, Any]) -> str:
    """What a reader of the Space's README should know of its pictures."""
    if not demo["pictures"]:
        return ""
    left = "".join(f"; {number} left out: {reason}" for reason, number in demo["left_out"].items())
    return (
        f"\n\nPictures: {len(demo['prompts'])} that the model did not learn from, each with who made it and its "
        f"licence below it{left}."
    )


def _yaml(name: str, entries: Iterable[str]) -> str:
    lines = "".join(f"  - {json.dumps(entry)}\n" for entry in entries)
    return f"{name}:\n{lines}" if lines else ""


def _pinned(package: str) -> str:
    """Version of a package in the island's requirements.txt."""
    lines = (ISLAND / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))
