"""Sections about how far the work is: next step, quotas by country, pace and agreement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

from annotation.item_counts import ALL
from annotation.quality.agreement import FEWEST_ITEMS, Agreement
from annotation.text.locales import name_of_country, name_of_language
from sync.quotas import QuotaState
from sync.reporting.crews import LONGEST
from sync.reporting.forecast import Forecast
from sync.reporting.page.charts import bars, columns, facts, table, whisker
from sync.reporting.page.facts import Facts
from sync.reporting.page.html import Html, tag
from sync.reporting.page.words import Words

DAYS = 120
"""Of more days than this, weeks are shown."""


def head(shown: Facts, words: Words) -> Iterator[Html]:
    """What one looks at first: a few numbers, and the next step."""
    found = shown.found
    days = _by_day(shown)
    week = (date.fromisoformat(shown.made_at[:10]) - timedelta(days=6)).isoformat()
    done = sum(min(state.completed, state.owed) for state in found.quotas)
    owed = sum(state.owed for state in found.quotas)
    tiles: list[tuple[str, object]] = [
        (words("complete"), words("shown_of", shown=words.number(done), all=words.number(owed))),
        (words("answers"), words.number(sum(work.submitted for work in found.people))),
        (words("people"), words.number(sum(work.submitted > 0 for work in found.people))),
    ]
    if days:
        tiles.append((words("last_week"), words.number(sum(n for day, n in days.items() if day >= week))))
    if shown.money:
        tiles.append((words("spent"), words.dollars(shown.money.spent)))
    yield facts(tiles)
    if shown.next:
        command = re.search(r"annot ([a-z]+)", shown.next)
        yield tag(
            "section",
            tag("strong", f"{words('next')}: "),
            words.of("next_step", command[1] if command else "", "other"),
            tag("div", tag("span", words("next_own"), class_="soft"), " ", tag("code", shown.next, lang="en")),
            class_="next",
            aria_label=words("next"),
        )


def quotas(shown: Facts, words: Words) -> Iterator[Html]:
    """Bars of each country, and every quota in numbers."""
    states = shown.found.quotas
    if not states:
        yield tag("p", words("not_yet", why=words("no_quotas")))
        return
    yield tag("p", words("quotas_says"), class_="soft")
    for name in dict.fromkeys(state.quota.task for state in states):
        own = [state for state in states if state.quota.task == name]
        yield tag("h3", words.of("tasks", name).capitalize())
        done, owed = Counter[str](), Counter[str]()
        for state in own:  # what one group has beyond its target helps no other
            done[state.quota.country] += min(state.completed, state.owed)
            owed[state.quota.country] += state.owed
        rows = [
            (
                country_name(country, words),
                done[country],
                owed[country],
                words("bar", done=words.number(done[country]), owed=words.number(owed[country])),
            )
            for country in owed
        ]
        yield tag("figure", tag("figcaption", words("bars")), bars(rows))
        if len(own) > len(rows):
            heads = [words(head) for head in ("group", "complete", "target", "overlap", "answers", "people", "state")]
            yield table("", heads, [_quota(s, words) for s in own], numbers=(1, 2, 3, 4, 5))
        else:  # the bars have said the rest
            heads = [words(head) for head in ("country", "overlap", "answers", "people", "state")]
            yield table(
                "", heads, [(cells[0], *cells[3:]) for s in own for cells in [_quota(s, words)]], numbers=(1, 2, 3)
            )


def _quota(state: QuotaState, words: Words) -> tuple[object, ...]:
    quota = state.quota
    named = (
        country_name(quota.country, words),
        quota.topic,
        quota.language and name_of_language(quota.language, words.language),
    )
    if state.met:
        said = words("met")
    elif not state.items and not state.coming:
        said = words("none_yet")
    elif state.items < state.owed:
        said = words("fewer", items=words.number(state.items), coming=words.number(state.coming))
    else:
        said = words("to_go", number=words.number(state.owed - state.completed))
    numbers = (state.completed, quota.target, quota.overlap, state.answers, state.people)
    return (" · ".join(filter(None, named)), *map(words.number, numbers), said)


def forecast(shown: Facts, words: Words) -> Iterator[Html]:
    """How long each quota still takes at the pace of its people, with an interval."""
    found = shown.found.forecast
    if not found:
        return
    yield tag("p", words("forecast_says"), class_="soft")
    heads = ("group", "forecast_to_go", "forecast_people", "forecast_pace", "forecast_days", "interval")
    rows = [
        (
            f"{words.of('tasks', one.task).capitalize()}: {_group(one.group, words)}",
            words.number(one.to_go),
            words.number(one.people),
            words.number(one.per_day, 1),
            _days(one.days, words) if one.days_high is not None else "",
            [tag("div", said) for said in _interval(one, words)],
        )
        for one in found
    ]
    yield table("", [words(head) for head in heads], rows, numbers=(1, 2, 3, 4))


def _interval(one: Forecast, words: Words) -> Iterator[str]:
    if one.days_high is None:
        yield words("out_of_reach")
    else:
        yield words("range", low=_days(one.days_low, words), high=_days(one.days_high, words))
    if one.assumed:
        yield words("forecast_assumed")


def _days(days: float, words: Words) -> str:
    return words("years") if days >= LONGEST else words.number(days, int(days < 10))


def country_name(code: str, words: Words) -> str:
    """A country in the language of the page; for `annotation.item_counts.ALL` the word for all."""
    return words("all") if code == ALL else name_of_country(code, words.language)


def pace(shown: Facts, words: Words) -> Iterator[Html]:
    """Answers over the days, or over the weeks where the days are many."""
    days = _by_day(shown)
    if not days:
        yield tag("p", words("not_yet", why=words("no_pace")))
        return
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    best = max(days, key=lambda day: (days[day], day))
    numbers = {"answers": words.number(days.total()), "days": words.number(len(days))}
    yield tag("p", words("pace_says", **numbers, best=words.day(best), most=words.number(days[best])))
    step = 1 if (last - first).days < DAYS else 7
    starts = [first + timedelta(days=n) for n in range(0, (last - first).days + 1, step)]
    values = [sum(days[(start + timedelta(days=n)).isoformat()] for n in range(step)) for start in starts]
    ends = {"first": words.day(first.isoformat()), "last": words.day(last.isoformat())}
    alt = words(
        "pace_alt" if step == 1 else "pace_week", **ends, answers=numbers["answers"], most=words.number(max(values))
    )
    yield tag(
        "figure",
        tag("div", tag("span", words.number(max(values))), class_="ends", aria_hidden="true"),
        columns(values, alt),
        tag("div", tag("span", ends["first"]), tag("span", ends["last"]), class_="ends", aria_hidden="true"),
    )
    heads = (words("day" if step == 1 else "week"), words("answers"))
    rows = [(words.day(start.isoformat()), words.number(value)) for start, value in zip(starts, values, strict=True)]
    yield tag(
        "details",
        tag("summary", words("by_day" if step == 1 else "by_week")),
        table("", heads, [row for row, value in zip(rows, values, strict=True) if value], numbers=(1,)),
        class_="screen",
    )


def _by_day(shown: Facts) -> Counter[str]:
    days = Counter[str]()
    for moment, number in shown.found.times.items():
        days[moment[:10]] += number
    return days


def agreement(shown: Facts, words: Words) -> Iterator[Html]:
    """Krippendorff's alpha of each task and country, with its interval."""
    yield tag("p", words("agreement_says"), class_="soft")
    heads = (words("country"), words("alpha"), "", *(words(head) for head in ("interval", "shared", "people")))
    for name, groups in shown.found.agreement.items():
        yield tag("h3", words.of("tasks", name).capitalize())
        # Why there is none is said in English: of two sentences one speaks of equal values.
        reasons = [of for of in groups.values() if isinstance(of, str)]
        if len(reasons) == len(groups):
            yield tag("p", words("not_yet", why=words("all_same" if "same value" in reasons[0] else "no_overlap")))
            continue
        rows = [
            (_group(group, words), *_measured(of, words)) for group, of in groups.items() if not isinstance(of, str)
        ]
        yield table("", heads, rows, numbers=(1, 4, 5))


def _measured(found: Agreement, words: Words) -> tuple[object, ...]:
    if found.low is None or found.high is None:
        interval = words("too_few" if found.items < FEWEST_ITEMS else "nobody_disagrees")
    else:
        interval = words("range", low=words.number(found.low, 2), high=words.number(found.high, 2))
    line = whisker(found.alpha, found.low, found.high)
    return words.number(found.alpha, 2), line, interval, words.number(found.items), words.number(found.annotators)


def _group(group: str, words: Words) -> str:
    country, _, unit = group.partition(" · ")
    return " · ".join(filter(None, (country_name(country, words), unit)))
