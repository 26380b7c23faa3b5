"""Identity and bank numbers: found by their form and check digits, or because the text names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

ID, BANK = "[id]", "[account]"

SIX_DIGITS = re.compile(r"(?:\d[^\w\n]{0,2}){5}\d")
"""No number of these has fewer digits."""


def _library(name: str) -> Callable[[str], bool]:
    """The validator of a module of python-stdnum, loaded when a number of that form is first seen."""

    @cache
    def load() -> Callable[[str], bool]:
        found: Callable[[str], bool] = import_module(f"stdnum.{name}").is_valid
        return found

    return lambda number: load()(number)


def _is_clabe(number: str) -> bool:
    """Mexico's bank accounts: 17 digits weighted 3, 7, 1 modulo 10, and the check digit."""
    *digits, check = (int(digit) for digit in number if digit.isdigit())
    return sum(digit * (3, 7, 1)[place % 3] % 10 for place, digit in enumerate(digits)) % 10 == -check % 10


def _is_iban(number: str) -> bool:
    # Some countries have check digits of their own within it; what banks print is not always true to them.
    return bool(import_module("stdnum.iban").is_valid(number, check_country=False))


def _is_card(number: str) -> bool:
    return number[0] in "3456" and _library("luhn")(re.sub(r"\D", "", number))


def _by_form(_number: str) -> bool:
    return True


FORMS: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    # Bank accounts and cards, the longest first.
    (BANK, r"\d{22}", _library("ar.cbu")),
    (BANK, r"\d{3} ?\d{3} ?\d{11} ?\d", _is_clabe),
    (BANK, r"\d{4}(?:[ -]?\d{4}){2}[ -]?\d{1,7}|3[47]\d\d[ -]?\d{6}[ -]?\d{5}", _is_card),
    # Mexico: CURP, clave de elector, RFC.
    (ID, r"(?i:[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d)", _library("mx.curp")),
    (ID, r"[A-Z]{6}\d{8}[HM]\d{3}", _by_form),
    (ID, r"(?i:[A-ZÑ&]{3,4}[- ]?\d{6}[- ]?[A-Z\d]{3})", _library("mx.rfc")),
    # Brazil: CNPJ, CPF.
    (ID, r"\d\d\.?\d{3}\.?\d{3}/?\d{4}-?\d\d", _library("br.cnpj")),
    (ID, r"\d{3}\.?\d{3}\.?\d{3}-?\d\d", _library("br.cpf")),
    # With points and one more sign: RG of Brazil, RUT of Chile, cédula of Uruguay, NIT of Colombia.
    (ID, r"\d{1,3}(?:\.\d{3}){2}-[\dkKxX]", _by_form),
    (ID, r"\d{7,8}-[\dkK]", _library("cl.rut")),
    # Spain: DNI, NIE, NIF. Portugal: cartão de cidadão.
    (ID, r"\d{8}(?:-?[A-Za-z]| [A-Z])", _library("es.dni")),
    (ID, r"[XYZxyz]-?\d{7}-?[A-Za-z]", _library("es.nie")),
    (ID, r"[A-W]-?\d{7}-?[\dA-J]", _library("es.nif")),
    (ID, r"\d{8} ?\d ?[A-Z][A-Z\d] ?\d", _library("pt.cc")),
    # Argentina: CUIT, CUIL. Peru and Ecuador: RUC.
    (ID, r"(?:2[0347]|3[034])-?\d{8}-?\d", _library("ar.cuit")),
    (ID, r"(?:1[057]|20)\d{9}", _library("pe.ruc")),
    (ID, r"[0-2]\d{9}001", _library("ec.ruc")),
    # Dominican Republic, Costa Rica, Honduras, Nicaragua, El Salvador, Venezuela.
    (ID, r"\d{3}-\d{7}-\d", _library("do.cedula")),
    (ID, r"[1-9]-\d{4}-\d{4}|\d{4}-\d{4}-\d{5}|\d{3}-\d{6}-\d{4}[A-Z]|0\d{7}-\d", _by_form),
    (ID, r"[VEJPG]-\d{1,2}\.?\d{3}\.?\d{3}(?:-?\d)?", _by_form),
)
"""What stands in a number's place, how it is written, and whether it can be one."""

_FORMS = tuple((token, re.compile(rf"(?<![\w.+]){form}(?!\w)"), fits) for token, form, fits in FORMS)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d\d(?: ?[A-Z\d]{4}){2,7}(?: ?[A-Z\d]{1,4})?(?!\w)", re.IGNORECASE)

_OF_A_PERSON = (
    r"curp|rfc|cpf|cnpj|rg|dni|nie|nif|rut|c[eé]dula|c\.?\s?c\.|c\.?\s?i\.|ci|ruc|cuit|cuil|nit|dui|dpi|cui|ine|cnh|pis|nss"
    r"|documento(?: de identi\w+)?|(?:tarjeta|carn[eé]|bilhete) de identi\w+|clave de elector|pasaporte|passaporte"
    r"|segur(?:o|idad|idade|ança) social|cart[aã]o (?:de )?cidad[aã]o|contribuinte|t[ií]tulo (?:de )?eleitor"
    r"|identi(?:dad|dade)"
)
_OF_A_BANK = r"clabe|cbu|cvu|iban|(?:n[uú]mero d[eao] )?(?:cuenta|conta|tarjeta|cart[aã]o)"
_BETWEEN = (
    r"(?:[^\w\n]{1,3}(?:de|del|da|do|la|el|al|o|a|es|é|n\.?[º°o]?|n[uú]m(?:ero)?|mi|minha|meu|con|com|cr[eé]dito|d[eé]bito"
    r"|ahorros?|corriente|corrente|poupan[çc]a|banc[aá]ria|ciudadan[ií]a|extranjer[ií]a|nacional|(?-i:[A-ZÁÉÍÓÚÑÇ]\w{2,})|mexicano|español|peruano|brasileiro)(?!\w)){0,4}[^\w\n]{0,3}"
)
_NUMBER = r"(?:[A-Z]{1,3}[-. ]?|[a-z]{1,2}-?)?\d(?:[.\-/ ]?\d){%s}(?:[- ]?[A-Z\d]{1,2})?(?!\w)"
_NAMED = tuple(
    (token, re.compile(rf"(?<!\w)((?i:(?:{names}){_BETWEEN})){_NUMBER % digits}"))
    for token, names, digits in ((ID, _OF_A_PERSON, "5,21"), (BANK, _OF_A_BANK, "7,21"))
)
_AMOUNT = re.compile(r"\d{1,3}(?:[., ]\d{3})+|\d+00")
"""So counts and prices are written, and nobody's account."""

_YEARS = re.compile(
    r"(?:1\d|20)\d\d(?:[-/ ](?:1\d|20)\d\d)+|(?:1\d|20)\d\d[-/]\d\d?[-/]\d\d?|\d\d?[-/]\d\d?[-/]\d{2,4}"
)
"""Years and dates, nobody's number either."""

_DASHES = str.maketrans("‐‑‒–—−\u00a0\u202f", "------  ")


def numbers(text: str) -> Iterator[tuple[int, int, str]]:
    """Where identity and bank numbers stand in a text, from left to right, and what takes the place of each.

    A number whose form has check digits must have the right ones; others are found where the text says what they are.
    """
    text = text.translate(_DASHES)  # sign by sign: places stay
    found: list[tuple[int, int, str]] = []
    taken = bytearray(len(text))

    def take(start: int, end: int, token: str) -> None:
        if not any(taken[start:end]):
            taken[start:end] = b"x" * (end - start)
            found.append((start, end, token))

    for match in _IBAN.finditer(text):
        words = match[0]
        while len(words) > 14 and not _is_iban(words):  # the next word may be in capitals too
            words = words.rpartition(" ")[0]
        if len(words) > 14:
            take(match.start(), match.start() + len(words), BANK)
    for token, form, fits in _FORMS:
        for match in form.finditer(text):
            if fits(match[0]):
                take(*match.span(), token)
    for token, named in _NAMED:
        for match in named.finditer(text):
            start = match.end(1)
            amount = token == BANK and _AMOUNT.fullmatch(text, start, match.end())
            if not amount and not _YEARS.fullmatch(text, start, match.end()):
                take(start, match.end(), token)
    yield from sorted(found)
