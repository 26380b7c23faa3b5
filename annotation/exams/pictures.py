"""Pictures of questions, cut out of the pages of a PDF."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.exams.found import Box
from annotation.exams.pdf import open_pdf, rendered

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_DPI, PICTURE_WIDTH, PICTURE_QUALITY, PADDING = 150, 1024, 85, 6
"""Of the pictures of questions: dots per inch, most pixels, JPEG quality, points around."""


def pictures(path: Path, regions: Sequence[Sequence[Box]]) -> Iterator[tuple[int, bytes]]:
    """Pictures of regions as JPEG, each with its place in `regions`; parts are stacked, each page is rendered once.

    A region is given when its last page has been rendered: what is kept is no more than what goes over two pages.

    Raises:
        SourceError: As `open_pdf` does.
    """
    from PIL import Image as Images

    parts: dict[int, dict[int, Image]] = {}
    wanted = sorted((box.page, place, part) for place, boxes in enumerate(regions) for part, box in enumerate(boxes))
    with open_pdf(path) as document:
        for number, here in groupby(wanted, key=lambda want: want[0]):
            page = document[number - 1]
            image, scale = rendered(page, PICTURE_DPI)
            page.close()
            for _, place, part in here:
                box = regions[place][part]
                left, top = max(0, box.left - PADDING), max(0, box.top - PADDING)
                edges = (left, top, max(left + 1, box.right + PADDING), max(top + 1, box.bottom + PADDING))
                cut = image.crop(tuple(round(edge * scale) for edge in edges))  # type: ignore[arg-type]
                parts.setdefault(place, {})[part] = cut
                if len(parts[place]) == len(regions[place]):
                    cuts = [cut for _, cut in sorted(parts.pop(place).items())]
                    whole = Images.new(
                        "RGB", (max(cut.width for cut in cuts), sum(cut.height for cut in cuts)), "white"
                    )
                    top = 0
                    for cut in cuts:
                        whole.paste(cut, (0, top))
                        top += cut.height
                    if whole.width > PICTURE_WIDTH:
                        whole = whole.resize((PICTURE_WIDTH, round(whole.height * PICTURE_WIDTH / whole.width)))
                    jpeg = io.BytesIO()
                    whole.save(jpeg, "JPEG", quality=PICTURE_QUALITY)
                    yield place, jpeg.getvalue()
