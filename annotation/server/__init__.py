"""The embedded Argilla: what runs beside `argilla-server` in that server's own environment.

An island: nothing here imports the rest of annot, and the rest of annot never imports it. It is started as processes by
`annotation.hosting.embedded`; docs/architecture.md lists its files. `requirements.txt` has the exact versions of that
environment, made from `requirements.in`; `alone.txt` what it also has, without dependencies.

A reader of the change feed asks `GET /api/v1/annot/changes` once, keeps `feed` and `last`, and reads everything. From
then on it asks `?feed=FEED&after=LAST&wait=60`, reads the records that are named (one that is not there any more is
gone), and keeps the new `last` when it has stored what it read. `reset` means to begin again.
"""
