"""A plain table of stereotypes: a group, what is said of it and in which language, under any usual name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from annotation.reading.cells import as_text, is_missing
from annotation.reading.names import SYNONYMS
from annotation.stereotypes.found import Form, Found, FoundAssociation, Usual
from annotation.text.locales import country_code, fold, language_code

IDENTITY = (
    *("identity", "identity group", "identity term", "group", "social group", "target group", "nationality"),
    *("identidad", "grupo", "grupo social", "colectivo", "gentilicio", "nacionalidad"),
    *("identidade", "coletivo", "gentilico", "nacionalidade"),
)
ATTRIBUTE = (
    *("attribute", "stereotype", "association", "trait"),
    *("atributo", "estereotipo", "asociacion", "rasgo", "lo que se dice"),
    *("associacao", "traco", "o que se diz"),
)
FIELDS: Mapping[str, tuple[str, ...]] = {
    "identity": IDENTITY,
    "attribute": ATTRIBUTE,
    "source": ("source", "fuente", "fonte", "origen", "origem"),
    **{name: SYNONYMS[name] for name in ("language", "country", "licence")},
}
"""What a row may say -> names of its column, folded; the first that holds something is taken."""


def _is_plain(columns: Collection[str]) -> bool:
    """Whether a table has a column for the group and another for what is said of it."""
    folded = {fold(column) for column in columns}
    return not folded.isdisjoint(IDENTITY) and not folded.isdisjoint(ATTRIBUTE)


def read_row(cells: Mapping[str, object], usual: Usual) -> Iterator[Found]:
    """The association of a row; where it names a country, or all rows do, people from there share it.

    Raises:
        ValueError: It names a language or a country that is none.
    """
    row = {name: _first(cells, columns) for name, columns in _columns(tuple(cells)).items()}
    if (language := language_code(row["language"]) if row["language"] else usual.language) is None:
        raise ValueError("a language of an unknown name")
    if (region := country_code(row["country"]) if row["country"] else usual.region) is None:
        raise ValueError("a country of an unknown name")
    yield FoundAssociation(
        row["identity"],
        row["attribute"],
        language,
        rating={"shared": True} if region else None,
        regions=(region,) if region else (),
        licence=row["licence"],
        source=row["source"],
    )


def _first(cells: Mapping[str, object], columns: Sequence[str]) -> str:
    return next((as_text(cells[column]) for column in columns if not is_missing(cells[column])), "")


@lru_cache(maxsize=16)
def _columns(names: tuple[str, ...]) -> dict[str, list[str]]:
    """Field -> its columns among some."""
    folded = {fold(name): name for name in reversed(names)}
    return {field: [folded[name] for name in known if name in folded] for field, known in FIELDS.items()}


FORM = Form("plain table", "", _is_plain, read_row)
