"""The card of an export of stereotypes: a warning, what is in it, what may not be done with it, and its licence."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from annotation.config import Settings
from annotation.licences import TEAM, of_whole
from annotation.screen import counted
from annotation.text.locales import name_of_country

GATE = (
    "These texts hold stereotypes about groups of people. Many are unfair, false or insulting. They are given away for "
    "one purpose: to find out what a language model repeats. By asking for access you agree to use them for evaluation "
    "alone, to train nothing on them, not to publish them where a crawler finds them, and to find out nobody's name."
)

_WHAT = {
    "associations.parquet": "What a region knows: an association × the raters' region × own group or others.",
    "ratings.parquet": "Who said what, under pseudonyms; `known` is empty where somebody skipped.",
    "source_ratings.parquet": "What the public sets themselves hold of people's ratings (`said`, JSON).",
    "stories.parquet": "What people said of texts that a run's models wrote about people of groups; `side` wrote it.",
    "pairs.jsonl": "Minimal pairs: a sentence (`before`, `attribute`, `after`) and its control (`control_before`). "
    'It loads with `load_dataset("json", data_files="pairs.jsonl")`.',
}


def card(
    settings: Settings, tables: Mapping[str, Sequence[Mapping[str, Any]]], canary: str, left_out: Sequence[str]
) -> str:
    """The text of README.md, with the head that the Hub reads: access on request, and no viewer of the texts.

    Args:
        settings: Of the project.
        tables: The rows that are written, by the names in _WHAT.
        canary: Of the project.
        left_out: A line for each reason.
    """
    associations = tables["associations.parquet"]
    name, licence = " ".join(settings.project.name.split()), of_whole(row["licence"] for row in associations)
    head = {
        "license": licence.lower(),
        "language": sorted({row["language"] for row in associations}),
        "pretty_name": f"{name}: stereotypes that people know, for evaluation alone",
        "viewer": False,
        "extra_gated_prompt": GATE,
        "extra_gated_fields": {"I use these texts for evaluation alone, and train nothing on them": "checkbox"},
        "tags": ["stereotypes", "bias", "evaluation-only", "not-for-all-audiences"],
        "configs": [
            {"config_name": file.partition(".")[0], "data_files": [{"split": "test", "path": file}]}
            for file, rows in tables.items()
            if rows and file.endswith(".parquet")  # the library `datasets` takes one kind of file in a folder
        ],
    }
    pairs = Counter(row["template"] for row in tables["pairs.jsonl"])
    body = files("annotation.stereotypes").joinpath("card.md").read_text(encoding="utf-8")
    unlicensed = any(not row["licence"] for row in associations)
    filled = {
        "name": name,
        "canary": canary,
        "files": "\n".join(f"- `{file}`: {counted(len(rows), 'row')}. {_WHAT[file]}" for file, rows in tables.items()),
        "templates": ", ".join(f"`{template}` {count}" for template, count in sorted(pairs.items())) or "none yet",
        "groups": "\n".join(_groups(associations, tables["ratings.parquet"])),
        "raters": settings.stereotypes.raters,
        "agree": settings.task.pair_check.agree,
        "licence": licence,
        "team_licence": TEAM,
        "unlicensed": " **Where `licence` is empty, the source states none.**" if unlicensed else "",
        "left_out": "\n".join(f"- {line}" for line in left_out) or "- nothing",
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    return "\n".join(["---", *lines, "---", "", body.format(**filled)])


def _groups(associations: Sequence[Mapping[str, Any]], ratings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each region, target, and own group or others."""
    people = defaultdict[tuple[str, str, bool], set[str]](set)
    for row in ratings:
        people[row["association_id"], row["country"], row["in_group"]].add(row["annotator"])
    found = defaultdict[tuple[str, str, bool], list[Mapping[str, Any]]](list)
    for row in associations:
        found[row["country"], row["target"], row["in_group"]].append(row)
    lines = []
    for (country, target, own), rows in sorted(found.items()):
        raters = set().union(*(people[row["association_id"], country, own] for row in rows))
        alpha = "–" if rows[0]["agreement"] is None else f"{rows[0]['agreement']:.2f}"
        places = (name_of_country(code, "en") if code else "not known" for code in (country, target))
        lines.append(f"| {' | '.join(places)} | {'own' if own else 'others'} | {len(rows)} | {len(raters)} | {alpha} |")
    return lines
