"""Examples of a file → slates: its pairs with their votes, its rankings, and the rows that say nothing.

Files are read by annotation/reading/examples.py. What training reads beside an example (votes, weights, names of slates
and people) stands in the row's cells and is checked here, with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from annotation.errors import TrainError
from annotation.reading.conversations import HUMAN, read_turns
from annotation.reading.examples import Example, Examples, FoundJudgement
from annotation.reading.names import SYNONYMS
from annotation.reading.pictures import PICTURE_COLUMNS
from annotation.tasks.ranking.preferences import whole
from annotation.tasks.ranking.tables import WEIGHED
from annotation.text.locales import fold, language_code
from annotation.types import Dropped
from train.data.cells import country_of, is_gap, label, share, votes
from train.data.objective import ALONE
from train.data.pairs import Pair, prompt_key
from train.data.rankings import RankingRow, ranking_from_row, slate_name, slates_of_rankings
from train.data.slates import RankedSlate, slate_of_pair
from train.data.texts import Message, as_answer

NOT_JUDGED = "nothing says which answer is better"

COUNTS = ("votes_for", "votes_against", "ties", "weight", "margin", *WEIGHED)
"""Columns that say how often, how much and by how much the chosen answer is better."""

RANKED = ("candidates", "ranks")
"""Columns that make a file one of rankings."""

ALSO = (
    frozenset(
        name.replace("_", " ")
        for name in (*COUNTS, *RANKED, "slate_id", "candidate_ids", "none_acceptable", "rewrite", "annotator", "group")
    )
    | PICTURE_COLUMNS
)
"""Columns that training reads beside an example, folded."""


@dataclass(frozen=True)
class Judged:
    """What the examples of a file come to.

    Attributes:
        slates: Pairs in the order of the file, then rankings.
        excluded: Rows from which nothing is learnt.
        unused: Rewrites beyond the first of a slate.
        repeated: Rankings that the same person gave twice.
        groups: (prompt key, group): what the file says belongs together.
        places: Slate's id to the first row that judges it, where it is ranked.
    """

    slates: tuple[RankedSlate, ...]
    excluded: tuple[Dropped, ...]
    unused: tuple[Dropped, ...]
    repeated: tuple[Dropped, ...]
    groups: frozenset[tuple[str, str]] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict)


def judged_slates(found: Examples, pictures: Mapping[str, str], *, rewrites: bool) -> Judged:
    """Slates of the examples of a file.

    Plain texts stay plain where every row of the file is a question alone with two answers; else all are messages.

    Args:
        found: The examples.
        pictures: Place of an example -> id of the picture that it is about.
        rewrites: As for `slates_of_rankings`.

    Raises:
        TrainError: A cell is not what it must be; the sentence begins with its place.
    """
    pairs: list[RankedSlate] = []
    rows: list[RankingRow] = []
    excluded = list(found.dropped)
    told = {dropped.id for dropped in excluded}
    groups = set[tuple[str, str]]()
    of_rankings = any(_has(example.cells, RANKED) for example in found.kept)
    for example in found.kept:
        cells = {ours: value for column, value in example.cells.items() if (ours := _our_name(column))}
        image = pictures.get(example.place, "")
        cells |= _facts(example) | {"image": image}
        prompt = _messages(example)
        if group := label(cells, "group", example.place):
            groups.add((prompt_key(prompt, image), group))
        if of_rankings:
            rows.append(ranking_from_row(cells, example.place, prompt))
        elif seats := _pair_of(example, cells):
            pairs.append(slate_of_pair(_pair(example, seats, cells, prompt)))
        elif example.judgements:
            rows += [_ranking(example, judgement, cells, prompt) for judgement in example.judgements]
        elif f"{example.place} judgement" not in told:
            answers = sum(bool(answer.text.strip()) for answer in example.answers)
            excluded.append(Dropped(example.place, NOT_JUDGED if answers > 1 else ALONE))
    ranked = slates_of_rankings(rows, rewrites=rewrites)
    if not ranked.slates and not any(map(_is_spoken, found.kept)):
        pairs = list(map(_plain, pairs))
    return Judged(
        (*pairs, *ranked.slates),
        (*excluded, *ranked.excluded),
        ranked.unused,
        ranked.repeated,
        frozenset(groups),
        {f"{row.slate_id}:{row.country}": row.place for row in reversed(rows)},
    )


@cache
def _our_name(column: str) -> str:
    """Our name of a column that training reads from the cells; "" for any other."""
    name = fold(column)
    return name.replace(" ", "_") if name in ALSO else ""


@cache
def _is_system(column: str) -> bool:
    return fold(column) in SYNONYMS["system"]


def _has(cells: Mapping[str, object], names: tuple[str, ...]) -> bool:
    return {_our_name(column) for column in cells} >= set(names)


def _facts(example: Example) -> dict[str, str]:
    """Country, language and topic of an example, as codes where they are names."""
    written = {"country": example.country, "language": example.language, "topic": example.topic}
    language = label(written, "language", example.place)
    return {
        "country": country_of(written, example.place),
        "language": language_code(language) or language if language else "",
        "topic": label(written, "topic", example.place),
    }


def _messages(example: Example) -> tuple[Message, ...]:
    """The prompt as messages.

    Raises:
        TrainError: A text holds half a character.
    """
    try:
        for text in (*(turn.text for turn in example.turns), *(answer.text for answer in example.answers)):
            text.encode()
    except UnicodeEncodeError:
        raise TrainError(f"{example.place} holds half a character (\\ud800 or so); mend that row.") from None
    return tuple({"role": turn.role, "content": turn.text} for turn in example.turns)


def _pair_of(example: Example, cells: Mapping[str, Any]) -> tuple[int, int] | None:
    """Places of the better and the worse answer where a row compares two and nobody signed it, or it counts votes."""
    answers = [answer.stood for answer in example.answers if answer.text.strip()]
    if answers == ["chosen", "rejected"] and not is_gap(cells.get("votes_for")) and cells["votes_for"] != "":
        return 0, 1
    if len(example.judgements) != 1:
        return None
    said = example.judgements[0]
    signed = said.annotator and not any(name in cells for name in COUNTS)
    if said.none_acceptable or said.rewrite or signed or list(map(len, said.tiers)) != [1, 1]:
        return None
    return said.tiers[0][0], said.tiers[1][0]


def _pair(example: Example, seats: tuple[int, int], cells: Mapping[str, Any], prompt: tuple[Message, ...]) -> Pair:
    place = example.place
    return Pair(
        place,
        prompt,
        as_answer(example.answers[seats[0]].text),
        as_answer(example.answers[seats[1]].text),
        cells["country"],
        cells["language"],
        cells["topic"],
        label(cells, "slate_id", place),
        *_votes(cells, place),
        share(cells, "weight", 1.0, place),
        share(cells, "margin", 0.0, place),
        cells["image"],
    )


def _votes(cells: Mapping[str, Any], place: str) -> tuple[float, float, float]:
    """Votes for, against and tied: what they weigh, where the row says so; else how many people."""
    weights = [share(cells, name, -1, place) for name in WEIGHED]
    if min(weights) >= 0 and any(weights):
        votes_for, votes_against, ties = map(whole, weights)
        return votes_for, votes_against, ties
    return votes(cells, "votes_for", 1, place), votes(cells, "votes_against", 0, place), votes(cells, "ties", 0, place)


def _ranking(
    example: Example, judgement: FoundJudgement, cells: Mapping[str, Any], prompt: tuple[Message, ...]
) -> RankingRow:
    answers = tuple(answer.text for answer in example.answers)
    country = judgement.country and country_of({"country": judgement.country}, example.place)
    return RankingRow(
        example.place,
        label(cells, "slate_id", example.place) or slate_name(prompt, answers, cells["image"]),
        country or cells["country"],
        judgement.annotator,
        judgement.tiers,
        judgement.none_acceptable,
        judgement.rewrite.strip(),
        prompt,
        answers,
        cells["language"],
        cells["topic"],
        image=cells["image"],
    )


def _is_spoken(example: Example) -> bool:
    """Whether a row is a conversation, or has a column for a system text: plain text has no place for one."""
    return (
        len(example.turns) != 1
        or example.turns[0].role != HUMAN
        or any(_is_system(column) for column in example.cells)
        or any(isinstance(cell, list | dict) and read_turns(cell) is not None for cell in example.cells.values())
    )


def _plain(slate: RankedSlate) -> RankedSlate:
    """A slate of one question and its answers as texts."""
    prompt, *answers = (text[0]["content"] for text in slate.texts if not isinstance(text, str))
    return replace(slate, prompt=prompt, answers=tuple(answers))
