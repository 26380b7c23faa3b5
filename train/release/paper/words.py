"""Own words of people for a paper: words.md, which `annot paper` makes once and never writes again."""

from __future__ import annotations

import re
from pathlib import Path

from annotation.errors import SettingsError

WORDS, WORKS = "words.md", "words.bib"
"""In the paper's folder: people's own words, and the works that only these cite."""

PARTS = {
    "Title": "The title of the paper, on one line.",
    "Authors": "Those who wrote it, a line each.",
    "Abstract": "What the project wanted, did and found.",
    "Introduction": "Why it was done, and for whom.",
    "Related work": "What others did before; [@key] cites a work whose entry you put into words.bib beside this file.",
    "Discussion": "What the numbers mean.",
    "Acknowledgements": "Whom you thank.",
}
"""Part -> what belongs there."""

_MARKS = re.compile("[\ue000-\ue002]")
"""Signs that mean nothing to anybody, and to `figures.py` and `latex.py` something."""

_COMMENT, _KEY = re.compile(r"<!--.*?-->", re.DOTALL), re.compile(r"@\w+\s*\{\s*([\w:.-]+)\s*,", re.ASCII)


def template() -> str:
    """words.md as it is made."""
    head = (
        "<!-- Your own words for the paper: annot never writes this file again. An empty part stays a marked place.\n"
    )
    head += "Run `annot paper` again when you have written. -->\n"
    return head + "".join(f"\n# {part}\n\n<!-- {what} -->\n" for part, what in PARTS.items())


def read_words(folder: Path) -> dict[str, str]:
    """Part -> people's own words; nothing where there are none.

    Raises:
        SettingsError: The file has a part for which the paper has no place, or is not in UTF-8.
    """
    path = folder / WORDS
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""  # Windows writes a mark before it
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not in UTF-8; save it so, then run this again.") from None
    before, *parts = re.split(r"^# +(.+?) *$", _MARKS.sub("", _COMMENT.sub("", text)), flags=re.MULTILINE)
    if twice := next((name for name in parts[::2] if parts[::2].count(name) > 1), None):
        raise SettingsError(f'{path} has the part "{twice}" twice; put its words together under one heading.')
    found = {name: content.strip() for name, content in zip(parts[::2], parts[1::2], strict=True)}
    strange = next((name for name in found if name not in PARTS), None)
    if strange is not None or before.strip():
        what = f'a part "{strange}"' if strange is not None else "words before its first part"
        raise SettingsError(f"{path} has {what}, for which the paper has no place; its parts are {', '.join(PARTS)}.")
    return found


def own_works(folder: Path) -> list[str]:
    """Keys of the works in words.bib."""
    path = folder / WORKS
    return _KEY.findall(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else []
