"""`annot.toml` as frozen settings. Unknown keys are refused with the nearest known one."""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from annotation.database_address import Database
from annotation.encoders import MULTILINGUAL, thresholds_of
from annotation.errors import ServerError, SettingsError
from annotation.sections import Country, Language, Section, named_country, named_language
from annotation.task_tables import QuotaGroup, TaskTables
from annotation.team_settings import AssignSettings, EntrySettings, PointSettings
from annotation.types import SEATS

RESTORING = ".restoring"
"""In a folder that `annot restore` is filling. Settings come last: until then the folder is no project."""


class ProjectSettings(Section):
    """[project]: who this is for."""

    name: str = Field("cultural fit", min_length=1, max_length=80)
    countries: tuple[Country, ...] = Field((), description="the first is the default for prompts without one")
    languages: tuple[Language, ...] = Field((), description="what prompts may be in; the first is the default")
    seed: int = Field(0, ge=0, description="of every shuffle and sampling")


class PromptSettings(Section):
    """[prompts]: what `annot prompts add` lets in."""

    min_chars: int = Field(8, ge=1)
    max_chars: int = Field(4000, ge=1)
    near_duplicate: float = Field(0.85, gt=0, le=1, description="Jaccard similarity of 5-character shingles")
    reviewed_only: bool = Field(False, description="draft only for prompts that people accepted")
    register_share: float = Field(
        0.1, ge=0, le=0.5, description="share of a topic's quota that each register owes, formal and colloquial"
    )

    @model_validator(mode="after")
    def _some_length_passes(self) -> PromptSettings:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars = {self.min_chars} is above max_chars = {self.max_chars}; no prompt can pass")
        return self


Detail = Literal["low", "high", "auto"]
"""How closely a model looks at a picture, in Cohere's words."""


class DraftSettings(Section):
    """[draft]: how candidates are drafted with Cohere."""

    models: tuple[str, ...] = Field(("command-a-03-2025", "command-r7b-12-2024"), min_length=1)
    picture_models: tuple[str, ...] = Field(
        ("command-a-vision-07-2025",), min_length=1, description="models that see, for descriptions of pictures"
    )
    picture_detail: Detail = Field("high", description="how closely they look: more detail, more tokens")
    candidates: int = Field(8, ge=1, le=32, description="answers per prompt")
    temperatures: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field((0.3, 0.7, 1.0), min_length=1)
    max_tokens: int = Field(400, ge=16, le=4000, description="longest answer, in tokens")
    budget_usd: float = Field(500.0, ge=0, description="hard limit over the life of the project")
    key: Literal["trial", "production"] = "trial"
    concurrency: int = Field(8, ge=1, le=64, description="calls under way at once")
    timeout_s: float = Field(120.0, gt=0)


class SelectSettings(Section):
    """[select]: which candidates go on a slate, and which slates come first."""

    encoder: str = Field(
        MULTILINGUAL, description='a Hub id, a folder, or "package:NAME" for a model inside an installed package'
    )
    slate: int = Field(4, ge=2, le=len(SEATS), description="answers per slate")
    own_seats: int = Field(2, ge=0, lt=len(SEATS), description="of those, the aligned model's own; one seat is others'")
    min_chars: int = Field(20, ge=1)
    off_topic: float = Field(
        thresholds_of(MULTILINGUAL).off_topic,
        ge=-1,
        le=1,
        description="least cosine similarity to the centroid of the other answers, or to the prompt",
    )
    near_duplicate: float = Field(
        thresholds_of(MULTILINGUAL).near_duplicate, gt=0, le=1, description="cosine similarity of two answers"
    )

    @model_validator(mode="before")
    @classmethod
    def _begin_with_those_of_the_encoder(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = thresholds_of(str(given.get("encoder", MULTILINGUAL)))
        return {"off_topic": known.off_topic, "near_duplicate": known.near_duplicate, **given}


class ExamSettings(Section):
    """[exams]: what `annot exams add` says of questions that do not say it themselves, and which it leaves out."""

    country: Annotated[str, AfterValidator(lambda name: name and named_country(name))] = ""
    language: Annotated[str, AfterValidator(lambda name: name and named_language(name))] = ""
    exam: str = Field("", max_length=200, description="name of the exam")
    level: str = Field("", max_length=80, description='for example "Academic", "Professional" or "License"')
    category: str = Field("", max_length=80, description="subject, in English")
    source: str = Field("", max_length=2000, description="address from which the exam can be had")
    licence: str = Field("", max_length=200, description="as the source states it")
    near_duplicate: float = Field(0.85, gt=0, le=1, description="Jaccard similarity of 5-character shingles")
    against: tuple[str, ...] = Field((), description="files or Hub datasets whose questions are left out: INCLUDE's")

    def provenance(self) -> dict[str, str]:
        """Those of the settings that say where questions are from."""
        return self.model_dump(exclude={"near_duplicate", "against"})


class StereotypeSettings(Section):
    """[stereotypes]: what people are spared, and from when on a stereotype counts as known."""

    most_a_day: int = Field(40, ge=1, le=1000, description="texts that may hurt, per person and day")
    raters: int = Field(3, ge=3, le=1000, description="fewest raters of a region before anything of it is shown")
    known: float = Field(3.0, ge=1, le=5, description="least median of how known it is, for minimal pairs")
    controls: int = Field(3, ge=1, le=5, description="control groups per pair")


class FilterSettings(Section):
    """[filter]: what `annot filter` does by default; `annotation/filtering/rules.py` has the names of the rules."""

    drop: tuple[str, ...] = Field((), description="rules that drop what they find, and by themselves would not")
    keep: tuple[str, ...] = Field((), description="rules that only show what they find, and by themselves would drop")
    threshold: Mapping[str, float] = Field({}, description="rule to threshold")


RANKING_BEFORE: Mapping[str, tuple[str, ...]] = {
    "quota": ("target", "overlap", "by", "group"),
    "preferences": ("min_margin", "min_votes"),
    "argilla": ("dataset",),
}
"""Tables of an older annot.toml in which keys of [task.ranking] stood: still read there."""


def database_address(address: str) -> str:
    """Check the address of a PostgreSQL that stands where everybody reads; ValueError says what is wrong with it."""
    if not address:
        return address
    try:
        found = Database.parse(address)
    except ServerError as error:
        raise ValueError(str(error).rstrip(".")) from None
    if found.password:
        raise ValueError("a password must not stand here; give the address with it once, in ANNOT_DATABASE_URL")
    return address


def api_address(url: str) -> str:
    """Check the address of an Argilla; ValueError says what is wrong with it, and repeats nothing of it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError('it is no address; write for example "https://argilla.example.org"') from None
    if "@" in url:
        raise ValueError("no user name and no password may stand in it; an owner's API key is all that annot needs")
    if not usable or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError('it is no address; write for example "https://argilla.example.org"')
    return url


def pause(text: str) -> str:
    """Check a time like 30m, 6h or 1d, or "never"; ValueError when it is none."""
    if not re.fullmatch(r"[1-9]\d{0,4}[mhd]|never", text):
        raise ValueError('write minutes, hours or days, for example "30m", "6h" or "1d", or "never"')
    return text


class ArgillaSettings(Section):
    """[argilla]: where people rank. An empty url is the embedded server."""

    url: Annotated[str, AfterValidator(lambda url: url and api_address(url))] = ""
    port: int = Field(6900, ge=1024, le=65535)
    database: Annotated[str, AfterValidator(database_address)] = Field(
        "", repr=False, description="of the embedded server: postgresql://user@host/name; empty: its own SQLite file"
    )
    backup_every: Annotated[str, AfterValidator(pause)] = Field("6h", description='of the embedded server, or "never"')
    backup_keep: int = Field(8, ge=1, le=1000, description="archives of the rolling backup")

    @property
    def backup_every_s(self) -> float | None:
        """The time between two rolling backups in seconds; None for never."""
        if self.backup_every == "never":
            return None
        return float(self.backup_every[:-1]) * {"m": 60, "h": 3600, "d": 86400}[self.backup_every[-1]]


def launcher_line(line: str) -> str:
    """Check a command line that starts a training job; ValueError says what is wrong with it."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"the command line cannot be read ({error})") from None
    if not words:
        raise ValueError('the command line is empty; write "local", or a command')
    if re.match(r"\w+=", words[0]):
        raise ValueError("it begins with a variable and not with a program; write `env` before it")
    for name in re.findall(r"(?<!\$)\{[a-z]+\}", line):
        if name not in ("{run}", "{project}", "{snapshot}"):
            raise ValueError(f"{name} means nothing here; only {{run}}, {{project}} and {{snapshot}} are filled in")
    return line


OPEN_BASE = "Qwen/Qwen2.5-7B-Instruct"
"""A base that everybody may use, under Apache-2.0, and that speaks Spanish and Portuguese."""


def is_closed(base: str) -> bool:
    """Whether a base is one of Cohere Labs': CC-BY-NC-4.0, and given out only to who accepts that on its page."""
    return base.startswith("CohereLabs/")


class TrainSettings(Section):
    """[train]: what starts when every quota is met."""

    auto: bool = True
    preset: str = "l40s-8b-lora-bf16"
    picture_preset: str = Field("l40s-vlm-lora", description="the same, for descriptions of pictures")
    picture_base: str = Field("", description="the same as base, for picture_preset")
    base: str = Field("", description='a model folder, a Hub id or "package:NAME"; empty takes the preset\'s')
    dollars_per_hour: float = Field(1.8, ge=0, description="for one card, to estimate; one L40S on the Hub in 2026-11")
    by: Literal["shared", "country", "prompt"] = "shared"
    launcher: Annotated[str, AfterValidator(launcher_line)] = Field(
        "local", description='"local", or a command line; {run}, {project} and {snapshot} are filled in'
    )

    def choice(self, *, pictures: bool) -> tuple[str, str]:
        """Preset and base of a run, on descriptions of pictures or on answers to texts."""
        return (self.picture_preset, self.picture_base) if pictures else (self.preset, self.base)


class ReleaseSettings(Section):
    """[release]: what people say of what they give away."""

    model_licence: str = Field("", description='of the weights, as the Hub names it: "apache-2.0"')
    data_licence: str = Field("", description='of the judgements and texts: "cc-by-4.0"')
    consent: str = Field("", max_length=4000, description="what people were told of their answers, and agreed to")
    contact: str = Field("", max_length=400, description="where one asks about the data, or has something taken out")


def titled_address(link: str) -> str:
    """Check "Title: https://…"; ValueError when it is none."""
    title, _, url = link.partition(": ")
    if not title.strip() or not re.fullmatch(r"https?://[^\s/]\S*", url):
        raise ValueError('write a title and an address, for example "Our paper: https://example.org/paper"')
    return link


class DemoSettings(Section):
    """[demo]: what the page of `annot demo` says about the project."""

    title: str = Field("", max_length=120, description="empty: the project's name")
    motivation: str = Field("", max_length=4000, description="an empty line begins another paragraph")
    impact: str = Field("", max_length=4000)
    team: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    links: tuple[Annotated[str, AfterValidator(titled_address)], ...] = Field((), description='each "Title: https://…"')


class Settings(Section):
    """All of annot.toml."""

    project: ProjectSettings = ProjectSettings()
    prompts: PromptSettings = PromptSettings()
    draft: DraftSettings = DraftSettings()
    select: SelectSettings = SelectSettings()
    exams: ExamSettings = ExamSettings()
    stereotypes: StereotypeSettings = StereotypeSettings()
    filter: FilterSettings = FilterSettings()
    task: TaskTables = TaskTables()
    assign: AssignSettings = AssignSettings()
    entry: EntrySettings = EntrySettings()
    points: PointSettings = PointSettings()
    argilla: ArgillaSettings = ArgillaSettings()
    train: TrainSettings = TrainSettings()
    release: ReleaseSettings = ReleaseSettings()
    demo: DemoSettings = DemoSettings()


def read_settings(path: Path) -> Settings:
    """Read annot.toml.

    Raises:
        SettingsError: The file is missing, is no TOML, or holds an unknown key or an impossible value.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        refuse_half_restored(path.parent)
        raise SettingsError(
            f"{path.name} is missing from {path.parent}; name the project's folder with --project, or make one with "
            "`annot init FOLDER`."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); --project takes the folder that holds annot.toml."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"{path} is no valid TOML: {error}; mend that line (words stand in quotes, decimals have a point)."
        ) from None
    except (ValueError, RecursionError):
        raise SettingsError(
            f"{path} holds a number or a nesting that is far too long; start from `annot init`."
        ) from None
    return check_settings(raw, place=str(path))


def refuse_half_restored(folder: Path) -> None:
    """Raise SettingsError where `annot restore` was cut off: what comes next is the same command again."""
    if (folder / RESTORING).is_dir() and not (folder / "annot.toml").exists():
        raise SettingsError(
            f"{folder} is half restored: run `annot restore FILE --project {shlex.quote(str(folder))}` again, with the "
            "archive; it begins anew."
        )


def check_settings(raw: Mapping[str, Any], *, place: str) -> Settings:
    """Turn parsed TOML into settings; SettingsError names the place and the remedy."""
    current, moved = _in_tasks(raw, place)
    try:
        return Settings.model_validate(current)
    except ValidationError as error:
        said = "; ".join(_sentences(error, moved))
        raise SettingsError(f"{place}: {said}{'' if said.endswith('?') else '.'}") from None


def _in_tasks(raw: Mapping[str, Any], place: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings with the keys of RANKING_BEFORE in [task.ranking], and key there -> where it was written."""
    current, moved = {**raw}, dict[str, str]()
    own: dict[str, Any] = {}
    for table, keys in RANKING_BEFORE.items():
        section = current.get(table, {})
        gone = table not in Settings.model_fields
        if not isinstance(section, Mapping):
            if gone:
                raise SettingsError(f"{place}: {table} = {section!r}: write it as a table, [task.ranking].")
            continue
        for key, value in section.items():
            if key in keys or gone:
                # What a table that is no more never had goes with it, under a name that is refused as it was written.
                name = key if key in keys else f"{table}.{key}"
                own[name], moved[name] = value, f"{table}.{key}"
        current[table] = {key: value for key, value in section.items() if key not in keys}
        if gone:
            del current[table]
    tables = current.get("task", {})
    ranking = tables.get("ranking", {}) if isinstance(tables, Mapping) else None
    if not own or not isinstance(ranking, Mapping):
        return current, moved
    if twice := sorted(set(own) & set(ranking)):
        raise SettingsError(
            f"{place}: task.ranking.{twice[0]} stands also as {moved[twice[0]]}, its older name; keep the first."
        )
    current["task"] = {**tables, "ranking": {**ranking, **own}}
    return current, moved


def _sentences(error: ValidationError, moved: Mapping[str, str]) -> Iterable[str]:
    for problem in error.errors():
        loc = problem["loc"]
        place = _as_written(loc, moved)
        if problem["type"] == "extra_forbidden":
            table, _, last = place.rpartition(".")
            known = list(RANKING_BEFORE[table]) if moved.get(str(loc[-1])) == loc[-1] else _keys_at(loc[:-1])
            near = difflib.get_close_matches(last, known, n=1)
            other = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(known)}"
            elsewhere = [name for name in Settings.model_fields if last in _keys_at((name,))] if len(loc) < 3 else []
            yield f'there is no setting "{place}"; ' + (f"it belongs under [{elsewhere[0]}]" if elsewhere else other)
        elif problem["type"] in ("model_type", "model_attributes_type"):
            yield f"{place} = {problem['input']!r}: write it as a table, [{place}]"
        elif problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
            yield f"{place}: {problem['msg'].removeprefix('Value error, ')}"
        else:
            reason = problem["msg"].removeprefix("Value error, ")
            given = repr(problem["input"])
            if ("@" in given and loc[-1] in ("url", "database")) or ("=" in given and loc[-1] == "launcher"):
                # An address with a password, or a key, perhaps.
                given = '"…"'
            yield f"{place} = {given}: {reason[:1].lower()}{reason[1:]}"


def _as_written(loc: tuple[int | str, ...], moved: Mapping[str, str]) -> str:
    """Where in annot.toml a setting stands, under the name that was written."""
    if loc[:2] == ("task", "ranking"):
        if len(loc) == 2 and "group" in moved:  # that groups differ is checked for all of them
            return moved["group"].partition(".")[0]
        if len(loc) > 2 and str(loc[2]) in moved:
            return ".".join([moved[str(loc[2])], *map(str, loc[3:])])
    return ".".join(map(str, loc))


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for part in loc:
        if not isinstance(part, int):
            model = QuotaGroup if part == "group" else model.model_fields[part].annotation
    return list(model.model_fields)
