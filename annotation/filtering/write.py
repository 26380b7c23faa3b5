"""Files of a filtered set: kept.parquet, which other commands read, and dropped.parquet, with which one can argue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.files import write_parquet
from annotation.filtering.filter import Filtered
from annotation.filtering.marks import show_marks
from annotation.filtering.rows import WEIGHTS, Row
from annotation.reading.cells import as_text
from annotation.reading.conversations import SYSTEM
from annotation.reading.examples import FoundJudgement
from annotation.tasks.ranking.file_judgements import pseudonym_of
from annotation.tasks.ranking.preferences import places_of
from annotation.text.locales import country_code

Form = Callable[[Row, Callable[[str], str], Callable[[str], str]], list[dict[str, Any]]]
"""(row, how texts are shown, pseudonym) -> what its rows hold of the answers."""

KEPT, DROPPED = "kept.parquet", "dropped.parquet"


def write_filtered(
    filtered: Filtered, folder: Path, pseudonym: Callable[[str], str], looked_at: Mapping[int, int] | None = None
) -> None:
    """Write kept.parquet and dropped.parquet. kept.parquet is there only when all of it is, and comes last.

    Args:
        filtered: The set.
        folder: Made where it is missing; an older kept.parquet of it is replaced.
        pseudonym: User name -> the name under which judgements leave the project.
        looked_at: Row's number -> place in the order in which people should look; without it that of `first_of`.

    Raises:
        SourceError: Nothing was kept.
    """
    import pyarrow as pa

    if not filtered.kept:
        raise SourceError(
            f"Nothing of {filtered.name} was kept, so nothing was written; without --out the command shows which rules "
            "left it out: leave them out with --keep RULE."
        )
    (folder / KEPT).unlink(missing_ok=True)
    number, text, yes = pa.float64(), pa.string(), pa.bool_()
    kinds = {"place": text, "answer": text, "rule": text, "threshold": number, "measured": number}
    kinds |= {"because_of": text, "whole": yes}
    write_parquet(folder / DROPPED, [asdict(one) for one in filtered.left], pa.schema(list(kinds.items())))
    write_parquet(folder / KEPT, kept_rows(filtered, pseudonym, looked_at or first_of(filtered)))


def first_of(filtered: Filtered) -> dict[int, int]:
    """Row's number -> place in the order of looking: what most rules found something in comes first."""
    order = sorted(filtered.kept, key=lambda row: (-len(filtered.raised.get(row.number, ())), row.number))
    return {row.number: place for place, row in enumerate(order)}


def kept_rows(
    filtered: Filtered, pseudonym: Callable[[str], str], looked_at: Mapping[int, int]
) -> list[dict[str, Any]]:
    """The kept rows as `annot train --data` and `annot prompts add` read them.

    All in one form: pairs (prompt, chosen, rejected) where every row is one, rankings (prompt, candidates, ranks; a row
    for each judgement) where some row is more or less than a pair, and prompts alone where there are no answers.
    """
    show = show_marks if filtered.mends("marks") else str
    judged = any(row.judgements for row in filtered.kept)
    paired = judged and all(row.is_pair for row in filtered.kept)
    form: Form = _pair if paired else _rankings if any(row.answers for row in filtered.kept) else _prompt
    weighed = [name for name in WEIGHTS if any(name in row.weights for row in filtered.kept)]
    talks = paired and any(len([t for t in row.turns if t.role != SYSTEM]) > 1 for row in filtered.kept)
    rows = []
    for row in filtered.kept:
        about = {
            "country": row.country,
            "language": row.language,
            "topic": row.topic,
            "licence": row.licence,
            "source": row.place,
            "group": filtered.groups.get(row.number, ""),
            "first": looked_at.get(row.number, len(looked_at)),
        }
        if paired:  # As text: a file may have numbers and words in one column, and some rows without.
            about |= {name: as_text(row.weights.get(name)) for name in weighed}
        if talks:
            rows.append({**_messages(row, show), **about})
        else:
            asked = {"prompt": show(row.prompt), "system": show(row.system)}
            rows += [{**asked, **about, **said} for said in form(row, show, pseudonym)]
    if not paired and any(WEIGHTS[0] in row for row in rows):  # a column is in all rows, or in none
        rows = [{**row, WEIGHTS[0]: row.get(WEIGHTS[0], 1.0)} for row in rows]
    return rows


def _pair(row: Row, show: Callable[[str], str], _: Callable[[str], str]) -> list[dict[str, Any]]:
    chosen, rejected = row.pairs[0]
    return [{"chosen": show(row.answers[chosen].text), "rejected": show(row.answers[rejected].text)}]


def _messages(row: Row, show: Callable[[str], str]) -> dict[str, Any]:
    pair = _pair(row, show, str)[0]
    answers = {side: [{"role": "assistant", "content": pair[side]}] for side in ("chosen", "rejected")}
    return {**pair, "prompt": [{"role": turn.role, "content": show(turn.text)} for turn in row.turns], **answers}


def _rankings(row: Row, show: Callable[[str], str], pseudonym: Callable[[str], str]) -> list[dict[str, Any]]:
    texts = [show(answer.text) for answer in row.answers]
    rows = []
    for one in row.judgements or (FoundJudgement(()),):
        places = places_of(one.tiers)
        rows.append(
            {
                "country": country_code(one.country) or row.country,
                "candidates": texts,
                "ranks": [places[n] + 1 if n in places else None for n in range(len(texts))] if places else [],
                "annotator": pseudonym_of(one.annotator, pseudonym) if one.annotator else "",
                "none_acceptable": one.none_acceptable,
                "rewrite": show(one.rewrite),
                **({"weight": one.weight} if one.weight != 1 else {}),
            }
        )
    return rows


def _prompt(_: Row, __: Callable[[str], str], ___: Callable[[str], str]) -> list[dict[str, Any]]:
    return [{}]
