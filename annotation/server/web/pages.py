"""Argilla's page made safe: it loads nothing from elsewhere, and texts are shown and never run.

The files of the wheel stay as they are; what differs is kept in memory. `page.js` does the rest in the browser, with
DOMPurify, of which the package nicegui brings a copy. `annotating.js` makes the work easier, with the words of
`words.json`: by language, under the keys of Argilla's own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

PAGE_SCRIPT = "/annot-page.js"
DOMPURIFY = "/annot-dompurify.js"
ANNOTATING_SCRIPT = "/annot-annotating.js"
WORDS = "/annot-words.js"
SYSTEM_FONTS = '-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",Helvetica,Arial,system-ui,sans-serif'
ADDED_STYLE = """
@font-face{font-family:"Roboto Condensed";
src:local("Roboto Condensed"),local("Arial Narrow"),local("Liberation Sans Narrow")}
.text_field_component .content-area,.chat__bubble,.markdown-render{
contain:paint;overflow-wrap:anywhere}
.annotation-type-switch{display:none!important}
.annot-guard{margin:8px 16px;color:var(--fg-secondary);font-size:14px;line-height:1.4}
.wrapper--empty .annot-guard{max-width:36em;font-size:18px;text-align:center}
.annot-guard a{color:var(--fg-cuaternary);text-decoration:underline}
body:has(.annot-thanks) .questions-form{display:none}
.annot-thanks{max-width:36em;margin:0 auto;padding:24px 16px;text-align:center;font-size:18px;line-height:1.5}
.annot-thanks h2{margin:0 0 12px;font-size:28px;font-weight:600}
.annot-thanks p{margin:0 0 12px;color:var(--fg-secondary)}
.annot-thanks a{display:inline-block;margin-top:8px;padding:12px 24px;border-radius:8px;
background:var(--fg-cuaternary);color:#fff;text-decoration:none}
.image_field__wrapper img[src^="data:image/webp"]{max-height:55vh}
@media (min-width:1100px){
.fields:has(img[src^="data:image/webp"]){
display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);align-items:start}
.fields:has(img[src^="data:image/webp"])>*{grid-column:2}
.fields:has(img[src^="data:image/webp"])>.fields__container--image{grid-area:1/1/span 20;position:sticky;top:0}}
"""
"""What a text paints stays within its field, however it is styled, and the longest word breaks; no bulk mode; what
`annotating.js` says of records that may hurt, and where none is left; and pictures that people describe, which are WebP
(pages of exams are JPEG), stay in sight beside the descriptions, where there is room for both."""


def mend_style(css: str) -> str:
    """A style sheet that fetches nothing from elsewhere and names fonts that are here."""
    imported = re.compile(r"@import\s+url\(\s*['\"]?(?:https?:)?//[^)]*\)[^;]*;")
    mended = imported.sub("", css).replace("Inter,Helvetica,Arial,sans-serif", f"Inter,{SYSTEM_FONTS}")
    return mended + ADDED_STYLE if mended != css else css


def mend_page(html: str) -> str:
    """A page that loads `page.js`, which starts the scripts that are held back here."""
    held = html.replace("<script src=", '<script type="held" src=')
    return held.replace("<head>", f'<head><script type="module" src="{PAGE_SCRIPT}"></script>', 1)


def page_policy(html: str, ancestors: str) -> str:
    """The Content-Security-Policy of a page: from this server alone, and no script but its own."""
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", html, flags=re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)]),
        # The framework writes style attributes and elements. They run nothing, and what they load is ruled below.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "media-src": "'self' data: blob:",
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "frame-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": ancestors,
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@dataclass(frozen=True, slots=True)
class File:
    """A file that is answered from memory, instead of Argilla's."""

    kind: str
    body: bytes
    packed: bytes
    tag: str

    @classmethod
    def of(cls, kind: str, text: str) -> File:
        body = text.encode()
        return cls(kind, body, gzip.compress(body), f'"{hashlib.sha256(body).hexdigest()[:16]}"')

    def answer(self, headers: Mapping[str, str]) -> Response:
        sent = {"content-type": self.kind, "etag": self.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=sent)
        if "gzip" in headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**sent, "content-encoding": "gzip"})
        return Response(self.body, headers=sent)


def own_files(static: Path) -> dict[str, File]:
    """Path -> what is answered there: the page's guard, and the style sheets of Argilla's page that need mending."""
    # Not imported: of the package, that file alone is used.
    dompurify = importlib.metadata.distribution("nicegui").locate_file("nicegui/static/dompurify.mjs")
    own = Path(__file__)
    scripts = {
        PAGE_SCRIPT: own.with_name("page.js"),
        DOMPURIFY: Path(str(dompurify)),
        ANNOTATING_SCRIPT: own.with_name("annotating.js"),
    }
    texts = {path: script.read_text(encoding="utf-8") for path, script in scripts.items()}
    texts[WORDS] = f"export default {own.with_name('words.json').read_text(encoding='utf-8')}"
    files = {path: File.of("text/javascript; charset=utf-8", text) for path, text in texts.items()}
    for path in sorted((static / "_nuxt").glob("*.css")):
        css = path.read_text(encoding="utf-8")
        if (mended := mend_style(css)) != css:
            files[f"/_nuxt/{path.name}"] = File.of("text/css; charset=utf-8", mended)
    return files
