"""From rankings to preferences, per country: who is preferred to whom, by how many, and what was set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from annotation.types import Candidate, Dropped, Judgement, Preference, Prompt, Slate


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the rankings say, and what they do not.

    Attributes:
        kept: Clear preferences; no pair goes both ways within a country.
        aside: Pairs ("slate:X/Y, country") and slates that were set aside: "tie", "below margin", "too few votes",
            "none is acceptable".
        min_margin: The threshold behind the decision.
        min_votes: The threshold behind the decision.
    """

    kept: tuple[Preference, ...]
    aside: tuple[Dropped, ...]
    min_margin: float
    min_votes: int


def build_preferences(
    slates: Iterable[Slate],
    judgements: Iterable[Judgement],
    *,
    pseudonym: Callable[[str], str],
    min_margin: float = 0.0,
    min_votes: int = 1,
) -> Preferences:
    """Compare every two answers of a slate by the votes of one country's people.

    A person who found no answer acceptable does not vote: being the best of four bad answers is no reason
    to be imitated. Where half of a country's people or more say so, the slate is set aside for that country.

    Args:
        slates: All slates.
        judgements: Submitted ones, one per person and slate.
        pseudonym: User name -> the name under which votes leave the project.
        min_margin: (for - against) / votes must exceed this.
        min_votes: People who must have compared the two.
    """
    votes: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        votes[(judgement.slate_id, judgement.country)].append(judgement)
    kept: list[Preference] = []
    aside: list[Dropped] = []
    seats = {slate.id: slate for slate in slates}
    for (slate_id, country), people in sorted(votes.items()):
        unacceptable = sum(judgement.none_acceptable for judgement in people)
        if 2 * unacceptable >= len(people):
            aside.append(Dropped(f"{slate_id}, {country}", "none is acceptable", f"{unacceptable} of {len(people)}"))
            continue
        voters = [judgement for judgement in people if not judgement.none_acceptable]
        for one, other in combinations(sorted(seats[slate_id].seats), 2):
            pair, reason = _compare(seats[slate_id], country, one, other, voters, pseudonym)
            total = pair.votes_for + pair.votes_against + pair.ties
            place = f"{slate_id}:{pair.chosen}/{pair.rejected}, {country}"
            if reason:
                aside.append(Dropped(place, reason, f"{pair.votes_for} : {pair.votes_against}, {pair.ties} tied"))
            elif total < min_votes:
                aside.append(Dropped(place, "too few votes", f"{total} < {min_votes}"))
            elif pair.margin <= min_margin:
                aside.append(Dropped(place, "below margin", f"{pair.margin:.2f} <= {min_margin:.2f}"))
            else:
                kept.append(pair)
    return Preferences(tuple(kept), tuple(aside), min_margin, min_votes)


def _compare(
    slate: Slate, country: str, one: str, other: str, voters: list[Judgement], pseudonym: Callable[[str], str]
) -> tuple[Preference, str]:
    ranks = [(v.rank(one), v.rank(other), v.annotator) for v in voters]
    both = [(a, b, who) for a, b, who in ranks if a is not None and b is not None]
    won, lost = sum(a < b for a, b, _ in both), sum(a > b for a, b, _ in both)
    chosen, rejected = (one, other) if won >= lost else (other, one)
    pair = Preference(
        slate.id,
        slate.prompt_id,
        country,
        chosen,
        rejected,
        votes_for=max(won, lost),
        votes_against=min(won, lost),
        ties=len(both) - won - lost,
        annotators=tuple(sorted(pseudonym(who) for _, _, who in both)),
    )
    if not both:
        return pair, "not compared"
    return pair, "tie" if won == lost else ""


def preference_rows(
    preferences: Iterable[Preference], prompts: dict[str, Prompt], candidates: dict[str, Candidate]
) -> list[dict[str, Any]]:
    """Preferences with their texts, one row each: what preferences.parquet holds. No model, voice or user name."""
    rows = []
    for pair in preferences:
        prompt = prompts[pair.prompt_id]
        total = pair.votes_for + pair.votes_against + pair.ties
        rows.append(
            {
                "slate_id": pair.slate_id,
                "prompt_id": pair.prompt_id,
                "system": prompt.system,
                "prompt": prompt.text,
                "chosen": candidates[pair.chosen].text,
                "rejected": candidates[pair.rejected].text,
                "chosen_id": pair.chosen,
                "rejected_id": pair.rejected,
                "country": pair.country,
                "language": prompt.language,
                "topic": prompt.topic,
                "votes_for": pair.votes_for,
                "votes_against": pair.votes_against,
                "ties": pair.ties,
                "annotators": list(pair.annotators),
                # The share of voters who said so; one person agrees with nobody.
                "agreement": pair.votes_for / total if total > 1 else None,
            }
        )
    return rows


def ranking_rows(
    judgements: Iterable[Judgement],
    slates: dict[str, Slate],
    prompts: dict[str, Prompt],
    candidates: dict[str, Candidate],
    pseudonym: Callable[[str], str],
) -> list[dict[str, Any]]:
    """Judgements with their texts, one row each: what rankings.parquet holds."""
    rows = []
    for judgement in judgements:
        slate = slates[judgement.slate_id]
        prompt = prompts[slate.prompt_id]
        rows.append(
            {
                "slate_id": slate.id,
                "prompt_id": prompt.id,
                "system": prompt.system,
                "prompt": prompt.text,
                "country": judgement.country,
                "language": prompt.language,
                "topic": prompt.topic,
                "annotator": pseudonym(judgement.annotator),
                "candidate_ids": list(slate.seats),
                "candidates": [candidates[c].text for c in slate.seats],
                "ranks": [judgement.rank(c) for c in slate.seats] if judgement.tiers else [],
                "problems": list(judgement.problems),
                "none_acceptable": judgement.none_acceptable,
                "rewrite": judgement.rewrite,
            }
        )
    return rows


def conversational(row: dict[str, Any]) -> dict[str, Any]:
    """A preference row in TRL's conversational form: prompt, chosen and rejected as lists of messages."""
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    texts = ("prompt", "chosen", "rejected", "system")
    return {
        "prompt": [*system, {"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
        **{key: value for key, value in row.items() if key not in texts},
    }
