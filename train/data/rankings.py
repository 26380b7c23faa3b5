"""Rankings: what one person said of one slate, read strictly, and all that people said of a slate as one example.

Who votes and how votes are counted is annotation/tasks/ranking/preferences.py, as for the preferences of a snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.reading.cells import unpacked
from annotation.tasks.ranking.preferences import PairVotes, too_few_votes, voters, whole
from annotation.tasks.ranking.tables import weights_of
from annotation.types import Dropped, content_id
from train.data.cells import country_of, flag, is_gap, label, picture_id, share, system_text, whole_number
from train.data.objective import ALL_TIED, ALONE, NOT_RANKED, WEIGHTLESS
from train.data.slates import Comparison, RankedSlate, Ranking, count_votes
from train.data.texts import Message, as_answer, as_question, question_of


@dataclass(frozen=True, slots=True)
class RankingRow:
    """One person's judgement of one slate.

    Attributes:
        place: "file:row".
        slate_id: The source's, or a hash of question and answers.
        country: Of the person, or "".
        annotator: Who it was, or "".
        tiers: As in Ranking; empty where nothing was ranked.
        none_acceptable: They found no answer acceptable.
        rewrite: An answer of their own, or "".
        prompt: What all answer.
        answers: As the person saw them.
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        seats: Names of the answers, or ().
        image: Id of the picture that the prompt is about, or "".
        weight: Of the person's votes; 0: they do not count.
        round: Of the project in which they were asked.
    """

    place: str
    slate_id: str
    country: str
    annotator: str
    tiers: tuple[tuple[int, ...], ...]
    none_acceptable: bool
    rewrite: str
    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    language: str = ""
    topic: str = ""
    seats: tuple[str, ...] = ()
    image: str = ""
    weight: float = 1.0
    round: int = 1

    @property
    def shown(self) -> tuple[object, ...]:
        """Everything that the person saw."""
        return self.prompt, self.answers, self.image

    @property
    def compares(self) -> bool:
        """Whether two answers were ranked at least: one alone is compared with nothing."""
        return sum(map(len, self.tiers)) > 1

    @property
    def response(self) -> tuple[tuple[tuple[int, ...], ...], bool, str]:
        """Everything that the person said of the slate."""
        return self.tiers, self.none_acceptable, self.rewrite


@dataclass(frozen=True)
class Ranked:
    """Slates of rankings, and what became none.

    Attributes:
        slates: In the order of the source.
        excluded: Slates from which nothing is learnt.
        unused: Rewrites beyond the first of a slate.
        repeated: Rankings that the same person gave twice for one slate; they count once.
    """

    slates: tuple[RankedSlate, ...] = ()
    excluded: tuple[Dropped, ...] = ()
    unused: tuple[Dropped, ...] = ()
    repeated: tuple[Dropped, ...] = ()


def slate_name(prompt: Sequence[Message], answers: Sequence[str], image: str = "") -> str:
    """A name for a slate that has none: a hash of what it holds."""
    system = "\n\n".join(message["content"] for message in prompt if message["role"] == "system")
    spoken = [message["content"] for message in prompt if message["role"] != "system"]
    asked = spoken if len(spoken) == 1 else [question_of(tuple(prompt))]
    return content_id(system, *asked, *answers, *([image] if image else []))


def ranking_from_row(row: Mapping[str, Any], place: str, asked: tuple[Message, ...] | None = None) -> RankingRow:
    """Read a row of rankings.parquet, or of somebody's own file of rankings.

    Args:
        row: Its cells, under our names.
        place: "file:row".
        asked: The prompt, where it is read already; else it is made of the cells `prompt` and `system`.

    Raises:
        TrainError: It is no ranking, or a rank, a flag, a rewrite or a weight is not what it must be.
    """
    answers, ranks = unpacked(row.get("candidates")), unpacked(row.get("ranks"))
    ranks = [] if is_gap(ranks) or ranks == "" else ranks
    if asked is None and isinstance(row.get("prompt"), str):
        asked = as_question(row["prompt"], system_text(row, place))
    if (
        not asked
        or not isinstance(answers, list)
        or not all(isinstance(answer, str) for answer in answers)
        or not isinstance(ranks, list)
        or len(ranks) not in (0, len(answers))
    ):
        raise TrainError(
            f"{place} is no ranking: it needs a prompt, a list of candidates and a rank for each; mend that row."
        )
    slate_id, annotator, language, topic = (
        label(row, name, place) for name in ("slate_id", "annotator", "language", "topic")
    )
    image = picture_id(row, place)
    slate_id = slate_id or slate_name(asked, answers, image)
    none_acceptable, rewrite = flag(row, "none_acceptable", place), row.get("rewrite")
    if not is_gap(rewrite) and not isinstance(rewrite, str):
        raise TrainError(f"{place}, rewrite = {short(rewrite)}: it is a text, or empty; mend that row.")
    named = unpacked(row.get("candidate_ids"))
    named = [] if is_gap(named) or named == "" else named
    if not isinstance(named, list) or len(named) not in (0, len(answers)):
        raise TrainError(f"{place}, candidate_ids: there must be one for each candidate, or none; mend that row.")
    return RankingRow(
        place,
        slate_id,
        country_of(row, place),
        annotator,
        _tiers([_rank(rank, f"{place}, slate {slate_id}") for rank in ranks]),
        none_acceptable,
        "" if is_gap(rewrite) else str(rewrite).strip(),
        asked,
        tuple(answers),
        language,
        topic,
        tuple(named),
        image,
        share(row, "weight", 1.0, place),
        whole_number(row.get("round")) or 1,
    )


def slates_of_rankings(
    rows: Iterable[RankingRow],
    preferences: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]] | None = None,
    min_votes: int = 1,
    *,
    rewrites: bool = False,
) -> Ranked:
    """Slates of rankings: what the people of one country said of one slate is one example.

    Args:
        rows: In the order of the source.
        preferences: Slate's id and country -> a snapshot's preferences; None: they are counted here.
        min_votes: People who must have ranked a slate.
        rewrites: Put the first rewrite of a slate behind its answers, as the target of the SFT term.

    Raises:
        TrainError: A person said two things, or people were shown different things under one slate_id.
    """
    groups, repeated = _by_slate(rows)
    slates: list[RankedSlate] = []
    excluded: list[Dropped] = []
    unused: list[Dropped] = []
    for key, people in groups.items():
        name = ":".join(key)
        rankings, dropped = _rankings(name, people, min_votes)
        if dropped:
            excluded.append(dropped)
            continue
        rewritten = [one.rewrite for one in people if one.rewrite] if rewrites else []
        unused += [Dropped(f"{name}/rewrite", "a slate has one rewrite") for _ in rewritten[1:]]
        counted = None if preferences is None else preferences.get(key, ())
        slate = _slate(people, rankings, counted, rewritten[:1])
        if slate.stages or slate.comparisons:
            slates.append(slate)
        else:
            excluded.append(Dropped(name, ALL_TIED))
    return Ranked(tuple(slates), tuple(excluded), tuple(unused), repeated)


def _by_slate(
    rows: Iterable[RankingRow],
) -> tuple[Mapping[tuple[str, str], Sequence[RankingRow]], tuple[Dropped, ...]]:
    """Rankings per slate and country, each person once; and those that a person gave twice."""
    groups: dict[tuple[str, str], list[RankingRow]] = defaultdict(list)
    people: dict[tuple[str, str, str], RankingRow] = {}
    repeated = []
    for one in rows:
        group = groups[one.slate_id, one.country]
        if group and one.shown != group[0].shown:
            raise TrainError(
                f"{one.place} calls its slate {one.slate_id}, as {group[0].place} does, and holds another prompt, "
                "another picture or other candidates, or holds them in another order; give each its own slate_id, or "
                "the same candidates in the same order."
            )
        earlier = people.setdefault((one.slate_id, one.country, one.annotator), one)
        if not one.annotator or earlier is one:
            group.append(one)
        elif one.response == earlier.response:
            repeated.append(Dropped(one.place, "the same person twice", earlier.place))
        else:
            raise TrainError(
                f"{one.place}: {one.annotator} judged the slate {one.slate_id} in {earlier.place} already, and says "
                "something else here; keep one of both."
            )
    return groups, tuple(repeated)


def _rankings(name: str, people: Sequence[RankingRow], min_votes: int) -> tuple[tuple[Ranking, ...], Dropped | None]:
    """The orders that count for a slate, the same ones together; or why the slate is excluded."""
    if not (counting := [one for one in people if one.weight]):
        return (), Dropped(name, WEIGHTLESS)
    voting, dropped = voters(name, counting, [whole(one.weight) for one in counting])
    voting = [one for one in voting if one.compares]
    if not dropped and not voting:
        dropped = Dropped(name, NOT_RANKED if len(people[0].answers) > 1 else ALONE)
    if dropped := dropped or too_few_votes(name, len(voting), min_votes):
        return (), dropped
    orders: dict[tuple[tuple[int, ...], ...], float] = defaultdict(int)
    for one in voting:
        orders[one.tiers] += one.weight
    votes = {tiers: whole(weight) for tiers, weight in orders.items()}
    everybody = whole(sum(votes.values()))
    return tuple(Ranking(tiers, weight / everybody, weight) for tiers, weight in votes.items()), None


def _slate(
    people: Sequence[RankingRow],
    rankings: tuple[Ranking, ...],
    preferences: Sequence[Mapping[str, Any]] | None,
    rewritten: Sequence[str],
) -> RankedSlate:
    first = people[0]
    if preferences is None:
        comparisons = count_votes(rankings)
    else:
        counted = (_comparison(row, first.seats) for row in preferences)
        comparisons = tuple(sorted(counted, key=lambda pair: sorted((pair.better, pair.worse))))
    return RankedSlate(
        f"{first.slate_id}:{first.country}",
        first.prompt,
        tuple(as_answer(text) for text in (*first.answers, *rewritten)),
        rankings,
        comparisons,
        len(first.answers) if rewritten else _best(rankings),
        first.country,
        first.language,
        first.topic,
        first.slate_id,
        first.seats,
        whole(sum(ranking.people for ranking in rankings)),
        image=first.image,
        rewrites=tuple(one.rewrite for one in people if one.rewrite) if first.image else (),
        round=first.round,
    )


def _rank(value: Any, place: str) -> int | None:
    """A rank; None where the answer was not ranked."""
    if is_gap(value):
        return None
    rank = whole_number(value)
    if rank is None or rank < 0:
        raise TrainError(
            f"{place}, rank {short(value)}: ranks are whole numbers from 1 (the best) on, or from 0 on, and null where "
            "an answer was not ranked; mend that row."
        )
    return rank


def _tiers(ranks: Sequence[int | None]) -> tuple[tuple[int, ...], ...]:
    """Ranks per answer → tiers; gaps between ranks mean nothing."""
    return tuple(
        tuple(answer for answer, rank in enumerate(ranks) if rank == level)
        for level in sorted({rank for rank in ranks if rank is not None})
    )


def _comparison(row: Mapping[str, Any], seats: Sequence[str]) -> Comparison:
    """A comparison as a row of preferences.parquet has it."""
    better, worse = seats.index(row["chosen_id"]), seats.index(row["rejected_id"])
    return Comparison.of_votes(PairVotes(better, worse, *weights_of(row)))


def _best(rankings: Sequence[Ranking]) -> int | None:
    """The answer that wins most comparisons with the others (Borda's count); a draw goes to the earlier seat."""
    score: dict[int, float] = defaultdict(int)
    for ranking in rankings:
        below = sum(len(tier) for tier in ranking.tiers)
        above = 0
        for tier in ranking.tiers:
            below -= len(tier)
            for answer in tier:
                score[answer] += ranking.people * (below - above)
            above += len(tier)
    return min(score, key=lambda answer: (-whole(score[answer]), answer)) if score else None
