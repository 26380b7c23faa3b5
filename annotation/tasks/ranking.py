"""The task "rank for cultural fit": its form, a slate as a record, a response as a judgement. Pure: no argilla here."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from annotation.hidden import show_hidden, without_hidden
from annotation.tasks.form import Form, Property, Question, TextField, Vector
from annotation.types import PROBLEMS, SEATS, Judgement, Prompt, Slate

LANGUAGES = ("es", "pt", "en")
"""Languages that guidelines and titles are written in; the last is for teams that speak none of the others."""

VECTOR = "embedding"
"""Name of the vector that "find similar" uses: the embedding of the prompt."""

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "system": "Contexto",
        "prompt": "Pregunta",
        "seat": "Respuesta {seat}",
        "ranking": "Ordena las respuestas: ¿cuál encaja mejor con tu cultura?",
        "ranking.help": "La mejor va en el puesto 1. Si dos te parecen igual de buenas, ponlas en el mismo puesto.",
        "problems": "¿Qué problemas ves en alguna de las respuestas?",
        "problems.help": "Opcional. Marca todo lo que notes.",
        "stereotype": "Estereotipo",
        "wrong_country": "Es de otro país",
        "wrong_register": "Tono o registro inadecuado",
        "factual_error": "Dato incorrecto",
        "offensive": "Ofensivo",
        "other": "Otro",
        "acceptable": "¿Hay alguna respuesta aceptable?",
        "acceptable.help": "Opcional. Si ninguna te parece aceptable, márcalo aquí y ordénalas de todos modos.",
        "some": "Al menos una es aceptable",
        "none": "Ninguna es aceptable",
        "rewrite": "¿Qué habrías respondido tú?",
        "rewrite.help": "Opcional. No escribas nombres, correos ni teléfonos.",
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "slate": "Ficha",
        "position": "Orden",
        "similar": "Preguntas parecidas",
    },
    "pt": {
        "system": "Contexto",
        "prompt": "Pergunta",
        "seat": "Resposta {seat}",
        "ranking": "Ordene as respostas: qual combina melhor com a sua cultura?",
        "ranking.help": "A melhor fica na posição 1. Se duas parecerem igualmente boas, deixe-as na mesma posição.",
        "problems": "Que problemas você vê em alguma das respostas?",
        "problems.help": "Opcional. Marque tudo o que notar.",
        "stereotype": "Estereótipo",
        "wrong_country": "É de outro país",
        "wrong_register": "Tom ou registro inadequado",
        "factual_error": "Informação incorreta",
        "offensive": "Ofensivo",
        "other": "Outro",
        "acceptable": "Alguma resposta é aceitável?",
        "acceptable.help": "Opcional. Se nenhuma for aceitável, marque aqui e ordene-as mesmo assim.",
        "some": "Pelo menos uma é aceitável",
        "none": "Nenhuma é aceitável",
        "rewrite": "O que você teria respondido?",
        "rewrite.help": "Opcional. Não escreva nomes, e-mails nem telefones.",
        "country": "País",
        "topic": "Tema",
        "language": "Idioma",
        "slate": "Ficha",
        "position": "Ordem",
        "similar": "Perguntas parecidas",
    },
    "en": {
        "system": "Context",
        "prompt": "Question",
        "seat": "Answer {seat}",
        "ranking": "Rank the answers: which one fits your culture best?",
        "ranking.help": "The best goes in place 1. If two are equally good, put them in the same place.",
        "problems": "Which problems do you see in any of the answers?",
        "problems.help": "Optional. Mark everything you notice.",
        "stereotype": "Stereotype",
        "wrong_country": "Belongs to another country",
        "wrong_register": "Wrong tone or register",
        "factual_error": "Factual error",
        "offensive": "Offensive",
        "other": "Other",
        "acceptable": "Is any answer acceptable?",
        "acceptable.help": "Optional. If none is, mark it here and rank them all the same.",
        "some": "At least one is acceptable",
        "none": "None is acceptable",
        "rewrite": "What would you have answered?",
        "rewrite.help": "Optional. Please write no names, e-mail addresses or phone numbers.",
        "country": "Country",
        "topic": "Topic",
        "language": "Language",
        "slate": "Slate",
        "position": "Position",
        "similar": "Similar questions",
    },
}
"""Everything on the page that is ours, by language."""


class Unfit(ValueError):
    """A response that does not fit its slate; the message says how, in a few words that can be counted."""


def screen_language(language: str) -> str:
    """The language of guidelines and titles for people who speak `language` (ISO 639-1)."""
    return language if language in LANGUAGES else LANGUAGES[-1]


def guidelines(language: str) -> str:
    """The guidelines in one of LANGUAGES, Markdown."""
    return files(__package__).joinpath("guidelines", f"{language}.md").read_text(encoding="utf-8").strip()


def form(language: str, seats: int, overlap: int, dimensions: int | None = None) -> Form:
    """The dataset that a team ranks in.

    Args:
        language: One of LANGUAGES.
        seats: Answers on every slate: a ranking question has the same options for all records.
        overlap: People per slate.
        dimensions: Of the prompts' vectors; None for no "find similar".
    """
    say = TEXTS[language]
    answers = {seat: say["seat"].format(seat=seat) for seat in SEATS[:seats]}
    return Form(
        guidelines=guidelines(language),
        fields=(
            TextField("system", say["system"], required=False),
            TextField("prompt", say["prompt"]),
            *(TextField(seat, title) for seat, title in answers.items()),
        ),
        questions=(
            Question("ranking", "ranking", say["ranking"], say["ranking.help"], required=True, options=answers),
            Question(
                "problems",
                "multi_label_selection",
                say["problems"],
                say["problems.help"],
                options={problem: say[problem] for problem in PROBLEMS},
            ),
            # Argilla wants two options at least, so "none is acceptable" has its opposite beside it.
            Question(
                "acceptable",
                "label_selection",
                say["acceptable"],
                say["acceptable.help"],
                options={"some": say["some"], "none": say["none"]},
            ),
            Question("rewrite", "text", say["rewrite"], say["rewrite.help"]),
        ),
        metadata=(
            Property("topic", "terms", say["topic"], visible=True),
            Property("country", "terms", say["country"], visible=True),
            Property("language", "terms", say["language"], visible=True),
            Property("slate", "terms", say["slate"], visible=False),
            Property("position", "integer", say["position"], visible=False),
        ),
        vector=Vector(VECTOR, say["similar"], dimensions) if dimensions else None,
        overlap=overlap,
    )


def record(slate: Slate, prompt: Prompt, texts: Mapping[str, str], vector: Sequence[float] | None) -> dict[str, Any]:
    """A slate as Argilla's REST takes it. Nothing in it tells which model or voice wrote an answer.

    Args:
        slate: Who sits where.
        prompt: What they answer.
        texts: Candidate id -> text, for everyone on the slate at least.
        vector: Embedding of the prompt, or None.
    """
    fields = {"prompt": as_typed(prompt.text)}
    if prompt.system:
        fields["system"] = as_typed(prompt.system)
    for seat, candidate_id in zip(SEATS, slate.seats, strict=False):
        fields[seat] = as_typed(texts[candidate_id])
    made: dict[str, Any] = {
        "external_id": slate.id,
        "fields": fields,
        "metadata": {
            "topic": as_typed(prompt.topic),
            "country": prompt.country,
            "language": prompt.language,
            "slate": slate.id,
            "position": slate.position,
        },
    }
    if vector is not None:
        made["vectors"] = {VECTOR: [float(value) for value in vector]}
    return made


def as_typed(text: str) -> str:
    """Text that the page shows as it was typed.

    Argilla 2.8 puts the text of a field that is not Markdown into the page as HTML, unchecked (and as Markdown it
    would load remote pictures): a candidate with `<img onerror=…>` in it would run in every annotator's browser. And
    what would not be seen, or would turn the order of letters around, is written out.
    """
    return html.escape(show_hidden(text), quote=False)


def as_written(text: str) -> str:
    """The opposite of `as_typed`, but that hidden characters go: the page's copy button hands out what was sent."""
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return without_hidden(plain, written_out=True)


def judgement(response: Mapping[str, Any], slate: Slate, *, annotator: str, country: str) -> Judgement:
    """Read a submitted response, ranks and ties as they were given.

    Args:
        response: A response as Argilla's REST tells it; the SDK's objects have lost the ranks.
        slate: What was ranked.
        annotator: User name.
        country: Of the annotator's team.

    Raises:
        Unfit: The values do not belong to this slate.
    """
    values = {name: answer["value"] for name, answer in (response.get("values") or {}).items()}
    problems = values.get("problems") or ()
    if unknown := sorted(set(problems) - set(PROBLEMS)):
        raise Unfit(f"unknown problem: {', '.join(unknown)}")
    return Judgement(
        response_id=str(response["id"]),
        slate_id=slate.id,
        annotator=annotator,
        country=country,
        tiers=_tiers(values.get("ranking"), slate),
        problems=tuple(problem for problem in PROBLEMS if problem in problems),
        none_acceptable=values.get("acceptable") == "none",
        rewrite=as_written(values.get("rewrite") or "").strip(),
        submitted_at=str(response["updated_at"]),
    )


def _tiers(ranking: Sequence[Mapping[str, Any]] | None, slate: Slate) -> tuple[tuple[str, ...], ...]:
    """Candidate ids by rank; equal ranks share a tier (in the order of the seats), gaps between ranks mean nothing."""
    if not ranking:
        raise Unfit("nothing was ranked")
    seats = dict(zip(SEATS, slate.seats, strict=False))
    if sorted(item["value"] for item in ranking) != sorted(seats):
        raise Unfit("other seats than the slate's were ranked")
    tiers: dict[int, list[str]] = defaultdict(list)
    for item in sorted(ranking, key=lambda item: str(item["value"])):
        if not isinstance(item.get("rank"), int):
            raise Unfit("a seat without a rank")
        tiers[item["rank"]].append(seats[item["value"]])
    return tuple(tuple(tiers[rank]) for rank in sorted(tiers))


def answer_values(judgement: Judgement, slate: Slate) -> dict[str, Any]:
    """A judgement as the values of a response: what the page would send for it. For simulated annotators and tests."""
    seat_of = {candidate: seat for seat, candidate in zip(SEATS, slate.seats, strict=False)}
    places = {seat_of[candidate]: rank for rank, tier in enumerate(judgement.tiers, 1) for candidate in tier}
    values: dict[str, Any] = {"ranking": {"value": [{"value": s, "rank": places[s]} for s in sorted(places)]}}
    if judgement.problems:
        values["problems"] = {"value": list(judgement.problems)}
    if judgement.none_acceptable:
        values["acceptable"] = {"value": "none"}
    if judgement.rewrite:
        values["rewrite"] = {"value": judgement.rewrite}
    return values
