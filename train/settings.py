"""Settings of a run: presets as complete TOML files in presets/, and `--set section.key=value` on top of one."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from annotation.errors import SettingsError
from annotation.sections import Section

PRESETS = Path(__file__).parent / "presets"
"""One complete file per preset; the name of the file is the name of the preset."""


class BaseModelSettings(Section):
    """[base]: the model that is adapted, and how its weights are held."""

    name: str = Field(
        description='a folder, a Hub id, "package:NAME" for a model inside a Python package, or "" for a tiny one'
    )
    revision: str
    dtype: Literal["float32", "bfloat16"]
    quantisation: Literal["none", "nf4", "int8"]
    attention: Literal["sdpa", "eager", "flex_attention"]
    chat_template: str = Field(description="a Jinja file for a base that has no template of its own, or empty")
    vision: Literal["none", "frozen", "adapted"] = Field(
        "none", description="of a model that sees pictures: is its vision tower adapted too? none: it reads text alone"
    )


class DeviceSettings(Section):
    """[device]: where it runs."""

    kind: Literal["cpu", "cuda"]
    min_free_gib: float = Field(ge=0, le=1024)
    threads: int = Field(ge=0, le=1024)
    sharding: Literal["none", "fsdp2"]


class LoraSettings(Section):
    """[lora]: the adapter. Its weights are float32, whatever the base."""

    rank: int = Field(ge=1, le=1024)
    alpha: int = Field(ge=1, le=65536)
    dropout: float = Field(ge=0, lt=1)
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)]


class DataSettings(Section):
    """[data]: how files are read, how the rows are split, and how long they may be."""

    held_out: float = Field(gt=0, le=0.5)
    split: Literal["prompt", "group"] = "prompt"
    repeated: bool = True
    earlier_rounds: float = Field(
        1.0, ge=0, le=1, description="weight of a slate for each round by which it is older than the newest"
    )
    columns: Mapping[str, str] = {}
    max_length: int = Field(ge=16, le=2**20)
    on_overflow: Literal["drop", "error", "truncate"]


class DpoSettings(Section):
    """[dpo]: the objective. What a key means to each of the three stands beside it in every preset."""

    objective: Literal["plackett_luce", "pairwise", "trl"]
    beta: float = Field(gt=0, le=100)
    label_smoothing: Literal["votes"] | Annotated[float, Field(ge=0, lt=0.5)]
    weight: Literal["slate", "people"]
    margin: float = Field(ge=0, le=1000)
    sft_weight: float = Field(ge=0, le=1000)
    loss: Literal["sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "apo_zero", "apo_down"]
    precompute_reference: bool

    @model_validator(mode="after")
    def _every_setting_is_heard(self) -> Self:
        number = self.label_smoothing != "votes"
        if self.objective == "plackett_luce" and number:
            raise ValueError(
                'the listwise objective hears every person\'s ranking, and no other label_smoothing than "votes"; '
                'set dpo.objective = "pairwise" for a fixed number'
            )
        if self.objective == "plackett_luce" and self.margin:
            raise ValueError('a margin is between two answers; set dpo.objective = "pairwise", or dpo.margin = 0.0')
        if self.objective == "trl":
            if number and self.label_smoothing and self.loss != "robust":
                raise ValueError(f'the "{self.loss}" loss ignores label_smoothing; set dpo.loss="robust", or 0.0 here')
            if self.margin or self.sft_weight or self.weight != "slate":
                raise ValueError("no margin, weight or sft_weight reaches TRL's losses; choose another dpo.objective")
        elif self.loss != "sigmoid":
            raise ValueError('dpo.loss is for dpo.objective = "trl"; set that too, or dpo.loss = "sigmoid"')
        return self


class RegionSettings(Section):
    """[region]: for whom the adapter is."""

    country: str = Field(pattern="^([A-Z]{2})?$")
    others: float = Field(ge=0, le=1)
    in_prompt: bool
    min_prompts: int = Field(ge=2, le=10**6)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.country and self.in_prompt:
            raise ValueError("an adapter of one country needs no country in its prompts; set one of both")
        return self


class OptimiserSettings(Section):
    """[optimiser]: steps and batches. A step is one update of the weights."""

    name: Literal["adamw_torch", "adamw_torch_fused"]
    learning_rate: float = Field(gt=0, le=1)
    schedule: Literal["linear", "cosine", "constant_with_warmup"]
    warmup: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1)
    max_grad_norm: float = Field(gt=0, le=1e9)
    epochs: float = Field(gt=0, le=1000)
    max_steps: int = Field(ge=0, le=10**9)
    batch: int = Field(ge=1, le=2**16)
    accumulate: int = Field(ge=1, le=2**16)
    autocast: Literal["none", "bfloat16"]
    checkpoint_activations: bool


class EngineSettings(Section):
    """[engine]: how slates go through the model. It changes speed and memory, and no result beyond rounding."""

    token_budget: int = Field(ge=0, le=2**24)
    checkpoint_layers: int = Field(ge=-1, le=10**4)
    logits_chunk: int = Field(ge=64, le=2**20)
    compile: bool = False
    max_bad_batches: int = Field(ge=0, le=10**9)


class FootprintSettings(Section):
    """[footprint]: energy and carbon of the run, estimated on this machine; nothing is sent anywhere."""

    measure: bool
    country: str = Field(pattern="^([A-Z]{2})?$", description="where the machine stands; empty: the world's average")

    @field_validator("country")
    @classmethod
    def _is_a_country(cls, country: str) -> str:
        if country:
            import pycountry

            if pycountry.countries.get(alpha_2=country) is None:
                raise ValueError(f'"{country}" is no ISO 3166 code; write two letters such as "MX"')
        return country


class EvaluationSettings(Section):
    """[evaluation]: how `annot evaluate` measures a finished run, and what a run must reach to be released."""

    prompts: int = Field(ge=0, le=10**6)
    max_new_tokens: int = Field(ge=1, le=2**17)
    batch: int = Field(ge=1, le=2**16)
    gate_by: tuple[Literal["country", "language", "topic"], ...]
    gate_prompts: int = Field(ge=2, le=10**6)
    gate_accuracy: float = Field(ge=0, lt=1)
    gate_exam_drop: Literal["off"] | Annotated[float, Field(gt=0, lt=1)] = "off"
    gate_votes: Literal["off"] | Annotated[float, Field(gt=0, lt=1)] = "off"
    gate_vote_count: int = Field(default=30, ge=2, le=10**6)
    gate_bias_rise: Literal["off"] | Annotated[float, Field(gt=0, lt=0.5)] = "off"
    stories: int = Field(default=24, ge=0, le=10**6)


class RunSettings(Section):
    """[run]: what is written, and how often."""

    seed: int = Field(ge=0, lt=2**31)
    log_every: int = Field(ge=1, le=10**9)
    save_every: int = Field(ge=1, le=10**9)
    eval_every: int = Field(ge=0, le=10**9)
    eval_batch: int = Field(ge=1, le=2**16)

    @model_validator(mode="after")
    def _saves_fall_on_logs(self) -> Self:
        # The mean since the last log line lives in memory only: a checkpoint between two lines would lose it.
        if self.save_every % self.log_every:
            raise ValueError(f"save_every = {self.save_every} must be a multiple of log_every = {self.log_every}")
        return self


class Recipe(Section):
    """Everything that decides what a run does, apart from its data. No key has a default: a preset says all of it."""

    base: BaseModelSettings
    device: DeviceSettings
    lora: LoraSettings
    data: DataSettings
    dpo: DpoSettings
    region: RegionSettings
    optimiser: OptimiserSettings
    engine: EngineSettings
    run: RunSettings
    evaluation: EvaluationSettings
    footprint: FootprintSettings

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.base.quantisation != "none" and not self.base.name:
            raise ValueError("a model made on the spot is not quantised; name a base, or set base.quantisation=none")
        if self.base.attention == "flex_attention" and self.device.kind == "cpu":
            raise ValueError('FlexAttention has no gradient on a CPU; set base.attention = "sdpa"')
        if self.engine.compile and (self.device.sharding == "fsdp2" or self.dpo.objective == "trl"):
            where = "TRL's own trainer" if self.dpo.objective == "trl" else "a base that processes share (FSDP2)"
            raise ValueError(f"{where} is not compiled; set engine.compile=false")
        if self.base.vision != "none" and self.device.sharding == "fsdp2":
            raise ValueError("processes that share a base (FSDP2) see no pictures; set device.sharding=none")
        if self.base.vision == "adapted" and self.lora.dropout and self.dpo.objective != "trl":
            raise ValueError("dropout is by token, and a vision tower has none; set lora.dropout=0.0")
        if self.base.vision != "none" and self.dpo.objective == "trl":
            if self.dpo.precompute_reference:
                raise ValueError(
                    "TRL computes no reference beforehand with pictures; set dpo.precompute_reference=false"
                )
            if self.data.on_overflow == "truncate":
                raise ValueError('TRL would cut pictures too; set data.on_overflow = "drop", or another dpo.objective')
        if 0 < self.data.earlier_rounds < 1 and self.dpo.objective == "trl":
            raise ValueError(
                "no weight reaches TRL's losses: set data.earlier_rounds=0 or 1, or choose another dpo.objective"
            )
        if self.region.country and self.region.others and self.dpo.objective == "trl":
            raise ValueError("no weight reaches TRL's losses: set region.others=0, or choose another dpo.objective")
        return self


def preset_names() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.toml")))


def describe_preset(preset: str) -> str:
    """The first line of a preset's file, which is a comment that says what it is for."""
    return (PRESETS / f"{preset}.toml").read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def load_recipe(preset: str, overrides: Sequence[str] = (), *, base: str = "") -> Recipe:
    """Read a preset and put overrides on top.

    Args:
        preset: Its name.
        overrides: "section.key=value" each, the value as TOML or as a bare word.
        base: A model folder, Hub id or package:NAME in place of the preset's; empty keeps it.

    Raises:
        SettingsError: There is no such preset or key, or a value is impossible.
    """
    if preset not in preset_names():
        near = difflib.get_close_matches(preset, preset_names(), n=1)
        guess = f' Did you mean "{near[0]}"?' if near else ""
        raise SettingsError(f'there is no preset "{preset}"; there are {", ".join(preset_names())}.{guess}')
    raw = tomllib.loads((PRESETS / f"{preset}.toml").read_text(encoding="utf-8"))
    if base:
        raw["base"]["name"] = base
    return with_overrides(raw, overrides, f"preset {preset}")


def with_overrides(raw: Mapping[str, Any], overrides: Sequence[str], place: str) -> Recipe:
    """Put overrides on top of a whole recipe; `place` names it where it is refused.

    Raises:
        SettingsError: There is no such key, or a value is impossible.
    """
    raw = {section: dict(values) for section, values in raw.items()}
    for override in overrides:
        section, key, value = _parse(override)
        if key not in raw.get(section, {}):
            raise SettingsError(f'--set {override}: there is no setting "{section}.{key}"; {_other(raw, section, key)}')
        raw[section][key] = value
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        place += f" with --set {' '.join(overrides)}" if overrides else ""
        raise SettingsError(f"{place}: {'; '.join(_sentences(error))}.") from None


def as_toml(names: Mapping[str, str]) -> str:
    """Names as an inline table of TOML, for an override."""
    quoted = ([json.dumps(text, ensure_ascii=False) for text in pair] for pair in names.items())
    return "{" + ", ".join(f"{name} = {value}" for name, value in quoted) + "}"


def _other(raw: Mapping[str, Mapping[str, Any]], section: str, key: str) -> str:
    """Which setting may have been meant, or which there are."""
    if same := [f"{table}.{key}" for table, values in raw.items() if key in values]:
        return f'did you mean "{same[0]}"?'
    if section in raw:
        near = difflib.get_close_matches(key, raw[section], n=1)
        return f'did you mean "{section}.{near[0]}"?' if near else f"[{section}] has {', '.join(raw[section])}."
    known = [f"{table}.{name}" for table, values in raw.items() for name in values]
    near = difflib.get_close_matches(f"{section}.{key}", known, n=1, cutoff=0.8)
    return f'did you mean "{near[0]}"?' if near else f"the sections are {', '.join(raw)}."


def _parse(override: str) -> tuple[str, str, Any]:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise SettingsError(f"--set {override}: write section.key=value, for example --set lora.rank=8.")
    try:
        return section, key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return section, key, text.strip()


def _sentences(error: ValidationError) -> Iterable[str]:
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        shown = problem["input"]
        value = "" if isinstance(shown, BaseModel | dict) else f" = {shown!r}"
        yield f"{place}{value}: {reason[:1].lower()}{reason[1:]}" if place else reason
