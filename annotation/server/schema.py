"""Argilla's tables and ours beside them, brought up to date before the server answers.

What search and the change feed keep beside Argilla's tables, their modules make; here is when.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from argilla_server.contexts import accounts
from argilla_server.database import ALEMBIC_CONFIG_FILE, SyncSessionLocal, sync_engine
from argilla_server.enums import RecordStatus, ResponseStatus
from argilla_server.models import Dataset, Record, Response, User, UserRole
from argilla_server.settings import settings
from sqlalchemy import Column, CursorResult, MetaData, String, Table, delete, func, insert, select, update

from annotation.server import changes, triggers
from annotation.server.search import indexes
from annotation.server.search.engine import TableSearchEngine
from annotation.server.words import text_index

DATABASE = "argilla.db"

log = logging.getLogger("annot")


def migrate(home: Path) -> None:
    """Bring the database to the schema of this Argilla.

    PostgreSQL takes all steps of a migration or none. SQLite commits every step on its own: a new
    database is therefore made beside its place and renamed, so that one that exists is never half made.
    """
    alembic = alembic_settings()
    if settings.database_is_postgresql or (home / DATABASE).exists():
        drop_side_objects(alembic)
        command.upgrade(alembic, "head")
        return
    fresh = home / f"{DATABASE}.new"
    for leftover in home.glob(f"{DATABASE}.new*"):
        leftover.unlink()
    address = settings.database_url
    settings.database_url = f"sqlite+aiosqlite:///{fresh.name}"
    try:
        command.upgrade(alembic, "head")
    finally:
        settings.database_url = address
    fresh.rename(home / DATABASE)


def alembic_settings() -> Config:
    """Argilla's migrations, for alembic's commands."""
    # Not Config(file): its logging section would silence every logger that exists.
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(ALEMBIC_CONFIG_FILE).parent / "alembic").replace("%", "%%"))
    return alembic


def drop_side_objects(alembic: Config) -> None:
    """Drop our indexes and triggers before Argilla's tables change: what they name cannot be dropped."""
    with sync_engine.connect() as connection:
        now = MigrationContext.configure(connection).get_current_revision()
        if now != ScriptDirectory.from_config(alembic).get_current_head():
            indexes.drop(connection)
            triggers.drop(connection)
            text_index.forget_layout(connection)
            connection.commit()


def make_side_tables() -> None:
    """Make the tables beside Argilla's that search and the change feed need, where they are missing."""
    with sync_engine.connect() as connection:
        TableSearchEngine.instance().set_up(connection)
        changes.set_up(connection)
        connection.commit()


_tables = MetaData()
_owner = Table("annot_owner", _tables, Column("password_hash", String, nullable=False))
"""The last password that we gave the owner: another one in the account is a person's."""


def set_owner(owner: dict[str, str]) -> None:
    """Make the owner's account what the file of secrets says, but for a password that a person has changed since."""
    with SyncSessionLocal() as session:
        _tables.create_all(session.connection())
        user = session.scalar(select(User).where(User.username == owner["username"]))
        if user is None:
            user = User(first_name="Owner", username=owner["username"], password_hash="")
            session.add(user)
        given = session.scalar(select(_owner.c.password_hash))
        if user.password_hash and given and accounts.verify_password(owner["password"], given):
            if user.password_hash != given:
                log.info("The owner's password is not the one in secrets.json: a person changed it, and it stays.")
        else:
            if not user.password_hash or not accounts.verify_password(owner["password"], user.password_hash):
                user.password_hash = accounts.hash_password(owner["password"])
            session.execute(delete(_owner))
            session.execute(insert(_owner).values(password_hash=user.password_hash))
        user.role, user.api_key = UserRole.owner, owner["api_key"]
        session.commit()


def mend_record_status() -> None:
    """Bring every record's status in line with its answers.

    Argilla stores an answer in one transaction and what it means for its record in the next. A server
    that was killed between the two leaves a record in the queue that has all its answers already.
    """
    answers = (
        select(func.count())
        .where(Response.record_id == Record.id, Response.status == ResponseStatus.submitted)
        .scalar_subquery()
    )
    with SyncSessionLocal() as session:
        # Dataset by dataset: an index holds its records by status, another a record's answers by theirs.
        for dataset_id, distribution in session.execute(select(Dataset.id, Dataset.distribution)).all():
            needed = distribution["min_submitted"]
            for was, now, wrong in (
                (RecordStatus.pending, RecordStatus.completed, answers >= needed),
                (RecordStatus.completed, RecordStatus.pending, answers < needed),
            ):
                records = update(Record).where(Record.dataset_id == dataset_id, Record.status == was, wrong)
                done = session.execute(records.values(status=now), execution_options={"synchronize_session": False})
                mended = cast(CursorResult[Any], done).rowcount
                if mended:
                    log.info("%d records are %s, which a crash had kept from being noted.", mended, now)
        session.commit()


def reindex() -> None:
    """Make the tables beside Argilla's again, whether a server runs or not.

    Standard output gets a number per line: how many records there are, then how many of them are done.
    Whoever searches meanwhile waits for the dataset in question to be done.
    """
    engine = TableSearchEngine.instance()
    with sync_engine.connect() as connection:
        print(engine.reindex(connection))
        changes.set_up(connection)
        changes.begin_anew(connection)
        connection.commit()
    asyncio.run(engine.text.catch_up(tell=print))
