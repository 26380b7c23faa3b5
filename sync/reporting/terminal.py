"""Tables of the report on the terminal: a screen, and what is longer is counted."""

from __future__ import annotations

from collections import Counter

from annotation.adjudicate import adjudication_sentences
from annotation.item_counts import Counts
from annotation.quality.agreement import FEWEST_ITEMS, Agreement
from annotation.screen import counted, table
from annotation.tasks import TASKS
from annotation.tasks.exam.settled import STATUSES
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from sync.quotas import QuotaState
from sync.reporting.forecast import Forecast
from sync.reporting.people import first_to_look_at
from sync.reporting.plan_terminal import in_days
from sync.reporting.rounds import sentences
from sync.reporting.status import Report

MOST_PEOPLE, MOST_LINES = 20, 6
"""People in the table, and lines of a kind; what there is beyond them is counted, and a command named."""


def show(found: Report, *, brief: bool = False) -> None:
    """Print the report as tables; a brief one leaves out people and agreement."""
    for name, task in TASKS.items():
        own = [state for state in found.quotas if state.quota.task == name]
        table(
            "Quotas" if name == RANKING else f"Quotas: {task.title}",
            ("group", "complete", "target", f"people per {task.one}", "judgements", "people", "state"),
            [(s.group, s.completed, s.quota.target, s.quota.overlap, s.answers, s.people, _verdict(s)) for s in own],
        )
    if len(found.rounds) > 1:
        now = found.rounds[-1]
        print(f"Round {now.number}, since {now.started_at[:10]}; what came of each: `annot round list`.")
        _show_lines("", sentences(found.rounds[-1:]), "annot round list")
    if not brief:
        _show_people(found)
        _show_exams(found)
    for name, made in found.made.items():
        what = ", ".join(f"{made[kind]} {kind}" for kind in TASKS[name].counted)
        of = "Pictures: " if name == DESCRIPTION else ""
        print(f"{of}{counted(found.answers.get(name, 0), 'judgement gives', 'judgements give')} {what}.")
    if found.votes:
        countries = ", ".join(f"{country} {number}" for country, number in found.votes.items())
        print(f"Votes of a demo's visitors, apart from the team's: {sum(found.votes.values())} ({countries}).")
    if found.shared:
        print(f"Shared stereotypes that wait for `annot stereotypes add --shared`: {found.shared}.")
    if set_aside := ", ".join(f"{count} {reason}" for reason, count in sorted(found.excluded.items())):
        print(f"Set aside: {set_aside}.")
    for reason, count in sorted(found.unfit.items()):
        print(f"Not counted: {count} submitted, {reason}.")
    if not brief:
        _show_trust(found)
        _show_lines("", [*_decide(found)], "annot adjudicate list")
        if found.forecast:
            print()
        _show_lines("Forecast (90 %): ", [_forecast(one) for one in found.forecast], "annot plan")
    runs = (launch.detail for launch in found.runs)
    for line in filter(None, (found.other_texts, found.capped, *(() if brief else found.short_teams), *runs)):
        print(line)


def _show_lines(before: str, lines: list[str], command: str) -> None:
    for line in lines[:MOST_LINES]:
        print(f"{before}{line}")
    if len(lines) > MOST_LINES:
        print(f"{before}and {len(lines) - MOST_LINES} more: `{command}`.")


def _forecast(one: Forecast) -> str:
    of = f"{TASKS[one.task].title}, {one.group}: {counted(one.to_go, 'answer')} to go"
    if one.days_high is None:
        return f"{of}. {one.reach}"
    low, middle, high = (in_days(days) for days in (one.days_low, one.days, one.days_high))
    pace = "an assumed pace, since little is known yet" if one.assumed else "this pace"
    return f"{of}, about {middle} days at {pace}, between {low} and {high}."


def _decide(found: Report) -> tuple[str, ...]:
    counts: Counts = Counter({("adjudication", *key): number for key, number in found.decisions.items()})
    counts.update({("gap", *key): number for key, number in found.gaps.items()})
    return adjudication_sentences(counts)


def _show_trust(found: Report) -> None:
    trust = found.trust
    if trust.controls:
        right, wrong = (sum(getattr(result, of) for result in trust.controls.values()) for of in ("right", "wrong"))
        whom = counted(len(trust.controls), "person", "people")
        print(f"Control items: {right} of {right + wrong} were answered right, by {whom}.")
    if states := Counter(result.state for result in trust.entries.values()):
        print(f"Entry tests: {', '.join(f'{number} {state}' for state, number in states.items())}.")
        shut_out = [f"{who}, {TASKS[task].title}: {at.sentence()}." for task, who, at in trust.shut_out]
        _show_lines("  ", shut_out, "annot people list")
    if found.doubts:
        print('To look at (`annot people set NAME --weight 0 --reason "…"` leaves answers out, if you decide so):')
        _show_lines("  ", list(found.doubts), "annot people list")


def _show_people(found: Report) -> None:
    trust, many = found.trust, len(found.people) > MOST_PEOPLE
    people = first_to_look_at(found.people, trust)[:MOST_PEOPLE] if many else found.people
    signs = Counter(sign.annotator for sign in trust.signs)
    right = {who: f"{own.right} of {own.right + own.wrong}" for who, own in trust.controls.items()}
    weights = {who: f"{weight:.2f}" for who, weight in trust.weights.items()}
    more = [(name, of) for name, of in (("weight", weights), ("signs", signs), ("controls", right)) if of]
    table(
        "People",
        (
            *("annotator", "team", "submitted", "drafts", "discarded", "24 h", "a day", "seen (UTC)"),
            *(name for name, _ in more),
        ),
        [
            (
                w.annotator,
                w.country,
                w.submitted,
                w.drafts,
                w.discarded,
                w.last_day,
                f"{w.per_day:.1f}",
                w.last_seen[5:16].replace("T", " "),
                *(of.get(w.annotator) for _, of in more),
            )
            for w in people
        ],
    )
    if many:
        print(f"and {len(found.people) - MOST_PEOPLE} more people: `annot people list`.")
    for name, groups in found.agreement.items():
        task = TASKS[name]
        if (reason := next(iter(groups.values()), None)) and isinstance(reason, str) and len(set(groups.values())) == 1:
            print(f"Agreement: {reason}")
            continue
        of = "" if name == RANKING else f", {task.title}"
        table(
            f"Agreement{of} (Krippendorff's alpha, {task.scale}; 95 % interval by bootstrap over {task.many})",
            ("group", "alpha", "interval", f"shared {task.many}", "annotators"),
            [
                (group, None, a, None, None)
                if isinstance(a, str)
                else (group, f"{a.alpha:.2f}", _interval(a), a.items, a.annotators)
                for group, a in groups.items()
            ],
        )


def _show_exams(found: Report) -> None:
    if not found.exams:
        return
    groups = sorted({key[:3] for key in found.exams})
    numbers = [(*group, *(found.exams.get((*group, status), 0) for status in STATUSES)) for group in groups]
    table("Exam questions", ("country", "exam", "category", *STATUSES), numbers)
    checked = counted(found.checked_questions, "checked question")
    print(f"INCLUDE: {checked}, {found.exam_rate.sentence(found.checked_questions)}.")


def _interval(agreement: Agreement) -> str:
    if agreement.low is None or agreement.high is None:
        return "too few" if agreement.items < FEWEST_ITEMS else "nobody disagrees"
    return f"{agreement.low:.2f} to {agreement.high:.2f}"


def _verdict(state: QuotaState) -> str:
    many, add = TASKS[state.quota.task].many, "pictures" if state.quota.task == DESCRIPTION else "prompts"
    if state.met:
        return "met" if state.owed == state.quota.target else f"met with all {state.items} {many} there are"
    if not state.items and not state.coming:
        return f"no {many}: add {add}, or lower the target"
    if state.items < state.owed:
        return f"{state.items} {many} so far, {state.coming} more can come"
    return f"{state.owed - state.completed} to go"
