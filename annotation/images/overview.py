"""`annot images list`: pictures of a project, counted by country, topic and licence, or one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from annotation.images.store import read_pictures
from annotation.project import Project
from annotation.types import Picture, Prompt


@dataclass(frozen=True, slots=True)
class PicturesListed:
    """The pictures that the project asks about, or asked about until their prompts were removed.

    Attributes:
        pictures: Id -> picture.
        prompts: About them, in the order in which they came.
    """

    pictures: Mapping[str, Picture]
    prompts: tuple[Prompt, ...]

    def groups(self) -> list[tuple[str, str, int]]:
        """Country, topic and pictures of prompts that are there."""
        shown = {(prompt.country, prompt.topic, prompt.image) for prompt in self._there()}
        return [(*group, n) for group, n in sorted(Counter((country, topic) for country, topic, _ in shown).items())]

    def licences(self) -> list[tuple[str, int]]:
        """Licence and pictures of prompts that are there; the most frequent first."""
        return count_licences(self.pictures, self._there())

    @property
    def removed(self) -> int:
        """Prompts that were taken out."""
        return sum(prompt.removed for prompt in self.prompts)

    def each(self) -> list[dict[str, Any]]:
        """Every prompt with its picture, flat."""
        return [
            {
                "prompt": prompt.id,
                "country": prompt.country,
                "language": prompt.language,
                "topic": prompt.topic,
                "removed": prompt.removed,
                **asdict(self.pictures[prompt.image]),
            }
            for prompt in self.prompts
            if prompt.image in self.pictures
        ]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "pictures": len({prompt.image for prompt in self._there()}),
            "removed": self.removed,
            "groups": [dict(zip(("country", "topic", "pictures"), row, strict=True)) for row in self.groups()],
            "licences": dict(self.licences()),
        }

    def _there(self) -> list[Prompt]:
        return [prompt for prompt in self.prompts if not prompt.removed]


def list_pictures(project: Project) -> PicturesListed:
    """Read the pictures of a project, and the prompts about them."""
    prompts = tuple(prompt for prompt in project.ledger.prompts(removed=True) if prompt.image)
    return PicturesListed(read_pictures(project.ledger), prompts)


def count_licences(pictures: Mapping[str, Picture], prompts: Iterable[Prompt]) -> list[tuple[str, int]]:
    """Licence and number of the pictures that prompts are about; the most frequent first."""
    images = {prompt.image for prompt in prompts if prompt.image in pictures}
    return Counter(pictures[image].licence for image in sorted(images)).most_common()
