"""The prompt check's page in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Preguntas",
        "system": "Contexto",
        "prompt": "Pregunta",
        "verdict": "¿Vale la pena esta pregunta para tu cultura?",
        "verdict.help": "Elige lo que mejor la describe. «Sí» la acepta, «No» la rechaza.",
        "knowledge": "Sí: pide saber algo de la cultura",
        "preference": "Sí: depende de gustos o costumbres",
        "dynamics": "Sí: trata de cómo se relaciona la gente",
        "bias_probe": "Sí: pone a prueba prejuicios sin tenerlos",
        "trivial": "No: es trivial",
        "stereotype": "No: contiene un estereotipo",
        "unrelated": "No: no tiene que ver con la cultura",
        "comment": "¿Quieres añadir algo?",
        "comment.help": "Opcional. Por ejemplo, cómo la mejorarías. No escribas nombres, correos ni teléfonos.",
        "item": "Pregunta n.º",
    },
    "pt": {
        "dataset": "Perguntas",
        "system": "Contexto",
        "prompt": "Pergunta",
        "verdict": "Esta pergunta vale a pena para a sua cultura?",
        "verdict.help": "Escolha o que melhor a descreve. «Sim» aceita, «Não» rejeita.",
        "knowledge": "Sim: pede conhecimento da cultura",
        "preference": "Sim: depende de gostos ou costumes",
        "dynamics": "Sim: trata de como as pessoas se relacionam",
        "bias_probe": "Sim: põe preconceitos à prova sem os ter",
        "trivial": "Não: é trivial",
        "stereotype": "Não: contém um estereótipo",
        "unrelated": "Não: não tem a ver com a cultura",
        "comment": "Quer acrescentar algo?",
        "comment.help": "Opcional. Por exemplo, como a melhoraria. Não escreva nomes, e-mails nem telefones.",
        "item": "Pergunta n.º",
    },
    "en": {
        "dataset": "prompts",
        "system": "Context",
        "prompt": "Question",
        "verdict": "Is this question worth asking for your culture?",
        "verdict.help": "Choose what describes it best. “Yes” accepts it, “No” rejects it.",
        "knowledge": "Yes: it asks for knowledge of the culture",
        "preference": "Yes: it depends on tastes or customs",
        "dynamics": "Yes: it is about how people deal with each other",
        "bias_probe": "Yes: it tests for prejudice and has none itself",
        "trivial": "No: it is trivial",
        "stereotype": "No: it contains a stereotype",
        "unrelated": "No: it has nothing to do with the culture",
        "comment": "Is there anything to add?",
        "comment.help": "Optional. For example, how to improve it. Please write no names, e-mails or phone numbers.",
        "item": "Question no.",
    },
}
"""Everything on the page that is the prompt check's own, by language; the rest is `annotation.tasks.page.TEXTS`."""
