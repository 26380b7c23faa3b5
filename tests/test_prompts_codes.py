"""What people call countries and languages."""

import pycountry
import pytest

from annotation.text.locales import country_code, language_code, locale_country


@pytest.mark.parametrize(
    ("code", "names"),
    {
        "MX": [
            "MX",
            "mx",
            "MEX",
            "México",
            "mexico",
            " MÉXICO ",
            "Me\u0301xico",
            "es-MX",
            "es_MX",
            "Estados Unidos Mexicanos",
        ],
        "BR": ["Brasil", "Brazil", "BRA", "pt-BR"],
        "ES": ["España", "Spain", "Espanha", "es"],
        "PE": ["Perú", "Peru"],
        "BO": ["Bolivia", "Bolívia", "Bolivia, Plurinational State of"],
        "VE": ["Venezuela", "República Bolivariana de Venezuela"],
        "DO": ["República Dominicana", "Rep. Dominicana", "Dominican Republic"],
        "US": ["USA", "EE.UU.", "EE. UU.", "EUA", "Estados Unidos", "United States"],
        "GQ": ["Guinea Ecuatorial", "Guiné Equatorial"],
        "MZ": ["Moçambique", "Mozambique"],
        "NA": ["NA", "Namibia"],
        "GB": ["UK", "Reino Unido"],
    }.items(),
)
def test_a_country_is_known_by_its_names(code: str, names: list[str]) -> None:
    assert {name: country_code(name) for name in names} == dict.fromkeys(names, code)


def test_every_country_is_known_by_its_codes_and_its_english_name() -> None:
    countries = list(pycountry.countries)
    assert len(countries) > 240
    for country in countries:
        assert {country_code(country.alpha_2), country_code(country.alpha_3), country_code(country.name)} == {
            country.alpha_2
        }


@pytest.mark.parametrize(
    "name", ["", "?", "xx", "Atlantis", "México y Perú", "MX;ES", "MX ES", "Latinoamérica", "=1+1"]
)
def test_what_is_no_country_is_none(name: str) -> None:
    assert country_code(name) is None


@pytest.mark.parametrize(
    ("code", "names"),
    {
        "es": [
            "es",
            "ES",
            "es-MX",
            "es_419",
            "spa",
            "spa_Latn",
            "español",
            "Spanish",
            "castellano",
            "Español (México)",
        ],
        "pt": ["pt-BR", "por", "português", "Portuguese", "portugués", "português do Brasil", "Portuguese (Brazil)"],
        "en": ["English", "inglés", "inglês"],
        "qu": ["quechua"],
        "gl": ["gallego", "Galego", "Galician"],
        "nah": ["Náhuatl"],
    }.items(),
)
def test_a_language_is_known_by_its_names(code: str, names: list[str]) -> None:
    assert {name: language_code(name) for name in names} == dict.fromkeys(names, code)


@pytest.mark.parametrize("name", ["", "xx", "klingonés", "Spanish and Portuguese", "¿?"])
def test_what_is_no_language_is_none(name: str) -> None:
    assert language_code(name) is None


def test_a_language_is_no_country_but_its_locale_names_one() -> None:
    assert [
        locale_country(name) for name in ("es", "pt", "es-MX", "pt_BR", "spa_Latn_PE", "español", "es-419", "")
    ] == [
        *(None, None),
        *("MX", "BR", "PE"),
        *(None, None, None),
    ]
