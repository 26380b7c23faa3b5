"""Label Studio: tasks with their data, and annotations with results by one person or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annotation.reading.cells import as_number, as_text, as_truth, unpacked
from annotation.reading.forms.said import SAID, Said, choice_in
from annotation.reading.rows import Row, Table, all_columns
from annotation.text.locales import fold

ANNOTATIONS = ("annotations", "completions", "predictions")
"""Where a task keeps what people said of it; a program's guess is heard only where nobody said anything."""


def label_studio(table: Table) -> Table | None:
    """The table with the data of each task in columns; None where it holds no tasks."""
    if "data" not in table.columns or not set(ANNOTATIONS) & set(table.columns):
        return None
    unheard, cancelled, without = Counter[str](), 0, 0
    rows = []
    for row in table.rows:
        data = unpacked(row.values.get("data"))
        if not isinstance(data, dict):
            without += 1
            continue
        said = list[Said]()
        for name in ANNOTATIONS:
            found = unpacked(row.values.get(name))
            for one in found if isinstance(found, list) and not said else ():
                if not isinstance(one, dict):
                    continue
                if as_truth(one.get("was_cancelled")):
                    cancelled += 1
                elif heard := _heard(one, unheard):
                    said.append(heard)
        if "items" in data and "candidates" not in data:  # What its ranker calls them.
            data = {"candidates" if name == "items" else name: value for name, value in data.items()}
        own = {"id": row.values.get("id"), **data.get("meta", {})} if isinstance(data.get("meta"), dict) else {}
        rows.append(Row(row.place, {"id": row.values.get("id"), **own, **data, SAID: tuple(said)}))
    notices = [f"Annotations of {table.name} that were skipped by their author: {cancelled}."] if cancelled else []
    if without:
        notices.append(f"Tasks of {table.name} without data were left out: {without}.")
    if unheard:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in unheard.most_common())
        notices.append(f"Parts of annotations in {table.name} that are no judgement of answers were not read: {kinds}.")
    return replace(table, columns=all_columns(rows), rows=tuple(rows), notices=(*table.notices, *notices))


def _heard(annotation: Mapping[str, Any], unheard: Counter[str]) -> Said | None:
    """What one annotation says: a pairwise choice, else the last other one, a ranking, or a rating of each answer."""
    chosen, choice, rewrite, places, ratings = "", "", "", dict[str, float](), dict[str, float]()
    for result in annotation.get("result") or ():
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        kind, about = as_text(result.get("type")), as_text(result.get("to_name"))
        if "selected" in value:
            chosen = choice_in(value)
        elif "choices" in value:
            choice = choice_in(value)
        elif isinstance(value.get("ranker"), dict | list):
            ranker = value["ranker"]
            order = (
                ranker if isinstance(ranker, list) else next((o for o in ranker.values() if isinstance(o, list)), [])
            )
            places = {as_text(name): float(rank) for rank, name in enumerate(order)}
        elif (rating := as_number(value.get("rating", value.get("number")))) is not None and about:
            ratings[about] = -rating
        elif "text" in value and fold(as_text(result.get("from_name"))) in ("rewrite", "correction", "reescritura"):
            rewrite = as_text(value["text"])
        else:
            unheard[kind or "a part without a type"] += 1
    if len(ratings) == 1:
        unheard["a rating of one answer alone"] += 1
    choice, places = chosen or choice, next((found for found in (places, ratings) if len(found) > 1), {})
    who = annotation.get("completed_by", annotation.get("created_username"))
    if isinstance(who, dict):
        who = next((who[key] for key in ("email", "username", "id") if who.get(key)), None)
    said = Said(as_text(who).strip().split(",")[0], choice=choice, places=places, rewrite=rewrite)
    return said if choice or places or rewrite else None
