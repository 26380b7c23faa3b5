"""Command of the page for leads: `annot report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotation.commands import Folder, Json, app, open_project
from annotation.errors import SettingsError

if TYPE_CHECKING:
    from annotation.project import Project
    from sync.reporting.page.words import Words

PORT = 6905
"""On which the page is served, where nobody names another."""


@app.command(epilog="Example: annot report --language es; annot report --serve")
def report(
    folder: Folder = Path(),
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="report.html in the project")] = None,
    language: Annotated[
        str, typer.Option(help="Of the page: es, pt or en.", show_default="the first of project.languages")
    ] = "",
    names: Annotated[bool, typer.Option("--names", help="Show user names instead of pseudonyms.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show it live, to owners and admins of Argilla alone, until Ctrl-C.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --serve: listen on this address of the machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="With --serve: on this port.")] = PORT,
    json: Json = False,
) -> None:
    """Write one page on how the project stands, for leads: it opens from the disk, in a phone, and on paper."""
    from annotation.hosting import embedded
    from annotation.screen import print_json, progress
    from annotation.tasks.page import LANGUAGES
    from sync.reporting.page.whole import check_place, write_report
    from sync.reporting.page.words import words_in

    project = open_project(folder)
    if language and language not in LANGUAGES:
        raise SettingsError(f'--language "{language}" is none of {", ".join(LANGUAGES)}; take one of these.')
    if serve and out:
        raise SettingsError("--serve shows the page and writes no file; leave --out away.")
    if out is not None:
        check_place(out)
    words = words_in((language, *project.settings.project.languages))
    if serve:
        _serve(project, words, host, port, names=names, json=json)
        return
    with progress("counting") as bar:
        running = embedded.state(project.argilla_home).running
        path = write_report(project, words, out, argilla_runs=running, named=names, progress=bar)
    if json:
        print_json({"file": str(path), "language": words.language, "names": names})
    else:
        print(f"{path} shows how the project stands; it needs no network.")


def _serve(project: Project, words: Words, host: str, port: int, *, names: bool, json: bool) -> None:
    """Serve the page until Ctrl-C."""
    from annotation.hosting.address import HOST, listening_address, require_free
    from annotation.screen import print_json
    from sync.reporting.live.gate import Gate
    from sync.reporting.live.server import Live, argilla_address, make_server

    where = listening_address(host)
    require_free(where, port, "take --port {}")
    gate = Gate(argilla_address(project.folder, project.settings), project.settings.project.countries)
    with make_server(Live(project.folder, words, names), gate, where, port) as server:
        url = f"http://{f'[{where}]' if ':' in where else where}:{port}"
        if json:
            print_json({"url": url})
        else:
            print(f"The page is at {url}, for owners and admins of Argilla; Ctrl-C stops it.", flush=True)
            if where != HOST:
                print("Passwords cross the network as they are typed: put a proxy with https before it.", flush=True)
        server.serve_forever()
