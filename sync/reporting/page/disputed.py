"""Sections about what is to be decided: contested items with their texts, and rules that the guidelines lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from annotation.adjudicate import Case
from annotation.item_counts import STATES
from annotation.quality.contested import PROBLEM
from annotation.tasks import TASKS
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.types import SEATS
from sync.reporting.page.charts import table
from sync.reporting.page.facts import Facts
from sync.reporting.page.html import Html, tag, typed
from sync.reporting.page.progress import country_name
from sync.reporting.page.words import Words


def contested(shown: Facts, words: Words) -> Iterator[Html]:
    """How many items each country does not agree on, and some of them; of what may hurt the numbers alone."""
    found = shown.found
    if not found.contested and not found.decisions:
        yield tag("p", words("not_yet", why=words("no_contested")))
        return
    yield tag("p", words("contested_says"), class_="soft")
    places = sorted({key[:2] for key in (*found.contested, *found.decisions)})
    whys = [why for why, number in _by_last(found.contested).items() if number]
    rows = [
        (
            words.of("tasks", task),
            country_name(country, words),
            *(words.number(found.contested.get((task, country, why), 0)) for why in whys),
            *(words.number(found.decisions.get((task, country, state), 0)) for state in STATES),
        )
        for task, country in places
    ]
    states = [words.of("adjudication", state) for state in STATES]
    heads = (words("task"), words("country"), *(words.of("why_contested", why) for why in whys), *states)
    yield table("", heads, rows, numbers=range(2, len(heads)))
    if any(TASKS[task].sensitive for task, _ in places):
        yield tag("p", words("contested_sensitive"), class_="soft")
    yield from _cases((case for case in shown.cases if case.texts), words)


def _by_last(counted: Mapping[tuple[str, str, str], int]) -> Counter[str]:
    found = Counter[str]()
    for (*_, last), number in sorted(counted.items()):
        found[last] += number
    return found


def _cases(cases: Iterable[Case], words: Words) -> Iterator[Html]:
    """By task and country a line for each, which opens on the texts that people saw."""
    for (task, country), own in groupby(cases, key=lambda case: (case.task, case.country)):
        yield tag("h3", f"{words.of('tasks', task).capitalize()} · {country_name(country, words)}")
        for case in own:
            fields = [
                (tag("dt", _field(task, name, words)), tag("dd", typed(text))) for name, text in case.texts.items()
            ]
            why = "; ".join([*_reasons(case, words), words.of("adjudication", case.state)])
            rule = tag("strong", typed(case.rule)) if case.rule else None
            summary = tag("summary", typed(case.beginning()), rule, tag("span", why, class_="soft"))
            yield tag("details", summary, tag("dl", fields), class_="case")


def _reasons(case: Case, words: Words) -> Iterator[str]:
    """Why a case is one; the problems together, each with the letter of the answer that it is of."""
    for why, own in groupby(case.reasons, key=lambda one: one.why):
        parts = []
        for one in own:
            seat, _, kind = one.about.rpartition(":") if why == PROBLEM else ("", "", "")
            votes = words("votes_of", most=words.number(one.most), votes=words.number(one.votes)) if one.most else ""
            kind = words.of("kinds", kind) if kind else ""
            parts.append(f"{seat} {kind}".strip() + (f" ({votes})" if kind and votes else votes))
        said = ", ".join(filter(None, parts))
        yield f"{words.of('why_contested', why)}{said and f': {said}'}"


def _field(task: str, name: str, words: Words) -> str:
    if task in (RANKING, DESCRIPTION) and name in SEATS:
        return words("answer", seat=name)
    return words("prompt") if name in ("prompt", "question") else name


def gaps(shown: Facts, words: Words) -> Iterator[Html]:
    """Decided items for which the guidelines lack a rule, and the rule that an adjudicator would have."""
    if shown.gaps:
        yield tag("p", words("gaps_says"), class_="soft")
        yield from _cases(shown.gaps, words)
