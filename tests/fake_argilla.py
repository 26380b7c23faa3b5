"""An Argilla in memory, held to the same contract as the real one by test_argilla.py; and a project to push from."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self
from uuid import uuid4

import httpx

from annotation.errors import ArgillaError
from annotation.project import Project, init_project
from annotation.tasks.form import Form, Property, Shape, Vector
from annotation.tasks.ranking.slates import add_slates
from annotation.types import SEATS, Candidate, Person, Prompt, Slate
from sync.argilla.annotator import AnnotatorClient
from sync.argilla.client import ArgillaClient
from sync.argilla.protocol import Account, ArgillaApi, Change, Changes, Dataset, Page


class Annotator(Protocol):
    """What a test asks of someone who is logged in."""

    def queue(self, dataset_id: str, limit: int = 50) -> list[dict[str, Any]]: ...

    def answer(self, record_id: str, values: Mapping[str, Any], status: str = "submitted") -> dict[str, Any]: ...

    def withdraw(self, response_id: str) -> None: ...


class World(Protocol):
    """An api, and what happens at it that annot has no part in."""

    @property
    def api(self) -> ArgillaApi: ...

    def annotator_client(self, username: str, password: str) -> Annotator: ...

    def delete_account(self, account_id: str) -> None: ...

    def delete_record(self, record_id: str) -> None: ...


class FakeArgilla:
    """The parts of Argilla 2.8 that annot stands on, with its rules and its traps."""

    server = "fake"
    url = "http://fake"

    def __init__(self) -> None:
        self.users: dict[str, Account] = {}
        self.passwords: dict[str, str] = {}
        self.rooms: dict[str, str] = {}
        self.inside: dict[str, set[str]] = {}
        self.made: dict[str, Dataset] = {}
        self.forms: dict[str, Form] = {}
        self.extra_vectors: dict[str, dict[str, int]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.feed: str | None = str(uuid4())
        """Id of the change feed; None: a stock server, which keeps none."""
        self.guarding = True
        """Whether it says that it guards; a stock server does not."""
        self.assigning = True
        """Whether it says that it assigns; a stock server does not."""
        self.most_changes = 2000
        """Records that one answer of the feed names."""
        self.telling: Callable[[list[Change]], list[Change]] = lambda told: told
        """What becomes of what the feed tells: it may miss something, or tell it twice, or in any order."""
        self.noted: dict[str, tuple[int, Change]] = {}
        self.news = threading.Condition()
        """Held while answers are read or changed: a watch may have a thread of its own."""
        self.between_pages: Callable[[], None] = lambda: None
        self.before_adding: Callable[[], None] = lambda: None
        self.ticks = itertools.count()
        owner = Account(str(uuid4()), "owner", "Owner", "owner")
        self.users[owner.id] = owner

    def now(self) -> str:
        """A time that only grows, as Argilla tells it: UTC without saying so."""
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self.ticks))).replace(tzinfo=None).isoformat()

    def accounts(self) -> list[Account]:
        return list(self.users.values())

    def add_account(self, username: str, first_name: str, role: str, password: str) -> Account:
        if any(account.username == username for account in self.users.values()):
            raise ArgillaError(f"refused: {username} is not unique")
        account = Account(str(uuid4()), username, first_name, role)
        self.users[account.id], self.passwords[username] = account, password
        return account

    def change_account(self, account_id: str, first_name: str, role: str) -> None:
        self.users[account_id] = Account(account_id, self.users[account_id].username, first_name, role)

    def workspaces(self) -> dict[str, str]:
        return dict(self.rooms)

    def add_workspace(self, name: str) -> str:
        if name in self.rooms:
            raise ArgillaError(f"refused: {name} is not unique")
        self.rooms[name] = str(uuid4())
        self.inside[self.rooms[name]] = set()
        return self.rooms[name]

    def members(self, workspace_id: str) -> set[str]:
        return set(self.inside[workspace_id])

    def add_member(self, workspace_id: str, account_id: str) -> None:
        if account_id in self.inside[workspace_id]:
            raise ArgillaError("refused: a member already")
        self.inside[workspace_id].add(account_id)

    def remove_member(self, workspace_id: str, account_id: str) -> None:
        self.inside[workspace_id].remove(account_id)

    def datasets(self) -> list[Dataset]:
        return list(self.made.values())

    def shape(self, dataset_id: str) -> Shape:
        return self.forms[dataset_id].shape

    def vectors(self, dataset_id: str) -> dict[str, int]:
        return dict(self.extra_vectors[dataset_id])

    def add_dataset(self, name: str, workspace_id: str, form: Form) -> Dataset:
        workspace = next(room for room, known in self.rooms.items() if known == workspace_id)
        if any((d.name, d.workspace) == (name, workspace) for d in self.made.values()):
            raise ArgillaError("refused: the dataset exists")
        named = [part.name for part in (*form.fields, *form.questions, *form.metadata)]
        if len(set(named)) < len(named):
            raise ArgillaError(f"refused: names of dataset settings must be unique: {named}")
        dataset = Dataset(str(uuid4()), name, workspace, True, form.overlap, form.guidelines, form.rules)
        self.made[dataset.id], self.forms[dataset.id], self.rows[dataset.id] = dataset, form, []
        self.extra_vectors[dataset.id] = {form.vector.name: form.vector.dimensions} if form.vector else {}
        return dataset

    def remove_dataset(self, dataset_id: str) -> None:
        del self.made[dataset_id]

    def properties(self, dataset_id: str) -> set[str]:
        return {known.name for known in self.forms[dataset_id].metadata}

    def add_property(self, dataset_id: str, added: Property) -> None:
        form = self.forms[dataset_id]
        if added.name in self.properties(dataset_id):
            raise ArgillaError(f"refused: {added.name} is not unique")
        self.forms[dataset_id] = replace(form, metadata=(*form.metadata, added))

    def add_vector(self, dataset_id: str, vector: Vector) -> None:
        self.extra_vectors[dataset_id][vector.name] = vector.dimensions

    def set_overlap(self, dataset_id: str, overlap: int) -> None:
        self.made[dataset_id] = replace(self.made[dataset_id], overlap=overlap)

    def set_guidelines(self, dataset_id: str, guidelines: str) -> None:
        self.made[dataset_id] = replace(self.made[dataset_id], guidelines=guidelines)

    def set_rules(self, dataset_id: str, rules: Mapping[str, Any]) -> None:
        self.made[dataset_id] = replace(self.made[dataset_id], rules={**self.made[dataset_id].rules, **rules})

    def guards(self) -> bool:
        return self.guarding

    def assigns(self) -> bool:
        return self.assigning

    def add_records(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        if len(records) > 500:
            raise ArgillaError("refused: more than 500 records")
        self.before_adding()
        there = {row["external_id"] for row in self.rows[dataset_id]}
        if again := there & {record["external_id"] for record in records}:
            raise ArgillaError(f"refused: records with same external ids: {again}")
        form = self.forms[dataset_id]
        names = {field.name: field.required for field in form.fields}
        for record in records:
            missing = [name for name, required in names.items() if required and record["fields"].get(name) is None]
            if missing or set(record["fields"]) - set(names):
                raise ArgillaError(f"refused: fields {sorted(record['fields'])}, missing {missing}")
            if unknown := set(record.get("metadata", {})) - self.properties(dataset_id):
                raise ArgillaError(f"refused: metadata {unknown}")
            for name, vector in record.get("vectors", {}).items():
                if self.extra_vectors[dataset_id].get(name) != len(vector):
                    raise ArgillaError("refused: no such vector")
        added = {}
        for record in records:
            row = {"id": str(uuid4()), "dataset_id": dataset_id, "inserted_at": self.now(), "responses": [], **record}
            self.rows[dataset_id].append(row)
            added[row["external_id"]] = row["id"]
        return added

    def set_texts(self, record_id: str, fields: Mapping[str, Any]) -> None:
        row = self.record(record_id)
        if row is None:
            raise ArgillaError("refused: no such record")
        with self.news:
            row["fields"] = dict(fields)
            self.note(row)

    def remove_records(self, dataset_id: str, record_ids: Sequence[str]) -> None:
        if len(record_ids) > 100:
            raise ArgillaError("refused: more than 100 records")
        with self.news:
            for row in [row for row in self.rows[dataset_id] if row["id"] in record_ids]:
                self.rows[dataset_id].remove(row)
                self.note(row, gone=True)

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        rows = self.rows[dataset_id]
        with self.news:
            kept = [k if responses else {n: v for n, v in k.items() if n != "responses"} for k in rows[offset:][:limit]]
            page = Page(tuple(deepcopy(kept)), len(rows))
        self.between_pages()
        return page

    def records_of(self, dataset_id: str, label: str, items: Sequence[str]) -> list[dict[str, Any]]:
        if len(items) > 250:
            raise ArgillaError("refused: more than 250 values in a filter")
        with self.news:
            return deepcopy([row for row in self.rows[dataset_id] if row.get("metadata", {}).get(label) in items])

    def changes(self, after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        with self.news:
            if after is not None:
                self.news.wait_for(lambda: self.feed is None or self.last_change() > after, wait_s)
            if self.feed is None:
                return None
            if after is None or after > self.last_change():  # it was put back to an earlier time
                return Changes(self.feed, self.last_change(), reset=after is not None)
            found = sorted((noted for noted in self.noted.values() if noted[0] > after), key=lambda noted: noted[0])
            page = found[: self.most_changes]
            told = self.telling([change for _, change in page])
            return Changes(self.feed, page[-1][0] if page else after, tuple(told), len(found) > len(page))

    def last_change(self) -> int:
        """The number of the last change."""
        return max((number for number, _ in self.noted.values()), default=0)

    def note(self, row: Mapping[str, Any], *, gone: bool = False) -> None:
        """Write down that a record was answered, or is gone."""
        with self.news:
            change = Change(row["id"], row["dataset_id"], None if gone else row["external_id"])
            self.noted[row["id"]] = (self.last_change() + 1, change)
            self.news.notify_all()

    def keep_responses(self, keep: Callable[[Mapping[str, Any]], bool]) -> None:
        """Take away all other responses."""
        with self.news:
            for row in [row for rows in self.rows.values() for row in rows]:
                kept = [response for response in row["responses"] if keep(response)]
                if len(kept) < len(row["responses"]):
                    row["responses"] = kept
                    self.note(row)

    def record(self, record_id: str) -> dict[str, Any] | None:
        return next((row for rows in self.rows.values() for row in rows if row["id"] == record_id), None)


class FakeAnnotator:
    """Someone who is logged in at a FakeArgilla."""

    def __init__(self, api: FakeArgilla, username: str, password: str) -> None:
        if api.passwords.get(username) != password:
            raise ArgillaError("unknown password")
        self.api, self.account = api, next(a for a in api.users.values() if a.username == username)

    def queue(self, dataset_id: str, limit: int = 50) -> list[dict[str, Any]]:
        dataset = self.api.made[dataset_id]
        if self.account.id not in self.api.inside[self.api.rooms[dataset.workspace]]:
            raise ArgillaError("allowed to members only")
        waiting = []
        for row in self.api.rows[dataset_id]:
            done = sum(r["status"] == "submitted" for r in row["responses"])
            if done < dataset.overlap and all(r["user_id"] != self.account.id for r in row["responses"]):
                waiting.append(row)
        return waiting[:limit]

    def answer(self, record_id: str, values: Mapping[str, Any], status: str = "submitted") -> dict[str, Any]:
        row = self.api.record(record_id)
        assert row is not None
        with self.api.news:
            moment = self.api.now()
            response = next((r for r in row["responses"] if r["user_id"] == self.account.id), None)
            if response is None:
                own = {"record_id": record_id, "user_id": self.account.id}
                response = {"id": str(uuid4()), **own, "inserted_at": moment}
                row["responses"].append(response)
            response |= {"values": dict(values) or None, "status": status, "updated_at": moment}
            self.api.note(row)
            return dict(response)

    def withdraw(self, response_id: str) -> None:
        self.api.keep_responses(lambda response: response["id"] != response_id)


class FakeWorld:
    """A FakeArgilla and what happens at it."""

    def __init__(self) -> None:
        self.api = FakeArgilla()

    def annotator_client(self, username: str, password: str) -> FakeAnnotator:
        return FakeAnnotator(self.api, username, password)

    def delete_account(self, account_id: str) -> None:
        """Argilla deletes the answers with the person."""
        del self.api.users[account_id]
        for members in self.api.inside.values():
            members.discard(account_id)
        self.api.keep_responses(lambda response: response["user_id"] != account_id)

    def delete_record(self, record_id: str) -> None:
        row = self.api.record(record_id)
        assert row is not None
        with self.api.news:
            self.api.rows[row["dataset_id"]].remove(row)
            self.api.note(row, gone=True)


class RealWorld:
    """A running Argilla and what happens at it."""

    def __init__(self, url: str, key: str) -> None:
        self.api = ArgillaClient(url, key, server="embedded")
        self._rest = httpx.Client(base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": key}, timeout=60)
        self._clients: list[AnnotatorClient] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self._rest.close()
        for annotator_client in self._clients:
            annotator_client.close()

    def annotator_client(self, username: str, password: str) -> AnnotatorClient:
        self._clients.append(AnnotatorClient(self.api.url, username, password))
        return self._clients[-1]

    def clear(self) -> None:
        """Delete all datasets, workspaces and people; the owner stays."""
        for kind, shown in (("datasets", "/me/datasets"), ("workspaces", "/me/workspaces"), ("users", "/users")):
            for item in self._rest.get(shown).raise_for_status().json()["items"]:
                if item.get("role") != "owner":
                    self._rest.delete(f"/{kind}/{item['id']}").raise_for_status()

    def delete_account(self, account_id: str) -> None:
        self._rest.delete(f"/users/{account_id}").raise_for_status()

    def delete_record(self, record_id: str) -> None:
        self._rest.delete(f"/records/{record_id}").raise_for_status()


def some_project(folder: Path, *, slates: int = 6, seats: int = 4, name: str = "cultural fit") -> Project:
    """A project with slates for Mexico and Brazil, in turn; Mexico has the even positions."""
    project = init_project(folder, name="Prueba", countries=["MX", "BR"], languages=["es", "pt"], overlap=2)
    text = (folder / "annot.toml").read_text()
    (folder / "annot.toml").write_text(
        text.replace('# dataset = "" ', f'dataset = "{name}" ', 1).replace("# slate = 4 ", f"slate = {seats} ")
    )
    project = Project.open(folder)
    prompts, everyone, made = list[Prompt](), list[Candidate](), list[Slate]()
    for position in range(slates):
        prompt = Prompt.make(
            f"¿Qué se come en la fiesta {position}?",
            country=("MX", "BR")[position % 2],
            language=("es", "pt")[position % 2],
            topic="comida",
            system="Responde con calidez." if position % 3 == 0 else "",
        )
        candidates = [
            Candidate.make(prompt.id, f"Respuesta {n} & <b>{position}</b>", model=f"model-{n}", voice=f"voice-{n}")
            for n in range(seats)
        ]
        prompts.append(prompt)
        everyone += candidates
        seated = tuple(candidates[(n + position) % seats].id for n in range(seats))
        made.append(Slate(f"slate{position:04}{uuid4().hex[:6]}", prompt.id, seated, position))
    project.ledger.add_prompts(prompts)
    project.ledger.add_candidates(everyone)
    add_slates(project.ledger, made)
    return project


def person(username: str, country: str = "MX", **changes: Any) -> Person:
    """Someone on the team."""
    known: dict[str, Any] = {"name": username.title(), "role": "annotator", "languages": ("es",)}
    return Person(username, country=country, **{**known, **changes})


def ranking_of(ranks: str, **more: Any) -> dict[str, Any]:
    """Values of a response: "1123" ties A and B in the first place."""
    given = [{"value": seat, "rank": int(rank)} for seat, rank in zip(SEATS, ranks, strict=False)]
    return {"ranking": {"value": given}, **{name: {"value": value} for name, value in more.items()}}


def killed_at(moment_s: float, work: Callable[[], None]) -> bool:
    """Do work in a process of its own and kill -9 it after a while; whether it was still at it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(moment_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def seconds_of(work: Callable[[], None]) -> float:
    """How long work takes in a process of its own, undisturbed."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return time.perf_counter() - began
