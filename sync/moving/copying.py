"""A dataset from one Argilla to another, with everything that hangs on its records: made, resumed and compared.

Records go in their order, in batches that the server takes whole or not at all, and are known by their external ids.
So one pass both goes on where a cut-off one stopped and compares what is there: copying is done when a pass finds
nothing to do. REST tells and takes ranks as they are; the SDK would drop them.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.errors import ArgillaError
from annotation.ledger import MovedResponse
from annotation.screen import Progress, silent
from annotation.tasks.form import ASSIGN
from sync.argilla.client import ArgillaClient
from sync.argilla.paging import walk
from sync.argilla.protocol import Dataset, Page
from sync.pull import utc_time
from sync.push import in_calls

BATCH = 200
"""Records per call: with 384 numbers each they are a megabyte or two. Argilla takes 500."""

MARK = "annot_moved_from"
"""Key in a copied dataset's metadata: the id of the dataset that it is a copy of."""

SETTINGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "fields": ("/datasets/{}/fields", ("name", "title", "required", "settings")),
    "questions": ("/datasets/{}/questions", ("name", "title", "description", "required", "settings")),
    "metadata-properties": (
        "/me/datasets/{}/metadata-properties",
        ("name", "title", "settings", "visible_for_annotators"),
    ),
    "vectors-settings": ("/datasets/{}/vectors-settings", ("name", "title", "dimensions")),
}
"""What a dataset consists of: the path's last word -> where it is read, and what is copied of each item."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over a dataset found and did.

    Attributes:
        records: Records of the source.
        responses: Their responses.
        added: Records that were missing.
        changed: Records or responses that differed, and were made to agree.
        moved: Every response with its ids on both servers; complete where nothing was added or changed.
        places: External id -> record id on the target, of every record there.
    """

    records: int
    responses: int
    added: int
    changed: int
    moved: tuple[MovedResponse, ...]
    places: Mapping[str, str]

    @property
    def settled(self) -> bool:
        """Whether both held the same already."""
        return not (self.added or self.changed)


@dataclass(frozen=True, slots=True)
class _There:
    """A record of the target, as far as it is compared."""

    id: str
    content: bytes
    answers: Mapping[str, tuple[str, str, Any]]


class Whole:
    """The records of an Argilla with their responses, suggestions and vectors; what `walk` reads from."""

    def __init__(self, api: ArgillaClient) -> None:
        """Read from this api."""
        self.api = api

    @property
    def url(self) -> str:
        """See ArgillaApi."""
        return self.api.url

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """See ArgillaApi."""
        include = "responses,suggestions,vectors" if responses else "responses"
        payload = self.api.ask(
            "GET",
            f"/datasets/{dataset_id}/records",
            "the records of a dataset",
            params={"offset": offset, "limit": limit, "include": include},
        )
        return Page(tuple(payload["items"]), payload["total"])


def count_answers(api: ArgillaClient, dataset_id: str) -> tuple[int, int, set[str]]:
    """How many records and responses a dataset holds, and the ids of who answered."""
    records, responses, authors = 0, 0, set[str]()
    for record in walk(Whole(api), dataset_id):
        records += 1
        responses += len(record["responses"])
        authors |= {response["user_id"] for response in record["responses"]}
    return records, responses, authors


def read_settings(api: ArgillaClient, dataset_id: str) -> dict[str, Any]:
    """Everything about a dataset that is not a record, without the ids that differ between servers."""
    payload = api.ask("GET", f"/datasets/{dataset_id}", "a dataset")
    found: dict[str, Any] = {
        name: payload[name] for name in ("name", "guidelines", "allow_extra_metadata", "distribution")
    }
    # Who is asked what names people by the ids that they have there; the next sync writes it with those of here.
    found["metadata"] = {
        name: value for name, value in (payload.get("metadata") or {}).items() if name not in (MARK, ASSIGN)
    }
    for part, (path, keys) in SETTINGS.items():
        items = api.ask("GET", path.format(dataset_id), f"the {part} of a dataset")["items"]
        found[part] = [{key: item[key] for key in keys} for item in items]
    return found


def refuse_other(target: ArgillaClient, standing: Dataset, dataset: Dataset) -> None:
    """Raise ArgillaError when the dataset that stands on the target is no copy of this one."""
    payload = target.ask("GET", f"/datasets/{standing.id}", "a dataset")
    if (payload.get("metadata") or {}).get(MARK) != dataset.id:
        raise ArgillaError(
            f'{target.url} has another dataset "{standing.name}" in the workspace {standing.workspace}; rename or '
            "delete it there, then run the same command again."
        )


def ensure_dataset(
    source: ArgillaClient, dataset: Dataset, target: ArgillaClient, workspace_id: str, standing: Dataset | None
) -> str:
    """Make the copy of a dataset, without its records, or find the one that stands; returns its id.

    Raises:
        ArgillaError: A dataset of that name stands there and is no copy of this one, or was changed since.
    """
    wanted = read_settings(source, dataset.id)
    if standing is not None:
        refuse_other(target, standing, dataset)
        if standing.ready:
            found = read_settings(target, standing.id)
            if differing := sorted(part for part in wanted if wanted[part] != found[part]):
                raise ArgillaError(
                    f'The copy of "{dataset.name}" on {target.url} differs from its original in '
                    f"{', '.join(differing)}; delete the copy there, then run the same command again."
                )
            return standing.id
        # Cut off while it was made: it was never published, so it holds nothing.
        target.remove_dataset(standing.id)
    what = f'the new dataset "{dataset.name}"'
    plain = {name: value for name, value in wanted.items() if name not in SETTINGS}
    plain["metadata"] = {**plain["metadata"], MARK: dataset.id}
    made = target.ask("POST", "/datasets", what, body={**plain, "workspace_id": workspace_id})["id"]
    for part in SETTINGS:
        for item in wanted[part]:
            target.ask("POST", f"/datasets/{made}/{part}", what, body=item)
    target.ask("PUT", f"/datasets/{made}/publish", what)
    return str(made)


def copy_records(
    source: ArgillaClient,
    dataset_id: str,
    target: ArgillaClient,
    copy_id: str,
    account_of: Callable[[str], str],
    progress: Progress = silent,
) -> Pass:
    """One pass: every record and response of the source is compared with the target's, and what differs is written.

    Args:
        source: Where the dataset is; only read.
        dataset_id: On the source.
        target: Where the copy is.
        copy_id: On the target.
        account_of: User id on the source -> on the target; may make the account.
        progress: Told how many records of the source were compared.

    Raises:
        ArgillaError: One of the two is not there, refused, or kept changing.
    """
    names, names_there = _questions(source, dataset_id), _questions(target, copy_id)
    ids = {name: question_id for question_id, name in names_there.items()}
    there: dict[str, _There] = {}
    for record in walk(Whole(target), copy_id, responses=True):
        there[_key(record)] = _There(record["id"], _digest(_content(record, names_there)), _answers(record))
    places = {key: found.id for key, found in there.items()}
    added, changed, records, responses = 0, 0, 0, 0
    moved: list[MovedResponse] = []
    fresh: list[dict[str, Any]] = []
    differing: list[dict[str, Any]] = []
    gone = set(there)

    def write() -> None:
        what = "records of a moved dataset"
        for few in in_calls(fresh):
            payload = target.ask("POST", f"/datasets/{copy_id}/records/bulk", what, body={"items": few})
            places.update((item["external_id"], item["id"]) for item in payload["items"])
        for few in in_calls(differing):
            target.ask("PUT", f"/datasets/{copy_id}/records/bulk", what, body={"items": few})
        fresh.clear()
        differing.clear()

    for record in walk(Whole(source), dataset_id, responses=True, progress=progress):
        key, content, answers = _key(record), _content(record, names), _answers(record)
        records, responses = records + 1, responses + len(answers)
        gone.discard(key)
        found = there.get(key)
        given = {account_of(user): answer for user, answer in answers.items()}
        if found is None:
            fresh.append({**_sendable(content, ids), "external_id": key, "responses": _responses(given)})
            added += 1
        else:
            wrong = {
                user: answer
                for user, answer in given.items()
                if user not in found.answers or found.answers[user][2] != answer[2]
            }
            if _digest(content) != found.content or wrong:
                differing.append({**_sendable(content, ids), "external_id": key, "responses": _responses(wrong)})
                changed += 1
            for user in set(found.answers) - set(given):
                target.ask("DELETE", f"/responses/{found.answers[user][0]}", "to take back a response")
                changed += 1
            moved += [
                MovedResponse(found.answers[user][0], utc_time(found.answers[user][1]), name, utc_time(moment))
                for user, (name, moment, _) in given.items()
                if user in found.answers
            ]
        if len(fresh) + len(differing) >= BATCH:
            write()
    write()
    for key in gone:  # deleted on the source while this went on
        target.ask("DELETE", f"/records/{there[key].id}", "to delete a record")
        places.pop(key)
        changed += 1
    return Pass(records, responses, added, changed, tuple(moved), places)


def _key(record: Mapping[str, Any]) -> str:
    """What a copied record is known by. One that was added without an external id goes by its first id."""
    return str(record["external_id"] if record["external_id"] is not None else record["id"])


def _questions(api: ArgillaClient, dataset_id: str) -> dict[str, str]:
    items = api.ask("GET", f"/datasets/{dataset_id}/questions", "the questions of a dataset")["items"]
    return {item["id"]: item["name"] for item in items}


def _content(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What a record says, without ids and times."""
    suggestions = {
        names[s["question_id"]]: {key: s[key] for key in ("value", "score", "agent", "type")}
        for s in record["suggestions"]
    }
    return {
        "fields": record["fields"],
        "metadata": record["metadata"] or {},
        "suggestions": suggestions,
        "vectors": record["vectors"] or {},
    }


def _sendable(content: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    suggestions = [
        {"question_id": ids[name], **{key: value for key, value in payload.items() if value is not None}}
        for name, payload in content["suggestions"].items()
    ]
    return {**content, "metadata": content["metadata"] or None, "suggestions": suggestions}


def _answers(record: Mapping[str, Any]) -> dict[str, tuple[str, str, Any]]:
    """User id -> id, time and what was answered: the status and the values, ranks and all."""
    return {
        r["user_id"]: (r["id"], r["updated_at"], (r["status"], r["values"] or {})) for r in record["responses"] or ()
    }


def _responses(given: Mapping[str, tuple[str, str, Any]]) -> list[dict[str, Any]]:
    return [{"user_id": user, "status": status, "values": values} for user, (_, _, (status, values)) in given.items()]


def _digest(content: Mapping[str, Any]) -> bytes:
    """Tells contents apart; 16 bytes instead of the content, since a dataset's vectors would fill the memory.

    Vectors are compared as 32-bit floats: a server may keep no more of them.
    """
    payload = {name: part for name, part in content.items() if name != "vectors"}
    digest = hashlib.blake2b(json.dumps(payload, sort_keys=True).encode(), digest_size=16)
    for name, vector in sorted(content["vectors"].items()):
        digest.update(name.encode() + struct.pack(f"<{len(vector)}f", *vector))
    return digest.digest()
