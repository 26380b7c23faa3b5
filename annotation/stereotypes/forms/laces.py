"""LACES: what one person says of a country's people, rated from 1 to 5, skipped, or added by the person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from annotation.reading.cells import as_number, as_text, as_truth, is_missing, unpacked
from annotation.stereotypes.found import Form, Found, FoundAssociation, Usual
from annotation.text.locales import country_code, language_code, name_of_country


def read_row(cells: Mapping[str, object], usual: Usual) -> Iterator[Found]:
    """The association of a row with its rating; the country stands in the language of the attribute.

    An association that a person added always has the score 5.0 beside it. That is no rating: it was shared.

    Raises:
        ValueError: The score is none.
    """
    named = as_text(cells.get("data_point_nationality")).strip()
    language = language_code(as_text(cells.get("data_point_language"))) or usual.language
    target = country_code(named) or ""
    yield FoundAssociation(
        name_of_country(target, language) if target and language else named,
        as_text(cells.get("data_point_attribute")),
        language,
        target=target,
        rating=_rating(cells),
        regions=_regions(cells.get("annotator_nationalities")),
    )


def _rating(cells: Mapping[str, object]) -> dict[str, bool | int]:
    if as_truth(cells.get("new_association")):
        return {"shared": True}
    if is_missing(cells.get("stereotype_score")):
        return {"skipped": True}
    score = as_number(cells.get("stereotype_score"))
    if score not in (1, 2, 3, 4, 5):
        raise ValueError("a score that is none from 1 to 5")
    return {"known": int(score)}


def _regions(cell: object) -> tuple[str, ...]:
    """Codes of a person's nationalities, each once; "" for one that is no country's name, or for none at all."""
    listed = unpacked(cell)
    names = listed if isinstance(listed, list) and listed else [listed]
    return tuple(dict.fromkeys(country_code(name) or "" if isinstance(name, str) else "" for name in names))


FORM = Form(
    "LACES", "CC-BY-SA-4.0", {"data_point_nationality", "data_point_attribute", "stereotype_score"}.issubset, read_row
)
