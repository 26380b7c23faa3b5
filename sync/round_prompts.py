"""The prompts of a next round: which of them people are asked about anew, and why.

A prompt is looked at by its newest slate. Three reasons put it into the next round:

- contested: the people of a country did not agree on the slate, found none of its answers fit, or two countries prefer
  opposite answers. How divided they are counts from 0 to 1: 1 where as many say one thing as the other. Where an
  adjudicator has decided, half of it counts: training has an answer there.
- votes: more of the demo's visitors chose the base's answer than that of the newest run's adapter. The votes between
  the two count.
- thin: its country has completed fewer slates, in all rounds, than its quotas' targets or than half of what the median
  country has. Until it has as many prompts as it lacks, it gets first those whose slate was not completed, then those
  of which the fewest preferences came.

Reasons take turns, so that no one of them fills the round; a prompt is chosen once, for the reason whose turn it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

from annotation.item_counts import DECIDED, Counts
from annotation.lineage.runs import RunFolder
from annotation.project import Project
from annotation.prompts.review import only_accepted
from annotation.quality.contested import CONTESTED as SPLIT
from annotation.quality.contested import UNACCEPTABLE, contested_of
from annotation.quota_groups import in_project, plan_quotas
from annotation.rounds import CONTESTED, THIN, VOTES
from annotation.screen import Progress
from annotation.tally import counted_items
from annotation.tasks import TASKS
from annotation.tasks.answers import newest_responses, read_answers, roster
from annotation.tasks.duel.votes import read_duels
from annotation.tasks.ranking.preferences import count_pair, places_of
from annotation.tasks.ranking.slates import DESCRIPTION, RANKING
from annotation.types import Answer, Item

RANKED = (RANKING, DESCRIPTION)
"""Tasks whose prompts are asked about in rounds."""

DECIDED_COUNTS = 0.5
"""How much of its dividedness counts where an adjudicator has decided."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A prompt of the next round.

    Attributes:
        prompt_id: Its id.
        country: Its country, ISO 3166-1 alpha-2.
        task: The task of its slates.
        reason: One of REASONS.
        weight: How much speaks for it, by the reason: from 0 to 1, votes, or preferences, of which fewer speak for it.
    """

    prompt_id: str
    country: str
    task: str
    reason: str
    weight: float


def choose_prompts(
    project: Project,
    counts: Counts,
    runs: Mapping[str, RunFolder],
    most: int | None,
    reasons: Sequence[str],
    country: str,
    progress: Progress,
) -> tuple[tuple[Chosen, ...], int]:
    """Prompts of the next round, by country and in the order in which they were chosen, and how many more there are.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
        runs: Task -> its newest run, against whose adapter visitors may have voted.
        most: Prompts of a country and task; None for as many as its quotas' targets ask for.
        reasons: Those that count, of REASONS.
        country: Of this one alone; "" for all.
        progress: Told how far the counting is.
    """
    slates = _newest_slates(project)
    targets = _targets(project, slates)
    speak = {
        CONTESTED: _divided(project, slates, progress) if CONTESTED in reasons else {},
        VOTES: _voted_against(project, runs) if VOTES in reasons else {},
    }
    of_place: dict[tuple[str, str], list[_Slate]] = defaultdict(list)
    for slate in slates:
        of_place[slate.country, slate.task].append(slate)
    lack = _lacking(project, counts, targets) if THIN in reasons else {}
    thin = _thin(project, {place: of_place[place] for place in lack.keys() & of_place.keys()}, progress)
    chosen, left = list[Chosen](), 0
    for place, own in sorted(of_place.items()):
        if country not in ("", place[0]):
            continue
        queues = {
            **{
                reason: sorted(
                    ((slate.prompt_id, weights[slate.prompt_id]) for slate in own if weights.get(slate.prompt_id)),
                    key=lambda pair: (-pair[1], pair[0]),
                )
                for reason, weights in speak.items()
            },
            THIN: thin.get(place, []),
        }
        room = targets.get(place, 0) if most is None else most
        picked = list(_in_turns(queues, lack.get(place, 0), *place))
        chosen += picked[:room]
        left += len(picked[room:])
    return tuple(chosen), left


@dataclass(frozen=True, slots=True)
class _Slate:
    """The newest slate of a prompt, without its texts."""

    id: str
    prompt_id: str
    task: str
    country: str
    language: str
    topic: str


def _newest_slates(project: Project) -> list[_Slate]:
    """Of the prompts that may be asked about, in the order of their ids."""
    accepted = only_accepted(project.ledger, project.settings)
    rows = project.ledger.rows(
        """select id, prompt_id, task, country, language, topic, max(round) from current_items
           where round > 0 and not removed group by prompt_id order by prompt_id"""
    )
    slates = [_Slate(*list(row)[:-1]) for row in rows if accepted is None or row["prompt_id"] in accepted]
    return [slate for slate in slates if slate.task in RANKED and in_project(slate, project.settings)]


def _in_turns(
    queues: Mapping[str, Sequence[tuple[str, float]]], lack: int, country: str, task: str
) -> Iterator[Chosen]:
    """Each prompt once, for the reason whose turn it was; "thin" is one until the country has what it lacks."""
    taken, waiting = set[str](), [(reason, iter(queue)) for reason, queue in queues.items()]
    while waiting:
        for reason, queue in list(waiting):
            found = next((pair for pair in queue if pair[0] not in taken), None)
            if found is None or (reason == THIN and len(taken) >= lack):
                waiting.remove((reason, queue))
                continue
            taken.add(found[0])
            yield Chosen(found[0], country, task, reason, found[1])


def _targets(project: Project, slates: Sequence[_Slate]) -> dict[tuple[str, str], int]:
    """Country and task -> slates that its quotas ask for; a quota of all of the country holds those of its topics."""
    found: dict[tuple[str, str], int] = {}
    for task in {slate.task for slate in slates}:
        parts: dict[str, list[int]] = defaultdict(list)
        whole: dict[str, int] = {}
        for quota in plan_quotas(project.settings, [slate for slate in slates if slate.task == task], task):
            if quota.topic or quota.language:
                parts[quota.country].append(quota.target)
            else:
                whole[quota.country] = quota.target
        for country in parts.keys() | whole.keys():
            found[country, task] = whole.get(country, sum(parts[country]))
    return found


def _divided(project: Project, slates: Sequence[_Slate], progress: Progress) -> dict[str, float]:
    """Prompt -> how divided people are about its newest slate, above 0 and at most 1."""
    of_item = {slate.id: slate for slate in slates}
    found: dict[str, float] = {}
    for item_id, own in counted_items(project.ledger, project.settings, SPLIT, progress=progress).items():
        split = [one for one in contested_of(item_id, own) if one.why in (SPLIT, UNACCEPTABLE)]
        if item_id in of_item and split:
            found[item_id] = max(2 * (1 - one.majority) if one.why == SPLIT else 1.0 for one in split)
    teams = counted_items(project.ledger, project.settings, "team", progress=progress)
    several = [item_id for item_id, own in teams.items() if item_id in of_item and len(own) > 1]
    found |= dict.fromkeys(_two_ways(project, several), 1.0)
    decided = counted_items(project.ledger, project.settings, "adjudication", progress=progress) if found else {}
    return {
        of_item[item_id].prompt_id: weight
        * (DECIDED_COUNTS if any(key[-1] == DECIDED for key in decided.get(item_id, ())) else 1)
        for item_id, weight in found.items()
    }


def _two_ways(project: Project, item_ids: Sequence[str]) -> Iterator[str]:
    """Those of some slates of which two countries prefer opposite answers, each by a majority of its people."""
    items = {item.id: item for item in project.ledger.items(ids=item_ids)}
    kept = read_answers(newest_responses(project.ledger, items), items, roster(project.ledger)).kept
    said: dict[str, dict[str, list[Answer[Any]]]] = defaultdict(lambda: defaultdict(list))
    for answer in kept:
        said[answer.item_id][answer.country].append(answer)
    for item_id, countries in said.items():
        ways = [_order_of(items[item_id], answers) for answers in countries.values()]
        if any(one[pair] * other[pair] < 0 for one, other in combinations(ways, 2) for pair in one):
            yield item_id


def _order_of(item: Item, answers: Sequence[Answer[Any]]) -> dict[tuple[str, str], int]:
    """Two answers of a slate -> 1 where most prefer the first, -1 for the second, 0 for neither."""
    rankings = [(places_of(a.value.tiers), a.weight) for a in answers if not a.value.none_acceptable]
    found = {}
    for one, other in combinations(item.content["seats"], 2):
        votes = count_pair(one, other, rankings)
        won = (votes.votes_for > votes.votes_against) * (1 if votes.better == one else -1)
        found[one, other] = won
    return found


def _voted_against(project: Project, runs: Mapping[str, RunFolder]) -> dict[str, float]:
    """Prompt -> by how many votes the base is ahead of the newest run's adapter."""
    ahead = Counter[str]()
    for run in runs.values():
        adapter = str(run.done.get("adapter_sha256", ""))
        for duel in read_duels(project.ledger, adapter=adapter, texts=False) if adapter else ():
            if duel.prompt_id and duel.choice in ("A", "B"):
                ahead[duel.prompt_id] += -1 if duel.choice == duel.adapted else 1
    return {prompt_id: float(votes) for prompt_id, votes in ahead.items() if votes > 0}


def _lacking(project: Project, counts: Counts, targets: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Country and task -> completed slates that are lacking; those with enough are left out.

    Args:
        project: The project.
        counts: From `annotation.tally.count`.
        targets: From `_targets`.
    """
    done, found = _completed(project, counts), {}
    for (country, task), target in targets.items():
        usual = median(done[of, task] for of, name in targets if name == task)
        if (short := max(target, int(usual / 2)) - done[country, task]) > 0:
            found[country, task] = short
    return found


def _thin(
    project: Project, slates: Mapping[tuple[str, str], Sequence[_Slate]], progress: Progress
) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Country and task -> its prompts with their preferences: incomplete slates first, then the fewest preferences."""
    if not slates:
        return {}
    answered = counted_items(project.ledger, project.settings, "item", progress=progress)
    made = counted_items(project.ledger, project.settings, "made", progress=progress)
    found = {}
    for (country, task), own in slates.items():
        overlap, ordered = TASKS[task].settings(project.settings).overlap, []
        for slate in own:
            complete = any(int(key[5]) >= overlap for key in answered.get(slate.id, ()))
            preferences = sum(n for key, n in made.get(slate.id, {}).items() if key[2] == "preferences")
            ordered.append((complete, preferences, slate.prompt_id))
        found[country, task] = [(prompt_id, float(preferences)) for _, preferences, prompt_id in sorted(ordered)]
    return found


def _completed(project: Project, counts: Counts) -> Counter[tuple[str, str]]:
    """Country and task -> slates that enough people have answered, in all rounds."""
    found = Counter[tuple[str, str]]()
    for key, number in counts.items():
        match key:
            case ("item", str(task), str(country), _, _, int(answered), *_) if task in RANKED:
                if answered >= TASKS[task].settings(project.settings).overlap:
                    found[country, task] += number
    return found
