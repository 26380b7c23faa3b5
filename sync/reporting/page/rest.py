"""Sections about what people reported, money, runs, and what the program says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from sync.reporting.page.charts import bars, table
from sync.reporting.page.facts import Facts
from sync.reporting.page.html import Html, tag
from sync.reporting.page.progress import country_name
from sync.reporting.page.words import Words


def problems(shown: Facts, words: Words) -> Iterator[Html]:
    """What people reported, by kind; and why answers and pairs were set aside."""
    found = shown.found.problems
    if not found:
        yield tag("p", words("not_yet", why=words("no_problems")))
    for task in sorted({task for task, *_ in found}):
        kinds, countries = Counter[str](), sorted({country for of, country, _ in found if of == task})
        for (of, _, kind), number in found.items():
            kinds[kind] += number if of == task else 0
        heads = (words("kind"), *(country_name(country, words) for country in countries))
        rows = [
            (words.of("kinds", kind), *(words.number(found.get((task, country, kind), 0)) for country in countries))
            for kind, number in kinds.most_common()
            if number
        ]
        numbers = range(1, 1 + len(countries))
        yield table(words.of("tasks", task).capitalize(), heads, rows, numbers=numbers)
    aside = Counter(shown.found.excluded)
    for reason, number in shown.found.unfit.items():
        aside[_nameless(reason)] += number
    if aside:
        rows = [(words.of("kinds", reason), words.number(number)) for reason, number in aside.most_common()]
        yield table(words("set_aside"), (words("reason"), words("count")), rows, numbers=(1,))


def _nameless(reason: str) -> str:
    """Why an answer does not count, without the name of whoever gave it and without what it holds."""
    if by := re.match(r'by ".*", who is (not on the team|left out)\b', reason, re.S):
        return f"by somebody who is {by[1]}"
    return "given in" if reason.startswith("given in ") else reason.partition(": ")[0]


def money(shown: Facts, words: Words) -> Iterator[Html]:
    """What was spent, what is reserved, and the budget; by model."""
    if not (found := shown.money):
        return
    if not found.models:
        yield tag("p", words("not_yet", why=words("no_money")))
        return
    said = {name: words.dollars(getattr(found, name)) for name in ("spent", "reserved", "budget")}
    yield tag("p", words("money_says", **said))
    heads = [words(head) for head in ("model", "calls", "dollars", "tokens")]
    rows = [
        (
            cost.model,
            words.number(cost.calls),
            words.dollars(cost.usd),
            f"{words.number(cost.input_tokens)} / {words.number(cost.output_tokens)}",
        )
        for cost in found.models
    ]
    yield table("", heads, rows, numbers=(1, 2, 3))


def runs(shown: Facts, words: Words) -> Iterator[Html]:
    """The runs that met quotas own."""
    if not shown.found.runs:
        yield tag("p", words("not_yet", why=words("no_runs")))
        return
    rows = [(run.run or "–", words.of("run_states", run.state)) for run in shown.found.runs]
    yield table("", (words("run"), words("state")), rows)


def notes(shown: Facts, words: Words) -> Iterator[Html]:
    """Sentences of the program for which the page has no words of its own."""
    found = shown.found
    reach, runs = (one.reach for one in found.forecast), (run.detail for run in found.runs)
    said = (found.other_texts, found.capped, *found.short_teams, *reach, *runs)
    if lines := [line for line in dict.fromkeys(said) if line]:
        yield tag("p", words("notes_says"), class_="soft")
        yield tag("ul", [tag("li", line, lang="en") for line in lines])


def votes(shown: Facts, words: Words) -> Iterator[Html]:
    """Votes of a demo's visitors, apart from the team's answers."""
    if found := shown.found.votes:
        most = max(found.values())
        rows = [(country_name(country, words), n, most, words.number(n)) for country, n in found.items()]
        yield tag("figure", tag("figcaption", words("votes_says")), bars(rows))
