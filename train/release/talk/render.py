"""Slides as one page of HTML that needs nothing else: it opens from a disk, without a network, and prints as slides."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files

from train.release.talk.deck import Slide


def style() -> str:
    """CSS of the slides themselves, for Marp and for the page."""
    return _read("slides.css")


def page_of(slides: Sequence[Slide], *, title: str, language: str, keys: str) -> str:
    """The page.

    Args:
        slides: What it shows.
        title: Of the window.
        language: ISO 639-1.
        keys: What the keys do.
    """
    script = _read("slides.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = "\n".join(_section(number, slide, len(slides)) for number, slide in enumerate(slides, 1))
    return (
        f'<!doctype html>\n<html lang="{html.escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{style()}\n{_read('page.css')}</style>\n</head>\n<body>\n"
        f'<main>\n{shown}\n</main>\n<p class="keys">{html.escape(keys)}</p>\n<script>{script}</script>\n'
        "</body>\n</html>\n"
    )


def _section(number: int, slide: Slide, of: int) -> str:
    said = "".join(f"<p>{html.escape(line)}</p>" for line in slide.said.split("\n"))
    return (
        f'<article id="s{number}"><section class="{html.escape(slide.kind)}" data-page="{number} / {of}">\n'
        f'{slide.body}</section>\n<aside class="notes">{said}</aside></article>'
    )


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
