"""`annot forget`: a person, a prompt or an association is taken out for good; what holds it still is named."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from annotation.backups.make import archives
from annotation.errors import ProjectError, SourceError
from annotation.files import write_whole
from annotation.images.store import files_of, is_needed
from annotation.ledger import Ledger
from annotation.ledger_file import BUSY_S, now
from annotation.lineage.backward import money
from annotation.lineage.erase import (
    SAYS_NOTHING,
    STILL_READING,
    empty_log,
    erase_association,
    erase_person,
    erase_prompt,
)
from annotation.lineage.files import files_holding
from annotation.lineage.forgetting import Forgetting
from annotation.lineage.forward import Way, way_of
from annotation.lineage.node import read_object
from annotation.lineage.snapshots import Wanted
from annotation.lineage.subject import Home, Subject, find_subject
from annotation.project import CACHE, HOLDS_FORGOTTEN, Project
from annotation.stereotypes.shared import heirs
from annotation.tasks.ranking.file_judgements import count_judgements

STEPS = ("team", "images", "prompts", "exams", "stereotypes", "draft", "select", "push", "sync", "trigger")
"""Steps of a project that wait while something is forgotten, and that it waits for."""


TYPED, SHORTEST_TYPED = 5, 20
"""Texts of a person that files are searched for, and the characters that make one theirs: a label is shorter."""


def find_forgettable(home: Home, what: str) -> Subject:
    """A person, by the very user name or the pseudonym, a prompt or an association; SourceError for anything else."""
    subject = find_subject(home, what, ("person", "prompt", "association"))
    if subject.id != subject.name and subject.id.casefold() == subject.name.casefold():
        raise SourceError(f'Nobody is called "{subject.name}", but "{subject.id}" is; write it so if you mean them.')
    return subject


def plan(home: Home, subject: Subject) -> Forgetting:
    """What forgetting it would mean; nothing is changed."""
    project, ledger = _project(home)
    if subject.kind == "prompt":
        return _plan_prompt(home, project, ledger, subject.id)
    if subject.kind == "association":
        return _plan_association(home, project, ledger, subject.id)
    return _plan_person(home, project, ledger, subject.id, subject.name)


def forget(home: Home, subject: Subject, reason: str = "") -> Forgetting:
    """Take somebody or something out for good. Killed anywhere and run again, it is whole.

    Other commands are waited for, and wait. The ledger comes first: from then on nothing counts and nothing new holds
    it. Then the files of a picture, the marks beside snapshots, the password, and what was counted with it.

    Args:
        home: The project.
        subject: From `find_forgettable`.
        reason: Why, for the team; it is kept, so no name belongs in it.

    Raises:
        ProjectError: They are on the team of a server still, or another command is at work with it.
    """
    project, ledger = _project(home)
    with ExitStack() as stack:
        for step in STEPS:
            stack.enter_context(project.lock(step))
        meant = plan(home, subject)
        if meant.active and (project.settings.argilla.url or (project.argilla_home / "server.json").exists()):
            raise ProjectError(
                "They are on the team still, and could log in to Argilla: run `annot team remove` with their user name "
                "first; afterwards it does not know them any more. Nothing was changed."
            )
        pseudonym = ""
        if subject.kind != "person":
            if not meant.already:
                (erase_prompt if subject.kind == "prompt" else erase_association)(ledger, subject.id, reason)
        else:
            pseudonym = home.pseudonym(subject.id)
            if not meant.already:
                erase_person(ledger, subject.id, pseudonym, reason)
        for path in meant.pictures:
            (project.folder / path).unlink(missing_ok=True)
        for snapshot in meant.snapshots:
            _mark(project.snapshot_folder(snapshot), "people" if pseudonym else "prompts", pseudonym or subject.id)
        _drop_passwords(project, ledger)
        _drop_holders(project, ledger)
        empty_log(ledger)  # then nobody reads what was before, and what is counted from now on is without it
        _drop_counts(project)
    return meant


def _plan_person(home: Home, project: Project, ledger: Ledger, username: str, given: str) -> Forgetting:
    pseudonym = home.known_pseudonym(username)
    already = username in ledger.forgotten("person")
    name = username if already else pseudonym
    row = ledger.rows(
        """select count(distinct response_id) as answers, count(distinct item_id) as items from responses
           where annotator = ? and status = 'submitted'""",
        username,
    )[0]
    written = ledger.rows("select count(*) as n from prompts where author = ?", username)[0]["n"]
    people = {person.username: person for person in ledger.people()}
    known = {
        (row["item_id"], row["country"])
        for row in ledger.rows("select distinct item_id, country from responses where annotator = ?", username)
    }
    way = way_of(home, Wanted(annotator=name), known) if name else Way((), (), ())
    active = username in people and people[username].active
    held = count_judgements(ledger, annotator=pseudonym) if pseudonym else 0
    alone = [] if already else [named for named, heir in heirs(ledger, username).items() if not heir]
    counts = (row["answers"], row["items"], written, 0, 0.0, held, len(alone))
    spoken = people[username].name if username in people else ""
    texts = [] if already else [*_typed(ledger, username), *([spoken] if " " in spoken else [])]
    return _planned(project, "person", name, already, active, counts, way, {name, username, given, *alone}, texts)


def _typed(ledger: Ledger, username: str) -> list[str]:
    """The longest texts that somebody typed: a run that learnt from their rewrites has them without a name."""
    rows = ledger.rows(
        """select distinct json_extract(v.value, '$.value') as text from responses r, json_each(r.raw, '$.values') v
           where r.annotator = ? and json_type(v.value, '$.value') = 'text' order by length(text) desc limit ?""",
        username,
        TYPED,
    )
    return [row["text"] for row in rows if len(row["text"]) >= SHORTEST_TYPED]


def _plan_prompt(home: Home, project: Project, ledger: Ledger, prompt_id: str) -> Forgetting:
    already = prompt_id in ledger.forgotten("prompt")
    (prompt,) = ledger.prompts([prompt_id])
    items = ledger.items_with(prompt_id)
    answers, answered = _said(ledger, items)
    known = {
        (row["item_id"], row["country"])
        for row in ledger.rows(
            "select distinct item_id, country from responses where item_id in (select value from json_each(?))",
            json.dumps(items),
        )
    }
    candidates = [row["id"] for row in ledger.rows("select id from candidates where prompt_id = ?", prompt_id)]
    _, usd = money(ledger, [prompt_id])
    counts = (answers, answered, 0, len(candidates), usd, count_judgements(ledger, prompt_id=prompt_id), 0)
    way = way_of(home, Wanted(slates=items), known)
    ids, texts, pictures = {prompt_id, *items, *candidates}, [prompt.text], list[Path]()
    if prompt.image:  # its text is that of all others about pictures
        texts = []
        if not is_needed(ledger, prompt):
            ids.add(prompt.image)
            pictures = files_of(project.folder, prompt.image)
    return _planned(project, "prompt", prompt_id, already, False, counts, way, ids, texts, pictures)


def _plan_association(home: Home, project: Project, ledger: Ledger, association_id: str) -> Forgetting:
    already = association_id in ledger.forgotten("association")
    items = ledger.items_about(association_id)
    counts = (*_said(ledger, items), 0, 0, 0.0, 0, 0)
    told = {pair for item in ledger.items(ids=items) for pair in item.content.items() if isinstance(pair[1], str)}
    long = {text for name, text in told if name not in SAYS_NOTHING and len(text) >= SHORTEST_TYPED}
    way = way_of(home, Wanted(slates=items), set())
    return _planned(project, "association", association_id, already, False, counts, way, {association_id, *items}, long)


def _said(ledger: Ledger, items: Collection[str]) -> tuple[int, int]:
    """Submitted answers to some items, and items that have any."""
    (row,) = ledger.rows(
        """select count(distinct response_id) as answers, count(distinct item_id) as items from responses
           where status = 'submitted' and item_id in (select value from json_each(?))""",
        json.dumps(list(items)),
    )
    return row["answers"], row["items"]


def _planned(
    project: Project,
    kind: str,
    id_: str,
    already: bool,
    active: bool,
    counts: tuple[int, int, int, int, float, int, int],
    way: Way,
    names: Collection[str],
    texts: Collection[str],
    pictures: Collection[Path] = (),
) -> Forgetting:
    return Forgetting(
        kind,
        id_,
        already,
        active,
        *counts,
        tuple(snapshot.id for snapshot, _ in way.snapshots),
        {run.name: used.sentence() for run, used in way.runs},
        tuple(
            f"{run.name}: {row.get('repo') or row.get('folder', '')}" for run, _ in way.runs for row in run.releases()
        ),
        tuple(
            str(path.relative_to(project.folder))
            for path in files_holding(project.folder, names, texts)
            if path.name != HOLDS_FORGOTTEN and path not in pictures
        ),
        tuple(backup.path for backup in archives(project)),
        tuple(way.damaged),
        tuple(str(path.relative_to(project.folder)) for path in pictures),
    )


def _mark(snapshot: Path, kind: str, id_: str) -> None:
    """Say beside a snapshot what in it is forgotten: nothing is trained on it any more."""
    path = snapshot / HOLDS_FORGOTTEN
    held = read_object(path)
    listed = sorted({*held.get(kind, ()), id_})
    if held.get(kind) != listed:
        write_whole(path, json.dumps({"at": now(), **held, kind: listed}, indent=1).encode())


def _drop_passwords(project: Project, ledger: Ledger) -> None:
    """Take the passwords of everybody who is forgotten out of secrets.toml."""
    forgets = ledger.forgets()
    if gone := {name: None for name in project.secrets().get("passwords", {}) if forgets(name)}:
        project.keep_secrets({"passwords": gone})


def _drop_holders(project: Project, ledger: Ledger) -> None:
    """Take out what commands that were killed, or are at work, said of themselves, where it names who is forgotten."""
    forgets = ledger.forgets()
    for path in (project.folder / ".locks").glob("*.json"):
        with suppress(FileNotFoundError):  # its command has ended
            if any(map(forgets, re.findall(r"[\w.-]+", json.dumps(read_object(path), ensure_ascii=False)))):
                path.unlink()


def _drop_counts(project: Project) -> None:
    """Empty what was counted: it names people. The next command counts anew."""
    path = project.folder / CACHE / "tally.sqlite"
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("pragma secure_delete = on")
            db.execute("begin immediate")
            for table in ("items", "total"):
                db.execute(f"drop table if exists {table}")
            db.execute("commit")
            db.execute("vacuum")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise ProjectError(STILL_READING) from None
        path.unlink()  # it is damaged, and only a cache


def _project(home: Home) -> tuple[Project, Ledger]:
    if home.project is None or home.ledger is None:
        raise ProjectError(
            f"{home.folder} has no ledger, so there is nothing to forget in it; name the project with --project."
        )
    return home.project, home.ledger
