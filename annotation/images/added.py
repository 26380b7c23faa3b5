"""What became of pictures that were read: new ones, those that were there, those left out, and what helps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.errors import SourceError
from annotation.images.refine import FORMATS, HEAVY, LEAST_SIDE, MOST_BYTES, MOST_PIXELS, MOST_PIXELS_JPEG
from annotation.images.sources import LINKED, OUTSIDE, REMOTE, Pictures
from annotation.screen import count_reasons, counted
from annotation.types import Dropped, Prompt

SAME, ALIKE = "exact duplicate", "near duplicate"

REMEDIES = {
    REMOTE: "download them first: annot fetches nothing. Put them beside the table, under the name at the end of their "
    "address, and run the same command again.",
    OUTSIDE: "put them into the folder itself.",
    LINKED: "run the same command for that folder.",
    HEAVY: "save them anew as JPEG.",
    "no licence": "name it with --licence, or in a column of that name.",
    "no author": "name who made them with --author, or in a column of that name.",
    "unknown country": "correct the name in the table, or name the country of rows without one with --country CODE.",
    "no picture": f"save them in one of the formats {', '.join(FORMATS)}.",
    "no picture by its name": "other files are passed over; give a picture the ending of its format, for example .jpg, "
    "and save an SVG as PNG.",
    "broken or cut off": "copy them again from where they are from.",
    "too large": f"save them with at most {MOST_PIXELS // 10**6} megapixels (as JPEG {MOST_PIXELS_JPEG // 10**6}) and "
    f"{MOST_BYTES // 10**6} MB.",
    "too small": f"take larger ones: the shorter side needs {LEAST_SIDE} pixels when the longer one has 1,024 or less.",
    "animated, or of several pages": "save the one picture that you mean.",
    "cannot be read": "ask their owner, or run `chmod u+r` on them.",
    "no such file": "correct the name in the table; names are looked for in the folder of the table.",
}
"""What helps against a reason for leaving out a picture."""


@dataclass(frozen=True, slots=True)
class PicturesAdded:
    """Result of reading pictures into a project.

    Attributes:
        source: Name of the folder, file or dataset.
        rows: Files or rows that it has.
        kept: Prompts that are new, one for a picture and country, in the order of the source.
        pictures: How many pictures are new.
        changed: Of how many that were there the licence, who made them or what is said of people is another now.
        already_there: Pictures that the project asked about already, for that country.
        dropped: What was left out; id is "source:row name".
        notices: What a person should know.
        dry_run: Nothing was written.
    """

    source: str
    rows: int
    kept: tuple[Prompt, ...]
    pictures: int
    changed: int
    already_there: int
    dropped: tuple[Dropped, ...]
    notices: tuple[str, ...]
    dry_run: bool

    def reasons(self) -> list[tuple[str, int, str]]:
        """Reason, count and one example of the dropped; the most frequent first."""
        return count_reasons(self.dropped)

    def groups(self) -> list[tuple[str, str, str, int]]:
        """Country, language, topic and count of the new prompts."""
        counts = Counter((prompt.country, prompt.language, prompt.topic) for prompt in self.kept)
        return [(*group, count) for group, count in sorted(counts.items())]

    def sentence(self) -> str:
        """For a person."""
        changed = f"{'would change' if self.dry_run else 'changed'} what is said of {counted(self.changed, 'picture')}"
        if not self.kept and not self.changed:
            left = f", and leaves out {len(self.dropped)}" if self.dropped else ""
            return f"Nothing new: the project knows {self.already_there} of {self.source} already{left}."
        new = (
            f"{counted(self.pictures, 'new picture')} with {counted(len(self.kept), 'prompt')}"
            f"{' would come' if self.dry_run else ''} from {self.source}"
        )
        parts = [
            *([new] if self.kept else []),
            *([f"{changed} of {self.source}, for all countries"] if self.changed else []),
            *([f"already there: {self.already_there}"] if self.already_there else []),
            *([f"left out: {len(self.dropped)}"] if self.dropped else []),
        ]
        return f"{parts[0][0].upper()}{'; '.join(parts)[1:]}."

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            **asdict(self),
            "kept": [asdict(prompt) for prompt in self.kept],
            "dropped": {reason: {"count": count, "example": shown} for reason, count, shown in self.reasons()},
        }


def nothing_came(name: str, pictures: Pictures, dropped: Sequence[Dropped]) -> SourceError:
    """The error of a source of which no picture is taken: why, and what helps."""
    reasons = count_reasons(dropped)
    why = "; ".join(f"{reason} {count} ({shown})" for reason, count, shown in reasons[:4]) or "it has none"
    remedy = next((REMEDIES[reason] for reason, _, _ in reasons if reason in REMEDIES), "")
    more = f" {remedy[0].upper()}{remedy[1:]}" if remedy else ""
    notes = "".join(f" {notice}" for notice in pictures.notices)
    rows = counted(pictures.rows, "file or row", "files or rows")
    return SourceError(f"No picture came of the {rows} of {name}: {why}.{more}{notes}")
