"""Preferences → rows to train on, and their split by prompt.

A row is one pair: a prompt, the chosen answer and the rejected one. There are two ways to make rows of votes:

- `data.rows = "preference"` (default): one row per preference, whatever its margin. Every pair that people agreed on
  enough (`[preferences]` in annot.toml) counts once, so a slate that many people saw does not outweigh the others.
- `data.rows = "vote"`: one row per vote; votes against are rows with the answers swapped. This is how a stock trainer
  gets soft labels: the expected gradient of k votes for and m against is that of conservative DPO with label smoothing
  m / (k + m), times k + m. Ties are no row: they say nothing about which answer is better.

Held-out rows are always one per preference, so that both ways are measured alike.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.types import Dropped, content_id

COLUMNS = ("prompt", "chosen", "rejected")
"""What a row must have, in TRL's words."""

Message = Mapping[str, str]
Text = str | tuple[Message, ...]
"""Plain text, or messages of a conversation ({"role", "content"})."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One row: two answers to one prompt, and the better one is known.

    Attributes:
        id: The row's place in its source: "slate:chosen:rejected:country" or "file:row".
        prompt: What both answer; messages end with the user's.
        chosen: The better answer; messages: the assistant's.
        rejected: The other one.
        country: Of the people who voted, or "".
        language: ISO 639-1, or "".
        topic: Group of the prompt, or "".
        slate_id: Where both stood, or "".
        votes_for: People for whom chosen is better; 1 where the source has no votes.
        votes_against: People for whom rejected is better.
        ties: People for whom both are equal.
    """

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    country: str = ""
    language: str = ""
    topic: str = ""
    slate_id: str = ""
    votes_for: int = 1
    votes_against: int = 0
    ties: int = 0

    @property
    def prompt_key(self) -> str:
        """What is asked, without the system text: two rows that ask the same never stand on both sides of the split."""
        return content_id(_asked(self.prompt))

    def row(self) -> dict[str, Any]:
        """As a line of train.jsonl: TRL's prompt/chosen/rejected and what else is known."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    def swapped(self) -> Pair:
        """The same pair as seen by those who voted against it."""
        facts = {**{name: getattr(self, name) for name in self.__slots__}, "id": f"{self.id}:against"}
        facts |= {"chosen": self.rejected, "rejected": self.chosen}
        facts |= {"votes_for": self.votes_against, "votes_against": self.votes_for}
        return Pair(**facts)


@dataclass(frozen=True)
class Pairs:
    """All rows of a source.

    Attributes:
        source: "snapshot ID" or the name of a file.
        snapshot: Id of the snapshot, or "" for a file.
        digest: SHA-256 of the file they were read from.
        pairs: In the order of the source.
    """

    source: str
    snapshot: str
    digest: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Split:
    """Rows on both sides; no prompt is on both."""

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def newest_snapshot(project: Path) -> Path:
    """Folder of the newest whole snapshot of a project.

    Raises:
        TrainError: There is none.
    """
    markers = sorted(
        (project / "snapshots").glob("*/snapshot.json"),
        key=lambda path: (json.loads(path.read_text(encoding="utf-8"))["made_at"], path.parent.name),
    )
    if not markers:
        raise TrainError(
            f"{project} has no snapshot yet: `annot sync` makes one when every quota is met; "
            "or train on a file with --data FILE."
        )
    return markers[-1].parent


def source_digest(source: Path) -> str:
    """SHA-256 of the file that `read_pairs` would read.

    Raises:
        TrainError: There is nothing to read.
    """
    path = source / "preferences.parquet" if source.is_dir() else source
    if source.is_dir() and not (source / "snapshot.json").exists():
        raise TrainError(f"{source} is no whole snapshot: snapshot.json is missing; run `annot sync` again.")
    if not path.exists():
        raise TrainError(f"{path} does not exist; name a snapshot of the project, or a parquet or jsonl file.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_pairs(source: Path) -> Pairs:
    """Read a snapshot folder, or a parquet or jsonl file with prompt, chosen and rejected.

    The three columns of a file are plain texts or lists of messages (TRL's conversational form). country, language,
    topic, slate_id, votes_for, votes_against and ties are used where they are there; other columns are left alone.

    Raises:
        TrainError: It cannot be read, or a row is not as described.
    """
    digest = source_digest(source)
    if source.is_dir():
        rows = _read_rows(source / "preferences.parquet")
        return Pairs(f"snapshot {source.name}", source.name, digest, tuple(_from_snapshot(row) for row in rows))
    rows = _read_rows(source)
    pairs = tuple(_from_file(row, f"{source.name}:{number}") for number, row in enumerate(rows, 1))
    return Pairs(source.name, "", digest, pairs)


def one_row_per_vote(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Repeat each pair once per vote, with the answers swapped for votes against; ties are no row."""
    rows: list[Pair] = []
    for pair in pairs:
        rows += [pair] * pair.votes_for + [pair.swapped()] * pair.votes_against
    return tuple(rows)


def split_by_prompt(pairs: Sequence[Pair], share: float, seed: int) -> Split:
    """Keep a share of the prompts out of training, spread evenly over the countries.

    Prompts are put in order of (countries, hash of seed and prompt) and every 1/share-th is held out: systematic
    sampling, so each country gives its share to within one prompt, and the same prompts are held out on every machine.

    Args:
        pairs: All rows.
        share: Of the prompts, in (0, 0.5]; at least one prompt is on either side.
        seed: Another seed holds out other prompts.

    Raises:
        TrainError: There are fewer than two prompts.
    """
    countries: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        countries[pair.prompt_key].add(pair.country)
    if len(countries) < 2:
        raise TrainError(
            f"there is only {len(countries)} prompt to train on: nothing can be held out to measure on; collect more."
        )

    def place(key: str) -> tuple[list[str], bytes]:
        return sorted(countries[key]), hashlib.sha256(f"{seed}:{key}".encode()).digest()

    ordered = sorted(countries, key=place)
    due = [int(i * share + 0.5) for i in range(len(ordered) + 1)]  # held out of the first i prompts, to the nearest
    held = {key for i, key in enumerate(ordered) if due[i + 1] > due[i]}
    held = held or {ordered[-1]}
    return Split(
        tuple(pair for pair in pairs if pair.prompt_key not in held),
        tuple(pair for pair in pairs if pair.prompt_key in held),
    )


def set_aside(pairs: Iterable[Pair]) -> tuple[tuple[Pair, ...], tuple[Dropped, ...]]:
    """Part the rows that can teach something from those that cannot: no text, or twice the same answer."""
    kept: list[Pair] = []
    dropped: list[Dropped] = []
    for pair in pairs:
        chosen, rejected = _answer(pair.chosen), _answer(pair.rejected)
        if not (chosen and rejected and _asked(pair.prompt)):
            dropped.append(Dropped(pair.id, "empty"))
        elif chosen == rejected:
            dropped.append(Dropped(pair.id, "chosen and rejected are the same"))
        else:
            kept.append(pair)
    return tuple(kept), tuple(dropped)


def texts(pairs: Iterable[Pair]) -> list[str]:
    """Every text of the rows once, in their order."""
    seen: dict[str, None] = {}
    for pair in pairs:
        for part in (pair.prompt, pair.chosen, pair.rejected):
            seen.update(dict.fromkeys([part] if isinstance(part, str) else [m["content"] for m in part]))
    return list(seen)


def _from_snapshot(row: Mapping[str, Any]) -> Pair:
    system = ({"role": "system", "content": row["system"]},) if row["system"] else ()
    return Pair(
        f"{row['slate_id']}:{row['chosen_id']}:{row['rejected_id']}:{row['country']}",
        (*system, {"role": "user", "content": row["prompt"]}),
        ({"role": "assistant", "content": row["chosen"]},),
        ({"role": "assistant", "content": row["rejected"]},),
        row["country"],
        row["language"],
        row["topic"],
        row["slate_id"],
        row["votes_for"],
        row["votes_against"],
        row["ties"],
    )


def _from_file(row: Mapping[str, Any], place: str) -> Pair:
    prompt, chosen, rejected = (_text(row.get(column), f"{place}, {column}") for column in COLUMNS)
    if len({isinstance(part, str) for part in (prompt, chosen, rejected)}) > 1:
        raise TrainError(f"{place} mixes plain text and messages; write prompt, chosen and rejected in one form.")
    country, language, topic, slate_id = (
        str(row.get(name) or "") for name in ("country", "language", "topic", "slate_id")
    )
    votes = (_votes(row, name, usual, place) for name, usual in (("votes_for", 1), ("votes_against", 0), ("ties", 0)))
    return Pair(place, prompt, chosen, rejected, country, language, topic, slate_id, *votes)


def _votes(row: Mapping[str, Any], name: str, usual: int, place: str) -> int:
    votes = row.get(name)
    if votes is None:
        return usual
    if not isinstance(votes, int) or votes < 0:
        raise TrainError(f"{place}, {name} = {votes!r}: votes are whole numbers; mend that row.")
    return votes


def _text(value: Any, place: str) -> Text:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise TrainError(
            f"{place} is neither text nor a list of messages; the file needs the columns prompt, chosen and rejected, "
            'each a text or [{"role": ..., "content": ...}].'
        )
    messages: list[Message] = []
    for message in value:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise TrainError(f"{place} holds a message without role and content; mend that row.")
        messages.append({"role": message["role"], "content": message["content"]})
    return tuple(messages)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow as pa

        from annotation.project import read_parquet

        try:
            return read_parquet(path)
        except pa.ArrowInvalid as error:
            raise TrainError(f"{path} is no whole parquet file ({error}); make it again.") from None
    if path.suffix not in (".jsonl", ".json"):
        raise TrainError(f"{path}: preferences are read from .parquet and .jsonl; convert the file first.")
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TrainError(f"{path}, line {number} is no JSON object; write one object per line.")
                rows.append(row)
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise TrainError(f"{path}, line {number} is no JSON ({error.msg}); write one object per line.") from None
    return rows


def _plain(value: Any) -> Any:
    return [dict(message) for message in value] if isinstance(value, tuple) else value


def _asked(prompt: Text) -> str:
    if isinstance(prompt, str):
        return prompt.strip()
    return "\n".join(message["content"].strip() for message in prompt if message["role"] != "system").strip()


def _answer(text: Text) -> str:
    return (text if isinstance(text, str) else "".join(message["content"] for message in text)).strip()
