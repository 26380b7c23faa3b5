"""The embedded Argilla: what runs beside `argilla-server` in that server's own environment.

An island: nothing here imports the rest of annot, and the rest of annot never imports it. It is
started as processes by `annotation.embedded`, with this folder as the start of the import path.

    launch.py         one process: the web server, or the worker of its background jobs
    table_search.py   Argilla's `SearchEngine`, answered from Argilla's own tables
    text_query.py     the little language of the search box
    requirements.txt  exact versions of that environment, made from requirements.in
"""
