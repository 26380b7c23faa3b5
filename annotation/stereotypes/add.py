"""`annot stereotypes add`: public sets become items that people of the right countries rate.

The ratings that a set holds are kept beside, apart from what the team will say (`annotation.stereotypes.file_ratings`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.prompts.change import check_codes
from annotation.screen import Progress, count_reasons, counted, silent
from annotation.stereotypes.file_ratings import add_file_ratings, count_file_ratings
from annotation.stereotypes.found import Usual
from annotation.stereotypes.order import in_turns, without_runs
from annotation.stereotypes.sources import MOST_CHARACTERS, StereotypeSource, read_stereotypes
from annotation.tasks.stereotype.item import NAME, OTHER, item_id, item_of
from annotation.text.clean import clean_label
from annotation.text.locales import common_language, country_code
from annotation.text.privacy import mask
from annotation.types import Association, Dropped, Item

NOBODY = "nobody is asked about texts in its language"
BEYOND = "beyond --limit"
GONE = "forgotten for good"
TAKEN_BACK = "taken back by whoever shared it"

REMEDIES = {
    NOBODY: "say with --for CODE which of project.countries reads them (repeatable).",
    BEYOND: "run it again with a larger --limit: what is there stays, and others come.",
    "nobody says in which language": "run it again with --language CODE, or name the file as in …_es_MX.csv.",
    f"a text of more than {MOST_CHARACTERS} characters": "shorten it where it stands: people read many of them.",
    "a word in another gender or number than its sentence": "nothing to do: nobody would say it so.",
}
"""What helps against a reason for leaving something out."""


@dataclass(frozen=True, slots=True)
class StereotypesAdded:
    """Result of reading sets of stereotypes into a project.

    Attributes:
        sources: Names of the files or datasets, each with its form.
        rows: Rows in them.
        kept: Associations about which some country is asked anew.
        asked: Country -> associations that its people are asked about anew.
        already_there: Associations that the project had, for every country that is asked.
        ratings: Rows of ratings that the sources hold of what stands in the project, as far as they are new.
        regions: Region -> what was said there -> how often, in all ratings of the sources; "" for regions not known.
        dropped: Left out; id is "file:row".
        notices: What a person should know about how it was read.
        dry_run: Nothing was written.
    """

    sources: Mapping[str, str]
    rows: int
    kept: tuple[Association, ...]
    asked: Mapping[str, int]
    already_there: int
    ratings: int
    regions: Mapping[str, Counter[str]]
    dropped: tuple[Dropped, ...]
    notices: tuple[str, ...]
    dry_run: bool

    def languages(self) -> list[tuple[str, int]]:
        """Language and count of the new associations, the most frequent first."""
        return Counter(one.language for one in self.kept).most_common()

    def targets(self) -> list[tuple[str, int]]:
        """Target country, or "other", and count of the new associations, the most frequent first."""
        return Counter(one.target or OTHER for one in self.kept).most_common()

    def reasons(self) -> list[tuple[str, int, str]]:
        """Reason, count and the place of one example of the dropped; the most frequent first."""
        return count_reasons(self.dropped)

    def sentence(self) -> str:
        """Summary for a person, without a text."""
        listed = ", ".join(f"{name} ({form})" for name, form in self.sources.items())
        come = " would come" if self.dry_run else ""
        parts = [
            f"{counted(len(self.kept), 'new stereotype')}{come} from {counted(self.rows, 'row')} of {listed}",
            *([f"already there: {self.already_there}"] if self.already_there else []),
            *([f"left out: {len(self.dropped)}"] if self.dropped else []),
            *([f"new ratings of the sources themselves: {self.ratings}"] if self.ratings else []),
        ]
        return "; ".join(parts) + "."

    def as_json(self, *, show: bool = False) -> dict[str, Any]:
        """Summary for a script; the associations with their texts only where asked for."""
        return {
            "sources": dict(self.sources),
            "rows": self.rows,
            "kept": len(self.kept),
            "languages": dict(self.languages()),
            "targets": dict(self.targets()),
            "asked": dict(self.asked),
            "already_there": self.already_there,
            "ratings": self.ratings,
            "regions": {region: dict(said) for region, said in self.regions.items()},
            "dropped": {reason: {"count": count, "example": place} for reason, count, place in self.reasons()},
            "notices": list(self.notices),
            "dry_run": self.dry_run,
            **({"stereotypes": [asdict(one) for one in self.kept]} if show else {}),
        }


def add_stereotypes(
    project: Project,
    sources: Sequence[str],
    *,
    language: str = "",
    country: str = "",
    licence: str = "",
    for_countries: Sequence[str] = (),
    limit: int | None = None,
    author: str = "",
    dry_run: bool = False,
    progress: Progress = silent,
) -> StereotypesAdded:
    """Read sets of stereotypes into a project. Reading a source again adds nothing.

    Args:
        project: Where they go.
        sources: Files in any format, or owner/name of Hub datasets.
        language: Of rows that name none.
        country: Where the people live whose ratings a source holds, where it does not say so.
        licence: Of rows that name none.
        for_countries: Whose people are asked; () for all of the project whose common language is that of the text.
        limit: Most associations of a source, evenly over the groups; None for all.
        author: User name of whoever on the team collected them: not asked to rate them.
        dry_run: Do everything but write.
        progress: Gets how far each step has come.

    Raises:
        SourceError: A source cannot be read.
        SettingsError: Something is named that does not exist.
    """
    settings = project.settings.project
    region, code = check_codes(country, language)
    teams = _teams(for_countries, settings.countries)
    # A ledger is made by being opened; a dry run must not make one.
    there = (project.folder / "ledger.sqlite").exists() or not dry_run
    ledger = project.ledger if there else Ledger(Path(":memory:"))
    if author and not any(person.username == author for person in ledger.people()):
        raise SettingsError(f'Nobody called "{author}" is on the team; `annot team list` shows who is.')
    usual = Usual(code, region, mask(clean_label(licence))[0])
    read = [read_stereotypes(source, usual, author, progress) for source in sources]
    gone = dict.fromkeys(_taken_back(ledger), TAKEN_BACK) | dict.fromkeys(ledger.forgotten("association"), GONE)
    chosen, dropped = dict[str, Association](), list[Dropped]()
    for source in read:
        own, left_out = _choose(source, teams, gone, limit, settings.seed)
        for one in own:
            chosen.setdefault(one.id, one)
        dropped += [*source.dropped, *left_out]
    ratings = [rating for source in read for rating in source.ratings if rating.association in chosen]
    with nullcontext() if dry_run else project.lock("stereotypes"), ledger.undone() if dry_run else nullcontext():
        before = {(drop.id, drop.reason) for drop in ledger.dropped("stereotypes")}
        news = [drop for drop in dropped if (drop.id, drop.reason) not in before]
        with ledger.transaction():
            wanted = _not_asked_yet(ledger, chosen.values(), teams)
            progress(0, len(chosen), "writing")
            ledger.add_items(_items(ledger, wanted, settings.seed))
            new_ratings = add_file_ratings(ledger, ratings)
            ledger.add_dropped("stereotypes", news)
    new = {one.id for own in wanted.values() for one in own}
    regions = defaultdict[str, Counter[str]](Counter)
    for (_, place), said in count_file_ratings(ratings).items():
        regions[place].update(said)
    return StereotypesAdded(
        sources={source.name: source.form for source in read},
        rows=sum(source.rows for source in read),
        kept=tuple(one for one in chosen.values() if one.id in new),
        asked={country: len(own) for country, own in wanted.items() if own},
        already_there=len(chosen) - len(new),
        ratings=new_ratings,
        regions=dict(regions),
        dropped=tuple(dropped),
        notices=tuple(f"{one.name}: {notice}" for one in read for notice in (*one.notices, *_no_licence(one))),
        dry_run=dry_run,
    )


Teams = Mapping[str, str]
"""Country whose people are asked -> the language of what they are asked about, "" for all languages."""


def _teams(named: Sequence[str], countries: Sequence[str]) -> Teams:
    if not named:
        return {country: common_language(country) for country in countries}
    codes = {name: country_code(name) for name in named}
    for name, code in codes.items():
        if code not in countries:
            raise SettingsError(
                f'--for "{name}" is none of project.countries ({", ".join(countries) or "none yet"}): name one of '
                "them, or add it in annot.toml first."
            )
    return {code: "" for code in codes.values() if code}


def _choose(
    source: StereotypeSource, teams: Teams, gone: Mapping[str, str], limit: int | None, seed: int
) -> tuple[list[Association], list[Dropped]]:
    """Associations of a source that somebody can be asked about, at most `limit`, and why the others are left out."""
    languages = set(teams.values())
    reasons = {
        one.id: gone.get(one.id, NOBODY)
        for one in source.associations.values()
        if one.id in gone or languages.isdisjoint((one.language, ""))
    }
    kept = [one for one in source.associations.values() if one.id not in reasons]
    if limit is not None:
        ordered = in_turns(kept, seed)
        kept, reasons = ordered[:limit], reasons | {one.id: BEYOND for one in ordered[limit:]}
    return kept, [Dropped(source.places[id_], reason) for id_, reason in reasons.items()]


def _taken_back(ledger: Ledger) -> set[str]:
    """Ids of associations that were shared, and that nobody shares any more."""
    query = """select json_extract(content, '$.id') as id from current_items where task = ?
               group by 1 having min(removed) = 1"""
    return {row["id"] for row in ledger.rows(query, NAME)}


def _not_asked_yet(ledger: Ledger, associations: Collection[Association], teams: Teams) -> dict[str, list[Association]]:
    known = {row["id"] for row in ledger.rows("select id from items where task = ?", NAME)}
    return {
        country: [
            one for one in associations if language in ("", one.language) and item_id(one.id, country) not in known
        ]
        for country, language in teams.items()
    }


def _items(ledger: Ledger, wanted: Mapping[str, Sequence[Association]], seed: int) -> Iterator[Item]:
    """Items behind those that there are, the countries in turn, the groups of each in turn."""
    (last,) = ledger.rows("select coalesce(max(position), -1) as position from items where task = ?", NAME)
    queues = [[(one, country) for one in without_runs(in_turns(own, seed))] for country, own in wanted.items()]
    in_order = (asked for turn in zip_longest(*queues) for asked in turn if asked)
    for position, (one, country) in enumerate(in_order, last["position"] + 1):
        yield item_of(one, country, position)


def _no_licence(source: StereotypeSource) -> list[str]:
    without = sum(not one.licence for one in source.associations.values())
    return [f"{without} without a licence: say with --licence under which they may be given on"] if without else []
