"""Terms of a culture: what people's own texts about a picture name, and how much of it a model's description names too.

People's own texts are their rewrites and the descriptions that they ranked first. A term is a word of these, or an
expression of two or three words that two of them share, which is rare in the texts about other pictures: terms are
ordered by how many of a picture's texts hold them, times their inverse document frequency (K. Spärck Jones 1972, "A
statistical interpretation of term specificity and its application in retrieval", Journal of Documentation 28). Recall
is the share of a picture's terms that a description holds; accents, capitals and a plural's ending make no difference.
It says that a word is there, not that what is said of it is true.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

import numpy as np

from annotation.text.locales import fold
from annotation.text.privacy import KINDS
from train.data.slates import RankedSlate
from train.data.texts import words_of
from train.evaluate.measure import Table
from train.statistics import Estimate, mean_over_prompts, paired_difference, read_estimates

MOST = 10
"""Terms of a picture, the most telling ones."""

RARE = 0.1
"""Share of the other pictures whose texts may hold a term too; one of them always may."""

SHOWN = 5
"""Pictures whose terms are shown."""

EMPTY = """
a al algo algunas algunos ante antes aqui asi aunque cada como con cual cuando de del desde donde dos el ella ellas
ellos en entre era es esa ese eso esta estan estas este esto estos fue ha hacia han hasta hay la las le les lo los mas
me mientras muy nada ni no nos o otra otras otro otros para parece pero poco por porque puede pueden que quien se sea
ser si sido sin sobre son su sus tal tambien tan tanto tiene tienen toda todas todo todos tras tu un una unas uno unos
varias varios ve ven y ya
ao aos ate com da das dela dele depois do dos e ela elas ele eles em essa esse estao eu foi isso isto ja mais mas mesmo
muito na nas nao nem nossa num numa os ou pela pelas pelo pelos pode podem qual quem sao sem seu seus sua suas tem uma
umas uns ver voce
about all also an and are at be been but by can for from had has have he her his i in into is it its like made more most
of on one or our out over she some such than that the their them then there these they this those to two up very was we
were what when where which who will with you your
foto fotografia imagen imagem image picture photo muestra mostra shows show
"""
"""Words of the three languages that name nothing: folded."""

_EMPTY = frozenset(EMPTY.split())

_MASK = re.compile("|".join(map(re.escape, KINDS)))


class Described(Protocol):
    """What both models wrote to one prompt."""

    @property
    def prompt(self) -> str:
        """Its key."""

    @property
    def country(self) -> str:
        """Of the slate, or ""."""

    @property
    def base_text(self) -> str:
        """What the base wrote."""

    @property
    def adapted_text(self) -> str:
        """What the adapted model wrote."""


@dataclass(frozen=True, slots=True)
class TermGroup:
    """Recall over the pictures of one country, or of all.

    Attributes:
        name: The country; "" for all.
        terms: How many there are to find.
        base: Recall of the base's descriptions; a mean over pictures, as are the others.
        adapted: Of the adapted model's.
        change: Adapted - base, picture by picture.
        best: Of the descriptions that people ranked first, in terms of their rewrites alone; None without a rewrite.
        others: The same of those that nobody ranked first.
    """

    name: str
    terms: int
    base: Estimate
    adapted: Estimate
    change: Estimate
    best: Estimate | None
    others: Estimate | None


@dataclass(frozen=True)
class Terms:
    """Recall of people's terms by group, and some of them.

    Attributes:
        groups: All pictures first; then a country each.
        shown: Of some pictures: the "picture", its "terms", and those that "base" and "adapted" named.
    """

    groups: tuple[TermGroup, ...]
    shown: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """What `asdict` and JSON left of it."""
        return cls(tuple(TermGroup(**read_estimates(group)) for group in facts["groups"]), tuple(facts["shown"]))

    def tables(self) -> list[Table]:
        """Recall by country, and the terms of a few pictures."""
        rows = [
            (
                group.name or "all",
                f"{group.base.prompts}",
                f"{group.terms}",
                f"{group.base}",
                f"{group.adapted}",
                group.change.points,
                *(str(one) if one else "–" for one in (group.best, group.others)),
            )
            for group in self.groups
        ]
        examples = [
            (one["picture"][:8], *(", ".join(one[key]) or "–" for key in ("terms", "base", "adapted")))
            for one in self.shown
        ]
        return [
            Table("terms of the culture in descriptions", COLUMNS, rows, HOW_TO_READ),
            Table("", ("picture", "people's terms", "named by the base", "named by the adapted model"), examples),
        ]


COLUMNS = ("country", "pictures", "terms", "base", "adapted", "change", "ranked first", "other candidates")

HOW_TO_READ = (
    "Share of people's terms that a description names, a mean over pictures; in brackets 95 % bootstrap intervals "
    f"over pictures. Terms are at most {MOST} words or expressions a picture, of people's rewrites and of the "
    f"descriptions that they ranked first, which at most {RARE:.0%} of the other pictures' texts hold (or one). "
    "**Ranked first** and **other candidates** are looked at by the terms of the rewrites alone: where people's first "
    "choice does not name more of these than the others do, the measure says little. A named term may still be used "
    "wrongly, and what people would call by another word counts as missed."
)
"""What stands under the table."""


def _content(words: Iterable[str]) -> list[str]:
    """Folded words, a plural's ending cut off; those that name nothing are ""."""
    return ["" if word in _EMPTY or len(word) < 3 or word.isdigit() else _singular(word) for word in words]


def _singular(word: str) -> str:
    """The word without a plural's ending; for comparing alone, so that both sides may be wrong in the same way."""
    if word.endswith("es") and len(word) > 4 and word[-3] not in "aeiou":
        return word[:-2]
    return word[:-1] if word.endswith("s") and len(word) > 3 else word


def _phrases(text: str) -> set[str]:
    """Words, and runs of two or three words that begin and end with one that names something."""
    if len(parts := _MASK.split(text)) > 1:
        return {phrase for part in parts for phrase in _phrases(part)}
    plain = fold(text).split()
    words = _content(plain)
    found = {word for word in words if word}
    for first, begin in enumerate(words):
        for last in range(first + 1, min(first + 3, len(words))):
            if begin and words[last]:
                found.add(" ".join((begin, *plain[first + 1 : last], words[last])))
    return found


def picture_terms(own: Mapping[str, Sequence[str]], texts: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Terms of each picture, the most telling first.

    Args:
        own: Name -> people's own texts; a name is a picture's id, with more behind a colon where people of several
            countries described it.
        texts: Picture -> all texts about it.
    """
    shared = {
        name: Counter(phrase for text in dict.fromkeys(said) for phrase in _phrases(text)) for name, said in own.items()
    }
    # Of all that is said of all pictures only this is counted: memory grows with the pictures that are described.
    asked = set[str]().union(*shared.values())
    pictures = {name.partition(":")[0] for name in own}
    spread, held = Counter[str](), dict[str, set[str]]()
    for picture, said in texts.items():
        phrases = {phrase for text in said for phrase in asked.intersection(_phrases(text))}
        spread.update(phrases)
        if picture in pictures:
            held[picture] = phrases
    most = max(1, int(RARE * (len(texts) - 1)))
    found: dict[str, tuple[str, ...]] = {}
    for name, counts in shared.items():
        about = held.get(name.partition(":")[0], set())
        elsewhere = {phrase: spread[phrase] - (phrase in about) for phrase in counts}
        good = {
            phrase: count * math.log((len(texts) + 1) / (1 + elsewhere[phrase]))
            for phrase, count in counts.items()
            if elsewhere[phrase] <= most and (" " not in phrase or count > 1)
        }
        inside = {part for phrase in good if " " in phrase for part in _parts(phrase)}
        order = sorted(good.keys() - inside, key=lambda phrase: (-good[phrase], phrase))
        found[name] = tuple(order[:MOST])
    return found


def _parts(phrase: str) -> set[str]:
    """What is in an expression and is none any more beside it."""
    words = phrase.split()
    return {*words, " ".join(words[:2]), " ".join(words[1:])} - {phrase}


def as_written(terms: Sequence[str], texts: Iterable[str]) -> dict[str, str]:
    """Each term as the first of these texts writes it, with its accents and capitals."""
    found: dict[str, str] = {}
    for text in texts:
        words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text))
        for length in (1, 2, 3):
            for first in range(len(words) - length + 1):
                said = " ".join(words[first : first + length])
                found |= {phrase: said for phrase in _phrases(said) if phrase in terms and phrase not in found}
    return found


def named(terms: Iterable[str], text: str) -> list[str]:
    """Those terms that a text holds."""
    held = _phrases(text)
    return [term for term in terms if term in held]


def recall_of_terms(samples: Sequence[Described], slates: Sequence[RankedSlate], *, seed: int) -> Terms | None:
    """How much of people's terms base and adapted model name.

    Args:
        samples: What both wrote.
        slates: Held out, of pictures: what was written to them, and all others, whose texts say what is rare.
        seed: Of the bootstrap.

    Returns:
        None where no picture has any term.
    """
    texts: dict[str, list[str]] = defaultdict(list)
    for slate in slates:
        texts[slate.image] += [*map(words_of, slate.answers), *slate.rewrites]
    by_prompt = {(slate.prompt_key, slate.country): slate for slate in slates}
    described = [by_prompt[sample.prompt, sample.country] for sample in samples]
    terms = picture_terms({_name(slate): [*slate.rewrites, *_first(slate)] for slate in described}, texts)
    of_rewrites = picture_terms({_name(slate): slate.rewrites for slate in described if slate.rewrites}, texts)
    rows = []
    for sample, slate in zip(samples, described, strict=True):
        if wanted := terms[_name(slate)]:
            base, adapted = (named(wanted, text) for text in (sample.base_text, sample.adapted_text))
            rows.append((slate, wanted, base, adapted, _candidates(slate, of_rewrites.get(_name(slate), ()))))
    if not rows:
        return None
    groups = [("", rows)]
    groups += [
        (c, [row for row in rows if row[0].country == c]) for c in sorted({row[0].country for row in rows} - {""})
    ]
    shown = []
    for slate, wanted, base, adapted, _ in sorted(rows, key=lambda row: -len(row[3]))[:SHOWN]:
        written = as_written(wanted, [*slate.rewrites, *_first(slate)])
        sides = (("terms", wanted), ("base", base), ("adapted", adapted))
        shown.append(
            {"picture": slate.image, **{key: [written.get(term, term) for term in those] for key, those in sides}}
        )
    return Terms(tuple(_group(name, theirs, seed) for name, theirs in groups), tuple(shown))


def _group(name: str, rows: Sequence[tuple[Any, ...]], seed: int) -> TermGroup:
    pictures = [slate.image for slate, *_ in rows]
    base, adapted = (np.array([len(row[place]) / len(row[1]) for row in rows], dtype=float) for place in (2, 3))
    mean = partial(mean_over_prompts, seed=seed, within=(0, 1))
    compared = [(slate.image, *both) for slate, *_, both in rows if both]
    best, others = (
        mean(np.array([row[place] for row in compared]), [row[0] for row in compared]) if compared else None
        for place in (1, 2)
    )
    return TermGroup(
        name,
        sum(len(row[1]) for row in rows),
        mean(base, pictures),
        mean(adapted, pictures),
        paired_difference(base, adapted, pictures, seed=seed),
        best,
        others,
    )


def _candidates(slate: RankedSlate, terms: Sequence[str]) -> tuple[float, float] | None:
    """Recall of the candidates that somebody ranked first, and of the others; None where nothing is compared."""
    first = {answer for ranking in slate.rankings if ranking.tiers for answer in ranking.tiers[0]}
    ranked = {answer for ranking in slate.rankings for tier in ranking.tiers for answer in tier}
    sides = [[len(named(terms, words_of(slate.answers[i]))) for i in side] for side in (first, ranked - first)]
    if not terms or not all(sides):
        return None
    best, others = (sum(side) / len(side) / len(terms) for side in sides)
    return best, others


def _first(slate: RankedSlate) -> list[str]:
    """Texts that somebody ranked first, and not together with all others."""
    places = {i for ranking in slate.rankings if len(ranking.tiers) > 1 for i in ranking.tiers[0]}
    return [words_of(slate.answers[i]) for i in sorted(places)]


def _name(slate: RankedSlate) -> str:
    return f"{slate.image}:{slate.country}"
