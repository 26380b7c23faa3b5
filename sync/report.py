"""What a lead looks at: quotas, people, agreement, what is set aside, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from annotation.errors import NotEnoughOverlap
from annotation.ledger import Response
from annotation.project import Project, write_whole
from annotation.types import Judgement
from sync.agreement import Agreement, measure_agreement
from sync.pull import answers
from sync.quotas import QuotaState, all_met, short_teams
from sync.snapshot import Gathered, gather
from sync.trigger import Launch, launches


@dataclass(frozen=True, slots=True)
class Work:
    """What one person has done.

    Attributes:
        annotator: User name.
        country: Of their team.
        submitted: Judgements.
        drafts: Answers saved and not submitted.
        discarded: Slates they passed over.
        last_day: Judgements of the last 24 hours.
        per_day: Judgements per day on which they worked.
        last_seen: ISO 8601, or "".
    """

    annotator: str
    country: str
    submitted: int
    drafts: int
    discarded: int
    last_day: int
    per_day: float
    last_seen: str


@dataclass(frozen=True)
class Report:
    """How the project stands.

    Attributes:
        agreement: Group ("all", or a country) -> Agreement, or the sentence that says why there is none.
        aside: Reason -> how many pairs or slates were set aside for it.
        short_teams: A sentence per country whose team is too small for its quota.
    """

    quotas: tuple[QuotaState, ...]
    people: tuple[Work, ...]
    agreement: dict[str, Agreement | str]
    judgements: tuple[Judgement, ...]
    preferences: int
    aside: dict[str, int]
    runs: tuple[Launch, ...]
    short_teams: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "quotas": [{**asdict(state), "met": state.met} for state in self.quotas],
            "people": [asdict(work) for work in self.people],
            "agreement": {
                group: {"reason": found} if isinstance(found, str) else asdict(found)
                for group, found in self.agreement.items()
            },
            "judgements": len(self.judgements),
            "preferences": self.preferences,
            "set_aside": self.aside,
            "runs": [asdict(launch) for launch in self.runs],
            "short_teams": list(self.short_teams),
        }


def report(project: Project, gathered: Gathered | None = None) -> Report:
    """Say how the project stands, from the ledger alone."""
    gathered = gathered or gather(project)
    return Report(
        gathered.quotas,
        _people(project),
        _agreement(gathered.judgements, project.settings.project.seed),
        gathered.judgements,
        len(gathered.preferences.kept),
        dict(Counter(dropped.reason for dropped in gathered.preferences.aside)),
        tuple(launches(project)),
        short_teams(gathered.quotas, project.ledger.people()),
    )


def stock(project: Project) -> dict[str, int | float]:
    """How much there is of everything before the judgements; dollars for "usd"."""
    count = {
        table: project.ledger.rows(f"select count(*) as n from {table}")[0]["n"]
        for table in ("prompts", "candidates", "slates")
    }
    pushed = project.ledger.rows("select count(distinct slate_id) as n from pushes")[0]["n"]
    return {**count, "pushed": pushed, "usd": project.ledger.committed_usd()}


def next_step(
    project: Project, quotas: Sequence[QuotaState], runs_so_far: Sequence[Launch], *, argilla_runs: bool
) -> str:
    """The command that takes the project further."""
    have = stock(project)
    people = [person for person in project.ledger.people() if person.active]
    runs = argilla_runs or bool(project.settings.argilla.url)
    short = [state for state in quotas if state.slates < state.quota.target]
    last = runs_so_far[-1] if runs_so_far else None
    if not have["prompts"]:
        return "annot prompts add FILE"
    if not have["candidates"]:
        return "annot draft --dry-run, then annot draft (or annot draft --from FILE)"
    if not have["slates"]:
        return "annot select"
    if not runs:
        return "annot up"
    if not people:
        return "annot team add roster.csv"
    if have["pushed"] < have["slates"]:
        return "annot push"
    if last and last.state == "finished" and not (project.run_folder(last.run) / "evaluation.json").exists():
        return f"annot evaluate {last.run}"
    if short:
        missing = ", ".join(f"{s.group} has {s.slates} of {s.quota.target}" for s in short)
        return f"annot sync --watch; too few slates for the quotas ({missing}): add prompts, or lower the targets"
    if too_few := short_teams(quotas, people):
        return f"annot team add roster.csv with more people, or a lower quota.overlap: {too_few[0]}"
    if last and all_met(quotas):
        return _after_run(last)
    to_go = ", ".join(f"{s.group} {s.quota.target - s.completed}" for s in quotas if not s.met)
    return f"annot sync --watch; slates to complete: {to_go}" if to_go else "annot sync --watch"


def _after_run(last: Launch) -> str:
    """What comes next when every quota is met and their run is known."""
    if last.state == "finished":
        return f"read runs/{last.run}/report.md; raise the quotas for another round"
    if last.state == "failed":
        return "mend what is said above (often by another train.preset in annot.toml), then annot sync --relaunch"
    if last.state == "missing":
        return f"copy runs/{last.run} here, or train it again with annot sync --relaunch"
    return "annot sync --watch"


def _people(project: Project) -> tuple[Work, ...]:
    responses: dict[str, list[Response]] = {p.username: [] for p in project.ledger.people() if p.role == "annotator"}
    country = {p.username: p.country for p in project.ledger.people()}
    for response in answers(project.ledger):
        responses.setdefault(response.annotator, []).append(response)
        country.setdefault(response.annotator, response.country)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    work = []
    for annotator, own in responses.items():
        last: dict[str, str] = {}  # per slate: where a dataset was made anew, one may have been ranked twice
        for response in own:
            if response.status == "submitted":
                last[response.slate_id] = max(response.updated_at, last.get(response.slate_id, ""))
        submitted = list(last.values())
        days = {moment[:10] for moment in submitted}
        status = Counter(r.status for r in own)
        work.append(
            Work(
                annotator,
                country[annotator],
                len(submitted),
                status["draft"],
                status["discarded"],
                sum(_utc(moment) >= yesterday for moment in submitted),
                len(submitted) / len(days) if days else 0.0,
                max((r.updated_at for r in own), default=""),
            )
        )
    return tuple(sorted(work, key=lambda w: (w.country, -w.submitted, w.annotator)))


def _utc(moment: str) -> str:
    """Argilla tells its moments in UTC, with or without saying so."""
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _agreement(judgements: Sequence[Judgement], seed: int) -> dict[str, Agreement | str]:
    countries = sorted({judgement.country for judgement in judgements})
    groups = {"all": list(judgements)} if len(countries) != 1 else {}
    groups |= {country: [j for j in judgements if j.country == country] for country in countries}
    found: dict[str, Agreement | str] = {}
    for group, own in groups.items():
        try:
            found[group] = measure_agreement(own, seed=seed)
        except NotEnoughOverlap as reason:
            found[group] = f"not enough overlap: {reason}"
    return found


def show(found: Report, *, brief: bool = False) -> None:
    """Print the report as tables; a brief one leaves out people and agreement."""
    from annotation.screen import table

    table(
        "Quotas",
        ("group", "complete", "target", "people per slate", "judgements", "people", "state"),
        [
            (s.group, s.completed, s.quota.target, s.quota.overlap, s.judgements, s.people, _verdict(s))
            for s in found.quotas
        ],
    )
    if not brief:
        _show_people(found)
    set_aside = ", ".join(f"{count} {reason}" for reason, count in sorted(found.aside.items()))
    print(
        f"{len(found.judgements)} judgements give {found.preferences} preferences"
        + (f"; set aside: {set_aside}." if set_aside else ".")
    )
    for line in (*(() if brief else found.short_teams), *(launch.detail for launch in found.runs)):
        print(line)


def _show_people(found: Report) -> None:
    from annotation.screen import table

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
    table(
        "Agreement (Krippendorff's alpha, ordinal; 95 % interval by bootstrap over slates)",
        ("group", "alpha", "interval", "shared slates", "annotators"),
        [
            (group, None, a, None, None)
            if isinstance(a, str)
            else (group, f"{a.alpha:.2f}", _interval(a), a.slates, a.annotators)
            for group, a in found.agreement.items()
        ],
    )


def _interval(agreement: Agreement) -> str:
    if agreement.low is None or agreement.high is None:
        return "one slate"
    return f"{agreement.low:.2f} to {agreement.high:.2f}"


def _verdict(state: QuotaState) -> str:
    if state.met:
        return "met"
    if state.slates < state.quota.target:
        return f"only {state.slates} slates: add prompts, or lower the target"
    return f"{state.quota.target - state.completed} to go"


def draw(found: Report, path: Path) -> None:
    """Draw the quotas and the judgements over time as a PNG, whole or not at all."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    height = max(3.2, 0.42 * len(found.quotas) + 1.6)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, height), dpi=120, layout="constrained")
    places = range(len(found.quotas))
    colours = ["#009E73" if s.met else "#0072B2" for s in found.quotas]
    left.barh(places, [s.completed for s in found.quotas], color=colours, height=0.6)
    targets = [s.quota.target for s in found.quotas]
    left.vlines(targets, [p - 0.42 for p in places], [p + 0.42 for p in places], color="black", lw=2, label="target")
    left.set_yticks(places, [state.group for state in found.quotas])
    left.set(title="Completed slates per group (green: target met)", xlabel="slates")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.invert_yaxis()
    left.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, -0.22))
    moments = sorted(datetime.fromisoformat(_utc(judgement.submitted_at)) for judgement in found.judgements)
    right.set(title="Judgements over time (UTC)")
    if moments:
        right.step(moments, range(1, len(moments) + 1), where="post", color="#0072B2")
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
    try:
        write_whole(path, lambda beside: figure.savefig(beside))
    finally:
        plt.close(figure)
