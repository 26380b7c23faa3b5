"""The team: a roster becomes accounts, one workspace per country, and memberships.

A roster can be read again at any time: what is there stays, what changed is changed, and nobody is ever deleted,
because Argilla deletes a person's answers with the person.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from annotation.errors import ArgillaError, SourceError
from annotation.ledger import Ledger
from annotation.passwords import make_password
from annotation.project import Project
from annotation.reading.table import read_table
from annotation.screen import Progress, silent
from annotation.tasks.adjudication import ADJUDICATOR
from annotation.text.locales import country_code, language_code, locale_country
from annotation.types import Person
from sync.argilla.protocol import Account, ArgillaApi

T = TypeVar("T")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "username": ("username", "user", "login", "usuario", "nombre_de_usuario", "nome_de_usuario"),
    "name": ("name", "first_name", "full_name", "nombre", "nombre_completo", "nome", "nome_completo"),
    "role": ("role", "rol", "papel", "funcion", "funcao"),
    "country": ("country", "pais"),
    "languages": ("languages", "language", "idiomas", "idioma", "lenguas", "linguas"),
}
"""What a roster's columns may be called, without accents and in lower case."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "annotator": ("", "annotator", "anotador", "anotadora", "anotador/a", "anotador(a)"),
    "admin": ("admin", "lead", "team lead", "lider", "coordinador", "coordinadora", "coordenador", "coordenadora"),
    ADJUDICATOR: (ADJUDICATOR, "arbitro", "arbitra", "arbitro/a", "adjudicador", "adjudicadora"),
}
"""What a role may be called, without accents and in lower case."""

LONGEST_NAME = 80
"""Characters of a person's name."""

USERNAME = re.compile(r"[^\W_][\w.-]{1,39}")
"""Argilla takes any user name; annot takes those that can be typed, told apart and printed without surprise."""


@dataclass(frozen=True, slots=True)
class TeamChange:
    """What adding a roster changed; all empty when nothing did.

    Attributes:
        created: New accounts.
        joined: People put into a workspace, as "username -> workspace".
        left: People taken out of one.
        corrected: Accounts whose name or role was corrected.
        languages: People whose languages are others now, as "username: es -> es, qu".
        workspaces: New workspaces.
    """

    created: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()


def workspace_of(country: str, task: str = "", cohort: int = 0) -> str:
    """Name of the workspace of a country's team; or of a cohort of it at a task, see `sync.cohorts`."""
    return f"{country.lower()}-{task}-{cohort}" if cohort else country.lower()


def country_of(workspace: str) -> str:
    """The country of the team, or of the cohort, that a workspace is of."""
    return workspace.partition("-")[0].upper()


def read_roster(path: Path, *, languages: Sequence[str] = (), countries: Collection[str] = ()) -> list[Person]:
    """Read who is on the team; every row is checked before anything is done.

    Args:
        path: CSV or another table that annot reads. Columns: username, country, and optionally name, role
            ("annotator", "admin" or "adjudicator"), languages (several: "es; pt"). Spanish and Portuguese names of
            columns and roles are understood.
        languages: Of people whose row names none.
        countries: The project's; () lets people of every country in.

    Raises:
        SourceError: The file cannot be read, or rows say something impossible: a line for each fault, with the row and
            the remedy.
    """
    people: dict[str, Person] = {}
    seen_at: dict[str, str] = {}
    faults: list[str] = []
    for line, row in _rows(path):
        place = f"{path.name}:{line}"
        username = _checked(faults, place, _username, row.get("username", ""))
        role = _checked(faults, place, _role, row.get("role", ""))
        country = _checked(faults, place, _country, row.get("country", ""), countries)
        spoken = _checked(faults, place, _languages, row.get("languages", ""), languages)
        if username and username.casefold() in seen_at:
            faults.append(
                f'{place}: the user name "{username}" stands in line {seen_at[username.casefold()]} already; one '
                "person has one line and one country."
            )
        elif username:
            seen_at[username.casefold()] = line
            if role and country and spoken:
                name = _checked(faults, place, _name, row.get("name", "")) or ""
                people[username] = Person(username, name, role, country, spoken)
    if faults:
        raise SourceError("\n".join(faults))
    if not people:
        raise SourceError(f"{path} names nobody; write a line for each person below the line of column names.")
    return list(people.values())


def add_team(
    project: Project, api: ArgillaApi, people: Sequence[Person], *, adopt: bool = False, progress: Progress = silent
) -> TeamChange:
    """Make Argilla's accounts, workspaces and memberships agree with a roster. People it does not name stay.

    A password is in the project's secrets before its account is made: cut off anywhere and run again, everybody can
    log in. Whoever changed country moves; whoever had been removed is back.

    Args:
        project: Its ledger remembers the people, its secrets their passwords.
        api: Argilla.
        people: From `read_roster`.
        adopt: Take accounts that somebody else made on this server as the people of the same user name.
        progress: Told how many people are done.

    Raises:
        ArgillaError: A user name belongs to somebody else on this server, or to somebody who is forgotten; nothing is
            changed then.
    """
    forgets = project.ledger.forgets()
    if again := [person.username for person in people if forgets(person.username)]:
        raise ArgillaError(
            f'"{again[0]}" is forgotten (`annot forget`), and nothing under that user name counts; take that line out '
            "of the roster, or give a person who is back another user name."
        )
    accounts = {account.username: account for account in api.accounts()}
    passwords = project.secrets().get("passwords", {})
    known = {person.username for person in project.ledger.people()}
    _refuse_strangers(people, accounts, set(accounts) if adopt else known | set(passwords), api.url)
    alike = {name.casefold(): name for name in (*accounts, *known)}
    for person in people:
        if (other := alike.get(person.username.casefold(), person.username)) != person.username:
            raise ArgillaError(f'"{person.username}" differs from "{other}" in capitals alone; write "{other}".')
    fresh = [person for person in people if person.username not in accounts]
    # A password that a killed run kept for an account it never made is used, not replaced.
    missing = {p.username: make_password() for p in fresh if p.username not in passwords}
    if missing:
        project.keep_secrets({"passwords": missing})
    passwords = {**passwords, **missing}
    workspaces = api.workspaces()
    made, created, corrected = [], [], []
    for name in sorted({workspace_of(person.country) for person in people} - set(workspaces)):
        workspaces[name] = api.add_workspace(name)
        made.append(name)
    for done, person in enumerate(people):
        progress(done, len(people), person.username)
        account = accounts.get(person.username)
        first_name = person.name or person.username
        # Argilla has no adjudicators, and its admins see who answered what.
        role = "annotator" if person.role == ADJUDICATOR else person.role
        if account is None:
            accounts[person.username] = api.add_account(person.username, first_name, role, passwords[person.username])
            created.append(person.username)
        elif (account.first_name, account.role) != (first_name, role):
            api.change_account(account.id, first_name, role)
            corrected.append(person.username)
    joined, left = _settle_memberships(
        api, workspaces, people, accounts, _team_workspaces(project.ledger, people, workspaces)
    )
    before = {person.username: ", ".join(person.languages) for person in project.ledger.people()}
    now = {person.username: ", ".join(person.languages) for person in people}
    learnt = (f"{name}: {before[name]} -> {now[name]}" for name in now if before.get(name, now[name]) != now[name])
    project.ledger.add_people(people)
    return TeamChange(tuple(created), joined, left, tuple(corrected), tuple(learnt), tuple(made))


def known_person(ledger: Ledger, username: str) -> Person:
    """Someone who is or was on the team.

    Raises:
        ArgillaError: Nobody of that name ever was.
    """
    people = {person.username: person for person in ledger.people()}
    if username not in people:
        near = difflib.get_close_matches(username, people, n=1)
        remedy = f'did you mean "{near[0]}"?' if near else "`annot team list` shows who is."
        raise ArgillaError(f'Nobody called "{username}" is on the team; {remedy}')
    return people[username]


def remove_member(api: ArgillaApi, ledger: Ledger, username: str) -> Person:
    """Take someone out of the team: they see no dataset any more. What they answered stays, here and in Argilla.

    Raises:
        ArgillaError: Nobody of that name was ever on the team.
    """
    person = known_person(ledger, username)
    workspaces = api.workspaces()
    account = next((a for a in api.accounts() if a.username == username), None)
    # Somebody may have deleted the account on the page; then there is nothing left to take it out of.
    if account is not None:
        for name in _team_workspaces(ledger, (), workspaces):
            if account.id in api.members(workspaces[name]):
                api.remove_member(workspaces[name], account.id)
    gone = replace(person, active=False)
    ledger.add_people([gone])
    return gone


def _refuse_strangers(people: Iterable[Person], accounts: Mapping[str, Account], ours: set[str], url: str) -> None:
    """Stop before an account of somebody else is drawn into the team, or an owner is made an annotator."""
    for person in people:
        account = accounts.get(person.username)
        if account is not None and account.role == "owner":
            raise ArgillaError(
                f'"{person.username}" is an owner of {url} and cannot be on a roster; give this person another user '
                "name to rank with."
            )
        if account is not None and person.username not in ours:
            raise ArgillaError(
                f'The server {url} has a user "{person.username}" already, whom this project did not make; choose '
                "another user name, or say with --adopt that it is the same person (their password stays)."
            )


def _team_workspaces(ledger: Ledger, people: Iterable[Person], workspaces: Iterable[str]) -> list[str]:
    """The workspaces that are annot's to fill: of every country that anybody is or ever was in, and their cohorts'."""
    past = {row["country"] for row in ledger.rows("select distinct country from people")}
    ours = past | {person.country for person in people}
    shape = re.compile(r"[a-z]{2}(-[a-z_]+-\d+)?")
    return [name for name in sorted(workspaces) if shape.fullmatch(name) and country_of(name) in ours]


def _settle_memberships(
    api: ArgillaApi,
    workspaces: Mapping[str, str],
    people: Sequence[Person],
    accounts: Mapping[str, Account],
    ours: Iterable[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put everybody into the workspace of their country and out of the other countries'."""
    joined, left = [], []
    for name in ours:
        members = api.members(workspaces[name])
        for person in people:
            account = accounts[person.username]
            if name == workspace_of(person.country) and account.id not in members:
                api.add_member(workspaces[name], account.id)
                joined.append(f"{person.username} -> {name}")
            elif country_of(name) != person.country and account.id in members:
                api.remove_member(workspaces[name], account.id)
                left.append(f"{person.username} -> {name}")
    return tuple(joined), tuple(left)


def _checked(faults: list[str], place: str, read: Callable[..., T], *given: object) -> T | None:
    """What a cell says; None where it says nothing possible, and why is added to the faults."""
    try:
        return read(*given)
    except ValueError as fault:
        faults.append(f"{place}: {fault}")
        return None


def _username(cell: str) -> str:
    username = unicodedata.normalize("NFC", cell)
    if "@" in username:
        raise ValueError(
            f'"{username}" is an e-mail address, and user names are seen by everyone on the team; write a short name, '
            f'for example "{_safe(username)}".'
        )
    if re.fullmatch(r"[\d.-]{7,}", username):
        raise ValueError(f'"{username}" looks like a phone or document number; write a short name instead.')
    if not USERNAME.fullmatch(username):
        raise ValueError(
            f'"{username}" cannot be a user name; use 2 to 40 letters, digits, dots, dashes or underscores, beginning '
            f'with a letter or digit, for example "{_safe(username)}".'
        )
    return username


def _name(cell: str) -> str:
    name = unicodedata.normalize("NFC", cell)
    if len(name) > LONGEST_NAME:
        raise ValueError(f'the name "{name[:20]}…" has {len(name)} characters; write {LONGEST_NAME} at most.')
    return name


def _role(cell: str) -> str:
    role = next((role for role, names in ROLES.items() if _plain(cell) in names), None)
    if role is None:
        raise ValueError(f'"{cell}" is no role; write "annotator", "admin" or "adjudicator".')
    return role


def _country(cell: str, countries: Collection[str]) -> str:
    code = country_code(cell)
    named = sorted({found for word in re.findall(r"\w+", cell) if (found := country_code(word))})
    # "es-MX" is a language in a country elsewhere; in this column it may as well mean Spain and Mexico.
    if len(named) > 1 and (code is None or locale_country(cell)):
        raise ValueError(f'"{cell}" names {" and ".join(named)}; one person has one country: write the code of one.')
    if code is None:
        raise ValueError(f'"{cell}" is no country; write its code, for example "MX".')
    if countries and code not in countries:
        raise ValueError(
            f'"{cell}" is none of the project\'s countries ({", ".join(countries)}); correct it, or add "{code}" to '
            "project.countries in annot.toml."
        )
    return code


def _languages(cell: str, spoken: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in re.split(r"[;,/|+]+|\s(?:y|e|and)\s", cell) if name.strip()] or list(spoken)
    # "qu es" is two languages, not that of Spain's locale; "español mexicano" is one.
    names = [word for name in names for word in (name.split() if all(map(language_code, name.split())) else [name])]
    codes = [(name, language_code(name)) for name in names]
    if unknown := [name for name, code in codes if code is None]:
        raise ValueError(f'"{unknown[0]}" is no language; write its code, for example "es".')
    if not codes:
        raise ValueError('no language is named; write its code, for example "es".')
    return tuple(dict.fromkeys(code for _, code in codes if code))


def _safe(name: str) -> str:
    """A user name that a full name or an e-mail address suggests."""
    near = re.sub(r"[^\w.-]+", "", re.sub(r"\s+", ".", name.split("@")[0].casefold())).lstrip("._-")[:40]
    return near if USERNAME.fullmatch(near) else "ana"


def _rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Place and cells of every row, under the names of COLUMNS."""
    if not path.is_file():
        raise SourceError(f"There is no file {path}; check the path of the roster.")
    table = read_table(str(path))
    names = {column: _column(column) for column in table.columns}
    for needed in COLUMNS:
        found = [column for column, name in names.items() if name == needed]
        if len(found) > 1 or (not found and needed in ("username", "country")):
            raise SourceError(
                f'{path} needs one column "{needed}" and has {len(found)}; its first line names the columns: '
                "username,name,role,country,languages."
            )
    return [
        (row.place, {name: _cell(row.values.get(column)) for column, name in names.items() if name})
        for row in table.rows
    ]


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()


def _column(cell: str) -> str:
    """The name of COLUMNS that a heading means, or "" for a column that is not ours."""
    plain = _plain(cell).replace(" ", "_")
    return next((name for name, synonyms in COLUMNS.items() if plain in synonyms), "")


def _plain(text: str) -> str:
    """Lower case without accents and outer blanks."""
    bare = unicodedata.normalize("NFKD", text).strip().casefold()
    return "".join(char for char in bare if not unicodedata.combining(char))
