"""Ranked slates: what the people of one country said of the answers to one prompt, and what an objective hears of it.

A slate that the people of two countries judged is two slates here: countries are not averaged. What counts:

- For the listwise objective (`plackett_luce`) every person's ranking is one, weighted so that all rankings of a slate
  sum to 1: a slate counts once per country, however many people saw it, and what they disagree about is heard.
- For the pairwise objective the votes are counted first, as in preferences.parquet: a pair is a comparison where more
  people are for than against and the thresholds of `[preferences]` are met; its smoothing is the share of votes
  against.
- Who ranked fewer than two answers compared nothing and does not count.
- Who found no answer acceptable does not vote, and where half of a country's people or more say so, the slate teaches
  nothing there: being the best of four bad answers is no reason to be imitated. A slate that fewer people ranked than
  `preferences.min_votes` teaches nothing either.

A pair (prompt, chosen, rejected) is a slate of two, so that every objective takes both. How sources are read is in
judgements.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from annotation.errors import TrainError
from annotation.types import Dropped, content_id
from train.dataset import Message, Pair, Text, asked, plain
from train.settings import DpoSettings

Objective = Literal["plackett_luce", "pairwise", "trl"]

# Why a slate teaches nothing.
ALONE = "fewer than two answers"
NOT_RANKED = "nobody ranked two answers"
ALL_TIED = "all answers tied"
UNCLEAR = "no pair is clear enough"
WEIGHTLESS = "its weight is 0"


@dataclass(frozen=True, slots=True)
class Ranking:
    """One order of a slate's answers.

    Attributes:
        tiers: Indices into the slate's answers, best first; equals share a tier. Answers that are in no tier were not
            ranked and are compared with nothing.
        weight: Its share of what the slate's people said, in (0, 1]; the weights of a slate sum to 1.
        people: How many of them gave this very order.
    """

    tiers: tuple[tuple[int, ...], ...]
    weight: float = 1.0
    people: int = 1

    @property
    def stages(self) -> int:
        """How often something is told apart: tiers but the last."""
        return max(len(self.tiers) - 1, 0)

    def without(self, answers: Iterable[int]) -> Ranking:
        """The same order of the other answers."""
        gone = set(answers)
        tiers = (tuple(answer for answer in tier if answer not in gone) for tier in self.tiers)
        return replace(self, tiers=tuple(tier for tier in tiers if tier))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers of a slate, and how many people prefer which.

    Attributes:
        better: Index of the answer that more people prefer.
        worse: Index of the other one.
        smoothing: Probability that the label is wrong (Mitchell 2023, conservative DPO), in [0, 0.5]: the share of
            votes against, ties left out; or a fixed number where the settings give one.
        weight: How much it counts beside the slate's other comparisons.
        margin: By how much the better answer's reward should be ahead, in reward units (beta * log-ratio).
        votes_for: People who prefer `better`.
        votes_against: People who prefer `worse`.
        ties: People for whom both are equal.
    """

    better: int
    worse: int
    smoothing: float = 0.0
    weight: float = 1.0
    margin: float = 0.0
    votes_for: int = 1
    votes_against: int = 0
    ties: int = 0

    @property
    def lead(self) -> float:
        """(for - against) / all votes, ties included; 0 where nobody voted."""
        return (self.votes_for - self.votes_against) / max(self.votes_for + self.votes_against + self.ties, 1)


@dataclass(frozen=True, slots=True)
class RankedSlate:
    """Some answers to one prompt, and how the people of one country rank them.

    Attributes:
        id: "slate:country", or "file:row".
        prompt: What all answer; messages end with the user's.
        answers: In the order of their seats; a rewrite stands behind them and is in no ranking.
        rankings: What people said, the same orders counted together.
        comparisons: Counted votes per pair.
        target: Index of the answer that the SFT term imitates: a rewrite, else the best-ranked answer; or None.
        country: Of the people who judged, or "".
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        slate_id: The slate's id, or "".
        seats: Names of the answers: candidate ids, or empty for a file.
        people: How many people's rankings are counted here.
        weight: Of this example in the loss.
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
    people: int = 1
    weight: float = 1.0

    @property
    def prompt_key(self) -> str:
        """What is asked, without the system text: see Pair.prompt_key."""
        return content_id(asked(self.prompt))

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""
        return self.prompt, *self.answers

    @property
    def stages(self) -> float:
        """Ranked stages, weighted by who said so: what the listwise loss is a mean over."""
        return sum(ranking.weight * ranking.stages for ranking in self.rankings)

    def without(self, answers: Iterable[int]) -> RankedSlate:
        """The slate as if some answers had never been on it.

        That keeps what was said of the others: under Plackett and Luce's axiom the order of some answers does not
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
            )
            for pair in self.comparisons
        )

    def _pair_id(self, pair: Comparison) -> str:
        if not self.seats:
            return self.id if len(self.comparisons) == 1 else f"{self.id}:{pair.better}:{pair.worse}"
        return f"{self.slate_id}:{self.seats[pair.better]}:{self.seats[pair.worse]}:{self.country}"

    def row(self) -> dict[str, Any]:
        """As a line of JSON; `from_row` reads it."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        facts["prompt"] = plain(self.prompt)
        facts["answers"] = [plain(answer) for answer in self.answers]
        facts["rankings"] = [{name: getattr(r, name) for name in Ranking.__slots__} for r in self.rankings]
        facts["comparisons"] = [{name: getattr(c, name) for name in Comparison.__slots__} for c in self.comparisons]
        return facts

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> RankedSlate:
        """Read what `row` wrote, before or after a way through JSON."""
        return cls(
            **{
                **row,
                "prompt": _text(row["prompt"]),
                "answers": tuple(_text(answer) for answer in row["answers"]),
                "rankings": tuple(
                    Ranking(**{**ranking, "tiers": tuple(map(tuple, ranking["tiers"]))}) for ranking in row["rankings"]
                ),
                "comparisons": tuple(Comparison(**comparison) for comparison in row["comparisons"]),
                "seats": tuple(row["seats"]),
            }
        )


def teaches(slate: RankedSlate, objective: Objective) -> bool:
    """Whether an objective finds anything to learn on a slate."""
    if not slate.weight:
        return False
    return slate.stages > 0 if objective == "plackett_luce" else bool(slate.comparisons)


def why_silent(slate: RankedSlate) -> str:
    """Why a slate that does not teach an objective anything does not."""
    if len(slate.answers) < 2:
        return ALONE
    if not any(sum(map(len, ranking.tiers)) > 1 for ranking in slate.rankings):
        return NOT_RANKED
    if not slate.stages:
        return ALL_TIED
    return UNCLEAR if slate.weight else WEIGHTLESS


def slate_of_pair(pair: Pair) -> RankedSlate:
    """A pair as a slate of two: index 0 is the chosen answer, index 1 the rejected one."""
    votes = {((0,), (1,)): pair.votes_for, ((1,), (0,)): pair.votes_against, ((0, 1),): pair.ties}
    people = sum(votes.values())
    ahead, behind = max(pair.votes_for, pair.votes_against), min(pair.votes_for, pair.votes_against)
    better = 0 if pair.votes_for == ahead else 1
    comparison = Comparison(
        better,
        1 - better,
        smoothing=behind / max(ahead + behind, 1),
        margin=pair.margin,
        votes_for=ahead,
        votes_against=behind,
        ties=pair.ties,
    )
    return RankedSlate(
        pair.id,
        pair.prompt,
        (pair.chosen, pair.rejected),
        tuple(Ranking(tiers, count / people, count) for tiers, count in votes.items() if count),
        (comparison,) if ahead > behind else (),
        better,
        pair.country,
        pair.language,
        pair.topic,
        pair.slate_id,
        (),
        people,
        pair.weight,
    )


def count_votes(rankings: Sequence[Ranking]) -> tuple[Comparison, ...]:
    """Compare every two answers by the people who ranked both; pairs without a majority are no comparison."""
    votes: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for ranking in rankings:
        place = {answer: tier for tier, answers in enumerate(ranking.tiers) for answer in answers}
        for one, other in combinations(sorted(place), 2):
            said = "ties" if place[one] == place[other] else "for" if place[one] < place[other] else "against"
            votes[one, other][said] += ranking.people
    comparisons = []
    for (one, other), count in sorted(votes.items()):
        ahead, behind = max(count["for"], count["against"]), min(count["for"], count["against"])
        if ahead == behind:
            continue
        better, worse = (one, other) if count["for"] == ahead else (other, one)
        comparisons.append(
            Comparison(
                better,
                worse,
                smoothing=behind / (ahead + behind),
                votes_for=ahead,
                votes_against=behind,
                ties=count["ties"],
            )
        )
    return tuple(comparisons)


def as_taught(
    slates: Iterable[RankedSlate], settings: DpoSettings
) -> tuple[tuple[RankedSlate, ...], tuple[Dropped, ...]]:
    """Put the settings of the objective onto the slates: smoothing, margin, weight and target.

    Returns:
        Slates that say something to the objective, and those that do not, with the reason.

    Raises:
        TrainError: The objective is TRL's, and a slate has a weight or a margin of its own.
    """
    every = tuple(slates)
    if settings.objective == "trl":
        for slate in every:
            if slate.weight != 1 or any(pair.weight != 1 or pair.margin for pair in slate.comparisons):
                raise TrainError(f'{slate.id} has a weight or a margin, which TRL\'s losses ignore; choose "pairwise".')
    kept = [slate for slate in every if teaches(slate, settings.objective)]
    dropped = tuple(Dropped(slate.id, why_silent(slate)) for slate in every if not teaches(slate, settings.objective))
    people = sum(slate.people for slate in kept) / max(len(kept), 1)
    taught = []
    for slate in kept:
        fixed = settings.label_smoothing
        comparisons = tuple(
            replace(
                pair,
                smoothing=pair.smoothing if fixed == "votes" else fixed,
                margin=pair.margin + settings.margin * pair.lead,
            )
            for pair in slate.comparisons
        )
        weight = slate.weight * (slate.people / people if settings.weight == "people" else 1.0)
        target = slate.target if settings.sft_weight else None
        taught.append(replace(slate, comparisons=comparisons, weight=weight, target=target))
    return tuple(taught), dropped


def _text(value: Any) -> Text:
    if isinstance(value, str):
        return value
    messages: list[Message] = [dict(message) for message in value]
    return tuple(messages)
