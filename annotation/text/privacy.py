"""Personal data: addresses, numbers of phones, people and banks, and user names are masked before a text is kept."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

from annotation.text.identity import BANK, ID, SIX_DIGITS, numbers
from annotation.types import Person, mark_of

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

# The part of an address of a social network that names an account, by a name or by a number.
_BEFORE_ACCOUNT = r"(?:(?:in|pub|u|users?|people|profiles?|id|add|athletes|stories|_u|i/user|channel|c)/)"
_ACCOUNT = re.compile(
    rf"((?:(?:\b(?:instagram|twitter|x|tiktok|facebook|fb|threads|github|gitlab|pinterest|soundcloud|kwai|vk)\.com"
    rf"|\b(?:t|m|fb|telegram)\.me|\bthreads\.net|\btwitch\.tv|\blattes\.cnpq\.br|\borcid\.org|(?<![\w/.])/u)/{_BEFORE_ACCOUNT}?"
    r"|\b(?:(?:linkedin|reddit|youtube|discord|snapchat|steamcommunity|couchsurfing|strava|spotify)\.com|ok\.ru|bsky\.app)/"
    rf"{_BEFORE_ACCOUNT}))"
    r"@?(?!(?:p|reels?|groups|hashtag|events|pages|intent|i|status|pin|videos?|photos?)"
    rf"/|search|watch|explore|(?:profile|photo|story)\.php|{_BEFORE_ACCOUNT}\[)\w[\w.-]*[\w-](?:/\d[\w-]*){{0,3}}",
    re.IGNORECASE,
)
_PROFILE = re.compile(
    r"((?:\b(?:facebook|fb|twitter|x)\.com/[^\s?]{0,80}\?|\btg://user\?|\bscholar\.google(?:\.\w{2,3}){1,2}/citations\?)"
    r"(?:[^\s&]{0,80}&){0,9}?(?:id|user_id|user)=)[\w-]+",
    re.IGNORECASE,
)
_CHAT = re.compile(r"\b((?:wa\.me/|api\.whatsapp\.com/send\?phone=|tel:)\+?)\d{7,15}\b", re.IGNORECASE)

# Numbers that libphonenumber calls invalid and people dial all the same: with a plus (the "+52 1" of old Mexican
# mobiles), and local ones without an area code where the text says that they are telephones.
_PLUS = re.compile(r"(?<![\w+])\+\s?(?:\d[\s().-]{0,2}){8,14}\d(?!\w)")
_CALLED = re.compile(
    r"(\b(?:tel|tels|telf|tel[eé]fonos?|telefones?|fon[eo]s?|cel|cels|celu|celular|m[oó]vil|tlm|telem[oó]vel|whats?app|wpp|zap"
    r"|phone|(?:ll|ch)[aá]m[ae]\w*|(?:marqu?[ea]n?|disque|ligue)(?=\s(?:al?|el|para|no)\b))"
    r"\b[\s.:]{0,3}(?:(?:al?|ao|no|para|es|é|el|o|fij[oa]|fix[oa]|particular|n[uú]mero|n[uú]m|number|is|at)\b[\s.:]{0,2}){0,3})"
    r"\(?(?:\d[\s().-]{0,2}){6,14}\d(?!\w)",
    re.IGNORECASE,
)
_OLD_MEXICAN = re.compile(r"(?<![\w.])0(?:1|44|45)[\s-]?\(?(?:\d[\s().-]{0,2}){9}\d(?!\w)")

_SEVEN_DIGITS = re.compile(r"(?:\d[^\w\n]{0,4}){6}\d")
_YEARS = re.compile(r"(?:1\d|20)\d\d(?:\D{1,3}(?:1\d|20)\d\d)+")
_ROUND = re.compile(r"\(?\d{1,3}\.\d{5,}|\d{1,3}(?:[. ]\d{3})*[. ]000|\d00(?:[., -]{1,2}\d00)+")
_FRACTION_BEFORE = re.compile(r"\d[.,]$")
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₡₲]|\b(?:US|R|S/|Bs|Q|L|C)\.?\$?|\b(?:USD|EUR|MXN|BRL|ARS|COP|CLP|PEN))\s?$")
_COUNT_AFTER = re.compile(
    r"\s?(?:%|°|(?:de\s)?(?:habitantes|personas|pessoas|pesos|d[oó]lares|euros|reais|soles|bol[ií]vares|quetzales|colones|lempiras"
    r"|guaran[ií]e?s|votos|votes|pasos|passos|grados|graus|p[aá]ginas|a[nñ]os|d[ií]as|horas|veces|vezes|unidades|discos"
    r"|[aá]rbo?les|[aá]rvores|casas|casos|especies|esp[eé]cies|razones|raz[oõ]es|motivos|formas|palabras|palavras|estrellas"
    r"|estrelas|visitantes|turistas|hablantes|falantes|seguidor[ae]s|litros|kilos|gramos|gramas|cent[ií]metros|mil[ií]metros|pies"
    r"|libros|livros|alumnos|alunos|hombres|mujeres|homens|mulheres|ni[nñ][oa]s|crian[çc]as|plantas|sacos|cabezas|cabe[çc]as"
    r"|millones|milh[oõ]es|mil|kil[oó]metros|metros|hect[aá]reas|toneladas|usd|mxn|brl|ars|cop|clp|pen|km|kg|m2|m²"
    r"|people|inhabitants|dollars|pounds)\b|[×÷=*]|entre\s\d)",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\b(?:hay|h[aá]|hab[ií]a|unos|unas|uns|umas|total de|tem|t[eê]m|tinha|tenemos|temos|ten[gh]o|tienen?|son|s[aã]o"
    r"|m[aá]s de|mais de|cerca de|casi|quase|entre|suma|sum[oó]u?|gan[oó]u? co[nm]|vendi[oóu]u?|viven|vivem) \Z",
    re.IGNORECASE,
)
_PLURAL = re.compile(r" [a-záéíóúâêôãõñç]{2,}s\b")
_NUMBERED_BEFORE = re.compile(
    r"\b(?:pedido|folio|p[aá]gina|l[ií]n[eh]a|decreto|ley|lei|ngc|boleto|ticket"
    r"|vuelo|voo|nota fiscal|protocolo|expediente|c[oó]digo|lote|factura|fatura|recibo"
    r"|s[eé]rie|gu[ií]a|rastreio|rastreo|matr[ií]cula|loter[ií]a|sorte[io]o|edici[oó]n|edi[çc][aã]o|dividir)"
    r"[\s:]{0,2}(?:(?:es|é|el|o|n[uú]mero|n\.?[º°o]|de)[\s:]{0,2}){0,2}$",
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


def mask_typed(text: str, region: str | None, people: tuple[Person, ...]) -> str:
    """What somebody of a team typed, masked, with the user names and full names of the team.

    Accents, capitals and what joins the parts make no difference. Of a name any two words beside each other are
    enough, or initials and one; a first name alone names nobody. A user name that is a word ("rosa") goes where it
    has a capital and is no saint's.
    """
    if not text:
        return ""
    masked, pattern = _mask_forgotten(mask(text, region)[0], people), _names(people)
    if pattern is None:
        return masked
    text = unicodedata.normalize("NFC", masked)
    pieces, end = [], 0
    for match in pattern.finditer(_folded(text)):
        start, after = match.span()
        words = {word for word in re.split(r"[\W_]+", match[0]) if word not in _PARTICLES}
        saint = _SAINT.search(text[max(0, start - 6) : start])
        if (match.lastgroup == "name" and (saint or len(words) < 2)) or (
            match.lastgroup == "word" and (saint or not text[start].isupper())
        ):
            continue
        pieces += [text[end:start], USER]
        end = after
    return "".join([*pieces, text[end:]]) if pieces else masked


def naming_words(username: str, name: str) -> set[str]:
    """The words by which somebody is named in a text, as `_mask_forgotten` looks for them."""
    words = {f"user name {_folded(unicodedata.normalize('NFC', username))}"}
    folded = _folded(unicodedata.normalize("NFC", name))
    return words | {f"name {word}" for word in _WORD.findall(folded) if word not in _PARTICLES and len(word) > 1}


def _mask_forgotten(text: str, people: tuple[Person, ...]) -> str:
    """Mask what names somebody whose name is not known any more: two words of it in a row, or a user name.

    A user name that is a short word goes where it has a capital.
    """
    gone = [person for person in people if person.marks]
    if not gone or not text:
        return text

    def whose(kind: str, word: str) -> str:
        return next((p.username for p in gone if mark_of(p.mark_key, f"{kind} {word}") in p.marks), "")

    text = unicodedata.normalize("NFC", text)
    folded, spans = _folded(text), list[tuple[int, int]]()
    for match in _ACCOUNT_WORD.finditer(folded):
        plain = match[0].isalpha() and len(match[0]) < 6
        if whose("user name", match[0]) and not (plain and not text[match.start()].isupper()):
            spans.append(match.span())
    row: list[re.Match[str]] = []
    for word in (*_WORD.finditer(folded), None):
        if word and word[0] in _PARTICLES and row:
            continue
        owner = whose("name", word[0]) if word else ""
        if row and owner != whose("name", row[0][0]):
            spans += [(row[0].start(), row[-1].end())] if len(row) >= 2 else []
            row = []
        row += [word] if word and owner else []
    pieces, end = list[str](), 0
    for start, after in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= end:
            pieces += [text[end:start], USER]
            end = after
    return "".join([*pieces, text[end:]])


_WORD = re.compile(r"[^\W_]+")
_ACCOUNT_WORD = re.compile(r"[^\W_](?:[\w.-]*\w)?")
_PARTICLES = frozenset(("de", "del", "la", "las", "los", "el", "da", "do", "das", "dos"))
_SAINT = re.compile(r"\b(?:san|santa|santo|são)\s\Z", re.IGNORECASE)
_JOINT = r"[\s,.'’_-]{1,3}"
"""Between two parts of a name."""


def _folded(text: str) -> str:
    """Without accents and capitals, sign by sign: places in it are places in the text."""
    return "".join(unicodedata.normalize("NFD", char.lower())[:1] or char for char in text)


@lru_cache(maxsize=4)
def _names(people: tuple[Person, ...]) -> re.Pattern[str] | None:
    """What masks a team's names in a folded text; None without any."""
    accounts, words, names = set[str](), set[str](), list[str]()
    # "de la", or the initial of a second name; a vowel alone is a word.
    particle, initial = "|".join(sorted(_PARTICLES)), r"[a-z][.'’]\s?|[b-df-hj-np-tv-xz]" + _JOINT
    between = rf"{_JOINT}(?:(?:{particle}){_JOINT}|{initial}){{0,2}}"
    for person in people:
        own = re.findall(r"[^\W_]+", _folded(unicodedata.normalize("NFC", person.name)))
        username = _folded(unicodedata.normalize("NFC", person.username))
        if looks_like_account(username) or (username.isalpha() and len(username) >= 6 and username not in own):
            accounts.add(re.sub(r"[_.-]", r"[\\s_.-]?", username))
        elif username.isalpha():
            words.add(username)
        spoken = {word for word in own if word not in _PARTICLES and (len(word) > 1 or not word.isascii())}
        if len(spoken) >= 2:
            either = f"(?:{'|'.join(sorted(map(re.escape, spoken), reverse=True))})"
            initials = f"(?:[{''.join(sorted({word[0] for word in spoken}))}]\\.\\s?-?)"
            names.append(rf"(?:{either}(?:{between}{either})+|{initials}{{1,3}}{either})")
    parts = {
        "account": sorted(accounts, reverse=True),
        "name": names,
        "word": sorted(map(re.escape, words), reverse=True),
    }
    found = "|".join(rf"(?P<{kind}>{'|'.join(own)})" for kind, own in parts.items() if own)
    return re.compile(rf"(?<!\w)(?:{found})(?!\w)") if found else None


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
    """Until none is found: a number may hide another from the library, as in "1 1120000000 (11900000000"."""
    times, more = 0, 1
    while more:
        text, more = _mask_seen_phones(text, region)
        times += more
    return text, times


def _mask_seen_phones(text: str, region: str | None) -> tuple[str, int]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    pieces: list[str] = []
    end = 0
    for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
        raw = match.raw_string
        if not raw.startswith("+") and (
            _YEARS.fullmatch(raw)
            or _FRACTION_BEFORE.search(text[max(0, match.start - 2) : match.start])
            or _ROUND.fullmatch(raw)
            or _MONEY_BEFORE.search(text[max(0, match.start - 6) : match.start])
            or _NUMBERED_BEFORE.search(text[max(0, match.start - 30) : match.start])
            or _COUNT_AFTER.match(text, match.end)
            or (_PLURAL.match(text, match.end) and _COUNTED.search(text[max(0, match.start - 12) : match.start]))
            or _is_series(raw)
        ):
            continue
        pieces += [text[end : match.start], PHONE]
        end = match.end
    return "".join([*pieces, text[end:]]), len(pieces) // 2


def _is_series(raw: str) -> bool:
    """Whether numbers follow one another in equal steps, as in "35 36 37 38"."""
    found = [int(digits) for digits in re.findall(r"\d+", raw)]
    return len(found) >= 4 and len({after - before for before, after in pairwise(found)}) == 1
