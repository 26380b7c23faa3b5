"""LaTeX of a paper, for pdfLaTeX: every text is escaped, and what has no glyph there is replaced and counted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

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
    References,
    Tabular,
    Text,
)
from train.release.paper.references import WORKS

OWN_BEGIN, OWN_END = "% words.md: begin", "% words.md: end"
"""Around people's own words, in which numbers are theirs."""

BODY = r"\begin{document}"

PREAMBLE = r"""
% Made by `annot paper` from a project's runs. Your own words belong in words.md: this file is made anew.
% With acl.sty and acl_natbib.bst beside it, it has the style of the ACL; without them, the same proportions.
\IfFileExists{acl.sty}{}{\PassOptionsToClass{twocolumn}{article}}
\documentclass[11pt]{article}
\IfFileExists{acl.sty}{\usepackage{acl}}{%
  \usepackage[a4paper,margin=2.5cm,columnsep=0.6cm]{geometry}
  \usepackage{natbib}
  \usepackage[hidelinks]{hyperref}
  \bibliographystyle{plainnat}}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\IfFileExists{t1ptm.fd}{\usepackage{times}}{\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}}
\IfFileExists{microtype.sty}{\usepackage{microtype}}{}
\usepackage{graphicx}
\usepackage{array}
\usepackage{booktabs}
\emergencystretch=3em
\makeatletter\setlength{\@fptop}{0pt}\setlength{\@dblfptop}{0pt}\makeatother
\setcounter{topnumber}{4}\setcounter{dbltopnumber}{4}\setcounter{totalnumber}{6}
\renewcommand{\topfraction}{0.9}\renewcommand{\dbltopfraction}{0.9}\renewcommand{\textfraction}{0.05}
\renewcommand{\floatpagefraction}{0.85}\renewcommand{\dblfloatpagefraction}{0.85}
\DeclareRobustCommand{\subtwo}{\textsubscript{2}}
\DeclareRobustCommand{\noglyph}{{\normalfont\bfseries ?}}
\newlength{\cellwidth}
\newcommand{\fit}[1]{\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{#1}}
\newcommand{\narrowcells}{\setlength{\cellwidth}{0.55\columnwidth}}
\newcommand{\widecells}{\setlength{\cellwidth}{0.33\textwidth}}
"""

SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "[": "{[}",
    "]": "{]}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\u00a0": "~",
    "\u00ad": r"\-",
    "–": "--",
    "—": "---",
    "‘": r"\textquoteleft{}",
    "’": "'",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "„": r"\quotedblbase{}",
    "…": r"\ldots{}",
    "•": r"\textbullet{}",
    "€": r"\texteuro{}",
    "™": r"\texttrademark{}",
    "₂": r"\subtwo{}",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "−": r"$-$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "τ": r"$\tau$",
    "ẞ": "SS",
    "\ue003": "{*}",
    "\ue004": r"\textasciigrave{}",
    "\ue005": "{[}",
}
"""Character -> how LaTeX writes it. Brackets in braces: after a \\\\ or an \\item they would be its options."""

LETTERS = (
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŊŋŐőŒœŔŕŘřŚśŞşŠšŤťŮůŰűŸ"
    "ŹźŻżŽž¡¢£¤¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿×÷"
)
"""Characters beyond ASCII that pdfLaTeX reads as they are, in T1 and TS1."""

ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0328": "k",
    "\u0331": "b",
}
"""Combining mark -> LaTeX's accent: Guaraní and others have letters that no single character is."""

MARKS = "\ue000\ue001"
"""Of `figures.py`: they stay until the page is made."""

MARKED = re.compile(r"\ue000\d+,[^\ue001]*\ue001")
LITERAL = {ord("*"): "\ue003", ord("`"): "\ue004", ord("["): "\ue005"}
"""Signs that make bold, typewriter, citations and labels -> what stands for them where they are only signs."""

MINUS = re.compile(r"(?<![\w.)-])-(?=\d)")

APART = "\ue002"
JOINED = re.compile(r"([-,'])(?=\1)|[?!](?=`)")
"""Characters that a font would join, as two hyphens into a dash: an APART comes between them."""

CLUSTER = re.compile(r"(.)([\u0300-\u036f]*)", re.DOTALL)
"""A character, and the marks that combine with it."""

WIDE = 62
"""Characters of a table's widest row above which it needs both columns of a page."""

LONG_CELL, MOST_ROWS = 40, 32
"""Characters above which cells are broken into lines; rows of a table that fit on a page."""


class Latex:
    """A writer of LaTeX, and what it had to replace."""

    def __init__(self, own_works: Collection[str] = ()) -> None:
        """Begin with nothing replaced; `own_works` are keys of words.bib, people's own works."""
        self.replaced: Counter[str] = Counter()
        self.cited: set[str] = set()
        self._own_works = own_works
        self._titles: Mapping[str, str] = {}

    def page(self, document: Document) -> str:
        """The paper in LaTeX, with the marks of its figures."""
        self._titles = document.titles()
        authors = r" \\ ".join(self.inline(line) for line in document.authors.splitlines() if line.strip())
        lines = [
            *(PREAMBLE.lstrip() + OWN_BEGIN, f"\\title{{{self.inline(' '.join(document.title.split()))}}}"),
            *(f"\\author{{{authors}}}", OWN_END, r"\date{}", BODY, r"\maketitle\suppressfloats[t]"),
            *(r"\begin{abstract}", OWN_BEGIN, *self._own(document.abstract), OWN_END, r"\end{abstract}", ""),
        ]
        works = r"\bibliography{references,words}" if self._own_works else r"\bibliography{references}"
        for block in document.blocks:
            lines += [works, ""] if isinstance(block, References) else self._block(block)
        return "\n".join([*lines, r"\end{document}", ""])

    def _block(self, block: Block) -> list[str]:
        match block:
            case Heading():
                name = "section" if block.level == 1 else "subsection"
                return [f"\\{name}{'*' if block.plain else ''}{{{self.inline(block.text)}}}", ""]
            case Text():
                return [self.inline(block.text), ""]
            case Points():
                items = [f"\\item {self.inline(item)}" for item in block.items]
                return [r"\begin{itemize}", *items, r"\end{itemize}", ""]
            case Own():
                return [OWN_BEGIN, *self._own(block.text), OWN_END, ""]
            case Tabular() if block.table.rows:
                return [line for part in self._tables(block) for line in part]
            case Plot():
                kind, caption = "figure*" if block.wide else "figure", self.inline(block.caption)
                return [
                    *(f"\\begin{{{kind}}}[tp]", r"\centering"),
                    f"\\includegraphics[width=\\linewidth]{{figures/{block.file}}}",
                    *(f"\\caption{{{caption}.}}", f"\\label{{{block.label}}}", f"\\end{{{kind}}}", ""),
                ]
            case Appendix():
                return [r"\appendix", ""]
        return []

    def _tables(self, block: Tabular) -> Iterator[list[str]]:
        table = block.table
        widths = [max(len(_bare(row[i])) for row in (table.columns, *table.rows)) for i in range(len(table.columns))]
        wide = sum(min(width, LONG_CELL) for width in widths) + 2 * len(widths) > WIDE
        kind, cells = ("table*", "widecells") if wide else ("table", "narrowcells")
        form = "".join(_alignment(width, [row[i] for row in table.rows]) for i, width in enumerate(widths))
        for begin in range(0, len(table.rows), MOST_ROWS):
            caption = f"{table.title}{' (continued)' if begin else ''}. {table.note if not begin else ''}".strip()
            yield [
                *(f"\\begin{{{kind}}}[tp]", rf"\centering\small\{cells}", r"\fit{%", f"\\begin{{tabular}}{{{form}}}"),
                *(r"\toprule", self._row(table.columns), r"\midrule"),
                *(self._row(row) for row in table.rows[begin : begin + MOST_ROWS]),
                *(r"\bottomrule", r"\end{tabular}}", f"\\caption{{{self.inline(caption)}}}"),
                *([] if begin else [f"\\label{{{block.label}}}"]),
                *(f"\\end{{{kind}}}", ""),
            ]

    def _row(self, cells: Sequence[str]) -> str:
        return " & ".join(map(self.literal, cells)) + r" \\"

    def _own(self, text: str) -> list[str]:
        """People's own words: paragraphs, and lists whose lines begin with a hyphen."""
        lines = []
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            rows = paragraph.splitlines()
            if rows and all(row.startswith("- ") for row in rows):
                lines += self._block(Points([row[2:] for row in rows]))
            else:
                lines += [self.inline(" ".join(rows)), ""]
        return lines[:-1]

    def inline(self, text: str) -> str:
        """A text on one line: escaped, with its bold and typewriter parts, citations and labels."""
        text = MARKED.sub(lambda found: found[0].translate(LITERAL), text)  # a run's words are no mark-up
        parts, end = [], 0
        for found in re.finditer(f"{CITED.pattern}|{SHOWN.pattern}", text):
            keys = [key.strip(" @") for key in (found[1] or "").split(";")]
            known = found[2] in self._titles or all(key in WORKS or key in self._own_works for key in keys)
            if not known:
                continue
            parts.append(self.escape(text[end : found.start()]))
            end = found.end()
            if found[2]:
                parts.append(f"Table~\\ref{{{found[2]}}}")
            else:
                self.cited.update(keys)
                parts.append(f"\\citep{{{','.join(keys)}}}")
        joined = "".join([*parts, self.escape(text[end:])])
        joined = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", joined)
        joined = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"\\texttt{\1}", joined)
        return joined.replace("*", "{*}")  # after a \\ a star would be its own

    def literal(self, text: str) -> str:
        """A text on one line, escaped, in which stars, backticks and brackets are only signs."""
        return self.inline(text.translate(LITERAL))

    def escape(self, text: str) -> str:
        """A text that LaTeX shows as it is; stars and backticks are left to `inline`."""
        text = unicodedata.normalize("NFC", re.sub(r"\s+", " ", text.replace("&lt;", "<")))
        text = MINUS.sub("−", text)
        text = JOINED.sub(lambda found: found[0] + APART, text)
        return "".join(self._sign(found[1], found[2]) for found in CLUSTER.finditer(text))

    def _sign(self, sign: str, accents: str) -> str:
        """One character with the marks that combine with it."""
        written = self._character(sign)
        for accent in accents:
            if accent in ACCENTS and sign.isalpha():
                written = f"\\{ACCENTS[accent]}{{{written}}}"
            else:
                self.replaced[accent] += 1
        return written

    def _character(self, sign: str) -> str:
        if sign in SIGNS:
            return SIGNS[sign]
        if sign == APART:
            return "{}"
        if " " <= sign <= "~" or sign in LETTERS or sign in MARKS:
            return sign
        base, *accents = list(unicodedata.normalize("NFD", sign))
        if accents and base.isascii() and all(accent in ACCENTS for accent in accents):
            return self._sign(base, "".join(accents))
        plain = unicodedata.normalize("NFKC", sign)
        if plain != sign and all(" " <= one <= "~" or one in LETTERS for one in plain):
            return "".join(SIGNS.get(one, one) for one in plain)
        self.replaced[sign] += 1
        return "" if unicodedata.category(sign).startswith("C") else r"\noglyph{}"


def _bare(cell: str) -> str:
    """A cell without marks."""
    return re.sub(r"\ue000\d+,|\ue001", "", cell)


def _alignment(width: int, cells: Sequence[str]) -> str:
    """Of a column: numbers to the right, long texts broken into lines."""
    if width > LONG_CELL:
        return r">{\raggedright\arraybackslash}p{\cellwidth}"
    return "r" if all(re.match(r"[-+]?\d|–$", _bare(cell)) for cell in cells) else "l"
