"""Minimal pairs of the associations that people of a region know: made, put before people, and taken as settled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotation.config import Settings
from annotation.ledger import Ledger
from annotation.project import Project
from annotation.screen import counted
from annotation.stereotypes.controls import draw_controls
from annotation.stereotypes.ratings import Rated, rated
from annotation.stereotypes.sentences import people_of, said_of, sentences_of
from annotation.stereotypes.templates import TEMPLATES
from annotation.tasks.answers import answered_items
from annotation.tasks.pair_check.item import NAME, item_of, pair_id
from annotation.tasks.pair_check.settled import Outcome, settle
from annotation.tasks.stereotype.item import NAME as STEREOTYPE
from annotation.tasks.stereotype.item import association_of
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Association, Dropped, Item, MinimalPair

FEW = "rated by too few people of the region"
UNKNOWN = "not known where its raters live"
NO_TEMPLATE = "in a language without templates"
NO_PEOPLE = "its group is no people that annot knows"
NO_WORDS = "too few words follow its group"
NO_CONTROL = "no control group is left"

REMEDIES = {
    FEW: "more people of the region must rate it; `annot status` shows how far they are.",
    UNKNOWN: "nothing to do; stereotypes.known in annot.toml says from which median on it is known.",
    NO_TEMPLATE: "pairs are made in Spanish and Portuguese.",
    NO_PEOPLE: "pairs are made of peoples: annotation/stereotypes/identities.toml lists them.",
    NO_WORDS: "nothing to do: in a pair, what is said stands after the group.",
    NO_CONTROL: "the same is said of every group that could be one.",
}
"""What helps against a reason for leaving something out."""


@dataclass(frozen=True, slots=True)
class PairsMade:
    """Result of making pairs.

    Attributes:
        items: Those that are new, each a sentence with its controls.
        already_there: Sentences that people are asked about already.
        dropped: Associations that gave none: the item that asks about it, why, and the number that decided.
    """

    items: tuple[Item, ...]
    already_there: int
    dropped: tuple[Dropped, ...]

    def sentence(self, *, dry_run: bool = False) -> str:
        """For a person; no texts."""
        numbers = self.as_json()
        return (
            f"{counted(numbers['sentences'], 'sentence')} with {counted(numbers['pairs'], 'pair')} "
            f"{'would be' if dry_run else 'were'} made of {counted(numbers['associations'], 'association')}; "
            f"{counted(self.already_there, 'sentence')} there already."
        )

    def as_json(self) -> dict[str, Any]:
        """For scripts: counts, and no text."""
        return {
            "sentences": len(self.items),
            "pairs": sum(len(item.content["controls"]) for item in self.items),
            "associations": len({(item.content["association"], item.country) for item in self.items}),
            "by_template": dict(Counter(item.content["template"] for item in self.items).most_common()),
            "already_there": self.already_there,
            "left_out": dict(Counter(drop.reason for drop in self.dropped).most_common()),
        }


def make_pairs(project: Project, *, dry_run: bool = False) -> PairsMade:
    """Put what people of a region know before other people as sentences; what is there already stays as it is.

    Args:
        project: Whose associations; those that were rated give pairs, and none of all others is a control's.
        dry_run: Do everything but write.
    """
    if dry_run and not (project.folder / "ledger.sqlite").exists():  # one is made by being opened
        return PairsMade((), 0, ())
    ledger, settings = project.ledger, project.settings
    with project.lock("stereotypes"):
        asked = [(item.id, association_of(item), item.country) for item in ledger.items(STEREOTYPE) if not item.removed]
        items, dropped = build_items(asked, rated(ledger, settings), settings)
        known = ledger.items(NAME)
        there = {item.id for item in known}
        start = max((item.position for item in known), default=-1) + 1
        fresh = [replace(item, position=start + n) for n, item in enumerate(i for i in items if i.id not in there)]
        if not dry_run:
            ledger.add_items(fresh)
    return PairsMade(tuple(fresh), len(items) - len(fresh), tuple(dropped))


def build_items(
    asked: Sequence[tuple[str, Association, str]], ratings: Iterable[Rated], settings: Settings
) -> tuple[list[Item], list[Dropped]]:
    """Sentences with their controls of the associations that are known, and why others have none.

    Everybody sees the first sentence of each association before the second of any, the best known first.

    Args:
        asked: Every association of the project with its item's id and the country that is asked.
        ratings: What people said.
        settings: Of the project.
    """
    owed = settings.stereotypes
    best: dict[tuple[str, str], Rated] = {}
    for one in ratings:  # of a people both as their own and as others': what the pair is, then what more people said
        key = (one.association.id, one.country)
        if one.raters >= owed.raters and (key not in best or _fits(one) > _fits(best[key])):
            best[key] = one
    said = defaultdict[tuple[str, str], set[str]](set)
    for _, association, _ in asked:
        if people := people_of(association):
            said[association.language, said_of(association)].add(people.place)
    items, dropped = list[tuple[int, float, str, Item]](), list[Dropped]()
    for item_id, association, country in asked:
        found = best.get((association.id, country))
        if found is None or found.median_known < owed.known:
            number = f"{owed.raters} are needed" if found is None else f"median {found.median_known:g}"
            dropped.append(Dropped(item_id, FEW if found is None else UNKNOWN, number))
            continue
        made, reason = _pairs_of(found, said, settings)
        if reason:
            dropped.append(Dropped(item_id, reason))
        items += [
            (place, -found.median_known, own[0].association, item_of(own, 0, association.author))
            for place, own in enumerate(made)
        ]
    return [item for *_, item in sorted(items, key=lambda one: one[:3])], dropped


def _fits(one: Rated) -> tuple[bool, int]:
    return one.in_group == (one.association.target == one.country), one.raters


def _pairs_of(
    found: Rated, said: Mapping[tuple[str, str], set[str]], settings: Settings
) -> tuple[list[list[MinimalPair]], str]:
    """The pairs of an association by sentence, and why there are none."""
    association, language = found.association, found.association.language
    if language not in TEMPLATES:
        return [], NO_TEMPLATE
    if (people := people_of(association)) is None:
        return [], NO_PEOPLE
    made, sentences = list[list[MinimalPair]](), list(sentences_of(association, people))
    for sentence in sentences:
        controls = draw_controls(
            people.place,
            language,
            settings.stereotypes.controls,
            length=len(sentence.identity),
            said=lambda place, sentence=sentence: sentence.group(place, language, people.place),  # type: ignore[misc]
            besides=said[language, said_of(association)],
            seed=f"{settings.project.seed} {association.id}",
        )
        pairs = [
            MinimalPair(
                id=pair_id(sentence.template, association.id, found.country, name),
                association=association.id,
                template=sentence.template,
                language=language,
                country=found.country,
                target=association.target or people.country,
                control=place[:2],
                identity=sentence.identity,
                control_identity=name,
                before=sentence.before(sentence.identity),
                control_before=sentence.before(name),
                attribute=sentence.attribute,
                after=sentence.after,
                known=found.median_known,
                raters=found.raters,
                source=association.source,
                licence=association.licence,
            )
            for place, name in ((place, sentence.as_there(name)) for place, name in controls)
        ]
        if pairs:
            made.append(pairs)
    return made, "" if made else NO_CONTROL if sentences else NO_WORDS


def settled_items(ledger: Ledger, settings: Settings) -> Iterator[tuple[Item, Outcome]]:
    """What became of every sentence that was not taken out; names that people typed into it are masked."""
    people = ledger.named_people()
    for items, answers in answered_items(ledger, NAME):
        of_item: dict[str, list[Answer[Any]]] = defaultdict(list)
        for answer in answers:
            of_item[answer.item_id].append(answer)
        for item in items.values():
            if item.removed:
                continue
            found = settle(item, of_item[item.id], settings.task.pair_check)
            if found.corrected:
                words = mask_typed(found.pairs[0].attribute, item.country, people) if found.pairs else ""
                found = replace(found, pairs=tuple(replace(pair, attribute=words) for pair in found.pairs))
            yield item, found


def checked_pairs(ledger: Ledger, settings: Settings) -> list[MinimalPair]:
    """Pairs that enough people found right, one for each control that is left; in the order of their items' ids."""
    return [pair for _, found in settled_items(ledger, settings) for pair in found.pairs]
