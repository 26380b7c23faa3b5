"""Register of a question in Spanish or Portuguese: whether it addresses whom it asks formally or as one of its own.

Only words that address somebody decide: "usted", "tú", "vos", "você", imperatives with a pronoun ("dígame", "dime") and
some verb forms of the second person ("puedes", "podés"). Most questions of everyday life address nobody, and a question
with words of both kinds may report what others say: of neither is a register told. "Ustedes" is formal in Spain alone,
"você" in Portugal alone. In parts of Colombia and Costa Rica friends say "usted": this is the form, not the distance.
"""

from __future__ import annotations

import functools
import re

FORMAL, COLLOQUIAL = "formal", "colloquial"
REGISTERS = (COLLOQUIAL, FORMAL)

_VOSEO = ("AR", "UY", "PY", "CR", "NI", "GT", "SV", "HN")
"""Countries where most people say "vos" to friends."""

_WORDS = {
    ("es", COLLOQUIAL): r"tú|vos|ti|contigo|te|tu|tus|tuy[oa]s?|vosotr[oa]s|vuestr[oa]s?|"
    "puedes|podés|quieres|querés|tienes|tenés|sabes|sabés|eres|estás|crees|creés|piensas|pensás|haces|hacés|dices|decís|"
    "podrías|sabrías|recomiendas|recomendás|conoces|conocés|podéis|sabéis|tenéis|"
    "dime|decime|cuéntame|contame|explícame|explicame|ayúdame|ayudame|recomiéndame|recomendame|pásame|pasame",
    ("es", FORMAL): "usted|uds?|vds?|dígame|cuénteme|explíqueme|ayúdeme|recomiéndeme|páseme",
    ("pt", COLLOQUIAL): r"tu|ti|contigo|te|teus?|tuas?|vocês?|cê|"
    "podes|queres|tens|sabes|conheces|achas|fazes|dizes|poderias|diz-me|conta-me|explica-me|ajuda-me",
    ("pt", FORMAL): r"(?:os? senhor(?:es)?|as? senhoras?)(?! (?:que|de|d[ao]s?|com)\b)",
}
_ONLY_IN = {("es", "ES", FORMAL): "ustedes", ("pt", "PT", FORMAL): "vocês?|diga-me|conte-me|explique-me|ajude-me"}
"""Beside these words the country takes them out of the other register."""

_MENTIONED = re.compile(
    r"\b(?:trat|habl|fal|cham|llam)\w*(?: \w+){0,4}? (?:de|por) (?:usted|tú|vos|tu|você|senhora?)\b"
    r"|[\"'«“](?:usted|tú|vos|tu|você|o senhor|a senhora)[\"'»”]"
)
"""Words of address that are talked about: "tratar de usted"."""

_ADDRESS = {
    ("es", FORMAL): '"usted"',
    ("es", COLLOQUIAL): '"tú" or "te"',
    ("pt", FORMAL): '"o senhor" or "a senhora"',
    ("pt", COLLOQUIAL): '"você"',
}


def register_of(text: str, language: str, country: str) -> str:
    """FORMAL, COLLOQUIAL, or "" where the text does not say, says both, or is in another language."""
    if not can_tell_register(language):
        return ""
    said = _MENTIONED.sub(" ", text.lower())
    found = [register for register in REGISTERS if _pattern(language, country, register).search(said)]
    return found[0] if len(found) == 1 else ""


def can_tell_register(language: str) -> bool:
    """Whether questions in a language say it by words that are known here."""
    return (language, FORMAL) in _WORDS


def address_of(language: str, country: str, register: str) -> str:
    """The words of address in a register, in quotes, for an instruction."""
    if register == COLLOQUIAL and (language, country) == ("pt", "PT"):
        return '"tu" or "te"'
    if register == COLLOQUIAL and language == "es" and country in _VOSEO:
        return '"vos" or "te"'
    return _ADDRESS[language, register]


@functools.cache
def _pattern(language: str, country: str, register: str) -> re.Pattern[str]:
    words = _WORDS[language, register]
    for (own_language, own_country, own), more in _ONLY_IN.items():
        if (own_language, own_country) == (language, country):
            words = f"{words}|{more}" if register == own else words.replace("vocês?|", "")
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
