"""Countries and languages: names become ISO codes, codes become names."""

from __future__ import annotations

import functools
import gettext
import re
import unicodedata

LOCALES = ("es", "pt", "pt_BR", "fr")
"""Languages whose names for countries and languages are known beside English (pycountry ships the translations)."""

COUNTRY_ALIASES = {
    "usa": "US",
    "eua": "US",
    "eeuu": "US",
    "ee uu": "US",
    "e e u u": "US",
    "estados unidos de america": "US",
    "uk": "GB",
    "england": "GB",
    "inglaterra": "GB",
    "rep dominicana": "DO",
    "rd": "DO",
    "mejico": "MX",
    "russia": "RU",
    "rusia": "RU",
    "turkey": "TR",
    "turquia": "TR",
    "corea": "KR",
    "korea": "KR",
    "holanda": "NL",
    "cape verde": "CV",
    "guinea bissau": "GW",
    "east timor": "TL",
    "republica checa": "CZ",
    "republica tcheca": "CZ",
}
"""Names in use that ISO 3166 and its translations lack."""

_COUNTRY = {"es": "País", "pt": "País"}
"""Language -> what a country is called before its name in a system text; "Country" in every other language."""

LANGUAGE_ALIASES = {
    "castellano": "es",
    "castelhano": "es",
    "castilian": "es",
    "greek": "el",
    "griego": "el",
    "grego": "el",
    "odia": "or",
    "brasileiro": "pt",
    "euskera": "eu",
    "euskara": "eu",
    "gallego": "gl",
    "galego": "gl",
    "valenciano": "ca",
    "nahuatl": "nah",
    "nah": "nah",
}
"""Names in use that ISO 639 and its translations lack."""

SPOKEN_IN = {
    "es": "AD AR BO CL CO CR CU DO EC ES GQ GT HN MX NI PA PE PR PY SV US UY VE EH",
    "pt": "AO BR CV GQ GW MO MZ PT ST TL UY",
    "en": "AG AI AS AU BB BI BM BS BW BZ CA CM DM ER FJ FK FM GB GD GG GH GI GM GU GY HK IE IM IN JE JM KE KI KN KY LC "
    "LR LS MH MP MS MT MU MW NA NF NG NR NU NZ PG PH PK PR PW RW SB SC SD SG SH SL SS SX SZ TC TO TT TV TZ UG US VC VG "
    "VI VU WS ZA ZM ZW",
    "fr": "BE BF BI BJ BL CA CD CF CG CH CI CM DJ DZ FR GA GF GN GP GQ HT KM LB LU MA MC MF MG ML MQ MR MU NC NE PF PM "
    "RE RW SC SN TD TG TN VU WF YT",
    "it": "CH HR IT SI SM VA",
    "de": "AT BE CH DE IT LI LU NA",
    "nl": "AW BE BQ CW NL SR SX",
    "ca": "AD ES FR IT",
    "gl": "ES",
    "eu": "ES FR",
    "oc": "ES FR IT",
    "ht": "DO HT",
    "qu": "AR BO CL CO EC PE",
    "ay": "AR BO CL PE",
    "gn": "AR BO BR PY",
}
"""Languages that are mistaken for one another, and where each is official, co-official or native."""


def fits(language: str, country: str) -> bool:
    """Whether a language is spoken in a country of old, or is one that nothing is known of here: small ones always."""
    return language not in SPOKEN_IN or country in SPOKEN_IN[language].split()


LANGUAGE_NAMES = {"gl": {"es": "gallego"}, "nah": {"en": "Nahuatl", "es": "náhuatl", "pt": "náuatle"}}
"""Names of languages that ISO 639-3 or its translations lack."""


def fold(name: str) -> str:
    """Write a name without case, accents and punctuation: "Rep. Dominicana" becomes "rep dominicana"."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", bare.casefold()))


@functools.lru_cache(maxsize=4096)
def country_code(name: str) -> str | None:
    """Find the ISO 3166-1 alpha-2 code of a country.

    Args:
        name: A code of two or three letters, a name in English, Spanish, Portuguese or French, or a locale ("es-MX").

    Returns:
        The code in upper case, or None where no country is called so.
    """
    folded = fold(name)
    known = _countries()
    if folded in known:
        return known[folded]
    return locale_country(name)


def locale_country(locale: str) -> str | None:
    """The country that a locale names: MX for "es-MX", None for "es" (which is a language and no Spain)."""
    region = re.fullmatch(r"[A-Za-z]{2,3}[-_](?:[A-Za-z]{4}[-_])?([A-Za-z]{2})", locale.strip())
    return _countries().get(region[1].lower()) if region else None


@functools.lru_cache(maxsize=4096)
def language_code(name: str) -> str | None:
    """Find the ISO 639-1 code of a language.

    Args:
        name: A code, a locale ("es-MX", "spa_Latn"), or a name in English, Spanish, Portuguese or French, with or
            without a variety ("português do Brasil").

    Returns:
        The code in lower case; its ISO 639-3 code where it has no short one (Nahuatl: "nah"); None where no language is
        called so.
    """
    folded = fold(name)
    known = _languages()
    if folded in known:
        return known[folded]
    words = folded.split()
    if words and len(words[0]) <= 3:  # A locale names its language first, whatever its other parts would mean.
        return known.get(words[0])
    named = {known[word] for word in words if len(word) > 3 and word in known and len(known[word]) == 2}
    return named.pop() if len(named) == 1 else None


@functools.cache
def name_of_country(code: str, language: str) -> str:
    """Name of a country in Spanish or Portuguese where pycountry has it, else in English."""
    import pycountry

    country = pycountry.countries.get(alpha_2=code)
    if country is None:
        return code
    english = str(getattr(country, "common_name", country.name))
    names = gettext.translation(
        "iso3166-1", pycountry.LOCALES_DIR, languages=[language.replace("-", "_"), language[:2]], fallback=True
    )
    name = names.gettext(english) if language != "en" else english
    head, comma, tail = name.partition(", ")
    return f"{tail} {head}" if comma else name  # "Congo, República Democrática del" is an index entry, not a name.


def country_line(country: str, language: str) -> str:
    """Line of the system text with the country: "País: México."; whoever uses such an adapter writes the same."""
    return f"{_COUNTRY.get(language, 'Country')}: {name_of_country(country, language or 'en')}."


def common_language(country: str) -> str:
    """The language that nearly everybody in a country reads: "es" or "pt"; "en" for all other countries."""
    spoken = (language for language in ("es", "pt") if country in SPOKEN_IN[language].split())
    return "en" if country == "US" else next(spoken, "en")


def name_of_language(code: str, language: str = "en") -> str:
    """Name of a language in English, Spanish or Portuguese; the code where there is none."""
    import pycountry

    if name := LANGUAGE_NAMES.get(code, {}).get(language):
        return name
    found = pycountry.languages.get(**{f"alpha_{min(len(code), 3)}": code})
    if found is None:
        return code
    if language == "en":
        return str(found.name)
    return gettext.translation("iso639-3", pycountry.LOCALES_DIR, [language], fallback=True).gettext(found.name).lower()


def _names(name: str, domain: str) -> list[str]:
    import pycountry

    found = [name]
    for locale in LOCALES:
        found.append(gettext.translation(domain, pycountry.LOCALES_DIR, [locale], fallback=True).gettext(name))
    return found


@functools.cache
def _countries() -> dict[str, str]:
    import pycountry

    known: dict[str, str] = {}
    for country in pycountry.countries:
        known[fold(country.alpha_2)] = known[fold(country.alpha_3)] = country.alpha_2
    for country in pycountry.countries:
        for attribute in ("name", "common_name", "official_name"):
            if name := getattr(country, attribute, None):
                for called in _names(name, "iso3166-1"):
                    known.setdefault(fold(called), country.alpha_2)
        for language in ("en", "es", "pt"):  # what `name_of_country` writes is read back
            known.setdefault(fold(name_of_country(country.alpha_2, language)), country.alpha_2)
    return {**COUNTRY_ALIASES, **known}


@functools.cache
def _languages() -> dict[str, str]:
    import pycountry

    known: dict[str, str] = {}
    for language in pycountry.languages:
        code = getattr(language, "alpha_2", language.alpha_3)
        known[fold(language.alpha_3)] = code
        if bibliographic := getattr(language, "bibliographic", None):
            known[fold(bibliographic)] = code
    for language in pycountry.languages:
        if short := getattr(language, "alpha_2", None):
            known[short] = short
            for called in _names(language.name, "iso639-3"):
                known[fold(called)] = short
                known.setdefault(fold(called.partition(" (")[0]), short)  # "Malay (macrolanguage)"
    for language in pycountry.languages:
        known.setdefault(fold(language.name), language.alpha_3)
    return {**known, **LANGUAGE_ALIASES}
