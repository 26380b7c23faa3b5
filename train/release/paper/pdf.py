"""PDF of a paper, by pdfLaTeX and BibTeX where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from annotation.files import write_whole

PDF = "paper.pdf"
BY_HAND = "pdflatex paper && bibtex paper && pdflatex paper && pdflatex paper"
TIMEOUT_S = 180


def build_pdf(folder: Path) -> str:
    """Build paper.pdf beside paper.tex.

    Returns:
        Why there is none, as a sentence; "" where it is there.
    """
    missing = [program for program in ("pdflatex", "bibtex") if shutil.which(program) is None]
    if missing:
        return (
            f"No PDF was made, since {' and '.join(missing)} is not installed here (Debian: apt install "
            f"texlive-latex-recommended texlive-fonts-recommended); then, in {folder}: {BY_HAND}"
        )
    with tempfile.TemporaryDirectory() as name:
        beside = Path(name)
        for path in folder.iterdir():
            if path.suffix in (".tex", ".bib", ".sty", ".bst", ".cls"):
                shutil.copy2(path, beside)
        shutil.copytree(folder / "figures", beside / "figures")
        for step in BY_HAND.split(" && "):
            program, job = step.split()
            words = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", job]
            if reason := _run(words if program == "pdflatex" else [program, job], beside):
                return f"No PDF was made: {reason}; mend that, or build it by hand, in {folder}: {BY_HAND}"
        write_whole(folder / PDF, (beside / PDF).read_bytes())
    return ""


def _run(words: list[str], folder: Path) -> str:
    """Run a program of LaTeX's; it reads and writes only in its folder and below.

    Returns:
        Why it stopped; "" where it ended well.
    """
    environment = {**os.environ, "openin_any": "p", "openout_any": "p", "max_print_line": "1000"}
    try:
        done = subprocess.run(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} was stopped after {TIMEOUT_S} s"
    if not done.returncode or (words[0] == "bibtex" and done.returncode == 1):  # 1: warnings
        return ""
    told = done.stdout.decode(errors="replace")
    found = re.search(r"^! (.+(?:\n.*)?)", told, re.MULTILINE) or re.search(r"(.*error.*)", told)
    return f"{words[0]} says: {' '.join(found[1].split()) if found else 'nothing of why it stopped'}"
