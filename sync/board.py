"""The one seam to Argilla: what annot needs of it as a protocol, and the real one over REST and the SDK.

Errors of httpx and argilla become BoardError here. REST is used where the SDK loses something (it drops the ranks
of a ranking) or would do too much (its upsert replaces the fields of records that stand); the SDK makes datasets.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from annotation.errors import BoardError
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.tasks.form import Form, Question, Shape, Vector

EMBEDDED = "embedded"
"""Name of the embedded server in the ledger: its port may change, it stays the same server."""

PAGE = 1000
"""Argilla refuses a longer page of records."""

MOST_PASSES = 10
"""Times that `walk` reads a dataset that changes under it."""

TIMEOUT_S = 120.0
"""A page of 1,000 records with their responses takes a small machine a few seconds; a busy one, many."""


@dataclass(frozen=True, slots=True)
class Named:
    """Where a person wrote the address and the key of a server: what a sentence tells them to look at."""

    address: str = "argilla.url in annot.toml"
    key: str = "ARGILLA_API_KEY"


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who can log in. `role` is "annotator", "admin" or "owner"."""

    id: str
    username: str
    first_name: str
    role: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as it stands.

    Attributes:
        id: Argilla's.
        name: As annotators see it.
        workspace: Name of the workspace that it is in.
        ready: Published; only then it can hold records.
        overlap: People who answer each record.
    """

    id: str
    name: str
    workspace: str
    ready: bool
    overlap: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a dataset as REST tells them, and how many it holds in all."""

    records: tuple[dict[str, Any], ...]
    total: int


class Board(Protocol):
    """Everything that sync asks of Argilla. Every method raises BoardError when Argilla refuses or is not there."""

    @property
    def server(self) -> str:
        """Name of the server in the ledger: "embedded", or its address."""

    @property
    def url(self) -> str:
        """Where people open the page."""

    def accounts(self) -> list[Account]:
        """Everyone who can log in."""

    def add_account(self, username: str, first_name: str, role: str, password: str) -> Account:
        """Let someone log in."""

    def change_account(self, account_id: str, first_name: str, role: str) -> None:
        """Correct a name or a role."""

    def workspaces(self) -> dict[str, str]:
        """Name -> id of every workspace."""

    def add_workspace(self, name: str) -> str:
        """Make a workspace; returns its id."""

    def members(self, workspace_id: str) -> set[str]:
        """Ids of the accounts in a workspace."""

    def add_member(self, workspace_id: str, account_id: str) -> None:
        """Put someone into a workspace."""

    def remove_member(self, workspace_id: str, account_id: str) -> None:
        """Take someone out of a workspace; what they answered stays."""

    def datasets(self) -> list[Dataset]:
        """Every dataset of every workspace."""

    def shape(self, dataset_id: str) -> Shape:
        """Fields and questions of a dataset."""

    def vectors(self, dataset_id: str) -> dict[str, int]:
        """Name -> dimensions of the vectors that a dataset's records may carry."""

    def add_dataset(self, name: str, workspace_id: str, form: Form) -> Dataset:
        """Make and publish a dataset."""

    def remove_dataset(self, dataset_id: str) -> None:
        """Delete a dataset. Only for one that was never published: it holds no answer."""

    def add_vector(self, dataset_id: str, vector: Vector) -> None:
        """Let the records of a dataset carry a vector."""

    def set_overlap(self, dataset_id: str, overlap: int) -> None:
        """Say how many people answer each record."""

    def add_records(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Add records, all or none; one that is there already is refused, never overwritten.

        Returns:
            External id -> record id.
        """

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """Records by the time they were added. Records that were added in one instant have no order."""

    def records_of(self, dataset_id: str, slates: Sequence[str]) -> list[dict[str, Any]]:
        """The records of these slates with all their responses, 250 at most; those that are gone are left out."""

    def add_webhook(self, url: str, events: tuple[str, ...], description: str) -> tuple[str, str]:
        """Ask to be called; returns the webhook's id and its signing secret."""

    def remove_webhooks(self, description: str) -> None:
        """Forget every webhook of this description."""


class Paged(Protocol):
    """What `walk` needs of a board."""

    @property
    def url(self) -> str:
        """Where people open the page."""

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """See Board."""


def walk(
    board: Paged, dataset_id: str, *, responses: bool = False, progress: Progress = silent
) -> Iterator[dict[str, Any]]:
    """Every record of a dataset, each once; see `walk_pages`."""
    for page in walk_pages(board, dataset_id, responses=responses, progress=progress):
        yield from page


def walk_pages(
    board: Paged, dataset_id: str, *, responses: bool = False, progress: Progress = silent
) -> Iterator[list[dict[str, Any]]]:
    """Every record of a dataset, each once, as they come: a page is asked for when the one before is dealt with.

    Argilla pages by offset, ordered by the time a record was added and nothing else: where two were added in one
    instant, or one is deleted between two pages, a page can repeat a record and miss another. So the pages are read
    again until one pass has shown as many records as there are, and none went away during it.

    Raises:
        BoardError: The dataset kept changing, or Argilla is not there.
    """
    seen: set[str] = set()
    for _ in range(MOST_PASSES):
        passed: set[str] = set()
        offset, most, shrank = 0, 0, False
        while True:
            page = board.records(dataset_id, offset, PAGE, responses=responses)
            shrank, most = shrank or page.total < most, max(most, page.total)
            passed |= {record["id"] for record in page.records}
            yield [record for record in page.records if record["id"] not in seen]
            seen |= passed
            offset += len(page.records)
            progress(min(offset, page.total), page.total)
            if not page.records or offset >= page.total:
                break
        if not shrank and len(passed) >= page.total:
            return
    raise BoardError(
        f"The records of a dataset on {board.url} kept changing while they were read; run the same command again when "
        "nobody deletes records."
    )


def connect(project: Project) -> ArgillaBoard:
    """Reach the project's Argilla: the server in `argilla.url` with ARGILLA_API_KEY, else the embedded one.

    Raises:
        BoardError: There is no key, the key is refused, or nothing answers.
    """
    url = project.settings.argilla.url
    if url:
        key = project.secret("ARGILLA_API_KEY")
        if not key:
            raise BoardError(
                f"argilla.url is {url}, but there is no key for it; copy an owner's API key from its settings page to "
                f"the environment as ARGILLA_API_KEY, or as argilla_api_key into {project.folder / 'secrets.toml'}."
            )
        return ArgillaBoard(url, key)
    from annotation.embedded import owner, state

    found = state(project.argilla_home)
    if not found.running:
        raise BoardError(found.detail)
    return ArgillaBoard(found.url, owner(project.argilla_home).api_key, server=EMBEDDED)


class ArgillaBoard:
    """A real Argilla 2.8 server, seen by an owner."""

    def __init__(self, url: str, key: str, *, server: str = "", named: Named = Named()) -> None:
        """Connect, and check that the key is an owner's.

        Args:
            url: Of the server, with or without a slash at the end.
            key: An owner's API key.
            server: Name in the ledger; empty takes the address.
            named: Where the address and the key were written.

        Raises:
            BoardError: Nothing answers there, or the key is not an owner's.
        """
        self.url = url.rstrip("/")
        self.server = server or self.url
        self._named = named
        key = key.strip()
        if not (key.isascii() and key.isprintable() and key):
            raise BoardError(f"{named.key} holds characters that no key has; copy it again from the settings page.")
        self._key = key
        with self._answers("to connect"):
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1",
                headers={"X-Argilla-Api-Key": key},
                timeout=httpx.Timeout(TIMEOUT_S, connect=10.0),
                transport=httpx.HTTPTransport(retries=1),
            )
        role = self._get("/me", "to know who is there")["role"]
        if role != "owner":
            raise BoardError(
                f"The key for {self.url} belongs to an {role}; annot makes accounts and workspaces and needs the key "
                f"of an owner in {named.key}."
            )

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    # -- people -------------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """See Board."""
        return [_account(item) for item in self._get("/users", "the list of users")["items"]]

    def add_account(self, username: str, first_name: str, role: str, password: str) -> Account:
        """See Board."""
        told = {"username": username, "first_name": first_name, "role": role, "password": password}
        return _account(self._send("POST", "/users", f'the new user "{username}"', told))

    def change_account(self, account_id: str, first_name: str, role: str) -> None:
        """See Board."""
        told = {"first_name": first_name, "role": role}
        self._send("PATCH", f"/users/{account_id}", "the change of a user", told)

    def workspaces(self) -> dict[str, str]:
        """See Board."""
        return {item["name"]: item["id"] for item in self._get("/me/workspaces", "the list of workspaces")["items"]}

    def add_workspace(self, name: str) -> str:
        """See Board."""
        return str(self._send("POST", "/workspaces", f'the new workspace "{name}"', {"name": name})["id"])

    def members(self, workspace_id: str) -> set[str]:
        """See Board."""
        told = self._get(f"/workspaces/{workspace_id}/users", "the members of a workspace")
        return {item["id"] for item in told["items"]}

    def add_member(self, workspace_id: str, account_id: str) -> None:
        """See Board."""
        self._send("POST", f"/workspaces/{workspace_id}/users", "a new member", {"user_id": account_id})

    def remove_member(self, workspace_id: str, account_id: str) -> None:
        """See Board."""
        self._send("DELETE", f"/workspaces/{workspace_id}/users/{account_id}", "to take a member out")

    # -- datasets -----------------------------------------------------------------------------------------

    def datasets(self) -> list[Dataset]:
        """See Board."""
        names = {workspace_id: name for name, workspace_id in self.workspaces().items()}
        return [_dataset(item, names) for item in self._get("/me/datasets", "the list of datasets")["items"]]

    def shape(self, dataset_id: str) -> Shape:
        """See Board."""
        fields = self._get(f"/datasets/{dataset_id}/fields", "the fields of a dataset")["items"]
        questions = self._get(f"/datasets/{dataset_id}/questions", "the questions of a dataset")["items"]
        return Shape(
            frozenset(item["name"] for item in fields),
            frozenset(
                (
                    item["name"],
                    item["settings"]["type"],
                    tuple(option["value"] for option in item["settings"].get("options", ())),
                )
                for item in questions
            ),
        )

    def vectors(self, dataset_id: str) -> dict[str, int]:
        """See Board."""
        told = self._get(f"/datasets/{dataset_id}/vectors-settings", "the vectors of a dataset")
        return {item["name"]: item["dimensions"] for item in told["items"]}

    def add_dataset(self, name: str, workspace_id: str, form: Form) -> Dataset:
        """See Board."""
        import argilla as rg
        from argilla._exceptions import ArgillaError

        asked = f'the new dataset "{name}"'
        try:
            with self._answers(asked):
                client = rg.Argilla(api_url=self.url, api_key=self._key, timeout=int(TIMEOUT_S))
                with contextlib.closing(client.http_client):
                    workspace = client.workspaces(id=workspace_id)
                    made = rg.Dataset(name, workspace, _settings(form, client), client).create()
        except ArgillaError as error:
            # The SDK wraps what went wrong while the form was made, and takes the dataset away again.
            cause = error.__cause__ or error
            raise BoardError(f"Argilla at {self.url} refused {asked}: {_first_line(str(cause))}.") from error
        return _dataset(self._get(f"/datasets/{made.id}", asked), {str(workspace_id): str(workspace.name)})

    def remove_dataset(self, dataset_id: str) -> None:
        """See Board."""
        self._send("DELETE", f"/datasets/{dataset_id}", "to delete a dataset")

    def add_vector(self, dataset_id: str, vector: Vector) -> None:
        """See Board."""
        told = {"name": vector.name, "title": vector.title, "dimensions": vector.dimensions}
        self._send("POST", f"/datasets/{dataset_id}/vectors-settings", "the vectors of a dataset", told)

    def set_overlap(self, dataset_id: str, overlap: int) -> None:
        """See Board."""
        told = {"distribution": {"strategy": "overlap", "min_submitted": overlap}}
        self._send("PATCH", f"/datasets/{dataset_id}", "the overlap of a dataset", told)

    # -- records ------------------------------------------------------------------------------------------

    def add_records(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """See Board."""
        told = self._send(
            "POST", f"/datasets/{dataset_id}/records/bulk", "new records", {"items": [dict(r) for r in records]}
        )
        return {item["external_id"]: item["id"] for item in told["items"]}

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """See Board."""
        asked: dict[str, str | int] = {"offset": offset, "limit": limit}
        if responses:
            asked["include"] = "responses"
        told = self._get(f"/datasets/{dataset_id}/records", "the records of a dataset", asked)
        return Page(tuple(told["items"]), told["total"])

    def records_of(self, dataset_id: str, slates: Sequence[str]) -> list[dict[str, Any]]:
        """See Board. Not `GET /records/{id}`: version 2.8 fails there where a record has vectors."""
        scope = {"entity": "metadata", "metadata_property": "slate"}
        chosen = {"filters": {"and": [{"type": "terms", "scope": scope, "values": list(slates)}]}}
        with self._answers("the records that were answered"):
            told = _json(
                self._http.post(
                    f"/datasets/{dataset_id}/records/search",
                    params={"include": "responses", "limit": len(slates)},
                    json=chosen,
                )
            )
        return [item["record"] for item in told["items"]]

    # -- webhooks -----------------------------------------------------------------------------------------

    def add_webhook(self, url: str, events: tuple[str, ...], description: str) -> tuple[str, str]:
        """See Board."""
        told = {"url": url, "events": list(events), "description": description}
        made = self._send("POST", "/webhooks", "a webhook", told)
        return made["id"], made["secret"]

    def remove_webhooks(self, description: str) -> None:
        """See Board."""
        for item in self._get("/webhooks", "the list of webhooks")["items"]:
            if item["description"] == description:
                self._send("DELETE", f"/webhooks/{item['id']}", "to forget a webhook")

    # -- the wire -----------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        asked: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """A call of Argilla's REST that the protocol has no word for: `annot move` copies what sync never reads.

        Args:
            method: Of HTTP.
            path: Below /api/v1.
            asked: What is asked for, as it stands in a sentence.
            params: Behind the question mark.
            body: JSON.
        """
        with self._answers(asked):
            return _json(self._http.request(method, path, params=params, json=body))

    def _get(self, path: str, asked: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        with self._answers(asked):
            return _json(self._http.get(path, params=params))

    def _send(self, method: str, path: str, asked: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._answers(asked):
            return _json(self._http.request(method, path, json=body))

    def _answers(self, asked: str) -> contextlib.AbstractContextManager[None]:
        return _said_plainly(self.url, asked, self._named)


class Desk:
    """One annotator at Argilla, with their own log-in: what a simulated person needs, and a test."""

    def __init__(self, url: str, username: str, password: str) -> None:
        """Log in; BoardError when the password is wrong."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=TIMEOUT_S)
        with self._answers(f'the log-in of "{username}"'):
            token = _json(self._http.post("/token", data={"username": username, "password": password}))
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def close(self) -> None:
        """Leave."""
        self._http.close()

    def datasets(self) -> dict[str, str]:
        """Name -> id of the datasets that this person sees."""
        with self._answers("the list of datasets"):
            told = _json(self._http.get("/me/datasets"))
        return {item["name"]: item["id"] for item in told["items"]}

    def queue(self, dataset_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Records that wait for this person, in the order in which the page shows them."""
        waiting = [
            {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]},
            {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": ["pending"]},
        ]
        with self._answers("the queue"):
            told = _json(
                self._http.post(
                    f"/me/datasets/{dataset_id}/records/search",
                    params={"limit": limit, "offset": 0},
                    json={"query": {}, "filters": {"and": waiting}},
                )
            )
        return [item["record"] for item in told["items"]]

    def answer(self, record_id: str, values: Mapping[str, Any], status: str = "submitted") -> dict[str, Any]:
        """Answer a record, or change the answer; status is "submitted", "draft" or "discarded"."""
        item = {"record_id": record_id, "values": dict(values) or None, "status": status}
        with self._answers("an answer"):
            told = _json(self._http.post("/me/responses/bulk", json={"items": [item]}))["items"][0]
        if told.get("error"):
            raise BoardError(f"Argilla at {self.url} refused an answer: {_first_line(told['error']['detail'])}.")
        given: dict[str, Any] = told["item"]
        return given

    def withdraw(self, response_id: str) -> None:
        """Delete an answer of this person."""
        with self._answers("to delete an answer"):
            _json(self._http.delete(f"/responses/{response_id}"))

    def _answers(self, asked: str) -> contextlib.AbstractContextManager[None]:
        return _said_plainly(self.url, asked)


@contextlib.contextmanager
def _said_plainly(url: str, asked: str, named: Named = Named()) -> Iterator[None]:
    """Turn httpx's errors into one sentence. Bodies that we sent never appear in it: they may hold a password."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status, detail = error.response.status_code, _detail(error.response)
        if status == httpx.codes.UNAUTHORIZED:
            raise BoardError(
                f"Argilla at {url} does not know this key or password; check {named.key} or the log-in, and whether it "
                "is the Argilla that you mean (`annot status` names this project's own)."
            ) from None
        if status == httpx.codes.FORBIDDEN:
            raise BoardError(f"Argilla at {url} allows {asked} to owners only; use an owner's key.") from None
        if status >= 500:
            raise BoardError(
                f"Argilla at {url} failed at {asked} (status {status}); look at its log (`annot logs`), then run the "
                "same command again."
            ) from None
        raise BoardError(f"Argilla at {url} refused {asked} (status {status}): {detail}.") from None
    except httpx.TimeoutException:
        raise BoardError(
            f"Argilla at {url} did not answer {asked} in time; see whether it is overloaded, then run the same "
            "command again."
        ) from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise BoardError(
            f'"{url}" is no address; write for example "https://argilla.example.org" as {named.address}.'
        ) from None
    except httpx.TransportError as error:
        raise BoardError(
            f"Argilla at {url} cannot be reached ({_first_line(str(error))}); start it (with `annot up`, where it is "
            f"an embedded one), or check {named.address}."
        ) from None
    except json.JSONDecodeError:
        raise BoardError(f"What answers at {url} is no Argilla; check {named.address}.") from None


def _json(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    if not answer.content:
        return {}
    told: dict[str, Any] = answer.json()
    return told


def _detail(answer: httpx.Response) -> str:
    """Why Argilla refused: its own words without what we sent."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
    if isinstance(detail, dict):
        errors = detail.get("params", {}).get("errors", ())
        said = [f"{'.'.join(str(part) for part in e.get('loc', ()))} {e.get('msg', '')}" for e in errors]
        return _first_line("; ".join(said) or str(detail.get("code", "no reason given")))
    return _first_line(str(detail))


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "") or "no reason given"
    return (line if len(line) <= 300 else line[:299] + "…").rstrip(".")


def _account(item: Mapping[str, Any]) -> Account:
    return Account(item["id"], item["username"], item["first_name"], item["role"])


def _dataset(item: Mapping[str, Any], workspaces: Mapping[str, str]) -> Dataset:
    return Dataset(
        id=item["id"],
        name=item["name"],
        workspace=workspaces.get(item["workspace_id"], ""),
        ready=item["status"] == "ready",
        overlap=item["distribution"]["min_submitted"],
    )


def _settings(form: Form, client: Any) -> Any:
    """A form as the SDK's Settings."""
    import argilla as rg

    def question(asked: Question) -> Any:
        shared: dict[str, Any] = {
            "name": asked.name,
            "title": asked.title,
            "description": asked.description,
            "required": asked.required,
            "client": client,
        }
        options = dict(asked.options)
        match asked.kind:
            case "ranking":
                return rg.RankingQuestion(values=options, **shared)
            case "multi_label_selection":
                return rg.MultiLabelQuestion(labels=options, visible_labels=len(options), **shared)
            case "label_selection":
                return rg.LabelQuestion(labels=options, **shared)
            case "text":
                return rg.TextQuestion(use_markdown=False, **shared)
        raise ValueError(f"no such kind of question: {asked.kind}")

    kinds = {"terms": rg.TermsMetadataProperty, "integer": rg.IntegerMetadataProperty}
    return rg.Settings(
        guidelines=form.guidelines,
        fields=[
            # Never Markdown: it would rewrite what a model wrote, and load the pictures it names.
            rg.TextField(name=f.name, title=f.title, required=f.required, use_markdown=False, client=client)
            for f in form.fields
        ],
        questions=[question(asked) for asked in form.questions],
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
