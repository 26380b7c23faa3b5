"""Migrations of the ledger: its tables as they came, in small numbered functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def _first_tables(db: sqlite3.Connection) -> None:
    for statement in (
        """create table prompts (id text primary key, text text not null, system text not null,
             country text not null, language text not null, topic text not null, source text not null,
             licence text not null, added_at text not null)""",
        """create table candidates (id text primary key, prompt_id text not null references prompts(id),
             text text not null, model text not null, voice text not null, settings text not null,
             cost_usd real not null, added_at text not null)""",
        "create index candidates_of_prompt on candidates(prompt_id)",
        """create table dropped (step text not null, id text not null, reason text not null,
             because_of text not null, at text not null, primary key (step, id, reason))""",
        # One row per request that may cost money, written before it is sent.
        """create table calls (slot_id text not null, attempt integer not null, prompt_id text not null,
             slot integer not null, model text not null, voice text not null, settings text not null,
             reserved_usd real not null, at text not null, primary key (slot_id, attempt))""",
        # What became of it. A call without an outcome was cut off: it counts as spent.
        """create table outcomes (slot_id text not null, attempt integer not null, outcome text not null,
             usd real not null, input_tokens integer not null, output_tokens integer not null,
             candidate_id text, detail text not null, raw text not null, at text not null,
             primary key (slot_id, attempt))""",
        # Spent plus reserved, kept by the database itself, so that a reservation costs no scan of all calls.
        "create table spending (committed_usd real not null)",
        "insert into spending values (0)",
        """create trigger reserved after insert on calls begin
             update spending set committed_usd = committed_usd + new.reserved_usd; end""",
        """create trigger settled after insert on outcomes begin
             update spending set committed_usd = committed_usd + new.usd
               - (select reserved_usd from calls where slot_id = new.slot_id and attempt = new.attempt); end""",
        """create table slates (id text primary key, prompt_id text not null unique references prompts(id),
             seats text not null, position integer not null unique, made_at text not null)""",
        """create table people (seq integer primary key autoincrement, username text not null,
             name text not null, role text not null, country text not null, languages text not null,
             active integer not null, at text not null)""",
        """create table pushes (server text not null, dataset text not null, slate_id text not null,
             record_id text not null, at text not null, primary key (server, dataset, slate_id))""",
        # Every version of every response that was seen, as the server told it.
        """create table responses (seq integer primary key autoincrement, server text not null,
             response_id text not null, slate_id text not null, annotator text not null,
             country text not null, status text not null, updated_at text not null,
             raw text not null, pulled_at text not null)""",
        "create index newest_response on responses(server, response_id, seq)",
        # At most one snapshot and one run for the same quotas: the primary key is the promise.
        """create table launches (quotas text primary key, snapshot_id text not null, run text not null unique,
             at text not null)""",
        """create table launch_events (seq integer primary key autoincrement, run text not null,
             event text not null, detail text not null, at text not null)""",
    ):
        db.execute(statement)


def _moves(db: sqlite3.Connection) -> None:
    """What `annot move` did: which response on a new server is which one on the old."""
    db.execute(
        """create table moved_responses (server text not null, response_id text not null,
             updated_at text not null, from_response_id text not null, from_updated_at text not null,
             at text not null, primary key (server, response_id))"""
    )
    db.execute("create table moves (server text primary key, from_server text not null, at text not null)")


def _answered_slates(db: sqlite3.Connection) -> None:
    """`annot sync --watch` asks for the responses of the slates that somebody answered just now."""
    db.execute("create index responses_of_slate on responses(server, slate_id)")
    db.execute("create index slate_of_record on pushes(server, record_id)")


def _items_of_tasks(db: sqlite3.Connection) -> None:
    """Slates become items of a task, so that a prompt may stand in several; responses are read by what changed."""
    for statement in (
        """create table items (id text primary key, task text not null, prompt_id text references prompts(id),
             country text not null, language text not null, topic text not null, content text not null,
             position integer not null, purpose text not null, expected text, parent text not null,
             made_at text not null, unique (task, position))""",
        # In each task once: what a prompt was asked with never changes.
        "create unique index item_of_prompt on items(task, prompt_id) where purpose = 'work' and prompt_id is not null",
        """insert into items select s.id, 'ranking', s.prompt_id, p.country, p.language, p.topic,
             json_object('seats', json(s.seats)), s.position, 'work', null, '', s.made_at
             from slates s join prompts p on p.id = s.prompt_id order by s.position""",
        "drop table slates",
        "alter table pushes rename column slate_id to item_id",
        "alter table responses rename column slate_id to item_id",
        "drop index responses_of_slate",
        "create index responses_of_item on responses(item_id)",
        "drop index slate_of_record",
        "create index item_of_record on pushes(server, record_id)",
        "create index newest_of_annotator on responses(annotator, updated_at)",
        "create index responses_by_time on responses(updated_at)",
        "create index copies_of_response on moved_responses(from_response_id)",
        "create index copy_by_name on moved_responses(response_id)",
        "alter table prompts add column author text not null default ''",
        # How far the change feed of a server was read, and when everything was.
        """create table feeds (server text primary key, feed text not null, last integer not null,
             whole_at text not null)""",
    ):
        db.execute(statement)


def _excluded_people(db: sqlite3.Connection) -> None:
    db.execute("alter table people add column excluded text not null default ''")


def _changed_texts(db: sqlite3.Connection) -> None:
    """Records that show other texts than were pushed, and the newest response before that was seen; null: as pushed."""
    db.execute(
        """create table changed_texts (seq integer primary key autoincrement, server text not null,
             item_id text not null, record_id text not null, since integer, at text not null)"""
    )
    db.execute("create index changed_texts_of_item on changed_texts(server, item_id)")


def _changed_prompts(db: sqlite3.Connection) -> None:
    """A prompt may be taken out, put back, or given another country, language or topic: the newest row wins."""
    newest = "(select max(seq) from prompt_changes where prompt_id = {})"
    group = ", ".join(f"coalesce(c.{name}, o.{name}) as {name}" for name in ("country", "language", "topic"))
    for statement in (
        """create table prompt_changes (seq integer primary key autoincrement,
             prompt_id text not null references prompts(id), country text not null, language text not null,
             topic text not null, removed integer not null, at text not null)""",
        "create index changes_of_prompt on prompt_changes(prompt_id, seq)",
        f"""create view current_prompts as select o.rowid as place, o.id, o.text, o.system, {group}, o.source,
              o.licence, o.author, coalesce(c.removed, 0) as removed
              from prompts o left join prompt_changes c on c.seq = {newest.format("o.id")}""",
        # `moved`: people of another country may have been asked about it.
        f"""create view current_items as select o.id, o.task, o.position, {group}, o.content, o.prompt_id, o.purpose,
              o.expected, o.parent, coalesce(c.removed, 0) as removed,
              c.seq is not null and exists
                (select 1 from prompt_changes m where m.prompt_id = o.prompt_id and m.country <> o.country) as moved
              from items o left join prompt_changes c on c.seq = {newest.format("o.prompt_id")}""",
    ):
        db.execute(statement)


def _votes(db: sqlite3.Connection) -> None:
    """Votes of a demo's visitors, apart from what the team was asked; `prompt` is what one typed and gave away."""
    for statement in (
        """create table votes (id text primary key, source text not null, run text not null, adapter text not null,
             base text not null, base_version text not null, country text not null, language text not null,
             prompt_id text not null, adapted text not null, choice text not null, at text not null,
             typed integer not null, pulled_at text not null, prompt text not null, a text not null,
             b text not null)""",
        "create index votes_from on votes(country)",
        "create index votes_about on votes(adapter)",
    ):
        db.execute(statement)


def _forgotten(db: sqlite3.Connection) -> None:
    """What `annot forget` took out for good: a prompt by its id; a person by pseudonym, and by hashes of their names.

    `annot trace` looks for the calls of a prompt, and for a response whatever server it is on.
    """
    for statement in (
        """create table forgotten (seq integer primary key autoincrement, kind text not null, id text not null,
             marks text not null, reason text not null, at text not null)""",
        "create unique index forgotten_once on forgotten(kind, id)",
        "create index calls_of_prompt on calls(prompt_id)",
        "create index response_by_id on responses(response_id)",
    ):
        db.execute(statement)


def _file_judgements(db: sqlite3.Connection) -> None:
    """What files held that were read: judgements of a legacy annotator, apart from what the team was asked."""
    for statement in (
        """create table file_judgements (id text primary key, source text not null, place text not null,
             annotator text not null, prompt_id text not null references prompts(id), country text not null,
             value text not null, at text not null)""",
        "create index file_judgements_of_prompt on file_judgements(prompt_id, annotator)",
        "create index file_judgements_by on file_judgements(annotator)",
    ):
        db.execute(statement)


def _found_by_prompt_and_item(db: sqlite3.Connection) -> None:
    """Counts and look-ups that would read a whole table: the items of a prompt, the records of an item."""
    db.execute("create index items_of_prompt on items(prompt_id, task)")
    db.execute("create index records_of_item on pushes(item_id, record_id)")


def _removed_items(db: sqlite3.Connection) -> None:
    """An item that is about no prompt may be taken out, and put back: the newest row wins."""
    newest = "(select removed from item_changes where item_id = o.id order by seq desc limit 1)"
    (view,) = db.execute("select sql from sqlite_master where name = 'current_items'").fetchone()
    for statement in (
        """create table item_changes (seq integer primary key autoincrement,
             item_id text not null, removed integer not null, at text not null)""",
        "create index changes_of_item on item_changes(item_id, seq)",
        "drop view current_items",
        view.replace("coalesce(c.removed, 0) as", f"coalesce(c.removed, 0) or coalesce({newest}, 0) as"),
    ):
        db.execute(statement)


def _file_ratings(db: sqlite3.Connection) -> None:
    """What public sets of stereotypes hold of people's ratings, apart from what the team is asked."""
    db.execute(
        """create table file_ratings (id text primary key, association text not null, source text not null,
             place text not null, regions text not null, value text not null, at text not null)"""
    )
    db.execute("create index file_ratings_of_association on file_ratings(association)")


def _pictures(db: sqlite3.Connection) -> None:
    """Prompts may be about a picture: the newest row has what is known of it; its file is in the project's folder."""
    (view,) = db.execute("select sql from sqlite_master where name = 'current_prompts'").fetchone()
    for statement in (
        """create table pictures (seq integer primary key autoincrement, id text not null, likeness text not null,
             width integer not null, height integer not null, source text not null, licence text not null,
             creator text not null, people text not null, at text not null)""",
        "create index rows_of_picture on pictures(id, seq)",
        "alter table prompts add column image text not null default ''",
        "create index prompts_about_picture on prompts(image) where image <> ''",
        "drop view current_prompts",
        view.replace("coalesce(c.removed, 0) as removed", "coalesce(c.removed, 0) as removed, o.image").replace(
            "o.licence",
            """coalesce((select licence from pictures where id = o.image order by seq desc limit 1), o.licence)
               as licence""",
        ),
    ):
        db.execute(statement)


def _team_operations(db: sqlite3.Connection) -> None:
    """Items that are no work (controls, entry tests, adjudication), weights of votes, and other names of people."""
    (view,) = db.execute("select sql from sqlite_master where name = 'current_items'").fetchone()
    for statement in (
        """create table side_items (id text primary key, task text not null, prompt_id text, country text not null,
             language text not null, topic text not null, content text not null, position integer not null,
             purpose text not null, expected text, parent text not null, made_at text not null)""",
        "create index side_items_of_task on side_items(task, purpose, position)",
        "create index side_items_of_parent on side_items(parent)",
        view.replace("current_items", "current_side_items").replace("from items o", "from side_items o"),
        "alter table people add column weight real not null default 1.0",
        "alter table people add column auto integer not null default 0",
        "alter table people add column reason text not null default ''",
        # `name` and `same_as` are one person's; "" takes it back. The newest row of a name counts.
        """create table aliases (seq integer primary key autoincrement, name text not null, same_as text not null,
             at text not null)""",
    ):
        db.execute(statement)


def _rounds(db: sqlite3.Connection) -> None:
    """Rounds: prompts that were chosen to be asked about anew. Items of earlier rounds are closed: nobody is asked.

    An item that is of no round has 0. Candidates that stand on a slate of an earlier round are not fresh.
    """
    earlier = "between 1 and (select coalesce(max(number), 1) - 1 from rounds)"
    for table, view in (("items", "current_items"), ("side_items", "current_side_items")):
        (made,) = db.execute("select sql from sqlite_master where name = ?", (view,)).fetchone()
        db.execute(f"alter table {table} add column round integer not null default 0")
        db.execute(f"drop view {view}")
        db.execute(made.replace("o.parent,", f"o.parent, o.round, o.round {earlier} as closed,"))
    for statement in (
        "create table rounds (number integer primary key, started_at text not null, facts text not null)",
        """create table round_prompts (round integer not null references rounds(number),
             prompt_id text not null references prompts(id), reason text not null, primary key (round, prompt_id))""",
        "create index rounds_of_prompt on round_prompts(prompt_id, round)",
        "update items set round = 1 where task in ('ranking', 'description') and purpose = 'work'",
        "drop index item_of_prompt",
        """create unique index item_of_prompt on items(task, prompt_id, round)
             where purpose = 'work' and prompt_id is not null""",
        "create index slates_by_round on items(prompt_id, round) where round > 0",
        f"""create view open_prompts as select p.id from prompts p where
              exists (select 1 from round_prompts c where c.prompt_id = p.id
                        and c.round = (select max(number) from rounds))
              or not exists (select 1 from items i where i.prompt_id = p.id and i.round {earlier} and i.round > 0)""",
        f"""create view fresh_candidates as select c.* from candidates c where not exists
              (select 1 from items i, json_each(i.content, '$.seats') s
               where i.prompt_id = c.prompt_id and i.round {earlier} and i.round > 0 and s.value = c.id)""",
    ):
        db.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _first_tables,
    _moves,
    _answered_slates,
    _items_of_tasks,
    _excluded_people,
    _changed_texts,
    _changed_prompts,
    _votes,
    _forgotten,
    _file_judgements,
    _found_by_prompt_and_item,
    _removed_items,
    _file_ratings,
    _pictures,
    _team_operations,
    _rounds,
)
"""Applied once each, in this order, and recorded; never edited once released."""
