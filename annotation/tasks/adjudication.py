"""Adjudication: what people of a country do not agree on is decided by one who is told what they said, and not who."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from annotation.config import Settings
from annotation.tasks.base import Task, Texts
from annotation.tasks.form import Field, Form, Property, Question
from annotation.tasks.page import AUTHOR, MOST_CHARACTERS, TeamPage, as_typed, as_written
from annotation.tasks.page import TEXTS as PAGE
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Item, Person

NAME = "adjudication"
"""Purpose of such an item, whose `parent` is the item to be decided; and the table of its texts in a project's own."""

ADJUDICATOR = "adjudicator"
"""Role on a roster: somebody who decides and does not annotate."""

SAID = "said"
"""Key in the content of an item to be decided, and the field on its page: what people said, counted."""

GAP, RULE = "gap", "rule"
"""Questions: whether the guidelines lack a rule, and which."""

YES, NO = "yes", "no"

_QUOTE = "«"
"""How a line of what somebody typed begins."""

_LONGEST_NAME = 150
"""Characters of a dataset's name before the word in front of it; Argilla takes 200 in all."""


def adjudicators(people: Iterable[Person], country: str) -> list[str]:
    """User names of those who decide in a country: who has that role there, and where nobody has, its admins."""
    there = [person for person in people if person.active and not person.excluded and person.country == country]
    named = [person.username for person in there if person.role == ADJUDICATOR]
    return named or [person.username for person in there if person.role == "admin"]


def adjudication_form(task: Task[Any], page: TeamPage, settings: Settings) -> Form:
    """The dataset in which adjudicators decide: the task's own, with what people said, and what the guidelines lack.

    Args:
        task: What is decided.
        page: What the team reads.
        settings: Of the project.
    """
    say, own = page.texts(NAME, TEXTS), task.form(page, settings)
    before = dict.fromkeys((say["dataset"], *(texts["dataset"] for texts in TEXTS.values())))
    guidelines = f"{say['guidelines']}\n\n{own.guidelines}"
    authors = any(one.name == AUTHOR for one in own.metadata)
    return replace(
        own,
        names=tuple(word.format(name=name[:_LONGEST_NAME]) for word in before for name in own.names),
        # Those of the task stand in its own dataset too.
        guidelines=guidelines if len(guidelines) <= MOST_CHARACTERS else say["guidelines"],
        fields=(*own.fields, Field(SAID, say[SAID])),
        questions=(
            *own.questions,
            Question(GAP, "label_selection", say[GAP], say[f"{GAP}.help"], options={YES: say[YES], NO: say[NO]}),
            Question(RULE, "text", say[RULE], say[f"{RULE}.help"]),
        ),
        metadata=own.metadata
        if authors
        else (Property(AUTHOR, "terms", page.texts("page", PAGE)[AUTHOR], visible=False), *own.metadata),
        vector=None,
        overlap=1,
    )


def adjudication_record(task: Task[Any], item: Item, texts: Texts) -> dict[str, Any]:
    """An item to be decided as Argilla's REST takes it: as people saw it, and what they said."""
    record = task.record(as_asked(item), texts, None)
    record["fields"][SAID] = as_typed(item.content[SAID])
    return record


def as_asked(item: Item) -> Item:
    """An item without what people said of it: as the task knows it."""
    if SAID not in item.content:
        return item
    return replace(item, content={name: value for name, value in item.content.items() if name != SAID})


def read_gap(values: Mapping[str, Any], country: str, people: tuple[Person, ...]) -> tuple[bool, str]:
    """Whether an adjudicator finds that the guidelines lack a rule, and which, masked; from a response's values."""
    rule = as_written(values.get(RULE) or "").strip()
    return values.get(GAP) == YES, mask_typed(rule, country, people)


def what_people_said(
    task: Task[Any],
    item: Item,
    answers: Sequence[Answer[Any]],
    page: TeamPage,
    settings: Settings,
    people: tuple[Person, ...],
) -> str:
    """What people of a country said of an item, question by question: counted, and what they typed masked.

    Nothing in it tells who said what: answers are in the order of the page, and texts in that of the alphabet.

    Args:
        task: The item's.
        item: What was asked.
        answers: To it.
        page: What the team reads.
        settings: Of the project.
        people: Whose names are masked, from `Ledger.named_people`.
    """
    say = page.texts(NAME, TEXTS)
    given = [task.values(item, answer.value) for answer in answers]
    lines = [say["people"].format(n=len(answers))]
    for question in task.form(page, settings).questions:
        said = [values[question.name]["value"] for values in given if question.name in values]
        if question.kind == "ranking":
            found = list(_pairs(said, say))
        elif question.kind == "text":
            own = sorted({mask_typed(" ".join(text.split()), item.country, people) for text in said}, key=str.casefold)
            found = [f"{_QUOTE}{text}»" for text in own]
        else:
            marked = Counter(mark for one in said for mark in (one if isinstance(one, list) else [one]))
            options: Mapping[Any, str] = question.options or {number: str(number) for number in question.numbers}
            found = [f"{title}: {marked[option]}" for option, title in options.items() if marked[option]]
        if found:
            lines += ["", question.title, *(f"· {line}" for line in found)]
    return "\n".join(lines)


def without_quotes(said: str) -> str:
    """What people said without what they typed."""
    return "\n".join(line for line in said.split("\n") if not line.startswith(f"· {_QUOTE}"))


def _pairs(rankings: Iterable[Sequence[Mapping[str, Any]]], say: Mapping[str, str]) -> Iterable[str]:
    """Each two seats that somebody ranked: how many prefer which."""
    places = [{one["value"]: one["rank"] for one in ranking} for ranking in rankings]
    for one, other in combinations(sorted(set[str]().union(*places)), 2):
        signs = Counter((of[one] > of[other]) - (of[one] < of[other]) for of in places if one in of and other in of)
        votes = {"better": signs[-1], "worse": signs[1], "same": signs[0]}
        yield say["pair"].format(one=one, other=other, **votes)


TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Decidir: {name}",
        "said": "Lo que dijeron las personas de tu país",
        "people": "Respondieron: {n}",
        "pair": "{one} mejor que {other}: {better} · {other} mejor que {one}: {worse} · iguales: {same}",
        "gap": "¿Les falta una regla a las directrices?",
        "gap.help": "Opcional. «Sí» si con una regla más clara las personas habrían dicho lo mismo.",
        "yes": "Sí, falta una regla",
        "no": "No",
        "rule": "¿Qué debería decir la regla?",
        "rule.help": "Opcional. No escribas nombres, correos ni teléfonos.",
        "guidelines": """\
# Decidir

Aquí está lo que las personas de tu país no ven igual, lo que encontraron inaceptable, o donde varias vieron el mismo \
problema. Debajo de la ficha dice lo que respondieron. No dice quién.

1. Lee la ficha como si nadie hubiera respondido.
2. Lee lo que dijeron. La mayoría puede tener razón, o no.
3. Responde las mismas preguntas. Tu respuesta se suma a las de las demás personas: no borra ninguna.
4. Si las directrices no decían qué hacer, marca «Sí, falta una regla» y escribe cuál.

Cada ficha se decide una vez. Si ya respondiste una ficha como las demás personas, decide otra persona.

---
""",
    },
    "pt": {
        "dataset": "Decidir: {name}",
        "said": "O que disseram as pessoas do seu país",
        "people": "Responderam: {n}",
        "pair": "{one} melhor que {other}: {better} · {other} melhor que {one}: {worse} · iguais: {same}",
        "gap": "Falta uma regra nas diretrizes?",
        "gap.help": "Opcional. “Sim” se com uma regra mais clara as pessoas teriam dito o mesmo.",
        "yes": "Sim, falta uma regra",
        "no": "Não",
        "rule": "O que a regra deveria dizer?",
        "rule.help": "Opcional. Não escreva nomes, e-mails nem telefones.",
        "guidelines": """\
# Decidir

Aqui está o que as pessoas do seu país não veem do mesmo modo, o que acharam inaceitável, ou onde várias viram o \
mesmo problema. Abaixo da ficha está o que responderam. Não está quem respondeu.

1. Leia a ficha como se ninguém tivesse respondido.
2. Leia o que disseram. A maioria pode ter razão, ou não.
3. Responda às mesmas perguntas. A sua resposta soma-se às das outras pessoas: não apaga nenhuma.
4. Se as diretrizes não diziam o que fazer, marque “Sim, falta uma regra” e escreva qual.

Cada ficha é decidida uma vez. Se você já respondeu a uma ficha como as outras pessoas, outra pessoa decide.

---
""",
    },
    "en": {
        "dataset": "decide: {name}",
        "said": "What people of your country said",
        "people": "People who answered: {n}",
        "pair": "{one} better than {other}: {better} · {other} better than {one}: {worse} · equal: {same}",
        "gap": "Do the guidelines lack a rule?",
        "gap.help": "Optional. “Yes” if with a clearer rule people would have said the same.",
        "yes": "Yes, a rule is missing",
        "no": "No",
        "rule": "What should the rule say?",
        "rule.help": "Optional. Please write no names, e-mail addresses or phone numbers.",
        "guidelines": """\
# Decide

Here is what people of your country do not see alike, what they found unacceptable, or where several saw the same \
problem. Below each record stands what they answered. It does not say who.

1. Read the record as if nobody had answered.
2. Read what they said. The majority may be right, or not.
3. Answer the same questions. Your answer joins those of the others: it deletes none.
4. If the guidelines did not say what to do, choose “Yes, a rule is missing” and write which.

Each record is decided once. If you have answered a record as the others did, somebody else decides.

---
""",
    },
}
"""Everything on the page that is the adjudication's own, by language; the rest is the task's."""
