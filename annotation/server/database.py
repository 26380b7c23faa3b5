"""Facts about a PostgreSQL database as one line of JSON; their moment is held until standard input ends.

Run by `annotation.hosting.postgres`, with libpq's variables in the environment. The moment's name lets
`pg_dump` copy exactly what was counted, while people go on writing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg2
from psycopg2 import sql


def main() -> int:
    """Say what there is, or why nobody is let in."""
    try:
        connection = psycopg2.connect("")
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        facts = describe(connection.cursor())
    except psycopg2.Error as problem:
        print(json.dumps({"problem": str(problem)}))
        return 0
    print(json.dumps(facts), flush=True)
    sys.stdin.read()
    connection.close()
    return 0


def describe(cursor: Any) -> dict[str, Any]:
    """The facts, as `annotation.hosting.postgres.Facts` names them."""

    def one(query: str | sql.Composed) -> Any:
        cursor.execute(query)
        return cursor.fetchone()[0]

    standby = bool(one("select pg_is_in_recovery()"))
    cursor.execute("select tablename from pg_tables where schemaname = current_schema() order by tablename")
    tables = [name for (name,) in cursor.fetchall()]
    return {
        "major": connection_major(cursor),
        "encoding": one("show server_encoding"),
        "read_only": standby or one("show default_transaction_read_only") == "on",
        "may_create": bool(one("select coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")),
        "counts": {name: one(sql.SQL("select count(*) from {}").format(sql.Identifier(name))) for name in tables},
        "snapshot": "" if standby else one("select pg_export_snapshot()"),
    }


def connection_major(cursor: Any) -> int:
    """PostgreSQL's major version."""
    return int(cursor.connection.server_version) // 10_000


if __name__ == "__main__":
    sys.exit(main())
