"""`annot controls add`: so many control items, or items of an entry test, of each task and country.

Each takes the place of an item of the work that nobody has answered, the last ones in the order of annotation first:
that one is asked no more, and no other control item is made of its prompt. So nobody reads a prompt twice in a task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.config import Settings
from annotation.controls.make import KINDS, Material, make_control
from annotation.controls.spoil import in_order_of
from annotation.errors import ProjectError, SettingsError
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.controls import CONTROLS
from annotation.quality.entry import ENTRY
from annotation.quota_groups import belongs, plan_quotas
from annotation.screen import Progress, counted, silent
from annotation.tasks import TASKS
from annotation.tasks.page import CONTROL
from annotation.text.locales import common_language
from annotation.types import Item


@dataclass(frozen=True, slots=True)
class Place:
    """What was done for one task and country.

    Attributes:
        task: Name of the task.
        country: ISO 3166-1 alpha-2.
        there: Control items that stood before.
        made: New ones.
        kinds: Kind -> how many of those.
        missing: That could not be made: too few items are left that nobody has answered, or fit.
        left: Items of the work that are left.
    """

    task: str
    country: str
    there: int
    made: int
    kinds: dict[str, int]
    missing: int
    left: int


@dataclass(frozen=True, slots=True)
class Added:
    """What `add_controls` did, or would do.

    Attributes:
        purpose: "control" or "entry".
        places: One for each task and country.
        notes: What else the lead should know, a sentence each.
        dry_run: Nothing was changed.
    """

    purpose: str
    places: tuple[Place, ...]
    notes: tuple[str, ...]
    dry_run: bool

    def sentence(self) -> str:
        """For a person."""
        made, there = sum(place.made for place in self.places), sum(place.there for place in self.places)
        what = ("item of an entry test", "items of entry tests") if self.purpose == ENTRY else ("control item",)
        done = "would be made" if self.dry_run else "was made" if made == 1 else "were made"
        return f"{counted(made, *what)} {done}; {there} stood already."

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Touched:
    """Items that somebody has answered, and those that were sent, of all tasks: read once."""

    answered: frozenset[str]
    sent: frozenset[str]

    @classmethod
    def of(cls, ledger: Ledger) -> _Touched:
        answered = ledger.rows("select distinct item_id from responses")
        sent = ledger.rows("select distinct item_id from pushes where record_id <> ''")
        return cls(*(frozenset(row["item_id"] for row in rows) for rows in (answered, sent)))


def add_controls(
    project: Project,
    number: int,
    *,
    task: str = "",
    country: str = "",
    entry: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Added:
    """Make control items until there are so many of each task and country. All of them, or none, is written.

    Args:
        project: Whose.
        number: Of each task and country.
        task: Of this one alone; "" for every task of which there are items and something is known.
        country: Of this one alone; "" for all that have items.
        entry: For an entry test, in whole tries.
        dry_run: Change nothing.
        progress: Told how many are made.

    Raises:
        SettingsError: Nothing can be known of the task, or the number is no number of whole tries, or the country is
            none of the project's.
        ProjectError: There is no item to make one of.
    """
    size, country = project.settings.entry.items, project.known_country(country)
    if task and task not in KINDS:
        raise SettingsError(f'Nobody knows the answers of the task "{task}"; --task may be {", ".join(KINDS)}.')
    if entry and number % size:
        raise SettingsError(
            f"An entry test is made of whole tries of {size} items (entry.items); give {size}, {2 * size} or so."
        )
    ledger, purpose = project.ledger, ENTRY if entry else CONTROLS
    with ledger.undone() if dry_run else ledger.transaction():
        every = {name: items for name in ([task] if task else KINDS) if (items := ledger.items(name))}
        wanted = {
            (name, of): [item for item in items if item.country == of and not item.closed]
            for name, items in every.items()
            for of in (
                [country] if country else sorted({item.country for item in items if not (item.removed or item.closed)})
            )
        }
        if not any(wanted.values()):
            raise ProjectError(
                "There are no items to make control items of; run `annot select` (or `annot prompts review`) first."
            )
        places, notes, touched = list[Place](), list[str](), _Touched.of(ledger)
        for (name, of), own in wanted.items():
            material = _material(project, every[name])
            place, taken = _fill(project, own, material, (name, of), purpose, number, touched, progress)
            places.append(place)
            notes += _short(project.settings, own, taken)
            ledger.remove_items(taken)
        if entry and number < size * project.settings.entry.tries:
            notes.append(
                f"There are items for {counted(number // size, 'try', 'tries')}, and entry.tries allows "
                f"{project.settings.entry.tries}: give {size * project.settings.entry.tries} for all."
            )
    return Added(purpose, tuple(places), tuple(notes), dry_run)


def _material(project: Project, items: Sequence[Item]) -> Material:
    ledger, settings = project.ledger, project.settings
    people, countries = ledger.people(), {item.country for item in items}
    avoid = {country: {*settings.project.languages, common_language(country)} for country in countries}
    for item in items:
        avoid[item.country].add(item.language)
    for person in people:
        avoid.get(person.country, set()).update(person.languages)
    prompts = {prompt.id: prompt for prompt in ledger.prompts({item.prompt_id for item in items})}

    def text(candidate: str) -> str:
        return ledger.candidate_texts([candidate]).get(candidate, "")

    return Material(items, prompts, text, avoid, settings.project.seed)


def _fill(
    project: Project,
    own: Sequence[Item],
    material: Material,
    named: tuple[str, str],
    purpose: str,
    number: int,
    touched: _Touched,
    progress: Progress,
) -> tuple[Place, list[str]]:
    """Make what is missing for a task and country; also the ids of the items whose places it takes."""
    ledger, (task, country) = project.ledger, named
    side = [item for item in ledger.items(task, side=True) if item.country == country]
    there = sum(item.purpose == purpose and not item.removed for item in side)
    used, kinds = {item.prompt_id for item in side}, in_order_of(f"{material.seed} {country} {purpose}", KINDS[task])
    made = list[Item]()
    for base in _free(own, used, touched):
        if there + len(made) >= number:
            break
        turn = (there + len(made)) % len(kinds)
        if TASKS[task].misfit(base, project.settings, project.folder):
            continue
        if item := make_control(base, purpose, [*kinds[turn:], *kinds[:turn]], material):
            made.append(item)
            progress(len(made), number - there, f"{task} {country}")
    ledger.add_items(made)
    left = sum(not item.removed for item in own) - len(made)
    of_kind = Counter(str(item.content[CONTROL]) for item in made)
    missing = max(0, number - there - len(made))
    return Place(task, country, there, len(made), dict(of_kind), missing, left), [item.parent for item in made]


def _free(own: Sequence[Item], used: set[str], touched: _Touched) -> list[Item]:
    """Items that nobody has answered, of prompts without a control item: first those not sent, the last before."""
    free = [
        item
        for item in own
        if not item.removed and not item.moved and item.id not in touched.answered and item.prompt_id not in used
    ]
    return sorted(free, key=lambda item: (item.id in touched.sent, -item.position))


def _short(settings: Settings, own: Sequence[Item], taken: Sequence[str]) -> list[str]:
    """A note for each quota group that lost items and has fewer than its target now, or less than half of before."""
    gone, there = set(taken), [item for item in own if not item.removed]
    notes = []
    for quota in plan_quotas(settings, there, there[0].task) if gone else ():
        before = [item for item in there if belongs(item, quota)]
        after = sum(item.id not in gone for item in before)
        if after < len(before) and (after < quota.target or 2 * after < len(before)):
            group = " ".join(filter(None, (quota.country, quota.topic, quota.language)))
            left = f"{counted(after, TASKS[quota.task].one, TASKS[quota.task].many)} of {len(before)}"
            asks = f", and the quota asks for {quota.target}" if after < quota.target else ""
            notes.append(f"{group}: {left} left for the work{asks}; add prompts, or ask for fewer control items.")
    return notes
