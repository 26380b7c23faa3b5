"""Triggers of ours on Argilla's tables, by which side tables hear of changes, whoever makes them.

Their names begin with `annot_`. What a trigger writes stands or falls with the transaction that it hears of.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text


def known(connection: Connection) -> dict[str, str]:
    """The triggers that there are, each with the table that it listens to."""
    found = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'annot_%'"
    if connection.dialect.name == "postgresql":
        found = (
            "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND tgname LIKE 'annot_%' AND relnamespace = current_schema()::regnamespace"
        )
    rows: Sequence[tuple[str, str]] = connection.execute(text(found)).tuples().all()
    return dict(rows)


def create(connection: Connection, name: str, when: str, then: str, *, each: str = "ROW") -> None:
    """Make a trigger anew.

    Args:
        connection: in whose transaction it is made.
        name: of the trigger, and of its function on PostgreSQL.
        when: as in `INSERT ON responses`.
        then: statements, each with its semicolon.
        each: ROW; on PostgreSQL STATEMENT as well.
    """
    table = when.rpartition(" ")[2]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {then} RETURN NULL; END $$"
        )
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        then = f"FOR EACH {each} EXECUTE FUNCTION {name}()"
    else:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        then = f"BEGIN {then} END"
    connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {when} {then}")


def drop(connection: Connection) -> None:
    """Drop all of them; the modules of their side tables make them again, with the tables."""
    for name, table in known(connection).items():
        of_table = f' ON "{table}"' if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"{of_table}')
