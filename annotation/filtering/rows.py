"""Rows of a set that is filtered: examples, cleaned and masked, and the pairs of their answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from annotation.reading.conversations import Turn, prompt_of, system_of
from annotation.reading.examples import Example, FoundAnswer, FoundJudgement
from annotation.screen import Progress, silent
from annotation.text.clean import clean, clean_label
from annotation.text.language import tell
from annotation.text.locales import country_code, fold, language_code, locale_country
from annotation.text.privacy import mask
from annotation.types import Dropped

SPLIT_COLUMNS = ("split", "partition", "particion", "particao")
"""Names, folded, of a column that says in which split of the source a row stands."""

WEIGHTS = ("weight", "margin")
"""Columns of a file of pairs that `annot train` weighs with; they go through as they are. Votes are judgements."""

_SPLIT_PLACE = re.compile(r":([^:]+):\d+\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with its answers and what is said of them.

    Attributes:
        number: Its place among all rows that were read, 0 first.
        place: "file:row": where a person finds it.
        prompt: The question; several turns are written out.
        turns: What was said before the answers.
        answers: Cleaned and masked.
        judgements: Of these answers; tiers hold places in `answers`.
        pairs: (better, worse) places in `answers`, of which more judgements say so than the opposite.
        country: ISO 3166-1 alpha-2, or "" where nobody knows.
        language: ISO 639-1, or "".
        split: Of the source, or "".
        masked: Token ("[email]") to how many stand in its texts for what was masked.
        weights: Cells of the source by which a pair counts in training: some of WEIGHTS.
    """

    number: int
    place: str
    prompt: str
    turns: tuple[Turn, ...]
    answers: tuple[FoundAnswer, ...] = ()
    judgements: tuple[FoundJudgement, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    country: str = ""
    language: str = ""
    topic: str = ""
    licence: str = ""
    split: str = ""
    masked: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, object] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """The system text, or ""."""
        return system_of(self.turns)

    @property
    def is_pair(self) -> bool:
        """Whether all that is said of the answers is that one of two is better."""
        return (
            len(self.answers) == 2
            and len(self.pairs) == 1
            and len(self.judgements) == 1
            and not self.judgements[0].annotator
            and not self.judgements[0].none_acceptable
            and not self.judgements[0].rewrite
        )

    def without(self, gone: Collection[int]) -> Row | None:
        """The row without some of its answers; None where nothing is left to learn from it or to ask about."""
        stay = [place for place in range(len(self.answers)) if place not in gone]
        places = {place: new for new, place in enumerate(stay)}
        judgements = []
        for one in self.judgements:
            tiers = (tuple(places[place] for place in tier if place in places) for tier in one.tiers)
            left = replace(one, tiers=tuple(tier for tier in tiers if tier))
            says = one.none_acceptable or one.rewrite or not one.tiers
            if says or len(left.tiers) > 1 or (left.tiers and len(one.tiers) == 1):
                judgements.append(left)
        pairs = tuple((places[one], places[two]) for one, two in self.pairs if one in places and two in places)
        if not stay or (self.pairs and not pairs):
            return None
        answers = tuple(self.answers[place] for place in stay)
        return replace(self, answers=answers, judgements=tuple(judgements), pairs=pairs)


def tidy(
    examples: Sequence[Example],
    countries: Sequence[str],
    languages: Sequence[str],
    progress: Progress = silent,
    counted: Mapping[str, tuple[tuple[int, int], ...]] | None = None,
) -> tuple[list[Row], list[Dropped]]:
    """Clean and mask the texts of examples, find their codes; leave out prompts and answers without a word.

    Args:
        examples: As read.
        countries: The project's; the first is that of rows that name none.
        languages: The project's; that of a row without one is told among them.
        progress: Gets how many are done.
        counted: Pairs of an example by its place, where others count them than `majority`.
    """
    rows, dropped = list[Row](), list[Dropped]()
    for number, one in enumerate(examples):
        progress(number, len(examples), "cleaning")
        stated = clean_label(one.country[:200])
        country = country_code(stated) or "" if stated else locale_country(one.language) or next(iter(countries), "")
        masked = Counter[str]()
        turns = tuple(Turn(turn.role, _bare(turn.text, country, one.accounts, masked)) for turn in one.turns)
        prompt = prompt_of(turns)
        if not any(map(str.isalpha, prompt)):
            dropped.append(Dropped(one.place, "empty", "the prompt has no word"))
            continue
        answers = tuple(replace(a, text=_bare(a.text, country, one.accounts, masked)) for a in one.answers)
        row = Row(
            number,
            one.place,
            prompt,
            turns,
            answers,
            tuple(replace(j, rewrite=_bare(j.rewrite, country, one.accounts, masked)) for j in one.judgements),
            majority(one.judgements) if counted is None else counted[one.place],
            country,
            language_code(one.language) or tell(prompt, languages),
            _bare(clean_label(one.topic[:80]), country, one.accounts, masked) or "general",
            _bare(clean_label(one.licence[:400]), country, one.accounts, masked),
            split_of(one),
            masked,
            {name: one.cells[name] for name in WEIGHTS if name in one.cells},
        )
        blank = {place for place, answer in enumerate(answers) if not answer.text}
        left = row.without(blank) if blank else row
        if blank and left and len(left.answers) == 1 and left.answers[0].stood in ("chosen", "rejected"):
            left = None  # one side of a pair teaches nothing
        names = [answers[place].stood for place in sorted(blank)]
        if left:
            rows.append(left)
            dropped += [Dropped(f"{one.place} {name}", "empty", "the answer is blank") for name in names]
        else:
            dropped.append(Dropped(one.place, "empty", f"blank: {', '.join(names)}"))
    return rows, dropped


def _bare(text: str, country: str, accounts: Iterable[str], masked: Counter[str]) -> str:
    bare, found = mask(clean(text), country or None, accounts)
    masked.update(found)
    return bare


def majority(judgements: Iterable[FoundJudgement]) -> tuple[tuple[int, int], ...]:
    """Pairs (better, worse) that more judgements order so than the other way round, in the order of places.

    Who found no answer acceptable does not vote, as in `annot export` and `annot train`.
    """
    net = Counter[tuple[int, int]]()
    for one in (one for one in judgements if not one.none_acceptable):
        for level, tier in enumerate(one.tiers):
            for better in tier:
                for worse in (place for later in one.tiers[level + 1 :] for place in later):
                    net[min(better, worse), max(better, worse)] += 1 if better < worse else -1
    return tuple((a, b) if votes > 0 else (b, a) for (a, b), votes in sorted(net.items()) if votes)


def split_of(example: Example) -> str:
    """The split of its source that an example stands in: of a dataset's row "train:12", or by a column; or ""."""
    column = next((name for name in example.cells if fold(name) in SPLIT_COLUMNS), None)
    if column is not None:
        return clean_label(str(example.cells[column] or ""))[:40]
    place = _SPLIT_PLACE.search(example.place)
    return place[1] if place else ""
