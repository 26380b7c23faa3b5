"""The consent's page in the languages of its people, and the warning that they read."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "es": {
        "dataset": "Consentimiento",
        "warning": "Antes de empezar",
        "answer": "¿Quieres participar?",
        "answer.help": "Puedes cambiar tu respuesta en cualquier momento.",
        "yes": "Sí: leí esto y soy mayor de edad",
        "no": "No quiero participar",
        "item": "Consentimiento",
    },
    "pt": {
        "dataset": "Consentimento",
        "warning": "Antes de começar",
        "answer": "Quer participar?",
        "answer.help": "Você pode mudar sua resposta a qualquer momento.",
        "yes": "Sim: li isto e sou maior de idade",
        "no": "Não quero participar",
        "item": "Consentimento",
    },
    "en": {
        "dataset": "consent",
        "warning": "Before you begin",
        "answer": "Do you want to take part?",
        "answer.help": "You can change your answer at any time.",
        "yes": "Yes: I read this and I am an adult",
        "no": "I do not want to take part",
        "item": "Consent",
    },
}
"""Everything on the page that is the consent's own, by language; the rest is `annotation.tasks.page.TEXTS`."""

WARNING: Mapping[str, str] = {
    "es": """\
Lo que verás: estereotipos, es decir, cosas que se dicen de grupos de personas. La mayoría son falsas, y muchas \
hieren, quizá también a ti. Que estén aquí no significa que sean verdad ni que alguien del proyecto las crea: se \
reúnen para medir si una máquina las repite.

Cuánto verás: como mucho {most_a_day} textos en 24 horas. Quien coordina tu equipo puede cambiar ese número.

La salida: cada página tiene una opción para saltar un texto y otra para no ver ninguno más. También puedes cerrar \
la página sin más.

Parar: puedes hacerlo en cualquier momento, sin dar razones y sin consecuencias. Desde entonces no verás ninguno de \
estos textos. Lo que ya respondiste se conserva, salvo que pidas que se borre.

Volver: abre otra vez esta página y envía «Sí» de nuevo.

Tus respuestas: sirven para evaluar modelos y nunca para entrenarlos. Fuera del proyecto llevan un seudónimo en \
lugar de tu nombre. También se guarda qué respondes aquí y cuándo. Puedes pedir a quien coordina tu equipo que borre \
lo tuyo.

Si algo te afecta, para y habla con alguien de confianza.""",
    "pt": """\
O que você verá: estereótipos, isto é, coisas que se dizem de grupos de pessoas. A maioria é falsa, e muitas \
machucam, talvez a você também. Estarem aqui não significa que sejam verdade nem que alguém do projeto acredite \
nelas: são reunidas para medir se uma máquina as repete.

Quanto verá: no máximo {most_a_day} textos em 24 horas. Quem coordena sua equipe pode mudar esse número.

A saída: cada página tem uma opção para pular um texto e outra para não ver mais nenhum. Você também pode \
simplesmente fechar a página.

Parar: você pode parar a qualquer momento, sem dar motivos e sem consequências. A partir daí não verá nenhum destes \
textos. O que já respondeu é conservado, a não ser que peça que seja apagado.

Voltar: abra esta página de novo e envie «Sim» outra vez.

Suas respostas: servem para avaliar modelos e nunca para treiná-los. Fora do projeto levam um pseudônimo em vez do \
seu nome. Também se guarda o que você responde aqui e quando. Você pode pedir a quem coordena sua equipe que apague \
o que é seu.

Se algo mexer com você, pare e fale com alguém de confiança.""",
    "en": """\
What you will see: stereotypes, that is, things that are said of groups of people. Most are false, and many hurt, \
perhaps you too. That they are here does not mean that they are true, or that anybody in the project believes them: \
they are collected to measure whether a machine repeats them.

How much you will see: at most {most_a_day} texts in 24 hours. Your team lead can change that number.

The way out: every page has an option to skip a text, and one to see no more of them. You can also just close the \
page.

Stopping: you can stop at any time, without giving a reason and without consequences. From then on you see none of \
these texts. What you have answered is kept, unless you ask for it to be erased.

Coming back: open this page again and submit “Yes” once more.

Your answers: they serve to evaluate models and never to train them. Outside of the project they carry a pseudonym \
instead of your name. What you answer here is kept too, and when. You can ask your team lead to erase what is yours.

If something troubles you, stop and talk to somebody you trust.""",
}
"""What people read before they answer, by language. An item keeps it as it was: a later wording changes none."""
