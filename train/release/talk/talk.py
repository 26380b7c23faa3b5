"""The talk about a project's runs, as a folder: slides for Marp and for a browser, a PDF, and the words to say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotation.config import Settings
from annotation.errors import TrainError
from annotation.files import lock_file, write_whole
from annotation.ledger_file import now
from annotation.screen import Progress, counted, silent
from train.evaluate.gate import EVALUATION
from train.evaluate.run import check_evaluation
from train.models.base import public_name
from train.release.card import SNAPSHOT
from train.release.figures import FIGURES, Figure, write_figures
from train.release.findings import RANKED, Findings, find_runs
from train.release.given import GIVEN
from train.release.hub.contents import RELEASE
from train.release.lint import METHOD, lint_page
from train.release.talk.deck import SLIDES, Slide, digest, own_parts, read_slides, with_parts, written
from train.release.talk.language import LANGUAGES, Words, escaped, words_in
from train.release.talk.outline import LEARNING, MOST_COUNTRIES, RESULTS, Outline, Own
from train.release.talk.pdf import print_pdf
from train.release.talk.plots import draw_learning, draw_results
from train.release.talk.render import page_of, style
from train.release.talk.speech import LIMIT_S, RATE, TURN_S, Timed, count_words, minutes, seconds_of, total

PAGE, PDF, SCRIPT = "slides.html", "slides.pdf", "script.md"
"""Beside the slides: the page for a browser, its print, and the words to say."""

PARTS = ("why", "team")
"""Slides that are the team's."""

MOST_WORDS = 75
"""Words of a slide that people can still read while somebody speaks."""

_LANGUAGE = re.compile(r"^lang: (\w+)$", re.MULTILINE)
_SEAL = re.compile(r"^# annot [0-9a-f]{64}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk that was made.

    Attributes:
        folder: Where it is.
        run: The run that it is about.
        language: ISO 639-1.
        rate: Words a minute.
        seconds: What all slides take.
        slides: What each takes.
        files: Names of what was written.
        warnings: What somebody should look at.
    """

    folder: Path
    run: str
    language: str
    rate: int
    seconds: int
    slides: Sequence[Timed]
    files: Sequence[str]
    warnings: Sequence[str]

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"{self.folder}: {', '.join(self.files)}",
            f"A talk about {self.run}, {counted(len(self.slides), 'slide')}: {minutes(self.seconds)} of "
            f"{minutes(LIMIT_S)} at {self.rate} words a minute (an assumption; --rate takes another)",
            *(f"warning: {sentence}" for sentence in self.warnings),
            f"Next: open {self.folder / PAGE}; write your own words in {SLIDES}, then run the same command again",
        ]


def make_talk(
    home: Path,
    to: Path,
    *,
    run: str = "",
    language: str = "",
    rate: int = RATE,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Talk:
    """Make the talk, or make it again: what the team wrote in its own parts of the slides stays.

    Args:
        home: The project's folder.
        to: The talk's.
        run: Name of the run that it is about; default: the newest that passed its gate, else the newest measured.
        language: One of LANGUAGES; default: that of the talk in the folder, else the first of the project that is.
        rate: Words a minute.
        settings: Of the project; None on a machine that has only runs.
        progress: Told the stage.

    Raises:
        TrainError: No run is finished, it was not measured, something else is in the folder, or the slides were changed
            where they are made anew.
    """
    found = find_runs(home, run)
    main = found.main
    if not main.ranked:
        raise TrainError(
            f"{main.name} was not measured by this annot, so a talk would have no result to tell; run `annot evaluate "
            f"{main.name}` first."
        )
    check_evaluation(main.folder)
    lock = to / ".talk.lock"
    if not lock.exists():  # with it, a talk was begun here
        _check_new(to)
    to.mkdir(parents=True, exist_ok=True)
    with lock_file(lock, lambda note: progress(0, note=note), "waiting for another `annot talk` of this folder"):
        return _make(home, to, found, language, rate, settings, progress)


def _make(
    home: Path, to: Path, found: Findings, language: str, rate: int, settings: Settings | None, progress: Progress
) -> Talk:
    """Write the files of a talk; nobody else does at the time."""
    before = _read(to / SLIDES)
    parts = _kept(before, to / SLIDES)
    last = _language_of(before)
    words = words_in([language or last] if language or last else _languages(found, settings))
    for one in found.runs:
        one.fig.marks = words.marks
    own = _own(found, home, settings)
    progress(0, 3, "drawing")
    outline = Outline(found, words, own, _draw(to, found, words))
    text, figures = found.fig.page(f"{_front(words, own.project)}\n{outline.markdown()}", SLIDES)
    text = with_parts(text, parts)
    text = _SEAL.sub(f"# annot {digest(text)}", text, count=1)
    if _read(to / SLIDES) != before:
        raise TrainError(f"{to / SLIDES} was changed while the talk was made, and stays as it is; run this again.")
    write_whole(to / FIGURES, write_figures(figures))
    write_whole(to / SLIDES, text.encode())
    progress(1, 3, "writing")
    slides = read_slides(text, to)
    waiting = [part for part in PARTS if _is_waiting(own_parts(text, to / SLIDES).get(part, ""), part)]
    times = [_timed(slide, rate, waiting) for slide in slides]
    write_whole(to / SCRIPT, _script(times, words, own.project, rate).encode())
    page = page_of(slides, title=own.project, language=words.language, keys=words("keys"))
    write_whole(to / PAGE, page.encode())
    progress(2, 3, "printing")
    (to / PDF).unlink(missing_ok=True)
    unprinted = print_pdf(to / PAGE, to / PDF)
    write_whole(to / RELEASE, json.dumps(_facts(found, words), ensure_ascii=False, indent=2).encode())
    changed = f"the talk in {to} was in {last} and is in {words.language} now; name another folder to keep both."
    warnings = [
        *([changed] if last not in ("", words.language) else []),
        *_too_long(times),
        *_own_warnings(slides, words, waiting),
        *_unfounded(to / SLIDES, text, figures, home, own.project),
        *([unprinted] if unprinted else []),
    ]
    names = (SLIDES, PAGE, PDF, SCRIPT, FIGURES)
    there = [name for name in names if (to / name).exists()]
    return Talk(to, found.main.name, words.language, rate, total(times), times, there, warnings)


def _check_new(to: Path) -> None:
    """Make sure that nothing of somebody else's is overwritten.

    Raises:
        TrainError: The folder holds a file of a talk's that annot did not write, or it is a file.
    """
    if to.exists() and not to.is_dir():
        raise TrainError(f"{to} is a file; name a folder.")
    names = (PAGE, PDF, SCRIPT, FIGURES, RELEASE, RESULTS, LEARNING)
    if _read(to / SLIDES):
        _kept(_read(to / SLIDES), to / SLIDES)
    elif taken := [name for name in names if (to / name).exists()]:
        raise TrainError(f"{to / taken[0]} is there already and is no talk's: name another folder.")


def _read(path: Path) -> str:
    """The slides that are there; "" where there are none."""
    try:
        return path.read_text(encoding="utf-8-sig") if path.exists() else ""  # Windows writes a mark before it
    except UnicodeDecodeError:
        raise TrainError(f"{path} is not in UTF-8; save it so, then run this again.") from None


def _kept(text: str, path: Path) -> dict[str, str]:
    """What the team wrote in the slides; nothing where it has not begun.

    Raises:
        TrainError: They are no talk's, or were changed where they are made anew.
    """
    if not text:
        return {}
    seal = _SEAL.search(text)
    if not seal:
        raise TrainError(f"{path} is there already, and annot did not write it: name another folder.")
    parts = own_parts(text, path)
    if digest(_SEAL.sub(_OPEN, text, count=1)) != seal[0].rpartition(" ")[2]:
        raise TrainError(
            f"{path} was changed outside of the parts that are yours, and the rest is made anew: move your words "
            'between a line that begins with "[//]: # (yours" and its end, put the rest back, or name another folder.'
        )
    return {part: words for part, words in parts.items() if not _is_waiting(words, part)}


def _language_of(slides: str) -> str:
    """The language of the slides that are there, ISO 639-1; "" without any."""
    found = _LANGUAGE.search(slides)
    return found[1] if found and found[1] in LANGUAGES else ""


_OPEN = f"# annot {'0' * 64}"
"""Where the digest of the slides will stand."""


def _is_waiting(words: str, part: str) -> bool:
    """Whether a part has what annot put there and nothing else: words beside it are the team's."""
    for language in LANGUAGES:
        for name in (f"{part}_yours", f"{part}_said"):
            words = words.replace(Words(language)(name), "")
    return not re.search(r"\w", words)


def _languages(found: Findings, settings: Settings | None) -> Sequence[str]:
    if settings:
        return settings.project.languages
    fig = found.fig
    return fig.value(GIVEN, "languages") or fig.value(SNAPSHOT, "settings", "project", "languages") or ()


def _own(found: Findings, home: Path, settings: Settings | None) -> Own:
    if settings:
        demo = settings.demo
        return Own(settings.project.name or home.name, demo.motivation, demo.team)
    return Own(str(found.fig.value(SNAPSHOT, "settings", "project", "name") or home.name))


def _front(words: Words, title: str) -> str:
    """The head of the Markdown, which Marp reads."""
    css = "\n".join(f"  {line}" for line in style().rstrip().split("\n"))
    told = json.dumps(" ".join(title.split()), ensure_ascii=False)
    return (
        f"---\n{_OPEN}\nmarp: true\ntheme: default\npaginate: true\nsize: 16:9\nlang: {words.language}\n"
        f"title: {told}\nstyle: |\n{css}\n---\n"
    )


def _draw(to: Path, found: Findings, words: Words) -> list[str]:
    """Draw the plots, and name those that there are, and the curves in them."""
    drawn = []
    groups = found.fig.value(*RANKED)
    countries = [group for group in groups if group["by"] == "country" and group["name"]]
    if countries:
        line = float(found.fig.value(EVALUATION, "settings", "gate_accuracy"))
        draw_results(to / RESULTS, [groups[0], *countries[:MOST_COUNTRIES]], words, line)
        drawn.append(RESULTS)
    if curves := draw_learning(to / LEARNING, found.main.folder, words):
        drawn += [LEARNING, *curves]
    for name in {RESULTS, LEARNING}.difference(drawn):
        (to / name).unlink(missing_ok=True)
    return drawn


def _timed(slide: Slide, rate: int, waiting: Sequence[str]) -> Timed:
    own = any(part in slide.kind.split() for part in PARTS)
    said = "" if own and set(waiting).intersection(slide.kind.split()) else slide.said
    words = count_words(said)
    return Timed(slide.title, said, words, seconds_of(words, rate), slide.own)


def _script(times: Sequence[Timed], words: Words, project: str, rate: int) -> str:
    """The words to be spoken, with what each slide takes."""
    left = LIMIT_S - total(times)
    lines = [
        f"# {words('script', project=escaped(project))}",
        words("script_total", total=f"**{minutes(total(times))}**", rate=rate, turn=TURN_S),
        words("script_rate"),
        words("script_left", seconds=left, words=left * rate // 60)
        if left >= 0
        else words("script_over", seconds=-left, slides=", ".join(_longest(times))),
        words("script_notes"),
    ]
    for number, slide in enumerate(times, 1):
        lines.append("## " + words("script_slide", number=number, title=escaped(slide.title), seconds=slide.seconds))
        lines += [escaped(line) for line in slide.said.split("\n")] if slide.said else [words("script_empty")]
    return "\n\n".join(lines) + "\n"


def _longest(times: Sequence[Timed]) -> list[str]:
    """Slides to shorten, as "Who we are (1:20)": the team's own, or else the longest."""
    chosen = [slide for slide in times if slide.own and slide.words] or sorted(times, key=lambda one: -one.seconds)[:2]
    return [f"{slide.title} ({minutes(slide.seconds)})" for slide in sorted(chosen, key=lambda one: -one.seconds)]


def _too_long(times: Sequence[Timed]) -> list[str]:
    over = total(times) - LIMIT_S
    return (
        [f"{over} s more than five minutes; shorten what is said to: {', '.join(_longest(times))}."] if over > 0 else []
    )


def _own_warnings(slides: Sequence[Slide], words: Words, waiting: Sequence[str]) -> list[str]:
    """What the team should still do in its own parts."""
    found = []
    if waiting:
        names = " and ".join(f"“{words(part)}”" for part in waiting)
        found.append(f"{SLIDES}: {names} {'waits' if len(waiting) == 1 else 'wait'} for your own words.")
    for slide in slides:
        if slide.own and slide.words > MOST_WORDS:
            found.append(f"{SLIDES}: “{slide.title}” shows {slide.words} words; most people can read {MOST_WORDS}.")
        found += [
            f"{SLIDES}: the picture {address[:80]} is not shown: put it into the folder and name it without an address."
            for address in slide.left_out
        ]
    return found


def _unfounded(path: Path, text: str, figures: Sequence[Figure], home: Path, project: str) -> list[str]:
    """What has to be put right in the slides, such as numbers that stand in no run."""
    named = re.compile(f"{METHOD.pattern}|{re.escape(escaped(project))}|{re.escape(project)}")
    return lint_page(path, home, written(text), figures, allowed=named)


def _facts(found: Findings, words: Words) -> Mapping[str, Any]:
    """What the talk is about: `annot trace` goes on from here."""
    facts = found.fig.facts
    return {
        "kind": "talk",
        "run": found.main.name,
        "runs": {run.name: run.adapter for run in found.runs},
        "snapshot": facts.get("snapshot"),
        "base": public_name(facts),
        "base_version": facts["base_version"],
        "adapter_sha256": found.main.adapter,
        "gate": found.main.gate.verdict,
        "language": words.language,
        "annot": version("annot"),
        "made_at": now(),
    }
