"""The task "check prompts": people accept a prompt, or reject it and say why. Pure: no argilla here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.config import Settings
from annotation.task_tables import PromptCheckSettings
from annotation.tasks.base import DECISION, ItemOutcome, ItemTask, Kind, Rows, Scale, Texts, chosen, decision_of
from annotation.tasks.form import Field, Form, Question
from annotation.tasks.page import TEXTS_OF, TeamPage, as_typed, as_written, properties, record_of, vector_of
from annotation.tasks.prompt_check.texts import TEXTS
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Item

NAME = "prompt_check"
ACCEPT = ("knowledge", "preference", "dynamics", "bias_probe")
"""What an accepted prompt asks for."""
REJECT = ("trivial", "stereotype", "unrelated")
"""Why a prompt is rejected."""

ACCEPTED, REJECTED, UNDECIDED = "accepted", "rejected", "undecided"

_PROMPT: dict[str, Kind] = {"prompt_id": "text", "system": "text", "prompt": "text"}
_GROUP: dict[str, Kind] = {"country": "text", "language": "text", "topic": "text"}
CHECKS: Mapping[str, Kind] = {
    **_PROMPT,
    **_GROUP,
    "annotator": "text",
    "verdict": "text",
    "comment": "text",
    **DECISION,
}
CHECKED: Mapping[str, Kind] = {**_PROMPT, **_GROUP, "status": "text", "accepts": "int", "rejects": "int", **DECISION}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person said of one prompt.

    Attributes:
        kind: One of ACCEPT or REJECT.
        comment: Free text, or "".
    """

    kind: str
    comment: str = ""

    @property
    def accepts(self) -> bool:
        """Whether the person accepts the prompt."""
        return self.kind in ACCEPT


class PromptCheck(ItemTask):
    """See `annotation.tasks.base.Task`."""

    name = NAME
    title = "check prompts"
    one = "prompt"
    many = "prompts to check"
    made_by = "annot prompts review"
    label = "check"
    scale: Scale = "nominal"
    counted: tuple[str, ...] = (ACCEPTED, REJECTED, UNDECIDED)

    def settings(self, settings: Settings) -> PromptCheckSettings:
        """See Task."""
        return settings.task.prompt_check

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        say = page.texts(NAME, TEXTS)
        return Form(
            names=page.names(settings.task.prompt_check.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=(Field("system", say["system"], required=False), Field("prompt", say["prompt"])),
            questions=(
                Question(
                    "verdict",
                    "label_selection",
                    say["verdict"],
                    say["verdict.help"],
                    required=True,
                    options={kind: say[kind] for kind in (*ACCEPT, *REJECT)},
                ),
                Question("comment", "text", say["comment"], say["comment.help"]),
            ),
            metadata=properties(page, self.label, say["item"], authors=True),
            vector=vector_of(page, dimensions),
            overlap=settings.task.prompt_check.overlap,
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task. A control item has a text of its own in the place of the prompt's."""
        prompt = texts.prompts[item.prompt_id]
        fields = {"prompt": as_typed(item.content.get(TEXTS_OF, {}).get(prompt.id, prompt.text))}
        if prompt.system:
            fields["system"] = as_typed(prompt.system)
        return record_of(item, self.label, fields, vector)

    def read(self, item: Item, values: Mapping[str, Any]) -> Verdict:
        """See Task."""
        kind = chosen(values, "verdict", (*ACCEPT, *REJECT), "verdict")
        return Verdict(kind, as_written(values.get("comment") or "").strip())

    def values(self, item: Item, value: Verdict) -> dict[str, Any]:
        """See Task."""
        comment = {"comment": {"value": value.comment}} if value.comment else {}
        return {"verdict": {"value": value.kind}, **comment}

    def reported(self, value: Verdict) -> Collection[str]:
        """See Task: why it was rejected."""
        return () if value.accepts else (value.kind,)

    def units(self, item: Item, value: Verdict) -> Mapping[str, str]:
        """See Task: whether the prompt is accepted; why is a matter of taste."""
        return {"": "accept" if value.accepts else "reject"}

    def score(self, item: Item, value: Verdict) -> float:
        """See Task; `expected` is {"accepted": true or false}."""
        return float(value.accepts is bool((item.expected or {})["accepted"]))

    def outcome(self, item: Item, answers: Sequence[Answer[Verdict]], settings: Settings) -> ItemOutcome:
        """See Task: what became of the prompt; nothing before the first answer."""
        if not answers:
            return ItemOutcome()
        return ItemOutcome({status_of(answers, settings.task.prompt_check): 1})

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[Verdict]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: every verdict, and what became of every prompt that has one."""
        of_item: dict[str, list[Answer[Verdict]]] = defaultdict(list)
        for answer in answers:
            of_item[answer.item_id].append(answer)
        checks, checked = [], []
        for item_id, own in sorted(of_item.items()):
            prompt = texts.prompts[items[item_id].prompt_id]
            about = {
                "prompt_id": prompt.id,
                "system": prompt.system,
                "prompt": prompt.text,
                "country": prompt.country,
                "language": prompt.language,
                "topic": prompt.topic,
            }
            accepts = sum(answer.value.accepts for answer in own)
            status = status_of(own, settings.task.prompt_check)
            said = {"status": status, "accepts": accepts, "rejects": len(own) - accepts}
            checked.append({**about, **said, **decision_of(*own)})
            named = sorted((pseudonym(answer.annotator), answer) for answer in own)
            for who, answer in named:
                # People type freely into a comment: what identifies somebody stays in the ledger.
                comment = mask_typed(answer.value.comment, answer.country, texts.people)
                given = {"annotator": who, "verdict": answer.value.kind, "comment": comment}
                checks.append({**about, **given, **decision_of(answer)})
        return {"prompt_checks.parquet": Rows(checks, CHECKS), "checked_prompts.parquet": Rows(checked, CHECKED)}


def status_of(answers: Sequence[Answer[Verdict]], settings: PromptCheckSettings) -> str:
    """ACCEPTED with enough accepts; REJECTED when as many people as are asked answered without; else UNDECIDED.

    Where an adjudicator decided, it is what they said: one vote more could never undo enough accepts.
    """
    if decided := [answer.value for answer in answers if answer.adjudicated]:
        return ACCEPTED if decided[0].accepts else REJECTED
    if sum(answer.value.accepts for answer in answers) >= settings.accepts:
        return ACCEPTED
    return REJECTED if len(answers) >= settings.overlap else UNDECIDED
