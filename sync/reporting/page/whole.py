"""The whole page: its head, its sections in order, and what a browser may do with it: nothing but show it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from annotation.errors import SettingsError
from annotation.files import write_whole
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.text.locales import name_of_country
from sync.reporting.page import disputed, people, progress, rest, rounds
from sync.reporting.page.facts import Facts, gather
from sync.reporting.page.html import Html, tag
from sync.reporting.page.words import Words


@cache
def style() -> str:
    """The style sheet."""
    return (files(__package__) / "style.css").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """The Content-Security-Policy of the page: this style sheet, and nothing else from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'self'"


def page(shown: Facts, words: Words, name: Callable[[str], str], *, named: bool, refresh_s: int = 0) -> bytes:
    """The report as one HTML file.

    Args:
        shown: What it shows.
        words: Of its language.
        name: User name -> the name that stands on it.
        named: These are the user names themselves; the page says so.
        refresh_s: After how many seconds it loads itself again; 0 for never.
    """
    title = words("title", name=shown.name or "annot")
    made = words("made", day=words.day(shown.made_at), time=shown.made_at[11:16])
    chapters = list(_chapters(shown, words, name))
    said = [made, words("named" if named else "pseudonyms")]
    if shown.countries is not None:
        countries = ", ".join(name_of_country(code, words.language) for code in shown.countries)
        said.append(words("only", countries=countries))
    if refresh_s:
        said.append(words("refreshes", seconds=refresh_s))
    button = tag("button", words("log_out"))
    log_out = tag("form", button, method="post", action="/log-out", class_="screen") if refresh_s else None
    titles = {key: f"{words(key)[0].upper()}{words(key)[1:]}" for key, _ in chapters}
    contents = [tag("li", tag("a", named_so, href=f"#{key}")) for key, named_so in titles.items()]
    body = (
        tag("header", tag("h1", title), tag("p", " ".join(said), class_="soft"), log_out),
        progress.head(shown, words),
        tag("nav", tag("ul", contents), aria_label=words("contents")),
        tag("main", [tag("section", tag("h2", titles[key], id=key), parts) for key, parts in chapters]),
    )
    return document(title, body, words, refresh_s=refresh_s)


def check_place(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is counted.

    Raises:
        SettingsError: Its folder is not there, or it is a folder.
    """
    if not path.parent.is_dir():
        raise SettingsError(f'--out "{path}": there is no folder {path.parent}; make it first.')
    if path.is_dir():
        raise SettingsError(f'--out "{path}" is a folder; name a file.')


def write_report(
    project: Project,
    words: Words,
    path: Path | None = None,
    *,
    argilla_runs: bool,
    named: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write the page as the project stands; nobody else on the machine can read it.

    Args:
        project: The project.
        words: Of the page's language.
        path: The file; report.html in the project where none is named.
        argilla_runs: The embedded Argilla does.
        named: With user names instead of pseudonyms.
        progress: Told how many items are counted.
    """
    path = path or project.folder / "report.html"
    shown = gather(project, argilla_runs=argilla_runs, progress=progress)
    write_whole(path, page(shown, words, str if named else project.pseudonym, named=named), mode=0o600)
    return path


def document(title: str, body: object, words: Words, *, refresh_s: int = 0) -> bytes:
    """A whole HTML file.

    Args:
        title: Of the window.
        body: Its parts, as for `tag`.
        words: Of its language.
        refresh_s: After how many seconds it loads itself again; 0 for never.
    """
    return (
        "<!doctype html>"
        + tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=policy()),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="referrer", content="same-origin"),
                tag("meta", http_equiv="refresh", content=refresh_s) if refresh_s else None,
                tag("title", title),
                Html(f"<style>{style()}</style>"),
            ),
            tag("body", body),
            lang=words.language,
        )
        + "\n"
    ).encode()


def _chapters(shown: Facts, words: Words, name: Callable[[str], str]) -> Iterator[tuple[str, list[Html]]]:
    """Title and content of every section that has something to say."""
    of: dict[str, Iterable[Html]] = {
        "quotas": progress.quotas(shown, words),
        "forecast": progress.forecast(shown, words),
        "pace": progress.pace(shown, words) if shown.countries is None else (),
        "agreement": progress.agreement(shown, words),
        "people": people.people(shown, words, name),
        "controls": people.controls(shown, words, name),
        "contested": disputed.contested(shown, words),
        "gaps": disputed.gaps(shown, words),
        "problems": rest.problems(shown, words),
        "votes": rest.votes(shown, words),
        "money": rest.money(shown, words),
        "runs": rest.runs(shown, words) if shown.countries is None else (),
        "rounds": rounds.rounds(shown, words),
        "notes": rest.notes(shown, words),
    }
    for key, parts in of.items():
        if found := list(parts):
            yield key, found
