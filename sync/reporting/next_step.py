"""Next step: the command that takes a project further."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.project import Project
from annotation.tasks import TASKS
from sync.quotas import QuotaState, all_met, short_teams
from sync.trigger import Launch


def stock(project: Project) -> dict[str, int | float]:
    """How much there is of everything before the judgements; dollars for "usd"."""
    (have,) = project.ledger.rows(
        """select (select count(*) from current_prompts where not removed) as prompts,
             (select count(*) from candidates) as candidates,
             (select count(distinct item_id) from pushes where record_id <> '') as pushed"""
    )
    rows = project.ledger.rows("select task, count(*) as n from current_items where not removed group by 1")
    items = {row["task"]: row["n"] for row in rows}
    waiting = {task.many: items.get(name, 0) for name, task in TASKS.items() if task.trains or name in items}
    return {
        "prompts": have["prompts"],
        "candidates": have["candidates"],
        **waiting,
        "pushed": have["pushed"],
        "usd": project.ledger.committed_usd(),
    }


def next_step(
    project: Project, quotas: Sequence[QuotaState], runs_so_far: Sequence[Launch], *, argilla_runs: bool
) -> str:
    """The command that takes the project further."""
    have = stock(project)
    people = [person for person in project.ledger.people() if person.active]
    runs = argilla_runs or bool(project.settings.argilla.url)
    short = [state for state in quotas if state.items < state.quota.target]
    last = runs_so_far[-1] if runs_so_far else None
    if not have["prompts"]:
        return "annot prompts add FILE"
    if not have["candidates"]:
        return "annot draft --dry-run, then annot draft (or annot draft --from FILE)"
    if not have["slates"]:
        return "annot select"
    if last and last.state == "finished" and not (project.run_folder(last.run) / "evaluation.json").exists():
        return f"annot evaluate {last.run}"
    if not runs:
        return "annot up"
    if not people:
        return "annot team add roster.csv"
    if have["pushed"] < sum(have[task.many] for task in TASKS.values() if task.many in have):
        return "annot push"
    if short:
        missing = ", ".join(f"{s.group} has {s.items} of {s.quota.target}" for s in short)
        many = TASKS[short[0].quota.task].many
        return f"annot sync --watch; too few {many} for the quotas ({missing}): add prompts, or lower the targets"
    if too_few := short_teams(quotas, project.ledger):
        return f"annot team add roster.csv with more people, or fewer of them for each item: {too_few[0]}"
    if last and all_met(quotas):
        return _after_run(last)
    to_go = [
        f"{task.many} to complete: {', '.join(f'{s.group} {s.quota.target - s.completed}' for s in owed)}"
        for name, task in TASKS.items()
        if (owed := [state for state in quotas if state.quota.task == name and not state.met])
    ]
    return "; ".join(["annot sync --watch", *to_go])


def _after_run(last: Launch) -> str:
    """What comes next when every quota is met and their run is known."""
    if last.state == "finished":
        return f"read runs/{last.run}/report.md; raise the quotas for another round"
    if last.state == "failed":
        return "mend what is said above (often by another train.preset in annot.toml), then annot sync --relaunch"
    if last.state == "missing":
        return f"copy runs/{last.run} here, or train it again with annot sync --relaunch"
    return "annot sync --watch"
