"""PDF of a talk, printed by a browser of this machine: one page a slide."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
"""Where browsers that print without a window are found."""

LONGEST_S = 120
"""A browser that takes longer will not end by itself."""


def find_browser() -> str:
    """A browser that can print; "" where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def print_pdf(page: Path, to: Path) -> str:
    """Print a page; what stands in the way, as a sentence, or "".

    Args:
        page: A file of HTML, which says itself how large its pages are.
        to: The PDF, which is written whole or not at all.
    """
    how = f"open {page} in a browser and print it to a PDF, without margins and with backgrounds"
    browser = find_browser()
    if not browser:
        return f"There is no slides.pdf, because no Chromium, Chrome or Edge was found here: {how}."
    with tempfile.TemporaryDirectory(prefix="annot-talk-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / to.name
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}/profile"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--no-pdf-header-footer", f"--print-to-pdf={made}"),
            # As root, for example in a container, Chromium starts only without its own sandbox.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
            said = "" if done.returncode == 0 else f" (it ended with {done.returncode})"
        except subprocess.TimeoutExpired:
            said = f" (it took longer than {LONGEST_S} s)"
        except OSError as problem:
            said = f" ({problem.strerror})"
        if said or not made.is_file() or not made.read_bytes().startswith(b"%PDF"):
            return f"There is no slides.pdf, because {browser} did not print it{said}: {how}."
        beside = to.with_name(f".{to.name}.part")
        shutil.copyfile(made, beside)
        beside.replace(to)
    return ""
