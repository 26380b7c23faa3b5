"""JSON pointers (RFC 6901) to values of a document, and `*` for the sum over all that stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pointer(*at: str | int) -> str:
    """A pointer, written from its keys."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in at)


def keys_of(at: str) -> list[str]:
    """The keys of a pointer."""
    return [key.replace("~1", "/").replace("~0", "~") for key in at.split("/")[1:]]


def look_up(document: Any, at: str) -> Any:
    """What stands at a pointer; None where nothing does."""
    for number, key in enumerate(keys := keys_of(at)):
        if key == "*":
            each = document.values() if isinstance(document, Mapping) else document or ()
            found = [look_up(one, pointer(*keys[number + 1 :])) for one in each]
            return sum(found) if found and all(isinstance(one, int | float) for one in found) else None
        if isinstance(document, Mapping):
            document = document.get(key)
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
