"""Sections about people: what each has done and how far one can trust it, teams, control items and entry tests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TypeAlias

from annotation.quality.signs import Sign
from sync.reporting.page.charts import table
from sync.reporting.page.facts import Facts
from sync.reporting.page.html import Html, tag
from sync.reporting.page.progress import country_name
from sync.reporting.page.words import Words
from sync.reporting.people import Work, first_to_look_at

MOST = 50
"""People in the table: those with something to look at first, then who answered most."""

Name: TypeAlias = Callable[[str], str]
"""User name -> the name that the page shows."""


def people(shown: Facts, words: Words, name: Name) -> Iterator[Html]:
    """What everybody has done, those first who need a look; of very many, the first and how many more there are."""
    if not shown.found.people:
        yield tag("p", words("not_yet", why=words("no_people")))
        return
    yield _teams(shown, words)
    yield tag("p", words("people_says"), class_="soft")
    ordered = first_to_look_at(shown.found.people, shown.found.trust)
    heads = ("person", "country", "submitted", "a_day", "day_24", "passed", "seen", "weight", "agrees", "signs")
    rows = [_person(work, shown, words, name) for work in ordered[:MOST]]
    yield table("", [words(head) for head in heads], rows, numbers=(2, 3, 4, 5))
    if len(ordered) > MOST:
        yield tag("p", words("more", number=words.number(len(ordered) - MOST)))


def _teams(shown: Facts, words: Words) -> Html:
    week = (date.fromisoformat(shown.made_at[:10]) - timedelta(days=6)).isoformat()
    teams: dict[str, list[Work]] = defaultdict(list)
    for work in shown.found.people:
        teams[work.country].append(work)
    rows = []
    for country, own in sorted(teams.items()):
        numbers = (len(own), sum(work.last_seen >= week for work in own), sum(work.submitted for work in own))
        rows.append((country_name(country, words), *map(words.number, numbers)))
    heads = ("country", "people", "active", "submitted")
    return table(words("teams"), [words(head) for head in heads], rows, numbers=(1, 2, 3))


def _person(work: Work, shown: Facts, words: Words, name: Name) -> tuple[object, ...]:
    trust, who = shown.found.trust, work.annotator
    measured = trust.reliability.get(who)
    weight: list[object] = [words.number(trust.weights.get(who, 1.0), 2)]
    signs = [_sign(sign, words) for sign in trust.signs if sign.annotator == who]
    if who in trust.left_out:
        signs.insert(0, words("left_out"))
    if measured:
        numbers = {of: words.number(getattr(measured, of), 2) for of in ("weight", "low", "high")}
        weight.append(tag("div", words("measured", **numbers), class_="soft"))
    return (
        name(who),
        country_name(work.country, words),
        words.number(work.submitted),
        words.number(work.per_day, 1),
        words.number(work.last_day),
        words.number(work.discarded),
        work.last_seen and words.day(work.last_seen),
        weight,
        words.percent(measured.agreement) if measured and measured.agreement is not None else "",
        [tag("div", sign) for sign in signs] or "",
    )


def _sign(sign: Sign, words: Words) -> str:
    def shown(value: float) -> str:
        return words("seconds", value=words.number(value)) if sign.kind == "speed" else words.percent(value)

    return words(
        "sign_says",
        what=words.of("sign_kinds", sign.kind),
        n=words.number(sign.n),
        **{of: shown(getattr(sign, of)) for of in ("value", "low", "high", "usual")},
    )


def controls(shown: Facts, words: Words, name: Name) -> Iterator[Html]:
    """How control items were answered, by kind and by whom, and where people stand in entry tests."""
    trust = shown.found.trust
    there = {work.annotator for work in shown.found.people}
    results = {who: result for who, result in trust.controls.items() if who in there}
    entries = [result for (_, who), result in trust.entries.items() if who in there]
    if not results:
        yield tag("p", words("not_yet", why=words("no_controls")))
    else:
        yield tag("p", words("controls_says"), class_="soft")
        kinds: dict[str, Counter[int]] = defaultdict(Counter)
        for result in results.values():
            for kind, (right, wrong) in result.by_kind.items():
                kinds[kind].update({1: right, 0: wrong})
        rows = [(words.of("kinds", kind), words.number(n[1]), words.number(n[0])) for kind, n in sorted(kinds.items())]
        yield table("", [words(head) for head in ("kind", "right", "wrong")], rows, numbers=(1, 2))
        first = sorted(results, key=lambda who: (-results[who].low, -results[who].wrong, who))
        people = [
            (
                name(who),
                words.number(results[who].right),
                words.number(results[who].wrong),
                words("range", low=words.percent(results[who].low), high=words.percent(results[who].high)),
            )
            for who in first[:MOST]
        ]
        heads = [words(head) for head in ("person", "right", "wrong", "wrong_share")]
        yield table("", heads, people, numbers=(1, 2))
        if len(first) > MOST:
            yield tag("p", words("more", number=words.number(len(first) - MOST)))
    if entries:
        states = Counter(result.state for result in entries)
        tests = [(words.of("entry_states", state), words.number(number)) for state, number in states.most_common()]
        yield table(words("entry"), (words("state"), words("people")), tests, numbers=(1,))
        shut_out = [
            (name(who), words.of("tasks", task).capitalize(), words.of("entry_states", at.state))
            for task, who, at in trust.shut_out
            if who in there
        ]
        if shut_out:
            yield table("", [words(head) for head in ("person", "task", "state")], shut_out[:MOST])
        if len(shut_out) > MOST:
            yield tag("p", words("more", number=words.number(len(shut_out) - MOST)))
