"""The page on which descriptions of pictures are ranked, in the languages of its people."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Descripciones de imágenes",
        "picture": "Imagen",
        "seat": "Descripción {seat}",
        "ranking": "Ordena las descripciones: ¿cuál dice mejor qué es esto en tu cultura?",
        "ranking.help": (
            "Mira primero la imagen. La mejor va en el puesto 1. Si dos te parecen igual de buenas, ponlas en el mismo "
            "puesto."
        ),
        "problems": "¿Qué problemas ves, y en qué descripción?",
        "problems.help": "Opcional. Marca todo lo que notes.",
        "wrong_dish_or_feast": "otro plato o fiesta",
        "stereotype": "estereotipo",
        "generic": "sirve para cualquier imagen",
        "invented": "inventa algo",
        "offensive": "ofensivo",
        "identifies_person": "identifica a alguien",
        "other": "otro",
        "acceptable": "¿Hay alguna descripción aceptable?",
        "acceptable.help": "Opcional. Si ninguna te parece aceptable, márcalo aquí y ordénalas de todos modos.",
        "some": "Al menos una es aceptable",
        "none": "Ninguna es aceptable",
        "rewrite": "¿Cómo la describirías tú?",
        "rewrite.help": "Opcional. No digas quiénes son las personas que se ven.",
        "slate": "Ficha",
        "keys": (
            "Pulsa el número del puesto de la descripción A, luego el de la B y así hasta la última, esperando "
            "cada vez a que se marque la siguiente; Intro envía. Con cuatro descripciones son cinco teclas. La "
            "flecha ↓ lleva a la pregunta siguiente, y dos veces a los problemas; cada opción se marca con su número. "
            "En «¿Hay alguna aceptable?», elegir ya pasa a la pregunta siguiente. "
            "← y → cambian de ficha; Retroceso la descarta. Si nada responde, pulsa Tab."
        ),
    },
    "pt": {
        "dataset": "Descrições de imagens",
        "picture": "Imagem",
        "seat": "Descrição {seat}",
        "ranking": "Ordene as descrições: qual diz melhor o que é isto na sua cultura?",
        "ranking.help": (
            "Olhe primeiro a imagem. A melhor fica na posição 1. Se duas parecerem igualmente boas, deixe-as na mesma "
            "posição."
        ),
        "problems": "Que problemas você vê, e em qual descrição?",
        "problems.help": "Opcional. Marque tudo o que notar.",
        "wrong_dish_or_feast": "outro prato ou festa",
        "stereotype": "estereótipo",
        "generic": "serve para qualquer imagem",
        "invented": "inventa algo",
        "offensive": "ofensivo",
        "identifies_person": "identifica alguém",
        "other": "outro",
        "acceptable": "Alguma descrição é aceitável?",
        "acceptable.help": "Opcional. Se nenhuma for aceitável, marque aqui e ordene-as mesmo assim.",
        "some": "Pelo menos uma é aceitável",
        "none": "Nenhuma é aceitável",
        "rewrite": "Como você a descreveria?",
        "rewrite.help": "Opcional. Não diga quem são as pessoas que aparecem.",
        "slate": "Ficha",
        "keys": (
            "Aperte o número da posição da descrição A, depois o da B e assim até a última, esperando cada vez "
            "que a seguinte seja marcada; Enter envia. Com quatro descrições são cinco teclas. A seta ↓ leva à "
            "pergunta seguinte, e duas vezes aos problemas; cada opção se marca com o seu número. Em "
            "“Alguma é aceitável?”, escolher já passa à pergunta seguinte. ← e → mudam de "
            "ficha; Backspace a descarta. Se nada responder, aperte Tab."
        ),
    },
    "en": {
        "dataset": "descriptions of pictures",
        "picture": "Picture",
        "seat": "Description {seat}",
        "ranking": "Rank the descriptions: which one says best what this is in your culture?",
        "ranking.help": (
            "Look at the picture first. The best goes in place 1. If two are equally good, put them in the same place."
        ),
        "problems": "Which problems do you see, and in which description?",
        "problems.help": "Optional. Mark everything you notice.",
        "wrong_dish_or_feast": "another dish or feast",
        "stereotype": "stereotype",
        "generic": "fits any picture",
        "invented": "invents something",
        "offensive": "offensive",
        "identifies_person": "says who somebody is",
        "other": "other",
        "acceptable": "Is any description acceptable?",
        "acceptable.help": "Optional. If none is, mark it here and rank them all the same.",
        "some": "At least one is acceptable",
        "none": "None is acceptable",
        "rewrite": "How would you describe it?",
        "rewrite.help": "Optional. Please do not say who the people in it are.",
        "slate": "Slate",
        "keys": (
            "Press the number of description A's place, then of B's and so on to the last, waiting each time until "
            "the next one is marked; Enter submits. With four descriptions that is five keys. The arrow ↓ leads to "
            "the next question, and twice to the problems; each option is marked by its number. At "
            '"Is any acceptable?", choosing already moves on to the next question. ← and → go to another '
            "picture; Backspace discards this one. If nothing responds, press Tab."
        ),
    },
}
