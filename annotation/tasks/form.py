"""An Argilla dataset as plain data: what a task asks. `sync/argilla/` turns it into calls; no task imports argilla."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

GUARD, CONSENT, ASSIGN = "annot_guard", "annot_consent", "annot_assign"
"""Keys in the metadata of Argilla's datasets by which the embedded server knows what is guarded, where people consent
(`annotation/server/search/consent.py`), and who is asked what (`annotation/server/search/assignment.py`)."""


@dataclass(frozen=True, slots=True)
class Field:
    """Something that the annotator looks at.

    Attributes:
        name: Key in a record's fields.
        title: What stands above it, in the team's language.
        kind: "text" (shown as typed), "image" (an address or a data URL) or "chat" (a list of {role, content}).
        required: Every record has it.
    """

    name: str
    title: str
    kind: Literal["text", "image", "chat"] = "text"
    required: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """Something that the annotator answers.

    Attributes:
        name: Key in a response's values.
        kind: Argilla's name of the type.
        title: What is asked.
        description: Help beside it.
        required: A response without it cannot be submitted.
        options: Value -> text on the screen, in order; empty for "text" and "rating".
        numbers: What a rating may be, 0 to 10, in order; empty for all others.
        field: Name of the field in which a "span" is marked; empty for all others.
    """

    name: str
    kind: Literal["ranking", "rating", "label_selection", "multi_label_selection", "text", "span"]
    title: str
    description: str = ""
    required: bool = False
    options: Mapping[str, str] = dataclass_field(default_factory=dict)
    numbers: tuple[int, ...] = ()
    field: str = ""


@dataclass(frozen=True, slots=True)
class Property:
    """Metadata of a record.

    Attributes:
        name: Key in a record's metadata.
        kind: "terms" or "integer".
        title: Its name in the page's filters.
        visible: Annotators see it too, not only leads.
    """

    name: str
    kind: str
    title: str
    visible: bool


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector that every record may carry, for "find similar"."""

    name: str
    title: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What must agree between a form and a dataset that stands, or answers could not be read back.

    Attributes:
        fields: Names of the fields.
        questions: (name, kind, values of the options or numbers as text) of each question.
    """

    fields: frozenset[str]
    questions: frozenset[tuple[str, str, tuple[str, ...]]]

    def differing(self, needed: Shape) -> list[str]:
        """Names of the fields and questions in which two shapes differ."""
        return sorted(self.fields ^ needed.fields | {name for name, *_ in self.questions ^ needed.questions})

    @property
    def seats(self) -> int:
        """How many answers are ranked; 0 where nothing is."""
        return max((len(options) for _, kind, options in self.questions if kind == "ranking"), default=0)


@dataclass(frozen=True, slots=True)
class Guard:
    """What the embedded server lets nobody pass: its records are shown to those alone who consented.

    Attributes:
        question: Of the form: a label question that has to be answered.
        stop: Its option with which a person takes the consent back.
        most_a_day: Records that one person is shown in 24 hours, over all guarded datasets.
    """

    question: str
    stop: str
    most_a_day: int


@dataclass(frozen=True, slots=True)
class Form:
    """A dataset before it has records.

    Attributes:
        names: What it may be called; it is made under the first.
        guidelines: Markdown, at most 10,000 characters.
        fields: In the order of the screen.
        questions: In the order of the screen.
        metadata: What records are filtered by.
        vector: None where records carry none.
        overlap: People who answer each record before it leaves the queues.
        guard: Of the forms of sensitive tasks; None: everybody in the workspace sees the records.
        consent: The option of the first question by which a person consents to what is guarded; "" where none does.
    """

    names: tuple[str, ...]
    guidelines: str
    fields: tuple[Field, ...]
    questions: tuple[Question, ...]
    metadata: tuple[Property, ...]
    vector: Vector | None
    overlap: int
    guard: Guard | None = None
    consent: str = ""

    @property
    def shape(self) -> Shape:
        """What a dataset made from this form looks like."""
        return Shape(
            frozenset(f.name for f in self.fields),
            frozenset((q.name, q.kind, tuple(q.options) or tuple(map(str, q.numbers))) for q in self.questions),
        )

    @property
    def rules(self) -> dict[str, Any]:
        """What the metadata of its dataset says of `guard` and `consent`."""
        rules: dict[str, Any] = {}
        if self.guard:
            rules[GUARD] = asdict(self.guard)
        if self.consent:
            rules[CONSENT] = {"question": self.questions[0].name, "option": self.consent}
        return rules
