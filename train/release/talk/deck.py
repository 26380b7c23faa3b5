"""Slides of a Markdown file as Marp reads them: divided at rules, their comments are notes; parts are the team's."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from annotation.errors import TrainError
from annotation.files import is_within

SLIDES = "slides.md"

BEGIN, END = "[//]: # (yours: {name}. annot keeps what stands below.)", "[//]: # (end of yours: {name})"
"""Around a part that is the team's: link definitions, which no renderer shows and Marp does not take for a note."""

PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp", ".svg": "svg+xml"}
"""Ends of names of pictures that a slide may show, and their media types."""

MOST_BYTES = 20_000_000
"""Of a picture on a slide."""

_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_CLASS = re.compile(r"\s*_class:\s*([\w -]+?)\s*")
_ANY_BEGIN = re.compile(r"^\[//\]: # \(yours: (\w+)\..*\)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Slide:
    """A slide.

    Attributes:
        title: Its first heading; "" without one.
        kind: CSS classes that its directive names.
        body: HTML without anything that could run or fetch.
        said: Its notes, which are spoken.
        words: Words that it shows.
        own: It is the team's, or a part of it is.
        left_out: Addresses of pictures that are not in the folder, and are not shown.
    """

    title: str
    kind: str
    body: str
    said: str
    words: int
    own: bool
    left_out: Sequence[str] = ()


def own_parts(text: str, path: Path) -> dict[str, str]:
    """What the team wrote, by the name of the part.

    Raises:
        TrainError: A mark of a part is gone or stands twice.
    """
    found: dict[str, str] = {}
    for mark in _ANY_BEGIN.finditer(text):
        name, end = mark[1], END.format(name=mark[1])
        inside, there, _ = text[mark.end() :].partition(f"\n{end}")
        if not there or name in found or _ANY_BEGIN.search(inside):
            raise TrainError(
                f"{path}: the part {name!r} that is yours does not end where it did; put the line {end!r} back below "
                "your words."
            )
        found[name] = inside.strip("\n")
    return found


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """The Markdown with these words in the team's parts; other parts stay as they are."""
    for name, words in parts.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, there, rest = text.partition(begin)
        if there:
            text = f"{before}{begin}\n\n{words}\n\n{end}{rest.partition(end)[2]}"
    return text


def digest(text: str) -> str:
    """SHA-256 of what annot wrote of the slides, without the team's parts."""
    bare = with_parts(text, dict.fromkeys(_ANY_BEGIN.findall(text), ""))
    return hashlib.sha256(bare.encode()).hexdigest()


def written(text: str) -> list[tuple[int, str]]:
    """The numbered lines that annot wrote below the front matter: none of the team's."""
    lines, own = [], False
    end = text.split("\n").index("---", 1) if text.startswith("---\n") else -1
    for number, line in enumerate(text.split("\n"), 1):
        own = bool(_ANY_BEGIN.match(line)) or (own and not line.startswith("[//]: # (end of yours"))
        if number > end + 1 and not own and not line.startswith("[//]: # ("):
            lines.append((number, line))
    return lines


def read_slides(text: str, folder: Path) -> list[Slide]:
    """Slides of a Markdown file with front matter, as Marp divides them.

    Args:
        text: The Markdown.
        folder: Where its pictures are; those from elsewhere are not shown.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    body = text[4:].partition("\n---\n")[2] if text.startswith("---\n") else text
    parts: list[list[Token]] = [[]]
    for token in parser.parse(body):
        if token.type == "hr" and token.level == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    owned = _own_lines(body)
    return [_slide(parser, tokens, folder, owned) for tokens in parts]


def _own_lines(body: str) -> set[int]:
    """Lines of the team's parts, by their place in the body."""
    found, inside = set[int](), False
    for number, line in enumerate(body.split("\n")):
        inside = bool(_ANY_BEGIN.match(line)) or (inside and not line.startswith("[//]: # (end of yours"))
        if inside:
            found.add(number)
    return found


def _slide(parser: MarkdownIt, tokens: Sequence[Token], folder: Path, owned: set[int]) -> Slide:
    kinds, said, left_out = list[str](), list[str](), list[str]()
    own = any(token.map and owned.intersection(range(*token.map)) for token in tokens)
    for token in _all(tokens):
        if token.type in ("html_block", "html_inline"):
            for comment in _COMMENT.findall(token.content):
                directive = _CLASS.fullmatch(comment)
                (kinds if directive else said).append(directive[1] if directive else comment)
            # Whatever else is HTML is shown as the text that it is.
            token.type, token.content = "text", _COMMENT.sub("", token.content).strip()
        elif token.type == "image":
            address = str(token.attrs["src"])
            if shown := _embedded(folder, address):
                token.attrs["src"] = shown
            else:
                left_out.append(address)
                token.type, token.content = "text", token.content
        elif token.type == "link_open":
            token.attrs["rel"] = "noopener noreferrer"
    body = parser.renderer.render(tokens, parser.options, {})
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    title = html.unescape(re.sub(r"<[^>]*>", "", parser.renderInline(headings[0]))) if headings else ""
    words = len(re.sub(r"<[^>]*>", " ", body).split())
    return Slide(title, " ".join(kinds), body, _plain(said), words, own, left_out)


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())


def _plain(notes: Sequence[str]) -> str:
    """Notes as the words that are spoken."""
    paragraphs = ("".join(notes)).strip().split("\n")
    bare = (re.sub(r"\\(?=[^\w\s])", "", html.unescape(line.strip())) for line in paragraphs)
    return "\n".join(line for line in bare if line)


def _embedded(folder: Path, address: str) -> str:
    """A picture of the folder as a data URI; "" for one from elsewhere, or none."""
    path = folder / unquote(address)
    kind = PICTURES.get(path.suffix.lower())
    try:
        inside = kind and ":" not in address and is_within(path, folder) and path.is_file()
    except ValueError:
        return ""
    if not inside or path.stat().st_size > MOST_BYTES:
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
