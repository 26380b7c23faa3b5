"""Refusals: answers that decline to answer are recognised in Spanish, Portuguese and English."""

from __future__ import annotations

import re

OPENING = 240
"""A refusal is known by how it begins: later in an answer the same words are somebody else's, quoted for example."""

_OTHERS = r"(?:[\w’']+[\s,]+){0,4}?"

_SPANISH = rf"""
    (?:lo\s+siento|lo\s+lamento|perd[oó]n|perdona|disculpa|disculpe|me\s+temo\s+que|lamentablemente|por\s+desgracia)
        [\s,.:;—-]+{_OTHERS}no\s+(?:me\s+es\s+posible|puedo|podr[eé]|estoy\s+autorizad[oa]\s+a)\s+
        (?:ayudar|asistir|responder|contestar|cumplir|proporcionar|brindar|ofrecer|generar|crear|escribir|redactar|
           hablar\s+de|participar|dar(?:te|le|les)?\s+(?:esa|una|informaci)|continuar\s+con\s+(?:esa|esta))
  | no\s+(?:me\s+es\s+posible|puedo|podr[eé])\s+(?:ayudarte|ayudarle|ayudarlos|asistirte|asistirle|cumplir|responder)\s+
        (?:con|en|a|esa|ese|eso|esta|este|esto|tu|su|la)\b
  | no\s+puedo\s+(?:proporcionar|brindar|ofrecer|generar|crear)(?:te|le|les)?\s+
        (?:ese|esa|este|esta|ese\s+tipo|informaci[oó]n|contenido|respuestas?)
  | (?:como|soy|al\s+ser|siendo)\s+(?:s[oó]lo\s+)?(?:una?\s+)?
        (?:modelo\s+(?:de\s+lenguaje|de\s+ia|ling[uü][ií]stico)|ia\b|inteligencia\s+artificial|asistente\s+(?:de\s+ia|virtual))
        [^.!?]{{0,80}}?\bno\s+(?:puedo|tengo|debo|me\s+es|estoy|soy\s+capaz)
"""

_PORTUGUESE = rf"""
    (?:sinto\s+muito|lamento|desculpe|desculpa|me\s+desculpe|infelizmente|receio\s+que)
        [\s,.:;—-]+{_OTHERS}n[aã]o\s+(?:me\s+[eé]\s+poss[ií]vel|posso|consigo|poderei)\s+
        (?:ajud|auxili|responder|atender|fornecer|oferecer|gerar|criar|escrever|falar\s+sobre|participar|
           dar\s+(?:essa|esta|uma|informa)|continuar\s+com\s+(?:essa|esta))
  | n[aã]o\s+(?:me\s+[eé]\s+poss[ií]vel|posso|consigo)\s+
        (?:(?:te|lhe|vos)\s+)?(?:ajudar|ajudá-l[oa]|auxiliar|atender|responder)\s+
        (?:com|a|em|[aà]|ess[ae]|est[ae]|isso|isto|sua|seu|teu|tua|o\s+seu|a\s+sua)\b
  | n[aã]o\s+posso\s+(?:fornecer|oferecer|gerar|criar)\s+(?:esse|essa|este|esta|informa[cç]|conte[uú]do|respostas?)
  | (?:como|sou|por\s+ser|sendo)\s+(?:apenas\s+)?(?:uma?\s+)?
        (?:modelo\s+(?:de\s+linguagem|de\s+ia)|ia\b|intelig[eê]ncia\s+artificial|assistente\s+(?:de\s+ia|virtual))
        [^.!?]{{0,80}}?\bn[aã]o\s+(?:posso|tenho|devo|me\s+[eé]|estou|sou\s+capaz|consigo)
"""

_ENGLISH = rf"""
    (?:i['’]?\s*(?:am|m)\s+(?:really\s+|very\s+)?(?:sorry|afraid)|sorry|i\s+apologi[sz]e|unfortunately)
        [\s,.:;—-]+{_OTHERS}(?:i\s+)?(?:can['’]?t|can\s?not|won['’]?t|am\s+(?:not\s+able|unable)\s+to|['’]?m\s+(?:not\s+able|unable)\s+to)\s+
        (?:help|assist|answer|comply|provide|fulfil|fulfill|generate|create|write|discuss|engage|do\s+that|continue\s+with)
  | i\s+(?:can['’]?t|can\s?not|won['’]?t|am\s+unable\s+to|['’]m\s+unable\s+to)\s+
        (?:help|assist)\s+(?:you\s+)?with\b
  | i\s+(?:can['’]?t|can\s?not|won['’]?t)\s+(?:provide|generate|create|comply|fulfil|fulfill|engage)\b
  | (?:as|i['’]?\s*a?m(?:\s+just)?)\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)\b
        [^.!?]{{0,80}}?\b(?:can['’]?t|can\s?not|don['’]?t|do\s+not|am\s+not|unable|won['’]?t)
"""

_PATTERNS = {
    code: re.compile(pattern, re.VERBOSE) for code, pattern in (("es", _SPANISH), ("pt", _PORTUGUESE), ("en", _ENGLISH))
}


def is_refusal(text: str, language: str | None = None) -> bool:
    """Whether an answer declines to answer.

    Only the first sentence or two are looked at, outside quotation marks: "Lo siento, no puedo ayudarte ese día" may
    well be the reply that a good answer proposes.

    Args:
        text: The answer.
        language: ISO 639-1 code; only its phrases and the English ones (models fall back to English) are
            looked for. None or a language without phrases of its own: all of them.
    """
    # In lower case once: a pattern that ignores case takes three times as long.
    opening = re.sub(r"[“«\"][^”»\"]*[”»\"]?", " ", text.strip()[:OPENING]).lower()
    codes = {language, "en"} if language in _PATTERNS else set(_PATTERNS)
    return any(_PATTERNS[code].search(opening) for code in _PATTERNS if code in codes)
