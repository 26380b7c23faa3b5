"""The exam check's page in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Exámenes",
        "field.exam": "Examen",
        "field.question": "Pregunta",
        "field.options": "Opciones",
        "field.key": "Clave (respuesta correcta)",
        "field.picture": "Así está impresa",
        "verdict": "¿Está bien la pregunta?",
        "verdict.help": "Compárala con la imagen: texto, opciones y clave.",
        "right": "Sí, tal como está",
        "typo": "Tiene errores de texto",
        "wrong_key": "La clave está mal",
        "unclear": "No se entiende o no tiene una sola respuesta",
        "foreign": "No es de aquí",
        "correction": "Texto corregido: la pregunta entera, o «B. Quito» para una opción",
        "correction.help": (
            "Solo lo que cambia. La pregunta, si cambia, va primero y entera. Cada opción va en una línea con su "
            "letra, por ejemplo: B. Quito"
        ),
        "answer": "Si la clave falta o está mal, ¿cuál es la correcta?",
        "answer.help": "Si la clave está bien, déjalo vacío.",
        "removed": "Si hay cinco opciones, ¿cuál se quita?",
        "removed.help": "Deben quedar cuatro. Quita la incorrecta que menos falta hace; nunca la correcta.",
        "feature": "¿Qué hay que saber para responder?",
        "feature.help": "Las directrices tienen un ejemplo de cada caso.",
        "agnostic": "Lo mismo en cualquier lugar",
        "culture": "Algo de una cultura",
        "region explicit": "Algo de la región, y la pregunta la nombra",
        "region implicit": "Algo de la región, y la pregunta no la nombra",
        "category": "Otra materia, si no es la que dice el examen",
        "category.help": "Opcional. En inglés, por ejemplo: History",
        "comment": "¿Quieres añadir algo?",
        "comment.help": "Opcional. No escribas nombres, correos ni teléfonos.",
        "item": "Pregunta n.º",
        "no key": "No se conoce: dinos cuál es la respuesta correcta.",
        "one goes": "Hay cinco opciones y deben quedar cuatro: marca cuál se quita.",
    },
    "pt": {
        "dataset": "Provas",
        "field.exam": "Prova",
        "field.question": "Pergunta",
        "field.options": "Opções",
        "field.key": "Gabarito (resposta certa)",
        "field.picture": "Como está impressa",
        "verdict": "A pergunta está certa?",
        "verdict.help": "Compare com a imagem: texto, opções e gabarito.",
        "right": "Sim, do jeito que está",
        "typo": "Tem erros de texto",
        "wrong_key": "O gabarito está errado",
        "unclear": "Não dá para entender ou não tem uma única resposta",
        "foreign": "Não é daqui",
        "correction": "Texto corrigido: a pergunta inteira, ou “B. Quito” para uma opção",
        "correction.help": (
            "Só o que muda. A pergunta, se mudar, vem primeiro e inteira. Cada opção fica em uma linha com a sua "
            "letra, por exemplo: B. Quito"
        ),
        "answer": "Se o gabarito falta ou está errado, qual é a resposta certa?",
        "answer.help": "Se o gabarito está certo, deixe vazio.",
        "removed": "Se há cinco opções, qual delas sai?",
        "removed.help": "Devem ficar quatro. Tire a incorreta que faz menos falta; nunca a certa.",
        "feature": "O que é preciso saber para responder?",
        "feature.help": "As diretrizes têm um exemplo de cada caso.",
        "agnostic": "O mesmo em qualquer lugar",
        "culture": "Algo de uma cultura",
        "region explicit": "Algo da região, e a pergunta diz qual é",
        "region implicit": "Algo da região, e a pergunta não diz qual é",
        "category": "Outra matéria, se não for a que a prova diz",
        "category.help": "Opcional. Em inglês, por exemplo: History",
        "comment": "Quer acrescentar algo?",
        "comment.help": "Opcional. Não escreva nomes, e-mails nem telefones.",
        "item": "Pergunta n.º",
        "no key": "Não é conhecido: diga qual é a resposta certa.",
        "one goes": "Há cinco opções e devem ficar quatro: marque qual delas sai.",
    },
    "en": {
        "dataset": "exams",
        "field.exam": "Exam",
        "field.question": "Question",
        "field.options": "Options",
        "field.key": "Key (the right answer)",
        "field.picture": "As it is printed",
        "verdict": "Is the question right?",
        "verdict.help": "Compare it with the picture: text, options and key.",
        "right": "Yes, as it stands",
        "typo": "The text has errors",
        "wrong_key": "The key is wrong",
        "unclear": "It is unclear, or has not exactly one right answer",
        "foreign": "It is not from here",
        "correction": "Corrected text: the whole question, or “B. Quito” for an option",
        "correction.help": (
            "Only what changes. The question, if it changes, comes first and whole. Each option stands on a line with "
            "its letter, for example: B. Quito"
        ),
        "answer": "If the key is missing or wrong, which answer is right?",
        "answer.help": "If the key is right, leave this empty.",
        "removed": "If there are five options, which one goes?",
        "removed.help": "Four must be left. Take away the wrong one that is missed least; never the right one.",
        "feature": "What must one know to answer?",
        "feature.help": "The guidelines have an example of each case.",
        "agnostic": "The same anywhere",
        "culture": "Something of a culture",
        "region explicit": "Something of the region, which the question names",
        "region implicit": "Something of the region, which the question does not name",
        "category": "Another subject, if it is not the one that the exam says",
        "category.help": "Optional. In English, for example: History",
        "comment": "Is there anything to add?",
        "comment.help": "Optional. Please write no names, e-mails or phone numbers.",
        "item": "Question no.",
        "no key": "Not known: please tell which answer is right.",
        "one goes": "There are five options and four must be left: mark which one goes.",
    },
}
"""Everything on the page that is the exam check's own, by language; the rest is `annotation.tasks.page.TEXTS`.

"item", "no key" and "one goes" stand in records, which are compared with what was pushed: they are never reworded.
"""
