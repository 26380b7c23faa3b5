"""The base's tokenizer, or processor where it sees pictures: its words, chat template, and tokens that end a text."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.models.base import Base, loading, read_config
from train.settings import BaseModelSettings

AS_PARTS = (
    "{%- set plain = namespace(all=[]) -%}{%- for message in messages -%}"
    "{%- if message['content'] is string -%}"
    "{%- set parts = [dict(type='text', text=message['content'])] -%}"
    "{%- else -%}{%- set parts = message['content'] -%}{%- endif -%}"
    "{%- set plain.all = plain.all + [dict(role=message['role'], content=parts)] -%}"
    "{%- endfor -%}{%- set messages = plain.all -%}"
)
"""Before a chat template that knows messages in parts alone, as Idefics' and LLaVA's: a text becomes its only part."""


@dataclass(frozen=True)
class Vocabulary:
    """The base's tokenizer and what its model knows of the tokens.

    Attributes:
        tokenizer: transformers' own.
        ends: Ids of all tokens at which generation stops.
        size: How many tokens the model knows.
        processor: transformers' ProcessorMixin of a base that sees pictures, with the same tokenizer; else None.
    """

    tokenizer: Any
    ends: frozenset[int]
    size: int
    processor: Any = None

    @property
    def pad(self) -> int:
        """Id of the token that fills up short rows."""
        tokenizer = self.tokenizer
        pad: int = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return pad


def load_vocabulary(base: Base, settings: BaseModelSettings) -> Vocabulary:
    """Load the base's tokenizer or processor, and read from its configuration what the model knows of the tokens.

    Raises:
        TrainError: A file is damaged, or there is no end-of-sequence token.
    """
    from transformers import AutoConfig

    with loading(base, "configuration"):
        config = AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
        size = int(config.get_text_config().vocab_size)
    processor = None if settings.vision == "none" else load_processor(base, settings)
    tokenizer = processor.tokenizer if processor else load_tokenizer(base, settings)
    ends = {tokenizer.eos_token_id}
    path = base.folder / "generation_config.json"
    if path.exists():
        more = read_config(path).get("eos_token_id")
        ends |= set(more) if isinstance(more, list) else {more} - {None}
    return Vocabulary(tokenizer, frozenset(ends), size, processor)


def load_tokenizer(base: Base, settings: BaseModelSettings) -> Any:
    """Load the base's tokenizer, with the template of the settings where they name one.

    Raises:
        TrainError: There is none, or it has no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    with loading(base, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    tokenizer.chat_template = _template(settings) or tokenizer.chat_template
    _check_end(base, tokenizer)
    return tokenizer


def load_processor(base: Base, settings: BaseModelSettings) -> Any:
    """Load the processor of a base that sees pictures; its tokenizer has the processor's own chat template.

    Raises:
        TrainError: There is none, it needs a library that is not here, or it has no end-of-sequence token.
    """
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    try:
        with loading(base, "processor"):
            processor = AutoProcessor.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
            tokenizer, _ = processor.tokenizer, processor.image_processor
    except TrainError as error:
        if "torchvision" in str(error.__cause__).casefold() and not is_torchvision_available():
            raise TrainError(
                f"{base.name}: its processor needs torchvision; install the one that was built for your PyTorch from "
                "the place that your PyTorch is from, or name a LLaVA, Gemma 3 or Idefics 3 as the base."
            ) from error
        raise
    tokenizer.chat_template = _template(settings) or processor.chat_template or tokenizer.chat_template
    if tokenizer.chat_template and not _writes_plain_text(tokenizer):
        tokenizer.chat_template = AS_PARTS + tokenizer.chat_template
    processor.chat_template = tokenizer.chat_template
    _check_end(base, tokenizer)
    return processor


def _writes_plain_text(tokenizer: Any) -> bool:
    import jinja2

    with contextlib.suppress(jinja2.TemplateError, TypeError):
        return "¿?" in tokenizer.apply_chat_template([{"role": "user", "content": "¿?"}], tokenize=False)
    return False


def _template(settings: BaseModelSettings) -> str:
    if not settings.chat_template:
        return ""
    path = Path(settings.chat_template).expanduser()
    if not path.is_file():
        raise TrainError(f"base.chat_template = {settings.chat_template}: there is no such file.")
    return path.read_text(encoding="utf-8")


def _check_end(base: Base, tokenizer: Any) -> None:
    if tokenizer.eos_token is None:
        raise TrainError(f"{base.name}: the tokenizer has no end-of-sequence token, so no answer could ever end.")
