"""Next step: the command that takes a project further."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from annotation.money import committed_usd
from annotation.project import HOLDS_FORGOTTEN, Project
from annotation.quota_groups import in_project
from annotation.rounds import SOURCE, current_round
from annotation.screen import counted
from annotation.selection.waiting import Waiting
from annotation.tasks import TASKS
from annotation.tasks.exam.item import NAME as EXAM
from annotation.tasks.pair_check.item import NAME as PAIR_CHECK
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING, slate_task
from annotation.tasks.stereotype.item import NAME as STEREOTYPE
from sync.quotas import all_met, owing
from sync.reporting.status import Report
from sync.rounds import newest_runs
from sync.trigger import Launch, task_of

_ADD_PROMPTS = "annot prompts add FILE: there is no prompt"


def stock(project: Project) -> dict[str, int | float]:
    """How much there is of everything before the judgements; dollars for "usd"; "pushed_aside" is no work."""
    (have,) = project.ledger.rows(
        """select (select count(*) from candidates) as candidates,
             (select count(distinct item_id) from pushes where record_id <> ''
                and item_id not in (select id from side_items)) as pushed,
             (select count(distinct item_id) from pushes where record_id <> ''
                and item_id in (select id from side_items)) as aside"""
    )
    rows = project.ledger.rows("select task, count(*) as n from current_items where not removed group by 1")
    items = {row["task"]: row["n"] for row in rows}
    waiting = {task.many: items.get(name, 0) for name, task in TASKS.items() if name == RANKING or name in items}
    return {
        "prompts": project.ledger.count_prompts()[0],
        "candidates": have["candidates"],
        **waiting,
        "pushed": have["pushed"],
        **({"pushed_aside": have["aside"]} if have["aside"] else {}),
        "usd": committed_usd(project.ledger),
    }


def next_step(project: Project, found: Report, *, argilla_runs: bool, have: Mapping[str, float] | None = None) -> str:
    """The command that takes the project further.

    Args:
        project: The project.
        found: How it stands.
        argilla_runs: The embedded Argilla does.
        have: Its `stock`, where that was counted already.
    """
    have, waiting, quotas = have or stock(project), found.waiting, found.quotas
    people = [person for person in project.ledger.people() if person.active]
    runs = argilla_runs or bool(project.settings.argilla.url)
    ranked = _is_asked(project, any(have.get(TASKS[name].many) for name in owing(quotas)))
    lasts = _last_runs(project, found)
    if not have["prompts"] and not any(have.get(task.many) for task in TASKS.values() if not task.trains):
        return "annot prompts add FILE, or annot images add FOLDER"
    if not ranked and (collect := _own_answers(project, waiting) or _more_slates(waiting, have["candidates"])):
        return collect
    if unmeasured := [last for last in lasts if last.state == "finished" and _unmeasured(project, found, last)]:
        return f"annot evaluate {unmeasured[0].run}"
    if not runs:
        done = lasts and all(state.met for state in quotas) and all(last.state == "finished" for last in lasts)
        return _after_runs(project, lasts) if done else "annot up"
    if not people:
        return "annot team add roster.csv"
    if found.shared:
        return f"annot stereotypes add --shared: {counted(found.shared, 'shared line')} can be taken in or out"
    ready, homeless = _unpushed(project, {person.country for person in people})
    if ready:
        return "annot push"
    if waiting.to_check and not ranked:
        return "annot prompts review, then annot sync when people have answered"
    if homeless:
        named = ", ".join(f"{country} {number}" for country, number in sorted(homeless.items()))
        return f"annot team add roster.csv with people of every country: nobody is asked about these slates ({named})"
    # A project of exams alone lacks no prompts, and exams and stereotypes are as many as there are.
    given = {name for name, task in TASKS.items() if name == EXAM or task.sensitive}
    short = [s for s in quotas if have["prompts"] and s.quota.task not in given and s.items < s.owed]
    if short and (collect := _more_slates(waiting, have["candidates"])):
        return collect
    if none := [state for state in short if not state.items and not state.coming]:
        add = "annot images add FOLDER: there is no picture" if none[0].quota.task == DESCRIPTION else _ADD_PROMPTS
        return f"{add} for {none[0].group} that can be asked about"
    if pairs := _pairs_to_make(found, have):
        return pairs
    if found.short_teams:
        return "annot team add roster.csv with more people, or a lower overlap in annot.toml, as said above"
    if lasts and all_met(quotas):
        return _after_runs(project, lasts)
    to_go = [
        f"{task.many} to complete: {', '.join(f'{s.group} {s.owed - s.completed}' for s in owed)}"
        for name, task in TASKS.items()
        if (have["prompts"] or not task.trains)
        and (owed := [state for state in quotas if state.quota.task == name and not state.met])
    ]
    return "; ".join(["annot sync --watch", *to_go])


def _is_asked(project: Project, anything: bool) -> bool:
    """Whether there are slates of this round; in the first one, whether there is anything at all."""
    if (now := current_round(project.ledger)) == 1:
        return anything
    return bool(project.ledger.rows("select 1 from items where round = ? limit 1", now))


def _own_answers(project: Project, waiting: Waiting) -> str:
    """The command that lets the newest run answer the prompts of a later round; "" where it, or another, has."""
    prompts = {prompt.id: slate_task(prompt) for prompt in (*waiting.to_draft, *waiting.to_select)}
    runs = {task: run for task, run in newest_runs(project).items() if task in prompts.values()}
    if current_round(project.ledger) == 1 or not runs:
        return ""
    query = """select 1 from fresh_candidates where prompt_id in (select value from json_each(?))
               and json_extract(settings, '$.' || ?) is not null limit 1"""
    if project.ledger.rows(query, json.dumps(list(prompts)), SOURCE):
        return ""
    said = ", then ".join(f"annot draft --source {run.name}" for run in runs.values())
    return f"{said}: the aligned model's own answers to the prompts of the round, then annot draft for the others"


def _last_runs(project: Project, found: Report) -> list[Launch]:
    """The newest run of each task, but one whose snapshot holds what was forgotten: `annot sync` makes another."""
    newest = {task_of(project, run.snapshot_id): run for run in found.runs}
    return [run for run in newest.values() if not (project.snapshot_folder(run.snapshot_id) / HOLDS_FORGOTTEN).exists()]


def _pairs_to_make(found: Report, have: Mapping[str, float]) -> str:
    """The command that makes pairs of rated stereotypes, once some country has rated as many as it owes; else ""."""
    rated = [state.group for state in found.quotas if state.quota.task == STEREOTYPE and state.items and state.met]
    if not rated or have.get(TASKS[PAIR_CHECK].many):
        return ""
    return f"annot stereotypes pairs: sentences of what people know ({', '.join(rated)}), which measure a model"


def _unmeasured(project: Project, found: Report, last: Launch) -> bool:
    """Whether measuring a run says more of its release: nothing did, or its gate asks for something else."""
    gate, worst = _gate(project, last)
    if gate != "not measured":
        return gate == "none"
    # Exams can only be measured once people have checked some, and votes once visitors have voted.
    checked = any(state.quota.task == EXAM and state.completed for state in found.quotas)
    return checked if worst == "exams" else worst != "votes"


def _gate(project: Project, last: Launch) -> tuple[str, str]:
    """Verdict of a run's evaluation and what decided it; "none" where there is none."""
    try:
        facts = json.loads((project.run_folder(last.run) / "evaluation.json").read_text(encoding="utf-8"))
        return facts.get("gate"), facts.get("gate_worst")
    except FileNotFoundError:
        return "none", ""
    except (AttributeError, OSError, ValueError):
        return "", ""  # it is damaged, and whoever reads it next says so


def _more_slates(waiting: Waiting, candidates: float) -> str:
    """The command that makes slates of prompts without one; "" where none does."""
    if waiting.to_select:
        return "annot select"
    if waiting.to_draft and not candidates:
        return "annot draft --dry-run, then annot draft (or annot draft --from FILE)"
    if waiting.to_draft:
        return f"annot draft: {counted(len(waiting.to_draft), 'prompt')} without a slate can get more answers"
    if waiting.stuck and not waiting.to_check:
        add = "annot images add FOLDER" if all(prompt.image for prompt in waiting.stuck) else "annot prompts add FILE"
        return (
            f"annot draft --from FILE, or {add}: of {counted(len(waiting.stuck), 'prompt')} too few answers are "
            "usable, and no more can be drafted"
        )
    return ""


def _unpushed(project: Project, countries: Collection[str]) -> tuple[int, Counter[str]]:
    """Items that `annot push` would send or take away, and the others by the country that has no team."""
    rows = [
        row["id"]
        for table in ("current_items", "current_side_items")
        for row in project.ledger.rows(
            f"""select id from {table} where not removed and not closed
                and id not in (select item_id from pushes where record_id <> '')"""
        )
    ]
    items = [item for item in project.ledger.items(ids=rows) if in_project(item, project.settings)]
    # Records of what was removed, moved or closed since it was sent are taken away while nobody has answered, and those
    # of sensitive tasks in any case.
    hurtful = json.dumps([name for name, task in TASKS.items() if task.sensitive])
    stale = sum(
        row["n"]
        for table in ("current_items", "current_side_items")
        for row in project.ledger.rows(
            f"""select count(*) as n from {table} i join pushes p on p.item_id = i.id and p.record_id <> ''
                where (i.removed or i.moved or i.closed) and (i.task in (select value from json_each(?))
                    or not exists (select 1 from responses r where r.item_id = i.id))
                  and (i.closed or p.at < (select max(at) from prompt_changes c where c.prompt_id = i.prompt_id)
                    or p.at < (select max(at) from item_changes c where c.item_id = i.id))""",
            hurtful,
        )
    )
    homeless = Counter(item.country for item in items if item.country not in countries and item.purpose == "work")
    fitting = (item for item in items if not TASKS[item.task].misfit(item, project.settings, project.folder))
    return stale + sum(item.country in countries for item in fitting), homeless


def _after_runs(project: Project, lasts: Sequence[Launch]) -> str:
    return "; ".join(dict.fromkeys(_after_run(project, last) for last in lasts))


def _after_run(project: Project, last: Launch) -> str:
    """What comes next when every quota is met and their run is known."""
    given_away = (project.run_folder(last.run) / "releases.jsonl").exists()
    if last.state == "finished" and _gate(project, last)[0] == "passed" and not given_away:
        return f"annot release {last.run}"
    if last.state == "finished":
        passed = _gate(project, last)[0] == "passed"
        more = "annot round start --dry-run shows what the next round would ask" if passed else "raise the quotas"
        return f"read runs/{last.run}/report.md; {more}{'' if passed else ' for another round'}"
    if last.state == "failed":
        key = "picture_preset" if task_of(project, last.snapshot_id) == DESCRIPTION else "preset"
        return f"mend what is said above (often by another train.{key} in annot.toml), then annot sync --relaunch"
    if last.state == "missing":
        return f"copy runs/{last.run} here, or train it again with annot sync --relaunch"
    return "annot sync --watch"
