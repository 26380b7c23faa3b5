"""SeeGULL Multilingual: a group, an attribute, and how many of three raters of a region call it a stereotype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from annotation.reading.cells import as_number, as_text
from annotation.stereotypes.found import Form, Found, FoundAssociation, Usual

_COUNTS = ("stereotype", "non_stereotype", "unsure")


def read_row(cells: Mapping[str, object], usual: Usual) -> Iterator[Found]:
    """The association of a row with its counts. The translations beside it are not read.

    Raises:
        ValueError: The counts are none.
    """
    counts = {name: as_number(cells.get(name)) for name in _COUNTS if cells.get(name) not in (None, "")}
    whole = {name: int(count) for name, count in counts.items() if count is not None and count >= 0 and count % 1 == 0}
    if len(whole) != len(counts) or not sum(whole.values()):
        raise ValueError("counts of raters that are no numbers, or all zero")
    offensive = as_number(cells.get("mean_offensive_score"))
    yield FoundAssociation(
        as_text(cells.get("identity")),
        as_text(cells.get("attribute")),
        usual.language,
        rating={
            "counts": whole,
            **({} if offensive is None else {"offensive": offensive}),
            "raters": sum(whole.values()),
        },
        regions=(usual.region,),
    )


FORM = Form(
    "SeeGULL Multilingual", "CC-BY-4.0", {"identity", "attribute", "stereotype", "non_stereotype"}.issubset, read_row
)
