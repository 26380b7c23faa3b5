"""The people of a move: who is who on both servers, their accounts, and the workspaces that they are in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.errors import ArgillaError
from annotation.passwords import make_password
from annotation.project import Project
from sync.argilla.client import ArgillaClient
from sync.argilla.protocol import EMBEDDED, Dataset


@dataclass
class Accounts:
    """Who is who on both servers; makes the accounts that are missing.

    Attributes:
        project: Whose secrets get the passwords of new accounts.
        target: The new server.
        of_source: Accounts of the old one by id.
        of_target: Accounts of the new one by user name.
        adopt: An account of the same user name there is the same person.
        made: User names that got an account there.
        found: User names whose accounts were there already.
        known: Ids there by ids here, as far as asked for.
    """

    project: Project
    target: ArgillaClient
    of_source: dict[str, dict[str, Any]]
    of_target: dict[str, dict[str, Any]]
    adopt: bool
    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)

    def check(self, user_id: str) -> dict[str, Any] | None:
        """The account on the target that is this person's, None where there is none yet.

        Raises:
            ArgillaError: Somebody else there has the same user name.
        """
        person = self.of_source[user_id]
        there = self.of_target.get(person["username"])
        # Accounts are made with the id that they have here: what a cut-off move made is told from a stranger's.
        if there is not None and there["id"] != user_id and not self.adopt:
            raise ArgillaError(
                f'The server {self.target.url} has a user "{person["username"]}" already, whom this project did not '
                "make; say with --adopt that it is the same person (their password stays)."
            )
        return there

    def account_of(self, user_id: str) -> str:
        """The person's id on the target; their account is made when it is missing."""
        if user_id in self.known:
            return self.known[user_id]
        if user_id not in self.of_source:
            raise ArgillaError("Somebody joined the old server while it was moved; run the same command again.")
        person, there = self.of_source[user_id], self.check(user_id)
        name = person["username"]
        if there is None:
            passwords = self.project.secrets().get("passwords", {})
            if name not in passwords:
                # In the project before the account is made: cut off in between, the person can still log in.
                self.project.keep_secrets({"passwords": {name: make_password()}})
                passwords = self.project.secrets()["passwords"]
            payload = {
                "id": user_id,
                "username": name,
                "first_name": person["first_name"],
                "last_name": person["last_name"],
                # Nobody becomes an owner of somebody else's server by a move.
                "role": "admin" if person["role"] == "owner" else person["role"],
                "password": passwords[name],
            }
            there = self.target.ask("POST", "/users", f'the new user "{name}"', body=payload)
            self.of_target[name] = there
            self.made.append(name)
        elif there["id"] != user_id:
            self.found.append(name)
        self.known[user_id] = there["id"]
        return str(there["id"])


def is_ours(project: Project, source: ArgillaClient, user: Mapping[str, Any]) -> bool:
    """Whether an account is moved even when its person has answered nothing."""
    if user["role"] == "owner":
        return False
    return source.server == EMBEDDED or any(person.username == user["username"] for person in project.ledger.people())


def move_people(
    project: Project, source: ArgillaClient, target: ArgillaClient, accounts: Accounts, datasets: list[Dataset]
) -> set[str]:
    """Accounts, workspaces and memberships; returns the workspaces that were made."""
    for user in accounts.of_source.values():
        if is_ours(project, source, user):
            accounts.account_of(user["id"])
    here, there = source.workspaces(), target.workspaces()
    made = set()
    for name in sorted({dataset.workspace for dataset in datasets}):
        if name not in there:
            there[name] = target.add_workspace(name)
            made.add(name)
        members = target.members(there[name])
        for user_id in sorted(_members(source, here[name], accounts)):
            if accounts.account_of(user_id) not in members:
                target.add_member(there[name], accounts.account_of(user_id))
    return made


def _members(source: ArgillaClient, workspace_id: str, accounts: Accounts) -> set[str]:
    """Members of a workspace, without owners: they see every workspace as it is."""
    return {
        user_id
        for user_id in source.members(workspace_id)
        if user_id in accounts.of_source and accounts.of_source[user_id]["role"] != "owner"
    }


def compare_people(source: ArgillaClient, target: ArgillaClient, accounts: Accounts, datasets: list[Dataset]) -> None:
    """Raise ArgillaError when someone who ranks on the old server could not on the new one."""
    here, there = source.workspaces(), target.workspaces()
    for name in {dataset.workspace for dataset in datasets}:
        members = target.members(there[name])
        for user_id in _members(source, here[name], accounts):
            if accounts.account_of(user_id) not in members:
                raise ArgillaError(
                    f"{accounts.of_source[user_id]['username']} is not in the workspace {name} of {target.url}; run "
                    "the same command again."
                )
