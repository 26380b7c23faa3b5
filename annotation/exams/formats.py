"""Forms of exams: INCLUDE's contributions and released columns, corpus-automation's JSON, and anybody's tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any

from annotation.text.locales import country_code, fold, language_code, name_of_country, name_of_language
from annotation.types import REGIONAL_FEATURES, ExamQuestion

LETTERS = "ABCDEFGHIJ"

QUESTION = ("question", "questions", "pregunta", "preguntas", "pergunta", "perguntas", "enunciado", "questao")
ANSWER = (
    *("answer", "correct answer", "correct option", "key", "clave", "respuesta", "respuesta correcta", "gabarito"),
    *("resposta", "resposta correta", "resposta certa", "correcta", "correta"),
)
OPTIONS = ("options", "choices", "opciones", "opcoes", "alternativas")
NUMBER = ("number", "numero", "num", "n", "n o", "no", "nr", "question number", "original question num", "question id")
CATEGORY = ("category en", "category", "subject", "categoria", "materia", "asignatura", "disciplina")
_ANNULLED = re.compile(r"(?i)anul\w*\.?|nul[ao]|\*+|x")
_KEY = re.compile(r"(?:(?:option|opcion|opcao|alternativa|choice|respuesta|resposta|letra) )?([a-j])")
_ONE_OPTION = re.compile(r"(?:(?:option|opcion|opcao|alternativa|choice) )?([a-j])")

GIVEN: Mapping[str, tuple[str, ...]] = {
    "country": ("country", "pais"),
    "language": ("language", "idioma", "lengua", "lingua"),
    "exam": ("exam name", "exam", "examen", "prueba", "exame", "prova"),
    "level": ("level", "nivel"),
    "category_original": ("category original lang", "category original"),
    "domain": ("domain", "dominio"),
    "regional_feature": ("regional feature",),
    "source": ("source", "fuente", "fonte"),
    "licence": ("license", "licence", "licencia", "licenca"),
}
"""What else a row may tell: attribute of an ExamQuestion -> folded names of the column."""


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A question as a row of a table has it.

    Attributes:
        question: Its text.
        options: Texts of its options, in order.
        answer: Place of the right one, 0 first; None where the row has no key.
        number: Number in its exam, or "".
        category: Subject, as the row names it, or "".
        given: What else the row tells, by attribute of ExamQuestion; countries and languages as ISO codes.
        annulled: Its key says that it does not count.
        unsure: Why somebody should look at it, or "".
    """

    question: str
    options: tuple[str, ...]
    answer: int | None
    number: str = ""
    category: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    annulled: bool = False
    unsure: str = ""


# -- INCLUDE -----------------------------------------------------------------------------------------------


def to_submission(question: ExamQuestion) -> dict[str, Any]:
    """A question in INCLUDE's form for contributions: exactly its keys."""
    return {
        "language": english_language(question.language),
        "country": name_of_country(question.country, "en"),
        "exam_name": question.exam,
        "source": question.source,
        "license": question.licence,
        "level": question.level,
        "category_en": question.category,
        "category_original_lang": question.category_original,
        "original_question_num": _number(question.number),
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
    }


def read_submission(row: Mapping[str, Any]) -> FoundRow:
    """The inverse of `to_submission`; ValueError in a few words where the row is no question."""
    return _found(row, listed_options(row.get("options")), row.get("answer"), zero_based=True)


def to_released(question: ExamQuestion) -> dict[str, Any]:
    """A question in the columns of INCLUDE's releases, and behind them what a release leaves out."""
    named = to_submission(question)
    options = question.options
    return {
        **{name: named[name] for name in ("language", "country")},
        "domain": question.domain,
        "subject": question.category,
        "regional_feature": question.regional_feature,
        **{name: named[name] for name in ("level", "question")},
        **{f"option_{letter.lower()}": text for letter, text in zip(LETTERS, options, strict=False)},
        **{name: named[name] for name in ("answer", "exam_name", "source", "license")},
        "original_question_num": question.number,
        "category_original_lang": question.category_original,
    }


def read_released(row: Mapping[str, Any]) -> FoundRow:
    """The inverse of `to_released`; older releases have a list, `choices`. ValueError where the row is no question."""
    named = [name for name in sorted(row) if re.fullmatch("option_[a-j]", name)]
    options = listed_options(row["choices"]) if "choices" in row else [row[name] for name in named]
    return _found(row, options, row.get("answer"), zero_based=True)


def english_language(code: str) -> str:
    """A language as INCLUDE names it: "Spanish"; without what ISO 639 has in brackets."""
    return name_of_language(code).partition(" (")[0]


# -- others ------------------------------------------------------------------------------------------------


def to_corpus_automation(question: ExamQuestion) -> dict[str, Any]:
    """A question in corpus-automation's form, which has no room for where it comes from."""
    return {
        "question_id": _number(question.number),
        "question": question.question,
        "options": {letter.lower(): text for letter, text in zip(LETTERS, question.options, strict=False)},
        "correct_answer": None if question.answer is None else LETTERS[question.answer].lower(),
        "category": question.category,
    }


def read_corpus_automation(row: Mapping[str, Any]) -> FoundRow:
    """The inverse of `to_corpus_automation`; ValueError in a few words where the row is no question."""
    return _found(row, listed_options(row.get("options")), row.get("correct_answer"))


def read_table_row(row: Mapping[str, Any]) -> FoundRow:
    """A row of anybody's table: a question and its options under usual names; the key is a letter.

    Raises:
        ValueError: The row is no question, in a few words that can be counted.
    """
    columns = {fold(name): value for name, value in row.items()}
    own = {found[1].upper(): value for name, value in columns.items() if (found := _ONE_OPTION.fullmatch(name))}
    if listed := _first(columns, OPTIONS):
        options = listed_options(listed)
    else:
        options = [own.get(letter) for letter in LETTERS]
        while options and not _text(options[-1]):  # a column for a fifth option, and a question with four
            options.pop()
    if any(isinstance(cell, str) and cell.startswith("=") for cell in row.values()):
        raise ValueError("a formula that the spreadsheet never computed")
    keys = {_text(columns[name]): columns[name] for name in ANSWER if _text(columns.get(name))}
    if len(keys) > 1:
        raise ValueError("two columns with different keys")
    return _found(row, options, next(iter(keys.values()), None))


READERS: Mapping[str, Callable[[Mapping[str, Any]], FoundRow]] = {
    "submission": read_submission,
    "released": read_released,
    "corpus-automation": read_corpus_automation,
    "table": read_table_row,
}
"""Form -> what reads a row of it."""


def known_form(columns: Collection[str]) -> str:
    """Which of READERS a table with these columns is for; "" for none. Keys from 0 are only INCLUDE's own."""
    names = set(columns)
    if names >= {"question", "options", "answer", "original_question_num"}:
        return "submission"
    if names >= {"question", "answer", "regional_feature"} and (
        "choices" in names or names >= {"option_a", "option_b"}
    ):
        return "released"
    if names >= {"question_id", "question", "options", "correct_answer"}:
        return "corpus-automation"
    folded = {fold(name) for name in names}
    options = {found[1] for name in folded if (found := _ONE_OPTION.fullmatch(name))} >= {"a", "b"}
    return "table" if folded & set(QUESTION) and (options or folded & set(OPTIONS)) else ""


def columns_not_read(columns: Collection[str]) -> list[str]:
    """Columns of a table of questions that no reader looks at."""
    read = {
        *QUESTION,
        *ANSWER,
        *OPTIONS,
        *NUMBER,
        *CATEGORY,
        "checked by",
        *(n for names in GIVEN.values() for n in names),
    }
    return [name for name in columns if fold(name) not in read and not _ONE_OPTION.fullmatch(fold(name))]


# -- cells -------------------------------------------------------------------------------------------------


def _found(row: Mapping[str, Any], options: Sequence[Any], key: Any, *, zero_based: bool = False) -> FoundRow:
    """A row with these options and this key; ValueError where it is no question."""
    columns = {fold(name): value for name, value in row.items()}
    question, texts = _text(_first(columns, QUESTION)), tuple(map(_text, options))
    annulled = _text(key) not in texts and _ANNULLED.fullmatch(_text(key)) is not None
    answer = None if annulled else _place(_text(key), texts, zero_based=zero_based)
    faults = {
        "no question": not question,
        "fewer than two options": len(texts) < 2,
        "more options than letters": len(texts) > len(LETTERS),
        "an empty option": not all(texts),
        "a key that is no option": answer is not None and not 0 <= answer < len(texts),
    }
    if fault := next((fault for fault, there in faults.items() if there), ""):
        raise ValueError(fault)
    given = {name: text for name, names in GIVEN.items() if (text := _text(_first(columns, names)))}
    for name, code_of in (("country", country_code), ("language", language_code)):
        if name in given:
            if (code := code_of(given[name])) is None:
                raise ValueError(f"an unknown {name}")
            given[name] = code
    if given.get("regional_feature", REGIONAL_FEATURES[0]) not in REGIONAL_FEATURES:
        raise ValueError("an unknown regional feature")
    number, category = _text(_first(columns, NUMBER)), _text(_first(columns, CATEGORY))
    counted = any(not isinstance(option, str) for option in options)
    unsure = "an option was a number and no text in its file: 50 % may have become 0.5" if counted else ""
    return FoundRow(question, texts, answer, number, category, given, annulled, unsure)


def _first(columns: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((columns[name] for name in names if columns.get(name) not in (None, "")), None)


def _text(value: Any) -> str:
    """A cell as text.

    Raises:
        ValueError: It is no text and no number: a spreadsheet makes dates of fractions, for example.
    """
    if value is None or value != value:  # pandas writes an absent cell as NaN
        return ""
    if isinstance(value, bool | date | time | timedelta):
        raise ValueError("a date, a time or a truth value: in the spreadsheet, format the column as text")
    if not isinstance(value, str | int | float):
        raise ValueError("a list or an object in the place of a text")
    if isinstance(value, float) and value.is_integer():  # a workbook's number
        value = int(value)
    return str(value).strip()


def listed_options(value: Any) -> Sequence[Any]:
    """Options from a list, from {"a": …}, or from the JSON of either."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("options that are no list") from None
    if isinstance(value, Mapping):
        letters = LETTERS.lower()[: len(value)]
        texts = {str(name).strip().lower(): text for name, text in value.items()}
        if sorted(texts) != list(letters):
            raise ValueError("options without their letters in order")
        value = [texts[letter] for letter in letters]
    if not isinstance(value, (list, tuple)):
        raise ValueError("options that are no list")
    return value


def _place(key: str, options: Sequence[str], *, zero_based: bool) -> int | None:
    """A key as the place of an option: from a letter, or from the option's own text; from a digit only in some forms.

    Elsewhere a digit may count from 0 or from 1, and nobody guesses which.
    """
    if not key:
        return None
    if zero_based and re.fullmatch(r"\d", key):
        return int(key)
    if found := _KEY.fullmatch(fold(key)):
        place = LETTERS.index(found[1].upper())
        if key in options and options.index(key) != place:
            raise ValueError("a key that is a letter and another option's text")
        return place
    if options.count(key) == 1 and not re.fullmatch(r"\d", key):
        return options.index(key)
    raise ValueError("a key that is a digit and no letter" if key.isdigit() else "a key that is no letter")


def _number(number: str) -> int | str:
    """As INCLUDE writes it: a number where it is one, and nothing is lost by that."""
    return int(number) if re.fullmatch(r"0|[1-9]\d{0,8}", number) else number
