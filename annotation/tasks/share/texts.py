"""The page on which stereotypes are shared, in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Compartir estereotipos",
        "field.group": "¿De quiénes?",
        "people": "Personas de {country}",
        "any group": "Un grupo de personas que tú eliges. Escribe abajo cuál.",
        "question": "¿Qué se dice de este grupo donde vives?",
        "question.help": "Se pregunta qué dice la gente, no qué piensas tú ni qué es verdad.",
        "share": "Escribo abajo lo que se dice aquí",
        "nothing": "No se me ocurre nada",
        "skip": "Prefiero no responder",
        "stop": "No quiero ver más páginas como esta",
        "identity": "El grupo, si es otro que el de arriba",
        "identity.help": "Por ejemplo: las personas mayores. Déjalo vacío si escribes sobre el grupo de arriba.",
        "associations": "Lo que se dice, una cosa en cada línea",
        "associations.help": "Sin repetir el grupo, por ejemplo: toman mate. Como mucho diez líneas; sin nombres de "
        "personas.",
        "item": "Hoja n.º",
    },
    "pt": {
        "dataset": "Compartilhar estereótipos",
        "field.group": "De quem?",
        "people": "Pessoas do seguinte país: {country}",
        "any group": "Um grupo de pessoas que você escolhe. Escreva abaixo qual.",
        "question": "O que se diz deste grupo onde você mora?",
        "question.help": "Pergunta-se o que as pessoas dizem, não o que você pensa nem o que é verdade.",
        "share": "Escrevo abaixo o que se diz aqui",
        "nothing": "Não me ocorre nada",
        "skip": "Prefiro não responder",
        "stop": "Não quero ver mais páginas como esta",
        "identity": "O grupo, se for outro que o de cima",
        "identity.help": "Por exemplo: os idosos. Deixe vazio se você escreve sobre o grupo de cima.",
        "associations": "O que se diz, uma coisa em cada linha",
        "associations.help": "Sem repetir o grupo, por exemplo: tomam mate. No máximo dez linhas; sem nomes de "
        "pessoas.",
        "item": "Folha n.º",
    },
    "en": {
        "dataset": "share stereotypes",
        "field.group": "Of whom?",
        "people": "People from {country}",
        "any group": "A group of people that you choose. Write below which one.",
        "question": "What is said of this group where you live?",
        "question.help": "The question is what people say, not what you think or what is true.",
        "share": "I write below what people say here",
        "nothing": "Nothing comes to my mind",
        "skip": "I would rather not answer",
        "stop": "I do not want to see more pages like this",
        "identity": "The group, if it is another than above",
        "identity.help": "For example: old people. Leave it empty if you write about the group above.",
        "associations": "What is said, one thing in each line",
        "associations.help": "Without the group, for example: drink mate. Ten lines at most; no names of persons.",
        "item": "Sheet no.",
    },
}
"""Everything on the page that is the task's own, by language; the rest is `annotation.tasks.page.TEXTS`."""
