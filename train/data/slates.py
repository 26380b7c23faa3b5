"""Ranked slates: the answers to one prompt, and how the people of one country rank them.

A slate that the people of two countries judged is two slates here: countries are not averaged. A pair (prompt, chosen,
rejected) is a slate of two, so that every objective takes both. How sources are read is in read.py; what an objective
learns from a slate is in objective.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from annotation.tasks.ranking.preferences import PairVotes, count_pair, places_of, whole
from annotation.types import SEATS
from train.data.pairs import Pair, prompt_key
from train.data.texts import Text, from_json, to_json


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of a slate's answers that people gave.

    Attributes:
        tiers: Indices into the slate's answers, best first; equals share a tier. Answers that are in no tier were not
            ranked and are compared with nothing.
        weight: Its share of the slate's rankings, in (0, 1]; the weights of a slate sum to 1.
        people: How many of them gave this very order, each by the weight of their votes: an int where all weigh 1.
    """

    tiers: tuple[tuple[int, ...], ...]
    weight: float = 1.0
    people: float = 1

    @property
    def stages(self) -> int:
        """Ranked stages: tiers but the last."""
        return max(len(self.tiers) - 1, 0)

    def without(self, answers: Iterable[int]) -> Ranking:
        """The same order of the other answers."""
        gone = set(answers)
        tiers = (tuple(answer for answer in tier if answer not in gone) for tier in self.tiers)
        return replace(self, tiers=tuple(tier for tier in tiers if tier))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A preference between two answers of a slate, with its votes.

    Attributes:
        better: Index of the answer that more votes prefer.
        worse: Index of the other one.
        smoothing: Probability that the label is wrong (Mitchell 2023, conservative DPO), in [0, 0.5]: the share of
            votes against, ties left out; or a fixed number where the settings give one.
        weight: How much it counts beside the slate's other comparisons.
        margin: By how much the better answer's reward should be ahead, in reward units (beta * log-ratio).
        votes_for: Votes for `better`, each by its weight, as all of these.
        votes_against: Votes for `worse`.
        ties: Votes for which both are equal.
    """

    better: int
    worse: int
    smoothing: float = 0.0
    weight: float = 1.0
    margin: float = 0.0
    votes_for: float = 1
    votes_against: float = 0
    ties: float = 0

    @classmethod
    def of_votes(cls, votes: PairVotes[int], *, margin: float = 0.0) -> Comparison:
        """A comparison whose smoothing is the share of votes against; somebody prefers one of the two."""
        return cls(
            votes.better,
            votes.worse,
            smoothing=votes.votes_against / (votes.votes_for + votes.votes_against),
            margin=margin,
            votes_for=votes.votes_for,
            votes_against=votes.votes_against,
            ties=votes.ties,
        )

    @property
    def lead(self) -> float:
        """Votes for minus votes against, as a share of all, ties included; 0 where nobody voted."""
        return (self.votes_for - self.votes_against) / ((self.votes_for + self.votes_against + self.ties) or 1)


@dataclass(frozen=True, slots=True)
class RankedSlate:
    """A slate of answers to one prompt, as the people of one country rank it.

    Attributes:
        id: "slate:country", or "file:row".
        prompt: What all answer; messages end with the user's.
        answers: In the order of their seats; a rewrite stands behind them and is in no ranking.
        rankings: People's orders, the same ones counted together.
        comparisons: Counted votes per pair.
        target: Index of the answer that the SFT term imitates: a rewrite, else the best-ranked answer; or None.
        country: Of the people who judged, or "".
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        slate_id: The slate's id, or "".
        seats: Names of the answers: candidate ids, or empty for a file.
        people: How many people's rankings are counted here, each by the weight of their votes.
        weight: Of this example in the loss.
        image: Id of the picture that the prompt is about, or "".
        rewrites: Of pictures: what people wrote in the place of all answers; what descriptions are measured with.
        round: Of the project in which people were asked, 1 first.
    """

    id: str
    prompt: Text
    answers: tuple[Text, ...]
    rankings: tuple[Ranking, ...]
    comparisons: tuple[Comparison, ...]
    target: int | None = None
    country: str = ""
    language: str = ""
    topic: str = ""
    slate_id: str = ""
    seats: tuple[str, ...] = ()
    people: float = 1
    weight: float = 1.0
    image: str = ""
    rewrites: tuple[str, ...] = ()
    round: int = 1

    @property
    def prompt_key(self) -> str:
        """Hash of the question, without the system text: see Pair.prompt_key."""
        return prompt_key(self.prompt, self.image)

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""
        return self.prompt, *self.answers

    @property
    def stages(self) -> float:
        """Ranked stages, weighted by people: what the listwise loss is a mean over."""
        return sum(ranking.weight * ranking.stages for ranking in self.rankings)

    def without(self, answers: Iterable[int]) -> RankedSlate:
        """The slate as if some answers had never been on it.

        What people said of the others stays true: under Plackett and Luce's axiom the order of some answers does not
        depend on which others stand beside them (Luce 1959).
        """
        gone = set(answers)
        stay = [index for index in range(len(self.answers)) if index not in gone]
        place = {old: new for new, old in enumerate(stay)}
        left = [ranking.without(gone) for ranking in self.rankings]
        return replace(
            self,
            answers=tuple(self.answers[index] for index in stay),
            rankings=tuple(
                replace(ranking, tiers=tuple(tuple(place[answer] for answer in tier) for tier in ranking.tiers))
                for ranking in left
            ),
            comparisons=tuple(
                replace(pair, better=place[pair.better], worse=place[pair.worse])
                for pair in self.comparisons
                if pair.better in place and pair.worse in place
            ),
            target=place.get(self.target) if self.target is not None else None,
            seats=tuple(self.seats[index] for index in stay if index < len(self.seats)),
        )

    def pairs(self) -> tuple[Pair, ...]:
        """Its comparisons as rows for a trainer of pairs."""
        return tuple(
            Pair(
                self._pair_id(pair),
                self.prompt,
                self.answers[pair.better],
                self.answers[pair.worse],
                self.country,
                self.language,
                self.topic,
                self.slate_id,
                pair.votes_for,
                pair.votes_against,
                pair.ties,
                self.weight * pair.weight,
                pair.margin,
                self.image,
            )
            for pair in self.comparisons
        )

    def _pair_id(self, pair: Comparison) -> str:
        if not self.seats:
            return self.id if len(self.comparisons) == 1 else f"{self.id}:{pair.better}:{pair.worse}"
        return f"{self.slate_id}:{self.seats[pair.better]}:{self.seats[pair.worse]}:{self.country}"

    def row(self) -> dict[str, Any]:
        """As a line of JSON; `from_row` reads it. Of texts it says nothing of pictures: hashes stay the same.

        Nor does it name the first round.
        """
        left_out = {"image", "rewrites"} if not self.image else set[str]()
        left_out |= {"round"} if self.round == 1 else set()
        facts = {name: getattr(self, name) for name in self.__slots__ if name not in left_out}
        facts["prompt"] = to_json(self.prompt)
        facts["answers"] = [to_json(answer) for answer in self.answers]
        facts["rankings"] = [{name: getattr(r, name) for name in Ranking.__slots__} for r in self.rankings]
        facts["comparisons"] = [{name: getattr(c, name) for name in Comparison.__slots__} for c in self.comparisons]
        return facts

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RankedSlate:
        """Read what `row` wrote, before or after a way through JSON."""
        return cls(
            **{
                **row,
                "prompt": from_json(row["prompt"]),
                "answers": tuple(from_json(answer) for answer in row["answers"]),
                "rankings": tuple(
                    Ranking(**{**ranking, "tiers": tuple(map(tuple, ranking["tiers"]))}) for ranking in row["rankings"]
                ),
                "comparisons": tuple(Comparison(**comparison) for comparison in row["comparisons"]),
                "seats": tuple(row["seats"]),
                "rewrites": tuple(row.get("rewrites", ())),
            }
        )


def seat_name(slate: RankedSlate, answer: int) -> str:
    """Name of an answer for a person: "slate/C", or "slate/id"; behind the last letter "slate/27"."""
    if answer < len(slate.seats):
        return f"{slate.id}/{slate.seats[answer]}"
    return f"{slate.id}/{SEATS[answer] if answer < len(SEATS) else answer + 1}"


def slate_of_pair(pair: Pair) -> RankedSlate:
    """A pair as a slate of two: index 0 is the chosen answer, index 1 the rejected one."""
    votes = {((0,), (1,)): pair.votes_for, ((1,), (0,)): pair.votes_against, ((0, 1),): pair.ties}
    people = whole(sum(votes.values()))
    ahead, behind = max(pair.votes_for, pair.votes_against), min(pair.votes_for, pair.votes_against)
    better = 0 if pair.votes_for == ahead else 1
    counted = PairVotes(better, 1 - better, ahead, behind, pair.ties)
    return RankedSlate(
        pair.id,
        pair.prompt,
        (pair.chosen, pair.rejected),
        tuple(Ranking(tiers, count / people, count) for tiers, count in votes.items() if count),
        (Comparison.of_votes(counted, margin=pair.margin),) if ahead > behind else (),
        better,
        pair.country,
        pair.language,
        pair.topic,
        pair.slate_id,
        (),
        people,
        pair.weight,
        pair.image,
    )


def count_votes(rankings: Sequence[Ranking]) -> tuple[Comparison, ...]:
    """Compare every two answers by the people who ranked both; pairs without a majority are no comparison."""
    answers = sorted({answer for ranking in rankings for tier in ranking.tiers for answer in tier})
    places = [(places_of(ranking.tiers), ranking.people) for ranking in rankings]
    counted = (count_pair(one, other, places) for one, other in combinations(answers, 2))
    return tuple(Comparison.of_votes(votes) for votes in counted if votes.votes_for > votes.votes_against)
