"""`annot.toml` as it is written: with a word on every setting, and changed without touching the rest of it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from annotation.config import (
    SelectSettings,
    Settings,
    TrainSettings,
    check_settings,
    read_settings,
    refuse_half_restored,
)
from annotation.errors import SettingsError
from annotation.files import write_whole

TEMPLATE = """\
# Settings of this annot project. Every line that is commented out shows its default.
# Secrets never stand here: CO_API_KEY comes from the environment or from secrets.toml (mode 0600).

[project]
name = {name}
countries = {countries}   # ISO 3166; the first is the default for prompts that name none
languages = {languages}   # ISO 639; what prompts may be in
# seed = 0                 # of every shuffle and sampling

[prompts]
# min_chars = 8            # shorter prompts are dropped
# max_chars = 4000
# near_duplicate = 0.85    # Jaccard similarity of 5-character shingles from which two prompts are one
# reviewed_only = false    # true: draft only for prompts that people accepted, see `annot prompts review`
# register_share = 0.1     # of what a topic owes, for formal and as much for colloquial address (`annot prompts gaps`)

[draft]
# models = ["command-a-03-2025", "command-r7b-12-2024"]   # each needs a line in prices.toml
# picture_models = ["command-a-vision-07-2025"]   # for descriptions of pictures
# picture_detail = "high"  # or "low" (256 tokens a picture) or "auto": docs/images.md
# candidates = 8           # answers per prompt
# temperatures = [0.3, 0.7, 1.0]
# max_tokens = 400         # longest answer
# budget_usd = 500.0       # hard limit over the life of the project
# key = "trial"            # "production" for a paid key: higher rate limits
# concurrency = 8
# timeout_s = 120.0

[select]
# A Hub id, a folder, or "package:NAME" for a model inside an installed Python package.
{encoder}
# slate = 4                # answers on a slate
# own_seats = 2            # of them the aligned model's own, where `annot draft --source` brought so many
# min_chars = 20
# off_topic = {off_topic:<12} # least cosine to the other answers, or to the prompt; docs/scale.md: by encoder
# near_duplicate = {near_duplicate:<7} # cosine similarity from which two answers are one

[exams]                    # `annot exams add`: what holds for all questions that do not say it themselves
# country = ""             # for example "PE"
# language = ""            # for example "es"
# exam = ""                # its name
# level = ""               # "Academic", "Professional", "License", …
# category = ""            # subject, in English
# source = ""              # address from which it can be had
# licence = ""             # as the source states it
# near_duplicate = 0.85    # Jaccard similarity of 5-character shingles from which two questions are one
# against = []             # files or Hub datasets whose questions are left out, for example INCLUDE's

[stereotypes]
# most_a_day = 40          # texts that may hurt, per person and day
# raters = 3               # fewest raters of a region before anything of it is shown; never less than 3
# known = 3.0              # least median, from 1 to 5, of how known one is before pairs are made of it
# controls = 3             # control groups per pair

[assign]                   # who is asked what: docs/team.md
# hold_minutes = 45        # an item is kept for a person who does nothing
# most = 0                 # items of a task that one person answers; 0: as many as there are
# most_a_day = 0           # the same within 24 hours
# control_first = 30       # so many answers of a person are the first:
# control_first_every = 10 # of these, one in so many is a control item
# control_every = 20       # later, one in so many is

[entry]                    # the test that opens a task's queue, where `annot controls add --entry` has made one
# items = 20               # of one try
# needed = 0.95            # share of them to be answered as expected
# tries = 2                # each with items of its own
# wait_hours = 24.0        # between a try that failed and the next

[points]                   # what the challenge gives for validated work: `annot contributions`
# exams = {{ per = 100, points = 0.5, most = 1.0 }}        # checked exam questions
# stereotypes = {{ per = 10, points = 0.1, most = 1.0 }}   # those that enough people rated
# preferences = {{ per = 50, points = 0.5, most = 2.0 }}   # prompts with a complete slate
# prompts = {{ per = 50, points = 0.5, most = 2.0 }}       # prompts that people accepted
# most = 10.0              # all together

[filter]                   # `annot filter`: its rules, docs/filtering.md
# drop = []                # rules that drop what they only show by default, for example "leak"
# keep = []                # rules that only show what they drop by default, for example "refusal"
# threshold = {{}}           # for example {{ length = 0.6 }}

[task.ranking]
target = {target:<17} # completed slates per group; 0: only the groups named below owe anything
overlap = {overlap:<16} # people per slate
by = "country"           # or "country+topic"
# dataset = ""             # its name in every team's workspace; empty: in the team's language
# min_margin = 0.0         # a pair trains when (votes for - votes against) / votes exceeds this
# min_votes = 1
# [[task.ranking.group]]   # a group with a target of its own
# country = "MX"
# topic = "comida"
# target = 20
{groups}
{descriptions}

# [task.prompt_check]      # `annot prompts review`: people say which prompts are worth ranking answers to
# target = 50              # checked prompts per group
# overlap = 3              # people per prompt
# accepts = 3              # of them who must accept it
# dataset = ""

# [task.exam]              # people check multiple-choice questions of their country's exams
# target = 50              # questions per group that as many people have answered
# overlap = 2              # people per question
# agree = 2                # people who must say the same of it, and more than half of all who answered
# dataset = ""

# [task.duel]              # people say which of two answers is better; votes of a demo's visitors owe nothing
# target = 50              # duels per group that as many people have answered
# overlap = 3              # people per duel
# dataset = ""

# [task.consent]           # everybody is warned, and asked, before anything is shown that may hurt
# target = 0
# overlap = 1000           # people per country
# dataset = ""

# [task.share]             # `annot stereotypes share`: people write down stereotypes that they know
# target = 0
# overlap = 1000           # people per sheet
# dataset = ""

# [task.stereotype]        # `annot stereotypes add`: how known and how offensive a stereotype is where people live
# target = 50              # stereotypes per group that as many people have answered
# overlap = 5              # people per stereotype: some will not know it
# dataset = ""

# [task.pair_check]        # `annot stereotypes pairs`: people check pairs before a model is measured on them
# target = 50              # pairs per group that as many people have answered
# overlap = 3              # people per pair: one may skip it
# agree = 2                # of them who must find it right
# dataset = ""

# [task.story]             # `annot stereotypes stories`: people judge what a model writes about groups of people
# target = 50              # texts per group that as many people have answered
# overlap = 3              # people per text
# dataset = ""

[argilla]
# url = ""                 # empty: the embedded server of `annot up`; else your server (ARGILLA_API_KEY)
{port}
# database = ""            # embedded server: postgresql://user@host/name, no password here; empty: its own SQLite
# backup_every = "6h"      # rolling backup of the project while `annot up` runs; "never" turns it off
# backup_keep = 8          # archives of it: half the newest, half the last ones of earlier days

[train]
# auto = true              # start a run when every quota is met
preset = {preset}
# base = ""                # a model folder, Hub id or "package:NAME"; empty: the preset's, which may be CC-BY-NC
{picture_preset}   # the preset for pictures, whose quotas start a run of their own
# picture_base = ""        # as base, for pictures: a model that sees
# dollars_per_hour = 1.8   # of one card, for the estimate of `annot train --dry-run`: one L40S on the Hub in 2026-11
# by = "shared"            # "country": an adapter per country too; "prompt": one that is told the country
# launcher = "local"       # or a command line, for example "/path/to/docker/trainer/slurm.sh --account=team"

[release]
# model_licence = ""       # of the weights, as the Hub names it ("apache-2.0"); what the base's licence asks for holds
# data_licence = ""        # of the judgements and texts ("cc-by-4.0")
# consent = ""             # what people were told of the use of their answers, and agreed to; for the datasheet
# contact = ""             # where one asks about the data, or has something taken out: an address of a page

[demo]                     # the page of `annot demo`, in the words and the language that the team chooses
# title = ""               # empty: the project's name
# motivation = ""          # why; an empty line begins another paragraph
# impact = ""              # what it is good for
# team = []                # who, a line each
# links = []               # each "Title: https://…"
"""
_PICTURE_PRESET = f'# picture_preset = "{TrainSettings().picture_preset}"'
_DESCRIPTIONS = """\
# [task.description]         # `annot images add`: people rank descriptions of pictures; other keys as in [task.ranking]
# target = 50              # completed slates per group
# overlap = 3              # people per slate
"""


def _toml(value: str | Iterable[str]) -> str:
    return tomlkit.item(value if isinstance(value, str) else list(value)).as_string()


def write_template(
    path: Path,
    *,
    name: str,
    countries: Iterable[str],
    languages: Iterable[str],
    encoder: str | None = None,
    target: int = 50,
    overlap: int = 3,
    preset: str = TrainSettings().preset,
    groups: Mapping[str, int] | None = None,
    pictures: bool = False,
    port: int | None = None,
) -> Settings:
    """Write a commented annot.toml where there is none, and return what it says.

    With `pictures`, target, overlap, groups and preset are those of pictures and their descriptions; texts owe nothing.

    Raises:
        SettingsError: The file exists already, or a value is impossible (nothing is written then).
    """
    chosen = f"encoder = {_toml(encoder)}" if encoder else f'# encoder = "{SelectSettings().encoder}"'
    known = SelectSettings(encoder=encoder) if encoder else SelectSettings()
    task = "description" if pictures else "ranking"
    own_groups = "".join(
        f"[[task.{task}.group]]\ncountry = {_toml(country)}\ntarget = {count}\n"
        for country, count in (groups or {}).items()
    )
    of_pictures = f"[task.description]\ntarget = {target}\noverlap = {overlap}\n{own_groups}"
    text = TEMPLATE.format(
        name=_toml(name),
        countries=_toml(c.upper() for c in countries),
        languages=_toml(code.lower() for code in languages),
        encoder=chosen,
        target=0 if pictures else target,
        overlap=overlap,
        descriptions=of_pictures if pictures else _DESCRIPTIONS.rstrip(),
        preset=_toml(TrainSettings().preset if pictures else preset),
        picture_preset=f"picture_preset = {_toml(preset)}" if pictures else _PICTURE_PRESET,
        groups="" if pictures else own_groups,
        off_topic=known.off_topic,
        near_duplicate=known.near_duplicate,
        port=f"port = {port}" if port else "# port = 6900",
    )
    settings = check_settings(tomllib.loads(text), place="annot.toml")
    if path.exists():
        raise SettingsError(f"{path} exists already; edit it, or choose another folder.")
    refuse_half_restored(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{path.parent} cannot be made ({error.strerror}); choose another folder.") from None
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    try:
        os.link(beside, path)  # Fails where a second command was quicker; a rename would overwrite.
    except FileExistsError:
        raise SettingsError(f"{path} exists already; edit it, or choose another folder.") from None
    finally:
        beside.unlink()
    return settings


def set_argilla_url(path: Path, url: str) -> None:
    """Write another `argilla.url` into an annot.toml; every other line and comment stays as it is."""
    before = read_settings(path)
    if before.argilla.url == url:
        return
    document: dict[str, Any] = tomlkit.parse(path.read_text(encoding="utf-8-sig"))
    if "argilla" not in document:
        document["argilla"] = tomlkit.table()
    document["argilla"]["url"] = url
    write_whole(path, tomlkit.dumps(document).encode(), mode=path.stat().st_mode & 0o777)
