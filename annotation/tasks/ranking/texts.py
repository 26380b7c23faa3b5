"""The ranking's page in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Encaje cultural",
        "system": "Contexto",
        "prompt": "Pregunta",
        "seat": "Respuesta {seat}",
        "ranking": "Ordena las respuestas: ¿cuál encaja mejor con tu cultura?",
        "ranking.help": "La mejor va en el puesto 1. Si dos te parecen igual de buenas, ponlas en el mismo puesto.",
        "problems": "¿Qué problemas ves, y en qué respuesta?",
        "problems.help": "Opcional. Marca todo lo que notes.",
        "stereotype": "estereotipo",
        "wrong_country": "de otro país",
        "wrong_register": "tono",
        "factual_error": "dato incorrecto",
        "offensive": "ofensivo",
        "other": "otro",
        "acceptable": "¿Hay alguna respuesta aceptable?",
        "acceptable.help": "Opcional. Si ninguna te parece aceptable, márcalo aquí y ordénalas de todos modos.",
        "some": "Al menos una es aceptable",
        "none": "Ninguna es aceptable",
        "rewrite": "¿Qué habrías respondido tú?",
        "rewrite.help": "Opcional. No escribas nombres, correos ni teléfonos.",
        "slate": "Ficha",
        "keys": (
            "Pulsa el número del puesto de la respuesta A, luego el de la B y así hasta la última, esperando "
            "cada vez a que se marque la siguiente; Intro envía. Con cuatro respuestas son cinco teclas. La "
            "flecha ↓ lleva a la pregunta siguiente, y dos veces a los problemas; cada opción se marca con su número. "
            "En «¿Hay alguna aceptable?», elegir ya pasa a la pregunta siguiente. "
            "← y → cambian de ficha; Retroceso la descarta. Si nada responde, pulsa Tab."
        ),
    },
    "pt": {
        "dataset": "Adequação cultural",
        "system": "Contexto",
        "prompt": "Pergunta",
        "seat": "Resposta {seat}",
        "ranking": "Ordene as respostas: qual combina melhor com a sua cultura?",
        "ranking.help": "A melhor fica na posição 1. Se duas parecerem igualmente boas, deixe-as na mesma posição.",
        "problems": "Que problemas você vê, e em qual resposta?",
        "problems.help": "Opcional. Marque tudo o que notar.",
        "stereotype": "estereótipo",
        "wrong_country": "de outro país",
        "wrong_register": "tom",
        "factual_error": "dado incorreto",
        "offensive": "ofensivo",
        "other": "outro",
        "acceptable": "Alguma resposta é aceitável?",
        "acceptable.help": "Opcional. Se nenhuma for aceitável, marque aqui e ordene-as mesmo assim.",
        "some": "Pelo menos uma é aceitável",
        "none": "Nenhuma é aceitável",
        "rewrite": "O que você teria respondido?",
        "rewrite.help": "Opcional. Não escreva nomes, e-mails nem telefones.",
        "slate": "Ficha",
        "keys": (
            "Aperte o número da posição da resposta A, depois o da B e assim até a última, esperando cada vez "
            "que a seguinte seja marcada; Enter envia. Com quatro respostas são cinco teclas. A seta ↓ leva à "
            "pergunta seguinte, e duas vezes aos problemas; cada opção se marca com o seu número. Em "
            "“Alguma é aceitável?”, escolher já passa à pergunta seguinte. ← e → mudam de "
            "ficha; Backspace a descarta. Se nada responder, aperte Tab."
        ),
    },
    "en": {
        "dataset": "cultural fit",
        "system": "Context",
        "prompt": "Question",
        "seat": "Answer {seat}",
        "ranking": "Rank the answers: which one fits your culture best?",
        "ranking.help": "The best goes in place 1. If two are equally good, put them in the same place.",
        "problems": "Which problems do you see, and in which answer?",
        "problems.help": "Optional. Mark everything you notice.",
        "stereotype": "stereotype",
        "wrong_country": "another country",
        "wrong_register": "tone",
        "factual_error": "factual error",
        "offensive": "offensive",
        "other": "other",
        "acceptable": "Is any answer acceptable?",
        "acceptable.help": "Optional. If none is, mark it here and rank them all the same.",
        "some": "At least one is acceptable",
        "none": "None is acceptable",
        "rewrite": "What would you have answered?",
        "rewrite.help": "Optional. Please write no names, e-mail addresses or phone numbers.",
        "slate": "Slate",
        "keys": (
            "Press the number of answer A's place, then of B's and so on to the last, waiting each time until "
            "the next one is marked; Enter submits. With four answers that is five keys. The arrow ↓ leads to "
            "the next question, and twice to the problems; each option is marked by its number. At "
            '"Is any acceptable?", choosing already moves on to the next question. ← and → go to another '
            "slate; Backspace discards it. If nothing happens, press Tab."
        ),
    },
}
"""Everything on the page that is the ranking's own, by language; the rest is `annotation.tasks.page.TEXTS`."""
