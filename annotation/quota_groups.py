"""Quota groups: how many items each owes, and to which an item or a prompt belongs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from annotation.config import Settings
from annotation.task_tables import TaskSettings
from annotation.types import Quota


class Grouped(Protocol):
    """A prompt, or an item."""

    @property
    def country(self) -> str:
        """ISO 3166-1 alpha-2."""

    @property
    def language(self) -> str:
        """ISO 639-1."""

    @property
    def topic(self) -> str:
        """Free label."""


def plan_quotas(settings: Settings, members: Iterable[Grouped], task: str = "ranking") -> tuple[Quota, ...]:
    """What every group owes to a task: groups named in annot.toml, and by country (and topic) those with members.

    A group named in `[[task.NAME.group]]` takes the place of the group of the same country, topic and language. Members
    of a country that the project does not name owe nothing: a stray prompt must not hold up training for ever.

    Args:
        settings: Of the project.
        members: The task's items, or the prompts that become some.
        task: Its name.
    """
    owed: TaskSettings = getattr(settings.task, task)
    members = [member for member in members if in_project(member, settings)]
    # A country that has no prompts yet owes all the same: otherwise its absence would look like a met quota.
    absent = set(settings.project.countries) - {member.country for member in members}
    groups: dict[tuple[str, str, str], int] = {(country, "", ""): owed.target for country in absent}
    for member in members:
        topic = member.topic if owed.by == "country+topic" else ""
        groups.setdefault((member.country, topic, ""), owed.target)
    for group in owed.group:
        groups[(group.country, group.topic, group.language)] = group.target
    return tuple(
        Quota(task, *key, target=target, overlap=owed.overlap) for key, target in sorted(groups.items()) if target
    )


def in_project(member: Grouped, settings: Settings) -> bool:
    """Whether a prompt or an item is of a country that the project names; of any where it names none."""
    return not settings.project.countries or member.country in settings.project.countries


def belongs(member: Grouped, quota: Quota) -> bool:
    """Whether an item or a prompt is of the quota's group."""
    return (
        member.country == quota.country
        and quota.topic in ("", member.topic)
        and quota.language in ("", member.language)
    )
