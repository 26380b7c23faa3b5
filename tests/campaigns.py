"""How long a campaign of kills is: short in the suite, long in `make test-long`."""

import os


def kills(usual: int, long: int) -> int:
    """How often to kill; ANNOT_LONG asks for the long campaign."""
    return long if os.environ.get("ANNOT_LONG") else usual
