"""What somebody said of the answers of a row, in a file's own words, becomes a judgement."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from annotation.reading.cells import as_number, as_text, is_missing
from annotation.reading.found import FoundAnswer, FoundJudgement
from annotation.text.locales import fold

SAID = "judgements"
"""Column of a table that a form has made: a tuple of Said, which no file can hold by itself."""

LEFT = ("left", "izquierda", "izquierdo", "esquerda", "first", "primera", "primero", "primeira", "one", "uno", "una")
RIGHT = ("right", "derecha", "derecho", "direita", "second", "segunda", "segundo", "two", "dos", "dois")

_TIE = frozenset(
    (
        *("tie", "tied", "draw", "empate", "empatada", "empatadas", "empatan", "equal", "equals", "equally", "same"),
        *("igual", "iguales", "iguais", "preference", "preferencia", "indifferent", "indiferente", "mismo", "bothgood"),
    )
)
_ALL = frozenset(("both", "all", "ambas", "ambos", "dos", "duas", "todas", "todos"))
_POOR = frozenset(("bad", "mal", "mala", "malas", "malos", "ruim", "ruins", "poor", "bothbad", "worse", "peor"))
_NONE = frozenset(("neither", "none", "ninguna", "ninguno", "nenhuma", "nenhum", "bothbad"))
"""Words of a choice that names no answer: "both are bad", "sin preferencia", "ninguna de las dos"."""

_AROUND = frozenset(
    (
        *("model", "response", "answer", "completion", "output", "candidate", "assistant", "option", "opcion", "opcao"),
        *("respuesta", "resposta", "modelo", "text", "texto", "la", "el", "a", "o", "is", "es", "e", "better", "best"),
        *("mejor", "melhor", "wins", "win", "won", "gana", "gano", "ganha", "winner", "side", "lado", "the", "chosen"),
        *(
            "prefer",
            "prefiero",
            "preferred",
            "prefiro",
            "de",
            "del",
            "da",
            "do",
            "que",
            "of",
            "i",
            "me",
            "gusta",
            "mas",
        ),
        *("conversation", "slightly", "much", "mucho", "poco", "muito"),
    )
)
"""Words around the name of an answer: "respuesta B es mejor"."""


_ARTICLE = re.compile(r"\b[AO] (?=(?:resp|op[cç]|melhor|modelo|alternativa|primeira|segunda|sa[ií]da|conv|cand))", re.I)
"""A letter that is no name of an answer: "A resposta B"."""

_BETTER = re.compile(
    r"\s(?:(?:es|is|é)\s)?(?:(?:mucho|un poco|much|slightly|muito)\s)?(?:mejor|better|melhor)\s(?:do\s)?(?:que|than)\s|"
    r"\s(?:gana a|ganha de|beats)\s",
    re.I,
)
_ORDER = re.compile("[<>=~≈≻]")
"""Signs by which some words are an order."""


class NotUnderstood(ValueError):
    """Words that name no answer; the message is the reason, and what they were."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one person said, by the names that the file has for the answers.

    Attributes:
        choice: The best answer, a tie, or that both are bad; in words.
        places: Name of an answer -> its rank; a score is a rank with a minus.
        bad: All are bad.
        rewrite: An answer of their own.
    """

    annotator: str = ""
    country: str = ""
    choice: str = ""
    places: Mapping[str, float] = field(default_factory=dict)
    bad: bool = False
    rewrite: str = ""


def judged(said: Said, names: Sequence[Collection[str]]) -> FoundJudgement | None:
    """The judgement, or None where nothing was said.

    Args:
        said: What was said.
        names: Of each answer, folded: it may be called by any of them.

    Raises:
        NotUnderstood: A name is of no answer, or of several.
    """
    about = (said.annotator, said.country, said.rewrite)
    if said.bad:
        return FoundJudgement((), True, *about)
    if said.places:
        found = {place_of(name, names): rank for name, rank in said.places.items()}
        return FoundJudgement(tiers_of(found), False, *about) if len(found) > 1 else None
    if is_missing(said.choice):
        return FoundJudgement((), False, *about) if said.rewrite.strip() else None
    everyone = tuple(range(len(names)))
    order = _BETTER.sub(" > ", said.choice)
    if _ORDER.search(order) and not any(fold(said.choice) in own for own in names):
        try:
            tiers = tuple(tuple(place_of(name, names) for name in tier) for tier in order_in(order))
        except NotUnderstood:
            tiers = ()
        if len(set(placed := [place for tier in tiers for place in tier])) < max(len(placed), 2):
            raise NotUnderstood(f'"{" ".join(said.choice.split())[:40]}"')
        return FoundJudgement(tiers, False, *about)
    try:
        best = place_of(said.choice, names)
    except NotUnderstood:
        words = set(fold(said.choice).split())
        if words & _NONE or (words & _ALL and words & _POOR):
            return FoundJudgement((), True, *about)
        if words & _TIE or words & _ALL:
            return FoundJudgement((everyone,), False, *about)
        raise
    return FoundJudgement(((best,), tuple(place for place in everyone if place != best)), False, *about)


def order_in(words: str) -> list[list[str]]:
    """Names by tier, the best first: "A >> B = C" is [["A"], ["B", "C"]], "A < B" is [["B"], ["A"]]."""
    up = "<" in words
    tiers = re.split("<+" if up else "[>≻]+", words.strip("[] "))
    found = [[name.strip() for name in re.split("[=~≈]+", tier)] for tier in tiers]
    return found[::-1] if up else found


def place_of(name: str, names: Sequence[Collection[str]]) -> int:
    """Which answer is called so: by its name, or by one with words around it.

    Raises:
        NotUnderstood: None is, or several are.
    """
    word = fold(name)
    found = [place for place, own in enumerate(names) if word in own]
    if not found:
        # Words with two names compare them: which one is better is not guessed from where it stands.
        several = len(set(re.findall(r"\b[A-H]\b", _ARTICLE.sub("", name)))) > 1 or _compares(word)
        bare = frozenset[str]() if several else _bare(word)
        found = [place for place, own in enumerate(names) if bare & set(own)]
    if len(found) != 1:
        raise NotUnderstood(f'"{" ".join(name.split())[:40]}"')
    return found[0]


def _compares(word: str) -> bool:
    """Whether an answer is said to be better than another: "a es mejor que b", "a gana a b"."""
    return bool(re.search(r"\b[a-h]\b.*\b(?:que|than|over|sobre|vs|gana a|ganha de)\b.*\b[a-h]\b", word))


@lru_cache(maxsize=4096)
def _bare(word: str) -> frozenset[str]:
    """What may be the name in some words: "respuesta b es mejor" may mean "b", "model a" may mean "a"."""
    words = word.split()
    rest = [one for one in words if one not in _AROUND]
    # The letters A, E and O are words too: what stands last, or alone, is a name.
    named = rest or [one for one in words if len(one) == 1][-1:] or words[-1:]
    last = re.sub(r"^(?:response|answer|completion|output|candidate|respuesta|model)", "", named[0]) if named else ""
    return frozenset((" ".join(named), last) if len(named) == 1 else (" ".join(named),)) - {""}


def names_of(keys: Sequence[str], columns: Sequence[str], answers: Sequence[FoundAnswer]) -> list[set[str]]:
    """What each of a row's answers may be called, folded: its key, column, model, and the side on which it stands."""
    names = [
        {fold(key), fold(column), *([fold(answer.model)] if answer.model else ())}
        for key, column, answer in zip(keys, columns, answers, strict=True)
    ]
    if len(names) == 2:
        for own, side in zip(names, (LEFT, RIGHT), strict=True):
            own.update(side)
    for own in names:
        own.discard("")
    return names


def tiers_of(ranks: Mapping[int, float]) -> tuple[tuple[int, ...], ...]:
    """Places of answers by rank, the least first; equal ones share a tier."""
    return tuple(
        tuple(place for place, rank in ranks.items() if rank == level) for level in sorted(set(ranks.values()))
    )


def numbered(cells: Sequence[object]) -> dict[int, float]:
    """Place -> number, of those among some cells that hold one."""
    found = ((place, as_number(cell)) for place, cell in enumerate(cells))
    return {place: number for place, number in found if number is not None}


def choice_in(cell: object) -> str:
    """The words of a choice; an annotation tool may wrap them: {"selected": "left"}, {"choices": ["A"]}."""
    while isinstance(cell, Mapping):
        cell = next((cell[key] for key in ("selected", "choices", "choice", "value", "label") if key in cell), None)
    return as_text(cell).strip()
