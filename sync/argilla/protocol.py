"""Protocol of Argilla as annot uses it, and the nouns that its answers are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from annotation.tasks.form import Form, Property, Shape, Vector

EMBEDDED = "embedded"
"""Name of the embedded server in the ledger: its port may change, it stays the same server."""


@dataclass(frozen=True, slots=True)
class Named:
    """Where a person wrote the address and the key of a server: what a sentence tells them to look at."""

    address: str = "argilla.url in annot.toml"
    key: str = "ARGILLA_API_KEY"


WRITTEN = Named()
"""Where they stand unless somebody said otherwise."""


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
        guidelines: Markdown.
        rules: What its metadata says; see `annotation.tasks.form.Form.rules`.
    """

    id: str
    name: str
    workspace: str
    ready: bool
    overlap: int
    guidelines: str = ""
    rules: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a dataset as REST tells them, and how many it holds in all."""

    records: tuple[dict[str, Any], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Change:
    """A record that was answered, changed or deleted; `item_id`: its external id, None without one, or when gone."""

    record_id: str
    dataset_id: str
    item_id: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a change feed tells.

    Attributes:
        feed: Which feed: after a restore, for example, it is another one, and everything is to be read.
        last: Ask with this next time.
        changes: Each record once.
        more: There is more to tell at once.
        reset: What came since is unknown, so that everything is to be read.
    """

    feed: str
    last: int
    changes: tuple[Change, ...] = ()
    more: bool = False
    reset: bool = False


class ArgillaApi(Protocol):
    """Everything that sync asks of Argilla. Every method raises ArgillaError when Argilla refuses or is not there."""

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

    def properties(self, dataset_id: str) -> set[str]:
        """Names of the metadata that a dataset's records may carry."""

    def add_property(self, dataset_id: str, added: Property) -> None:
        """Let the records of a dataset carry more metadata."""

    def add_vector(self, dataset_id: str, vector: Vector) -> None:
        """Let the records of a dataset carry a vector."""

    def set_overlap(self, dataset_id: str, overlap: int) -> None:
        """Say how many people answer each record."""

    def set_guidelines(self, dataset_id: str, guidelines: str) -> None:
        """Say what people are told."""

    def set_rules(self, dataset_id: str, rules: Mapping[str, Any]) -> None:
        """Say what is guarded, or where people consent; what else the metadata says stays."""

    def guards(self) -> bool:
        """Whether the server shows what is guarded to those alone who consented: an embedded one does."""

    def assigns(self) -> bool:
        """Whether the server sends people what the rule of a dataset gives each of them: an embedded one does."""

    def add_records(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Add records, all or none; one that is there already is refused, never overwritten.

        Returns:
            External id -> record id.
        """

    def set_texts(self, record_id: str, fields: Mapping[str, Any]) -> None:
        """Have a record show these texts; its answers stay."""

    def remove_records(self, dataset_id: str, record_ids: Sequence[str]) -> None:
        """Delete records, 100 at most, with what was answered to them."""

    def records(self, dataset_id: str, offset: int, limit: int, *, responses: bool) -> Page:
        """Records by the time they were added. Records that were added in one instant have no order."""

    def records_of(self, dataset_id: str, label: str, items: Sequence[str]) -> list[dict[str, Any]]:
        """The records of these items with all their responses, 250 at most; those that are gone are left out.

        Args:
            dataset_id: Where they are.
            label: Name of the metadata that holds an item's id.
            items: Their ids.
        """

    def changes(self, after: int | None, *, wait_s: float = 0.0) -> Changes | None:
        """What the server's change feed tells; None where it keeps none.

        Args:
            after: Tell what came after this; None tells nothing, and where the feed ends now.
            wait_s: How long to wait for something to tell.
        """
