"""The base's tokenizer: its words, its chat template, and the tokens at which a text ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.models.base import Base, loading, read_config
from train.settings import BaseModelSettings


@dataclass(frozen=True)
class Vocabulary:
    """The base's tokenizer and what its model knows of the tokens.

    Attributes:
        tokenizer: transformers' own.
        ends: Ids of all tokens at which generation stops.
        size: How many tokens the model knows.
    """

    tokenizer: Any
    ends: frozenset[int]
    size: int

    @property
    def pad(self) -> int:
        """Id of the token that fills up short rows."""
        tokenizer = self.tokenizer
        pad: int = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return pad


def load_vocabulary(base: Base, settings: BaseModelSettings) -> Vocabulary:
    """Load the base's tokenizer, and read from its configuration what the model knows of the tokens.

    Raises:
        TrainError: A file is damaged, or there is no end-of-sequence token.
    """
    from transformers import AutoConfig

    with loading(base, "configuration"):
        config = AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
        size = int(config.get_text_config().vocab_size)
    tokenizer = load_tokenizer(base, settings)
    ends = {tokenizer.eos_token_id}
    path = base.folder / "generation_config.json"
    if path.exists():
        more = read_config(path).get("eos_token_id")
        ends |= set(more) if isinstance(more, list) else {more} - {None}
    return Vocabulary(tokenizer, frozenset(ends), size)


def load_tokenizer(base: Base, settings: BaseModelSettings) -> Any:
    """Load the base's tokenizer, with the template of the settings where they name one.

    Raises:
        TrainError: There is none, or it has no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    with loading(base, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    if settings.chat_template:
        path = Path(settings.chat_template).expanduser()
        if not path.is_file():
            raise TrainError(f"base.chat_template = {settings.chat_template}: there is no such file.")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    if tokenizer.eos_token is None:
        raise TrainError(f"{base.name}: the tokenizer has no end-of-sequence token, so no answer could ever end.")
    return tokenizer
