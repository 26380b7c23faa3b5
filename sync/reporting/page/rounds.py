"""Section about rounds: what each asked, how the aligned model's own answers did, and what runs learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from annotation.rounds import REASONS
from sync.reporting.page.charts import table, whisker
from sync.reporting.page.facts import Facts
from sync.reporting.page.html import Html, tag
from sync.reporting.page.progress import country_name
from sync.reporting.page.words import Words
from sync.reporting.rounds import Interval, Own, RoundState, RunOfRound


def rounds(shown: Facts, words: Words) -> Iterator[Html]:
    """Round by round what improved; nothing in the first."""
    states = shown.found.rounds
    if len(states) < 2:
        return
    yield tag("p", words("rounds_says"), class_="soft")
    heads = ("since", "asked_anew", "complete", "answers", "people", "preferences")
    yield table(
        "", ["", *(words(head) for head in heads)], [_asked(one, words) for one in states], numbers=(3, 4, 5, 6)
    )
    if placed := [(one, group, own) for one in states for group, own in one.own.items()]:
        yield tag("h3", words("own"))
        yield tag("p", words("own_says"), class_="soft")
        shares = ("country", "above", "level", "below", "difference")
        rows = [_placed(one, group, own, words) for one, group, own in placed if len(one.own) > 2 or group == "all"]
        columns = ["", *(words(head) for head in shares), "", words("interval"), words("sure")]
        yield table("", columns, rows, numbers=(2, 3, 4, 5))
    if learnt := [(one, run) for one in states for run in one.runs]:
        yield tag("h3", words("learnt"))
        yield tag("p", words("learnt_says"), class_="soft")
        ends = [end for _, run in learnt if run.tau for end in (run.tau.low, run.tau.high, run.tau.value) if end]
        least = min([0.0, *ends])
        rows = [(_named(one, words), *_learnt(run, least, words)) for one, run in learnt]
        columns = ["", *(words(head) for head in ("run", "accuracy", "tau")), "", words("interval")]
        yield table("", columns, rows, numbers=(2, 3))
        if gains := [tag("li", said) for one, run in learnt if (said := _gain(one, run, words))]:
            yield tag("ul", gains)


def _asked(one: RoundState, words: Words) -> Sequence[object]:
    why = [f"{words.of('reasons', reason)} {words.number(n)}" for reason in REASONS if (n := one.reasons.get(reason))]
    complete = words("shown_of", shown=words.number(one.complete), all=words.number(one.slates))
    numbers = (one.answers, one.people, one.preferences)
    since = words.day(one.started_at) if one.started_at else ""
    return _named(one, words), since, " · ".join(why), complete, *map(words.number, numbers)


def _named(one: RoundState, words: Words) -> str:
    return f"{words('round')} {words.number(one.number)}"


def _placed(one: RoundState, group: str, own: Own, words: Words) -> Sequence[object]:
    shares = (words.percent(number / own.votes) for number in (own.above, own.level, own.below))
    found = own.ahead
    line = whisker(found.value, found.low, found.high, least=-1.0)
    ends = _ends(found, words, digits=2)
    verdict = words.of("verdicts", found.verdict)
    value = words.number(found.value, 2)
    return _named(one, words), country_name(group, words), *shares, value, line, ends, verdict


def _learnt(run: RunOfRound, least: float, words: Words) -> Sequence[object]:
    if run.tau is None or run.accuracy is None:
        return run.run, "", "", "", words("not_measured")
    line = whisker(run.tau.value, run.tau.low, run.tau.high, least=least)
    accuracy, tau = words.percent(run.accuracy.value), words.number(run.tau.value, 2)
    return run.run, accuracy, tau, line, _ends(run.tau, words, digits=2)


def _ends(found: Interval, words: Words, *, digits: int) -> str:
    if found.low is None or found.high is None:
        return words("too_few")
    return words("range", low=words.number(found.low, digits), high=words.number(found.high, digits))


def _gain(one: RoundState, run: RunOfRound, words: Words) -> str:
    """Whether a run ranks better than that of the round before, as far as that is sure."""
    if not run.before:
        return ""
    names = {"round": words.number(one.number), "run": run.run, "before": run.before}
    if run.tau_gain is None:
        return words("not_compared", **names)
    value, ends = words.number(run.tau_gain.value, 2), _ends(run.tau_gain, words, digits=2)
    verdict = words.of("verdicts", run.tau_gain.verdict)
    return words("gain", **names, slates=words.number(run.shared), value=value, interval=ends, verdict=verdict)
