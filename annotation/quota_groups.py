"""Which groups owe how many slates, and which group a prompt belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.config import Settings
from annotation.types import Prompt, Quota


def plan_quotas(settings: Settings, prompts: Iterable[Prompt]) -> tuple[Quota, ...]:
    """What every group owes: groups named in annot.toml, and by country (and topic) those that have prompts.

    A group named in `[[quota.group]]` takes the place of the group of the same country, topic and language.
    """
    asked = settings.quota
    prompts = list(prompts)
    # A country that has no prompts yet owes all the same: otherwise its absence would look like a met quota.
    absent = set(settings.project.countries) - {prompt.country for prompt in prompts}
    groups: dict[tuple[str, str, str], int] = {(country, "", ""): asked.target for country in absent}
    for prompt in prompts:
        topic = prompt.topic if asked.by == "country+topic" else ""
        groups.setdefault((prompt.country, topic, ""), asked.target)
    for group in asked.group:
        groups[(group.country, group.topic, group.language)] = group.target
    return tuple(Quota(*key, target=target, overlap=asked.overlap) for key, target in sorted(groups.items()) if target)


def belongs(prompt: Prompt, quota: Quota) -> bool:
    """Whether a prompt is of the quota's group."""
    return (
        prompt.country == quota.country
        and quota.topic in ("", prompt.topic)
        and quota.language in ("", prompt.language)
    )
