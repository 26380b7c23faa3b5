"""A source → ranked slates: a snapshot, a file of rankings, or a file of pairs, checked row by row.

Everything that a row says is looked at here, with its place, so that what follows can rely on it. What becomes of what
people said is in rankings.py.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from annotation.errors import TrainError
from annotation.types import Dropped, content_id
from train.dataset import (
    COLUMNS,
    Text,
    as_answer,
    as_question,
    is_gap,
    label,
    pair_from_row,
    read_rows,
    source_digest,
    system_text,
    whole_number,
)
from train.rankings import ALL_TIED, ALONE, NOT_RANKED, Comparison, RankedSlate, Ranking, count_votes, slate_of_pair

RANKING_COLUMNS = ("prompt", "candidates", "ranks")
"""What a row of a file of rankings must have."""


@dataclass(frozen=True)
class Slates:
    """All slates of a source.

    Attributes:
        source: "snapshot ID" or the name of a file.
        snapshot: Id of the snapshot, or "" for a file.
        digest: As `source_digest` gives it.
        slates: In the order of the source.
        aside: Slates that teach nothing: "none is acceptable", "too few votes", "all answers tied" and the like.
        unused: Rewrites beyond the first of a slate, when rewrites were asked for.
        repeated: Rankings that the same person gave twice for one slate; they count once.
    """

    source: str
    snapshot: str
    digest: str
    slates: tuple[RankedSlate, ...]
    aside: tuple[Dropped, ...] = ()
    unused: tuple[Dropped, ...] = ()
    repeated: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What one person said of one slate.

    Attributes:
        place: "file:row".
        slate_id: The source's, or a hash of what is asked and answered.
        country: Of the person, or "".
        annotator: Who it was, or "".
        tiers: As in Ranking; empty where nothing was ranked.
        none_acceptable: They found no answer acceptable.
        rewrite: An answer of their own, or "".
        row: All columns.
    """

    place: str
    slate_id: str
    country: str
    annotator: str
    tiers: tuple[tuple[int, ...], ...]
    none_acceptable: bool
    rewrite: str
    row: Mapping[str, Any]

    @property
    def compares(self) -> bool:
        """Whether two answers were ranked at least: one alone is compared with nothing."""
        return sum(map(len, self.tiers)) > 1

    @property
    def shown(self) -> tuple[str, str, tuple[str, ...]]:
        """What the person saw: system text, prompt and answers."""
        return system_text(self.row, self.place), self.row["prompt"], tuple(self.row["candidates"])

    @property
    def said(self) -> tuple[tuple[tuple[int, ...], ...], bool, str]:
        """What the person said of it."""
        return self.tiers, self.none_acceptable, self.rewrite


def read_slates(source: Path, *, rewrites: bool = False) -> Slates:
    """Read a snapshot folder, a file of rankings (rankings.parquet of an export), or a file of pairs.

    Args:
        source: A folder or a parquet or jsonl file.
        rewrites: Put the first rewrite of a slate behind its answers, as the target of the SFT term.

    Raises:
        TrainError: It cannot be read, or a row is not as described.
    """
    digest = source_digest(source)
    if source.is_dir():
        facts = json.loads((source / "snapshot.json").read_text(encoding="utf-8"))
        fewest = facts.get("settings", {}).get("preferences", {}).get("min_votes", 1)
        preferences: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in read_rows(source / "preferences.parquet"):
            preferences[row["slate_id"], row["country"]].append(row)
        rankings = read_rows(source / "rankings.parquet")
        found = _from_rankings(rankings, preferences, fewest, rewrites=rewrites)
        return Slates(f"snapshot {source.name}", source.name, digest, *found)
    rows = read_rows(source)
    if holds_rankings(source, rows):
        return Slates(source.name, "", digest, *_from_rankings(rows, None, 1, rewrites=rewrites, place=source.name))
    pairs = (pair_from_row(row, f"{source.name}:{number}") for number, row in enumerate(rows, 1))
    return Slates(source.name, "", digest, tuple(slate_of_pair(pair) for pair in pairs))


def holds_rankings(source: Path, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a file holds rankings; else it holds pairs, or nothing.

    Raises:
        TrainError: It lacks columns of both.
    """
    there: Collection[str] = dict.fromkeys(name for row in rows for name in row)
    lacking = {form: [name for name in form if name not in there] for form in (RANKING_COLUMNS, COLUMNS)}
    whole = [form for form, missing in lacking.items() if not missing]
    if whole or not there:
        return whole[:1] == [RANKING_COLUMNS]
    # "prompt" is a column of both, so that it says nothing about which of them was meant.
    nearest = [form for form in lacking if any(name in there for name in form if name != "prompt")]
    columns = f"its columns are {', '.join(there)}"
    if len(nearest) == 1:
        meant = "rankings" if nearest[0] is RANKING_COLUMNS else "pairs"
        missing = lacking[nearest[0]]
        names = f"{'columns' if len(missing) > 1 else 'column'} {', '.join(missing)}"
        raise TrainError(f"{source} looks like {meant} and lacks the {names} ({columns}); add what is missing.")
    raise TrainError(
        f"{source} holds neither rankings nor pairs: {columns}, rankings need {', '.join(RANKING_COLUMNS)}, and pairs "
        f"need {', '.join(COLUMNS)}; rename or add columns."
    )


def _from_rankings(
    rows: Iterable[Mapping[str, Any]],
    preferences: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]] | None,
    fewest: int,
    *,
    rewrites: bool,
    place: str = "rankings.parquet",
) -> tuple[tuple[RankedSlate, ...], tuple[Dropped, ...], tuple[Dropped, ...], tuple[Dropped, ...]]:
    """Slates, slates that teach nothing, rewrites that are not used, and rankings that are there twice."""
    groups, repeated = _by_slate(judged_from_row(row, f"{place}:{number}") for number, row in enumerate(rows, 1))
    slates: list[RankedSlate] = []
    aside: list[Dropped] = []
    unused: list[Dropped] = []
    for (slate_id, country), judged in groups.items():
        name = f"{slate_id}:{country}"
        unacceptable = sum(one.none_acceptable for one in judged)
        orders = [one.tiers for one in judged if one.compares and not one.none_acceptable]
        if 2 * unacceptable >= len(judged):
            aside.append(Dropped(name, "none is acceptable", f"{unacceptable} of {len(judged)}"))
            continue
        if not orders:
            aside.append(Dropped(name, NOT_RANKED if len(judged[0].row["candidates"]) > 1 else ALONE))
            continue
        if len(orders) < fewest:
            aside.append(Dropped(name, "too few votes", f"{len(orders)} < {fewest}"))
            continue
        counted = Counter(orders)
        rankings = tuple(Ranking(tiers, count / len(orders), count) for tiers, count in counted.items())
        rewritten = [one.rewrite for one in judged if one.rewrite] if rewrites else []
        unused += [Dropped(f"{name}/rewrite", "a slate has one rewrite") for _ in rewritten[1:]]
        slate = _slate(name, judged[0], rankings, preferences, (slate_id, country), rewritten[:1])
        if slate.stages or slate.comparisons:
            slates.append(slate)
        else:
            aside.append(Dropped(name, ALL_TIED))
    return tuple(slates), tuple(aside), tuple(unused), repeated


def _by_slate(
    judged: Iterable[Judged],
) -> tuple[dict[tuple[str, str], list[Judged]], tuple[Dropped, ...]]:
    """What was said per slate and country, each person once; and what a person said again.

    Raises:
        TrainError: A person said two things, or people were shown different things under one slate_id.
    """
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    people: dict[tuple[str, str, str], Judged] = {}
    repeated = []
    for one in judged:
        group = groups[one.slate_id, one.country]
        if group and one.shown != group[0].shown:
            raise TrainError(
                f"{one.place} calls its slate {one.slate_id}, as {group[0].place} does, and holds another prompt or "
                "other candidates, or holds them in another order; give each its own slate_id, or the same candidates "
                "in the same order."
            )
        earlier = people.setdefault((one.slate_id, one.country, one.annotator), one)
        if not one.annotator or earlier is one:
            group.append(one)
        elif one.said == earlier.said:
            repeated.append(Dropped(one.place, "the same person twice", earlier.place))
        else:
            raise TrainError(
                f"{one.place}: {one.annotator} judged the slate {one.slate_id} in {earlier.place} already, and says "
                "something else here; keep one of both."
            )
    return groups, tuple(repeated)


def _slate(
    name: str,
    first: Judged,
    rankings: tuple[Ranking, ...],
    preferences: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]] | None,
    key: tuple[str, str],
    rewritten: Sequence[str],
) -> RankedSlate:
    seats = tuple(first.row.get("candidate_ids") or ())
    if preferences is None:
        comparisons = count_votes(rankings)
    else:
        counted = (_comparison(row, seats) for row in preferences.get(key, ()))
        comparisons = tuple(sorted(counted, key=lambda pair: sorted((pair.better, pair.worse))))
    system, prompt, candidates = first.shown
    answers: list[Text] = [as_answer(text) for text in candidates]
    target = _best(rankings)
    for text in rewritten:
        target = len(answers)
        answers.append(as_answer(text))
    return RankedSlate(
        name,
        as_question(prompt, system),
        tuple(answers),
        rankings,
        comparisons,
        target,
        key[1],
        label(first.row, "language", first.place),
        label(first.row, "topic", first.place),
        key[0],
        seats,
        sum(ranking.people for ranking in rankings),
    )


def judged_from_row(row: Mapping[str, Any], place: str) -> Judged:
    """Read a row of rankings.parquet, or of somebody's own file of rankings.

    Raises:
        TrainError: It is no ranking, or a rank, a flag or a rewrite is not what it must be.
    """
    prompt, answers = row.get("prompt"), row.get("candidates")
    ranks = [] if is_gap(row.get("ranks")) else row["ranks"]
    if (
        not isinstance(prompt, str)
        or not isinstance(answers, list)
        or not all(isinstance(answer, str) for answer in answers)
        or not isinstance(ranks, list)
        or len(ranks) not in (0, len(answers))
    ):
        raise TrainError(
            f"{place} is no ranking: it needs a prompt, a list of candidates and a rank for each; mend that row."
        )
    # Without a name a slate is what it holds.
    names = ("slate_id", "country", "annotator", "language", "topic")
    slate_id, country, annotator, _, _ = (label(row, name, place) for name in names)
    slate_id = slate_id or content_id(system_text(row, place), prompt, *answers)
    none_acceptable, rewrite = row.get("none_acceptable"), row.get("rewrite")
    if not is_gap(none_acceptable) and none_acceptable not in (0, 1):
        raise TrainError(f"{place}, none_acceptable = {short(none_acceptable)}: write true or false; mend that row.")
    if not is_gap(rewrite) and not isinstance(rewrite, str):
        raise TrainError(f"{place}, rewrite = {short(rewrite)}: it is a text, or empty; mend that row.")
    named = row.get("candidate_ids")
    if not is_gap(named) and (not isinstance(named, list) or len(named) not in (0, len(answers))):
        raise TrainError(f"{place}, candidate_ids: there must be one for each candidate, or none; mend that row.")
    return Judged(
        place,
        slate_id,
        country,
        annotator,
        _tiers([_rank(rank, f"{place}, slate {slate_id}") for rank in ranks]),
        not is_gap(none_acceptable) and bool(none_acceptable),
        "" if is_gap(rewrite) else str(rewrite).strip(),
        row,
    )


def _rank(value: Any, place: str) -> int | None:
    """A rank; None where the answer was not ranked."""
    if is_gap(value):
        return None
    rank = whole_number(value)
    if rank is None or rank < 1:
        raise TrainError(
            f"{place}, rank {short(value)}: ranks are whole numbers from 1 (the best) on, and null where an answer was "
            "not ranked; mend that row."
        )
    return rank


def _tiers(ranks: Sequence[int | None]) -> tuple[tuple[int, ...], ...]:
    """Ranks per answer → tiers; gaps between ranks mean nothing."""
    return tuple(
        tuple(answer for answer, rank in enumerate(ranks) if rank == level)
        for level in sorted({rank for rank in ranks if rank is not None})
    )


def _comparison(row: Mapping[str, Any], seats: Sequence[str]) -> Comparison:
    ahead, behind = row["votes_for"], row["votes_against"]
    return Comparison(
        seats.index(row["chosen_id"]),
        seats.index(row["rejected_id"]),
        smoothing=behind / (ahead + behind),
        votes_for=ahead,
        votes_against=behind,
        ties=row["ties"],
    )


def _best(rankings: Sequence[Ranking]) -> int | None:
    """The answer that wins most comparisons with the others (Borda's count); a draw goes to the earlier seat."""
    score: Counter[int] = Counter()
    for ranking in rankings:
        below = sum(len(tier) for tier in ranking.tiers)
        above = 0
        for tier in ranking.tiers:
            below -= len(tier)
            for answer in tier:
                score[answer] += ranking.people * (below - above)
            above += len(tier)
    return min(score, key=lambda answer: (-score[answer], answer)) if score else None
