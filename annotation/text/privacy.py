"""Personal data: addresses, numbers of phones, people and banks, and user names are masked before a text is kept."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from annotation.text.identity import BANK, ID, SIX_DIGITS, numbers

EMAIL, PHONE, USER = "[email]", "[phone]", "[user]"
"""What stands in their place: the same in every language."""

KINDS = {
    EMAIL: "e-mail addresses",
    PHONE: "phone numbers",
    USER: "user names",
    ID: "identity numbers",
    BANK: "bank and card numbers",
}

# Possessive quantifiers and the look-behind keep it linear on a line without an end. A domain label of one letter is
# taken only with a common ending: "tod@s.Gracias" is inclusive Spanish and no address.
_MAYBE_ADDRESS = re.compile(r"[@＠﹫]|\barroba\b|\bat\s?[)\]}]", re.IGNORECASE)
_AT = r"\s?(?:[@＠﹫]|[(\[{]\s?(?:at|arroba)\s?[)\]}]|\sarroba\s)\s?"
_DOT = r"(?:\.|\s?[(\[{]\s?(?:dot|punto|ponto)\s?[)\]}]\s?|\s(?:punto|ponto)\s)"
_ADDRESS = re.compile(
    r"(?<![\w.+%'-])[@＠]?[\w.+%'-]++(?:"
    r"[@＠﹫](?:[\w-]{2,}+|[\w-](?=\.(?:com|net|org|co)\b))(?:\.[\w-]{2,}+)++"
    rf"|{_AT}[\w-]{{2,}}+(?:{_DOT}(?!(?:punto|ponto)\b)[a-z-]{{2,24}}\b)++"
    r")",
    re.IGNORECASE,
)

# "@100g" and "@ 20 pesos" are prices and recipes; "amig@s" has a letter before it.
_UNITS = (
    r"(?:g|gr|grs|gramos?|gramas?|kg|kilos?|ml|lt?|lts|litros?|cm|mm|km|m|usd|eur|mxn|brl|pesos?|reais|soles|x|c|h|hs|hrs?"
    r"|min)"
)
_HANDLE = re.compile(rf"(?<![\w@＠.])[@＠](?!\d+{_UNITS}\b)(?=\d*[^\W\d])\w[\w.-]*\w", re.IGNORECASE)

# The part of an address of a social network that names an account.
_ACCOUNT = re.compile(
    r"((?:\b(?:instagram|twitter|tiktok|facebook|fb|threads|github)\.com|\bx\.com|\bt\.me|\blinkedin\.com/in"
    r"|\breddit\.com/u(?:ser)?|(?<![\w/.])/u)/)@?(?!p/|reel/|groups/|hashtag/|search|watch|explore|profile\.php)"
    r"\w[\w.-]*\w",
    re.IGNORECASE,
)
_PROFILE = re.compile(r"(\b(?:facebook|fb)\.com/profile\.php\?id=)\d+", re.IGNORECASE)
_CHAT = re.compile(r"\b((?:wa\.me/|api\.whatsapp\.com/send\?phone=|tel:)\+?)\d{7,15}\b", re.IGNORECASE)

# Numbers that libphonenumber calls invalid and people dial all the same: with a plus (the "+52 1" of old Mexican
# mobiles), and local ones without an area code where the text says that they are telephones.
_PLUS = re.compile(r"(?<![\w+])\+\s?(?:\d[\s().-]{0,2}){8,14}\d(?!\w)")
_CALLED = re.compile(
    r"(\b(?:tel|tels|tel[eé]fonos?|telefones?|fones?|cel|cels|celular|m[oó]vil|whats?app|wpp|zap|phone|ll[aá]m[ae]\w*)"
    r"\b[\s.:]{0,3}(?:(?:al?|ao|no|es|é|el|o|n[uú]mero|n[uú]m|number|is|at)\b[\s.:]{0,2}){0,3})"
    r"\(?(?:\d[\s().-]{0,2}){6,14}\d(?!\w)",
    re.IGNORECASE,
)
_OLD_MEXICAN = re.compile(r"(?<![\w.])0(?:1|44|45)[\s-]?\(?(?:\d[\s().-]{0,2}){9}\d(?!\w)")

_SEVEN_DIGITS = re.compile(r"(?:\d[^\w\n]{0,4}){6}\d")
_YEARS = re.compile(r"(?:1\d|20)\d\d(?:\D{1,3}(?:1\d|20)\d\d)+")
_ROUND = re.compile(r"\d{1,3}(?:[. ]\d{3})*[. ]000|\d00(?:[., -]{1,2}\d00)+")
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₡₲]|\b(?:US|R|S/|Bs|Q|L|C)\.?\$?|\b(?:USD|EUR|MXN|BRL|ARS|COP|CLP|PEN))\s?$")
_COUNT_AFTER = re.compile(
    r"\s?(?:%|°|(?:de\s)?(?:habitantes|personas|pessoas|pesos|d[oó]lares|euros|reais|soles|bol[ií]vares|quetzales|colones|lempiras"
    r"|guaran[ií]e?s|millones|milh[oõ]es|mil|kil[oó]metros|metros|hect[aá]reas|toneladas|usd|mxn|brl|ars|cop|clp|pen|km|kg|m2|m²"
    r"|people|inhabitants|dollars|pounds)\b)",
    re.IGNORECASE,
)


def mask(text: str, region: str | None = None, accounts: Iterable[str] = ()) -> tuple[str, Counter[str]]:
    """Mask what leads to a person: a token takes its place in the text.

    Phone numbers are found with libphonenumber's matcher, which knows the numbering plan of every country. Years,
    prices and head counts that happen to be valid numbers stay.

    Args:
        text: Any text, of any length: the time is linear in it.
        region: ISO 3166-1 alpha-2 of the country whose national phone numbers to look for; None finds only "+" ones.
        accounts: User names known to belong to the text's author, masked wherever they stand as a word.

    Returns:
        The text, and how many of each token were put in. Masking twice changes nothing.
    """
    found: Counter[str] = Counter()

    def put(pattern: re.Pattern[str], token: str, text: str, keep: bool = False) -> str:
        masked, times = pattern.subn(rf"\g<1>{token}" if keep else token, text)
        found[token] += times
        return masked

    if _MAYBE_ADDRESS.search(text):
        text = put(_ADDRESS, EMAIL, text)
    if "/" in text or "tel:" in text:
        text = put(_ACCOUNT, USER, text, keep=True)
        text = put(_PROFILE, USER, text, keep=True)
        text = put(_CHAT, PHONE, text, keep=True)
    if "@" in text or "＠" in text:
        text = put(_HANDLE, USER, text)
    for account in accounts:
        if account in text:
            text = put(re.compile(rf"(?<!\w){re.escape(account)}(?!\w)"), USER, text)
    if SIX_DIGITS.search(text):
        pieces, end = [], 0
        for start, after, token in numbers(text):
            pieces += [text[end:start], token]
            end = after
            found[token] += 1
        text = "".join([*pieces, text[end:]])
    if _SEVEN_DIGITS.search(text):
        text = put(_PLUS, PHONE, text)
        if region == "MX":
            text = put(_OLD_MEXICAN, PHONE, text)
        text, times = _mask_phones(text, region)
        found[PHONE] += times
        text = put(_CALLED, PHONE, text, keep=True)
    return text, +found


def mask_json(raw: str, region: str | None = None) -> str:
    """JSON with its texts masked, and its ids as they were; what is no JSON is masked as it stands."""

    def masked(values: dict[str, Any]) -> dict[str, Any]:
        return {
            key: mask(value, region)[0] if isinstance(value, str) and key != "id" else value
            for key, value in values.items()
        }

    try:
        return json.dumps(json.loads(raw, object_hook=masked), ensure_ascii=False)
    except (ValueError, RecursionError):
        return mask(raw, region)[0]


def looks_like_account(name: str) -> bool:
    """Whether a cell of a user column can be no ordinary word: "nube_92" and "Flor Azul" cannot, "Flor" can."""
    return 4 <= len(name) <= 80 and bool(re.search(r"[\W\d_]", name)) and bool(re.search(r"[^\W\d_]", name))


def excerpt(text: str) -> str:
    """The masked beginning of a text, as one line: what may be shown of a text that is dropped."""
    return " ".join(mask(text[:400])[0].split())[:40]


def _mask_phones(text: str, region: str | None) -> tuple[str, int]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    pieces: list[str] = []
    end = 0
    for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
        raw = match.raw_string
        if not raw.startswith("+") and (
            _YEARS.fullmatch(raw)
            or _ROUND.fullmatch(raw)
            or _MONEY_BEFORE.search(text[max(0, match.start - 6) : match.start])
            or _COUNT_AFTER.match(text, match.end)
        ):
            continue
        pieces += [text[end : match.start], PHONE]
        end = match.end
    return "".join([*pieces, text[end:]]), len(pieces) // 2
