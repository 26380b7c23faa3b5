"""Rankings and preferences as tables with their texts: what exports and snapshots hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from annotation.task_tables import RankingSettings
from annotation.tasks.base import DECISION, ItemOutcome, Kind, Rows, Texts, decision_of
from annotation.tasks.ranking.preferences import Preferences, build_preferences, places_of, whole
from annotation.tasks.ranking.slates import slate_of
from annotation.text.privacy import mask_typed
from annotation.types import Answer, Item, Judgement, Person, Preference, Prompt, Slate, in_order, picture_file

_ABOUT: dict[str, Kind] = {"slate_id": "text", "prompt_id": "text", "system": "text", "prompt": "text"}
_GROUP: dict[str, Kind] = {"country": "text", "language": "text", "topic": "text"}
PREFERENCES: Mapping[str, Kind] = {
    **_ABOUT,
    "chosen": "text",
    "rejected": "text",
    "chosen_id": "text",
    "rejected_id": "text",
    **_GROUP,
    "votes_for": "int",
    "votes_against": "int",
    "ties": "int",
    "annotators": "texts",
    "agreement": "float",
    "chosen_problems": "texts",
    "rejected_problems": "texts",
    **DECISION,
    "round": "int",
    "weight_for": "float",
    "weight_against": "float",
    "weight_ties": "float",
}
RANKINGS: Mapping[str, Kind] = {
    **_ABOUT,
    **_GROUP,
    "annotator": "text",
    "candidate_ids": "texts",
    "candidates": "texts",
    "ranks": "ints",
    "problems": "texts",
    "candidate_problems": "lists of texts",
    "none_acceptable": "bool",
    "rewrite": "text",
    **DECISION,
    "round": "int",
    "weight": "float",
}
MARKED = ("candidate_problems", "chosen_problems", "rejected_problems")
"""Problems that somebody marked."""
WEIGHED = ("weight_for", "weight_against", "weight_ties")
"""What the votes of a pair weigh."""
SPARSE = (*MARKED, *WEIGHED, "weight", *DECISION, "round")
"""Columns that a row has only where somebody marked a problem, where an adjudicator decided, where somebody's vote does
not weigh 1, or of a later round than the first: so snapshots of older projects keep their ids."""
IMAGE = "image"
"""Column with the id of the picture that a prompt is about; only tables of such prompts have it."""
_IN_MESSAGES = (IMAGE, "prompt", "chosen", "rejected", "system", *MARKED[1:], *DECISION, "round")
"""Columns that messages hold, or that only some rows have."""
FROZEN = ("preferences.parquet", "rankings.parquet")
"""Tables that a snapshot keeps, in the order in which its id is computed."""
SET_ASIDE: Mapping[str, Kind] = {"id": "text", "reason": "text", "because_of": "text"}


def count_outcome(slate: Slate, answers: Sequence[Answer[Judgement]], settings: RankingSettings) -> ItemOutcome:
    """Preferences that one slate gives, and pairs of it that became none."""
    found = _preferences([slate], answers, settings, str)
    return ItemOutcome({"preferences": len(found.kept)}, Counter(dropped.reason for dropped in found.excluded))


def ranking_tables(
    items: Mapping[str, Item],
    answers: Sequence[Answer[Judgement]],
    texts: Texts,
    settings: RankingSettings,
    pseudonym: Callable[[str], str],
    *,
    named: str = "",
    pictures: bool = False,
) -> dict[str, Rows]:
    """Preferences (also in TRL's form), rankings, and what became no preference and why.

    Args:
        items: Id -> slate.
        answers: To them.
        texts: What they are about.
        settings: The task's own.
        pseudonym: User name -> the name under which a person leaves the project.
        named: What the name of every table begins with.
        pictures: The prompts are about pictures: their ids are a column.
    """
    slates = {item.id: slate_of(item) for item in items.values()}
    found = _preferences(slates.values(), answers, settings, pseudonym)
    aside = [{name: getattr(dropped, name) for name in SET_ASIDE} for dropped in found.excluded]
    pairs = preference_rows(found.kept, texts.prompts, texts.candidates, {name: s.round for name, s in slates.items()})
    rankings = ranking_rows(answers, slates, texts.prompts, texts.candidates, pseudonym, texts.people)
    image: dict[str, Kind] = {**_ABOUT, IMAGE: "text"} if pictures else {}
    weighted = any(person.weight != 1 for person in texts.people)
    return {
        f"{named}preferences.parquet": Rows(pairs, {**image, **PREFERENCES}),
        f"{named}preferences.jsonl": Rows(pairs, line=partial(conversational, weighted=weighted)),
        f"{named}rankings.parquet": Rows(rankings, {**image, **RANKINGS}),
        f"{named}set_aside.parquet": Rows(aside, SET_ASIDE),
    }


def _preferences(
    slates: Iterable[Slate],
    answers: Iterable[Answer[Judgement]],
    settings: RankingSettings,
    pseudonym: Callable[[str], str],
) -> Preferences:
    return build_preferences(
        slates, answers, pseudonym=pseudonym, min_margin=settings.min_margin, min_votes=settings.min_votes
    )


def preference_rows(
    preferences: Iterable[Preference],
    prompts: Mapping[str, Prompt],
    candidates: Mapping[str, str],
    rounds: Mapping[str, int] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Preferences with their texts, one row each: what preferences.parquet holds. No model, voice or user name."""
    rows = []
    for pair in preferences:
        prompt = prompts[pair.prompt_id]
        rows.append(
            {
                "slate_id": pair.slate_id,
                "prompt_id": pair.prompt_id,
                "system": prompt.system,
                "prompt": prompt.text,
                **({IMAGE: prompt.image} if prompt.image else {}),
                "chosen": candidates[pair.chosen],
                "rejected": candidates[pair.rejected],
                "chosen_id": pair.chosen,
                "rejected_id": pair.rejected,
                "country": pair.country,
                "language": prompt.language,
                "topic": prompt.topic,
                "votes_for": pair.votes_for,
                "votes_against": pair.votes_against,
                "ties": pair.ties,
                "annotators": list(pair.annotators),
                # The share of the votes that say so; one person agrees with nobody.
                "agreement": pair.votes[0] / sum(pair.votes) if len(pair.annotators) > 1 else None,
                **({"chosen_problems": list(pair.chosen_problems)} if pair.chosen_problems else {}),
                **({"rejected_problems": list(pair.rejected_problems)} if pair.rejected_problems else {}),
                **({"adjudicated": True} if pair.adjudicated else {}),
                **_of_round(rounds.get(pair.slate_id, 1)),
                **(dict(zip(WEIGHED, map(float, pair.weights), strict=True)) if pair.weights else {}),
            }
        )
    return rows


def ranking_rows(
    answers: Iterable[Answer[Judgement]],
    slates: Mapping[str, Slate],
    prompts: Mapping[str, Prompt],
    candidates: Mapping[str, str],
    pseudonym: Callable[[str], str],
    people: tuple[Person, ...] = (),
) -> list[dict[str, Any]]:
    """Judgements with their texts, one row each, by slate and annotator: what rankings.parquet holds."""
    rows = []
    for answer in answers:
        judgement, slate = answer.value, slates[answer.item_id]
        prompt, places = prompts[slate.prompt_id], places_of(judgement.tiers)
        marks = judgement.problems
        of_each = [list(marks.get(candidate, ())) for candidate in slate.seats] if marks else []
        rows.append(
            {
                "slate_id": slate.id,
                "prompt_id": prompt.id,
                "system": prompt.system,
                "prompt": prompt.text,
                **({IMAGE: prompt.image} if prompt.image else {}),
                "country": answer.country,
                "language": prompt.language,
                "topic": prompt.topic,
                "annotator": pseudonym(answer.annotator),
                "candidate_ids": list(slate.seats),
                "candidates": [candidates[c] for c in slate.seats],
                "ranks": [places[c] + 1 for c in slate.seats] if places else [],
                "problems": list(in_order({p for problems in marks.values() for p in problems})),
                "none_acceptable": judgement.none_acceptable,
                # People type freely into a rewrite: what identifies somebody stays in the ledger.
                "rewrite": mask_typed(judgement.rewrite, answer.country, people),
                **({"candidate_problems": of_each} if any(of_each) else {}),
                **decision_of(answer),
                **_of_round(slate.round),
                **({"weight": answer.weight} if answer.weight != 1 else {}),
            }
        )
    return sorted(rows, key=lambda row: (row["slate_id"], row["annotator"]))


def _of_round(number: int) -> dict[str, int]:
    return {"round": number} if number > 1 else {}


def conversational(row: Mapping[str, Any], *, weighted: bool = False) -> dict[str, Any]:
    """A preference row in TRL's conversational form: prompt, chosen and rejected as lists of messages.

    All rows have the same keys: readers of JSON lines take the columns from the first of them. A picture is named by
    its path beside the file, as TRL's trainers of vision models ask for it.

    Args:
        row: From `preference_rows`.
        weighted: Somebody's votes do not weigh 1: every row says what its votes weigh.
    """
    image = row.get(IMAGE)
    system = [{"role": "system", "content": row["system"]}] if row["system"] else []
    asked, rest = {"type": "text", "text": row["prompt"]}, dict(row)
    for name in (*_IN_MESSAGES, *WEIGHED):
        rest.pop(name, None)
    return {
        **({"images": [picture_file(image)]} if image else {}),
        "prompt": [*system, {"role": "user", "content": [{"type": "image"}, asked] if image else row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
        **rest,
        **(dict(zip(WEIGHED, map(float, weights_of(row)), strict=True)) if weighted else {}),
    }


def weights_of(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """Votes for, against and tied of a row of preferences.parquet, each by its weight."""
    named = WEIGHED if row.get(WEIGHED[0]) is not None else ("votes_for", "votes_against", "ties")
    votes_for, votes_against, ties = (whole(row[name]) for name in named)
    return votes_for, votes_against, ties
