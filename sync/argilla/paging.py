"""Pages of a dataset's records: each record once, although Argilla pages by offset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from annotation.errors import ArgillaError
from annotation.screen import Progress, silent
from sync.argilla.protocol import Page

PAGE = 1000
"""Argilla refuses a longer page of records."""

FIRST_PAGE = 50
PAGE_CHARACTERS = 20_000_000
"""About as much text on a page: records with pictures come in shorter ones."""

MOST_PASSES = 10
"""Times that `walk` reads a dataset that changes under it."""


class Paged(Protocol):
    """What `walk` needs of a api."""

    @property
    def url(self) -> str:
        """Where people open the page."""

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """See ArgillaApi."""


def walk(
    api: Paged, dataset_id: str, *, responses: bool = False, progress: Progress = silent
) -> Iterator[dict[str, Any]]:
    """Every record of a dataset, each once; see `walk_pages`."""
    for page in walk_pages(api, dataset_id, responses=responses, progress=progress):
        yield from page


def walk_pages(
    api: Paged, dataset_id: str, *, responses: bool = False, progress: Progress = silent
) -> Iterator[list[dict[str, Any]]]:
    """Every record of a dataset, each once, as they come: a page is asked for when the one before is dealt with.

    Argilla pages by offset, ordered by the time a record was added and nothing else: where two were added in one
    instant, or one is deleted between two pages, a page can repeat a record and miss another. So the pages are read
    again until one pass has shown as many records as there are, and none went away during it.

    Raises:
        ArgillaError: The dataset kept changing, or Argilla is not there.
    """
    seen: set[str] = set()
    for _ in range(MOST_PASSES):
        passed: set[str] = set()
        offset, most, shrank, limit = 0, 0, False, min(PAGE, FIRST_PAGE)
        while True:
            page = api.records(dataset_id, offset, limit, responses=responses)
            shrank, most = shrank or page.total < most, max(most, page.total)
            passed |= {record["id"] for record in page.records}
            yield [record for record in page.records if record["id"] not in seen]
            seen |= passed
            offset += len(page.records)
            size = sum(len(text or "") for record in page.records for text in record["fields"].values())
            limit = max(1, min(PAGE, 4 * limit, PAGE_CHARACTERS * len(page.records) // max(size, 1)))
            progress(min(offset, page.total), page.total)
            if not page.records or offset >= page.total:
                break
        if not shrank and len(passed) >= page.total:
            return
    raise ArgillaError(
        f"The records of a dataset on {api.url} kept changing while they were read; run the same command again when "
        "nobody deletes records."
    )
