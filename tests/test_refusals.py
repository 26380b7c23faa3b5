"""Answers that decline to answer are told from answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import annotation
from annotation.text.error_messages import is_error_message
from annotation.text.refusals import is_refusal

REFUSED = [
    ("es", "Lo siento, pero no puedo ayudarte con esa solicitud."),
    ("es", "Lo siento, no puedo responder a esa pregunta."),
    ("es", "Lamentablemente no puedo proporcionar información sobre ese tema."),
    ("es", "Como modelo de lenguaje, no tengo experiencias personales ni puedo opinar."),
    ("es", "Soy una inteligencia artificial y no puedo dar consejos legales."),
    ("es", "No puedo ayudarte con eso. Si quieres, puedo hablarte de otra cosa."),
    ("es", "Disculpe, como asistente virtual no estoy en condiciones de contestar."),
    ("es", "I'm sorry, but I can't assist with that request."),
    ("pt", "Desculpe, mas não posso ajudar com esse pedido."),
    ("pt", "Sinto muito, não consigo responder a essa pergunta."),
    ("pt", "Como um modelo de linguagem, não tenho opiniões próprias."),
    ("pt", "Não posso fornecer informações sobre esse assunto."),
    ("pt", "Lamento, mas não me é possível responder a isso."),
    ("en", "I’m sorry, but I can’t help with that."),
    ("en", "As an AI language model, I do not have personal opinions."),
    ("en", "I cannot assist you with this request."),
    ("en", "Unfortunately, I am unable to provide that information."),
]

ANSWERED = [
    ("es", "“Lo siento, no puedo ayudarte el sábado”: así, sin más explicaciones, y tu vecino lo entenderá."),
    ("es", "Dile: «Disculpe, jefe, no puedo cumplir con esa fecha». Con eso basta."),
    ("es", "Lo siento mucho por tu abuela. En un velorio se acostumbra llevar flores y acompañar a la familia."),
    ("es", "No puedes faltar a la posada: lleva ponche o fruta para la piñata."),
    ("es", "El 16 de septiembre. Como país, no solo se celebra el día: la noche antes es el Grito."),
    ("es", "Perdón por la tardanza se dice al llegar. No puedo imaginar una boda mexicana sin mariachi."),
    ("pt", "Não pode faltar a couve, a farofa e a laranja. Peça para cada um trazer a bebida."),
    ("pt", "Diga assim: “Desculpe, não posso ajudar hoje, mas amanhã eu vou”."),
    ("pt", "Sinto muito pela sua perda. No velório, leve flores e abrace a família."),
    ("en", "You can't go wrong with tamales. I am afraid of nothing but running out of salsa."),
]


@pytest.mark.parametrize(("language", "text"), REFUSED)
def test_a_refusal_is_known(language: str, text: str) -> None:
    assert is_refusal(text, language)
    assert is_refusal(text)


@pytest.mark.parametrize(("language", "text"), ANSWERED)
def test_an_answer_is_no_refusal(language: str, text: str) -> None:
    assert not is_refusal(text, language)
    assert not is_refusal(text)


def test_a_language_without_phrases_of_its_own_is_checked_against_all() -> None:
    assert is_refusal("Lo siento, no puedo ayudarte con eso.", "gl")


def test_no_bundled_answer_is_a_refusal() -> None:
    files = sorted((Path(annotation.__file__).parent / "demo").glob("*.jsonl"))
    texts = [c["text"] for f in files for line in f.read_text().splitlines() for c in json.loads(line)["candidates"]]
    assert len(texts) > 200
    assert [text for text in texts if is_refusal(text)] == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("**ERROR DE RED POR ALTO TRÁFICO. VUELVA A CARGAR LA PÁGINA.** (error_code: 50004)", True),
        ("Lo sentimos, ha ocurrido un error. Inténtelo de nuevo más tarde.", True),
        ("Ocorreu um erro ao gerar a resposta.", True),
        ('{"error": {"message": "rate limit"}}', True),
        ("503 Service Unavailable", True),
        ("El servicio no está disponible.", True),
        ("Error 404 es como le decimos a quien llega tarde a la posada.", True),  # the price of looking at beginnings
        ("No sé, busca en internet.", False),
        (
            "Hubo un error que todos recuerdan: el penal de 1994. " + "Desde entonces se cuenta en las cenas. " * 6,
            False,
        ),
        ("Se pide disculpa con un abrazo, y el error de uno se olvida.", False),
        ("O erro mais comum é chegar cedo demais à festa.", False),
    ],
)
def test_a_message_of_an_error_is_told_from_an_answer_about_errors(text: str, error: bool) -> None:
    assert is_error_message(text) == error
