"""The embedded Argilla: what runs beside `argilla-server` in that server's own environment.

An island: nothing here imports the rest of annot, and the rest of annot never imports it. It is
started as processes by `annotation.embedded`, with this folder as the start of the import path.

    launch.py         one process: the web server, the worker of its background jobs, or making the index again
    guard.py          what stands between the network and Argilla: who may ask, and how much
    throttle.py       how often somebody may fail to log in
    pages.py          Argilla's page as it is served here; page.js is its part in the browser
    table_search.py   Argilla's `SearchEngine`, answered from Argilla's own tables
    conditions.py     filters and orders as SQL
    dialects.py       what differs between SQLite and PostgreSQL
    queue_order.py    the order of a person's queue
    indexes.py        indexes on Argilla's tables for what the page asks again and again
    vectors.py        the nearest by cosine: vectors as files that are mapped into memory
    faster.py         Argilla's slow places, replaced in memory where their source is the one we know
    text_query.py     the little language of the search box
    text_index.py     the index of the records' words: what is in it, and keeping it true
    fts5.py           that index on SQLite
    tsvector.py       that index on PostgreSQL
    database.py       what PostgreSQL says of a database, asked before Argilla is started
    rolling.py        when the next rolling backup is due
    requirements.txt  exact versions of that environment, made from requirements.in
"""
