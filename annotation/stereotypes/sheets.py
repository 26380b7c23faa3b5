"""`annot stereotypes share`: empty sheets on which the people of a country share what is said of a group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from annotation.errors import SettingsError
from annotation.project import Project
from annotation.screen import counted
from annotation.sections import named_country
from annotation.tasks.share.sheet import ANY, NAME, sheet_of
from annotation.tasks.team_pages import country_language


@dataclass(frozen=True, slots=True)
class Sheets:
    """What became of an order of sheets.

    Attributes:
        made: Sheets that are new.
        there: Sheets that were there already.
        countries: Countries that are asked.
        dry_run: Nothing was changed.
    """

    made: int
    there: int
    countries: tuple[str, ...]
    dry_run: bool

    def sentence(self) -> str:
        """For a person."""
        again = f"; {self.there} there already (--more asks again)" if self.there else ""
        return (
            f"{counted(self.made, 'sheet')} {'would be made' if self.dry_run else 'made'} for people of "
            f"{', '.join(self.countries)}{again}."
        )


def add_sheets(
    project: Project,
    about: Sequence[str] = (),
    countries: Sequence[str] = (),
    *,
    more: bool = False,
    dry_run: bool = False,
) -> Sheets:
    """Make a sheet for each country that is asked and each that is asked about. Doing it again makes none.

    Args:
        project: Where they go.
        about: Countries, by code or name, or ANY for a group that people name; empty: those of the project, and ANY.
        countries: Whose people are asked; empty: those of the project.
        more: Another sheet of each, on which people can share again.
        dry_run: Change nothing.

    Raises:
        SettingsError: A country is none, or nobody is asked.
    """
    own = project.settings.project.countries
    asked = list(dict.fromkeys(map(_country, countries))) or list(own)
    targets = list(dict.fromkeys("" if one == ANY else _country(one) for one in about)) or [*own, ""]
    if not asked:
        raise SettingsError("annot.toml names no country; write project.countries, or say --for with one.")
    with nullcontext() if dry_run else project.lock("stereotypes"):
        ledger = project.ledger
        there: dict[tuple[str, str], int] = defaultdict(int)
        sheets, people = ledger.items(NAME), ledger.people()
        for sheet in sheets:
            place = (sheet.country, sheet.content["target"])
            there[place] = max(there[place], sheet.content["time"])
        wanted = [(country, target) for country in asked for target in targets]
        fresh = [place for place in wanted if more or not there[place]]
        start = max((sheet.position for sheet in sheets), default=-1) + 1
        if not dry_run:
            ledger.add_items(
                sheet_of(country, country_language(people, country), target, there[country, target] + 1, start + number)
                for number, (country, target) in enumerate(fresh)
            )
    return Sheets(len(fresh), len(wanted) - len(fresh), tuple(asked), dry_run)


def _country(name: str) -> str:
    try:
        return named_country(name)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
