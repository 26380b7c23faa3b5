"""The embedded Argilla: what runs beside `argilla-server` in that server's own environment.

An island: nothing here imports the rest of annot, and the rest of annot never imports it. It is
started as processes by `annotation.embedded`, with this folder as the start of the import path.

    launch.py         one process: the web server, or the worker of its background jobs
    guard.py          what stands between the network and Argilla: who may ask, and how much
    throttle.py       how often somebody may fail to log in
    pages.py          Argilla's page as it is served here; page.js is its part in the browser
    table_search.py   Argilla's `SearchEngine`, answered from Argilla's own tables
    conditions.py     filters and orders as SQL
    dialects.py       what differs between SQLite and PostgreSQL
    vectors.py        the nearest by cosine
    text_query.py     the little language of the search box
    database.py       what PostgreSQL says of a database, asked before Argilla is started
    rolling.py        when the next rolling backup is due
    requirements.txt  exact versions of that environment, made from requirements.in
"""
