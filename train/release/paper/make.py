"""The paper's folder: made from a project's finished runs, made anew as often as they change; people's words stay."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.files import lock_file, write_whole
from annotation.project import HOLDS_FORGOTTEN
from annotation.screen import Progress, silent
from train.evaluate.ranking_summary import RankingSummary, draw_groups
from train.release.figures import FIGURES, Figure, write_figures
from train.release.findings import Findings, FinishedRun, find_runs
from train.release.lint import METHOD, lint_page
from train.release.paper import latex, markdown
from train.release.paper.pdf import BY_HAND, PDF, build_pdf
from train.release.paper.references import bibtex
from train.release.paper.sections import document
from train.release.paper.words import PARTS, WORDS, own_works, read_words, template
from train.report import draw_plots
from train.run_folder import read_facts

MANIFEST = "paper.json"
"""In the paper's folder: which runs it tells of, and the digests of the files that annot wrote."""

TEX, TEXT, BIB = "paper.tex", "paper.md", "references.bib"

TRAINING_PLOTS = ("loss", "accuracy")
"""Plots of the training that the appendix shows."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper that was made.

    Attributes:
        folder: Where it is.
        main: Name of the run that it is about.
        runs: Names of all runs in it, by their keys.
        unfinished: Runs that it does not tell of, because they are not finished.
        unwritten: Parts that wait for people's own words.
        replaced: Character that pdfLaTeX has no glyph for -> how often it was replaced in paper.tex.
        problems: What has to be put right before it is given away.
        no_pdf: Why there is no PDF; "" where it is there.
    """

    folder: Path
    main: str
    runs: Mapping[str, str]
    unfinished: Sequence[str]
    unwritten: Sequence[str]
    replaced: Mapping[str, int]
    problems: Sequence[str]
    no_pdf: str

    def lines(self) -> list[str]:
        """For a person."""
        others = [name for name in self.runs.values() if name != self.main]
        beside = f", beside {', '.join(others)}" if others else ""
        lines = [f"Paper about {self.main}{beside}: {self.folder}"]
        if self.unfinished:
            lines.append(f"Not finished, and not told of: {', '.join(self.unfinished)}")
        if self.replaced:
            count = sum(self.replaced.values())
            signs = ", ".join(f"U+{ord(sign):04X}" for sign in list(self.replaced)[:8])
            lines.append(
                f"Characters of paper.tex for which pdfLaTeX has no glyph, shown as a bold question mark or left out: "
                f"{count} ({signs}); paper.md has them"
            )
        lines += [f"put right before you give it away: {problem}" for problem in self.problems]
        lines.append(self.no_pdf or f"PDF: {self.folder / PDF} (again, by hand: {BY_HAND})")
        if self.unwritten:
            parts = ", ".join(self.unwritten)
            lines.append(f"Next: write {parts} in {self.folder / WORDS}, then run the same command again")
        return lines


def make_paper(home: Path, to: Path, *, run: str = "", progress: Progress = silent) -> Paper:
    """Make the paper of a project's finished runs.

    Args:
        home: The project's folder.
        to: Folder to make, or one that was made before.
        run: Name of the main run; default: the newest that passed its gate.
        progress: Told the stage.

    Raises:
        SettingsError: words.md has a part for which there is no place.
        TrainError: There is no finished run, a file of one is damaged, or a file in the folder is not annot's.
    """
    progress(0, note="reading the runs")
    if to.exists() and not to.is_dir():
        raise TrainError(f"{to} is a file; name a folder.")
    found = find_runs(home, run)
    _check(to)
    to.mkdir(parents=True, exist_ok=True)
    waiting = "waiting for another `annot paper` of this folder"
    with lock_file(to / ".paper.lock", lambda note: progress(0, note=note), waiting):
        return _make(home, to, found, progress)


def _make(home: Path, to: Path, found: Findings, progress: Progress) -> Paper:
    """Write the files of a paper; nobody else does at the time."""
    words = read_words(to)
    _check(to)  # again: another command may have written since
    if not (to / MANIFEST).exists():  # whoever is killed amid it finds the folder his own
        write_whole(to / MANIFEST, json.dumps({"kind": "paper", "files": {}}).encode())
    plots = _draw(found.main, to / "figures", progress)
    paper = document(found, words, plots)
    text, figures = found.fig.page(markdown.markdown(paper), TEXT)
    writer = latex.Latex(own_works(to))
    tex, of_tex = found.fig.page(writer.page(paper), TEX)
    contents = {
        TEXT: text.encode(),
        TEX: tex.encode(),
        BIB: bibtex(writer.cited).encode(),
        FIGURES: write_figures([*figures, *of_tex]),
    }
    _write(to, found, contents)
    if not (to / WORDS).exists():
        write_whole(to / WORDS, template().encode())
    progress(0, note="building the PDF")
    no_pdf = build_pdf(to)
    return Paper(
        to,
        found.main.name,
        {one.key: one.name for one in found.runs},
        found.unfinished,
        [part for part in list(PARTS)[:4] if not words.get(part)],
        dict(writer.replaced.most_common()),
        [*_problems(found), *lint_paper(to, home, [*figures, *of_tex])],
        no_pdf,
    )


def lint_paper(folder: Path, home: Path, figures: Sequence[Figure]) -> list[str]:
    """What has to be put right in a paper, such as numbers that do not stand in a run; nothing where all is well.

    Args:
        folder: Of the paper.
        home: The project's.
        figures: Those of figures.json.
    """
    allowed = re.compile(rf"{METHOD.pattern}|95\\?\s?\\% |\bR\d+\b|\bNF4\b")
    writer, problems = latex.Latex(), list[str]()
    for name in (TEXT, TEX):
        of_page = [figure for figure in figures if figure.page == name]
        written = writer.literal if name == TEX else str
        problems += lint_page(folder / name, home, _body(folder / name), of_page, allowed=allowed, written=written)
    return problems


def _body(path: Path) -> list[tuple[int, str]]:
    """The numbered lines that annot wrote of what it read."""
    form = latex if path.suffix == ".tex" else markdown
    lines = list(enumerate(path.read_text(encoding="utf-8").split("\n"), 1))
    if path.suffix == ".tex":
        lines = lines[next((place for place, (_, line) in enumerate(lines) if line == latex.BODY), 0) :]
    body, own = [], False
    for number, line in lines:
        if line == markdown.REFERENCES:
            break
        own = (own or line == form.OWN_BEGIN) and line != form.OWN_END
        if not own:
            body.append((number, line))
    return body


def _problems(found: Findings) -> list[str]:
    return [
        f"{one.key} ({one.name}) was trained on a snapshot that holds what `annot forget` took out of the project: "
        "train again, and tell of the new run"
        for one in found.runs
        if (snapshot := one.fig.value("run.json", "snapshot"))
        and (found.home / "snapshots" / str(snapshot) / HOLDS_FORGOTTEN).exists()
    ]


def _draw(run: FinishedRun, to: Path, progress: Progress) -> list[str]:
    """Draw the plots of a run as PDF and, for Markdown, as PNG, or copy what its measure drew; returns their names."""
    progress(0, note="drawing")
    to.mkdir(parents=True, exist_ok=True)
    names = []
    for summary in run.found.summaries.values() if run.found else ():
        if isinstance(summary, RankingSummary) and run.found:
            for form in (".png", ".pdf"):
                path = (to / summary.plots()[0]).with_suffix(form)
                draw_groups(path, summary, run.found.settings.gate_accuracy)
            names.append(path.name)
            continue
        for plot in summary.plots():
            if (run.folder / plot).exists():
                shutil.copy2(run.folder / plot, to / plot)
                names.append(plot)
    if (run.folder / "metrics.jsonl").exists():
        drawn = draw_plots(run.folder, to) and draw_plots(run.folder, to, ".pdf")
        names += [path.name for path in drawn if path.stem in TRAINING_PLOTS]
    return names


def _check(to: Path) -> None:
    """Make sure that nobody changed what is made anew.

    Raises:
        TrainError: Somebody did, or the folder holds a file of such a name that annot did not write.
    """
    before = _manifest(to)["files"]
    for name in (PDF, "figures") if not (to / MANIFEST).exists() else ():
        if (to / name).exists():
            raise TrainError(f"{to / name} is there already and is no paper's that annot made: name another folder.")
    for name in (TEXT, TEX, BIB, FIGURES):
        path = to / name
        if path.exists() and _digest(path.read_bytes()) not in before.get(name, ()):
            raise TrainError(
                f"{path} is not what annot wrote, and it is made anew: put your words into {to / WORDS}, and move that "
                "file away or name another folder."
            )


def _write(to: Path, found: Findings, contents: Mapping[str, bytes]) -> None:
    """Write the files, each whole; the manifest names what annot wrote."""
    before = _manifest(to)["files"]
    facts: dict[str, Any] = {
        "kind": "paper",
        "runs": {
            one.key: {"run": one.name, "snapshot": one.fig.value("run.json", "snapshot"), "adapter_sha256": one.adapter}
            for one in found.runs
        },
        "annot": version("annot"),
    }
    new = {name: [_digest(content)] for name, content in contents.items()}
    both = {name: [*digests, *before.get(name, ())] for name, digests in new.items()}
    write_whole(to / MANIFEST, json.dumps({**facts, "files": both}, indent=1).encode())  # whoever is killed amid it
    for name, content in contents.items():
        write_whole(to / name, content)
    write_whole(to / MANIFEST, json.dumps({**facts, "files": new}, indent=1).encode())


def _manifest(to: Path) -> dict[str, Any]:
    if not (to / MANIFEST).exists():
        return {"files": {}}
    made = ", ".join((TEXT, TEX, BIB, FIGURES, PDF))
    remedy = f"move it, {made} and figures away, leave {WORDS}, and run `annot paper` again"
    found = read_facts(to / MANIFEST, {"files": dict}, remedy)
    if not all(isinstance(digests, list) for digests in found["files"].values()):
        raise TrainError(f"{to / MANIFEST} is damaged: its files have no digests; {remedy}.")
    return found


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
