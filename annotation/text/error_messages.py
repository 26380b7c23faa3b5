"""Messages of errors in the place of an answer: a program's or a service's, in Spanish, Portuguese and English."""

from __future__ import annotations

import re

OPENING = 200
"""Characters of an answer that are looked at; longer ones hold words of apology in passing."""

_PROGRAM = re.compile(
    r"""^\W{0,20}(?:error|erro|excepci[oó]n|exception)\W{0,3}(?:c[oó]d(?:e|igo)\W{0,3})?[45]\d\d\b
      | ["']?\berror_?(?:code|message|type)["']?\s*[:=]
      | \{\s*["']error["']\s*: | \btraceback\s\(most\srecent\scall\slast\)
      | \bHTTP(?:/\d(?:\.\d)?)?\W{0,3}[45]\d\d\b
      | ^\W{0,20}(?:[45]\d\d\W{1,3})?(?:internal\sserver\serror|service\s(?:temporarily\s)?unavailable|bad\sgateway
          |gateway\stime-?out|too\smany\srequests|rate\slimit\s(?:exceeded|reached)|connection\s(?:error|timed\sout))\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SERVICE = re.compile(
    r"""^\W{0,20}(?:(?:lo\ssentimos|sorry|desculpe|oops|ups)\W{1,3})?(?:
        (?:error|erro|fallo|falla|falha)\s(?:de|del|en|al|no|na|da|do|ao|interno|inesperado)\b
      | (?:se\sha\sproducido|se\sprodujo|ha\socurrido|ocurri[oó]|hubo|houve|ocorreu|aconteceu)\s(?:un|um)\s(?:error|erro
          |fallo|problema|falha)\b
      | (?:el|o|este)\s(?:servicio|servi[cç]o|servidor|sistema)\s(?:no|n[aã]o)\s(?:est[aá]\sdispon[ií]vel|est[aá]
          \sdisponible|respond\w+)
      | algo\s(?:sali[oó]\smal|fall[oó]|deu\serrado|correu\smal)\b
      | something\swent\swrong\b | an?\s(?:\w+\s)?error\s(?:has\s)?occurred\b
      | the\s(?:service|server|system)\sis\s(?:currently\s)?(?:unavailable|busy|overloaded)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def is_error_message(text: str) -> bool:
    """Whether an answer begins as a program's message of an error does, or is short and begins as a service's."""
    return bool(_PROGRAM.search(text[:OPENING])) or (len(text) <= OPENING and bool(_SERVICE.search(text)))
