"""The `annot` command line: where a person's mistake becomes one sentence. Nothing imports this module."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sqlite3
import sys
from typing import NoReturn

from annotation.commands import app
from annotation.errors import AnnotError
from annotation.screen import print_json

COMMANDS = (
    "annotation.commands.collect",
    "annotation.commands.controls",
    "annotation.commands.exams",
    "annotation.commands.extend",
    "annotation.commands.filtering",
    "annotation.commands.host",
    "annotation.commands.images",
    "annotation.commands.lineage",
    "annotation.commands.stereotypes",
    "sync.commands.adjudicate",
    "sync.commands.host",
    "sync.commands.team",
    "sync.commands.people",
    "sync.commands.judgements",
    "sync.commands.report",
    "sync.commands.rounds",
    "sync.commands.votes",
    "sync.commands.plan",
    "train.commands",
)
"""Modules that put their commands into `app`. By name: nothing here imports upward."""
for _module in COMMANDS:
    importlib.import_module(_module)

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

REFUSED = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What the file system says of a full or read-only disk, of rights and of odd paths: a person's to mend, not ours."""


def main() -> None:
    """Run the command line: a person's mistake is one sentence and exit code 2, ours a traceback."""
    # Libraries that call home at import are told not to, before any of them is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Tables of answers are millions of objects that hold no cycle: looking for cycles in them took a third of the time.
    gc.set_threshold(50_000, 20, 50)
    # httpx's own command line, which nobody calls here: with it come click and pygments, a fifth of a second.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    # Being told to end is like Ctrl-C: what was started is stopped, and nothing is half written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except AnnotError as error:
        _refuse(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        _refuse(f"{error.filename or 'a file'}: {error.strerror}; mend that, then run the same command again.")
    except sqlite3.OperationalError as error:
        if not any(word in str(error) for word in ("full", "readonly", "locked", "disk I/O", "unable to open")):
            raise
        _refuse(f"the ledger cannot be written ({error}); mend that, then run the same command again.")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer has turned Ctrl-C into this.
            print("annot: stopped; run the same command again to go on.", file=sys.stderr)
        raise


def _refuse(sentence: str, exit_code: int = AnnotError.exit_code) -> NoReturn:
    """End with a sentence on stderr; with --json also as an object on stdout, where a script reads whatever comes."""
    print(f"annot: {sentence}", file=sys.stderr)
    if "--json" in sys.argv[1:]:
        print_json({"error": sentence})
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
