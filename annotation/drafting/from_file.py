"""`annot draft --from FILE`: candidates written, or drawn from another model, elsewhere are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from annotation.drafting.verdict import normal_form
from annotation.errors import SourceError
from annotation.project import Project
from annotation.prompts.review import only_accepted
from annotation.prompts.rows import ANSWER_ROOM
from annotation.reading.cells import as_text
from annotation.reading.examples import NO_TEXT, Example, FoundAnswer, read_examples
from annotation.screen import Progress, count_reasons, counted, silent
from annotation.text.clean import clean, clean_label, is_formula
from annotation.text.locales import country_code, fold, language_code
from annotation.text.privacy import mask
from annotation.types import Candidate, Dropped, Prompt

PROMPT_IDS = ("prompt id", "id del prompt", "id do prompt")


@dataclass(frozen=True, slots=True)
class AnswersAdded:
    """Result of reading a file of answers.

    Attributes:
        new: Candidates that the project did not have.
        known: Candidates that it had.
        masked: E-mail addresses, phone numbers and user names that were masked in the new ones.
        dropped: Answers left out; id is "file:row", or "file:row#3" in a list.
        notices: What a person should know about how it was read, and what was not.
    """

    new: int
    known: int
    masked: int
    dropped: tuple[Dropped, ...]
    notices: tuple[str, ...]


def draft_from_file(project: Project, source: Path, *, progress: Progress = silent) -> AnswersAdded:
    """Read answers to prompts that the project has, in any form. Reading a file twice adds nothing.

    A row names its prompt by prompt_id or by its text (and country and language, where two prompts share a text). Of
    other columns only voice and model are taken.

    Raises:
        SourceError: The file cannot be read, has no column for the prompt or for the answer, or no answer in it is of
            use.
    """
    found = read_examples(str(source), languages=project.settings.project.languages, progress=progress)
    ids = next((column for column in found.columns if fold(column) in PROMPT_IDS), "")
    answered = any(example.answers for example in found.kept)
    if not answered or not (ids or any(example.turns for example in found.kept)):
        said = "".join(f" {drop.id}: {drop.reason} ({drop.because_of})." for drop in found.dropped[:1])
        raise SourceError(
            f"{found.name} has the columns {', '.join(found.columns)}; `annot draft --from` needs one called prompt "
            f"(or prompt_id), and one called answer (or a list called answers): give them these names.{said}"
        )
    there = project.ledger.prompts()
    if not there:
        raise SourceError(
            f"{project.folder} holds no prompts yet that {found.name} could answer; run `annot prompts add FILE` "
            "first, then the same command again."
        )
    prompts = _Prompts(there)
    accepted = only_accepted(project.ledger, project.settings)
    longest = ANSWER_ROOM * project.settings.prompts.max_chars
    kept: dict[str, Candidate] = {}
    masked: dict[str, int] = {}
    dropped = [drop for drop in found.dropped if drop.reason != NO_TEXT]  # below, by their places in the list
    for place, example, answer in (entry for one in found.kept for entry in _answers(one)):
        prompt, reason = prompts.of(example, ids)
        text = clean(answer.text)
        if prompt is None:
            dropped.append(Dropped(place, reason))
        elif accepted is not None and prompt.id not in accepted:
            dropped.append(Dropped(place, "prompt not accepted"))
        elif not answer.text.strip():
            dropped.append(Dropped(place, "no text"))
        elif not text:
            dropped.append(Dropped(place, "empty"))
        elif is_formula(text):
            dropped.append(Dropped(place, "formula"))
        elif len(text) > longest:
            dropped.append(Dropped(place, "too long", f"{len(text)} characters, at most {longest}"))
        else:
            text, hidden = mask(text, prompt.country, example.accounts)
            voice, hidden_in_voice = mask(answer.voice, prompt.country, example.accounts)
            candidate = Candidate.make(
                prompt.id,
                text,
                model=mask(clean_label(answer.model))[0] or found.name,
                voice=voice,
                settings={"source": place},
            )
            if candidate.id in kept:
                dropped.append(Dropped(place, "exact duplicate", str(kept[candidate.id].settings["source"])))
            else:
                kept[candidate.id] = candidate
                masked[candidate.id] = hidden.total() + hidden_in_voice.total()
    if not kept:
        why = "; ".join(f"{reason} {count} ({shown})" for reason, count, shown in count_reasons(dropped)[:4])
        raise SourceError(
            f"No answer came of the {counted(found.rows, 'row')} of {found.name}: {why}. `annot prompts list --each` "
            "shows which prompts can be answered."
        )
    with project.ledger.transaction():
        known = project.ledger.known_candidates(kept)
        new = [candidate for candidate in kept.values() if candidate.id not in known]
        project.ledger.add_candidates(new)
        project.ledger.add_dropped("draft", dropped)
    notices = list(found.notices)
    if judged := sum(len(example.judgements) for example in found.kept):
        what = counted(judged, "judgement of these answers stays", "judgements of these answers stay")
        notices.append(f"{what} in {found.name}: `annot prompts add` takes them too.")
    hidden_in_new = sum(masked[candidate.id] for candidate in new)
    return AnswersAdded(len(new), len(kept) - len(new), hidden_in_new, tuple(dropped), tuple(notices))


def _answers(example: Example) -> list[tuple[str, Example, FoundAnswer]]:
    """Answers of an example with their places; one that is blank where there is none."""
    answers = example.answers or (FoundAnswer("", ""),)
    several = len(answers) > 1
    return [(f"{example.place}#{n}" if several else example.place, example, a) for n, a in enumerate(answers, 1)]


class _Prompts:
    """Index of prompts, by id and by text."""

    def __init__(self, prompts: Collection[Prompt]) -> None:
        self._by_id = {prompt.id: prompt for prompt in prompts}
        self._by_text: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in prompts:
            self._by_text[normal_form(prompt.text)].append(prompt)
        self._countries = sorted({prompt.country for prompt in prompts})
        self._found: dict[tuple[str, str, str], tuple[Prompt | None, str]] = {}

    def of(self, example: Example, ids: str) -> tuple[Prompt | None, str]:
        """The prompt, or None and why there is none; `ids` is the column that names it."""
        if name := as_text(example.cells.get(ids)).strip():
            prompt = self._by_id.get(name)
            return prompt, "" if prompt else "unknown prompt"
        named = (example.prompt, example.country, example.language)
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
