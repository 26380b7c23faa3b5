"""Queue of what is to be decided: put before adjudicators once, and what they decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import Any

from annotation.config import Settings
from annotation.item_counts import DECIDED, NEW, STATES, WAITING, Counts
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.quality.contested import CONTESTED, WHYS, Contested, contested_of
from annotation.screen import Progress, counted, silent
from annotation.tally import counted_items
from annotation.tasks import TASKS
from annotation.tasks.adjudication import NAME, SAID, adjudicators, as_asked, what_people_said
from annotation.tasks.answers import AT_ONCE, Decision, decisions, newest_responses, read_answers, roster
from annotation.tasks.base import Texts
from annotation.tasks.page import AUTHOR, PICTURE, as_written, own_texts
from annotation.tasks.team_pages import every_page
from annotation.types import Answer, Item, content_id

_SHORT = 80
"""Characters of a text in a table."""

NOBODY = "nobody may decide it"
"""Why an item is not queued: no adjudicator is there who has not answered it, or more than one has."""


def contested(ledger: Ledger, settings: Settings, *, progress: Progress = silent) -> list[Contested]:
    """Every reason why an item is to be decided, in the order of the items' ids; decided ones too."""
    found = counted_items(ledger, settings, CONTESTED, progress=progress)
    return [one for item_id, counts in found.items() for one in contested_of(item_id, counts)]


@dataclass(frozen=True, slots=True)
class Queued:
    """What became of items that are to be decided.

    Attributes:
        fresh: Queued now: task and country -> how many.
        standing: Queued before.
        later: Left for another time by `limit`.
        nobody: Country -> items that nobody there may decide; see NOBODY.
    """

    fresh: Mapping[tuple[str, str], int]
    standing: int
    later: int
    nobody: Mapping[str, int]

    def sentences(self) -> list[str]:
        """For the lead."""
        fresh = [f"{country}: {counted(n, TASKS[of].one, TASKS[of].many)}" for (of, country), n in self.fresh.items()]
        said = [f"To be decided now: {', '.join(fresh) or 'nothing new'}; {self.standing} queued before."]
        if self.later:
            said.append(f"{counted(self.later, 'item is', 'items are')} left for later by --limit.")
        for country, n in self.nobody.items():
            said.append(
                f"{country}: {counted(n, 'item has', 'items have')} nobody to decide: its adjudicators answered them "
                'themselves, or there is none. Give somebody the role "adjudicator" in the roster, then run '
                "`annot team add` with it and this again."
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        fresh = [{"task": task, "country": country, "items": n} for (task, country), n in self.fresh.items()]
        return {"queued": fresh, "standing": self.standing, "later": self.later, "nobody": dict(self.nobody)}


def queue(
    project: Project,
    *,
    tasks: Collection[str] = TASKS,
    country: str = "",
    limit: int | None = None,
    progress: Progress = silent,
) -> Queued:
    """Put what is to be decided behind what is queued: each item once for a country, and for ever.

    An item of the same id is never made again, so what was decided is not opened again whatever people answer later.

    Args:
        project: The project.
        tasks: Whose items.
        country: Only this one's, ISO 3166-1 alpha-2.
        limit: No more than this, the most pressing first: see WHYS, then those whose people are most divided.
        progress: Told how far the counting is.
    """
    ledger = project.ledger
    reasons: dict[tuple[str, str], list[Contested]] = defaultdict(list)
    for one in contested(ledger, project.settings, progress=progress):
        if one.task in tasks and country in ("", one.country):
            reasons[one.item_id, one.country].append(one)
    with ledger.transaction():
        _follow(ledger)
        known = {item.id for item in ledger.items(side=True) if item.purpose == NAME}
        fresh = [place for place in reasons if _id(*place) not in known]
        fresh.sort(key=lambda place: (min((WHYS.index(r.why), r.majority) for r in reasons[place]), place))
        nobody, made = Counter[str](), list[Item]()
        for start in range(0, len(fresh), AT_ONCE):
            for place, item in _made(project, fresh[start : start + AT_ONCE]):
                if item is None:
                    nobody[place[1]] += 1
                elif limit is None or len(made) < limit:
                    made.append(item)
        ledger.add_items(made)
    new = Counter((item.task, item.country) for item in made)
    later = len(fresh) - nobody.total() - len(made)
    return Queued(dict(sorted(new.items())), len(reasons) - len(fresh), later, dict(sorted(nobody.items())))


def _id(item_id: str, country: str) -> str:
    return content_id(NAME, item_id, country)


def _follow(ledger: Ledger) -> None:
    """Take out, or put back, what is to be decided of items without a prompt as they were: others follow theirs."""
    query = """select s.id from current_side_items s join current_items i on i.id = s.parent
               where s.purpose = ? and coalesce(s.prompt_id, '') = '' and i.removed = ? and s.removed <> i.removed"""
    for removed in (True, False):
        ledger.remove_items([row["id"] for row in ledger.rows(query, NAME, removed)], removed=removed)


def _made(project: Project, places: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], Item | None]]:
    """The items by which others are decided, by item and country; None where nobody may decide one."""
    ledger, settings = project.ledger, project.settings
    items = {item.id: item for item in ledger.items(ids={of for of, _ in places})}
    said: dict[tuple[str, str], list[Answer[Any]]] = defaultdict(list)
    for answer in read_answers(newest_responses(ledger, items), items, roster(ledger)).kept:
        said[answer.item_id, answer.country].append(answer)
    people, named = ledger.people(), ledger.named_people()
    pages = every_page(people, own_texts(project.folder))
    for place in places:
        item, country = items[place[0]], place[1]
        able = set(adjudicators(people, country))
        # The page can keep an item from one person: whoever wrote what it is about, or answered it.
        barred = able & {item.content.get(AUTHOR), *(answer.annotator for answer in said[place])}
        if len(barred) > 1 or not able - barred:
            yield place, None
            continue
        text = what_people_said(TASKS[item.task], item, said[place], pages[country], settings, named)
        content = {**item.content, SAID: text, **({AUTHOR: next(iter(barred))} if barred else {})}
        own = (item.task, item.position, country, item.language, item.topic, content, item.prompt_id)
        yield place, Item(_id(*place), *own, purpose="adjudication", parent=item.id)


@dataclass(frozen=True, slots=True)
class Case:
    """An item that is to be decided, or was.

    Attributes:
        item_id: The item.
        task: Its task.
        country: Whose people answered.
        state: One of STATES.
        reasons: Why; none where it is contested no more.
        texts: What people saw: field -> text, as it was typed; nothing of tasks that may hurt.
        said: What people said, counted; "" where it is not queued.
        by: User name of who decided, or "".
        decision: What they said, in the words of the page, or "".
        gap: They find that the guidelines lack a rule.
        rule: Which, masked, or "".
    """

    item_id: str
    task: str
    country: str
    state: str
    reasons: tuple[Contested, ...]
    texts: Mapping[str, str]
    said: str = ""
    by: str = ""
    decision: str = ""
    gap: bool = False
    rule: str = ""

    def why(self) -> str:
        """The reasons in a few words."""
        said = [
            f"{one.why}{f' ({one.about})' if one.about else ''}{f', {one.most} of {one.votes}' if one.most else ''}"
            for one in self.reasons
        ]
        return "; ".join(said) or "not contested any more"

    def beginning(self) -> str:
        """The first text that people saw, cut short, as one line."""
        text = " ".join(next(iter(self.texts.values()), "(not shown here)").split())
        return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def cases(
    project: Project,
    *,
    tasks: Collection[str] = TASKS,
    country: str = "",
    gaps: bool = False,
    most: int | None = None,
    each: int | None = None,
    progress: Progress = silent,
) -> list[Case]:
    """What is to be decided, or was, by task, country and state.

    Args:
        project: The project.
        tasks: Whose items.
        country: Only this one's.
        gaps: Only those of which an adjudicator finds that the guidelines lack a rule.
        most: No more than this; these items alone are read.
        each: No more than this of a task and country, undecided ones first.
        progress: Told how far the counting is.
    """
    ledger, team = project.ledger, roster(project.ledger)
    reasons: dict[tuple[str, str], list[Contested]] = defaultdict(list)
    for one in contested(ledger, project.settings, progress=progress):
        reasons[one.item_id, one.country].append(one)
    every = [item for item in ledger.items(side=True) if item.purpose == NAME]
    side = {(item.parent, item.country): item for item in every if not item.removed}
    task_of = {place: item.task for place, item in side.items()} | {
        place: own[0].task for place, own in reasons.items()
    }
    decided: dict[tuple[str, str], Decision] = {}
    parents = sorted({item.parent for item in every})
    for start in range(0, len(parents), AT_ONCE):
        own = {item.id: item for item in ledger.items(ids=parents[start : start + AT_ONCE])}
        decided |= {(one.answer.item_id, one.answer.country): one for one in decisions(ledger, own, team)}

    def state(place: tuple[str, str]) -> str:
        return DECIDED if place in decided else WAITING if place in side else NEW

    wanted = [
        place
        for place, task in task_of.items()
        if task in tasks and country in ("", place[1]) and (not gaps or (place in decided and decided[place].gap))
    ]
    wanted.sort(key=lambda place: (task_of[place], place[1], STATES.index(state(place)), place[0]))
    if each is not None:
        groups = groupby(wanted, key=lambda place: (task_of[place], place[1]))
        wanted = [place for _, group in groups for place in islice(group, each)]
    wanted = wanted[:most]
    items = {item.id: item for item in ledger.items(ids=sorted({of for of, _ in wanted}))}
    texts = _texts(ledger, [items[of] for of, _ in wanted])
    pages, named = every_page(ledger.people(), own_texts(project.folder)), ledger.named_people()
    found = []
    for place in wanted:
        item, decision = items[place[0]], decided.get(place)
        words = ""
        if decision:
            about, given = TASKS[item.task], [decision.answer]
            words = what_people_said(about, item, given, pages[place[1]], project.settings, named)
        found.append(
            Case(
                *(item.id, item.task, place[1], state(place), tuple(reasons[place]), texts[item.id]),
                said=side[place].content[SAID] if place in side else "",
                by=decision.answer.annotator if decision else "",
                decision=words.partition("\n\n")[2],  # without the line that counts people
                gap=bool(decision and decision.gap),
                rule=decision.rule if decision else "",
            )
        )
    return found


def _texts(ledger: Ledger, items: Sequence[Item]) -> dict[str, dict[str, str]]:
    """Item id -> what people saw."""
    found: dict[str, dict[str, str]] = {}
    for name, own in groupby(sorted(items, key=lambda item: item.task), key=lambda item: item.task):
        task, of_task = TASKS[name], list(own)
        about = Texts.of(ledger, task, of_task)
        for item in of_task:
            fields = {} if task.sensitive else task.record(as_asked(item), about, None)["fields"]
            found[item.id] = {field: as_written(text) for field, text in fields.items() if field != PICTURE and text}
    return found


def adjudication_sentences(counts: Counts) -> tuple[str, ...]:
    """How far what is to be decided is, country by country, for `annot status`; nothing where there is nothing.

    Args:
        counts: From `annotation.tally.count`.
    """
    states: dict[str, Counter[str]] = defaultdict(Counter)
    gaps = Counter[str]()
    for key, number in counts.items():
        match key:
            case ("adjudication", _, str(country), str(state)):
                states[country][state] += number
            case ("gap", _, str(country)):
                gaps[country] += number
    said = []
    for country, own in sorted(states.items()):
        new = f"{own[NEW]} to be queued (`annot adjudicate`), " if own[NEW] else ""
        said.append(f"{country}: to be decided: {new}{own[WAITING]} with an adjudicator, {own[DECIDED]} decided.")
    if n := gaps.total():
        these = f"This {n} item needs" if n == 1 else f"These {n} items need"
        said.append(f"{these} a clearer rule in the guidelines: `annot adjudicate list --gaps`.")
    return tuple(said)
