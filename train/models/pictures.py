"""Pictures as a base sees them: the places that each takes in a text, and its pixels."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.errors import TrainError
from annotation.images.store import read_picture

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

KEPT = 64
"""Pictures whose pixels are kept: an update comes back to them, a run seldom."""


def patches_of(pixels: Mapping[str, torch.Tensor], tower: Any) -> float:
    """How many patches of a picture go through a vision tower, by the tower's configuration."""
    area: int = tower.patch_size**2 * getattr(tower, "temporal_patch_size", 1)
    return pixels["pixel_values"].numel() / 3 / area


@lru_cache(4)
def pictures_of(processor: Any, folder: Path) -> Pictures:
    """The pictures of a folder through a processor: the same object for the same two."""
    return Pictures(processor, folder)


@dataclass(frozen=True, slots=True)
class Expansion:
    """What stands in a text in the place of a picture, with each run of its token once.

    A text is cut into tokens many times, and a picture may have a thousand and more in it.

    Attributes:
        text: The rest of it, such as marks between the tiles of a picture.
        token: Id of the token that stands for a part of the picture.
        runs: How often it stands there, run by run.
    """

    text: str
    token: int
    runs: tuple[int, ...]

    def expand(self, ids: Sequence[int]) -> list[int]:
        """The ids of a text that holds it, with the runs as long as they are."""
        runs = iter(self.runs)
        return [same for number in ids for same in [number] * (next(runs) if number == self.token else 1)]


class Pictures:
    """Pictures of a folder, through the processor of a base that sees them."""

    def __init__(self, processor: Any, folder: Path) -> None:
        """Nothing is opened yet.

        Args:
            processor: transformers' ProcessorMixin.
            folder: Below which `picture_file` of each picture is found.
        """
        self.processor, self.folder = processor, folder
        self.pixels = lru_cache(KEPT)(self._pixels)
        self._places = lru_cache(None)(self._places_of_size)

    @property
    def mark(self) -> str:
        """What a chat template writes where a picture stands."""
        return str(self.processor.image_token)

    def places(self, picture: str) -> Expansion:
        """What stands in a text in the place of a picture: a token for each part of it that the base sees.

        It depends on the size of the picture alone: a file's head is read, and the processor asked once for a size.

        Raises:
            LostPicture: There is no such picture, or another one in its place.
        """
        with self._open(picture) as file:
            size = file.size
        return self._places(size)

    def _places_of_size(self, size: tuple[int, int]) -> Expansion:
        from PIL import Image

        blank, tokenizer = Image.new("RGB", size), self.processor.tokenizer
        read = self.processor(images=[[blank]], text=[self.mark], return_text_replacement_offsets=True)
        whole = str(read["text_replacement_offsets"][0][0]["replacement"])
        token = self.processor.image_token_ids[0]
        ids = tokenizer(text=whole, add_special_tokens=False)["input_ids"]
        runs = tuple(len(list(same)) for number, same in groupby(ids) if number == token)
        once = re.sub(f"({re.escape(tokenizer.convert_ids_to_tokens(token))})+", r"\1", whole)
        expansion = Expansion(once, token, runs)
        if not runs or expansion.expand(tokenizer(text=once, add_special_tokens=False)["input_ids"]) != ids:
            raise TrainError(
                "the base's tokenizer has no token of its own for a part of a picture; choose another base."
            )
        return expansion

    def _pixels(self, picture: str) -> Mapping[str, torch.Tensor]:
        """A picture as the arguments of the model's get_image_features.

        Raises:
            LostPicture: There is no such picture, or another one in its place.
        """
        with self._open(picture) as file:
            seen = self.processor(images=[[file.convert("RGB")]], text=[self.mark], return_tensors="pt")
        return {name: seen[name] for name in self.processor.image_processor.model_input_names if name in seen}

    def _open(self, picture: str) -> Image:
        from PIL import Image

        return Image.open(io.BytesIO(read_picture(self.folder, picture)))
