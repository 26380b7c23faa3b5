"""Shards: prompts and answers divided by the beginning of the prompts' ids, chosen from one shard at a time.

A prompt's id is a hash, so that shards are of about the same size, and nothing is compared across them. A shard has two
files, each whole or absent: what is to be chosen from (texts, deleted when it is done), and what was chosen. Whoever
makes the second from the first, it is the same to the byte.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.config import SelectSettings
from annotation.errors import EncoderError
from annotation.files import write_whole
from annotation.ledger import Ledger
from annotation.rounds import SOURCE
from annotation.screen import Progress, silent
from annotation.selection.choose import Answered, choose
from annotation.selection.embedding import Encoder

LARGEST = 2**15
"""Candidates of a shard, at most about: their texts and vectors take 200 MB. So many are chosen from in one process."""

LAYOUT = 3
"""Counted up when what is chosen depends on something else: what an older annot chose is chosen anew."""


@dataclass(frozen=True, slots=True)
class Work:
    """Where shards are, and with what they are worked on: all that a process needs to know.

    Attributes:
        folder: Of the shards' files.
        encoder: Of the texts.
        cache: Of the vectors.
    """

    folder: Path
    encoder: Encoder
    cache: Path

    def input(self, shard: str) -> Path:
        """File of the prompts and answers that are to be chosen from."""
        return self.folder / f"{shard}.in.parquet"

    def outcome(self, shard: str) -> Path:
        """File of what was chosen."""
        return self.folder / f"{shard}.parquet"

    def waiting(self) -> list[str]:
        """Shards that are to be chosen from."""
        return sorted(path.name.partition(".")[0] for path in self.folder.glob("[!.]*.in.parquet"))


def shard_names(candidates: int) -> list[str]:
    """Beginnings of prompt ids that divide so many candidates; [""] where one shard holds them all."""
    digits = 0
    while candidates > LARGEST * 16**digits:
        digits += 1
    return ["".join(name) for name in itertools.product("0123456789abcdef", repeat=digits)]


def content_of(ledger: Ledger, shard: str, languages: Mapping[str, str]) -> str:
    """Hash of what a shard holds: its prompts, their languages and candidates; no texts, which ids stand for.

    "" where no prompt in it has answers.
    """
    found, empty = hashlib.sha256(), True
    query = "select prompt_id, id from fresh_candidates where prompt_id between ? and ? order by prompt_id, id"
    for prompt_id, candidate_id in ledger.rows(query, shard, _last(shard)):
        if prompt_id in languages:
            found.update(f"{prompt_id} {languages[prompt_id]} {candidate_id}\n".encode())
            empty = False
    return "" if empty else found.hexdigest()


def read_answered(
    ledger: Ledger, shard: str, seats: Mapping[str, Sequence[str]], margins: Mapping[str, tuple[float, ...]]
) -> list[Answered]:
    """Prompts of a shard that have answers, by id."""
    query = f"""select prompt_id, id, text, json_extract(settings, '$.{SOURCE}') is not null as own
                from fresh_candidates where prompt_id between ? and ? order by prompt_id, id"""
    answers = {
        prompt_id: list(rows)
        for prompt_id, rows in itertools.groupby(ledger.rows(query, shard, _last(shard)), lambda row: row["prompt_id"])
    }
    query = "select id, language, text, image from current_prompts where not removed and id between ? and ? order by id"
    return [
        Answered(
            id_,
            language,
            text,
            tuple(row["id"] for row in answers[id_]),
            tuple(row["text"] for row in answers[id_]),
            tuple(seats.get(id_, ())),
            bool(image),
            margins.get(id_, ()),
            tuple(row["id"] for row in answers[id_] if row["own"]),
        )
        for id_, language, text, image in ledger.rows(query, shard, _last(shard))
        if id_ in answers
    ]


def _last(shard: str) -> str:
    return shard + "\U0010ffff"


def prepare_shards(
    work: Work,
    ledger: Ledger,
    contents: Mapping[str, str],
    seats: Mapping[str, Sequence[str]],
    margins: Mapping[str, tuple[float, ...]],
    thresholds: SelectSettings,
    progress: Progress = silent,
) -> list[str]:
    """Write what is to be chosen from, for every shard without a choice that still holds.

    Args:
        work: Where to.
        ledger: Read, and not written.
        contents: Shard to `content_of` it.
        seats: Prompt id to the sorted candidate ids on the slate that stands.
        margins: Prompt id to those of its descriptions; they depend on the pictures of all shards.
        thresholds: [select] of annot.toml.
        progress: Gets how many shards are looked at.

    Returns:
        Those shards.
    """
    import pyarrow as pa

    contents = {shard: content for shard, content in contents.items() if content}
    named = {path for shard in contents for path in (work.input(shard), work.outcome(shard))}
    for path in set(work.folder.glob("*")) - named:  # Of other shards, or left by a run that was killed.
        path.unlink()
    told: dict[str, list[tuple[str, tuple[float, ...]]]] = defaultdict(list)
    for id_ in sorted(margins):
        told[id_[: len(next(iter(contents), ""))]].append((id_, margins[id_]))
    for done, (shard, content) in enumerate(contents.items()):
        progress(done, len(contents), "reading answers")
        facts = [LAYOUT, content, work.encoder.identity, thresholds.model_dump(), told[shard]]
        mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        if _facts(work.outcome(shard)).get("mark") == mark and _has_seats(work.outcome(shard), seats):
            work.input(shard).unlink(missing_ok=True)
        elif _facts(work.input(shard)).get("mark") != mark:
            prompts = read_answered(ledger, shard, seats, margins)
            texts = {name: [getattr(one, name) for one in prompts] for name in ("prompt_id", "language", "text")}
            lists = {
                name: pa.array([getattr(one, name) for one in prompts], pa.list_(pa.string()))
                for name in ("ids", "texts", "seats", "own")
            }
            about = {
                "picture": pa.array([one.picture for one in prompts], pa.bool_()),
                "margins": pa.array([one.margins for one in prompts], pa.list_(pa.float64())),
            }
            known = {"mark": mark, "encoder": work.encoder.identity, "thresholds": thresholds.model_dump()}
            _write(work.input(shard), pa.table({**texts, **lists, **about}), known)
    return work.waiting()


def select_shard(work: Work, shard: str, progress: Progress = silent) -> None:
    """Choose from one shard, and store what was chosen; nothing where that is done.

    Raises:
        EncoderError: The encoder here is another one than where the shard was prepared, or does not work.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(work.input(shard))
    except FileNotFoundError:
        return
    facts = json.loads(table.schema.metadata[b"annot"])
    if facts["encoder"] != work.encoder.identity:
        raise EncoderError(
            f"The encoder {work.encoder.name} on this machine is another one than where `annot select` prepared "
            f"({work.encoder.identity} instead of {facts['encoder']}); put the same one in both places."
        )
    prompts = [
        Answered(
            one["prompt_id"],
            one["language"],
            one["text"],
            tuple(one["ids"]),
            tuple(one["texts"]),
            tuple(one["seats"]),
            one["picture"],
            tuple(one["margins"]),
            tuple(one["own"]),
        )
        for one in table.to_pylist()
    ]
    thresholds = SelectSettings(**facts["thresholds"])
    _write(work.outcome(shard), choose(prompts, work.encoder, work.cache, thresholds, progress, shard), facts)
    work.input(shard).unlink(missing_ok=True)


def read_choices(work: Work, shards: Sequence[str]) -> Iterator[Any]:
    """What was chosen, shard by shard: tables as `choose` makes them."""
    import pyarrow.parquet as pq

    for shard in shards:
        if work.outcome(shard).exists():
            yield pq.read_table(work.outcome(shard)).replace_schema_metadata(None)


def _has_seats(outcome: Path, seats: Mapping[str, Sequence[str]]) -> bool:
    """Whether those that stand are those that were chosen."""
    import pyarrow.parquet as pq

    chosen = pq.read_table(outcome, columns=["prompt_id", "seats"])
    pairs = zip(chosen["prompt_id"].to_pylist(), chosen["seats"].to_pylist(), strict=True)
    return all(list(seats.get(prompt_id, own)) == own for prompt_id, own in pairs)


def _facts(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    facts: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"annot"]) if path.exists() else {}
    return facts


def _write(path: Path, table: Any, facts: Mapping[str, Any]) -> None:
    import pyarrow.parquet as pq

    told = table.replace_schema_metadata({"annot": json.dumps(facts)})
    write_whole(path, lambda beside: pq.write_table(told, beside))
