"""A preference set with faults that are known: clean pairs in Spanish and Portuguese, and beside them planted ones.

Everything is made from the lists below and a seed. A clean pair asks about a thing and a situation of a country; both
answers are three or four sentences, of which a few name the thing. Which one is chosen is a coin.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from planted import COUNTRIES, WORDS

QUESTIONS = {
    "es": ("¿Qué se acostumbra con {0} cuando {1} en {2}?", "En {2}, ¿quién se encarga de {0} si {1}?",
           "Cuéntame cómo se vive {0} por {2}, sobre todo cuando {1}.", "¿Vale la pena {0} en {2} aunque {1}?",
           "Me mudo a {2} y {1}: ¿qué hago con {0}?", "¿Por qué en {2} se habla tanto de {0} los días en que {1}?"),
    "pt": ("O que se costuma fazer com {0} quando {1} em {2}?", "Em {2}, quem cuida de {0} se {1}?",
           "Conta como se vive {0} em {2}, principalmente quando {1}.", "Vale a pena {0} em {2} mesmo que {1}?",
           "Vou morar em {2} e {1}: o que faço com {0}?", "Por que em {2} se fala tanto de {0} nos dias em que {1}?"),
}  # fmt: skip
THINGS = {
    "es": ("la comida del domingo", "el mercado de la esquina", "la fiesta del santo", "los regalos de boda",
           "el café de la tarde", "las tareas de la casa", "el partido del sábado", "la siesta", "los vecinos nuevos",
           "el pan recién hecho", "las flores del altar", "la música de la plaza", "los viajes largos",
           "el primer empleo", "las deudas entre amigos", "la visita de los suegros", "los apodos", "el luto"),
    "pt": ("o almoço de domingo", "a feira da esquina", "a festa do santo", "os presentes de casamento",
           "o café da tarde", "as tarefas da casa", "o jogo de sábado", "o cochilo", "os vizinhos novos",
           "o pão fresquinho", "as flores do altar", "a música da praça", "as viagens longas",
           "o primeiro emprego", "as dívidas entre amigos", "a visita dos sogros", "os apelidos", "o luto"),
}  # fmt: skip
WHEN = {
    "es": ("llueve toda la semana", "no alcanza el dinero", "llega gente de lejos", "es la primera vez",
           "nadie se pone de acuerdo", "hay niños pequeños", "se muere alguien del barrio", "cambia el gobierno",
           "la familia vive lejos", "hace demasiado calor", "el patrón no da permiso", "se va la luz"),
    "pt": ("chove a semana inteira", "o dinheiro não dá", "chega gente de longe", "é a primeira vez",
           "ninguém se entende", "há crianças pequenas", "morre alguém do bairro", "muda o governo",
           "a família mora longe", "faz calor demais", "o patrão não libera", "falta luz"),
}  # fmt: skip
PLACES = {
    "MX": ("Puebla", "Mérida", "Oaxaca", "Tijuana", "Xalapa", "Morelia"),
    "BR": ("Recife", "Belém", "Curitiba", "Salvador", "Goiânia", "Manaus"),
}
SAID = {
    "es": ("Con {0} la gente prefiere esperar a que todos estén sentados", "Las abuelas dicen que {0} no se discute",
           "Casi siempre alguien trae algo para compartir", "Lo de {0} se arregla hablando con calma",
           "Cada quien pone lo suyo y nadie lleva la cuenta", "En mi calle {0} empieza temprano y termina tarde",
           "Primero se pregunta a los mayores, después se decide", "No hay que llegar con las manos vacías",
           "Los jóvenes ya lo hacen de otra manera", "Se nota mucho quién es de fuera",
           "Conviene preguntar por {0} antes",
           "Depende del barrio y de la confianza que haya", "Muchos lo ven como una obligación bonita",
           "Si {0} sale mal, al otro día todos se ríen", "Se guarda un poco para quien no pudo venir"),
    "pt": ("Com {0} o pessoal prefere esperar até que todos estejam sentados", "As avós dizem que {0} não se discute",
           "Quase sempre alguém traz alguma coisa para dividir", "A questão de {0} se resolve conversando com calma",
           "Cada um contribui e ninguém faz as contas", "Na minha rua {0} começa cedo e termina tarde",
           "Primeiro se pergunta aos mais velhos, depois se decide", "Não dá para chegar de mãos vazias",
           "Os jovens já fazem de outro jeito", "Logo se nota quem é de fora", "Convém perguntar sobre {0} antes",
           "Depende do bairro e da confiança que existe", "Muitos acham que é uma obrigação bonita",
           "Se {0} dá errado, no dia seguinte todos riem", "Guarda-se um pouco para quem não pôde vir"),
}  # fmt: skip
ABROAD = {"MX": "ES", "BR": "PT"}

REFUSALS = {
    "es": ("Lo siento, no puedo ayudarte con esa pregunta.", "Como modelo de lenguaje, no puedo opinar sobre eso.",
           "Lo siento, pero no puedo responder a esa solicitud porque trata de un tema delicado.",
           "No puedo ayudarte con eso, prueba con otra consulta."),
    "pt": ("Sinto muito, não posso ajudar com essa pergunta.", "Como um modelo de linguagem, não posso dizer nada.",
           "Desculpe, mas não posso responder a esse pedido porque é um tema delicado.",
           "Não posso ajudar com isso, tente outra consulta."),
}  # fmt: skip
ERRORS = (
    "ERROR 503: el servidor no responde, intente más tarde", '{"error": {"message": "overloaded", "code": 529}}',
    "Internal Server Error", "Traceback (most recent call last): File app.py, line 3", "HTTP 429 Too Many Requests",
    "Respuesta no disponible (error_code: 50004)",
)  # fmt: skip
APOLOGIES = (
    "Disculpa la demora, estamos atendiendo a muchas personas; vuelve en un momento (folio {0}).",
    "Pedimos desculpa: a conversa {0} demorou demais, recarregue a página e tente de novo.",
)
ENGLISH = "People usually wait until everybody is seated, and somebody always brings a dish to share with the others."
OFF = (
    "El motor de cuatro tiempos comprime la mezcla antes de que la bujía la encienda en el cilindro.",
    "A fotossíntese transforma a luz em energia química dentro dos cloroplastos das folhas verdes.",
    "Un número primo solo se divide entre uno y sí mismo; el dos es el único par que lo es.",
)
EXAM = (
    ("¿En qué año firmaron los gobernadores del valle el acuerdo por el que las aguas del río se reparten por turnos?",
     ("1891", "1904", "1917", "1932")),
    ("Qual foi o engenheiro que desenhou a ponte de ferro que liga as duas margens do porto antigo da cidade baixa?",
     ("Silva", "Prado", "Moura", "Nunes")),
)  # fmt: skip
MARKS = ("<|im_end|>", "[/INST]", "</s>", "<end_of_turn>", "<|START_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>")


@dataclass
class Planter:
    """Rows and what is planted in them."""

    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take the dice."""
        self.dice = random.Random(self.seed)
        self.asked, self.said = set[str](), set[str]()

    def pair(self) -> dict[str, Any]:
        """A clean pair whose question was not asked before."""
        country = self.dice.choice(("MX", "BR"))
        language = COUNTRIES[country][1]
        while True:
            thing, when = self.dice.choice(THINGS[language]), self.dice.choice(WHEN[language])
            place = self.dice.choice(PLACES[country])
            question = self.dice.choice(QUESTIONS[language]).format(thing, when, place)
            if question not in self.asked:
                break
        self.asked.add(question)
        chosen, rejected = (self.answer(language, thing) for _ in range(2))
        return {"question": question, "chosen": chosen, "rejected": rejected, "country": country, "language": language}

    def answer(self, language: str, thing: str) -> str:
        """Three or four sentences that stood together in no answer before."""
        while True:
            said = self.dice.sample(SAID[language], self.dice.choice((3, 4)))
            if (text := " ".join(f"{one.format(thing)}." for one in said)) not in self.said:
                self.said.add(text)
                return text

    def add(self, row: dict[str, Any], planted: str = "") -> None:
        """Add a row; "" is a clean one."""
        self.rows.append({"split": "train", **row})
        self.planted.append(planted)


def planted_set(clean: int, each: int, seed: int) -> Planter:
    """Clean rows, and `each` rows with every fault that a single row can have, in a random order."""
    made = Planter(seed)
    for _ in range(clean):
        made.add(made.pair())
    faults: dict[str, Callable[[Planter, int], None]] = {
        "duplicate": _duplicate, "near-duplicate": _near, "leak": _leak, "error": _error, "refusal": _refusal,
        "repeated": _repeated, "turns": _turns, "marks": _marks, "language": _language, "variety": _variety,
        "contrast": _contrast, "copied": _copied, "off-topic": _off_topic, "pii": _pii,
    }  # fmt: skip
    for fault in faults.values():
        for number in range(each):
            fault(made, number)
    order = list(range(len(made.rows)))
    made.dice.shuffle(order)
    # What repeats another stands behind it: the first of both is the one that is kept.
    late = {"duplicate", "near-duplicate"}
    order.sort(key=lambda at: made.planted[at] in late)
    made.rows, made.planted = [made.rows[at] for at in order], [made.planted[at] for at in order]
    return made


def _side(made: Planter, row: dict[str, Any], text: str) -> dict[str, Any]:
    return {**row, made.dice.choice(("chosen", "rejected")): text}


def _clean(made: Planter) -> dict[str, Any]:
    return made.rows[made.dice.choice([at for at, what in enumerate(made.planted) if not what])]


def _duplicate(made: Planter, _: int) -> None:
    made.add({**_clean(made)}, "duplicate")


def _near(made: Planter, _: int) -> None:
    row, other = _clean(made), made.pair()
    question = row["question"].replace("?", " ?").replace(" en ", " en  ").upper() + " Gracias"
    made.add({**row, "question": question, "chosen": other["chosen"], "rejected": row["rejected"]}, "near-duplicate")


def _leak(made: Planter, _: int) -> None:
    row = made.pair()
    made.add({**row, "split": "test"}, "leak's other side")
    made.add({**made.pair(), **{k: row[k] for k in ("country", "language")}, "question": row["question"] + "!"}, "leak")


def _error(made: Planter, number: int) -> None:
    made.add(_side(made, made.pair(), ERRORS[number % len(ERRORS)]), "error")


def _refusal(made: Planter, number: int) -> None:
    row = made.pair()
    texts = REFUSALS[row["language"]]
    made.add(_side(made, row, f"{texts[number % len(texts)]} {made.answer(row['language'], 'eso')}"), "refusal")


def _repeated(made: Planter, number: int) -> None:
    row = made.pair()
    text = APOLOGIES[row["language"] == "pt"].format(f"{made.dice.randrange(10**5)}-{number}")
    made.add(_side(made, row, text), "repeated")


def _turns(made: Planter, _: int) -> None:
    row = made.pair()
    made.add(_side(made, row, f"{row['chosen']}\n\nHuman: {row['question']}\n\nAssistant: {row['rejected']}"), "turns")


def _marks(made: Planter, number: int) -> None:
    row = made.pair()
    made.add(_side(made, row, f"{row['chosen']} {MARKS[number % len(MARKS)]}"), "marks")


def _language(made: Planter, _: int) -> None:
    row = made.pair()
    other = made.answer("pt", "o almoço de domingo") if row["language"] == "es" else ENGLISH
    made.add(_side(made, row, other), "language")


def _variety(made: Planter, _: int) -> None:
    row = made.pair()
    things = made.dice.sample(WORDS[row["language"]], 3)
    told = ", ".join(thing[ABROAD[row["country"]]] for thing in things)
    sure = "Vosotros veréis si os va" if row["language"] == "es" else "Estamos a pensar no autocarro"
    made.add({**row, "chosen": f"{row['chosen']} {sure}: {told}."}, "variety")


def _contrast(made: Planter, _: int) -> None:
    row = made.pair()
    made.add({**row, "rejected": row["chosen"].upper().replace(".", " .") + made.dice.choice(("", " Sí."))}, "contrast")


def _copied(made: Planter, number: int) -> None:
    row = made.pair()
    made.add({**row, "question": f"Ayuda con esto: {EXAM[number % len(EXAM)][0]} {number}"}, "copied")


def _off_topic(made: Planter, number: int) -> None:
    made.add(_side(made, made.pair(), f"{OFF[number % len(OFF)]} Nota {number}: {OFF[(number + 1) % 3]}"), "off-topic")


def _pii(made: Planter, number: int) -> None:
    row = made.pair()
    made.add(
        _side(
            made, row, f"{row['chosen']} Escribe a vecina{number}@example.org o llama al +52 55 1234 {5600 + number}."
        ),
        "pii",
    )


# -- sets as a whole ----------------------------------------------------------------------------------------------


def shortcut_set(kind: str, count: int, share: float, seed: int) -> Planter:
    """Clean pairs, of which `share` carry a shortcut: "length", "style" or "tell"; "" carries none."""
    made = Planter(seed)
    for _ in range(count):
        row = made.pair()
        if kind and made.dice.random() < share:
            row["chosen"] = _shortcut(made, row, kind)
        made.add(row, kind)
    return made


def _shortcut(made: Planter, row: dict[str, Any], kind: str) -> str:
    if kind == "length":
        return f"{row['chosen']} {made.answer(row['language'], 'eso')}"
    if kind == "style":
        return "\n".join(f"- **{line}**" for line in row["chosen"].split(". "))
    return f"{'Claro' if row['language'] == 'es' else 'Claro que sim'}, con gusto te explico. {row['chosen']}"
