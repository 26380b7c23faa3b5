"""How long a campaign of kills is: short in the suite, long in `make test-long`."""

import os

LONG = bool(os.environ.get("ANNOT_LONG"))


def kills(usual: int, long: int) -> int:
    """How often to kill; ANNOT_LONG asks for the long campaign."""
    return long if LONG else usual


def cases(usual: str, *others: str) -> list[str]:
    """Parameters of a test that takes long: one in the suite, all of them in the long campaign."""
    return [usual, *others] if LONG else [usual]
