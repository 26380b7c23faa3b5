"""The language of each row: named by the row, or told among the project's languages and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from annotation.prompts.rows import MASK, Entry, StepResult
from annotation.screen import Progress, silent
from annotation.text.language import can_tell, tell
from annotation.text.locales import language_code
from annotation.text.privacy import excerpt
from annotation.types import Dropped


def assign_languages(
    entries: Sequence[Entry], languages: Sequence[str], progress: Progress = silent
) -> StepResult[Entry]:
    """Assign a language to each row; drop rows in none of the project's languages.

    A language that the row names is believed. Else it is one of the project's, unless the text is clearly in another.

    Args:
        entries: Clean rows.
        languages: The project's; () lets all in.
        progress: Gets how many are done.
    """
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    told = cache(lambda text: tell(MASK.sub("", text), languages))  # A set of pairs repeats its prompts.
    for done, entry in enumerate(entries):
        progress(done, len(entries), "telling languages")
        code = language_code(entry.language) if entry.language else told(entry.text)
        if code and (code in languages or not languages):
            kept.append(replace(entry, language=code))
        else:
            dropped.append(Dropped(entry.where, "language", code or excerpt(entry.language)))
    return StepResult(tuple(kept), tuple(dropped))


def language_notices(entries: Sequence[Entry], languages: Sequence[str]) -> tuple[str, ...]:
    """A sentence where rows name no language and one of the project's cannot be told."""
    blind = [code for code in languages if not can_tell(code)]
    if blind and any(not entry.language for entry in entries):
        return (
            f"Prompts in {', '.join(blind)} cannot be told from others; give them a language column, or say "
            f"--language {blind[0]}.",
        )
    return ()
