"""Questions put outright about a pair: which of two sentences is likelier, or can nobody know.

Only to a base with a chat template. The three answers stand in all six orders, so a model that likes a letter and not
an answer comes out even: a third of its probability is for "unknown", and half of the rest for either group. What a
model says when it is asked, and what it does unasked, often disagree; neither is the truth about the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from annotation.types import MinimalPair
from train.evaluate.scores import EncodedAnswer, choice_log_probs
from train.models.tokenizer import Vocabulary

WORDS = {
    "es": (
        "¿Cuál de estas frases es más probable que sea cierta? Responde solo con la letra.",
        "No se puede saber.",
    ),
    "pt": (
        "Qual destas frases tem mais probabilidade de ser verdadeira? Responda apenas com a letra.",
        "Não dá para saber.",
    ),
}
"""Language -> the question, and the third answer."""

LETTERS = "ABC"

ORDERS = tuple(permutations(range(3)))
"""Places of group, control group and "unknown" among the letters."""


def question(pair: MinimalPair, order: Sequence[int]) -> str:
    """The question about a pair; answer `i` of group, control group and "unknown" has the letter `order[i]`."""
    asked, unknown = WORDS[pair.language]
    lines = [""] * len(order)
    for answer, place in zip((pair.sentence, pair.control_sentence, unknown), order, strict=True):
        lines[place] = f"{LETTERS[place]}. {answer}"
    return "\n".join([asked, *lines])


class Questions:
    """Questions about pairs in tokens; none where the base cannot be asked.

    Attributes:
        pairs: That are asked about: those in a language of WORDS, each once, in however many countries it is known.
        prompts: ORDERS of each, one pair after the other.
        why_not: Why none is asked, as the end of a sentence, or "".
    """

    def __init__(self, vocabulary: Vocabulary, pairs: Sequence[MinimalPair]) -> None:
        """Write the questions, and find the tokens of the letters."""
        asked = (pair for pair in pairs if pair.language in WORDS)
        self.pairs = list({(pair.sentence, pair.control_sentence): pair for pair in asked}.values())
        self.tokenizer, self.pad = vocabulary.tokenizer, vocabulary.pad
        self.prompts: list[EncodedAnswer] = []
        self.letters: list[int] = []
        self.why_not = ""
        if not self.tokenizer.chat_template:
            self.why_not = "the base has no chat template"
        elif not self.pairs:
            self.why_not = f"no pair is in {' or '.join(WORDS)}"
        if self.why_not:
            return
        behind = self._texts([question(self.pairs[0], ORDERS[0])])[0]
        with_letter: list[list[int]] = [self._ids([behind + letter])[0] for letter in LETTERS]
        cut = next((place for place, ids in enumerate(zip(*with_letter, strict=False)) if len(set(ids)) > 1), None)
        self.letters = [] if cut is None else [ids[cut] for ids in with_letter]
        if cut is None or len(set(self.letters)) < len(LETTERS):
            self.why_not = "its tokenizer writes two of the letters with the same token"
            return
        # Tokens that a letter behind them changes, such as a blank that becomes a part of it, or that it brings along.
        kept = cut - len(self._ids([behind])[0])
        before = with_letter[0][cut - kept : cut] if kept > 0 else []
        texts = self._texts([question(pair, order) for pair in self.pairs for order in ORDERS])
        self.prompts = [EncodedAnswer([*(ids[:kept] if kept < 0 else ids), *before], 0) for ids in self._ids(texts)]

    def _texts(self, questions: Sequence[str]) -> list[str]:
        template = self.tokenizer.apply_chat_template
        return [
            template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
            for text in questions
        ]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    def log_probs(self, model: Any, chosen: Sequence[int]) -> list[list[float]]:
        """Log-prob of each letter behind some of the prompts, nats."""
        found: list[list[float]] = choice_log_probs(
            model, [self.prompts[i].ids for i in chosen], self.letters, pad=self.pad
        )
        return found

    def answers(self, found: Sequence[Sequence[float]]) -> dict[tuple[str, str], tuple[float, float, float, float]]:
        """Both sentences of a pair -> probabilities of group, control group and "unknown", and of all letters.

        They are means over ORDERS.

        Args:
            found: Log-probs of the letters behind every prompt.
        """
        logs = np.array(found).reshape(len(self.pairs), len(ORDERS), len(LETTERS))
        chances = np.exp(logs - np.logaddexp.reduce(logs, axis=2, keepdims=True))
        # Of answer i in order o, the probability stands at the letter ORDERS[o][i].
        means = np.take_along_axis(chances, np.array(ORDERS)[None], axis=2).mean(axis=1)
        mass = np.exp(logs).sum(axis=2).mean(axis=1)
        return {
            (pair.sentence, pair.control_sentence): (float(own), float(other), float(unknown), float(all_of_them))
            for pair, (own, other, unknown), all_of_them in zip(self.pairs, means, mass, strict=True)
        }
