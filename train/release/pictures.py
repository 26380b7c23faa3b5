"""Pictures of a release: which may be given away and under what, as a table that shows them, each with who made it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.files import whole_file
from annotation.images.store import has_picture, read_picture, read_pictures
from annotation.licences import refused
from annotation.project import Project
from annotation.text.privacy import mask_typed
from annotation.types import Person, Picture, Prompt
from train.release.lint import LICENCES

TABLE = "pictures.parquet"

AT_ONCE = 100
"""Pictures in one part of the file: some 15 MB."""

GONE = "its file is missing or damaged in the project"

_OWN_MACHINE = re.compile(r"^(?:[A-Za-z]:|~)?[/\\].*[/\\]")
"""A folder of somebody's machine in front of a file's name."""


def given_pictures(project: Project, prompts: Iterable[Prompt]) -> tuple[list[tuple[Picture, Prompt]], dict[str, int]]:
    """Pictures of prompts that may be given away, with the first prompt that is about each, and what is left out.

    A picture goes with the release where its licence lets others use and change it, for money too (public domain, CC0,
    CC BY, CC BY-SA): whoever takes the data takes it under one word. NC, ND, closed and unknown licences stay at home.

    Returns:
        In the order of their ids; and reason -> how many are left out.
    """
    about: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.image:
            about.setdefault(prompt.image, prompt)
    kept, left = [], Counter[str]()
    for name, picture in sorted(read_pictures(project.ledger, about).items()):
        reason = refused(picture.licence)
        if not reason and not has_picture(project.folder, name):
            reason = GONE
        if reason:
            left[reason] += 1
        else:
            kept.append((picture, about[name]))
    return kept, dict(sorted(left.items()))


def write_pictures(project: Project, pictures: Sequence[tuple[Picture, Prompt]], path: Path) -> None:
    """Write a table with the pictures in it, as the library `datasets` and the Hub's viewer show them."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Image, Value

    people = project.ledger.named_people()
    texts = ("id", "country", "language", "topic", "licence", "creator", "source", "people")
    numbers = {name: Value("int32") for name in ("width", "height")}
    schema = Features({"image": Image(), **dict.fromkeys(texts, Value("string")), **numbers}).arrow_schema
    with whole_file(path) as beside, pq.ParquetWriter(beside, schema) as writer:
        for first in range(0, len(pictures), AT_ONCE):
            rows = []
            for picture, prompt in pictures[first : first + AT_ONCE]:
                about = {name: getattr(prompt, name) for name in ("country", "language", "topic")}
                of = {name: getattr(picture, name) for name in ("id", "licence", "people", "width", "height")}
                image = {"bytes": read_picture(project.folder, picture.id), "path": f"{picture.id}.jpg"}
                # Who made it is said as the licence asks, also where that is somebody of the team.
                said = {"creator": picture.creator, "source": source_of(picture, people)}
                rows.append({"image": image, **about, **of, **said})
            writer.write_table(pa.Table.from_pylist(rows, schema))


def source_of(picture: Picture, people: tuple[Person, ...]) -> str:
    """Where a picture is from, without folders of a machine and without names of the team."""
    return mask_typed(_OWN_MACHINE.sub("", picture.source), None, people)


def picture_facts(pictures: Sequence[tuple[Picture, Prompt]], left: Mapping[str, int]) -> dict[str, Any]:
    """What the datasheet says of the pictures, counts alone."""
    makers: dict[str, set[str]] = defaultdict(set)
    for picture, _ in pictures:
        makers[picture.licence].add(picture.creator)
    counts = Counter(picture.licence for picture, _ in pictures)
    return {
        "given": len(pictures),
        "licences": [
            {"licence": name, "pictures": counts[name], "creators": len(makers[name]), "hub": hub_licence(name)}
            for name in sorted(counts)
        ],
        "people": {said: sum(picture.people == said for picture, _ in pictures) for said in ("none", "agreed")},
        "left_out": dict(left),
    }


def hub_licence(licence: str) -> str:
    """A licence by the Hub's name: "CC BY-SA 4.0" is "cc-by-sa-4.0"; "other" where the Hub has none."""
    written = "-".join(re.findall(r"[a-z0-9.]+", licence.casefold()))
    known = {"cc0": "cc0-1.0", "public-domain": "pddl", "cc-zero": "cc0-1.0"}
    named = known.get(written, written)
    return named if named in LICENCES.split() else "other"
