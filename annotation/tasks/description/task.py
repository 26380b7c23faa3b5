"""The task "rank descriptions": a picture, and descriptions of it that people rank for cultural fit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from annotation.config import Settings
from annotation.task_tables import DescriptionSettings
from annotation.tasks.description.texts import TEXTS
from annotation.tasks.ranking.slates import DESCRIPTION
from annotation.tasks.ranking.tables import FROZEN
from annotation.tasks.ranking.task import Ranking
from annotation.types import PICTURE_PROBLEMS

_NAMED = f"{DESCRIPTION}_"


class Descriptions(Ranking):
    """See `annotation.tasks.ranking.task.Ranking`, and `annotation.tasks.base.Task`."""

    say = TEXTS
    problems = PICTURE_PROBLEMS
    package = "annotation.tasks.description"
    folder = f"{DESCRIPTION}/"
    tables_named = _NAMED
    pictures = True

    name = DESCRIPTION
    title = "rank descriptions of pictures"
    one = "picture"
    many = "pictures"
    frozen: Mapping[str, str] = MappingProxyType({f"{_NAMED}{name}": name for name in FROZEN})

    def settings(self, settings: Settings) -> DescriptionSettings:
        """See Task."""
        return settings.task.description
