"""What a look at the tokens says before a run begins: what is cut, dropped or malformed, counted and shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotation.errors import TrainError
from annotation.screen import Progress, silent
from annotation.types import SEATS, Dropped
from train.dataset import answered, asked
from train.encoding import encode_texts, ends_well
from train.packing import EncodedSlate
from train.rankings import Objective, RankedSlate, teaches, why_silent
from train.settings import DataSettings
from train.statistics import Floats, places, tau_b

TOO_LONG = "longer than max_length"
PROMPT_TOO_LONG = "the prompt alone fills max_length"
NO_QUESTION = "no question"
NO_TEXT = "an answer without text"
SAME = "the same answer twice"

ENOUGH = 20
"""Slates from which a bias of length is worth a warning."""


@dataclass(frozen=True)
class LengthBias:
    """How far people's choice goes with length, in tokens.

    Attributes:
        longer: Share of votes between two answers that go to the longer one, equal ones half.
        tau: Kendall's tau-b of length and rank in a slate, mean over what people said: 1 if longer is always better;
            None where all answers of a slate are equally long.
        r: Point-biserial correlation of length and being the chosen one of two (Tate 1954, Annals of Mathematical
            Statistics 25), over all votes between two answers; None where all are equally long.
    """

    longer: float
    tau: float | None
    r: float | None


@dataclass(frozen=True)
class Preflight:
    """Everything that was counted. A pair from a file is a slate of two.

    Attributes:
        source: Where the slates are from.
        form: "messages, through the chat template" or "plain text, as it stands".
        read: Slates of the source.
        kept: Slates that can be trained on.
        prompts: Different prompts among them.
        countries: Slates per country among them ("" where none is named).
        answers: Of the slates kept, rewrites included.
        rankings: What people said of them, one per person.
        comparisons: Pairs that enough of them agree on.
        ties: Pairs of answers that a person put on one level.
        tied_share: Of all pairs of answers that people compared.
        dropped: Slates left out, with the reason.
        dropped_answers: Single answers ("slate/C") taken off slates, and rewrites that are not used.
        dropped_rankings: Rankings that are there twice and count once.
        truncated: Answers that are cut at max_length (only with on_overflow = "truncate").
        merges: Slates where the prompt's last tokens change once an answer follows.
        duplicates: Slates of which an earlier one says the same word for word, kept: more people said so.
        contradictions: Comparisons whose opposite is there too, kept: countries may disagree.
        length: How far length goes with being chosen.
        ends_missing: Answers that do not end with an end-of-sequence token.
        longest: Tokens of the longest sequence that was read, prompt and answer.
        max_length: The limit.
        tokens: Of all slates kept, each answer with its prompt, after truncation.
    """

    source: str
    form: str
    read: int
    kept: int
    prompts: int
    countries: dict[str, int]
    answers: int
    rankings: int
    comparisons: int
    ties: int
    tied_share: float
    dropped: tuple[Dropped, ...]
    dropped_answers: tuple[Dropped, ...]
    dropped_rankings: tuple[Dropped, ...]
    truncated: int
    merges: int
    duplicates: int
    contradictions: int
    length: LengthBias
    ends_missing: int
    longest: int
    max_length: int
    tokens: int

    def lines(self) -> list[tuple[str, str]]:
        """What was counted, as label and value, in the order in which a person wants to know."""
        countries = ", ".join(f"{name or 'none named'} {count}" for name, count in sorted(self.countries.items()))
        return [
            ("slates read", f"{self.read} from {self.source} ({self.form})"),
            ("slates dropped", _counted(self.dropped)),
            ("answers dropped", _counted(self.dropped_answers)),
            ("rankings dropped", _counted(self.dropped_rankings)),
            ("slates kept", f"{self.kept} over {self.prompts} prompts, {self.answers} answers"),
            ("countries", countries or "-"),
            ("judgements", f"{self.rankings} rankings, {self.comparisons} pairs that are clear"),
            ("ties", f"{self.ties} ({self.tied_share:.1%} of what people compared)"),
            ("truncated", f"{self.truncated} answers (limit {self.max_length} tokens, longest {self.longest})"),
            ("answers without EOS", f"{self.ends_missing} of {self.answers}"),
            ("boundary merges", str(self.merges)),
            ("duplicate slates", f"{self.duplicates} (kept)"),
            ("contradicted pairs", f"{self.contradictions} (kept)"),
            (
                "length and choice",
                f"the longer answer wins {self.length.longer:.1%}; Kendall's tau-b with rank "
                f"{_signed(self.length.tau)}, r with being chosen {_signed(self.length.r)}",
            ),
            ("tokens", str(self.tokens)),
        ]

    def warnings(self) -> list[str]:
        """What a person should know before trusting the run; each a sentence."""
        found = []
        if self.truncated:
            found.append(
                f"{self.truncated} answers are cut at {self.max_length} tokens and lose their end-of-sequence token: "
                "the model may learn not to stop."
            )
        if abs(self.length.longer - 0.5) > 0.15 and self.kept >= ENOUGH:
            longer = "longer" if self.length.longer > 0.5 else "shorter"
            found.append(
                f"the chosen answer is the {longer} one in {max(self.length.longer, 1 - self.length.longer):.0%} of "
                "comparisons: the model may learn length instead of what people value."
            )
        if self.merges:
            found.append(f"in {self.merges} slates the prompt's last tokens change once an answer follows.")
        return found


def preflight(
    slates: Sequence[RankedSlate],
    tokenizer: Any,
    ends: frozenset[int],
    settings: DataSettings,
    objective: Objective,
    *,
    source: str,
    aside: Sequence[Dropped] = (),
    unused: Sequence[Dropped] = (),
    repeated: Sequence[Dropped] = (),
    vocabulary: int | None = None,
    progress: Progress = silent,
) -> tuple[tuple[RankedSlate, ...], Preflight]:
    """Look at every slate as tokens and keep what can be trained on.

    An answer without text, one that repeats another, and with on_overflow = "drop" one that is too long is taken off
    its slate: what people said of the others stays true (see RankedSlate.without). A slate on which the objective then
    finds nothing to learn goes as a whole. Every one of them is in `dropped` or `dropped_answers`.

    Args:
        slates: All slates, with the settings of the objective on them.
        tokenizer: The base's.
        ends: Token ids that count as an end of text.
        settings: Limit, and what to do over it.
        objective: What must be left to learn from.
        source: Name of the source, for the record.
        aside: Slates that were left out before, to be counted.
        unused: Single answers that were.
        repeated: Rankings that were.
        vocabulary: How many tokens the base knows; None where that is not to be checked.
        progress: Told how far it is.

    Returns:
        The slates kept, in their order, and what was counted.

    Raises:
        TrainError: Nothing is left, an answer does not end, a token is none of the base's, one is over the limit and
            settings say "error", or the base has no chat template and the slates need one.
    """
    if not slates:
        why = f" that teach anything: {_reasons(aside)}" if aside else ""
        raise TrainError(f"{source} holds no preferences{why}; there is nothing to train on, collect judgements first.")
    conversational = not isinstance(slates[0].prompt, str)
    if any(isinstance(slate.prompt, str) == conversational for slate in slates):
        raise TrainError(f"{source} mixes plain texts and messages; write all rows in one form.")
    if conversational and not tokenizer.chat_template:
        raise TrainError(
            "the base has no chat template, so a conversation cannot be written for it; choose an instruct model, or "
            "name a Jinja template with --set base.chat_template=FILE."
        )
    dropped, dropped_answers = list(aside), list(unused)
    kept: list[RankedSlate] = []
    rows: list[EncodedSlate] = []
    truncated = longest = merges = 0
    for done, slate in enumerate(slates):
        progress(done, len(slates), "slates looked at")
        whole, gone, why_not = _without_the_unusable(slate, objective)
        if why_not:
            dropped.append(Dropped(slate.id, why_not))
            continue
        dropped_answers += gone
        row, merged = encode_texts(whole.prompt, whole.answers, tokenizer, place=slate.id)
        longest = max(longest, row.longest)
        last = max(max(ids, default=0) for ids in (row.prompt, *row.answers))
        if vocabulary is not None and last >= vocabulary:
            raise TrainError(
                f"{slate.id} has the token {last} and the base knows {vocabulary}: its tokenizer is that of another "
                "model; fetch the base's files again."
            )
        over = [seat for seat, ids in enumerate(row.answers) if len(row.prompt) + len(ids) > settings.max_length]
        if over and settings.on_overflow == "error":
            raise TrainError(
                f"{slate.id} has {row.longest} tokens and data.max_length is {settings.max_length}; raise it, or set "
                'data.on_overflow to "drop" or "truncate".'
            )
        if over and settings.on_overflow == "drop":
            gone = [
                Dropped(_seat(whole, seat), TOO_LONG, str(len(row.prompt) + len(row.answers[seat]))) for seat in over
            ]
            shorter = whole.without(over)
            if not teaches(shorter, objective):
                dropped.append(Dropped(slate.id, TOO_LONG, str(row.longest)))
                continue
            dropped_answers += gone
            whole = shorter
            row, merged = encode_texts(whole.prompt, whole.answers, tokenizer, place=slate.id)
        elif over:
            if len(row.prompt) >= settings.max_length:
                dropped.append(Dropped(slate.id, PROMPT_TOO_LONG, str(len(row.prompt))))
                continue
            truncated += len(over)
        merges += merged > 0
        kept.append(whole)
        rows.append(row)
    if not kept:
        reason = Counter(d.reason for d in dropped).most_common(1)[0][0]
        raise TrainError(
            f'all {len(slates)} slates of {source} are dropped, most of them as "{reason}": nothing is left to train '
            f"on; {'raise data.max_length' if 'max_length' in reason else 'look at the source'}."
        )
    answers = [answer for row in rows for answer in row.answers]
    ends_missing = sum(not ends_well(answer, ends, tokenizer) for answer in answers)
    if ends_missing:
        raise TrainError(
            f"{ends_missing} of {len(answers)} answers do not end with an end-of-sequence token after tokenisation: "
            "the model would unlearn to stop; mend the base's chat template (--set base.chat_template=FILE)."
        )
    ties, compared = _ties(kept)
    opposites = Counter(
        (slate.prompt_key, repr(slate.answers[pair.better]), repr(slate.answers[pair.worse]))
        for slate in kept
        for pair in slate.comparisons
    )
    return tuple(kept), Preflight(
        source=source,
        form="messages, through the chat template" if conversational else "plain text, as it stands",
        read=len(slates) + len(aside),
        kept=len(kept),
        prompts=len({slate.prompt_key for slate in kept}),
        countries=dict(Counter(slate.country for slate in kept)),
        answers=len(answers),
        rankings=sum(ranking.people for slate in kept for ranking in slate.rankings),
        comparisons=sum(len(slate.comparisons) for slate in kept),
        ties=ties,
        tied_share=ties / compared if compared else 0.0,
        dropped=tuple(dropped),
        dropped_answers=tuple(dropped_answers),
        dropped_rankings=tuple(repeated),
        truncated=truncated,
        merges=merges,
        duplicates=sum(count - 1 for count in Counter(map(_what_it_says, kept)).values()),
        contradictions=sum(count for (key, a, b), count in opposites.items() if (key, b, a) in opposites),
        length=length_bias(kept, [[len(answer) for answer in row.answers] for row in rows]),
        ends_missing=ends_missing,
        longest=longest,
        max_length=settings.max_length,
        tokens=sum(min(len(row.prompt) + len(answer), settings.max_length) for row in rows for answer in row.answers),
    )


def length_bias(slates: Sequence[RankedSlate], lengths: Sequence[Sequence[int]]) -> LengthBias:
    """How far people's choice goes with length.

    Args:
        slates: With what people said; every ranking counts by its share of the slate.
        lengths: Tokens per answer, one list per slate.
    """
    votes: list[tuple[int, int, float]] = []  # tokens of the better and of the worse answer, weight
    taus: list[tuple[float, float]] = []
    for slate, tokens in zip(slates, lengths, strict=True):
        for ranking in slate.rankings:
            for place, tier in enumerate(ranking.tiers):
                worse = [answer for lower in ranking.tiers[place + 1 :] for answer in lower]
                votes += [(tokens[one], tokens[other], ranking.weight) for one in tier for other in worse]
            ranked = [answer for tier in ranking.tiers for answer in tier]
            agreement = tau_b(np.array([tokens[a] for a in ranked], float), places(ranking.tiers, len(tokens))[ranked])
            if not math.isnan(agreement):
                taus.append((agreement, ranking.weight))
    if not votes:
        return LengthBias(0.5, None, None)
    better, worse_, weight = (np.array(column, float) for column in zip(*votes, strict=True))
    longer = float((weight * ((better > worse_) + 0.5 * (better == worse_))).sum() / weight.sum())
    tau = sum(t * w for t, w in taus) / sum(w for _, w in taus) if taus else None
    return LengthBias(longer, tau, point_biserial(better, worse_, weight))


def point_biserial(ones: Floats, zeros: Floats, weight: Floats) -> float | None:
    """Weighted correlation of a number with a yes or no: Pearson's, with 1 for `ones` and 0 for `zeros`.

    Args:
        ones: The number where the answer is yes, shape (n,).
        zeros: Where it is no, shape (n,).
        weight: Of both, shape (n,).

    Returns:
        In [-1, 1]; None where all numbers are the same.
    """
    numbers, both = np.concatenate([ones, zeros]), np.concatenate([weight, weight])
    mean = np.average(numbers, weights=both)
    spread = math.sqrt(np.average((numbers - mean) ** 2, weights=both))
    if not spread:
        return None
    # As many yes as no: the standard deviation of yes and no is 1/2.
    return float((np.average(ones, weights=weight) - np.average(zeros, weights=weight)) / 2 / spread)


def _without_the_unusable(slate: RankedSlate, objective: Objective) -> tuple[RankedSlate, list[Dropped], str]:
    """Take off what has no text or says the same as another answer.

    Returns:
        What is left, the answers taken off, and why nothing is left to learn, or "".
    """
    if not asked(slate.prompt):
        return slate, [], NO_QUESTION
    texts = [answered(answer) for answer in slate.answers]
    why = {seat: NO_TEXT for seat, text in enumerate(texts) if not text}
    why |= {seat: SAME for seat, text in enumerate(texts) if text and text in texts[:seat]}
    left = slate.without(why) if why else slate
    gone = [Dropped(_seat(slate, seat), reason) for seat, reason in why.items()]
    if teaches(left, objective):
        return left, gone, ""
    return left, gone, gone[0].reason if gone else why_silent(left)


def _seat(slate: RankedSlate, answer: int) -> str:
    return f"{slate.id}/{slate.seats[answer] if answer < len(slate.seats) else SEATS[answer]}"


def _ties(slates: Iterable[RankedSlate]) -> tuple[int, int]:
    """Pairs of answers that one person put on one level, and all pairs that one person compared."""
    ties = compared = 0
    for slate in slates:
        for ranking in slate.rankings:
            ties += ranking.people * sum(math.comb(len(tier), 2) for tier in ranking.tiers)
            compared += ranking.people * math.comb(sum(len(tier) for tier in ranking.tiers), 2)
    return ties, compared


def _what_it_says(slate: RankedSlate) -> tuple[str, str, frozenset[tuple[frozenset[str], ...]]]:
    orders = (
        tuple(frozenset(repr(slate.answers[answer]) for answer in tier) for tier in ranking.tiers)
        for ranking in slate.rankings
    )
    return slate.prompt_key, slate.country, frozenset(orders)


def _reasons(dropped: Iterable[Dropped]) -> str:
    return "; ".join(f"{reason} ({count})" for reason, count in Counter(d.reason for d in dropped).most_common())


def _counted(dropped: Sequence[Dropped]) -> str:
    return f"{len(dropped)}: {_reasons(dropped)}" if dropped else "0"


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{number:+.2f}"


def dropped_rows(flight: Preflight) -> list[dict[str, str]]:
    """As lines of dropped.jsonl."""
    kinds = (("slate", flight.dropped), ("answer", flight.dropped_answers), ("ranking", flight.dropped_rankings))
    return [
        {"what": kind, "id": d.id, "reason": d.reason, "because_of": d.because_of}
        for kind, dropped in kinds
        for d in dropped
    ]
