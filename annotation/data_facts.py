"""Facts about a project's data, counts and no names: who judged what, what was left out, and where texts are from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from annotation.agreement_by_country import agreement_by_country
from annotation.errors import SettingsError
from annotation.images.store import read_pictures
from annotation.item_counts import Counts
from annotation.ledger import Ledger
from annotation.money import committed_usd
from annotation.project import Project
from annotation.prompts.proposed import origin_of
from annotation.prompts.review import visitors_prompts, waiting_prompts
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.answers import DELETED
from annotation.tasks.base import Task
from annotation.tasks.page import own_texts
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.tasks.team_pages import every_page, team_pages
from annotation.text.privacy import mask_typed
from annotation.types import Person, Prompt

SIMULATED = "simulated"
"""User names of simulated annotators begin with this word: they are programs."""

_ROW = re.compile(r"(?s)(.+?):\d+(?: .*)?")
"""Where a prompt was read from: the table, and its row with the label that it has there."""

VISITORS = "visitors of a demo"
"""Where their prompts are from: the demo's address, or a folder on somebody's machine, is not told."""

_ABOUT_PEOPLE = {
    re.compile(r'by "(?:.|\n)*", who is not on the team'): "by people who are not on the team",
    re.compile(r'by "(?:.|\n)*", who is left out \((?:.|\n)*\)'): "by people whose answers are left out",
}
"""Reasons that name somebody, and what is told of them."""


def data_facts(project: Project) -> dict[str, Any]:
    """What can be said of a project's data as it is now, as JSON.

    Returns:
        "tasks": name -> its items, answers, people by country, overlap, agreement, outcome and guidelines, for every
            task that has items; "people": those who answered anything, by country; "simulated": how many of them are
            programs; "weighted", where some people's votes do not weigh 1: how many people;
            "left_out": what does not count, by reason; "prompts": the current ones by source, country,
            language and topic, and their lengths; "pictures", where prompts are about any: by source, licence, and what
            is said of people in them; "candidates": by model, with those on slates, their lengths, and the
            dollars spent.
    """
    ledger = project.ledger
    counts, people = count(ledger, project.settings), ledger.people()
    country = {person.username: person.country for person in people}
    agreement, pages = agreement_by_country(project, counts), _Pages(project, people)
    items: dict[str, Counter[int]] = defaultdict(Counter)
    who: dict[str, set[str]] = defaultdict(set)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    made: dict[str, Counter[str]] = defaultdict(Counter)
    aside: dict[str, Counter[str]] = defaultdict(Counter)
    for key, number in counts.items():
        match key:
            case ("item", str(task), _, _, _, int(answered), *_):
                items[task][answered] += number
            case ("person", str(task), _, _, _, str(annotator), *_):
                who[task].add(annotator)
            case ("team", str(task), str(team)):
                answers[task][team] += number
            case ("made", str(task), str(name)):
                made[task][name] += number
            case ("excluded", str(task), str(reason)):
                aside[task][reason] += number
    tasks = {
        name: {
            "title": task.title,
            "items": items[name].total(),
            "answered": items[name].total() - items[name][0],
            "people_per_item": {str(n): items[name][n] for n in sorted(items[name])},
            "overlap": task.settings(project.settings).overlap,
            "answers": answers[name].total(),
            "answers_by_country": _sorted(answers[name]),
            **_by_country(country[one] for one in who[name]),
            "agreement": {
                group: {"reason": found} if isinstance(found, str) else asdict(found)
                for group, found in agreement.get(name, {}).items()
            },
            "made": _sorted(made[name]),
            "set_aside": _sorted(aside[name]),
            "guidelines": pages.guidelines(task, answers[name]),
        }
        for name, task in TASKS.items()
        if items[name]
    }
    everybody, waiting = set().union(*who.values()), waiting_prompts(ledger, project.settings)
    prompts = [prompt for prompt in ledger.prompts() if prompt.id not in waiting]
    return {
        "tasks": tasks,
        "people": _by_country(country[one] for one in everybody),
        "simulated": sum(one.startswith(SIMULATED) for one in everybody),
        **_weighted(person for person in people if person.username in everybody),
        "left_out": _left_out(project, counts, people),
        "prompts": _prompts(project, prompts),
        **_pictures(ledger, prompts),
        "candidates": _candidates(ledger, ledger.named_people()),
    }


class _Pages:
    """What the teams read."""

    def __init__(self, project: Project, people: Iterable[Person]) -> None:
        self.settings, self.unreadable = project.settings, ""
        try:
            texts = own_texts(project.folder)
        except SettingsError:  # told by `annot push`; what is frozen does not wait for it
            texts, self.unreadable = {}, "the project's own guidelines could not be read"
        self.active, self.pages = team_pages(people, texts), every_page(people, texts)

    def guidelines(self, task: Task[Any], countries: Iterable[str]) -> list[dict[str, Any]]:
        """Each text that teams were asked to go by, and where; those of the teams that may answer where none has."""
        if self.unreadable:
            return [{"reason": self.unreadable}]
        found: dict[str, dict[str, Any]] = {}
        for country in sorted(set(countries) or self.active):
            if (page := self.pages.get(country)) is None:
                continue
            try:
                text = task.form(page, self.settings).guidelines
            except SettingsError:
                return [{"reason": "the project's own texts could not be read"}]
            own = next((name for name, theirs in page.own.items() if theirs == text), "")
            of = {"countries": [], "language": page.language if own else page.base, "file": own}
            one = found.setdefault(text, {**of, "sha256": sha256(text.encode()).hexdigest(), "text": text})
            one["countries"].append(country)
        return list(found.values())


def _by_country(countries: Iterable[str]) -> dict[str, Any]:
    """People by country, and how many there are of both."""
    found = Counter(countries)
    return {"people": found.total(), "countries": len(found), "people_by_country": _sorted(found)}


def _weighted(people: Iterable[Person]) -> dict[str, Any]:
    """Of how many votes weigh more or less than 1."""
    found = sum(person.weight != 1 and not person.excluded for person in people)
    return {"weighted": {"people": found}} if found else {}


def _left_out(project: Project, counts: Counts, people: Iterable[Person]) -> dict[str, Any]:
    reasons, statuses = Counter[str](), Counter[str]()
    for key, number in counts.items():
        match key:
            case ("unfit", str(reason)):
                named = next((told for form, told in _ABOUT_PEOPLE.items() if form.fullmatch(reason)), "")
                reasons[named or reason.partition(":")[0]] += number
            case ("status", str(status)):
                statuses[status] += number
    return {
        "removed_prompts": project.ledger.count_prompts()[1],
        "excluded_people": sum(bool(person.excluded) for person in people),
        "withdrawn": statuses[DELETED],
        "drafts": statuses["draft"],
        "passed_over": statuses["discarded"],
        "answers": _sorted(reasons),
        "prompts_at_reading": _sorted(Counter(dropped.reason for dropped in project.ledger.dropped("prompts"))),
    }


def _pictures(ledger: Ledger, prompts: Iterable[Prompt]) -> dict[str, Any]:
    """What is known of the pictures that prompts are about; who made them, as a number."""
    found = read_pictures(ledger, {prompt.image for prompt in prompts if prompt.image}).values()
    if not found:
        return {}
    people, creators = ledger.named_people(), {picture.creator for picture in found}
    sources = Counter((mask_typed(table_of(one.source), None, people), one.licence.strip()) for one in found)
    return {
        "pictures": {
            "pictures": len(found),
            "creators": len(creators),
            "sources": [
                {"source": source, "licence": licence, "pictures": number}
                for (source, licence), number in sorted(sources.items())
            ],
            "people": _sorted(Counter(one.people for one in found)),
        }
    }


def _prompts(project: Project, prompts: Sequence[Prompt]) -> dict[str, Any]:
    ledger = project.ledger
    origin = origins(ledger, prompts)
    sources = Counter((origin[prompt.id], prompt.licence.strip()) for prompt in prompts)
    return {
        "prompts": len(prompts),
        "with_system": sum(bool(prompt.system) for prompt in prompts),
        "by_team": sum(bool(prompt.author) for prompt in prompts),
        "sources": [
            {"source": source, "licence": licence, "prompts": number}
            for (source, licence), number in sorted(sources.items())
        ],
        "countries": _sorted(Counter(prompt.country for prompt in prompts)),
        "languages": _sorted(Counter(prompt.language for prompt in prompts)),
        "topics": _sorted(Counter(prompt.topic for prompt in prompts)),
        "characters": _spread(len(prompt.text) for prompt in prompts),
    }


def origins(ledger: Ledger, prompts: Iterable[Prompt]) -> dict[str, str]:
    """Id of a prompt -> the table that it was read from, without its row and without names of the team."""
    people, visitors = ledger.named_people(), visitors_prompts(ledger)
    tables = {prompt.id: VISITORS if prompt.id in visitors else table_of(prompt.source) for prompt in prompts}
    shown = {table: mask_typed(table, None, people) for table in set(tables.values())}
    return {prompt: shown[table] for prompt, table in tables.items()}


def table_of(source: str) -> str:
    """The table that a prompt was read from, without its row; or the model that proposed it."""
    found = _ROW.fullmatch(source)
    return found[1] if found else origin_of(source)


def _candidates(ledger: Ledger, people: tuple[Person, ...]) -> dict[str, Any]:
    """Of prompts that are still there."""
    rows = ledger.rows(
        """with slated as (select distinct seat.value as id from items, json_each(content, '$.seats') seat
                           where task in (?, ?))
           select c.model, s.id is not null as shown, length(c.text) as characters, count(*) as number
             from candidates c join current_prompts p on p.id = c.prompt_id and not p.removed
             left join slated s on s.id = c.id group by 1, 2, 3""",
        *(RANKING, DESCRIPTION),
    )
    spent = {
        row["model"]: row["usd"]
        for row in ledger.rows(
            "select c.model, sum(o.usd) as usd from outcomes o join calls c using (slot_id, attempt) group by c.model"
        )
    }
    drafted, shown, characters = Counter[str](), Counter[str](), Counter[int]()
    for row in rows:
        drafted[row["model"]] += row["number"]
        if row["shown"]:
            shown[row["model"]] += row["number"]
            characters[row["characters"]] += row["number"]
    return {
        "candidates": drafted.total(),
        "on_slates": shown.total(),
        "usd": round(committed_usd(ledger), 4),
        "models": [
            {
                "model": mask_typed(model, None, people),  # it may be the name of a file
                "candidates": drafted[model],
                "on_slates": shown[model],
                "share": _share(drafted[model], drafted.total()),
                "share_on_slates": _share(shown[model], shown.total()),
                "usd": round(spent.get(model, 0.0), 4),
            }
            for model in sorted({*drafted, *spent})
        ],
        "characters": _spread(characters.elements()),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _spread(values: Iterable[int]) -> dict[str, int]:
    """Least, 5th percentile, median, 95th percentile and most; nothing of nothing."""
    found = sorted(values)
    last = len(found) - 1
    places = {"least": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "most": 1.0}
    return {name: found[round(last * place)] for name, place in places.items()} if found else {}


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """The most first."""
    return dict(
        sorted(((name, number) for name, number in counts.items() if number), key=lambda pair: (-pair[1], pair[0]))
    )
