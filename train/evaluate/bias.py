"""Bias in minimal pairs: whether a model says a stereotype of its group rather than of another one, by country.

The two sentences of a pair differ in the group alone. The score is the log-prob of the attribute's tokens behind each
group, and not that of the whole sentences: those also count how many tokens a group's name has and how common it is, so
on names of unequal length they tell which is shorter (measured beside it, and called that). The same
is asked about what is true of everybody, behind the same groups: so much likelier a model finds anything there. Every
number stands beside that of a tiny model with random weights, and beside what the model knows of the groups
(`bias_groups.py`). A base with a chat template is also asked outright (`bias_questions.py`).

The score is that of CrowS-Pairs (N. Nangia et al. 2020: what is said, given the group) for a model that reads from left
to right. What such pairs must not do: S. L. Blodgett et al. 2021, "Stereotyping Norwegian salmon".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

from annotation.errors import SettingsError, TrainError
from annotation.screen import counted
from annotation.stereotypes.facts import facts, harmless
from annotation.types import MinimalPair
from train.evaluate.bias_groups import Ability, BiasGroup, PairScore, abilities_of, bias_groups
from train.evaluate.bias_pairs import read_minimal_pairs
from train.evaluate.bias_questions import Questions
from train.evaluate.bias_summary import BiasSummary
from train.evaluate.measure import Material
from train.evaluate.model import SIDES, AdaptedModel, Batches
from train.evaluate.scores import EncodedAnswer, batches, token_log_probs
from train.models.tokenizer import Vocabulary
from train.run_folder import write_rows
from train.statistics import read_estimates

ROWS = "evaluation_bias.jsonl"
"""One line per pair or fact and model: ids and numbers, no texts."""


class Sentence(NamedTuple):
    """A sentence of a pair in its parts."""

    before: str
    attribute: str
    after: str


class Encoded(NamedTuple):
    """A sentence in tokens.

    Attributes:
        ids: Of all of them, behind one that begins a text.
        first: Where the attribute's tokens begin.
        last: Where they end.
    """

    ids: tuple[int, ...]
    first: int
    last: int

    @property
    def attribute(self) -> tuple[int, ...]:
        """Its tokens."""
        return self.ids[self.first : self.last]


def sides_of(pair: MinimalPair) -> tuple[Sentence, Sentence]:
    """About the group, and about the control group."""
    return (
        Sentence(pair.before, pair.attribute, pair.after),
        Sentence(pair.control_before, pair.attribute, pair.after),
    )


def encode(vocabulary: Vocabulary, sentences: Sequence[Sentence]) -> list[Encoded]:
    """Sentences in tokens, as plain text.

    The attribute's tokens are those that end behind `before` and begin before the attribute ends: one that also holds
    the blank before it, or the full stop behind it, is among them. A tokenizer that begins no text has its own token
    for the end of one in front, as in lm-evaluation-harness, or the first word would be told by nothing.

    Raises:
        TrainError: The tokenizer does not say where its tokens stand.
    """
    tokenizer = vocabulary.tokenizer
    if not tokenizer.is_fast:
        raise TrainError(
            "the base's tokenizer does not say which letters a token holds, so the attribute of a pair cannot be found "
            "in it; leave bias out of --on."
        )
    lead = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    texts = [f"{before} {attribute}{after}" for before, attribute, after in sentences]
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    encoded = []
    for (before, attribute, _), ids, offsets in zip(
        sentences, found["input_ids"], found["offset_mapping"], strict=True
    ):
        begin, end = len(before), len(before) + 1 + len(attribute)
        inside = [place for place, (start, stop) in enumerate(offsets, 1) if stop > begin and start < end]
        first, last = (inside[0], inside[-1] + 1) if inside else (0, 0)
        encoded.append(Encoded((lead, *ids), first, last))
    return encoded


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair or a fact, and where its sentences stand among all.

    Attributes:
        pair: Itself.
        country: Of the people who know the association, or whose pairs the fact is for.
        fact: It is a fact.
        own: Place of the sentence about the group.
        control: Place of the other one.
    """

    pair: MinimalPair
    country: str
    fact: bool
    own: int
    control: int


class Bias:
    """Pairs and facts, scored by base, adapted model and random weights."""

    def __init__(self, model: AdaptedModel, material: Material, key: str) -> None:
        """Put every sentence into tokens, once however many pairs it stands in.

        Raises:
            TrainError: No pair can be compared with this base's tokenizer.
        """
        self.model, self.material, self.key = model, material, key
        pairs, size = pairs_of(material), model.recipe.evaluation.batch
        places: dict[Sentence, int] = {}
        laid = [
            Pair(pair, country, fact, *(places.setdefault(sentence, len(places)) for sentence in sides_of(pair)))
            for fact, of_a_kind in ((False, [(pair.country, pair) for pair in pairs]), (True, facts_of(pairs)))
            for country, pair in of_a_kind
        ]
        mild = [
            (groups_of(one), [places.setdefault(sentence, len(places)) for sentence in sides_of(one)])
            for one in harmless(pairs)
        ]
        self.sentences = encode(model.vocabulary, list(places))
        self.harmless = defaultdict[tuple[str, str, str], list[tuple[int, int]]](list)
        for groups, (own, control) in mild:
            if self._same_attribute(own, control):
                self.harmless[groups].append((own, control))
        self.pairs = [one for one in laid if self._same_attribute(one.own, one.control)]
        left = [one for one in laid if not one.fact and not self._same_attribute(one.own, one.control)]
        self.left_out = tuple(sorted({one.pair.id for one in left}))
        if len(left) == len(pairs):
            raise TrainError(
                f"none of the {counted(len(pairs), 'pair')} can be compared with this base: its tokenizer cuts the "
                "attribute otherwise behind each of the groups; leave bias out of --on."
            )
        self.questions = Questions(model.vocabulary, [one.pair for one in self.pairs if not one.fact])
        self.rows = [EncodedAnswer(sentence.ids, 1) for sentence in self.sentences]
        self.batches = batches(self.rows, size)
        self.asked = batches(self.questions.prompts, size)

    def _same_attribute(self, own: int, control: int) -> bool:
        """Whether the attribute has the same tokens in two sentences, and any."""
        return self.sentences[own].attribute == self.sentences[control].attribute != ()

    @classmethod
    def decided_by(cls, name: str, material: Material) -> Any:  # noqa: ARG003
        """The pairs, and what is asked beside them.

        Raises:
            SettingsError: There are none, or a row of their file is wrong.
            TrainError: Their file is damaged.
        """
        return decisive(pairs_of(material))

    @classmethod
    def begin(cls, name: str, model: AdaptedModel, material: Material, key: str) -> Self:  # noqa: ARG003
        """Put every sentence into tokens."""
        return cls(model, material, key)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> BiasSummary:
        """What `as_json` wrote."""
        return BiasSummary(
            tuple(BiasGroup.read(group) for group in facts["groups"]),
            tuple(Ability(**read_estimates(one)) for one in facts["abilities"]),
            tuple(facts["left_out"]),
            facts["not_asked"],
            facts["of_file"],
        )

    @property
    def line(self) -> str:
        """For the log."""
        pairs = sum(not one.fact for one in self.pairs)
        outright = f", and {counted(len(self.questions.prompts), 'question')}" if self.questions.prompts else ""
        return (
            f"{counted(pairs, 'minimal pair')}{outright} and {counted(len(self.pairs) - pairs, 'fact')} are scored by "
            "base, adapter and random weights"
        )

    @property
    def count(self) -> int:
        """How many batches."""
        return len(SIDES) * (len(self.batches) + len(self.asked))

    def score(self, kept: Batches) -> tuple[PairScore, ...]:
        """Scores of every pair and fact under every model."""
        return tuple(chain.from_iterable(self._scores(kept, side) for side in SIDES))

    def _scores(self, kept: Batches, side: str) -> list[PairScore]:
        pad = self.model.vocabulary.pad

        def mild(pair: MinimalPair) -> float | None:
            found = [sums[own][0] - sums[control][0] for own, control in self.harmless.get(groups_of(pair), ())]
            return sum(found) / len(found) if found else None

        def summed(model: Any, chosen: Sequence[int]) -> list[list[float]]:
            rows = token_log_probs(model, [self.rows[i] for i in chosen], pad=pad)
            # The first token is given, so a token's log-prob stands one place before it.
            return [
                [sum(row[self.sentences[i].first - 1 : self.sentences[i].last - 1]), sum(row)]
                for i, row in zip(chosen, rows, strict=True)
            ]

        sums = self._kept(kept, f"bias_{side}", side, self.batches, summed)
        outright = {}
        if self.questions.prompts:
            said = self._kept(kept, f"bias_questions_{side}", side, self.asked, self.questions.log_probs)
            outright = self.questions.answers(said)
        return [
            PairScore(
                one.pair.id,
                one.pair.target if one.fact else one.pair.association,
                one.pair.target,
                one.country,
                one.pair.in_group,
                one.fact,
                side,
                sums[one.own][0],
                sums[one.control][0],
                sums[one.own][1],
                sums[one.control][1],
                len(self.rows[one.own].ids) - 1,
                len(self.rows[one.control].ids) - 1,
                None if one.fact else mild(one.pair),
                None if one.fact else outright.get((one.pair.sentence, one.pair.control_sentence)),
            )
            for one in self.pairs
        ]

    def _kept(
        self,
        kept: Batches,
        name: str,
        side: str,
        laid: Sequence[Sequence[int]],
        compute: Callable[[Any, Sequence[int]], list[list[float]]],
    ) -> list[list[float]]:
        """What is computed of each row by one model, batch by batch, in the order of the rows."""

        def work(number: int) -> list[list[float]]:
            with self.model.side(side) as asked:
                return compute(asked, laid[number])

        found: list[list[float]] = [[]] * sum(map(len, laid))
        for chosen, values in zip(laid, kept(name, self.key, len(laid), work), strict=True):
            for i, value in zip(chosen, values, strict=True):
                found[i] = value
        return found

    def summary(self, scores: Sequence[PairScore]) -> BiasSummary:
        """Estimates by country, and the verdicts."""
        recipe = self.model.recipe
        of_file = "bias" in self.material.data
        groups, abilities = bias_groups(scores, seed=recipe.run.seed), abilities_of(scores, seed=recipe.run.seed)
        return BiasSummary(groups, abilities, self.left_out, self.questions.why_not, of_file).judged(recipe.evaluation)

    def write(self, folder: Path, scores: Sequence[PairScore], found: BiasSummary) -> None:
        """A line per pair or fact and model, and the plot."""
        write_rows(folder / ROWS, [asdict(score) for score in scores])
        found.draw(folder, self.model.recipe.evaluation)


def decisive(pairs: Sequence[MinimalPair]) -> Any:
    """What the numbers come from: the pairs, and what is asked beside them."""
    return [
        [asdict(pair) for pair in pairs],
        [[country, *sides_of(fact), fact.target] for country, fact in facts_of(pairs)],
        sorted({sentence for one in harmless(pairs) for sentence in sides_of(one)}),
    ]


def groups_of(pair: MinimalPair) -> tuple[str, str, str]:
    """What it has in common with other pairs of the same two groups: the language, and both in their form."""
    return pair.language, pair.identity, pair.control_identity


def pairs_of(material: Material) -> Sequence[MinimalPair]:
    """Pairs of the file that was named, or else of the project.

    Raises:
        SettingsError: There are none, or a row of the file is wrong.
        TrainError: The file is damaged.
    """
    if file := material.data.get("bias"):
        return read_minimal_pairs(file)
    if not material.pairs:
        raise SettingsError(
            "there are no checked pairs to measure bias on: `annot stereotypes pairs` makes them of what people rated, "
            "`annot push --task pair_check` has people check them and `annot sync` brings their answers; or name a "
            "file of pairs with --task-data bias=FILE, or leave bias out of --on."
        )
    return material.pairs


def facts_of(pairs: Sequence[MinimalPair]) -> list[tuple[str, MinimalPair]]:
    """(country, fact): what is true of the groups in the pairs of each country, and of their control groups.

    Both ways round: a group behind which everything is likely makes as many facts right as wrong.
    """
    by_country: dict[str, list[MinimalPair]] = {pair.country: [] for pair in pairs}
    for pair in pairs:
        by_country[pair.country] += [pair, _turned_round(pair)]
    return [(country, fact) for country in sorted(by_country) for fact in facts(by_country[country])]


def _turned_round(pair: MinimalPair) -> MinimalPair:
    return replace(
        pair,
        identity=pair.control_identity,
        control_identity=pair.identity,
        target=pair.control,
        control=pair.target,
    )
