"""Pairs: a prompt, the chosen answer and the rejected one; how they are read, and how rows are split by prompt.

TRL's own losses (`dpo.objective = "trl"`) train on pairs; everything else trains on slates (rankings.py), of which a
pair is the smallest. With `dpo.label_smoothing = "votes"` TRL gets one row per vote, votes against with the answers
swapped. The expected gradient of k votes for and m against is that of conservative DPO with label smoothing
m / (k + m), times k + m. Ties are no row: they say nothing about which answer is better.

Held-out rows are always one per pair, so that both ways are measured alike.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, Generic, Protocol, TypeVar

from annotation.errors import TrainError
from annotation.types import content_id

COLUMNS = ("prompt", "chosen", "rejected")
"""What a row must have, in TRL's words."""

MOST_VOTES = 1_000_000_000
"""More than that is no count of people."""

LONGEST_LABEL = 200
"""Characters of a name: of a country, a slate, a person, a topic."""

MOST = 1000
"""Of a row's weight or margin: beyond that one row would be all that is learnt."""

Message = Mapping[str, str]
Text = str | tuple[Message, ...]
"""Plain text, or messages of a conversation ({"role", "content"})."""


class Example(Protocol):
    """What can be trained on and held out: a pair, or a slate."""

    @property
    def prompt_key(self) -> str:
        """What is asked: examples that share it stay on one side of the split."""

    @property
    def country(self) -> str:
        """Of the people who judged, or ""."""

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""


Examples = TypeVar("Examples", bound=Example)


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
        weight: Of this row in the loss, beside the others.
        margin: By how much the chosen answer's reward should be ahead, in reward units.
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
    weight: float = 1.0
    margin: float = 0.0

    @property
    def prompt_key(self) -> str:
        """What is asked, without the system text: two rows that ask the same never stand on both sides of the split."""
        return content_id(asked(self.prompt))

    @property
    def texts(self) -> tuple[Text, ...]:
        """Prompt and answers."""
        return self.prompt, self.chosen, self.rejected

    def row(self) -> dict[str, Any]:
        """As a line of train.jsonl: TRL's prompt/chosen/rejected and what else is known."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}

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
class Split(Generic[Examples]):
    """Rows on both sides; no prompt is on both."""

    train: tuple[Examples, ...]
    held_out: tuple[Examples, ...]


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
    """SHA-256 of what a run would read: of a file, or of a snapshot's preferences and rankings, one after the other.

    Raises:
        TrainError: There is nothing to read.
    """
    names = ("preferences.parquet", "rankings.parquet", "snapshot.json")
    missing = [name for name in names if not (source / name).exists()] if source.is_dir() else []
    if missing:
        raise TrainError(f"{source} is no whole snapshot: {missing[0]} is missing; run `annot sync` again.")
    paths = [source / name for name in names[:2]] if source.is_dir() else [source]
    if not paths[0].exists():
        raise TrainError(f"{source} does not exist; name a snapshot of the project, or a parquet or jsonl file.")
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_pairs(source: Path) -> Pairs:
    """Read a snapshot folder, or a parquet or jsonl file with prompt, chosen and rejected.

    The three columns of a file are plain texts or lists of messages (TRL's conversational form); plain texts beside a
    column `system` become messages, as an export means them. country, language, topic, slate_id, votes_for,
    votes_against, ties, weight and margin are used where they are there; other columns are left alone.

    Raises:
        TrainError: It cannot be read, or a row is not as described.
    """
    digest = source_digest(source)
    if source.is_dir():
        rows = read_rows(source / "preferences.parquet")
        return Pairs(f"snapshot {source.name}", source.name, digest, tuple(_from_snapshot(row) for row in rows))
    rows = read_rows(source)
    pairs = tuple(pair_from_row(row, f"{source.name}:{number}") for number, row in enumerate(rows, 1))
    return Pairs(source.name, "", digest, pairs)


def one_row_per_vote(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Repeat each pair once per vote, with the answers swapped for votes against; ties are no row."""
    rows: list[Pair] = []
    for pair in pairs:
        rows += [pair] * pair.votes_for + [pair.swapped()] * pair.votes_against
    return tuple(rows)


def split_by_prompt(rows: Sequence[Examples], share: float, seed: int) -> Split[Examples]:
    """Keep a share of the prompts out of training, spread evenly over the countries.

    Prompts are put in order of (countries, hash of seed and prompt) and every 1/share-th is held out: systematic
    sampling, so each country gives its share to within one prompt, and the same prompts are held out on every machine.

    Args:
        rows: All of them: slates, or pairs.
        share: Of the prompts, in (0, 0.5]; at least one prompt is on either side.
        seed: Another seed holds out other prompts.

    Raises:
        TrainError: There are fewer than two prompts.
    """
    countries: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        countries[row.prompt_key].add(row.country)
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
        tuple(row for row in rows if row.prompt_key not in held),
        tuple(row for row in rows if row.prompt_key in held),
    )


def texts(rows: Iterable[Example]) -> list[str]:
    """Every text of the rows once, in their order."""
    seen: dict[str, None] = {}
    for row in rows:
        for part in row.texts:
            seen.update(dict.fromkeys([part] if isinstance(part, str) else [m["content"] for m in part]))
    return list(seen)


def _from_snapshot(row: Mapping[str, Any]) -> Pair:
    return Pair(
        f"{row['slate_id']}:{row['chosen_id']}:{row['rejected_id']}:{row['country']}",
        as_question(row["prompt"], row["system"]),
        as_answer(row["chosen"]),
        as_answer(row["rejected"]),
        row["country"],
        row["language"],
        row["topic"],
        row["slate_id"],
        row["votes_for"],
        row["votes_against"],
        row["ties"],
    )


def is_gap(value: Any) -> bool:
    """Whether a cell says nothing: null, or the NaN that some tables write for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def whole_number(value: Any) -> int | None:
    """A whole number, also one that a table wrote as 3.0 because of gaps between such; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def label(row: Mapping[str, Any], name: str, place: str) -> str:
    """A cell that names something, as text; "" where it says nothing, or where there is no such column.

    Raises:
        TrainError: It is no short text on one line, and no whole number.
    """
    value = row.get(name)
    if is_gap(value):
        return ""
    number = whole_number(value)
    text = value if isinstance(value, str) else "" if number is None else str(number)
    if (not text and value != "") or len(text) > LONGEST_LABEL or not text.isprintable():
        raise TrainError(
            f"{place}, {name} = {short(value)}: it must be a text of at most {LONGEST_LABEL} characters on one line; "
            "mend that row."
        )
    return text


def system_text(row: Mapping[str, Any], place: str) -> str:
    """The cell `system`; "" where it says nothing, or where there is no such column.

    Raises:
        TrainError: It is no text.
    """
    value = row.get("system")
    if is_gap(value):
        return ""
    if not isinstance(value, str):
        raise TrainError(f"{place}, system = {short(value)}: it is a text, or empty; mend that row.")
    return value


def as_question(prompt: str, system: str = "") -> tuple[Message, ...]:
    """What is asked as messages; without a system text there is none."""
    asked_for: Message = {"role": "user", "content": prompt}
    return ({"role": "system", "content": system}, asked_for) if system else (asked_for,)


def as_answer(text: str) -> tuple[Message, ...]:
    """What is answered as messages."""
    return ({"role": "assistant", "content": text},)


def pair_from_row(row: Mapping[str, Any], place: str) -> Pair:
    prompt, chosen, rejected = (_text(row.get(column), f"{place}, {column}") for column in COLUMNS)
    if len({isinstance(part, str) for part in (prompt, chosen, rejected)}) > 1:
        raise TrainError(f"{place} mixes plain text and messages; write prompt, chosen and rejected in one form.")
    if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str) and "system" in row:
        # As in an export. Plain text has no place for a system text.
        prompt, chosen, rejected = as_question(prompt, system_text(row, place)), as_answer(chosen), as_answer(rejected)
    names = ("country", "language", "topic", "slate_id")
    country, language, topic, slate_id = (label(row, name, place) for name in names)
    votes = (_votes(row, name, usual, place) for name, usual in (("votes_for", 1), ("votes_against", 0), ("ties", 0)))
    numbers = (_number(row, name, usual, place) for name, usual in (("weight", 1.0), ("margin", 0.0)))
    for column, said in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(said, str) and said[-1]["role"] != "assistant":
            raise TrainError(f"{place}, {column} does not end with a message of the assistant; mend that row.")
    return Pair(place, prompt, chosen, rejected, country, language, topic, slate_id, *votes, *numbers)


def _votes(row: Mapping[str, Any], name: str, usual: int, place: str) -> int:
    votes = row.get(name)
    if votes is None:
        return usual
    whole = whole_number(votes)
    if whole is None or not 0 <= whole <= MOST_VOTES:
        raise TrainError(f"{place}, {name} = {short(votes)}: votes are whole numbers from 0 on; mend that row.")
    return whole


def _number(row: Mapping[str, Any], name: str, usual: float, place: str) -> float:
    number = row.get(name)
    if number is None:
        return usual
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= MOST:
        raise TrainError(f"{place}, {name} = {short(number)}: it must be a number from 0 to {MOST}; mend that row.")
    return float(number)


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


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow as pa

        from annotation.project import read_parquet

        try:
            return read_parquet(path)
        except (pa.ArrowException, OSError) as error:
            raise TrainError(f"{path} is no whole parquet file ({error}); make it again.") from None
    if path.suffix not in (".jsonl", ".json"):
        raise TrainError(f"{path}: preferences are read from .parquet and .jsonl; convert the file first.")
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors put a byte order mark first
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TrainError(f"{path}, line {number} is no JSON object; write one object per line.")
                if "\\ud" in line.lower():
                    json.dumps(row, ensure_ascii=False).encode()  # half a pair of surrogates is no character
                rows.append(row)
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
    except UnicodeEncodeError:
        raise TrainError(f"{path}, line {number} holds half a character (\\ud800 or so); mend that row.") from None
    except RecursionError:
        raise TrainError(f"{path}, line {number} is nested far too deep; mend that row.") from None
    except ValueError as error:  # not only json.JSONDecodeError: a number may have too many digits
        reason = getattr(error, "msg", error)
        raise TrainError(f"{path}, line {number} is no JSON ({reason}); write one object per line.") from None
    return rows


def plain(value: Any) -> Any:
    return [dict(message) for message in value] if isinstance(value, tuple) else value


def asked(prompt: Text) -> str:
    if isinstance(prompt, str):
        return prompt.strip()
    return "\n".join(message["content"].strip() for message in prompt if message["role"] != "system").strip()


def answered(text: Text) -> str:
    return (text if isinstance(text, str) else "".join(message["content"] for message in text)).strip()
