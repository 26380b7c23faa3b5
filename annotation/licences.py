"""Licences of sources: which may be given away together, and what the whole is under then."""

from __future__ import annotations

import re
from collections.abc import Iterable

from annotation.text.locales import fold

TEAM = "CC-BY-4.0"
"""Of what the team shared and said itself."""

SHARE_ALIKE = "CC-BY-SA-4.0"

NONE, OTHER = "its source states no licence", "its source's licence does not let it go with the others"
"""Why something is left out."""

_FREE = re.compile(r"\b(?:cc0|cc-?by|creative-commons-attribution|public-domain|pddl|odc-by|mit|apache)\b|^by\b")
_SHARE_ALIKE = re.compile(r"\bsa\b|share-?alike|compartir-?igual|compartilha-?igual")
_CLOSED = re.compile(
    r"\b(?:nc|nd)\b|non?-?commercial|na?o-?comercial|no-?deriv|(?:sin|sem|nao)-?(?:obras?-?)?deriv"
    r"|^not-|proprietary|all-rights-reserved|todos-(?:los|os)-d"
)
"""Also as Creative Commons names them in Spanish and Portuguese."""


def refused(licence: str) -> str:
    """Why what is under a licence is left out; "" where it is not."""
    written = _written(licence)
    if not written:
        return NONE
    return "" if _FREE.search(written) and not _CLOSED.search(written) else OTHER


def of_whole(licences: Iterable[str]) -> str:
    """The licence of a whole: share-alike carries over from any part."""
    return SHARE_ALIKE if any(_SHARE_ALIKE.search(_written(licence)) for licence in licences) else TEAM


def _written(licence: str) -> str:
    return "-".join(re.findall(r"[a-z0-9.]+", fold(licence)))
