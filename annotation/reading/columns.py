"""Columns of a table of prompts: which one means what, and which ones name people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from annotation.errors import SettingsError, SourceError
from annotation.reading.cells import as_text
from annotation.reading.names import SYNONYMS
from annotation.reading.rows import Table
from annotation.text.language import tell
from annotation.text.locales import fold
from annotation.text.privacy import looks_like_account

_HISTORIES = ("messages", "conversations", "conversation", "dialogue", "dialog", "history", "context", "chat")
"""Columns that repeat the prompt where there is one."""

_TRANSLATION = re.compile(
    r"translation|traduccion|traducao|(?:en|es|pt) (?:question|prompt)|(?:question|prompt) (?:en|es|pt)"
)

ACCOUNT_COLUMNS = frozenset(
    (
        *("username", "user name", "user", "userid", "user id", "usuario", "usuaria", "nombre de usuario", "handle"),
        *("annotator", "annotator id", "annotator name", "anotador", "anotadora", "author", "author name", "autor"),
        *("autora", "contributor", "colaborador", "colaboradora", "created by", "submitted by", "worker id"),
        *("twitter", "instagram"),
    )
)
PERSONAL_COLUMNS = ACCOUNT_COLUMNS | frozenset(
    (
        *("email", "e mail", "mail", "email address", "correo", "correo electronico", "phone", "phone number"),
        *("telephone", "telefono", "telefone", "celular", "movil", "whatsapp", "contact", "contacto", "contato"),
        *("direccion de correo", "direccion de correo electronico", "endereco de e mail", "nombre completo"),
        *("full name", "first name", "last name", "apellido", "apellidos", "sobrenome"),
    )
)
"""Columns that name people, folded. They are never read; the user names in them are masked in the rest of their row."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Mapping from the fields of a prompt to the columns of a table.

    Attributes:
        of: Field (a key of SYNONYMS) to column; fields without a column are missing.
        personal: Columns that name people.
        notices: What a person should know about the choice.
    """

    of: Mapping[str, str]
    personal: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def map_columns(table: Table, named: Mapping[str, str], languages: Sequence[str]) -> Columns:
    """Map the fields of a prompt to the columns of a table.

    Where several columns may hold the prompt (`Question` and its `Translation`), the first one that is in a language of
    the project is taken.

    Args:
        table: The rows.
        named: Field to column, where a person named it.
        languages: The project's.

    Raises:
        SettingsError: `named` has a field that does not exist.
        SourceError: It has a column that does not exist or that names people.
    """
    if strange := sorted(set(named) - set(SYNONYMS)):
        raise SettingsError(f"--column {strange[0]}=... means nothing; the fields are {', '.join(SYNONYMS)}.")
    folded: dict[str, str] = {}
    for short in (fold, fold_short):
        for column in table.columns:
            folded.setdefault(short(column), column)
    found: dict[str, str] = {}
    for wanted, name in named.items():
        column = name if name in table.columns else folded.get(fold(name), "")
        begun = {whole for plain, whole in folded.items() if fold(name) and plain.startswith(fold(name))}
        if not column and len(begun) == 1:
            (column,) = begun
        if not column:
            raise SourceError(f'{table.name} has no column "{name}"; its columns are {_listed(table)}.')
        if fold(column) in PERSONAL_COLUMNS:
            raise SourceError(f'Column "{column}" of {table.name} names people and is never read; choose another one.')
        found[wanted] = column
    notices: list[str] = []
    for wanted, names in SYNONYMS.items():
        if wanted != "prompt" and wanted not in found:
            free = [folded[name] for name in names if name in folded and folded[name] not in found.values()]
            if free:
                found[wanted] = free[0]
    if "prompt" not in found:
        taken = set(found.values())
        possible = [folded[name] for name in SYNONYMS["prompt"] if name in folded and folded[name] not in taken]
        if (
            "prompt id" in folded or len(possible) > 1
        ):  # Beside a prompt, a column that is just called a text is an answer, or something else.
            others = [column for column in possible if fold(column) not in ("text", "texto", *_HISTORIES)]
            possible = others if others or "prompt id" in folded else possible
        possible += [folded[name] for name in folded if _TRANSLATION.fullmatch(name) and folded[name] not in taken]
        if len(possible) > 1:
            chosen, notice = _in_languages(table, possible, languages)
            possible = [chosen]
            notices.append(notice)
        if possible:
            found["prompt"] = possible[0]
    personal = tuple(column for column in table.columns if fold(column) in PERSONAL_COLUMNS)
    return Columns(found, personal, tuple(notices))


def fold_short(column: str) -> str:
    """A column's name, folded, without what stands in brackets: "Preferida (1 o 2)" is "preferida"."""
    return fold(re.sub(r"\([^()]*\)", " ", column)) or fold(column)


def no_prompt(table: Table) -> SourceError:
    """The error of a table in which nothing can be the prompt."""
    if not table.columns:
        return SourceError(f"{table.name} holds no prompt.{''.join(f' {notice}' for notice in table.notices)}")
    return SourceError(
        f"{table.name} has no column that annot knows as the prompt; its columns are {_listed(table)}; "
        f"say which one it is with --column prompt=NAME.{''.join(f' {notice}' for notice in table.notices)}"
    )


def _listed(table: Table) -> str:
    return ", ".join(f'"{column}"' for column in table.columns[:30])


def _in_languages(table: Table, possible: Sequence[str], languages: Sequence[str]) -> tuple[str, str]:
    """The prompt column among several: the first whose cells, together, are in one of the languages; else the first."""
    samples = []
    for column in possible:
        cells = (as_text(row.values.get(column)) for row in table.rows[:2000])
        samples.append("\n".join([cell[:200] for cell in cells if cell.strip()][:50]))
    detected = [tell(sample, languages) for sample in samples]
    number = next((n for n, code in enumerate(detected) if code in languages and samples[n]), 0)
    others = ", ".join(f'"{column}" ({detected[n]})' for n, column in enumerate(possible) if n != number)
    return possible[number], (
        f'The prompt is column "{possible[number]}" ({detected[number]}), not {others}; '
        "--column prompt=NAME takes another one."
    )


@cache
def _names_accounts(column: str) -> bool:
    return fold(column) in ACCOUNT_COLUMNS


def accounts_in(cells: Mapping[str, object]) -> tuple[str, ...]:
    """User names in the account columns of a row, by column: they are masked in its texts."""
    names = (as_text(cell).strip() for column, cell in cells.items() if _names_accounts(column))
    return tuple(name for name in names if looks_like_account(name))
