"""Agreement by task and country, from the tally; remembered beside it, since numpy and the bootstrap take long."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256

from annotation.errors import NotEnoughOverlap
from annotation.files import write_whole
from annotation.item_counts import ALL, Counts, part_of
from annotation.project import CACHE, Project
from annotation.quality.agreement import FEWEST_ITEMS, Agreement, measure_agreement
from annotation.tally import LAYOUT, training_tasks
from annotation.tasks import TASKS
from annotation.tasks.consent.task import NAME as CONSENT
from annotation.tasks.share.sheet import NAME as SHARE
from annotation.tasks.stereotype.item import NAME as STEREOTYPE

ELSEWHERE = {CONSENT, SHARE, STEREOTYPE}
"""Tasks on which nobody has to agree, and that of which `annot stereotypes list` tells more: by whom it is said of."""


def agreement_by_country(project: Project, counts: Counts) -> dict[str, dict[str, Agreement | str]]:
    """Task -> group (a country, or ALL where there are several) -> agreement, or why there is none.

    A task without answers is there when it starts runs and the project has something for it.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
    """
    patterns: dict[tuple[str, str], Counter[str]] = {}
    shared = Counter[tuple[str, str]]()
    teams: dict[str, set[str]] = {name: set() for name in training_tasks(counts)}
    for key, number in counts.items():
        match key:
            case ("units", str(task), str(group), str(pattern)):
                patterns.setdefault((task, group), Counter())[pattern] += number
            case ("shared", str(task), str(group), _):
                shared[task, group] += 1
            case ("team", str(task), str(country)) if task not in ELSEWHERE:
                teams.setdefault(task, set()).add(country)
    units = {task: {group.partition(" · ")[2] for of, group in patterns if of == task} or {""} for task in teams}
    # What hurts is never averaged over countries: each is asked about its own.
    together = {task: len(of) != 1 and not TASKS[task].sensitive for task, of in teams.items()}
    countries = {task: [*([ALL] if together[task] else []), *sorted(of)] for task, of in teams.items()}
    groups = {
        of: [part_of(one, unit) for one in names for unit in sorted(units[of])] for of, names in countries.items()
    }
    stands_on = [groups, sorted((*of, sorted(given.items()), shared[of]) for of, given in patterns.items())]
    path, seed = project.folder / CACHE / "agreement.json", project.settings.project.seed
    known = sha256(json.dumps([LAYOUT, FEWEST_ITEMS, seed, stands_on]).encode()).hexdigest()
    with suppress(OSError, AttributeError, KeyError, TypeError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["of"] == known:
            return {
                task: {group: one if isinstance(one, str) else Agreement(**one) for group, one in of.items()}
                for task, of in kept["found"].items()
            }
    found = {
        task: {one: _measured(patterns.get((task, one), Counter()), shared[task, one], task, seed) for one in of}
        for task, of in groups.items()
    }
    text = json.dumps({"of": known, "found": found}, default=asdict, ensure_ascii=False)
    with suppress(OSError):  # a full or read-only disk remembers nothing
        write_whole(path, text.encode())
    return found


def _measured(patterns: Counter[str], annotators: int, task: str, seed: int) -> Agreement | str:
    try:
        return measure_agreement(patterns, TASKS[task].scale, annotators=annotators, seed=seed)
    except NotEnoughOverlap as reason:
        return f"not enough overlap: {reason}"
