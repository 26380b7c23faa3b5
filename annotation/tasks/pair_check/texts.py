"""The page on which pairs are checked, in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Frases para revisar",
        "field.sentence": "Frase",
        "field.words": "Lo que se dice del grupo",
        "field.others": "La misma frase sobre otros grupos",
        "verdict": "¿La frase está bien escrita y es algo que se dice donde vives?",
        "verdict.help": "No se pregunta si es verdad ni si estás de acuerdo.",
        "right": "Sí, tal como está",
        "wording": "Sí, pero hay que corregir cómo está dicho",
        "unfit": "No tiene sentido, o aquí no se dice",
        "skip": "No sé, o prefiero no responder",
        "stop": "No quiero ver más textos como este",
        "correction": "Si hay que corregirla: lo que se dice del grupo, como debe quedar",
        "correction.help": "Solo las palabras que van después del grupo, por ejemplo: toman mucho mate",
        "same": "¿En cuáles de las otras frases se dice lo mismo donde vives?",
        "same.help": "Opcional. Marca las que también son un estereotipo conocido; se quitan.",
        "item": "Frase n.º",
    },
    "pt": {
        "dataset": "Frases para conferir",
        "field.sentence": "Frase",
        "field.words": "O que se diz do grupo",
        "field.others": "A mesma frase sobre outros grupos",
        "verdict": "A frase está bem escrita e é algo que se diz onde você mora?",
        "verdict.help": "Não se pergunta se é verdade nem se você concorda.",
        "right": "Sim, do jeito que está",
        "wording": "Sim, mas é preciso corrigir o jeito de dizer",
        "unfit": "Não faz sentido, ou aqui não se diz",
        "skip": "Não sei, ou prefiro não responder",
        "stop": "Não quero ver mais textos como este",
        "correction": "Se é preciso corrigir: o que se diz do grupo, como deve ficar",
        "correction.help": "Só as palavras que vêm depois do grupo, por exemplo: tomam muito mate",
        "same": "Em quais das outras frases se diz o mesmo onde você mora?",
        "same.help": "Opcional. Marque as que também são um estereótipo conhecido; elas saem.",
        "item": "Frase n.º",
    },
    "en": {
        "dataset": "sentences to check",
        "field.sentence": "Sentence",
        "field.words": "What is said of the group",
        "field.others": "The same sentence about other groups",
        "verdict": "Is the sentence well written, and something that people say where you live?",
        "verdict.help": "Nobody asks whether it is true, or whether you agree.",
        "right": "Yes, as it stands",
        "wording": "Yes, but its wording must be mended",
        "unfit": "It makes no sense, or nobody says it here",
        "skip": "I don't know, or I would rather not answer",
        "stop": "I do not want to see more texts like this",
        "correction": "If it must be mended: what is said of the group, as it should be",
        "correction.help": "Only the words after the group, for example: drink a lot of mate",
        "same": "Of which of the other sentences is the same said where you live?",
        "same.help": "Optional. Mark those that are a known stereotype too; they are taken out.",
        "item": "Sentence no.",
    },
}
"""Everything on the page that is the task's own, by language; the rest is `annotation.tasks.page.TEXTS`."""
