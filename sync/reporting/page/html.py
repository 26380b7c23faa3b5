"""HTML that a program builds: texts are escaped wherever they come from, and none becomes an address or a style."""

from __future__ import annotations

import html
from collections.abc import Iterable

from annotation.text.hidden import show_hidden


class Html(str):
    """Text that is HTML already: only this module makes it of texts, and only by escaping them."""

    __slots__ = ()


def tag(name: str, /, *parts: object, **attributes: object) -> Html:
    """An element; of attributes that are False or None nothing is written, of True the name alone.

    Args:
        name: Of the element: a word of ours.
        parts: Its content: Html stays as it is, everything else is escaped; what holds several is written in order.
        attributes: Their values are escaped; `class_` and `for_` stand for class and for, and "_" for "-".
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value, quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{written}>" if name in _EMPTY else f"<{name}{written}>{joined(*parts)}</{name}>")


_EMPTY = {"meta", "input"}


def joined(*parts: object) -> Html:
    """Parts behind each other, as in `tag`."""
    return Html("".join(map(_part, parts)))


def _part(part: object) -> str:
    if isinstance(part, Html):
        return part
    if part is None:
        return ""
    if isinstance(part, Iterable) and not isinstance(part, str):
        return joined(*part)
    return escaped(part)


def escaped(text: object, *, quote: bool = False) -> str:
    """A text that shows what it says, hidden characters and those that reorder it written out."""
    return html.escape(show_hidden(str(text)), quote=quote)


def typed(text: str, most: int = 1200) -> Html:
    """What people or models wrote: in its own direction, its lines kept, cut where it is very long."""
    cut = text if len(text) <= most else f"{text[:most]} […]"
    return tag("bdi", cut, class_="typed")
