"""Columns of a table of pictures: which one names the picture, its country, its licence, who made it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annotation.errors import SettingsError, SourceError
from annotation.text.locales import fold

NAMES: Mapping[str, tuple[str, ...]] = {
    "picture": (
        *("image", "picture", "photo", "file name", "filename", "file", "path", "image path", "image file", "img"),
        *("imagen", "foto", "fotografia", "archivo", "fichero", "ruta", "imagem", "arquivo", "caminho"),
        *("image url", "url", "jpg", "png", "bytes"),
    ),
    "country": ("country", "countries", "pais", "paises", "country code", "region", "locale"),
    "language": ("language", "lang", "idioma", "lengua", "lingua", "language code"),
    "topic": (
        *("topic", "category", "theme", "tema", "categoria", "topico", "coarse grained categories"),
        *("fine grained categories", "concept", "label"),
    ),
    "licence": ("licence", "license", "licencia", "licenca", "image license", "image licence", "rights"),
    "creator": (
        *("creator", "author", "photographer", "artist", "credit", "attribution", "autor", "autora", "autoria"),
        *("fotografo", "fotografa", "credito", "creditos", "creador", "creadora", "criador", "criadora"),
    ),
    "title": ("title", "name", "titulo", "nombre", "nome", "dish"),
    "source": ("source", "source url", "page", "fuente", "fonte", "origin", "origen", "origem"),
}
"""Field -> names of its column, folded; the first that is there is taken."""

_NUMBERED = re.compile(r"(image|img|picture|photo|imagen|imagem|foto) ?(\d+) ?(.*)")
_RESTS: Mapping[str, tuple[str, ...]] = {
    "picture": ("", "name url", "url", "path", "file", "file name", "name"),
    "licence": NAMES["licence"],
    "creator": NAMES["creator"],
}


@dataclass(frozen=True, slots=True)
class PictureColumns:
    """The columns of one picture in every row.

    Attributes:
        label: "" where a row has one picture; else what the columns of this one begin with ("Image2").
        of: Field -> column; fields without one are missing.
    """

    label: str
    of: Mapping[str, str]


def picture_columns(
    name: str, columns: Sequence[str], named: Mapping[str, str], images: Sequence[str] = ()
) -> list[PictureColumns]:
    """Which columns mean what, for every picture that a row has.

    Args:
        name: Of the table, for sentences.
        columns: Those that it has.
        named: Field -> column, where a person named it.
        images: Columns that hold the pictures themselves.

    Raises:
        SettingsError: `named` has a field that does not exist.
        SourceError: It has a column that does not exist, or no column names a picture.
    """
    if strange := sorted(set(named) - set(NAMES)):
        raise SettingsError(f"--column {strange[0]}=... means nothing; the fields are {', '.join(NAMES)}.")
    folded = {fold(column): column for column in reversed(columns)}
    listed = ", ".join(f'"{column}"' for column in columns[:30])
    of = dict[str, str]()
    for field, column in named.items():
        if (found := column if column in columns else folded.get(fold(column), "")) == "":
            raise SourceError(f'{name} has no column "{column}"; its columns are {listed}.')
        of[field] = found
    if images:
        of.setdefault("picture", images[0])
    for field, names in NAMES.items():
        free = [folded[one] for one in names if one in folded and folded[one] not in of.values()]
        if free:
            of.setdefault(field, free[0])
    numbered = {} if "picture" in of else dict(_numbered(columns))
    if not numbered and "picture" not in of:
        raise SourceError(
            f"{name} has no column that annot knows as the picture; its columns are {listed}; say which one it is with "
            "--column picture=NAME."
        )
    return [PictureColumns(label, {**of, **own}) for label, own in numbered.items()] or [PictureColumns("", of)]


def _numbered(columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Pictures that stand beside each other in a row: "Image1 License", "Image1 name / URL", "Image2 License" ..."""
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        if match := _NUMBERED.fullmatch(fold(column)):
            own = found.setdefault(match[1].capitalize() + match[2], {})
            own |= {field: column for field, rests in _RESTS.items() if match[3] in rests and field not in own}
    yield from ((label, own) for label, own in found.items() if "picture" in own)
