"""Sections of annot.toml: frozen, without room for misspelt keys; and the codes that many of them hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from annotation.text.locales import LANGUAGE_NAMES, country_code, language_code


def known_country(code: str) -> str:
    """Check an ISO 3166-1 alpha-2 code, any case; ValueError when there is no such country."""
    import pycountry

    if pycountry.countries.get(alpha_2=code.upper()) is None or len(code) != 2:
        raise ValueError(f'"{code}" is no ISO 3166 country code; write for example "MX"')
    return code.upper()


def known_language(code: str) -> str:
    """Check a code of ISO 639, any case, and shorten it where there is a shorter one; ValueError when there is none."""
    import pycountry

    code = code.lower()
    if code in LANGUAGE_NAMES:
        return code
    if len(code) not in (2, 3) or not (found := pycountry.languages.get(**{f"alpha_{len(code)}": code})):
        raise ValueError(f'"{code}" is no language code of ISO 639; write for example "es"')
    return str(getattr(found, "alpha_2", code))


def named_country(name: str) -> str:
    """The code of a country by its code or name; ValueError when there is none."""
    return known_country(country_code(name) or name)


def named_language(name: str) -> str:
    """The code of a language by its code or name; ValueError when there is none."""
    return known_language(language_code(name) or name)


Country = Annotated[str, AfterValidator(known_country)]
Language = Annotated[str, AfterValidator(known_language)]


class Section(BaseModel):
    """A table of annot.toml: frozen, and without room for misspelt keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
