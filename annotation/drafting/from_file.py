"""`annot draft --from FILE`: candidates written, or drawn from another model, elsewhere are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from annotation.drafting.verdict import normal_form
from annotation.errors import SourceError
from annotation.images.added import ALIKE, SAME
from annotation.images.store import read_pictures
from annotation.project import Project
from annotation.prompts.review import only_accepted
from annotation.prompts.rows import ANSWER_ROOM
from annotation.reading.cells import as_text
from annotation.reading.examples import NO_TEXT, Example, FoundAnswer, read_examples
from annotation.screen import Progress, count_reasons, counted, silent
from annotation.text.clean import clean, clean_label, is_formula
from annotation.text.locales import country_code, fold, language_code
from annotation.text.privacy import mask
from annotation.types import Candidate, Dropped, Picture, Prompt

PROMPT_IDS = ("prompt id", "id del prompt", "id do prompt")
PICTURES = ("image", "picture", "image id", "picture id", "imagen", "imagem", "foto")

SEVERAL_HAVE_IT = "several prompts have this text"
SEVERAL_PROMPTS = "several prompts are about this picture"
SEVERAL_PICTURES = "several pictures have this prompt or name"
NEARLY = "a picture that nearly repeats another one"

MADE_UP = "tiny"
"""What `annot describe` calls the model that it makes on the spot."""


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

    A row names its prompt by prompt_id, by its picture (the id, or what it was called when it came in) or by its text,
    and by country and language where two prompts share these. Of other columns only voice and model are taken.

    Raises:
        SourceError: The file cannot be read, has no column for the prompt or for the answer, or no answer in it is of
            use.
    """
    languages, names = project.settings.project.languages, (*PROMPT_IDS, *PICTURES)
    found = read_examples(str(source), languages=languages, also=names, names=names, progress=progress)
    ids, pictures = (
        next((column for column in found.columns if fold(column) in known), "") for known in (PROMPT_IDS, PICTURES)
    )
    answered = any(example.answers for example in found.kept)
    if not answered or not (ids or pictures or any(example.turns for example in found.kept)):
        said = "".join(f" {drop.id}: {drop.reason} ({drop.because_of})." for drop in found.dropped[:1])
        raise SourceError(
            f"{found.name} has the columns {', '.join(found.columns)}; `annot draft --from` needs one called prompt "
            f"(or prompt_id, or image), and one called answer (or a list called answers): give them these names.{said}"
        )
    there = project.ledger.prompts()
    if not there:
        raise SourceError(
            f"{project.folder} holds no prompts yet that {found.name} could answer; run `annot prompts add FILE` "
            "first, then the same command again."
        )
    prompts = _Prompts(project, there)
    accepted = only_accepted(project.ledger, project.settings)
    longest = ANSWER_ROOM * project.settings.prompts.max_chars
    kept: dict[str, Candidate] = {}
    masked: dict[str, int] = {}
    dropped = [drop for drop in found.dropped if drop.reason != NO_TEXT]  # below, by their places in the list
    for place, example, answer in (entry for one in found.kept for entry in _answers(one)):
        prompt, reason = prompts.of(example, ids, pictures)
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
    if nonsense := sum(candidate.model == MADE_UP for candidate in kept.values()):
        notices.append(
            f'{counted(nonsense, "answer is", "answers are")} of the model "{MADE_UP}", which is made on the spot and '
            "writes nonsense: good for a try, not for people."
        )
    hidden_in_new = sum(masked[candidate.id] for candidate in new)
    return AnswersAdded(len(new), len(kept) - len(new), hidden_in_new, tuple(dropped), tuple(notices))


def _answers(example: Example) -> list[tuple[str, Example, FoundAnswer]]:
    """Answers of an example with their places; one that is blank where there is none."""
    answers = example.answers or (FoundAnswer("", ""),)
    several = len(answers) > 1
    return [(f"{example.place}#{n}" if several else example.place, example, a) for n, a in enumerate(answers, 1)]


class _Prompts:
    """Index of prompts, by id, by picture and by text."""

    def __init__(self, project: Project, prompts: Collection[Prompt]) -> None:
        self._by_id = {prompt.id: prompt for prompt in prompts}
        self._by_text: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in prompts:
            self._by_text[normal_form(prompt.text)].append(prompt)
        self._by_picture: dict[str, list[Prompt]] = defaultdict(list)
        pictures = read_pictures(project.ledger, {prompt.image for prompt in prompts if prompt.image})
        names, self._near = _every_name(project, pictures.values())
        for prompt in prompts:
            if prompt.image:
                for name in {prompt.image, *names[prompt.image], *_names(prompt.source)}:
                    self._by_picture[name].append(prompt)
        self._countries = sorted({prompt.country for prompt in prompts})
        self._found: dict[tuple[str, str, str], tuple[Prompt | None, str]] = {}

    def of(self, example: Example, ids: str, pictures: str) -> tuple[Prompt | None, str]:
        """The prompt, or None and why there is none; columns name it or its picture, "" is none."""
        if name := as_text(example.cells.get(ids)).strip():
            prompt = self._by_id.get(name)
            return prompt, "" if prompt else "unknown prompt"
        if name := as_text(example.cells.get(pictures)).strip():
            return self._about(name, example)
        named = (example.prompt, example.country, example.language)
        if named not in self._found:
            self._found[named] = self._search(*named)
        return self._found[named]

    def _about(self, name: str, example: Example) -> tuple[Prompt | None, str]:
        """The prompt about a picture, named by its id, its source, or a file name with or without folders."""
        file = PurePath(name.replace("\\", "/"))
        spellings = (name.casefold(), file.name.casefold(), file.stem.casefold())
        every = next((found for spelling in spellings if (found := self._by_picture.get(spelling))), [])
        meant = _of_place(every, example.country, example.language)
        if len(meant) == 1:
            return meant[0], ""
        if len({prompt.image for prompt in meant}) > 1:
            return None, SEVERAL_PICTURES
        if not every and self._near & {*spellings}:
            return None, NEARLY
        return None, SEVERAL_PROMPTS if meant else "unknown picture"

    def _search(self, text: str, country: str, language: str) -> tuple[Prompt | None, str]:
        if not text:
            return None, "no prompt"
        # The project holds prompts as they were masked on their way in.
        tidy = clean(text)
        spellings = (tidy, *(mask(tidy, region)[0] for region in (None, *self._countries)))
        meant = next((found for spelling in spellings if (found := self._by_text.get(normal_form(spelling)))), [])
        meant = _of_place(meant, country, language)
        if len(meant) == 1:
            return meant[0], ""
        if any(prompt.image for prompt in meant):
            return None, SEVERAL_PICTURES
        return None, SEVERAL_HAVE_IT if meant else "unknown prompt"


def _every_name(project: Project, pictures: Iterable[Picture]) -> tuple[dict[str, set[str]], set[str]]:
    """Id of a picture -> what it can be called, the names of its exact copies too; and those of near duplicates."""
    names, near = {picture.id: _names(picture.source) for picture in pictures}, set[str]()
    of_place = {picture.source: picture.id for picture in pictures}
    # A place has the title behind it in the source of a picture, and not where the picture is named as the first one.
    of_place |= {picture.source.partition(", ")[0]: picture.id for picture in pictures}
    for drop in project.ledger.dropped("images"):
        if drop.reason == SAME and (image := of_place.get(drop.because_of)):
            names[image] |= _names(drop.id)
        elif drop.reason == ALIKE:
            near |= _names(drop.id)
    return names, near


def _names(source: str) -> set[str]:
    """What a picture can be called that came from there: "fotos:7 cocina/mole.jpg, Mole de fiesta" is mole.jpg too."""
    file = source.partition(":")[2].partition(" ")[2]
    spelled = {source, file, file.partition(", ")[0]} - {""}
    return {name.casefold() for one in spelled for name in (one, PurePath(one).name)}


def _of_place(prompts: list[Prompt], country: str, language: str) -> list[Prompt]:
    """Those of a country and in a language, where a row says it."""
    return [
        prompt
        for prompt in prompts
        if (not country or prompt.country == country_code(country))
        and (not language or prompt.language == language_code(language))
    ]
