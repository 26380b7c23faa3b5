"""Names that columns have: of each field of an example, in English, Spanish and Portuguese."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from annotation.text.locales import fold

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "prompt": (
        *("prompt", "prompts", "prompt text", "user prompt", "question", "questions", "question text"),
        *("pregunta", "preguntas", "pergunta", "perguntas", "consulta", "instruction", "instructions", "instruccion"),
        *("instrucciones", "instrucao", "enunciado", "query", "input", "messages", "text", "texto"),
        *("conversations", "conversation", "conversacion", "conversaciones", "mensajes", "mensagens", "chat"),
        *("question content", "user input", "user message", "user query", "dialogue", "dialog", "history", "context"),
    ),
    "country": ("country", "country code", "pais", "codigo pais", "codigo de pais", "nation", "nacion"),
    "language": ("language", "language code", "lang", "idioma", "lengua", "lingua", "locale"),
    "topic": ("topic", "topics", "tema", "topico", "category", "categoria", "subject", "assunto", "domain", "dominio"),
    "system": (
        *(
            "system prompt",
            "systemprompt",
            "system",
            "system message",
            "sistema",
            "mensaje de sistema",
            "prompt de sistema",
        ),
        *("prompt do sistema", "mensagem de sistema", "instruccion de sistema"),
    ),
    "licence": ("licence", "license", "licencia", "licenca"),
    "id": ("id", "prompt id", "question id", "uid", "identificador"),
    "chosen": (
        *("chosen", "preferred", "elegida", "elegido", "preferida", "escolhida", "escolhido", "chosen response"),
        *("chosen answer", "response chosen", "preferred response", "preferred answer", "respuesta elegida", "y w"),
        *("respuesta preferida", "mejor respuesta", "resposta escolhida", "resposta preferida", "melhor resposta"),
        *("chosen completion", "chosen output", "best response", "better response", "positive", "aceptada", "accepted"),
        *("respuestas elegida", "respuesta aceptada"),
    ),
    "rejected": (
        *("rejected", "rechazada", "rechazado", "rejeitada", "rejeitado", "rejected response", "rejected answer"),
        *("response rejected", "dispreferred", "respuesta rechazada", "peor respuesta", "resposta rejeitada", "y l"),
        *("pior resposta", "rejected completion", "rejected output", "worse response", "negative", "no elegida"),
        *("no preferida", "respuestas rechazada", "dispreferred response", "non preferred", "descartada"),
        *("respuesta no elegida", "respuesta no preferida", "resposta nao escolhida", "resposta nao preferida"),
    ),
}
"""Names of the column of each field, folded (no case, accents, punctuation); the first that is there is taken."""

RANKS = ("ranks", "rank", "puestos", "orden", "posiciones", "rangos", "posicoes", "all ranks")
SCORES = (
    *("scores", "score", "ratings", "rating", "rewards", "overall scores", "all rm scores", "puntuaciones", "puntajes"),
    *("notas", "pontuacoes", "calificaciones"),
)
ORDERS = ("ranking", "rankings", "order", "orden", "ordem")
"""Columns with numbers, one for each answer of a list."""

ONE_RANK = ("rank", "ranking", "puesto", "posicion", "lugar", "rango", "posicao")
ONE_SCORE = (
    *("overall score", "score", "fine grained score", "rating", "reward", "helpfulness", "quality", "overall"),
    *("puntuacion", "puntaje", "nota", "calificacion", "valoracion", "pontuacao", "avaliacao", "estrellas", "stars"),
)
"""Columns and keys with the number of one answer."""

_MAIN = frozenset((*SYNONYMS["prompt"], *SYNONYMS["chosen"], *SYNONYMS["rejected"]))


def names_a_field(cells: Iterable[object]) -> bool:
    """Whether a cell of a line is the name of a prompt's or an answer's column: then the line is a head."""
    return any(isinstance(cell, str) and len(cell) <= 40 and fold(cell) in _MAIN for cell in cells)
