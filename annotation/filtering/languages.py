"""Languages of texts: answers that are not in the language of their row, and words of another country's variety."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look, shown
from annotation.text.language import tell


class Variety(NamedTuple):
    """A variety of a language.

    Attributes:
        language: ISO 639-1.
        countries: Where its words are at home.
        words: What is said there and hardly elsewhere; forms that every country writes are left out.
    """

    language: str
    countries: frozenset[str]
    words: re.Pattern[str]


def _words(text: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{text})\b")


VARIETIES: Mapping[str, Variety] = {
    "Spanish of Spain": Variety(
        "es",
        frozenset({"ES", "GQ"}),
        _words(
            r"vosotr[oa]s|vuestr[oa]s?|os (?:\w+áis|\w+éis|ha|he|voy)|(?:hab|ten|quer|pod|deb|sab|hac|com|viv)éis"
            r"|estáis|vais|sois|ordenador(?:es)?|zumos?|patatas?|chaval(?:es)?|currar|curro|guays?|aparcar|móviles"
            r"|coger el (?:autobús|metro|tren)"
        ),
    ),
    "voseo": Variety(
        "es",
        frozenset({"AR", "UY", "PY", "CR", "NI", "HN", "SV", "GT", "BO", "CO", "EC", "VE", "CL", "PA"}),
        _words(
            r"vos|sos|tenés|podés|querés|sabés|hacés|decís|venís|vení|decime|mirá|contame|fijate|andá|vivís|comés|pensás"
        ),
    ),
    "Portuguese of Portugal": Variety(
        "pt",
        frozenset({"PT", "AO", "MZ", "CV", "GW", "ST", "TL"}),
        _words(
            r"autocarros?|telemóve(?:l|is)|comboios?|frigoríficos?|casas? de banho|pequeno-almoço|ecrãs?|sumos?|fixe"
            r"|raparigas?|equipas?|factos?|contactos?|boleias?|chávenas?|peúgas?|autoclismo|miúd[oa]s?|talho|fiambre|sandes"
            r"|tu (?:tens|és|podes|queres)|est(?:á|ão|ou|ás|amos) a \w+[aei]r|portagens|desportos?|registos?"
        ),
    ),
    "Portuguese of Brazil": Variety(
        "pt",
        frozenset({"BR"}),
        _words(
            r"ônibus|celular(?:es)?|trem|trens|geladeiras?|banheiros?|café da manhã|sucos?|moleques?|galera|sorvetes?"
            r"|xícaras?|caronas?|est(?:á|ão|ou|amos) \w+[aei]ndo|esportes?|açougues?|esportivas?|contatos?"
        ),
    ),
}
"""Written for this purpose, without a source: words that dictionaries of both sides mark as of one side. Of Spanish in
the Americas only voseo is told; the words of one country there are understood in others."""


_ASKS_FOR_ANOTHER = re.compile(
    r"\b(?:tradu[czç]\w*|translat\w+|en (?:inglés|francés|alemán|italiano|portugués|español|náhuatl|quechua)"
    r"|(?:al|del) (?:inglés|francés|alemán|italiano|portugués|español|náhuatl|quechua)"
    r"|(?:em|para o|do) (?:inglês|francês|alemão|italiano|português|espanhol)|in (?:english|spanish|portuguese)"
    r"|código|code|python|java(?:script)?|sql|html|css|regex|bash|c\+\+)(?!\w)",
    re.IGNORECASE,
)
"""A prompt with such words may well be answered in another language, or by a program."""


def other_language(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Rows in no language of the project, and texts that are clearly in another than their row's (text/language.py).

    Answers to a prompt that asks for a translation or for a program are not looked at.
    """
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "telling languages")
        if not row.language:
            continue
        if look.languages and row.language not in look.languages:
            why = f"in {row.language}, which is not of project.languages: {shown(row.prompt)}"
            findings.append(Finding(place, why))
            continue
        if (found := tell(row.prompt, [row.language])) != row.language:
            findings.append(Finding(place, f"the prompt is in {found}, not {row.language}: {shown(row.prompt)}"))
            continue
        if _ASKS_FOR_ANOTHER.search(row.prompt):
            continue
        for number, answer in enumerate(row.answers):
            if (found := tell(answer.text, [row.language])) != row.language:
                findings.append(Finding(place, f"in {found}, not {row.language}: {shown(answer.text)}", number))
    return Found(findings)


def other_variety(rows: Sequence[Row], look: Look, threshold: float) -> Found:
    """Answers that nobody ranked below another and that have `threshold` or more words of another country's variety."""
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "telling varieties")
        worse = {two for _, two in row.pairs}
        for number, answer in enumerate(row.answers):
            if number in worse or not row.country:
                continue
            for name, variety in VARIETIES.items():
                if variety.language != row.language or row.country in variety.countries:
                    continue
                words = sorted(set(variety.words.findall(answer.text.casefold())))
                if len(words) >= threshold:
                    findings.append(
                        Finding(place, f"{name}, not {row.country}: {', '.join(words)[:80]}", number, len(words))
                    )
    return Found(findings)
