"""Slates → tokens, as TRL's DPOTrainer writes them: a test holds both together, for pictures too."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.data.slates import RankedSlate
from train.data.texts import Message, Text, as_answer, as_question
from train.data.tokens import EncodedSlate
from train.models.pictures import Expansion, pictures_of

BRACKETS = re.compile(r"<[^\s<>]+>|\[/?[A-Z_]+\]")
"""Marks such as <|im_end|>, <start_of_turn> and [/INST] in what a template writes."""


@dataclass(frozen=True, slots=True)
class Places:
    """Places of a slate's picture in a text.

    Attributes:
        slate: Its id, for a person.
        mark: What the chat template writes where the picture stands.
        expansion: What stands there for this picture: a token for each part of it that the base sees.
    """

    slate: str
    mark: str
    expansion: Expansion

    def shown_with(self, messages: Sequence[Message]) -> list[Any]:
        """Messages with the picture before the first text of the user, as TRL puts it."""
        first = next(number for number, message in enumerate(messages) if message["role"] == "user")
        parts = [{"type": "image"}, {"type": "text", "text": messages[first]["content"]}]
        return [*messages[:first], {"role": "user", "content": parts}, *messages[first + 1 :]]

    def fill(self, written: str) -> str:
        """What the chat template wrote, with the places of the picture.

        Raises:
            TrainError: It has another mark than that of the picture, or none.
        """
        if (marks := written.count(self.mark)) != 1:
            why = (
                "the base's chat template has no place for a picture; choose another base, or name a template with "
                "--set base.chat_template=FILE"
                if not marks
                else f"its texts hold {self.mark}, which stands for a picture; take it out of them"
            )
            raise TrainError(f"{self.slate}: {why}.")
        return written.replace(self.mark, self.expansion.text)


def encode_slate(slate: RankedSlate, words: Any, *, limit: int = 0, pictures: Path | None = None) -> EncodedSlate:
    """Write a slate in tokens.

    Args:
        slate: With all its answers, a rewrite included.
        words: The base's Vocabulary; its tokenizer alone will do for a slate without a picture.
        limit: Longest sequence of prompt and one answer; answers are cut at their end. 0: none is cut.
        pictures: Folder below which the file of the slate's picture is found.

    Raises:
        TrainError: The chat template refuses the messages, the prompt alone is too long, or the picture is not there.
    """
    encoded, _ = encode_whole(slate, words, pictures)
    if not limit or encoded.longest <= limit:
        return encoded
    room = limit - len(encoded.prompt)
    if room < 1:
        raise TrainError(f"{slate.id}: its prompt alone has {len(encoded.prompt)} tokens; raise data.max_length.")
    return replace(encoded, answers=tuple(answer[:room] for answer in encoded.answers))


def encode_whole(slate: RankedSlate, words: Any, pictures: Path | None = None) -> tuple[EncodedSlate, int]:
    """Write a slate in tokens, uncut: the arguments of `encode_slate`, and what `encode_texts` returns."""
    tokenizer, places = getattr(words, "tokenizer", words), _places(slate, words, pictures)
    encoded, merged = encode_texts(slate.prompt, slate.answers, tokenizer, place=slate.id, picture=places)
    return replace(encoded, image=slate.image), merged


def encode_prompt(slate: RankedSlate, words: Any, pictures: Path | None = None) -> list[int]:
    """Write a slate's prompt alone in tokens, up to where a model begins to answer: see `encode_slate`."""
    tokenizer = getattr(words, "tokenizer", words)
    return token_ids(slate.prompt, tokenizer, prompt=True, picture=_places(slate, words, pictures))


def _places(slate: RankedSlate, words: Any, pictures: Path | None) -> Places | None:
    if not slate.image:
        return None
    if not getattr(words, "processor", None) or pictures is None:
        raise TrainError(
            f"{slate.id} is about a picture, and the base reads text alone; choose a preset for pictures, such as "
            "--preset l40s-vlm-lora."
        )
    if isinstance(slate.prompt, str):
        raise TrainError(
            f"{slate.id}: the base has no chat template, so nothing says where its picture stands; name one with "
            "--set base.chat_template=FILE."
        )
    seen = pictures_of(words.processor, pictures)
    return Places(slate.id, seen.mark, seen.places(slate.image))


def ends_well(answer: Sequence[int], ends: frozenset[int], tokenizer: Any) -> bool:
    """Whether an answer ends with an end-of-text token; templates may put white space after it."""
    for token in reversed(answer):
        if token in ends:
            return True
        if tokenizer.decode([token]).strip():
            return False
    return False


def as_conversations(slates: Sequence[RankedSlate], tokenizer: Any) -> tuple[RankedSlate, ...]:
    """Slates whose plain texts are turns of user and assistant, where the base has a chat template.

    An instruct model never reads bare text when it is used. Texts stay as they stand where the base has no template,
    and where every prompt ends as the template ends one: somebody has written them for this base already.
    """
    plain = [slate.prompt for slate in slates if isinstance(slate.prompt, str)]
    if not plain or not tokenizer.chat_template:
        return tuple(slates)
    ending = _generation_prompt(tokenizer)
    if ending and all(prompt.rstrip().endswith(ending) for prompt in plain):
        return tuple(slates)
    return tuple(
        replace(
            slate,
            prompt=as_question(slate.prompt),
            answers=tuple(as_answer(text) if isinstance(text, str) else text for text in slate.answers),
        )
        if isinstance(slate.prompt, str)
        else slate
        for slate in slates
    )


def _generation_prompt(tokenizer: Any) -> str:
    """Generation prompt of the chat template: what it writes between question and answer; "" where it refuses."""
    import jinja2

    try:
        written: str = tokenizer.apply_chat_template(
            list(as_question("¿?")), tokenize=False, add_generation_prompt=True
        )
    except jinja2.TemplateError:
        return ""  # said with its reason when the first slate is written
    return written.rpartition("¿?")[2].strip()


def chat_marks(tokenizer: Any) -> tuple[str, ...]:
    """Texts that are commands to the base and no words: its special tokens, and what its template writes in brackets.

    Inside a prompt or an answer they would become the very tokens that begin and end a turn.
    """
    import jinja2

    marks = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    question, answer = as_question("¿?", "¡!"), as_answer("¡!")
    for asked in (question, question[1:]) if tokenizer.chat_template else ():  # some templates refuse a system text
        for messages, prompt in ((asked, True), (asked + answer, False)):
            with contextlib.suppress(jinja2.TemplateError):
                written = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)
                marks |= set(BRACKETS.findall(written))
    return tuple(sorted(mark for mark in marks if len(mark) > 2 and not mark.isalnum()))


def unwritten(prompt: Text, answer: Text, tokenizer: Any) -> Message | None:
    """The first message of a conversation that the chat template does not write; None where it writes all of them."""
    if isinstance(prompt, str) or isinstance(answer, str):
        return None
    messages, at = (*prompt, *answer), 0
    written: str = tokenizer.apply_chat_template(list(messages), tokenize=False)
    for message in messages:
        text = message["content"].strip()
        # A system text may stand anywhere, some templates put it into the last question; turns keep their order.
        system = message["role"] == "system"
        place = written.find(text, 0 if system else at)
        if place < 0:
            return message
        at = at if system else place + len(text)
    return None


def encode_texts(
    prompt: Text, answers: Sequence[Text], tokenizer: Any, *, place: str, picture: Places | None = None
) -> tuple[EncodedSlate, int]:
    """Write a prompt and its answers in tokens; an answer begins where all sequences leave the prompt.

    Messages go through the chat template, the prompt with a generation prompt; plain text is taken as it stands, with
    the end-of-sequence token after each answer.

    Returns:
        The tokens, and how many at the end of the prompt read differently once an answer follows: they count as part
        of every answer then.

    Raises:
        TrainError: The chat template refuses the messages; it names the place.
    """
    import jinja2

    try:
        alone = token_ids(prompt, tokenizer, prompt=True, picture=picture)
        followed = [token_ids(_joined(prompt, answer, tokenizer), tokenizer, picture=picture) for answer in answers]
    except jinja2.TemplateError as error:
        raise TrainError(
            f"{place}: the base's chat template refuses the messages ({error}); choose another base, or name a "
            "template with --set base.chat_template=FILE."
        ) from None
    shared = min(_common(alone, ids) for ids in followed)
    return EncodedSlate(tuple(alone[:shared]), tuple(tuple(ids[shared:]) for ids in followed)), len(alone) - shared


def token_ids(text: Text, tokenizer: Any, *, prompt: bool = False, picture: Places | None = None) -> list[int]:
    """Plain text as it stands, or messages through the chat template; a prompt ends where the answer begins."""
    if picture:
        shown = picture.shown_with(text)  # type: ignore[arg-type]
        filled = picture.fill(tokenizer.apply_chat_template(shown, tokenize=False, add_generation_prompt=prompt))
        return picture.expansion.expand(tokenizer(text=filled, add_special_tokens=False)["input_ids"])
    if isinstance(text, str):
        written: list[int] = tokenizer(text=text)["input_ids"]
        return written
    templated: list[int] = tokenizer.apply_chat_template(
        list(text), tokenize=True, return_dict=True, add_generation_prompt=prompt
    )["input_ids"]
    return templated


def _joined(prompt: Text, answer: Text, tokenizer: Any) -> Text:
    if isinstance(prompt, str) and isinstance(answer, str):
        return prompt + (answer if answer.endswith(tokenizer.eos_token) else answer + tokenizer.eos_token)
    return (*prompt, *answer)


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    for place, (one, other) in enumerate(zip(ids, others, strict=False)):
        if one != other:
            return place
    return min(len(ids), len(others))
