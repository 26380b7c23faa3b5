"""Protocol of a task: what one kind of judgement defines; the rest of the pipeline is the same for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.task_tables import TaskSettings
from annotation.tasks.form import Form, Shape
from annotation.tasks.page import TEXTS_OF, TeamPage
from annotation.types import Answer, Item, Person, Prompt

T = TypeVar("T")
Scale = Literal["ordinal", "nominal", "interval"]
Kind = Literal["text", "texts", "int", "ints", "float", "bool", "lists of texts"]


class Unfit(ValueError):
    """A response that does not fit its item; the message says how, in a few words that can be counted."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What items are about, read from the ledger once.

    Attributes:
        prompts: Prompt id -> prompt.
        candidates: Candidate id -> text.
        people: Everyone ever on the team, and who is forgotten: their names are masked in what people typed.
        folder: The project's, below which pictures are; None: records are made without their pictures.
    """

    prompts: Mapping[str, Prompt]
    candidates: Mapping[str, str]
    people: tuple[Person, ...] = ()
    folder: Path | None = None

    @classmethod
    def of(cls, ledger: Ledger, task: Task[Any], items: Sequence[Item]) -> Texts:
        """Read what these items of a task need."""
        named = {candidate for item in items for candidate in task.candidates(item)}
        prompts = {item.prompt_id for item in items if item.prompt_id}
        return cls(
            {prompt.id: prompt for prompt in ledger.prompts(prompts)} if prompts else {},
            (ledger.candidate_texts(named) if named else {})
            | {name: text for item in items for name, text in item.content.get(TEXTS_OF, {}).items()},
            ledger.named_people(),
            ledger.path.parent,
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """A table that leaves the project.

    Attributes:
        rows: Its rows.
        columns: Name -> kind of each column of a parquet file; empty for JSON lines.
        line: What a line of JSON holds of a row; made when it is written, since not everybody writes it.
    """

    rows: Sequence[Mapping[str, Any]]
    columns: Mapping[str, Kind] = field(default_factory=dict)
    line: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What the answers to one item come to.

    Attributes:
        made: Name -> how many of what is counted, for example {"preferences": 5}.
        excluded: Reason -> how many were set aside for it.
        place: Where the item is counted in a table of the task's own, by its columns; () where there is none.
    """

    made: Mapping[str, int] = field(default_factory=Counter)
    excluded: Mapping[str, int] = field(default_factory=Counter)
    place: tuple[str, ...] = ()


class Task(Protocol[T]):
    """One kind of judgement.

    Attributes:
        name: Key in the ledger, in `[task.NAME]` of annot.toml and in `TASKS`.
        title: What people do, for tables.
        one: What is put before people, for sentences.
        many: Its plural.
        made_by: The command that makes items; "" where none does yet.
        label: Name of the metadata in which a record holds its item's id.
        scale: Of the values in `units`.
        counted: Names in `ItemOutcome.made`, in the order in which they are shown.
        trains: Met quotas start a run.
        sensitive: Its texts may hurt: they are shown to those alone who consented (`annotation.tasks.consent`), and
            leave the project only by the command of their own.
        frozen: Files of `tables` that a snapshot keeps -> their names in there, in the order in which its id is
            computed; of a task that trains.
    """

    name: str
    title: str
    one: str
    many: str
    made_by: str
    label: str
    scale: Scale
    counted: tuple[str, ...]
    trains: bool
    sensitive: bool
    frozen: Mapping[str, str]

    def settings(self, settings: Settings) -> TaskSettings:
        """The task's own table of annot.toml."""

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """The dataset that a team works in.

        Args:
            page: What the team reads.
            settings: Of the project.
            dimensions: Of the items' vectors; None for no "find similar".
        """

    def differs(self, shape: Shape, needed: Shape) -> str:
        """Why a dataset of this shape cannot hold the task's records, as the end of a sentence; "" where it can."""

    def misfit(self, item: Item, settings: Settings, folder: Path | None = None) -> tuple[str, str] | None:
        """Why an item does not fit the form: a reason that can be counted, and what decided; None when it fits.

        Args:
            item: Of the task.
            settings: Of the project.
            folder: The project's, below which the files are that its record needs; None where nobody looks.
        """

    def candidates(self, item: Item) -> Iterable[str]:
        """Ids of the candidates whose texts the item needs."""

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """An item as Argilla's REST takes it."""

    def read(self, item: Item, values: Mapping[str, Any]) -> T:
        """What a submitted response says, from its values as REST tells them (question -> value).

        Raises:
            Unfit: The values do not belong to this item.
        """

    def values(self, item: Item, value: T) -> dict[str, Any]:
        """The inverse of `read`: what the page would send (question -> {"value": ...})."""

    def units(self, item: Item, value: T) -> Mapping[str, float | str]:
        """What agreement is measured on: unit of the item -> value on the task's scale.

        On a nominal scale units ask different things, and each is measured by itself; one that is called "" is all.
        """

    def score(self, item: Item, value: T) -> float:
        """How near an answer is to `item.expected`, from 0 to 1."""

    def reported(self, value: T) -> Collection[str]:
        """Kinds of what a person reports to be wrong, each as often as they do: in a task's own words."""

    def outcome(self, item: Item, answers: Sequence[Answer[T]], settings: Settings) -> ItemOutcome:
        """What all answers to one item come to."""

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[T]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """File name (.parquet or .jsonl) -> rows, for export and snapshots. No user name, model or voice in them.

        Called with some of the items at a time, in the order of their ids: rows are in that order too.
        """


class ItemTask:
    """Parts that most tasks share: items hold all that is shown, every one fits, and a form must agree in all."""

    trains = False
    sensitive = False
    frozen: Mapping[str, str] = MappingProxyType({})

    def differs(self, shape: Shape, needed: Shape) -> str:
        """See Task."""
        return f"differs from what annot asks in {', '.join(shape.differing(needed))}"

    def misfit(
        self,
        item: Item,  # noqa: ARG002
        settings: Settings,  # noqa: ARG002
        folder: Path | None = None,  # noqa: ARG002
    ) -> tuple[str, str] | None:
        """See Task."""
        return None

    def candidates(self, item: Item) -> Iterable[str]:  # noqa: ARG002
        """See Task."""
        return ()

    def reported(self, value: Any) -> Collection[str]:  # noqa: ARG002
        """See Task."""
        return ()

    def tables(
        self,
        items: Mapping[str, Item],  # noqa: ARG002
        answers: Sequence[Answer[Any]],  # noqa: ARG002
        texts: Texts,  # noqa: ARG002
        settings: Settings,  # noqa: ARG002
        pseudonym: Callable[[str], str],  # noqa: ARG002
    ) -> dict[str, Rows]:
        """See Task: none; what people say of sensitive items leaves by a command of their own."""
        return {}


DECISION: Mapping[str, Kind] = {"adjudicated": "bool"}
"""Column that a row has only where an adjudicator decided: so snapshots of older projects keep their ids."""


def decision_of(*answers: Answer[Any]) -> dict[str, bool]:
    """What a row says of DECISION."""
    return {"adjudicated": True} if any(answer.adjudicated for answer in answers) else {}


def chosen(values: Mapping[str, Any], question: str, options: Collection[str], what: str) -> str:
    """The option that a response chose at a question that has to be answered.

    Raises:
        Unfit: None, or one that the question does not have.
    """
    option = values.get(question)
    if option not in options:
        raise Unfit("nothing was chosen" if option is None else f"unknown {what}: {option}")
    return str(option)
