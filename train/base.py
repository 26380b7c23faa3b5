"""The model that is adapted: where it is, its tokenizer, and its frozen weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError, TrainLater
from train.settings import BaseModelSettings, DeviceSettings
from train.tiny_model import NOTICE, make_tiny_base

HUB_TIMEOUT_S = 5.0
"""How long the Hub may be silent before it counts as unreachable; a download may take as long as it needs."""

HUB_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
"""What a model consists of beside its weights."""

HUB_WEIGHTS = ("*.safetensors",)
"""Its weights; the same in other formats stay on the Hub."""

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Base:
    """A model on this machine.

    Attributes:
        name: As it was asked for.
        folder: Where its files are.
        version: Commit on the Hub, or for a folder a hash of its configuration and the sizes of its weights.
        tiny: It is random and was made on the spot.
    """

    name: str
    folder: Path
    version: str
    tiny: bool = False

    @property
    def shown(self) -> str:
        """Its name for people; a made-up model is called one."""
        return NOTICE if self.tiny else self.name


def find_base(
    settings: BaseModelSettings, home: Path, texts: Callable[[], Sequence[str]], *, seed: int, weights: bool = True
) -> Base:
    """Find the base on this machine, fetch it from the Hub, or make a tiny one where none is named.

    Args:
        settings: Which.
        home: Folder in which a tiny one is made.
        texts: What a tiny one's tokenizer is learnt from.
        seed: Of a tiny one's weights.
        weights: Fetch its weights too; a plan needs only the tokenizer.

    Raises:
        TrainError: The name is no folder and no model on the Hub, or the Hub refuses.
        TrainLater: The Hub cannot be reached and no earlier download is here.
    """
    base = _named_base(settings, home, texts, seed=seed, weights=weights)
    read_config(base.folder / "config.json")
    return base


def _named_base(
    settings: BaseModelSettings, home: Path, texts: Callable[[], Sequence[str]], *, seed: int, weights: bool
) -> Base:
    if not settings.name:
        folder = make_tiny_base(home / "base", texts(), seed=seed)
        return Base("", folder, _fingerprint(folder), tiny=True)
    folder = Path(settings.name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise TrainError(f"--base {settings.name} is no model folder: config.json is missing.")
        return Base(settings.name, folder.resolve(), _fingerprint(folder))
    if folder.is_absolute() or settings.name.count("/") > 1 or settings.name.startswith((".", "~")):
        raise TrainError(f"--base {settings.name}: there is no such folder; name a model folder or a Hub id.")
    folder = _fetch(settings.name, settings.revision, weights)
    return Base(settings.name, folder, folder.name)


def base_of_run(run: Path, settings: BaseModelSettings, facts: Mapping[str, Any]) -> Base:
    """The base that a run was trained on, and no other version of it.

    Args:
        run: The run's folder.
        settings: [base] of its recipe.
        facts: Its run.json.

    Raises:
        TrainError: The base is another one now.
        TrainLater: It is on the Hub and cannot be reached.
    """
    if facts["base_is_tiny_and_random"]:
        return Base("", run / "base", facts["base_version"], tiny=True)
    if not Path(settings.name).expanduser().is_dir():
        settings = settings.model_copy(update={"revision": facts["base_version"]})
    base = find_base(settings, run, lambda: (), seed=0)
    if base.version != facts["base_version"]:
        raise TrainError(
            f"{base.name} is no longer the model that {run.name} was trained on ({base.version} instead of "
            f"{facts['base_version']}); put that one back."
        )
    return base


def _fetch(name: str, revision: str, weights: bool) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        try:
            # Asked first, because a download waits for minutes on a network that swallows what it is sent.
            commit = HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S).sha
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except (HTTPError, ConnectionError):
            folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        else:
            wanted = [*HUB_FILES, *(HUB_WEIGHTS if weights else ())]
            folder = Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    except GatedRepoError:
        raise TrainError(
            f"the Hub does not give out {name} to everyone: accept its licence on its page, and set HF_TOKEN."
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise TrainError(
            f"{name} is neither a folder here nor a model on the Hub; check the name, or set HF_TOKEN if it is private."
        ) from None
    except RevisionNotFoundError:
        raise TrainError(f'{name} has no revision "{revision}" on the Hub; mend base.revision.') from None
    except LocalEntryNotFoundError:
        raise TrainLater(
            f"{name} is not on this machine and the Hub cannot be reached; connect, or name a model folder with --base."
        ) from None
    except (HTTPError, ConnectionError) as error:
        raise TrainLater(f"the Hub broke off while {name} was fetched ({_first_line(error)}); run it again.") from None
    if weights and (missing := _missing_weights(folder)):
        raise TrainLater(f"the download of {name} is not whole ({missing[0]} is missing); connect, and run it again.")
    return folder


def _missing_weights(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [] if (folder / "model.safetensors").exists() else ["model.safetensors"]
    named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return sorted(name for name in named if not (folder / name).exists())


def _fingerprint(folder: Path) -> str:
    weights = sorted((path.name, path.stat().st_size) for path in folder.glob("*.safetensors"))
    config = (folder / "config.json").read_bytes()
    return hashlib.sha256(json.dumps(weights).encode() + config).hexdigest()[:16]


def load_tokenizer(base: Base, settings: BaseModelSettings) -> Any:
    """Load the base's tokenizer, with the template of the settings where they name one.

    Raises:
        TrainError: There is none, or it has no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    with _loading(base, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
    if settings.chat_template:
        path = Path(settings.chat_template).expanduser()
        if not path.is_file():
            raise TrainError(f"base.chat_template = {settings.chat_template}: there is no such file.")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    if tokenizer.eos_token is None:
        raise TrainError(f"{base.name}: the tokenizer has no end-of-sequence token, so no answer could ever end.")
    return tokenizer


def ends_of_text(base: Base, tokenizer: Any) -> frozenset[int]:
    """Ids of all tokens at which generation stops: the tokenizer's, and those of generation_config.json."""
    ends = {tokenizer.eos_token_id}
    path = base.folder / "generation_config.json"
    if path.exists():
        told = read_config(path).get("eos_token_id")
        ends |= set(told) if isinstance(told, list) else {told} - {None}
    return frozenset(ends)


def read_config(path: Path) -> dict[str, Any]:
    """One of the JSON files of a model.

    Raises:
        TrainError: It holds something else.
    """
    with contextlib.suppress(ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    raise TrainError(f"{path} is no JSON object; it is damaged, fetch the base's files again.")


def vocabulary_size(base: Base) -> int:
    """How many tokens the base knows.

    Raises:
        TrainError: transformers cannot read its configuration.
    """
    from transformers import AutoConfig

    with _loading(base, "configuration"):
        return int(AutoConfig.from_pretrained(base.folder, local_files_only=True).get_text_config().vocab_size)


def quantisation_config(settings: BaseModelSettings) -> Any:
    """What transformers is told about 4-bit weights (Dettmers et al. 2023, QLoRA) or 8-bit ones (Dettmers et al. 2022,
    LLM.int8()); None without quantisation.
    """
    if settings.quantisation == "none":
        return None
    import torch
    from transformers import BitsAndBytesConfig

    if settings.quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, settings.dtype),
    )


def load_model(base: Base, settings: BaseModelSettings, device: DeviceSettings) -> Any:
    """Load the frozen weights in the dtype that the settings say, onto one device.

    Raises:
        TrainError: The folder holds no causal language model that transformers can load, or not all of its weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with _loading(base, "model"):
        model, loaded = AutoModelForCausalLM.from_pretrained(
            base.folder,
            dtype=getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
            quantization_config=quantisation_config(settings),
            device_map={"": f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device.kind == "cuda" else "cpu"},
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    if wrong := wrong_weights(model, loaded):
        raise TrainError(
            f"{base.name}: {len(wrong)} weights are not those that its config.json describes (for example {wrong[0]}): "
            "files are missing, or are of two models; fetch all of them again."
        )
    model.config.use_cache = False
    for module in model.modules():
        # On CPUs with AVX512-BF16 bitsandbytes repacks 4-bit weights at the first forward pass in evaluation mode, and
        # its kernel for the packed form has no gradient: every later training step would silently learn less.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def wrong_weights(model: Any, loaded: Mapping[str, Any]) -> list[str]:
    """Names of weights that a model lacks, has in another shape, or has more of than its configuration says.

    transformers only warns: it fills what it does not find with random numbers, and leaves out further layers. Other
    weights that it does not use are common and harmless.

    Args:
        model: As it was loaded.
        loaded: What from_pretrained says about loading it.
    """
    kinds = {re.sub(r"\d+", "N", name) for name in model.state_dict()}
    more = {name for name in loaded["unexpected_keys"] if re.sub(r"\d+", "N", name) in kinds}
    return sorted({*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"]), *more})


@contextlib.contextmanager
def _loading(base: Base, what: str) -> Iterator[None]:
    """Say in one sentence what of a base cannot be loaded: on damaged files its libraries raise anything."""
    try:
        yield
    except Exception as error:
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())[:200]
        raise TrainError(
            f"{base.name}: the {what} cannot be loaded ({reason}); fetch the base's files again, or name another base."
        ) from error


def check_device(device: DeviceSettings, preset: str) -> str:
    """Name the device, once it is sure that the preset can run on it.

    Raises:
        TrainError: There is no GPU, or too little of its memory is free.
    """
    import torch

    if device.kind == "cpu":
        threads = device.threads or os.cpu_count()
        return f"CPU, {threads} {'thread' if threads == 1 else 'threads'}"
    if not torch.cuda.is_available():
        raise TrainError(
            f"the preset {preset} needs a CUDA GPU with {device.min_free_gib:.0f} GiB free, and this machine has none; "
            "run it on one that has, or try the way with --preset cpu-smoke."
        )
    free, total = (number / GIB for number in torch.cuda.mem_get_info(0))
    name = torch.cuda.get_device_name(0)
    if free < device.min_free_gib:
        raise TrainError(
            f"the preset {preset} needs {device.min_free_gib:.0f} GiB of GPU memory and {name} has {free:.1f} of "
            f"{total:.1f} GiB free; end what uses it, or choose a smaller preset."
        )
    return f"{name}, {free:.0f} of {total:.0f} GiB free"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
