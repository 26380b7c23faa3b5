"""`annot images add`: pictures of a folder, a table or a dataset become prompts; nothing but their pixels is kept.

Files are written before the rows that name them, and all rows in one transaction: a command that was killed is run
again, finds the files that it had written, and ends as if nothing had been. Files that nothing names are deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from annotation.errors import SettingsError
from annotation.images.added import ALIKE, SAME, PicturesAdded, nothing_came
from annotation.images.likeness import Likenesses
from annotation.images.question import QUESTION, question_language
from annotation.images.refine import Refined, Refusal
from annotation.images.sources import FoundPicture, Pictures, find_pictures, is_files
from annotation.images.store import add_pictures, drop_strangers, read_pictures, write_picture
from annotation.images.workers import default_processes, refine_all
from annotation.ledger import Ledger
from annotation.licences import refused
from annotation.project import Project
from annotation.prompts.change import check_codes
from annotation.prompts.rows import TOPIC_CHARS
from annotation.reading.cells import is_missing
from annotation.screen import Progress, counted, silent
from annotation.text.clean import clean_label, is_formula
from annotation.text.locales import country_code, language_code
from annotation.text.privacy import excerpt, mask
from annotation.types import Dropped, Picture, Prompt

PEOPLE = ("none", "agreed")
"""What can be said of people in pictures: none can be recognised, or all who can be agreed."""


def add_images(
    project: Project,
    source: str,
    *,
    country: str = "",
    language: str = "",
    topic: str = "",
    licence: str = "",
    creator: str = "",
    people: str = "",
    columns: Mapping[str, str] | None = None,
    dry_run: bool = False,
    processes: int | None = None,
    progress: Progress = silent,
) -> PicturesAdded:
    """Read pictures into a project. Reading a source again adds nothing, and corrects what is said of its pictures.

    Args:
        project: Where they go.
        source: A folder, a picture, a table that names files below its own folder, or a dataset that holds pictures.
        country: Of pictures for which the source names none; the project's, where it has one alone.
        language: Of the question about them, where the source names none.
        topic: Of those for which the source names none.
        licence: Under which they may be used, where the source does not say.
        creator: Who made them, where the source does not say.
        people: One of PEOPLE: what whoever adds them says of all of them.
        columns: Field -> column of a table, where its name says too little.
        dry_run: Look at all of them, and write nothing.
        processes: How many work at once; as many as there are cores, if not given.
        progress: Gets how far it has come.

    Raises:
        SettingsError: Something that has to be said is not, or does not exist.
        SourceError: The source cannot be read, or nothing in it can be a picture.
    """
    defaults = _defaults(project, country, language, topic, licence, creator)
    if lacking := list(_lacking(source, defaults, people, dry_run)):
        raise SettingsError(f"Say {'; '.join(lacking)}.")
    pictures = find_pictures(source, columns or {}, progress)
    name = mask(pictures.name)[0]
    # The lock of prompts is held for the rows alone: nobody should wait for it while pictures are read.
    with nullcontext() if dry_run else project.lock("images"):
        adding = _Adding(project, defaults, people, dry_run)
        for ready, outcome in refine_all(adding.chosen(pictures, name), processes or default_processes()):
            adding.take(ready, outcome)
            progress(adding.looked_at, pictures.rows, "pictures")
        if not adding.kept and not adding.already_there:
            raise nothing_came(name, pictures, adding.dropped)
        adding.store()
    return PicturesAdded(
        name,
        pictures.rows,
        tuple(adding.kept),
        len(adding.new),
        len(adding.changed),
        adding.already_there,
        tuple(adding.dropped),
        (*pictures.notices, *adding.notices()),
        dry_run,
    )


def _defaults(project: Project, country: str, language: str, topic: str, licence: str, creator: str) -> dict[str, str]:
    countries, languages = project.settings.project.countries, project.settings.project.languages
    country, language = check_codes(country, language)
    if language and (language not in QUESTION or language not in languages):
        possible = ", ".join(code for code in QUESTION if code in languages) or "none"
        raise SettingsError(
            f"Pictures can be asked about in those of the project's languages that annot has the question in: "
            f"{possible}; --language names {language}."
        )
    said = {"topic": topic, "licence": licence, "creator": creator}
    only = countries[0] if len(countries) == 1 else ""
    return {"country": country or only, "language": language, **{name: clean_label(v) for name, v in said.items()}}


def _lacking(source: str, defaults: Mapping[str, str], people: str, dry_run: bool) -> Iterator[str]:
    """What only whoever adds the pictures can say, and did not: files say neither licence nor author."""
    if people not in PEOPLE and not (dry_run and not people):
        yield (
            "whether people can be recognised in the pictures: --people none, or --people agreed where all of them "
            "agreed that the pictures are used (take those of others out first)"
        )
    if is_files(Path(source).expanduser()):
        said = {
            "licence": "under which licence: --licence",
            "creator": "who made them: --author",
            "country": "of which country: --country",
        }
        yield from (remedy for field, remedy in said.items() if not defaults[field])


@dataclass(frozen=True, slots=True)
class _Ready:
    """A picture that only its pixels can still keep out: its file, where it stands, and what is said of it."""

    content: Path | bytes
    place: str
    source: str
    countries: tuple[str, ...]
    language: str
    topic: str
    licence: str
    creator: str


class _Adding:
    """Pictures on their way into a project: what is kept, what is not, and what both are compared with."""

    def __init__(self, project: Project, defaults: Mapping[str, str], people: str, dry_run: bool) -> None:
        self._project, self._defaults, self._people, self._dry_run = project, defaults, people, dry_run
        # A ledger is made by being opened; a dry run must not make one.
        there = not dry_run or (project.folder / "ledger.sqlite").exists()
        self._ledger: Ledger | None = project.ledger if there else None
        prompts = self._ledger.prompts(removed=True) if self._ledger else []
        self._prompts = {prompt.id for prompt in prompts if prompt.image}
        self._forgotten = self._ledger.forgotten("prompt") if self._ledger else set()
        self._pictures = read_pictures(self._ledger) if self._ledger else {}
        self._alike, self._places = Likenesses(), dict[str, str]()
        for image in dict.fromkeys(prompt.image for prompt in prompts if not prompt.removed):
            if picture := self._pictures.get(image):
                self._alike.add(image, picture.likeness)
                self._places[image] = picture.source
        self._first, self._not_asked = dict[str, str](), Counter[str]()
        self.kept, self.dropped = list[Prompt](), list[Dropped]()
        self.new, self.changed = dict[str, Picture](), dict[str, Picture]()
        self._names = list[Dropped]()
        self.already_there = self.looked_at = 0

    def chosen(self, pictures: Pictures, name: str) -> Iterator[tuple[_Ready, Path | bytes]]:
        """Pictures that may be kept, as far as what is said of them decides, with their contents."""
        for found in pictures.found:
            place = mask(f"{name}:{found.place}")[0]
            said = self._said(found, place)
            if isinstance(said, Refusal):
                self.looked_at += 1
                self._drop(place, said)
            else:
                yield said, said.content

    def _said(self, found: FoundPicture, place: str) -> _Ready | Refusal:
        """What is said of a picture, in codes; or what is lacking."""
        if isinstance(found.content, Refusal):
            return found.content

        def first(field: str) -> str:
            value = next((one for one in found.said.get(field, ()) if not is_missing(one)), "")
            return value or self._defaults.get(field, "")

        stated = [one for one in found.said.get("country", ()) if not is_missing(one)]
        countries = [country_code(one) for one in stated] if stated else [self._defaults["country"]]
        licence, creator, topic = first("licence"), first("creator"), mask(first("topic")[: 2 * TOPIC_CHARS])[0]
        if formula := next(filter(is_formula, (licence, creator, topic, first("title"), first("source"))), ""):
            return Refusal("formula", excerpt(formula))
        if not all(countries):
            return Refusal("unknown country", excerpt(", ".join(stated)) or "none is named")
        if not licence or not creator:
            return Refusal("no licence" if not licence else "no author")
        about = (mask(text)[0] for text in (first("title"), first("source")) if text and not place.endswith(text))
        return _Ready(
            found.content,
            place,
            ", ".join((place, *about)),
            tuple(dict.fromkeys(filter(None, countries))),
            language_code(named := first("language")) or excerpt(named),
            topic[:TOPIC_CHARS].strip() or "general",
            licence[:200],
            creator[:200],
        )

    def take(self, ready: _Ready, outcome: Refined | Refusal) -> None:
        """Decide about a picture whose pixels were looked at; its files are written if it is kept."""
        self.looked_at += 1
        if isinstance(outcome, Refusal):
            self._drop(ready.place, outcome)
            return
        image, languages = outcome.id, self._project.settings.project.languages
        fresh = list[Prompt]()
        for country in ready.countries:
            prompt = Prompt.make(
                QUESTION[language := question_language(country, ready.language, languages)],
                country=country,
                language=language,
                topic=ready.topic,
                source=ready.source,
                licence=ready.licence,
                image=image,
            )
            if prompt.id in self._first:
                self._drop(ready.place, Refusal(SAME, self._first[prompt.id]))
            elif prompt.id in self._forgotten:
                self._drop(ready.place, Refusal("forgotten for good"))
            elif prompt.id in self._prompts:
                self._first[prompt.id] = self._places.get(image, ready.place)
                self.already_there += 1
                self._say(image, ready)
                name, first = ready.place.partition(" ")[2], self._places.get(image, "")
                if first and name and f" {name}" not in first:
                    self._names.append(Dropped(ready.place, SAME, first))
            else:
                fresh.append(prompt)
        if fresh:
            self._say(image, ready)
        known = image in self._pictures or image in self.new
        if fresh and not known:
            if twin := self._alike.twin(outcome.likeness):
                because = f"{self._places[twin[0]]} ({twin[1]} of 64 bits differ)"
                self._drop(ready.place, Refusal(ALIKE, because))
                return
            size, people = (outcome.width, outcome.height), cast(Literal["none", "agreed"], self._people)
            about = (ready.source, ready.licence, ready.creator)
            self.new[image] = Picture(image, outcome.likeness, *size, *about, people)
            self._alike.add(image, outcome.likeness)
            self._places[image] = ready.place
        self._first.update((prompt.id, ready.place) for prompt in fresh)
        self._not_asked.update(ready.language for prompt in fresh if ready.language not in ("", prompt.language))
        self.kept += fresh
        if (fresh or known) and not self._dry_run:
            write_picture(self._project.folder, image, outcome.jpeg, outcome.view)

    def _say(self, image: str, ready: _Ready) -> None:
        """Take what is said of a picture that was there for what holds of it, if it is another word."""
        if before := self.new.get(image) or self.changed.get(image) or self._pictures.get(image):
            people = cast(Literal["none", "agreed"], self._people or before.people)
            now = replace(before, licence=ready.licence, creator=ready.creator, people=people)
            if image in self.new:
                self.new[image] = now
            elif now == self._pictures[image]:
                self.changed.pop(image, None)
            else:
                self.changed[image] = now

    def store(self) -> None:
        """Write the rows, and delete files that none names."""
        if self._ledger and not self._dry_run:
            before = {(drop.id, drop.reason) for drop in self._ledger.dropped("images")}
            news = [drop for drop in self.dropped if (drop.id, drop.reason) not in before]
            with self._project.lock("prompts"), self._ledger.transaction():
                add_pictures(self._ledger, (*self.new.values(), *self.changed.values()))
                self._ledger.add_prompts(self.kept)
                self._ledger.add_dropped("images", [*(d for d in self._names if (d.id, SAME) not in before), *news])
            drop_strangers(self._project)

    def notices(self) -> Iterator[str]:
        """What a person should know of what is kept."""
        settings = self._project.settings.project
        strange = Counter(prompt.country for prompt in self.kept if prompt.country not in settings.countries)
        if strange and settings.countries:
            yield (
                f"{counted(strange.total(), 'prompt is', 'prompts are')} of countries that annot.toml does not name "
                f"({_most(strange)}): nothing is drafted for them, and they owe nothing, until project.countries names "
                "those."
            )
        strange = Counter(prompt.language for prompt in self.kept if prompt.language not in settings.languages)
        if strange and settings.languages:
            yield (
                f"{counted(strange.total(), 'prompt is', 'prompts are')} in languages that annot.toml does not name "
                f"({_most(strange)}), because annot has its question in none that it names: no slate of theirs is "
                "selected until project.languages names those."
            )
        if self._not_asked:
            yield (
                f"{counted(self._not_asked.total(), 'prompt is', 'prompts are')} in another language than the source "
                f"names ({_most(self._not_asked)}): annot asks in those of the project that it has its question in "
                f"({', '.join(code for code in QUESTION if code in settings.languages) or 'none'})."
            )
        bound = Counter(
            picture.licence for picture in (*self.new.values(), *self.changed.values()) if refused(picture.licence)
        )
        if bound:
            yield (
                f"{counted(bound.total(), 'picture is', 'pictures are')} under a licence that annot does not know to "
                f"allow commercial use and changes ({_most(bound)}): ranked and trained on at home, not given away "
                "with a release."
            )

    def _drop(self, place: str, refusal: Refusal) -> None:
        self.dropped.append(Dropped(place, refusal.reason, refusal.because_of))


def _most(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common(8))
