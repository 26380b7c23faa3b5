"""Commands of what a lead knows and decides of people: `annot people list`, `show` and `set`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotation.commands import Folder, Json, open_project, people_app

if TYPE_CHECKING:
    from annotation.project import Project
    from annotation.screen import Progress
    from sync.people import Done


@people_app.command("list", epilog="Example: annot people list --country MX")
def people_list(
    folder: Folder = Path(),
    country: Annotated[str, typer.Option(help="Of this country's team alone, for example MX.")] = "",
    careful: Annotated[bool, typer.Option("--careful", help="Also fit a model to all rankings; slower.")] = False,
    json: Json = False,
) -> None:
    """Show how far each person's answers can be trusted, and what you decided. User names: for your eyes."""
    from annotation.screen import print_json, progress, table
    from annotation.tasks import TASKS
    from sync.people import people

    project = open_project(folder)
    country = project.known_country(country)
    with progress("counting") as bar:
        found = [one for one in people(project, progress=bar) if country in ("", one.person.country)]
        told = _carefully(project, country, bar) if careful else []
    if json:
        print_json({"people": [one.as_json() for one in found], **({"careful": told} if careful else {})})
        return
    if not found:
        print("Nobody yet; `annot team add roster.csv` makes the team.")
        return
    table(
        "",
        ("person", "team", "task", "answers", "agrees", "measured", "90 % interval", "weighs", "controls", "decided"),
        [
            (
                *(one.person.username, one.person.country, done.task if done else None, done.answers if done else 0),
                *_measured(done),
                *("0" if one.person.excluded else f"{one.person.weight:g}", _right(done), one.decision),
            )
            for one in found
            for done in (one.done or (None,))
        ],
    )
    table(
        "Told apart, by the Davidson model (1: as finely as the typical person of the country; 0: by chance)",
        ("person", "team", "task", "tells apart", "90 % interval", "comparisons"),
        [
            (
                *(one["username"], one["country"], one["task"], f"{one['value']:.2f}"),
                *(f"{one['low']:.2f} to {one['high']:.2f}", one["comparisons"]),
            )
            for one in told
        ],
    )
    for who, of, at in ((one.person.username, name, at) for one in found for name, at in one.entries.items()):
        if at.shut:
            print(f"  {who}, entry test, {TASKS[of].title}: {at.sentence()}.")
    for sign in (told_of := [sign for one in found for sign in one.signs]):
        print(f"  {sign.sentence}")
    these = "These are signs, not verdicts: " if told_of else ""
    print(f"{these}`annot people show NAME` names items to look at; you decide.")


def _carefully(project: Project, country: str, progress: Progress) -> list[dict[str, Any]]:
    """How finely everybody tells apart what they ranked, of one country or of all."""
    from annotation.quality.davidson import fit_countries
    from annotation.tasks.ranking.slates import ranked_kinds

    return [
        {"username": who, "country": of, "task": task, **asdict(one)}
        for task in ranked_kinds(project.ledger)
        for of, fitted in fit_countries(project.ledger, task, progress=progress).items()
        for who, one in sorted(fitted.discriminations.items())
        if country in ("", of)
    ]


@people_app.command("show", epilog="Example: annot people show ana")
def people_show(username: str, folder: Folder = Path(), json: Json = False) -> None:
    """Tell everything about one person: measures, signs, decisions, and answers to look at."""
    from annotation.screen import print_json, progress, table
    from annotation.tasks import TASKS
    from sync.people import people, said, to_look_at
    from sync.team import known_person

    project = open_project(folder)
    person = known_person(project.ledger, username)
    with progress("counting") as bar:
        one = next((known for known in people(project, progress=bar) if known.person == person), None)
    looks, decisions = to_look_at(project.ledger, person), project.ledger.decisions(username)
    if json:
        known = one.as_json() if one else {"username": username, "tasks": [], "signs": []}
        print_json({**known, "look_at": [asdict(look) for look in looks], "decisions": decisions})
        return
    print(f"{username}: {person.role}, {person.country}{'' if person.active else ', left the team'}.")
    if person.same_as:
        print(f"All that was answered under this name counts under {person.same_as}.")
    elif one is None or not one.done:
        print("Nothing that counts was answered.")
    table(
        "",
        ("task", "answers", "agrees", "measured weight", "90 % interval", "comparisons", "controls right"),
        [
            (
                *(TASKS[done.task].title, done.answers, *_measured(done)),
                *(done.reliability.comparisons if done.reliability else None, _right(done)),
            )
            for done in (one.done if one else ())
        ],
    )
    for done in one.done if one else ():
        for kind, (right, wrong) in sorted(done.controls.by_kind.items()) if done.controls else ():
            print(f"Control items, {kind}: {right} right, {wrong} wrong.")
    for name, at in one.entries.items() if one else ():
        print(f"Entry test, {TASKS[name].title}: {at.sentence()}.")
    for sign in one.signs if one else ():
        print(sign.sentence)
    if one and not one.signs:
        print("No sign of careless answers.")
    table(
        "Furthest from what others said",
        ("task", "item", "how far", "others"),
        [(TASKS[look.task].title, look.item, f"{look.apart:.2f}", look.others) for look in looks],
    )
    if looks:
        print(f"`annot trace {looks[0].item}` shows what everybody said of it. To differ is no fault.")
    table(
        "Decided",
        ("at (UTC)", "votes weigh", "how"),
        [
            (
                *(d["at"][:16].replace("T", " "), "0" if d["excluded"] else f"{d['weight']:g}"),
                said(d["weight"], d["reason"], d["excluded"], auto=d["auto"]) or "taken back",
            )
            for d in decisions
        ],
    )
    if not decisions:
        print("Nothing was decided: each vote weighs 1.")


@people_app.command(
    "set",
    epilog='Examples: annot people set ana --weight 0 --reason "the same order forty times"; annot people set ana '
    '--weight 1; annot people set --all --weight auto --reason "agreed with the team on Monday"',
)
def people_set(
    weight: Annotated[
        str, typer.Option(help="0 leaves out what they answered, 1 counts it, auto weighs it as measured.")
    ],
    usernames: Annotated[list[str] | None, typer.Argument(help="Whose votes; several names may stand here.")] = None,
    reason: Annotated[str, typer.Option(help="Why; needed for 0 and auto. The ledger and the exports say it.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="Of everybody who judges and is not left out.")] = False,
    folder: Folder = Path(),
    json: Json = False,
) -> None:
    """Decide what people's votes weigh: in preferences, exports and training. Can be changed at any time."""
    from annotation.screen import counted, print_json, progress
    from sync.people import decide
    from sync.weights import refresh

    project = open_project(folder)
    with project.lock("team"):
        decided, before = decide(project.ledger, usernames or (), weight, reason, everybody=everybody)
        with progress("counting") as bar:
            moved = {p.username: p for p in refresh(project, progress=bar)} if weight == "auto" else {}
    now = [moved.get(person.username, person) for person in decided]
    if json:
        print_json({"people": [{**asdict(p), "weight": 0.0 if p.excluded else p.weight} for p in now]})
        return
    for person, was in zip(now, before, strict=True):
        who = person.username
        if weight == "0":
            print(f"What {who} answered does not count any more: {person.excluded}. ", end="")
            print(f"`annot people set {who} --weight 1` undoes it.")
        elif weight == "auto":
            print(f"Votes of {who} weigh {person.weight:g}, and follow what is measured at every `annot sync`.")
        elif was.excluded:
            print(f"What {who} answered counts again.")
        else:
            print(f"Votes of {who} weigh 1.")
    if everybody:
        print(f"That is {counted(len(now), 'person', 'people')}; who is left out stays left out.")


def _measured(done: Done | None) -> tuple[str | None, str | None, str | None]:
    """Agreement, the measured weight, and its interval; nothing of who shared too little with others."""
    trust = done.reliability if done else None
    if trust is None or trust.agreement is None:
        return None, None, None
    return f"{trust.agreement:.0%}", f"{trust.weight:.2f}", f"{trust.low:.2f} to {trust.high:.2f}"


def _right(done: Done | None) -> str | None:
    controls = done.controls if done else None
    return f"{controls.right} of {controls.right + controls.wrong}" if controls else None
