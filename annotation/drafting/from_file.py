"""`annot draft --from FILE`: candidates written, or drawn from another model, elsewhere are read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation.drafting.verdict import normal_form
from annotation.errors import SourceError
from annotation.project import Project
from annotation.prompts.review import only_accepted
from annotation.prompts.rows import ANSWER_ROOM
from annotation.reading.columns import SYNONYMS, accounts_in
from annotation.reading.known_forms import unfold
from annotation.reading.rows import Table
from annotation.reading.table import read_table
from annotation.text.clean import clean, is_formula
from annotation.text.locales import country_code, fold, language_code
from annotation.text.privacy import mask
from annotation.types import Candidate, Dropped, Prompt

ANSWERS = (
    *("candidate", "response", "answer", "completion", "output"),
    *("respuesta", "resposta", "candidato", "text", "texto"),
)
"""What the column of one answer may be called, folded; the first that is there is taken."""

LISTS = ("candidates", "responses", "answers", "completions", "outputs", "respuestas", "respostas", "candidatos")
"""What a column may be called that holds a list of answers: strings, or objects with text, voice and model."""

PROMPTS = tuple(name for name in SYNONYMS["prompt"] if name not in ANSWERS)
PROMPT_IDS = ("prompt id", "id del prompt", "id do prompt")


@dataclass(frozen=True, slots=True)
class AnswersAdded:
    """Result of reading a file of answers.

    Attributes:
        new: Candidates that the project did not have.
        known: Candidates that it had.
        masked: E-mail addresses, phone numbers and user names that were masked in the new ones.
        dropped: Answers left out; id is "file:row", or "file:row#3" in a list.
    """

    new: int
    known: int
    masked: int
    dropped: tuple[Dropped, ...]


def draft_from_file(project: Project, source: Path) -> AnswersAdded:
    """Read answers to prompts that the project has. Reading a file twice adds nothing.

    A row names its prompt by prompt_id or by its text (and country and language, where two prompts share a text),
    and holds one answer, or a list of them under "candidates". Of other columns only voice and model are taken.

    Raises:
        SourceError: The file cannot be read, or has no column for the prompt or for the answer.
    """
    table = unfold(read_table(str(source)))
    names = {fold(name) for name in table.columns}
    if not names & {*PROMPTS, *PROMPT_IDS} or not names & {*ANSWERS, *LISTS}:
        raise SourceError(
            f"{table.name} has the columns {', '.join(table.columns)}; `annot draft --from` needs one called prompt "
            "(or prompt_id), and one called answer (or a list called answers): give them these names."
        )
    there = project.ledger.prompts()
    if not there:
        raise SourceError(
            f"{project.folder} holds no prompts yet that {table.name} could answer; run `annot prompts add FILE` "
            "first, then the same command again."
        )
    prompts = _Prompts(there)
    accepted = only_accepted(project.ledger, project.settings)
    longest = ANSWER_ROOM * project.settings.prompts.max_chars
    kept: dict[str, Candidate] = {}
    masked: dict[str, int] = {}
    dropped = []
    for place, row, answer in _answers(table):
        prompt, reason = prompts.of(row)
        text = clean(answer.text) if answer.text is not None else ""
        if prompt is None:
            dropped.append(Dropped(place, reason))
        elif accepted is not None and prompt.id not in accepted:
            dropped.append(Dropped(place, "prompt not accepted"))
        elif answer.text is None:
            dropped.append(Dropped(place, "no text"))
        elif not text:
            dropped.append(Dropped(place, "empty"))
        elif is_formula(text):
            dropped.append(Dropped(place, "formula"))
        elif len(text) > longest:
            dropped.append(Dropped(place, "too long", f"{len(text)} characters, at most {longest}"))
        else:
            text, hidden = mask(text, prompt.country, row.accounts)
            voice, hidden_in_voice = mask(answer.voice, prompt.country, row.accounts)
            candidate = Candidate.make(
                prompt.id, text, model=answer.model or table.name, voice=voice, settings={"source": place}
            )
            if candidate.id in kept:
                dropped.append(Dropped(place, "exact duplicate", str(kept[candidate.id].settings["source"])))
            else:
                kept[candidate.id] = candidate
                masked[candidate.id] = hidden.total() + hidden_in_voice.total()
    with project.ledger.transaction():
        known = {candidate.id for candidate in project.ledger.candidates()}
        new = [candidate for candidate in kept.values() if candidate.id not in known]
        project.ledger.add_candidates(new)
        project.ledger.add_dropped("draft", dropped)
    return AnswersAdded(len(new), len(kept) - len(new), sum(masked[candidate.id] for candidate in new), tuple(dropped))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer as written; text is None where there is none, or something else than text."""

    text: str | None
    voice: str
    model: str


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row by folded column name, and the user names that stand in it."""

    of: Mapping[str, object]
    accounts: tuple[str, ...]

    def text(self, *names: str) -> str:
        """The first of these columns that holds text, or ""."""
        return next((value for name in names if isinstance(value := self.of.get(name), str) and value.strip()), "")


def _answers(table: Table) -> Iterator[tuple[str, _Cells, _Answer]]:
    for row in table.rows:
        cells = _cells(row.values)
        place = f"{table.name}:{row.place}"
        listed = next((_as_list(cells.of[name]) for name in LISTS if cells.of.get(name) is not None), None)
        voice, model = cells.text("voice", "voz"), cells.text("model", "modelo")
        if listed is None:
            yield place, cells, _Answer(cells.text(*ANSWERS) or None, voice, model)
            continue
        for number, item in enumerate(listed, 1):
            if isinstance(item, Mapping):
                inner = _cells(item)
                answer = _Answer(
                    inner.text(*ANSWERS) or None,
                    inner.text("voice", "voz") or voice,
                    inner.text("model", "modelo") or model,
                )
            else:
                answer = _Answer(item if isinstance(item, str) else None, voice, model)
            yield f"{place}#{number}", cells, answer


def _cells(values: Mapping[str, object]) -> _Cells:
    of = {fold(str(name)): value for name, value in values.items()}
    return _Cells(of, accounts_in(of))


def _as_list(cell: object) -> Sequence[object]:
    """The answers in a cell; a table without lists writes them as JSON."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
    return cell if isinstance(cell, list | tuple) else [cell]


class _Prompts:
    """Index of prompts, by id and by text."""

    def __init__(self, prompts: Collection[Prompt]) -> None:
        self._by_id = {prompt.id: prompt for prompt in prompts}
        self._by_text: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in prompts:
            self._by_text[normal_form(prompt.text)].append(prompt)
        self._countries = sorted({prompt.country for prompt in prompts})
        self._found: dict[tuple[str, str, str], tuple[Prompt | None, str]] = {}

    def of(self, row: _Cells) -> tuple[Prompt | None, str]:
        """The prompt, or None and why there is none."""
        if name := row.text(*PROMPT_IDS):
            prompt = self._by_id.get(name.strip())
            return prompt, "" if prompt else "unknown prompt"
        named = (row.text(*PROMPTS), row.text(*SYNONYMS["country"]), row.text(*SYNONYMS["language"]))
        if named not in self._found:
            self._found[named] = self._search(*named)
        return self._found[named]

    def _search(self, text: str, country: str, language: str) -> tuple[Prompt | None, str]:
        if not text:
            return None, "no prompt"
        # The project holds prompts as they were masked on their way in.
        tidy = clean(text)
        spellings = (tidy, *(mask(tidy, region)[0] for region in (None, *self._countries)))
        meant = next((found for spelling in spellings if (found := self._by_text.get(normal_form(spelling)))), [])
        if country:
            meant = [prompt for prompt in meant if prompt.country == country_code(country)]
        if language:
            meant = [prompt for prompt in meant if prompt.language == language_code(language)]
        if len(meant) == 1:
            return meant[0], ""
        return None, "several prompts have this text" if meant else "unknown prompt"
