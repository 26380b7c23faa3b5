"""A project to another Argilla: accounts, workspaces, datasets and every answer, compared at the end.

The server that it comes from is only read. Killed anywhere and run again, the move goes on: everything is known by
ids and names that both servers share, and annot.toml names the new server last, when all of it was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from annotation.backups.rolling import rolling
from annotation.config import api_address
from annotation.errors import ArgillaError, SettingsError
from annotation.files import write_whole
from annotation.hosting import embedded
from annotation.hosting.address import free_port
from annotation.project import MOVING, Project
from annotation.screen import Progress, silent
from annotation.settings_file import set_argilla_url
from annotation.tasks.form import CONSENT, GUARD
from sync.argilla.client import ArgillaClient, connect
from sync.argilla.protocol import EMBEDDED, Dataset, Named
from sync.assignment import keep_rules
from sync.moving.copying import Pass, copy_records, count_answers, ensure_dataset, refuse_other
from sync.moving.people import Accounts, compare_people, is_ours, move_people
from sync.moving.unfinished import begun
from sync.pull import pull
from sync.team_datasets import refuse_unguarded

MOST_PASSES = 10
"""Times that a dataset is compared while people go on answering in it."""


@dataclass(frozen=True, slots=True)
class Move:
    """What a move did, or would do.

    Attributes:
        source: Name of the old server.
        target: Address of the new one.
        datasets: "workspace/name" -> records and responses of each.
        accounts: User names that get a new account there.
        adopted: User names whose accounts were there already.
        workspaces: Names of workspaces that are made there.
        done: Everything was copied and compared, and annot.toml names the new server.
        notes: What else the lead should know, a sentence each.
    """

    source: str
    target: str
    datasets: Mapping[str, tuple[int, int]]
    accounts: tuple[str, ...]
    adopted: tuple[str, ...]
    workspaces: tuple[str, ...]
    done: bool
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "source": self.source,
            "target": self.target,
            "datasets": {name: {"records": r, "responses": a} for name, (r, a) in self.datasets.items()},
            "accounts": list(self.accounts),
            "adopted": list(self.adopted),
            "workspaces": list(self.workspaces),
            "done": self.done,
            "notes": list(self.notes),
        }


def named_address(url: str) -> str:
    """The address that --to names, without a slash at its end.

    Raises:
        SettingsError: It is none, or holds a password; the sentence does not repeat it.
    """
    try:
        return api_address(url).rstrip("/")
    except ValueError as problem:
        raise SettingsError(f"--to: {problem}.") from None


def move(
    project: Project,
    url: str,
    key: str,
    *,
    key_named: str = "ARGILLA_API_KEY",
    adopt: bool = False,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    progress: Progress = silent,
) -> Move:
    """Copy what a project has on its Argilla to another one, compare, and point the project there.

    The old server keeps everything. An embedded one is taken off its port for the last comparison, so that no answer
    falls between, and is stopped at the end; on any other server people must have stopped.

    Args:
        project: Whose datasets, people and answers; its ledger learns what became what.
        url: The new server.
        key: An owner's API key there.
        key_named: Where a person wrote the key.
        adopt: Take accounts of the new server as the people of the same user name.
        dry_run: Change nothing, here or there.
        say: Told what begins, line by line.
        progress: Told how many records of a dataset are compared.

    Raises:
        ArgillaError: One of the servers refuses or is not there, or a name is somebody else's there.
        SettingsError: The address is none, or it is the same server.
    """
    url = named_address(url)
    with ExitStack() as stack:
        if not dry_run:
            for step in ("team", "push", "sync"):
                stack.enter_context(project.lock(step))
        target = ArgillaClient(url, key, named=Named("--to", key_named))
        stack.callback(target.close)
        if project.settings.argilla.url.rstrip("/") == target.url != begun(project):
            raise SettingsError(f"{project.folder / 'annot.toml'}: the project is at {target.url} already.")
        if target.server in project.ledger.moves():
            # Everything was compared; only annot.toml was not written, or was changed back.
            if not dry_run:
                _settle_there(project, target, key)
                embedded.stop(project.argilla_home)
                (project.folder / MOVING).unlink(missing_ok=True)
            note = "Everything had been copied before; what people answered on the old server since was not."
            old = project.ledger.moves()[target.server]
            return Move(old, target.url, {}, (), (), (), not dry_run, (note,))
        source = _source(project, say if not dry_run else None)
        stack.callback(source.close)
        plan, accounts, datasets = _plan(project, source, target, adopt)
        if dry_run:
            return plan
        write_whole(project.folder / MOVING, target.url.encode())
        done = _carry_out(project, source, target, key, accounts, datasets, say, progress)
        (project.folder / MOVING).unlink()
        return done


def _source(project: Project, say: Callable[[str], None] | None) -> ArgillaClient:
    """The project's Argilla, as a move that was cut off may have left it.

    The embedded one may be down; it is started where somebody listens. Of another one the key may have been replaced.
    """
    if not project.settings.argilla.url and say and (project.argilla_home / "secrets.json").exists():
        embedded.start(project.argilla_home, port=project.settings.argilla.port, backup=rolling(project), say=say)
    try:
        return connect(project)
    except ArgillaError:
        before = project.secrets().get("argilla_api_key_before")
        if not (project.settings.argilla.url and before):
            raise
        return ArgillaClient(project.settings.argilla.url, str(before))


def _plan(
    project: Project, source: ArgillaClient, target: ArgillaClient, adopt: bool
) -> tuple[Move, Accounts, list[Dataset]]:
    """What is to be moved; refuses before anything is written what could not be carried out."""
    ours = {row["dataset"] for row in project.ledger.rows("select dataset from pushes where server = ?", source.server)}
    everything = source.datasets()
    # The embedded server is the project's alone; another one may hold the datasets of others too.
    datasets = [d for d in everything if d.ready and (d.id in ours or source.server == EMBEDDED)]
    # Consents first: what people answered since, a stop among it, has to be the newer on the new server too.
    datasets.sort(key=lambda d: CONSENT not in d.rules)
    if any(GUARD in d.rules for d in datasets):
        refuse_unguarded(target)
    there = target.datasets()
    if {d.id for d in everything} & {d.id for d in there}:
        raise SettingsError(f"{target.url} is the server that the project is on already; name another one.")
    notes = [
        f'"{d.name}" in the workspace {d.workspace} was never published and is left behind.'
        for d in everything
        if source.server == EMBEDDED and not d.ready
    ]
    users = source.ask("GET", "/users", "the list of users")["items"]
    accounts = Accounts(
        project,
        target,
        {user["id"]: user for user in users},
        {user["username"]: user for user in target.ask("GET", "/users", "the list of users")["items"]},
        adopt,
    )
    counts: dict[str, tuple[int, int]] = {}
    people = {user["id"] for user in users if is_ours(project, source, user)}
    for dataset in datasets:
        records, responses, authors = count_answers(source, dataset.id)
        counts[f"{dataset.workspace}/{dataset.name}"] = (records, responses)
        people |= authors
        for standing in there:
            if (standing.name, standing.workspace) == (dataset.name, dataset.workspace):
                refuse_other(target, standing, dataset)
    present = {user_id: accounts.check(user_id) for user_id in sorted(people & set(accounts.of_source))}
    named = {user_id: accounts.of_source[user_id]["username"] for user_id in present}
    workspaces = {d.workspace for d in datasets} - set(target.workspaces())
    plan = Move(
        source.server if source.server == EMBEDDED else source.url,
        target.url,
        counts,
        tuple(sorted(named[user_id] for user_id, account in present.items() if account is None)),
        tuple(sorted(named[user_id] for user_id, account in present.items() if account and account["id"] != user_id)),
        tuple(sorted(workspaces)),
        False,
        tuple(notes),
    )
    return plan, accounts, datasets


def _carry_out(
    project: Project,
    source: ArgillaClient,
    target: ArgillaClient,
    key: str,
    accounts: Accounts,
    datasets: list[Dataset],
    say: Callable[[str], None],
    progress: Progress,
) -> Move:
    workspaces = move_people(project, source, target, accounts, datasets)
    copies = {}
    for dataset in datasets:
        say(f'Copying "{dataset.name}" of {dataset.workspace} ...')
        standing = next(
            (d for d in target.datasets() if (d.name, d.workspace) == (dataset.name, dataset.workspace)), None
        )
        room = target.workspaces()[dataset.workspace]
        copies[dataset.id] = ensure_dataset(source, dataset, target, room, standing)
        # Once: people may be at work, and what they do meanwhile the comparison below brings along.
        copy_records(source, dataset.id, target, copies[dataset.id], accounts.account_of, progress)
    how = "with the old server closed to others" if source.server == EMBEDDED else "and nobody should answer now"
    say(f"Comparing everything, {how} ...")
    with _quiet(project, source) as still:
        passes = {d.id: _copy_until_settled(still, d, target, copies[d.id], accounts, progress) for d in datasets}
        move_people(project, still, target, accounts, datasets)
        compare_people(still, target, accounts, datasets)
        # The last word of the old server: what was taken back there since the last sync.
        pull(still, project.ledger, whole=True, progress=progress)
        # Whose account was there already logs in with what they have there.
        project.keep_secrets({"passwords": dict.fromkeys(accounts.found)})
        _remember(project, source.server, target, copies, passes)
        _settle_there(project, target, key)
    notes = []
    if project.settings.argilla.url:
        notes.append(f"Nothing was changed on {source.url}; what people answer there from now on stays there.")
    return Move(
        source.server if source.server == EMBEDDED else source.url,
        target.url,
        {f"{d.workspace}/{d.name}": (passes[d.id].records, passes[d.id].responses) for d in datasets},
        tuple(sorted(accounts.made)),
        tuple(sorted(accounts.found)),
        tuple(sorted(workspaces)),
        True,
        tuple(notes),
    )


def _copy_until_settled(
    source: ArgillaClient,
    dataset: Dataset,
    target: ArgillaClient,
    copy_id: str,
    accounts: Accounts,
    progress: Progress,
) -> Pass:
    """Pass over a dataset until a pass finds nothing to do: everything is there, and agrees."""
    for _ in range(MOST_PASSES):
        done = copy_records(source, dataset.id, target, copy_id, accounts.account_of, progress)
        if done.settled:
            return done
    raise ArgillaError(
        f'"{dataset.name}" of {dataset.workspace} differed between the servers in all of {MOST_PASSES} comparisons; '
        "ask people to stop answering, then run the same command again."
    )


@contextmanager
def _quiet(project: Project, source: ArgillaClient) -> Iterator[ArgillaClient]:
    """The old server without people at it: an embedded one answers on another port until the move is done.

    It is stopped then; when the move fails it is back where it was, and people go on.
    """
    if source.server != EMBEDDED:
        yield source
        return
    home, port = project.argilla_home, project.settings.argilla.port
    host = embedded.state(home).host
    embedded.stop(home)
    try:
        embedded.start(home, port=free_port())
        still = connect(project)
        try:
            yield still
        finally:
            still.close()
    except BaseException:
        embedded.stop(home)
        embedded.start(home, port=port, host=host, backup=rolling(project))
        raise
    embedded.stop(home)


def _remember(
    project: Project, old: str, target: ArgillaClient, copies: Mapping[str, str], passes: Mapping[str, Pass]
) -> None:
    """Tell the ledger. Cut off in here, nothing counts twice: a copy replaces its original once it is pulled."""
    ledger = project.ledger
    items = {item.id for side in (False, True) for item in ledger.items(side=side)}
    for dataset_id, copy_id in copies.items():
        places = {item_id: place for item_id, place in passes[dataset_id].places.items() if item_id in items}
        pushed = ledger.pushed(old, dataset_id)
        # An item that somebody removed on the old server is not sent again to the new one.
        if pushed:
            ledger.add_pushes(target.server, copy_id, {**pushed, **places})
        ledger.add_moved(target.server, passes[dataset_id].moved)
    pull(target, ledger, whole=True)
    keep_rules(target, ledger, project.settings)  # which name people by their ids there
    ledger.add_move(target.server, old)


def _settle_there(project: Project, target: ArgillaClient, key: str) -> None:
    """The key, then annot.toml: from here on every command goes to the new server."""
    kept = project.secrets()
    fresh = {"argilla_api_key": key}
    if project.settings.argilla.url and kept.get("argilla_api_key") not in (None, key):
        fresh["argilla_api_key_before"] = kept["argilla_api_key"]
    project.keep_secrets(fresh)
    set_argilla_url(project.folder / "annot.toml", target.url)
