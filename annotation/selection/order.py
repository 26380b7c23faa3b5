"""Order of annotation: prompts of a quota's group by coverage, the groups in turn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from annotation.config import Settings
from annotation.quota_groups import plan_quotas
from annotation.selection.coverage import interleave, order_by_coverage
from annotation.selection.diversity import Floats
from annotation.selection.outcome import PICTURES
from annotation.tasks.ranking.slates import DESCRIPTION, slate_task
from annotation.types import Prompt, Quota, Slate

Group = tuple[str, str, str, str]
"""Task, country, topic and language; "" for all but the task."""


def order_prompts(
    prompts: Mapping[str, Prompt],
    ready: Sequence[str],
    standing: Sequence[Slate],
    vectors: Mapping[str, Floats],
    settings: Settings,
    limit: int | None = None,
) -> list[str]:
    """Order the prompts that have no slate yet.

    Args:
        prompts: All of the project, by id.
        ready: Ids of those that can have a slate.
        standing: Slates that there are; their prompts cover too, and their groups have had their turns.
        vectors: Of `ready` and of the prompts of `standing`.
        settings: The quotas decide whose turn it is.
        limit: Only the first of them are needed.

    Returns:
        The ids of `ready`, or the first of these.
    """
    by_group = {_group(quota): quota for quota in owed_quotas(settings, prompts.values())}
    stands = {slate.prompt_id for slate in standing}
    groups: dict[Group, list[str]] = defaultdict(list)
    for prompt_id in sorted({*ready, *stands}):
        groups[_group_of(prompts[prompt_id], by_group)].append(prompt_id)
    names = sorted(groups)
    had = [sum(prompt_id in stands for prompt_id in groups[name]) for name in names]
    turns = interleave(
        [len(groups[name]) - placed for name, placed in zip(names, had, strict=True)],
        [_own_share(by_group[name], by_group.values()) if name in by_group else 0 for name in names],
        had,
    )[:limit]
    queues = []
    for name, turn in zip(names, map(Counter(turns).__getitem__, range(len(names))), strict=True):
        members = groups[name]
        placed = [index for index, prompt_id in enumerate(members) if prompt_id in stands]
        order, _ = order_by_coverage(np.stack([vectors[prompt_id] for prompt_id in members]), placed, turn)
        queues.append(iter([members[index] for index in order]))
    return [next(queues[group]) for group in turns]


def owed_quotas(settings: Settings, prompts: Iterable[Prompt]) -> list[Quota]:
    """What the prompts' groups owe, those of texts and those of pictures, each to the task that ranks them."""
    by_task: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        by_task[slate_task(prompt)].append(prompt)
    return [quota for task, own in sorted(by_task.items()) for quota in plan_quotas(settings, own, task)]


def group_name(quota: Quota) -> str:
    """Name of a quota's group, as "MX", "MX · comida" or "MX · pictures"."""
    pictures = PICTURES if quota.task == DESCRIPTION else ""
    return " · ".join(part for part in (quota.country, quota.topic, quota.language, pictures) if part)


def _group(quota: Quota) -> Group:
    return quota.task, quota.country, quota.topic, quota.language


def _group_of(prompt: Prompt, groups: Collection[Group]) -> Group:
    """The narrowest group that a prompt belongs to; its country where no quota names it."""
    task, country, topic, language = slate_task(prompt), prompt.country, prompt.topic, prompt.language
    nested = ((task, country, topic, language), (task, country, topic, ""), (task, country, "", language))
    return next((group for group in nested if group in groups), (task, country, "", ""))


def _own_share(quota: Quota, quotas: Iterable[Quota]) -> int:
    """Slates that a group owes beyond those that smaller groups inside it owe anyway; at least 1."""
    inside = (
        other.target
        for other in quotas
        if other != quota
        and other.task == quota.task
        and other.country == quota.country
        and quota.topic in ("", other.topic)
        and quota.language in ("", other.language)
    )
    return max(1, quota.target - sum(inside))
