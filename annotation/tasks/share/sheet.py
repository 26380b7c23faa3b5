"""An empty sheet on which people of a country share stereotypes, as an item; and what one person wrote on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotation.tasks.base import Unfit, chosen
from annotation.tasks.page import as_written
from annotation.types import Item, content_id

NAME = "share"

ANY = "any"
"""In the place of a country: a sheet on which a person names the group."""

SHARE, NOTHING, SKIP, STOP = "share", "nothing", "skip", "stop"
KINDS = (SHARE, NOTHING, SKIP, STOP)


@dataclass(frozen=True, slots=True)
class Written:
    """What one person wrote on one sheet.

    Attributes:
        kind: One of KINDS.
        identity: The group, where the person named one; "" for that of the sheet.
        lines: What is said of it, one association each, as typed; none unless `kind` is SHARE.
    """

    kind: str
    identity: str = ""
    lines: tuple[str, ...] = ()


def sheet_of(country: str, language: str, target: str, time: int, position: int) -> Item:
    """A sheet.

    Args:
        country: Whose people are asked, ISO 3166-1 alpha-2.
        language: What they read, ISO 639.
        target: Whose people they write about, ISO 3166-1 alpha-2; "" for a group that they name.
        time: 1 for the first sheet of a target in a country, 2 for the next: people may share again.
        position: Place in the order of annotation.
    """
    named = content_id(NAME, country, target or ANY, str(time))
    return Item(named, NAME, position, country, language, target or "other", {"target": target, "time": time})


def read_sheet(item: Item, values: Mapping[str, Any]) -> Written:
    """A response's values.

    Raises:
        Unfit: Something is missing or was never offered.
    """
    kind = chosen(values, "share", KINDS, "choice")
    if kind != SHARE:
        return Written(kind)
    identity = " ".join(as_written(values.get("identity") or "").split())
    lines = (line.strip() for line in as_written(values.get("associations") or "").splitlines())
    written = tuple(filter(None, lines))
    if not written:
        raise Unfit("to be shared, and nothing was written")
    if not (identity or item.content["target"]):
        raise Unfit("to be shared, and no group was named")
    return Written(kind, identity, written)


def write_sheet(written: Written) -> dict[str, Any]:
    """The inverse of `read_sheet`."""
    values = {"share": written.kind, "identity": written.identity, "associations": "\n".join(written.lines)}
    return {name: {"value": value} for name, value in values.items() if value}
