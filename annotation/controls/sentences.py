"""Sentences in other languages than a team's: an answer made of them is certainly none, and says nothing."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "de": (
        "Vielen Dank für diese Frage.",
        "Darüber gibt es viel zu sagen, und nicht alle sind derselben Meinung.",
        "Viele Familien erzählen davon bis heute.",
        "Am Ende kommt es immer darauf an, wen man fragt.",
        "Früher war das anders, und morgen wird es wieder anders sein.",
        "Ich hoffe, dass diese Antwort weiterhilft.",
    ),
    "sv": (
        "Tack för frågan.",
        "Det finns mycket att säga om det, och alla tycker inte likadant.",
        "Många familjer berättar fortfarande om det.",
        "Till slut beror det på vem man frågar.",
        "Förr var det annorlunda, och i morgon blir det annorlunda igen.",
        "Jag hoppas att svaret hjälper.",
    ),
    "pl": (
        "Dziękuję za to pytanie.",
        "Można o tym dużo powiedzieć i nie wszyscy są tego samego zdania.",
        "Wiele rodzin opowiada o tym do dziś.",
        "W końcu wszystko zależy od tego, kogo się zapyta.",
        "Kiedyś było inaczej, a jutro znowu będzie inaczej.",
        "Mam nadzieję, że ta odpowiedź pomoże.",
    ),
    "tr": (
        "Bu soru için teşekkür ederim.",
        "Bu konuda söylenecek çok şey var ve herkes aynı fikirde değil.",
        "Birçok aile bunu bugün de anlatıyor.",
        "Sonunda her şey kime sorduğunuza bağlı.",
        "Eskiden farklıydı, yarın yine farklı olacak.",
        "Umarım bu cevap yardımcı olur.",
    ),
}
"""ISO 639-1 -> sentences, in an order in which they can be read. Written for this, translated from nobody."""
