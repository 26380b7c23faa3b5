"""The base model that is adapted: where it is, which version, and its frozen weights."""

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

from annotation.config import is_closed
from annotation.errors import TrainError
from annotation.packages import PACKAGE, gguf_in
from train.models.content import check_content
from train.models.hub import NOT_OPEN, fetch, licence_in
from train.models.packaged import converted, note_of
from train.models.tiny_model import NOTICE, make_tiny_base
from train.models.tiny_vision import make_tiny_vision_base
from train.models.vision import vision_modules
from train.settings import BaseModelSettings, DeviceSettings


@dataclass(frozen=True, slots=True)
class Base:
    """A model on this machine.

    Attributes:
        name: As it was asked for.
        folder: Where its files are.
        version: Commit on the Hub; for a folder a hash of its configuration and the sizes of its weights; for a model
            out of a package the name of its file with a hash of it.
        tiny: It is random and was made on the spot.
    """

    name: str
    folder: Path
    version: str
    tiny: bool = False

    @property
    def licence(self) -> str:
        """What its licence is, and what that means, for people; "" for a made-up model."""
        if self.tiny:
            return ""
        known = "CC-BY-NC-4.0" if is_closed(self.name) else licence_in(self.folder / "README.md")
        if not known:
            return "not named by its folder (README.md); look it up before you give an adapter away"
        return f"{known}; {NOT_OPEN}" if "nc" in known.casefold().split("-") else known

    @property
    def shown(self) -> str:
        """Its name for people; a made-up model is called one, and one out of a package by what it is."""
        if self.name.startswith(PACKAGE):
            return note_of(self.folder, self.name)
        return NOTICE if self.tiny else self.name


def find_base(
    settings: BaseModelSettings, home: Path, texts: Callable[[], Sequence[str]], *, seed: int, weights: bool = True
) -> Base:
    """Find the base on this machine, fetch it from the Hub, convert it, or make a tiny one where none is named.

    Args:
        settings: Which.
        home: Folder in which a tiny one is made.
        texts: What a tiny one's tokenizer is learnt from.
        seed: Of a tiny one's weights.
        weights: Fetch its weights too; a plan needs only the tokenizer.

    Raises:
        TrainError: The name is no folder, no package with one GGUF file and no model on the Hub, the Hub refuses, or
            the model sees pictures where the settings say that it does not, or the other way round.
        TrainLater: The Hub cannot be reached and no earlier download is here.
    """
    base = _named_base(settings, home, texts, seed=seed, weights=weights)
    _check_sight(base, str(read_config(base.folder / "config.json").get("model_type")), settings)
    return base


def _check_sight(base: Base, kind: str, settings: BaseModelSettings) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as READING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as SEEING

    sees, wanted = kind in SEEING, settings.vision != "none"
    if sees and not wanted and kind not in READING:  # Gemma 3, for one, is a language model by itself too
        raise TrainError(
            f'{base.name} sees pictures ({kind}), and base.vision = "none" is for bases that read text alone; name one '
            "of those with --base, or train on pictures, with a preset such as l40s-vlm-lora."
        )
    if wanted and not sees:
        raise TrainError(
            f'{base.name} reads text alone ({kind}), and base.vision = "{settings.vision}" is for bases that see '
            "pictures; name one of those with --base, or set base.vision=none."
        )


def _named_base(
    settings: BaseModelSettings, home: Path, texts: Callable[[], Sequence[str]], *, seed: int, weights: bool
) -> Base:
    if settings.name.startswith(PACKAGE):
        gguf = gguf_in(settings.name)
        with loading(Base(settings.name, gguf.parent, ""), "GGUF file"):
            folder = converted(gguf, settings.name.removeprefix(PACKAGE))
        return Base(settings.name, folder, folder.name)
    if not settings.name:
        make = make_tiny_base if settings.vision == "none" else make_tiny_vision_base
        folder = make(home / "base", texts(), seed=seed)
        return Base("", folder, _fingerprint(folder), tiny=True)
    folder = Path(settings.name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise TrainError(f"--base {settings.name} is no model folder: config.json is missing.")
        return Base(settings.name, folder.resolve(), _fingerprint(folder))
    if folder.is_absolute() or settings.name.count("/") > 1 or settings.name.startswith((".", "~")):
        raise TrainError(f"--base {settings.name}: there is no such folder; name a model folder or a Hub id.")
    folder = fetch(settings.name, settings.revision, weights=weights)
    return Base(settings.name, folder, folder.name)


def base_of_run(run: Path, settings: BaseModelSettings, facts: Mapping[str, Any]) -> Base:
    """The base that a run was trained on, the same byte by byte.

    Args:
        run: The run's folder.
        settings: [base] of its recipe.
        facts: Its run.json.

    Raises:
        TrainError: The base is another one now.
        TrainLater: It is on the Hub and cannot be reached.
    """
    if facts["base_is_tiny_and_random"]:
        base = Base("", run / "base", facts["base_version"], tiny=True)
        check_content(base, settings, facts)
        return base
    if not Path(settings.name).expanduser().is_dir():
        settings = settings.model_copy(update={"revision": facts["base_version"]})
    base = find_base(settings, run, lambda: (), seed=0)
    if base.version != facts["base_version"]:
        raise TrainError(
            f"{base.name} is no longer the model that {run.name} was trained on ({base.version} instead of "
            f"{facts['base_version']}); put that one back."
        )
    check_content(base, settings, facts)
    return base


def is_on_hub(facts: Mapping[str, Any]) -> bool:
    """Whether the base in a run.json is a model of the Hub: its version is a commit."""
    return re.fullmatch("[0-9a-f]{40}", facts["base_version"]) is not None


def public_name(facts: Mapping[str, Any]) -> str:
    """Name of the base in a run.json, for others: of a folder the last part, as the rest is about a machine."""
    base: str = facts["base"]
    return base if is_on_hub(facts) or base.startswith(PACKAGE) else Path(base).name


def _fingerprint(folder: Path) -> str:
    weights = sorted((path.name, path.stat().st_size) for path in folder.glob("*.safetensors"))
    config = (folder / "config.json").read_bytes()
    return hashlib.sha256(json.dumps(weights).encode() + config).hexdigest()[:16]


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


def quantisation_config(settings: BaseModelSettings, whole: Sequence[str] | None = None) -> Any:
    """Settings of transformers for 4-bit weights (Dettmers et al. 2023, QLoRA) or 8-bit ones (Dettmers et al. 2022,
    LLM.int8()); None without quantisation.

    Args:
        settings: Which.
        whole: Names of modules that stay as they are, by their whole name in the model: of a shorter one nothing comes,
            and nobody says so. None: the output head alone, which transformers finds by itself.
    """
    if settings.quantisation == "none":
        return None
    import torch
    from transformers import BitsAndBytesConfig

    kept = None if whole is None else list(whole)
    if settings.quantisation == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        llm_int8_skip_modules=kept,
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

    sight, kept = settings.vision != "none", None
    if sight and settings.quantisation != "none":
        kept = whole_modules(load_shape(base, sight=True))
    with loading(base, "model"):
        model, loaded = _architecture(sight).from_pretrained(
            base.folder,
            dtype=getattr(torch, settings.dtype),
            # A vision tower has no blocks of a mask to skip.
            attn_implementation={"text_config": settings.attention}
            if sight and settings.attention == "flex_attention"
            else settings.attention,
            quantization_config=quantisation_config(settings, kept),
            device_map={"": f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device.kind == "cuda" else "cpu"},
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    if wrong := wrong_weights(model, loaded):
        raise TrainError(
            f"{base.name}: {len(wrong)} weights are not those that its config.json describes (for example {wrong[0]}): "
            "files are missing, or are of two models; fetch all of them again."
        )
    if sight:
        check_whole(model)
    # Of a base that sees pictures its language model has a configuration of its own.
    model.config.use_cache = model.config.get_text_config().use_cache = False
    for module in model.modules():
        # On CPUs with AVX512-BF16 bitsandbytes repacks 4-bit weights at the first forward pass in evaluation mode, and
        # its kernel for the packed form has no gradient: every later training step would silently learn less.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def load_shape(base: Base, *, sight: bool = False) -> Any:
    """The base without its weights: only their shapes, which take no memory.

    Args:
        base: The model.
        sight: It sees pictures.

    Raises:
        TrainError: transformers cannot make it from its configuration.
    """
    import torch
    from transformers import AutoConfig

    with loading(base, "configuration"), torch.device("meta"):
        config = AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
        return _architecture(sight).from_config(config, trust_remote_code=False)


def _architecture(sight: bool) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if sight else AutoModelForCausalLM


def whole_modules(model: Any) -> tuple[str, ...]:
    """Names of what is never quantised in a model that sees pictures: what only they go through, and the head."""
    head = model.get_output_embeddings()
    return (*vision_modules(model), *(name for name, module in model.named_modules() if module is head))


def check_whole(model: Any) -> None:
    """Make sure that nothing that a picture goes through was quantised: a name that is not found is silently ignored.

    Raises:
        TrainError: Something was.
    """
    short = [
        f"{part}.{name}"
        for part in vision_modules(model)
        for name, weights in model.get_submodule(part).named_parameters()
        if not weights.is_floating_point()
    ]
    if short:
        raise TrainError(f"{len(short)} vision layers were quantised ({short[0]}); set base.quantisation=none.")


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
def loading(base: Base, what: str) -> Iterator[None]:
    """Put into one sentence what of a base cannot be loaded: on damaged files its libraries raise anything."""
    try:
        yield
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise TrainError(
                f"{base.name}: the {what} needs Python code that comes with the base (auto_map), and annot never runs "
                "such code; name another base, or this one in a form that transformers knows by itself."
            ) from error
        if "does not support an attention implementation" in str(error):
            raise TrainError(
                f'{base.name}: its architecture has no such attention in transformers; set base.attention = "eager".'
            ) from error
        kind = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())[:200]
        raise TrainError(
            f"{base.name}: the {what} cannot be loaded ({reason}); fetch the base's files again, or name another base."
        ) from error
