"""Sets of stereotypes in any form as associations: recognised by their columns, cleaned, masked, with their ratings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from annotation.errors import SourceError
from annotation.reading.columns import accounts_in
from annotation.reading.rows import Row, Table
from annotation.reading.table import read_table
from annotation.screen import Progress, silent
from annotation.stereotypes.file_ratings import FileRating
from annotation.stereotypes.forms import FILLED_IN, FORMS
from annotation.stereotypes.found import Form, FoundAssociation, Usual
from annotation.stereotypes.identities import target_of
from annotation.text.clean import clean_label, is_formula
from annotation.text.hidden import show_hidden
from annotation.text.locales import country_code, language_code, locale_country
from annotation.text.privacy import KINDS, mask
from annotation.types import Association, Dropped

MOST_CHARACTERS = 300
"""Of a group, of what is said of it, and of a sentence: longer cells hold something else."""

_MASKS = re.compile("|".join(map(re.escape, KINDS)))
_PLACE = re.compile(r"(?:[\w.-]{1,40}:)?\d+")
_LOCALE = re.compile(r"(?<![A-Za-z])[a-z]{2,3}[_-][A-Z]{2}(?![A-Za-z])")
_SAID = re.compile(r"\(([a-z]{2,3})\) in ([^.]+)")
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class StereotypeSource:
    """All that a source holds.

    Attributes:
        name: File name without its folder, or the dataset's name.
        form: Name of the form that it was recognised by.
        rows: Rows in it.
        associations: Each once, as its first row has it, by id, in the order of the source.
        places: Id -> that row, "file:row".
        ratings: What the source says of them.
        dropped: Rows, and parts of rows, that are none; id is "file:row".
        notices: What a person should know about how it was read.
    """

    name: str
    form: str
    rows: int
    associations: Mapping[str, Association]
    places: Mapping[str, str]
    ratings: tuple[FileRating, ...]
    dropped: tuple[Dropped, ...]
    notices: tuple[str, ...]


def read_stereotypes(source: str, usual: Usual, author: str = "", progress: Progress = silent) -> StereotypeSource:
    """Read a set of stereotypes. What rows, or the name of the file, say goes before what is said here.

    Args:
        source: A file in any format, or owner/name of a Hub dataset.
        usual: Language, region and licence of rows that name none.
        author: User name of whoever on the team collected them, or "".
        progress: Gets the rows read.

    Raises:
        SourceError: It cannot be read, or is in no known form.
    """
    table = read_table(source, progress=progress)
    form = _form_of(table)
    name = source_name(table.name)
    language, region = locale_of(table.name)
    usual = Usual(language or usual.language, region or usual.region, usual.licence or form.licence)
    associations, places = dict[str, Association](), dict[str, str]()
    ratings, dropped = list[FileRating](), list[Dropped]()
    for number, row in enumerate(table.rows):
        if number % _AT_ONCE == 0:
            progress(number, len(table.rows), name)
        # The key of a JSON object may be a text: it is not shown.
        place = row.place if _PLACE.fullmatch(row.place) else f"row {number + 1}"
        where = f"{name}:{place}"
        try:
            for part in form.read(row.values, usual):
                if isinstance(part, Dropped):
                    dropped.append(replace(part, id=f"{where} {part.id}"))
                    continue
                found = _association(part, row, where, usual, author)
                associations.setdefault(found.id, found)
                places.setdefault(found.id, where)
                if part.rating is not None:
                    ratings.append(FileRating(found.id, name, place, part.regions, part.rating))
        except ValueError as error:
            dropped.append(Dropped(where, str(error)))
    return StereotypeSource(
        name, form.name, len(table.rows), associations, places, tuple(ratings), tuple(dropped), tuple(table.notices)
    )


@lru_cache(maxsize=64)
def source_name(name: str) -> str:
    """The name of a source as it is kept: cleaned, and without personal data."""
    return mask(clean_label(name))[0]


def locale_of(name: str) -> tuple[str, str]:
    """Language and region that a file's name tells: "Spanish (es) in Mexico.csv" and "…_es_MX.csv" are es, MX."""
    if said := _SAID.search(name):
        return language_code(said[1]) or "", country_code(said[2]) or ""
    found = _LOCALE.findall(name)
    locale = found[-1].replace("_", "-") if found else ""
    return language_code(locale) or "", locale_country(locale) or ""


def read_from(source: str) -> str:
    """The name of the file or dataset of an association's source; what has none (somebody shared it) as it is."""
    return re.sub(rf":(?:{_PLACE.pattern}|row \d+)(?: \(.*\))?$", "", source)


def _form_of(table: Table) -> Form:
    if form := next((form for form in FORMS if form.fits(table.columns)), None):
        return form
    if FILLED_IN.issubset(table.columns):
        raise SourceError(
            f"{table.name} is HESEIA with its blanks filled in, where nobody can tell which word is the group; name "
            "its raw_dataset.csv, which has the columns phrase and word_list."
        )
    raise SourceError(
        f"{table.name} has no columns for a group and what is said of it; name them identity and attribute in its "
        "first line, and add one called language."
    )


def _association(found: FoundAssociation, row: Row, where: str, usual: Usual, author: str) -> Association:
    """An association, cleaned and masked; ValueError says why it is none."""
    if not found.language:
        raise ValueError("nobody says in which language")
    accounts = accounts_in(row.values)
    region = next(filter(None, found.regions), None)
    identity, attribute, frame = (
        _text(text, region, accounts) for text in (found.identity, found.attribute, found.frame)
    )
    if not identity:
        raise ValueError("no group is named")
    if not attribute and not frame:
        raise ValueError("nothing is said of the group")
    if (frame and frame.count("*") != 1) or (frame and "*" in identity):
        raise ValueError("a sentence without a blank, or with several")
    said = _text(found.source, None, accounts)
    return Association.make(
        identity,
        attribute,
        found.language,
        frame=frame,
        target=found.target or target_of(identity, found.language),
        source=f"{where} ({said})" if said else where,
        licence=_text(found.licence, None, accounts) or usual.licence,
        author=author,
    )


def _text(text: str, region: str | None, accounts: tuple[str, ...]) -> str:
    """A cell as one line; "" for a blank one. ValueError says why it is no text that people can be shown."""
    if not text.strip():
        return ""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a text of more than {MOST_CHARACTERS} characters")
    if is_formula(text):
        raise ValueError("a formula of a spreadsheet")
    shown = mask(show_hidden(clean_label(text)), region, accounts)[0]
    if not re.search(r"[^\W\d_]", _MASKS.sub("", shown)):
        raise ValueError("a text without a word")
    return shown
