"""Plot of the report: progress.png."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path

from annotation.files import write_whole
from annotation.tasks import TASKS
from sync.reporting.status import Report


def draw(found: Report, path: Path) -> None:
    """Draw the quotas and the judgements over time as a PNG, whole or not at all."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    height = max(3.2, 0.42 * len(found.quotas) + 1.6)
    figure = Figure(figsize=(11, height), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    places = range(len(found.quotas))
    colours = ["#009E73" if s.met else "#0072B2" for s in found.quotas]
    left.barh(places, [s.completed for s in found.quotas], color=colours, height=0.6)
    targets = [s.quota.target for s in found.quotas]
    left.vlines(targets, [p - 0.42 for p in places], [p + 0.42 for p in places], color="black", lw=2, label="target")
    tasks = {state.quota.task for state in found.quotas}
    several, one_kind = len(tasks) > 1, TASKS[next(iter(tasks))].many if tasks else "slates"
    names = [f"{TASKS[s.quota.task].title}: {s.group}" if several else s.group for s in found.quotas]
    left.set_yticks(places, names)
    left.set(title="Completed per group (green: target met)", xlabel="items" if several else one_kind)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.invert_yaxis()
    left.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, -0.22))
    # What there is at the start and at the end of every ten minutes in which somebody judged; the last end now.
    times = [(datetime.fromisoformat(f"{time}0:00+00:00"), count) for time, count in sorted(found.times.items())]
    moments = [at for start, _ in times for at in (start, min(start + timedelta(minutes=10), datetime.now(UTC)))]
    totals = [0, *accumulate(count for _, count in times)]
    right.set(title="Judgements over time (UTC)")
    if moments:
        right.plot(moments, [total for pair in pairwise(totals) for total in pair], color="#0072B2")
        right.set(ylabel="judgements", ylim=(0, None))
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        right.xaxis.set_major_locator(locator)
        right.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:  # an axis without a moment on it begins in 1970
        right.set(xticks=[], yticks=[])
        right.text(0.5, 0.5, "no judgement yet", ha="center", va="center", transform=right.transAxes)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda beside: figure.savefig(beside))
