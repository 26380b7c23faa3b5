"""Hidden characters: those that a reader does not see or that reorder a text are removed, shown or counted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_HIDDEN = re.compile(
    # Soft hyphen, zero width, direction marks, interlinear annotation, tags.
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
    # Joiners stay inside an emoji and in the scripts that spell with them.
    "|(?<![\u0600-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
    "|[\u200c\u200d](?![\u0600-\u0dff\u2600-\u27bf\U0001f000-\U0001faff])"
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_MARKS = ("\u061c", "\u200e", "\u200f")
"""Direction marks: a text in a script that runs from right to left needs them."""
_SHOWN = re.compile(r"⟨U\+([0-9A-F]{4,6})⟩")


def without_hidden(text: str, *, written_out: bool = False) -> str:
    """Remove hidden characters; with `written_out` also what `show_hidden` wrote in their place."""
    return _HIDDEN.sub("", _SHOWN.sub("", text) if written_out else text)


def only_seen(text: str) -> str:
    """A text without hidden characters and controls; line breaks and tabs stay."""
    return _CONTROLS.sub("", without_hidden(text))


def count_broken(text: str) -> int:
    """Count the characters that are none: U+FFFD, which stands for lost ones, and controls; no line breaks or tabs."""
    return text.count("\ufffd") + len(_CONTROLS.findall(text))


def show_hidden(text: str) -> str:
    """Write hidden characters out, as ⟨U+202E⟩: whoever judges the text sees all that a model would learn.

    Direction marks stay where the text has letters that run from right to left.
    """
    found = _found(text)
    return found.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text) if found else text


def count_hidden(texts: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Count the texts with hidden characters, and each character, as "U+202E", the most frequent first."""
    shown = [found for text in texts if (found := _SHOWN.findall(show_hidden(text)))]
    counts = Counter(f"U+{code}" for found in shown for code in found)
    return len(shown), dict(counts.most_common())


def _found(text: str) -> re.Pattern[str] | None:
    """Pattern of the hidden characters of a text; None where it has none."""
    if not _HIDDEN.search(text) and not _CONTROLS.search(text):
        return None
    leftwards = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text if letter not in _MARKS)
    hidden = _HIDDEN.pattern.replace("\u061c", "").replace("\u200e\u200f", "") if leftwards else _HIDDEN.pattern
    return re.compile(f"{hidden}|{_CONTROLS.pattern}")
