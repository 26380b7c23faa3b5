"""The real Argilla over REST and the SDK; the only import of argilla.

REST is used where the SDK loses something (it drops the ranks of a ranking) or would do too much (its upsert replaces
the fields of records that stand); the SDK makes datasets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from annotation.errors import ArgillaError
from annotation.project import Project
from annotation.tasks.form import Field, Form, Property, Question, Shape, Vector
from sync.argilla.errors import first_line, json_of, translated
from sync.argilla.protocol import EMBEDDED, WRITTEN, Account, Change, Changes, Dataset, Named, Page

if TYPE_CHECKING:
    from annotation.hosting.embedded import ServerState

FEWEST_SHOWN = 3
"""Argilla takes no smaller number of options to show at once; fewer are always shown."""

TIMEOUT_S = 120.0
"""A page of 1,000 records with their responses takes a small machine a few seconds; a busy one, many."""


def connect(project: Project) -> ArgillaClient:
    """Reach the project's Argilla: the server in `argilla.url` with ARGILLA_API_KEY, else the embedded one.

    Raises:
        ArgillaError: There is no key, the key is refused, or nothing answers.
    """
    url = project.settings.argilla.url
    if url:
        key = project.secret("ARGILLA_API_KEY")
        if not key:
            raise ArgillaError(
                f"argilla.url is {url}, but there is no key for it; copy an owner's API key from its settings page to "
                f"the environment as ARGILLA_API_KEY, or as argilla_api_key into {project.folder / 'secrets.toml'}."
            )
        return ArgillaClient(url, key)
    from annotation.hosting.embedded import owner, state

    found = state(project.argilla_home)
    if not found.running:
        raise ArgillaError(found.detail)
    prove = _prover(project.argilla_home, found)
    return ArgillaClient(found.url, owner(project.argilla_home).api_key, server=EMBEDDED, prove=prove)


def _prover(home: Path, found: ServerState) -> Callable[[object], None]:
    """What makes sure, before each request, that our own process answers: a key goes to no other.

    A server holds its port for as long as it lives. Where it is gone, whoever has the port by now is looked at again.
    """
    import psutil

    from annotation.hosting.embedded import state

    process = psutil.Process(found.processes["server"])

    def prove(_request: object) -> None:
        nonlocal process
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return
        now = state(home)
        if not now.running or now.url != found.url:
            raise ArgillaError(now.detail or f"Argilla is at {now.url} by now; run the same command again.")
        process = psutil.Process(now.processes["server"])

    return prove


class ArgillaClient:
    """A real Argilla 2.8 server, seen by an owner."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        server: str = "",
        named: Named = WRITTEN,
        prove: Callable[[object], None] | None = None,
    ) -> None:
        """Connect, and check that the key is an owner's.

        Args:
            url: Of the server, with or without a slash at the end.
            key: An owner's API key.
            server: Name in the ledger; empty takes the address.
            named: Where the address and the key were written.
            prove: Called before each request; raises where somebody else answers by now.

        Raises:
            ArgillaError: Nothing answers there, or the key is not an owner's.
        """
        self.url = url.rstrip("/")
        self.server = server or self.url
        self._named = named
        key = key.strip()
        if not (key.isascii() and key.isprintable() and key):
            raise ArgillaError(f"{named.key} holds characters that no key has; copy it again from the settings page.")
        self._key = key
        with self._answers("to connect"):
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1",
                headers={"X-Argilla-Api-Key": key},
                timeout=httpx.Timeout(TIMEOUT_S, connect=10.0),
                transport=httpx.HTTPTransport(retries=1),
                event_hooks={"request": [prove] if prove else []},
            )
        role = self._get("/me", "to know who is there")["role"]
        if role != "owner":
            raise ArgillaError(
                f"The key for {self.url} belongs to an {role}; annot makes accounts and workspaces and needs the key "
                f"of an owner in {named.key}."
            )

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    # -- people -------------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """See ArgillaApi."""
        return [_account(item) for item in self._get("/users", "the list of users")["items"]]

    def add_account(self, username: str, first_name: str, role: str, password: str) -> Account:
        """See ArgillaApi."""
        payload = {"username": username, "first_name": first_name, "role": role, "password": password}
        return _account(self._send("POST", "/users", f'the new user "{username}"', payload))

    def change_account(self, account_id: str, first_name: str, role: str) -> None:
        """See ArgillaApi."""
        payload = {"first_name": first_name, "role": role}
        self._send("PATCH", f"/users/{account_id}", "the change of a user", payload)

    def workspaces(self) -> dict[str, str]:
        """See ArgillaApi."""
        return {item["name"]: item["id"] for item in self._get("/me/workspaces", "the list of workspaces")["items"]}

    def add_workspace(self, name: str) -> str:
        """See ArgillaApi."""
        return str(self._send("POST", "/workspaces", f'the new workspace "{name}"', {"name": name})["id"])

    def members(self, workspace_id: str) -> set[str]:
        """See ArgillaApi."""
        payload = self._get(f"/workspaces/{workspace_id}/users", "the members of a workspace")
        return {item["id"] for item in payload["items"]}

    def add_member(self, workspace_id: str, account_id: str) -> None:
        """See ArgillaApi."""
        self._send("POST", f"/workspaces/{workspace_id}/users", "a new member", {"user_id": account_id})

    def remove_member(self, workspace_id: str, account_id: str) -> None:
        """See ArgillaApi."""
        self._send("DELETE", f"/workspaces/{workspace_id}/users/{account_id}", "to take a member out")

    # -- datasets -----------------------------------------------------------------------------------------

    def datasets(self) -> list[Dataset]:
        """See ArgillaApi."""
        names = {workspace_id: name for name, workspace_id in self.workspaces().items()}
        return [_dataset(item, names) for item in self._get("/me/datasets", "the list of datasets")["items"]]

    def shape(self, dataset_id: str) -> Shape:
        """See ArgillaApi."""
        fields = self._get(f"/datasets/{dataset_id}/fields", "the fields of a dataset")["items"]
        questions = self._get(f"/datasets/{dataset_id}/questions", "the questions of a dataset")["items"]
        return Shape(
            frozenset(item["name"] for item in fields),
            frozenset(
                (
                    item["name"],
                    item["settings"]["type"],
                    tuple(str(option["value"]) for option in item["settings"].get("options", ())),
                )
                for item in questions
            ),
        )

    def vectors(self, dataset_id: str) -> dict[str, int]:
        """See ArgillaApi."""
        payload = self._get(f"/datasets/{dataset_id}/vectors-settings", "the vectors of a dataset")
        return {item["name"]: item["dimensions"] for item in payload["items"]}

    def add_dataset(self, name: str, workspace_id: str, form: Form) -> Dataset:
        """See ArgillaApi."""
        import argilla as rg
        from argilla._exceptions import ArgillaError as SdkError

        what = f'the new dataset "{name}"'
        try:
            with self._answers(what):
                client = rg.Argilla(api_url=self.url, api_key=self._key, timeout=int(TIMEOUT_S))
                with contextlib.closing(client.http_client):
                    workspace = client.workspaces(id=workspace_id)
                    made = rg.Dataset(name, workspace, _settings(form, client), client).create()
        except SdkError as error:
            # The SDK wraps what went wrong while the form was made, and takes the dataset away again.
            cause = error.__cause__ or error
            raise ArgillaError(f"Argilla at {self.url} refused {what}: {first_line(str(cause))}.") from error
        if form.rules:  # the SDK knows no metadata of datasets
            self.set_rules(str(made.id), form.rules)
        return _dataset(self._get(f"/datasets/{made.id}", what), {str(workspace_id): str(workspace.name)})

    def remove_dataset(self, dataset_id: str) -> None:
        """See ArgillaApi."""
        self._send("DELETE", f"/datasets/{dataset_id}", "to delete a dataset")

    def properties(self, dataset_id: str) -> set[str]:
        """See ArgillaApi. As an owner: what is hidden from annotators is told too."""
        payload = self._get(f"/me/datasets/{dataset_id}/metadata-properties", "the metadata of a dataset")
        return {item["name"] for item in payload["items"]}

    def add_property(self, dataset_id: str, added: Property) -> None:
        """See ArgillaApi."""
        payload = {
            "name": added.name,
            "title": added.title,
            "settings": {"type": added.kind},
            "visible_for_annotators": added.visible,
        }
        self._send("POST", f"/datasets/{dataset_id}/metadata-properties", "the metadata of a dataset", payload)

    def add_vector(self, dataset_id: str, vector: Vector) -> None:
        """See ArgillaApi."""
        payload = {"name": vector.name, "title": vector.title, "dimensions": vector.dimensions}
        self._send("POST", f"/datasets/{dataset_id}/vectors-settings", "the vectors of a dataset", payload)

    def set_overlap(self, dataset_id: str, overlap: int) -> None:
        """See ArgillaApi."""
        payload = {"distribution": {"strategy": "overlap", "min_submitted": overlap}}
        self._send("PATCH", f"/datasets/{dataset_id}", "the overlap of a dataset", payload)

    def set_guidelines(self, dataset_id: str, guidelines: str) -> None:
        """See ArgillaApi."""
        self._send("PATCH", f"/datasets/{dataset_id}", "the guidelines of a dataset", {"guidelines": guidelines})

    def set_rules(self, dataset_id: str, rules: Mapping[str, Any]) -> None:
        """See ArgillaApi. Argilla adds to the metadata that a dataset has."""
        self._send("PATCH", f"/datasets/{dataset_id}", "the rules of a dataset", {"metadata": dict(rules)})

    def guards(self) -> bool:
        """See ArgillaApi. Another Argilla has no such address, and the embedded one of an older annot says nothing."""
        return self._says("guards", "whether texts that may hurt are guarded")

    def assigns(self) -> bool:
        """See ArgillaApi."""
        return self._says("assigns", "whether people are sent records of their own")

    def _says(self, word: str, what: str) -> bool:
        with self._answers(what):
            answer = self._http.get("/annot/changes")
            return answer.status_code != httpx.codes.NOT_FOUND and json_of(answer).get(word) is True

    # -- records ------------------------------------------------------------------------------------------

    def add_records(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """See ArgillaApi."""
        payload = self._send(
            "POST", f"/datasets/{dataset_id}/records/bulk", "new records", {"items": [dict(r) for r in records]}
        )
        return {item["external_id"]: item["id"] for item in payload["items"]}

    def set_texts(self, record_id: str, fields: Mapping[str, Any]) -> None:
        """See ArgillaApi."""
        self._send("PATCH", f"/records/{record_id}", "the texts of a record", {"fields": dict(fields)})

    def remove_records(self, dataset_id: str, record_ids: Sequence[str]) -> None:
        """See ArgillaApi."""
        params = {"ids": ",".join(record_ids)}
        self.ask("DELETE", f"/datasets/{dataset_id}/records", "to delete records", params=params)

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """See ArgillaApi."""
        parameters: dict[str, str | int] = {"offset": offset, "limit": limit}
        if responses:
            parameters["include"] = "responses"
        payload = self._get(f"/datasets/{dataset_id}/records", "the records of a dataset", parameters)
        return Page(tuple(payload["items"]), payload["total"])

    def records_of(self, dataset_id: str, label: str, items: Sequence[str]) -> list[dict[str, Any]]:
        """See ArgillaApi. Not `GET /records/{id}`: version 2.8 fails there where a record has vectors."""
        scope = {"entity": "metadata", "metadata_property": label}
        chosen = {"filters": {"and": [{"type": "terms", "scope": scope, "values": list(items)}]}}
        with self._answers("the records that were answered"):
            payload = json_of(
                self._http.post(
                    f"/datasets/{dataset_id}/records/search",
                    params={"include": "responses", "limit": len(items)},
                    json=chosen,
                )
            )
        return [item["record"] for item in payload["items"]]

    def changes(self, after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        """See ArgillaApi. Only the embedded server keeps a feed."""
        params: dict[str, int | float] = {"wait": wait_s, **({} if after is None else {"after": after})}
        with self._answers("what changed"):
            answer = self._http.get("/annot/changes", params=params)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            payload = json_of(answer)
        if not isinstance(payload.get("last"), int) or payload["last"] < 0:
            raise ArgillaError(f"The change feed of {self.url} makes no sense; `annot sync --full` reads without it.")
        changes = tuple(
            Change(change["record_id"], change["dataset_id"], change["external_id"]) for change in payload["changes"]
        )
        return Changes(
            payload["feed"], payload["last"], changes, payload["more"], payload["reset"] and after is not None
        )

    # -- the wire -----------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A call of Argilla's REST that the protocol has no word for: `annot move` copies what sync never reads.

        Args:
            method: Of HTTP.
            path: Below /api/v1.
            what: Is asked for, as it stands in a sentence.
            params: Behind the question mark.
            body: JSON.
        """
        with self._answers(what):
            return json_of(self._http.request(method, path, params=params, json=body))

    def _get(self, path: str, what: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        with self._answers(what):
            return json_of(self._http.get(path, params=params))

    def _send(self, method: str, path: str, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._answers(what):
            return json_of(self._http.request(method, path, json=body))

    def _answers(self, what: str) -> contextlib.AbstractContextManager[None]:
        return translated(self.url, what, self._named)


def _account(item: Mapping[str, Any]) -> Account:
    return Account(item["id"], item["username"], item["first_name"], item["role"])


def _dataset(item: Mapping[str, Any], workspaces: Mapping[str, str]) -> Dataset:
    return Dataset(
        id=item["id"],
        name=item["name"],
        workspace=workspaces.get(item["workspace_id"], ""),
        ready=item["status"] == "ready",
        overlap=item["distribution"]["min_submitted"],
        guidelines=item["guidelines"] or "",
        rules=item.get("metadata") or {},
    )


def _settings(form: Form, client: Any) -> Any:
    """A form as the SDK's Settings."""
    import argilla as rg

    def made(question: Question) -> Any:
        shared: dict[str, Any] = {
            "name": question.name,
            "title": question.title,
            "description": question.description or None,
            "required": question.required,
            "client": client,
        }
        options = dict(question.options)
        shown = len(options) if len(options) >= FEWEST_SHOWN else None  # all of them, without a click
        match question.kind:
            case "ranking":
                return rg.RankingQuestion(values=options, **shared)
            case "multi_label_selection":
                return rg.MultiLabelQuestion(labels=options, visible_labels=shown, **shared)
            case "label_selection":
                return rg.LabelQuestion(labels=options, **shared)
            case "rating":
                return rg.RatingQuestion(values=list(question.numbers), **shared)
            case "span":
                return rg.SpanQuestion(field=question.field, labels=options, visible_labels=shown, **shared)
            case "text":
                return rg.TextQuestion(use_markdown=False, **shared)

    def field(shown: Field) -> Any:
        shared: dict[str, Any] = {
            "name": shown.name,
            "title": shown.title,
            "required": shown.required,
        }
        match shown.kind:
            case "image":
                return rg.ImageField(**shared, _client=client)
            case "chat":
                return rg.ChatField(use_markdown=False, **shared, _client=client)
            case "text":
                # Never Markdown: it would rewrite what a model wrote, and load the pictures it names.
                return rg.TextField(use_markdown=False, **shared, client=client)

    kinds = {"terms": rg.TermsMetadataProperty, "integer": rg.IntegerMetadataProperty}
    return rg.Settings(
        guidelines=form.guidelines,
        fields=[field(shown) for shown in form.fields],
        questions=[made(question) for question in form.questions],
        metadata=[
            kinds[p.kind](name=p.name, title=p.title, visible_for_annotators=p.visible, client=client)
            for p in form.metadata
        ],
        vectors=[
            rg.VectorField(name=v.name, title=v.title, dimensions=v.dimensions, _client=client)
            for v in (form.vector,)
            if v is not None
        ],
        allow_extra_metadata=False,
        distribution=rg.TaskDistribution(min_submitted=form.overlap),
    )
