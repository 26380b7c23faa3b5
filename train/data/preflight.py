"""The preflight: every slate is looked at as tokens before a run; what is cut, dropped or malformed is counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotation.errors import TrainError
from annotation.screen import Progress, silent
from annotation.tasks.ranking.preferences import whole
from annotation.types import Dropped
from train.data.counts import OFTEN, PictureTokens, Preflight, reasons
from train.data.encoding import chat_marks, encode_whole, ends_well, unwritten
from train.data.length import length_bias
from train.data.objective import Objective, is_informative, why_uninformative
from train.data.read import Slates
from train.data.slates import RankedSlate, seat_name
from train.data.texts import Text, question_of, words_of
from train.data.tokens import EncodedSlate
from train.models.tokenizer import Vocabulary
from train.settings import DataSettings

TOO_LONG = "longer than max_length"
PROMPT_TOO_LONG = "the prompt alone fills max_length"
NO_QUESTION = "no question"
NO_TEXT = "an answer without text"
SAME = "the same answer twice"
MARK = "a control mark of the base in the text"


def preflight(
    source: Slates,
    vocabulary: Vocabulary,
    settings: DataSettings,
    objective: Objective,
    *,
    pictures: Path | None = None,
    progress: Progress = silent,
) -> tuple[tuple[RankedSlate, ...], Preflight]:
    """Look at every slate as tokens and keep what can be trained on.

    An answer without text, one that repeats another, one with a control mark of the base, and with on_overflow = "drop"
    one that is too long is taken off its slate: what people said of the others stays true (see RankedSlate.without). A
    slate on which the objective then finds nothing to learn goes as a whole. Every one of them is in `dropped` or
    `dropped_answers`.

    Args:
        source: All slates, with the settings of the objective on them, and what was left out before, to be counted.
        vocabulary: The base's.
        settings: Limit, and what to do over it.
        objective: What must be left to learn from.
        pictures: Folder below which the pictures of the slates are.
        progress: Told how far it is.

    Returns:
        The slates kept, in their order, and what was counted.

    Raises:
        TrainError: Nothing is left, an answer does not end, a token is none of the base's, one is over the limit and
            settings say "error", or the base has no chat template and the slates need one.
    """
    _check_form(source, vocabulary)
    marks = chat_marks(vocabulary.tokenizer)
    sieve = _Sieve(vocabulary, settings, objective, list(source.excluded), list(source.unused), marks, pictures)
    for done, slate in enumerate(source.slates):
        progress(done, len(source.slates), "slates looked at")
        sieve.add(slate)
    return tuple(sieve.kept), _counts(source, sieve)


def check_not_empty(source: Slates) -> None:
    """Refuse a source without slates.

    Raises:
        TrainError: It has none; the sentence says what became of its rows.
    """
    if not source.slates:
        why, first = "", next(iter(source.excluded), None)
        if first:
            seen = f"{first.id}, {first.because_of}" if first.because_of else first.id
            why = f" that teach anything: {reasons(source.excluded)}, the first {seen}"
        raise TrainError(f"{source.source} holds no preferences{why}; there is nothing to train on: {source.needed}")


def _check_form(source: Slates, vocabulary: Vocabulary) -> None:
    """Refuse a source without slates, in two forms, or in one that the base cannot be given."""
    check_not_empty(source)
    conversational = not isinstance(source.slates[0].prompt, str)
    if any(isinstance(slate.prompt, str) == conversational for slate in source.slates):
        raise TrainError(f"{source.source} mixes plain texts and messages; write all rows in one form.")
    if conversational and not vocabulary.tokenizer.chat_template:
        raise TrainError(
            "the base has no chat template, so a conversation cannot be written for it; choose an instruct model, or "
            "name a Jinja template with --set base.chat_template=FILE."
        )


@dataclass
class _Sieve:
    """Slates that are kept, with their tokens, and what is dropped."""

    vocabulary: Vocabulary
    settings: DataSettings
    objective: Objective
    dropped: list[Dropped]
    dropped_answers: list[Dropped]
    marks: tuple[str, ...] = ()
    pictures: Path | None = None
    kept: list[RankedSlate] = field(default_factory=list)
    rows: list[EncodedSlate] = field(default_factory=list)
    truncated: int = 0
    longest: int = 0
    merges: int = 0
    marked: int = 0

    def add(self, slate: RankedSlate) -> None:
        """Look at a slate, and keep what of it can be trained on."""
        if mark := self._mark(slate.prompt):
            self.dropped.append(Dropped(slate.id, MARK, mark))
            return
        marked = {seat: mark for seat, answer in enumerate(slate.answers) if (mark := self._mark(answer))}
        usable, gone, reason = _usable(slate, self.objective, marked)
        if reason:
            self.dropped.append(Dropped(slate.id, reason))
            return
        self.dropped_answers += gone
        row, merged = self._encode(usable)
        self.longest = max(self.longest, row.longest)
        limit = self.settings.max_length
        if over := [seat for seat, ids in enumerate(row.answers) if len(row.prompt) + len(ids) > limit]:
            shorter = self._within_limit(usable, row, over)
            if shorter is None:
                return
            if shorter is not usable:
                usable, (row, merged) = shorter, self._encode(shorter)
        self.merges += merged > 0
        self.marked += self._is_marked(usable)
        self.kept.append(usable)
        self.rows.append(row)

    def _mark(self, text: Text) -> str:
        """The first control mark in a conversation, or ""; plain text is the base's own form already."""
        words = () if isinstance(text, str) else [message["content"] for message in text]
        return next((mark for mark in self.marks if any(mark in part for part in words)), "")

    def _is_marked(self, slate: RankedSlate) -> bool:
        """Whether plain texts hold control marks, beside an answer's end and a prompt that is written for the base."""
        tokenizer = self.vocabulary.tokenizer
        texts = [text.removesuffix(tokenizer.eos_token) for text in slate.answers if isinstance(text, str)]
        if isinstance(slate.prompt, str) and not tokenizer.chat_template:
            texts.append(slate.prompt)
        return any(mark in text for mark in self.marks for text in texts)

    def _encode(self, slate: RankedSlate) -> tuple[EncodedSlate, int]:
        row, merged = encode_whole(slate, self.vocabulary, self.pictures)
        for answer in slate.answers:
            if left_out := unwritten(slate.prompt, answer, self.vocabulary.tokenizer):
                raise TrainError(
                    f"{slate.id}: the base's chat template does not write the {left_out['role']} text "
                    f'("{left_out["content"].strip()[:40]}") as it stands, so nothing could be learnt from it; choose '
                    "another base, name a template with --set base.chat_template=FILE, or mend that row."
                )
        last = max(max(ids, default=0) for ids in (row.prompt, *row.answers))
        if last >= self.vocabulary.size:
            raise TrainError(
                f"{slate.id} has the token {last} and the base knows {self.vocabulary.size}: its tokenizer is that of "
                "another model; fetch the base's files again."
            )
        return row, merged

    def _within_limit(self, slate: RankedSlate, row: EncodedSlate, over: Sequence[int]) -> RankedSlate | None:
        """The slate without the answers `over` the limit, or whole where they are cut; None where it is dropped."""
        limit = self.settings.max_length
        if self.settings.on_overflow == "error":
            raise TrainError(
                f"{slate.id} has {row.longest} tokens and data.max_length is {limit}; raise it, or set "
                'data.on_overflow to "drop" or "truncate".'
            )
        if self.settings.on_overflow == "truncate":
            if len(row.prompt) >= limit:
                self.dropped.append(Dropped(slate.id, PROMPT_TOO_LONG, str(len(row.prompt))))
                return None
            self.truncated += len(over)
            return slate
        shorter = slate.without(over)
        if not is_informative(shorter, self.objective):
            self.dropped.append(Dropped(slate.id, TOO_LONG, str(row.longest)))
            return None
        lengths = {seat: len(row.prompt) + len(row.answers[seat]) for seat in over}
        self.dropped_answers += [
            Dropped(seat_name(slate, seat), TOO_LONG, str(tokens)) for seat, tokens in lengths.items()
        ]
        return shorter


def _counts(source: Slates, sieve: _Sieve) -> Preflight:
    """Count what was kept and dropped.

    Raises:
        TrainError: Nothing was kept, or an answer does not end.
    """
    kept, rows, limit = sieve.kept, sieve.rows, sieve.settings.max_length
    if not kept:
        reason = Counter(d.reason for d in sieve.dropped).most_common(1)[0][0]
        raise TrainError(
            f'all {len(source.slates)} slates of {source.source} are dropped, most of them as "{reason}": nothing is '
            f"left to train on; {'raise data.max_length' if 'max_length' in reason else 'look at the source'}."
        )
    answers = [answer for row in rows for answer in row.answers]
    tokenizer, ends = sieve.vocabulary.tokenizer, sieve.vocabulary.ends
    if ends_missing := sum(not ends_well(answer, ends, tokenizer) for answer in answers):
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
    under: dict[str, set[str]] = {}
    for slate in kept:
        for answer in slate.answers:
            under.setdefault(words_of(answer), set()).add(slate.prompt_key)
    tokens = sum(min(len(row.prompt) + len(answer), limit) for row in rows for answer in row.answers)
    stock = {text: len(prompts) for text, prompts in under.items() if len(prompts) >= OFTEN}
    return Preflight(
        source=source.source,
        form="plain text, as it stands" if isinstance(kept[0].prompt, str) else "messages, through the chat template",
        read=len(source.slates) + len(source.excluded),
        kept=len(kept),
        prompts=len({slate.prompt_key for slate in kept}),
        countries=dict(Counter(slate.country for slate in kept)),
        answers=len(answers),
        rankings=whole(sum(ranking.people for slate in kept for ranking in slate.rankings)),
        comparisons=sum(len(slate.comparisons) for slate in kept),
        ties=ties,
        tied_share=ties / compared if compared else 0.0,
        dropped=tuple(sieve.dropped),
        dropped_answers=tuple(sieve.dropped_answers),
        dropped_rankings=source.repeated,
        truncated=sieve.truncated,
        merges=sieve.merges,
        marked=sieve.marked,
        duplicates=sum(count - 1 for count in Counter(map(_content, kept)).values()),
        contradictions=sum(count for (key, a, b), count in opposites.items() if (key, b, a) in opposites),
        stock=dict(sorted(stock.items(), key=lambda one: (-one[1], one[0]))),
        length=length_bias(kept, [[len(answer) for answer in row.answers] for row in rows]),
        ends_missing=ends_missing,
        longest=sieve.longest,
        max_length=limit,
        tokens=tokens,
        pictures=_picture_tokens(rows, sieve.vocabulary, tokens) if sieve.pictures else None,
    )


def _picture_tokens(rows: Sequence[EncodedSlate], vocabulary: Vocabulary, tokens: int) -> PictureTokens:
    place = vocabulary.processor.image_token_ids[0]
    counts = [row.prompt.count(place) for row in rows]
    every = sum(count * len(row.answers) for count, row in zip(counts, rows, strict=True))
    mean, share = sum(counts) / len(counts), every / tokens
    return PictureTokens(len({row.image for row in rows}), min(counts), mean, max(counts), share)


def _usable(
    slate: RankedSlate, objective: Objective, marked: Mapping[int, str]
) -> tuple[RankedSlate, list[Dropped], str]:
    """Take off answers without text, those with a control mark, and those that repeat another one.

    Returns:
        What is left, the answers taken off, and why nothing is left to learn, or "".
    """
    if not question_of(slate.prompt):
        return slate, [], NO_QUESTION
    texts = [words_of(answer) for answer in slate.answers]
    why = {seat: NO_TEXT for seat, text in enumerate(texts) if not text}
    why |= {seat: SAME for seat, text in enumerate(texts) if text and text in texts[:seat]}
    why |= dict.fromkeys(marked, MARK)
    left = slate.without(why) if why else slate
    gone = [Dropped(seat_name(slate, seat), reason, marked.get(seat, "")) for seat, reason in why.items()]
    if is_informative(left, objective):
        return left, gone, ""
    return left, gone, gone[0].reason if gone else why_uninformative(left)


def _ties(slates: Iterable[RankedSlate]) -> tuple[float, float]:
    """Pairs of answers that one person put on one level, and all pairs that one person compared."""
    ties: float = 0
    compared: float = 0
    for slate in slates:
        for ranking in slate.rankings:
            ties += ranking.people * sum(math.comb(len(tier), 2) for tier in ranking.tiers)
            compared += ranking.people * math.comb(sum(len(tier) for tier in ranking.tiers), 2)
    return whole(ties), compared


def _content(slate: RankedSlate) -> tuple[str, str, frozenset[tuple[frozenset[str], ...]]]:
    orders = (
        tuple(frozenset(repr(slate.answers[answer]) for answer in tier) for tier in ranking.tiers)
        for ranking in slate.rankings
    )
    return slate.prompt_key, slate.country, frozenset(orders)
