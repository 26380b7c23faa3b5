"""Annotation tasks: each is one kind of judgement, in a folder of its own; `TASKS` is the only list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.tasks.base import Task
from annotation.tasks.consent.task import Consent
from annotation.tasks.description.task import Descriptions
from annotation.tasks.duel.task import Duels
from annotation.tasks.exam.task import Exam
from annotation.tasks.pair_check.task import PairCheck
from annotation.tasks.prompt_check.task import PromptCheck
from annotation.tasks.ranking.task import Ranking
from annotation.tasks.share.task import Share
from annotation.tasks.stereotype.task import Stereotypes
from annotation.tasks.story.task import Stories

TASKS: Mapping[str, Task[Any]] = {
    task.name: task
    for task in (
        *(Ranking(), Descriptions(), PromptCheck(), Exam(), Duels()),
        *(Consent(), Share(), Stereotypes(), PairCheck(), Stories()),
    )
}
"""By name, in the order in which they are shown."""
