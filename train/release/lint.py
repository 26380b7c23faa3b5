"""Lint of released folders, without a network: what the Hub needs, and what must not be there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.licences import refused
from annotation.text.locales import language_code
from annotation.text.privacy import EMAIL, KINDS, PHONE, mask
from train.release.figures import FIGURES, NUMBER, Figure, read_figures, why_not
from train.release.folder import read_release
from train.release.hub.contents import CARD, YOURS

NEEDED = {
    "model": ("license", "language", "library_name", "pipeline_tag"),
    "dataset": ("license", "language", "configs", "size_categories"),
    "space": ("license", "title", "sdk", "sdk_version", "python_version", "app_file"),
}
"""Kind of repository -> keys that its front matter must have."""

REMEDY = {
    "license": 'say it in annot.toml: [release] model_licence and data_licence, for example "cc-by-4.0"',
    "language": "say them in annot.toml: [project] languages",
}

LICENCES = """
apache-2.0 mit bsd-3-clause mpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 unlicense gfdl cdla-permissive-2.0 cc0-1.0 odc-by
odbl pddl openrail bigscience-openrail-m
cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-nc-nd-4.0 llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma other
"""
"""Names of licences that the Hub knows and that models and data carry."""

TEMPLATE = re.compile(r"\[more information needed\]|\{\{.*?\}\}|(?-i:\bTODO\b)|\blorem ipsum\b", re.I)
TEXTS, MOST_READ = (".json", ".md", ".txt", ".jinja"), 20_000_000
"""Files that are looked into, and bytes of the largest; others are weights and tables."""

OWN = (CARD, "figures.json", "release.json", "demo.json", "adapter_config.json")
"""Files with words of annot and of the project: others, such as vocabularies, may hold anything."""

HOME, TOKEN = re.compile(rb"(?:/home|/Users)/[\w.-]+/"), re.compile(rb"\bhf_[A-Za-z0-9]{20,}")

PICTURES = "data/pictures.parquet"
"""Of a dataset: pictures that are given away."""

METHOD = re.compile(r"95 %|1,024 pixels")
"""Numbers of the method, in the words of a card."""


def lint(folder: Path, run: Path) -> list[str]:
    """What has to be put right before a released folder may leave this machine; nothing where all is well.

    Args:
        folder: A model, dataset or Space that `annot release` made.
        run: The run's folder.

    Raises:
        TrainError: Its release.json or figures.json is gone or damaged.
    """
    from huggingface_hub.repocard import metadata_load

    release = read_release(folder)
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
    front = metadata_load(folder / CARD) or {} if card else {}
    found = [*_front(front, release["kind"]), *_leaks(folder, release["files"], run)]
    found += [f"{CARD} line {line}: {words} is left from a template" for line, words in _matches(TEMPLATE, card)]
    found += [f"{CARD} line {line} holds personal data ({what})" for line, what in _personal(card)]
    found += _pictures(folder)
    if (folder / FIGURES).exists():
        found += _numbers(folder, run, front, _written(card))
    return [f"{folder.name}: {sentence}" for sentence in found]


def lint_page(
    path: Path,
    home: Path,
    body: Iterable[tuple[int, str]],
    figures: Sequence[Figure],
    *,
    allowed: re.Pattern[str] = METHOD,
    written: Callable[[str], str] = str,
) -> list[str]:
    """What does not fit in a page about a project's runs: a token, a path of this machine, numbers that no run says.

    Args:
        path: Of the page.
        home: The project's folder: the files of figures are named from there.
        body: The numbered lines that annot wrote in it.
        figures: Of the page.
        allowed: Numbers of the method, and names.
        written: How the page writes what a figure shows.
    """
    name, content = path.name, path.read_bytes()
    found = [f"{name} holds a token"] if TOKEN.search(content) else []
    if any(str(folder).encode() in content for folder in {Path.home(), home.resolve()} - {Path("/")}):
        found.append(f"{name} holds a path of this machine")
    found += [f"{name} says {one.shown[:80]!r}, and {why}" for one in figures if (why := why_not(one, home))]
    unread = unread_numbers(body, figures, allowed=allowed, written=written)
    return found + [
        f"{name} line {number} says {strange}, which stands in no run's folder" for number, strange in unread
    ]


def _leaks(folder: Path, files: Iterable[str], run: Path) -> Iterator[str]:
    """Paths of this machine, tokens, and personal data in the texts that are given away beside the card."""
    homes = {str(path).encode() for path in (Path.home(), run.resolve().parent.parent)} - {b"/"}
    for name in (CARD, *files):
        path = folder / name
        content = path.read_bytes() if path.suffix in TEXTS and path.stat().st_size <= MOST_READ else b""
        if any(home in content for home in homes) or (name in OWN and HOME.search(content)):
            yield f"{name} holds a path of this machine"
        if TOKEN.search(content):
            yield f"{name} holds a token"
        if name == "demo.json" or name.startswith("guidelines/"):
            for line, what in _personal(content.decode()):
                yield f"{name} line {line} holds personal data ({what})"


def _pictures(folder: Path) -> Iterator[str]:
    """Pictures that may not go: without a licence or a maker, or others than annot wrote, in which anything may be."""
    for path in sorted(folder.glob("pictures/*.jpg")):
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
            yield f"pictures/{path.name} was changed after annot wrote it, and may tell where it was taken"
    if not (folder / PICTURES).exists():
        return
    import pyarrow.parquet as pq

    for part in pq.ParquetFile(folder / PICTURES).iter_batches(100, columns=["id", "image", "licence", "creator"]):
        for row in part.to_pylist():
            if hashlib.sha256(row["image"]["bytes"]).hexdigest() != row["id"]:
                yield f"{PICTURES}: {row['id']} was changed after annot wrote it, and may tell where it was taken"
            if refused(row["licence"]) or not row["creator"]:
                yield f"{PICTURES}: {row['id']} has no licence that lets it go, or nobody who made it"


def _written(card: str) -> list[tuple[int, str]]:
    """The numbered lines that annot wrote below the front matter."""
    lines = card.split("\n")
    end = lines.index("---", 1) if lines[0] == "---" and "---" in lines[1:] else -1
    last = lines.index(YOURS) if YOURS in lines else len(lines)
    return list(enumerate(lines, 1))[end + 1 : last]


def _front(front: Mapping[str, Any], kind: str) -> Iterator[str]:
    for key in NEEDED[kind]:
        if not front.get(key):
            remedy = REMEDY.get(key, "remove the folder and run `annot release` again")
            yield f"{CARD} has no `{key}` in its head; {remedy}"
    for licence in _listed(front.get("license")):
        if licence not in LICENCES.split():
            yield f'{CARD}: the Hub knows no licence "{licence}"; take one such as cc-by-4.0, or "other"'
    for language in _listed(front.get("language")):
        if language_code(language) != language:
            yield f'{CARD}: "{language}" is no ISO 639-1 code of a language'


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one]


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        for found in pattern.finditer(line):
            yield number, found[0]


def _personal(card: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(card.split("\n"), 1):
        if found := mask(line)[1].keys() & {EMAIL, PHONE}:
            yield number, " and ".join(KINDS[kind] for kind in sorted(found))


def _numbers(folder: Path, run: Path, front: Mapping[str, Any], body: list[tuple[int, str]]) -> Iterator[str]:
    """Numbers of a card that do not stand in the run's folder."""
    figures = read_figures(folder / FIGURES)
    for figure in figures:
        if reason := why_not(figure, run):
            yield f"{CARD} says {figure.shown[:80]!r}, and {reason}"
    shown = {figure.shown for figure in figures}
    for key, value in _leaves(front):
        if str(value) not in shown:
            yield f"{CARD}: {key} is {value} in its head, which stands nowhere in the run's folder"
    for number, strange in unread_numbers(body, figures):
        yield f"{CARD} line {number} says {strange}, which stands nowhere in the run's folder"


def unread_numbers(
    body: Iterable[tuple[int, str]],
    figures: Sequence[Figure],
    *,
    allowed: re.Pattern[str] = METHOD,
    written: Callable[[str], str] = str,
) -> Iterator[tuple[int, str]]:
    """Numbers of a page that are in none of its figures, with their lines.

    Args:
        body: The numbered lines that annot wrote.
        figures: Of the page.
        allowed: Numbers of the method, and names.
        written: How the page writes what a figure shows.
    """
    lines: dict[str, list[str]] = {}
    for figure in figures:
        lines.setdefault(figure.line, []).append(figure.shown)
    code = False
    for number, line in body:
        code ^= line.startswith("```")
        if code:
            continue
        left = line
        for words in sorted(lines.get(line, ()), key=len, reverse=True):
            left = left.replace(written(words), "", 1)
        if strange := NUMBER.search(allowed.sub("", left)):
            yield number, strange[0]


def _leaves(front: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of the front matter and where they stand."""
    if isinstance(front, Mapping | list):
        for name, value in front.items() if isinstance(front, Mapping) else enumerate(front):
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(front, int | float) and not isinstance(front, bool):
        yield key, front
