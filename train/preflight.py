"""What a look at the tokens says before a run begins: what is cut, dropped or malformed, counted and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.errors import TrainError
from annotation.screen import Progress, silent
from annotation.types import Dropped
from train.dataset import Pair, Text, set_aside
from train.settings import DataSettings

TOO_LONG = "longer than max_length"
PROMPT_TOO_LONG = "the prompt alone fills max_length"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row in tokens, as TRL's DPOTrainer cuts it.

    Attributes:
        prompt: Ids that both answers share.
        chosen: Ids from where the chosen text goes its own way, end-of-sequence included.
        rejected: The same for the rejected text.
        merged: How many tokens at the end of the prompt read differently once an answer follows.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    merged: int

    @property
    def length(self) -> int:
        """Tokens of the longer of both sequences."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class Preflight:
    """Everything that was counted.

    Attributes:
        source: Where the rows are from.
        form: "messages, through the chat template" or "plain text, as it stands".
        read: Rows of the source.
        kept: Rows that can be trained on.
        prompts: Different prompts among them.
        countries: Rows per country among them ("" where none is named).
        dropped: Rows left out, with the reason.
        truncated: Rows whose answers are cut at max_length (only with on_overflow = "truncate").
        merges: Rows where the prompt's last tokens change once an answer follows.
        duplicates: Rows that repeat an earlier one word for word, kept: more people said so.
        contradictions: Rows whose opposite is there too, kept: countries may disagree.
        longer_chosen: Share of rows whose chosen answer has more tokens than the rejected one, equal ones half.
        ends_missing: Answers that do not end with an end-of-sequence token.
        longest: Tokens of the longest row that was read.
        max_length: The limit.
        tokens: Of all rows kept, both sequences, after truncation.
    """

    source: str
    form: str
    read: int
    kept: int
    prompts: int
    countries: dict[str, int]
    dropped: tuple[Dropped, ...]
    truncated: int
    merges: int
    duplicates: int
    contradictions: int
    longer_chosen: float
    ends_missing: int
    longest: int
    max_length: int
    tokens: int

    def lines(self) -> list[tuple[str, str]]:
        """What was counted, as label and value, in the order in which a person wants to know."""
        reasons = Counter(dropped.reason for dropped in self.dropped)
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        countries = ", ".join(f"{name or 'none named'} {count}" for name, count in sorted(self.countries.items()))
        return [
            ("rows read", f"{self.read} from {self.source} ({self.form})"),
            ("dropped", f"{len(self.dropped)}{f': {why}' if why else ''}"),
            ("rows kept", f"{self.kept} over {self.prompts} prompts"),
            ("countries", countries or "-"),
            ("truncated", f"{self.truncated} (limit {self.max_length} tokens, longest row {self.longest})"),
            ("answers without EOS", f"{self.ends_missing} of {2 * self.kept}"),
            ("boundary merges", str(self.merges)),
            ("duplicate rows", f"{self.duplicates} (kept)"),
            ("contradicted rows", f"{self.contradictions} (kept)"),
            ("chosen is longer", f"{self.longer_chosen:.1%} of rows"),
            ("tokens", str(self.tokens)),
        ]

    def warnings(self) -> list[str]:
        """What a person should know before trusting the run; each a sentence."""
        said = []
        if self.truncated:
            said.append(
                f"{self.truncated} rows are cut at {self.max_length} tokens and lose their end-of-sequence token: "
                "the model may learn not to stop."
            )
        if abs(self.longer_chosen - 0.5) > 0.15 and self.kept >= 20:
            longer = "longer" if self.longer_chosen > 0.5 else "shorter"
            said.append(
                f"the chosen answer is the {longer} one in {max(self.longer_chosen, 1 - self.longer_chosen):.0%} of "
                "rows: the model may learn length instead of what people value."
            )
        if self.merges:
            said.append(f"in {self.merges} rows the prompt's last tokens change once an answer follows.")
        return said


def preflight(
    pairs: Sequence[Pair],
    tokenizer: Any,
    ends: frozenset[int],
    settings: DataSettings,
    *,
    source: str,
    progress: Progress = silent,
) -> tuple[tuple[Pair, ...], Preflight]:
    """Look at every row as tokens and keep those that can be trained on.

    Args:
        pairs: All rows.
        tokenizer: The base's.
        ends: Token ids that count as an end of text.
        settings: Limit, and what to do over it.
        source: Name of the source, for the record.
        progress: Told how far it is.

    Returns:
        The rows kept, in their order, and what was counted.

    Raises:
        TrainError: Nothing is left, an answer does not end, a row is over the limit and settings say "error", or the
            base has no chat template and the rows need one.
    """
    if not pairs:
        raise TrainError(f"{source} holds no preferences: there is nothing to train on; collect judgements first.")
    conversational = not isinstance(pairs[0].prompt, str)
    if any(isinstance(pair.prompt, str) == conversational for pair in pairs):
        raise TrainError(f"{source} mixes plain texts and messages; write all rows in one form.")
    if conversational and not tokenizer.chat_template:
        raise TrainError(
            "the base has no chat template, so a conversation cannot be written for it; choose an instruct model, or "
            "name a Jinja template with --set base.chat_template=FILE."
        )
    whole, aside = set_aside(pairs)
    dropped = list(aside)
    kept: list[Pair] = []
    rows: list[Encoded] = []
    truncated = longest = 0
    for done, pair in enumerate(whole):
        progress(done, len(whole), "rows looked at")
        row = encode(pair, tokenizer)
        longest = max(longest, row.length)
        if row.length > settings.max_length:
            if settings.on_overflow == "error":
                raise TrainError(
                    f"{pair.id} has {row.length} tokens and data.max_length is {settings.max_length}; raise it, or set "
                    'data.on_overflow to "drop" or "truncate".'
                )
            if settings.on_overflow == "drop":
                dropped.append(Dropped(pair.id, TOO_LONG, str(row.length)))
                continue
            if len(row.prompt) >= settings.max_length:
                dropped.append(Dropped(pair.id, PROMPT_TOO_LONG, str(len(row.prompt))))
                continue
            truncated += 1
        kept.append(pair)
        rows.append(row)
    if not kept:
        reason = Counter(d.reason for d in dropped).most_common(1)[0][0]
        raise TrainError(
            f'all {len(pairs)} rows of {source} are dropped, most of them as "{reason}": nothing is left to train on; '
            f"{'raise data.max_length' if 'max_length' in reason else 'look at the source'}."
        )
    answers = [answer for row in rows for answer in (row.chosen, row.rejected)]
    ends_missing = sum(not ends_well(answer, ends, tokenizer) for answer in answers)
    if ends_missing:
        raise TrainError(
            f"{ends_missing} of {len(answers)} answers do not end with an end-of-sequence token after tokenisation: "
            "the model would unlearn to stop; mend the base's chat template (--set base.chat_template=FILE)."
        )
    limit = settings.max_length
    longer = sum((len(r.chosen) > len(r.rejected)) + 0.5 * (len(r.chosen) == len(r.rejected)) for r in rows)
    seen = Counter(_content(pair) for pair in kept)
    return tuple(kept), Preflight(
        source=source,
        form="messages, through the chat template" if conversational else "plain text, as it stands",
        read=len(pairs),
        kept=len(kept),
        prompts=len({pair.prompt_key for pair in kept}),
        countries=dict(Counter(pair.country for pair in kept)),
        dropped=tuple(dropped),
        truncated=truncated,
        merges=sum(row.merged > 0 for row in rows),
        duplicates=sum(count - 1 for count in seen.values()),
        contradictions=sum(count for (key, a, b), count in seen.items() if (key, b, a) in seen),
        longer_chosen=longer / len(rows),
        ends_missing=ends_missing,
        longest=longest,
        max_length=limit,
        tokens=sum(min(len(r.prompt) + len(answer), limit) for r in rows for answer in (r.chosen, r.rejected)),
    )


def encode(pair: Pair, tokenizer: Any) -> Encoded:
    """Write a row in tokens exactly as TRL's DPOTrainer does (a test holds both together).

    Messages go through the chat template, the prompt with a generation prompt; plain text is taken as it stands, with
    the end-of-sequence token after each answer. An answer begins where both sequences leave the prompt.

    Raises:
        TrainError: The chat template refuses the messages.
    """
    import jinja2

    try:
        alone = _ids(pair.prompt, tokenizer, prompt=True)
        with_chosen = _ids(_joined(pair.prompt, pair.chosen, tokenizer), tokenizer)
        with_rejected = _ids(_joined(pair.prompt, pair.rejected, tokenizer), tokenizer)
    except jinja2.TemplateError as error:
        raise TrainError(
            f"{pair.id}: the base's chat template refuses the messages ({error}); choose another base, or name a "
            "template with --set base.chat_template=FILE."
        ) from None
    shared = min(_common(alone, with_chosen), _common(alone, with_rejected))
    return Encoded(alone[:shared], with_chosen[shared:], with_rejected[shared:], len(alone) - shared)


def ends_well(answer: Sequence[int], ends: frozenset[int], tokenizer: Any) -> bool:
    """Whether an answer ends with an end-of-text token; templates may put white space after it."""
    for token in reversed(answer):
        if token in ends:
            return True
        if tokenizer.decode([token]).strip():
            return False
    return False


def _ids(text: Text, tokenizer: Any, *, prompt: bool = False) -> list[int]:
    if isinstance(text, str):
        plain: list[int] = tokenizer(text=text)["input_ids"]
        return plain
    written: list[int] = tokenizer.apply_chat_template(
        list(text), tokenize=True, return_dict=True, add_generation_prompt=prompt
    )["input_ids"]
    return written


def _joined(prompt: Text, answer: Text, tokenizer: Any) -> Text:
    if isinstance(prompt, str) and isinstance(answer, str):
        return prompt + (answer if answer.endswith(tokenizer.eos_token) else answer + tokenizer.eos_token)
    return (*prompt, *answer)


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    for place, (one, other) in enumerate(zip(ids, others, strict=False)):
        if one != other:
            return place
    return min(len(ids), len(others))


def _content(pair: Pair) -> tuple[str, str, str]:
    return pair.prompt_key, repr(pair.chosen), repr(pair.rejected)


def dropped_rows(dropped: Iterable[Dropped]) -> list[dict[str, str]]:
    """As lines of dropped.jsonl."""
    return [{"id": d.id, "reason": d.reason, "because_of": d.because_of} for d in dropped]
