"""The language of each row: named by the row, or detected among the project's languages and their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from annotation.prompts.rows import MASK, Entry, StepResult
from annotation.screen import Progress, silent
from annotation.text.language import NEIGHBOURS, detectable, shares
from annotation.text.locales import language_code
from annotation.text.privacy import excerpt
from annotation.types import Dropped

OUTSIDE = 2.0
"""How many times likelier a foreign language must be than the likeliest of the project before a row is dropped.

On 500 short Spanish questions and their English translations (BLEnD, Mexico) the largest ratio of a Spanish one was
0.8, the least of an English one 3.0.
"""
CLEARLY = 1.5
"""How many times likelier the best of the project's languages must be than the second; else it is the first named."""
SURE_LETTERS = 12
"""A text with fewer letters is never dropped for its language."""
SURE_CHARS = 400
"""Characters of a text from which its language is detected."""
BATCH = 4096


def assign_languages(
    entries: Sequence[Entry], languages: Sequence[str], progress: Progress = silent
) -> StepResult[Entry]:
    """Assign a language to each row; drop rows in none of the project's languages.

    A language that the row names is believed. Else the text is compared with the project's languages and their
    neighbours; where that leaves a doubt it is the project's first.

    Args:
        entries: Clean rows.
        languages: The project's; () lets all in.
        progress: Gets how many were compared.
    """
    unnamed = [number for number, entry in enumerate(entries) if not entry.language]
    found: dict[int, str] = {}
    if languages and not any(map(detectable, languages)):
        found = dict.fromkeys(unnamed, languages[0])
    else:
        for start in range(0, len(unnamed), BATCH):
            batch = unnamed[start : start + BATCH]
            likely = shares([MASK.sub("", entries[n].text[:SURE_CHARS]) for n in batch], (*NEIGHBOURS, *languages))
            found.update(
                (n, likeliest(shared, languages, sum(map(str.isalpha, entries[n].text))))
                for n, shared in zip(batch, likely, strict=True)
            )
            progress(start + len(batch), len(unnamed), "telling languages")
    kept: list[Entry] = []
    dropped: list[Dropped] = []
    for number, entry in enumerate(entries):
        code = found.get(number) or language_code(entry.language)
        if code and (code in languages or not languages):
            kept.append(replace(entry, language=code))
        else:
            dropped.append(Dropped(entry.where, "language", code or excerpt(entry.language)))
    return StepResult(tuple(kept), tuple(dropped))


def likeliest(share: Mapping[str, float], languages: Sequence[str], letters: int) -> str:
    """Language of a text by the shares of the languages that it may be in.

    Args:
        share: Language to share, from `annotation.text.language.shares`.
        languages: The project's; () for any.
        letters: How many letters the text has.

    Returns:
        One of the project's languages, or a foreign one that is OUTSIDE times likelier.
    """
    foreign = max((code for code in share if code not in languages), key=share.__getitem__, default="")
    if not languages:
        return foreign
    inside = sorted(languages, key=lambda code: -share.get(code, 0.0))  # Stable: the first named wins a tie.
    best = share.get(inside[0], 0.0)
    if foreign and letters >= SURE_LETTERS and share[foreign] > OUTSIDE * best:
        return foreign
    if len(inside) > 1 and best < CLEARLY * share.get(inside[1], 0.0):
        return languages[0]
    return inside[0]


def language_notices(entries: Sequence[Entry], languages: Sequence[str]) -> tuple[str, ...]:
    """A sentence where rows name no language and one of the project's cannot be detected."""
    blind = [code for code in languages if not detectable(code)]
    if blind and any(not entry.language for entry in entries):
        return (
            f"Prompts in {', '.join(blind)} cannot be told from others; give them a language column, or say "
            f"--language {blind[0]}.",
        )
    return ()
