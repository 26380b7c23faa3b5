"""Tables of the report on the terminal."""

from __future__ import annotations

from annotation.exams.checked import MOST_POINTS, include_points
from annotation.quality.agreement import FEWEST_ITEMS, Agreement
from annotation.screen import counted, table
from annotation.tasks import TASKS
from annotation.tasks.exam.settled import STATUSES
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from sync.quotas import QuotaState
from sync.reporting.status import Report


def show(found: Report, *, brief: bool = False) -> None:
    """Print the report as tables; a brief one leaves out people and agreement."""
    for name, task in TASKS.items():
        own = [state for state in found.quotas if state.quota.task == name]
        table(
            "Quotas" if name == RANKING else f"Quotas: {task.title}",
            ("group", "complete", "target", f"people per {task.one}", "judgements", "people", "state"),
            [(s.group, s.completed, s.quota.target, s.quota.overlap, s.answers, s.people, _verdict(s)) for s in own],
        )
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
    if found.doubts and not brief:
        print('To look at (`annot team exclude NAME --reason "..."` leaves answers out, if that is what you find):')
        for line in found.doubts:
            print(f"  {line}")
    runs = (launch.detail for launch in found.runs)
    for line in filter(None, (found.other_texts, found.capped, *(() if brief else found.short_teams), *runs)):
        print(line)


def _show_people(found: Report) -> None:
    table(
        "People",
        ("annotator", "team", "submitted", "drafts", "discarded", "24 h", "a day", "seen (UTC)"),
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
            )
            for w in found.people
        ],
    )
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
    points = include_points(found.checked_questions)
    checked = counted(found.checked_questions, "checked question")
    print(f"INCLUDE: {checked}, {points:g} of {MOST_POINTS:g} point (half a point for each hundred).")


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
