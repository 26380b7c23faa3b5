"""Errors that a person can put right, as one family.

    AnnotError
    ├── SettingsError      annot.toml or a flag says something impossible
    ├── ProjectError       the folder is no project, is busy, or was made by a newer annot
    ├── SourceError        a file or dataset cannot be read as asked
    ├── DraftError         candidates cannot be drafted
    │   └── BudgetExhausted
    ├── EncoderError       the sentence encoder cannot be loaded
    ├── ServerError        the embedded Argilla cannot be started or reached
    ├── ArgillaError         Argilla refused, or is not there
    ├── NotEnoughOverlap   a statistic has nothing to stand on
    └── TrainError         a run cannot start or go on
        └── TrainLater     not now, but the same command may work later

`annotation.cli.main` catches the family in one place: one sentence on stderr, exit code 2. Any other
exception is our own bug and keeps its traceback.
"""


class AnnotError(Exception):
    """One sentence that names the place, the reason and the remedy."""

    exit_code = 2


class SettingsError(AnnotError):
    """`annot.toml` or a flag says something impossible."""


class ProjectError(AnnotError):
    """The folder is no project, is in use, or was made by a newer annot."""


class SourceError(AnnotError):
    """A file or a dataset cannot be read as asked."""


class DraftError(AnnotError):
    """Candidates cannot be drafted."""


class BudgetExhausted(DraftError):
    """The next call could cost more than what is left of the budget."""


class EncoderError(AnnotError):
    """The sentence encoder cannot be loaded."""


class ServerError(AnnotError):
    """The embedded Argilla cannot be started or reached."""


class ArgillaError(AnnotError):
    """Argilla refused a request, or is not there."""


class NotEnoughOverlap(AnnotError):
    """A statistic has nothing to stand on: too few items were judged by two people."""


class TrainError(AnnotError):
    """A training run cannot start or go on."""


class TrainLater(TrainError):
    """A run cannot go on now; the same command may later, with nothing changed."""
