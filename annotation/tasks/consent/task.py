"""The task "consent": people are warned of what may hurt, and say whether they want to see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.task_tables import ConsentSettings
from annotation.tasks.base import ItemOutcome, ItemTask, Kind, Rows, Scale, Texts, chosen
from annotation.tasks.consent.texts import TEXTS, WARNING
from annotation.tasks.form import Field, Form, Question
from annotation.tasks.page import TeamPage, as_typed, properties, record_of
from annotation.tasks.team_pages import country_language
from annotation.types import Answer, Item, content_id

NAME = "consent"
YES, NO = "yes", "no"

CONSENTS: Mapping[str, Kind] = dict.fromkeys(
    ("consent_id", "country", "language", "warning", "annotator", "said"), "text"
)


class Consent(ItemTask):
    """See `annotation.tasks.base.Task`. An item's content is the `warning`, as it was when the country was asked."""

    name = NAME
    title = "consent"
    one = "consent form"
    many = "consent forms"
    made_by = "annot stereotypes add"
    label = NAME
    scale: Scale = "nominal"
    counted: tuple[str, ...] = ("consents", "refusals")

    def settings(self, settings: Settings) -> ConsentSettings:
        """See Task."""
        return settings.task.consent

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        say = page.texts(NAME, TEXTS)
        return Form(
            names=page.names(settings.task.consent.dataset, NAME, TEXTS),
            guidelines=page.guidelines(__package__, folder=f"{NAME}/"),
            fields=(Field("warning", say["warning"]),),
            questions=(
                Question(
                    "answer",
                    "label_selection",
                    say["answer"],
                    say["answer.help"],
                    required=True,
                    options={option: say[option] for option in (YES, NO)},
                ),
            ),
            metadata=properties(page, self.label, say["item"]),
            vector=None,
            overlap=settings.task.consent.overlap,
            consent=YES,
        )

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task."""
        return record_of(item, self.label, {"warning": as_typed(item.content["warning"])}, None)

    def read(self, item: Item, values: Mapping[str, Any]) -> str:
        """See Task: YES or NO."""
        return chosen(values, "answer", (YES, NO), "answer")

    def values(self, item: Item, value: str) -> dict[str, Any]:
        """See Task."""
        return {"answer": {"value": value}}

    def units(self, item: Item, value: str) -> Mapping[str, str]:
        """See Task: nobody has to agree on it."""
        return {}

    def score(self, item: Item, value: str) -> float:
        """See Task; `expected` is {"answer": YES or NO}."""
        return float(value == (item.expected or {})["answer"])

    def outcome(self, item: Item, answers: Sequence[Answer[str]], settings: Settings) -> ItemOutcome:
        """See Task."""
        return ItemOutcome(Counter("consents" if answer.value == YES else "refusals" for answer in answers))

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[str]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: what everybody said last, and to which warning."""
        rows = [
            {
                "consent_id": item_id,
                "country": country,
                "language": items[item_id].language,
                "warning": items[item_id].content["warning"],
                "annotator": who,
                "said": said,
            }
            for item_id, who, country, said in sorted(
                (answer.item_id, pseudonym(answer.annotator), answer.country, answer.value) for answer in answers
            )
        ]
        return {"consents.parquet": Rows(rows, CONSENTS)}


def add_consents(ledger: Ledger, countries: Iterable[str], most_a_day: int) -> int:
    """Make the one consent item of each country that has none yet; returns how many were new.

    Args:
        ledger: The project's.
        countries: ISO 3166-1 alpha-2.
        most_a_day: Texts that one person is shown in 24 hours, as the warning tells it.
    """
    return ledger.add_items(missing_consents(ledger, countries, most_a_day))


def missing_consents(ledger: Ledger, countries: Iterable[str], most_a_day: int) -> list[Item]:
    """The items that `add_consents` would make."""
    there = {item.country: item.position for item in ledger.items(NAME)}
    people = ledger.people()
    first = max(there.values(), default=-1) + 1
    found = []
    for position, country in enumerate(sorted(set(countries) - there.keys()), first):
        language = country_language(people, country)
        warning = WARNING[TeamPage(language, country).base].format(most_a_day=most_a_day)
        found.append(Item(content_id(NAME, country), NAME, position, country, language, NAME, {"warning": warning}))
    return found
