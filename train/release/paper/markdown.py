"""Markdown of a paper."""

from __future__ import annotations

from collections.abc import Mapping

from train.release.paper.blocks import (
    CITED,
    SHOWN,
    Appendix,
    Block,
    Document,
    Heading,
    Own,
    Plot,
    Points,
    Tabular,
    Text,
)
from train.release.paper.references import reference_lines

OWN_BEGIN, OWN_END = "<!-- words.md: begin -->", "<!-- words.md: end -->"
"""Around people's own words, in which numbers are theirs."""

REFERENCES = "## References"


def markdown(document: Document) -> str:
    """The paper in Markdown, with the marks of its figures."""
    titles = document.titles()
    lines = [
        *(OWN_BEGIN, f"# {' '.join(document.title.split())}", "", document.authors, "", "## Abstract", ""),
        *(document.abstract, OWN_END, ""),
    ]
    for block in document.blocks:
        lines += _lines(block, titles)
    text = "\n".join(lines)
    used = {key.strip(" @") for found in CITED.finditer(text) for key in found[1].split(";")}
    return "\n".join([text.rstrip(), "", REFERENCES, "", *reference_lines(used), ""])


def _lines(block: Block, titles: Mapping[str, str]) -> list[str]:
    match block:
        case Heading():
            return [f"{'#' * (block.level + 1)} {block.text}", ""]
        case Text():
            return [_named(block.text, titles), ""]
        case Points():
            return [*(f"- {_named(item, titles)}" for item in block.items), ""]
        case Own():
            return [OWN_BEGIN, block.text, OWN_END, ""]
        case Tabular() if block.table.rows:
            return [f"**{block.table.title}**", "", *block.table.markdown()]
        case Plot():
            # No page shows a PDF as a picture: the same plot lies beside it as PNG.
            return [f"![{block.caption}](figures/{block.file.removesuffix('.pdf').removesuffix('.png')}.png)", ""]
        case Appendix():
            return ["## Appendix", ""]
    return []


def _named(text: str, titles: Mapping[str, str]) -> str:
    """A text in which tables and plots are called by their titles."""
    return SHOWN.sub(lambda found: f"“{titles[found[1]]}”" if found[1] in titles else found[0], text)
