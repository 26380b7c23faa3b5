"""The duel's page in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Dos respuestas",
        "prompt": "Pregunta",
        "a": "Respuesta A",
        "b": "Respuesta B",
        "choice": "¿Qué respuesta es mejor para tu país?",
        "choice.help": "Piensa en cómo lo diría la gente de tu país. El largo no importa.",
        "A": "A es mejor",
        "B": "B es mejor",
        "tie": "Igual de buenas",
        "both_bad": "Las dos son malas",
        "item": "Duelo n.º",
    },
    "pt": {
        "dataset": "Duas respostas",
        "prompt": "Pergunta",
        "a": "Resposta A",
        "b": "Resposta B",
        "choice": "Qual resposta é melhor para o seu país?",
        "choice.help": "Pense em como as pessoas do seu país diriam. O tamanho não importa.",
        "A": "A é melhor",
        "B": "B é melhor",
        "tie": "Igualmente boas",
        "both_bad": "As duas são ruins",
        "item": "Duelo n.º",
    },
    "en": {
        "dataset": "two answers",
        "prompt": "Question",
        "a": "Answer A",
        "b": "Answer B",
        "choice": "Which answer is better for your country?",
        "choice.help": "Think of how people of your country would say it. Length does not matter.",
        "A": "A is better",
        "B": "B is better",
        "tie": "Equally good",
        "both_bad": "Both are bad",
        "item": "Duel no.",
    },
}
"""Everything on the page that is the duel's own, by language; the rest is `annotation.tasks.page.TEXTS`."""
