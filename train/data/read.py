"""A source → ranked slates: a snapshot, a file of rankings, or a file of pairs, checked row by row.

Everything that a row holds is checked here, with its place, so that what follows can rely on it. Who votes and how
votes are counted is annotation/tasks/ranking/preferences.py, as for the preferences of a snapshot.
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
from annotation.project import HOLDS_FORGOTTEN
from annotation.tasks.ranking.preferences import PairVotes, too_few_votes, voters
from annotation.types import Dropped, content_id
from train.data.objective import ALL_TIED, ALONE, NOT_RANKED
from train.data.pairs import COLUMNS, pairs_of
from train.data.rows import (
    check_snapshot,
    country_of,
    is_gap,
    label,
    read_rows,
    source_digest,
    system_text,
    whole_number,
    with_our_names,
)
from train.data.slates import Comparison, RankedSlate, Ranking, count_votes, slate_of_pair
from train.data.texts import Text, as_answer, as_question

RANKING_COLUMNS = ("prompt", "candidates", "ranks")
"""What a row of a file of rankings must have."""


@dataclass(frozen=True)
class Slates:
    """All slates of a source.

    Attributes:
        source: "snapshot ID" or the name of a file.
        slates: In the order of the source.
        excluded: Slates from which nothing is learnt: "none is acceptable", "too few votes", "all answers tied" and the
            like.
        unused: Single answers that are left out: rewrites beyond the first of a slate.
        repeated: Rankings that the same person gave twice for one slate; they count once.
    """

    source: str
    slates: tuple[RankedSlate, ...]
    excluded: tuple[Dropped, ...] = ()
    unused: tuple[Dropped, ...] = ()
    repeated: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class RankingRow:
    """A row of a file of rankings: one person's judgement of one slate.

    Attributes:
        place: "file:row".
        slate_id: The source's, or a hash of question and answers.
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
        """System text, prompt and answers as the person saw them."""
        return system_text(self.row, self.place), self.row["prompt"], tuple(self.row["candidates"])

    @property
    def response(self) -> tuple[tuple[tuple[int, ...], ...], bool, str]:
        """Everything that the person said of the slate."""
        return self.tiers, self.none_acceptable, self.rewrite


def read_slates(source: Path, *, rewrites: bool = False) -> Slates:
    """Read a snapshot folder, a file of rankings (rankings.parquet of an export), or a file of pairs.

    Args:
        source: A folder or a parquet or jsonl file.
        rewrites: Put the first rewrite of a slate behind its answers, as the target of the SFT term.

    Raises:
        TrainError: It cannot be read, a row is not as described, or it holds what was forgotten since.
    """
    source_digest(source)  # says what is missing
    if source.is_dir():
        if (source / HOLDS_FORGOTTEN).exists():
            raise TrainError(
                f"{source} holds what `annot forget` took out of the project: nothing is trained on it any more. "
                "`annot sync` makes a snapshot without it when the quotas are met; or train with --data on the "
                "rankings.parquet that `annot export` writes now."
            )
        try:
            written = json.loads((source / "snapshot.json").read_text(encoding="utf-8")).get("settings", {})
        except (ValueError, AttributeError):
            raise TrainError(
                f"{source / 'snapshot.json'} is damaged; a backup has it, or run `annot sync` again."
            ) from None
        min_votes = written.get("task", {}).get("ranking", written.get("preferences", {})).get("min_votes", 1)
        preferences: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        counted, ranked = (read_rows(source / f"{name}.parquet") for name in ("preferences", "rankings"))
        check_snapshot(source, (counted, ranked))
        for row in counted:
            preferences[row["slate_id"], row["country"]].append(row)
        rows = rows_by_slate(ranked, "rankings.parquet")
        return _from_rankings(f"snapshot {source.name}", rows, preferences, min_votes, rewrites=rewrites)
    found = with_our_names(read_rows(source))
    if holds_rankings(source, found):
        return _from_rankings(source.name, rows_by_slate(found, source.name), None, 1, rewrites=rewrites)
    return Slates(source.name, tuple(slate_of_pair(pair) for pair in pairs_of(found, source.name)))


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


BySlate = Mapping[tuple[str, str], Sequence[RankingRow]]
"""Slate's id and country -> the country's rows, each person once."""


def rows_by_slate(rows: Iterable[Mapping[str, Any]], file: str) -> tuple[BySlate, tuple[Dropped, ...]]:
    """Rankings of a file per slate and country, each person once; and those that a person gave twice.

    Raises:
        TrainError: A row is no ranking, a person said two things, or people were shown different things under one
            slate_id.
    """
    groups: dict[tuple[str, str], list[RankingRow]] = defaultdict(list)
    people: dict[tuple[str, str, str], RankingRow] = {}
    repeated = []
    for number, row in enumerate(rows, 1):
        one = ranking_from_row(row, f"{file}:{number}")
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
        elif one.response == earlier.response:
            repeated.append(Dropped(one.place, "the same person twice", earlier.place))
        else:
            raise TrainError(
                f"{one.place}: {one.annotator} judged the slate {one.slate_id} in {earlier.place} already, and says "
                "something else here; keep one of both."
            )
    return groups, tuple(repeated)


def _from_rankings(
    source: str,
    found: tuple[BySlate, tuple[Dropped, ...]],
    preferences: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]] | None,
    min_votes: int,
    *,
    rewrites: bool,
) -> Slates:
    """Slates of all rankings; their comparisons are a snapshot's preferences, or else counted here."""
    groups, repeated = found
    slates: list[RankedSlate] = []
    excluded: list[Dropped] = []
    unused: list[Dropped] = []
    for key, people in groups.items():
        name = ":".join(key)
        rankings, dropped = _rankings(name, people, min_votes)
        if dropped:
            excluded.append(dropped)
            continue
        rewritten = [one.rewrite for one in people if one.rewrite] if rewrites else []
        unused += [Dropped(f"{name}/rewrite", "a slate has one rewrite") for _ in rewritten[1:]]
        counted = None if preferences is None else preferences.get(key, ())
        slate = _slate(people[0], rankings, counted, rewritten[:1])
        if slate.stages or slate.comparisons:
            slates.append(slate)
        else:
            excluded.append(Dropped(name, ALL_TIED))
    return Slates(source, tuple(slates), tuple(excluded), tuple(unused), repeated)


def _rankings(name: str, people: Sequence[RankingRow], min_votes: int) -> tuple[tuple[Ranking, ...], Dropped | None]:
    """The orders that count for a slate, the same ones together; or why the slate is excluded."""
    voting, dropped = voters(name, people)
    orders = [one.tiers for one in voting if one.compares]
    if not dropped and not orders:
        dropped = Dropped(name, NOT_RANKED if len(people[0].row["candidates"]) > 1 else ALONE)
    if dropped := dropped or too_few_votes(name, len(orders), min_votes):
        return (), dropped
    return tuple(Ranking(tiers, count / len(orders), count) for tiers, count in Counter(orders).items()), None


def _slate(
    first: RankingRow,
    rankings: tuple[Ranking, ...],
    preferences: Sequence[Mapping[str, Any]] | None,
    rewritten: Sequence[str],
) -> RankedSlate:
    seats = tuple(first.row.get("candidate_ids") or ())
    if preferences is None:
        comparisons = count_votes(rankings)
    else:
        counted = (_comparison(row, seats) for row in preferences)
        comparisons = tuple(sorted(counted, key=lambda pair: sorted((pair.better, pair.worse))))
    system, prompt, candidates = first.shown
    answers: list[Text] = [as_answer(text) for text in (*candidates, *rewritten)]
    return RankedSlate(
        f"{first.slate_id}:{first.country}",
        as_question(prompt, system),
        tuple(answers),
        rankings,
        comparisons,
        len(candidates) if rewritten else _best(rankings),
        first.country,
        label(first.row, "language", first.place),
        label(first.row, "topic", first.place),
        first.slate_id,
        seats,
        sum(ranking.people for ranking in rankings),
    )


def ranking_from_row(row: Mapping[str, Any], place: str) -> RankingRow:
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
    slate_id, annotator, _, _ = (label(row, name, place) for name in ("slate_id", "annotator", "language", "topic"))
    country = country_of(row, place)
    slate_id = slate_id or content_id(system_text(row, place), prompt, *answers)
    none_acceptable, rewrite = row.get("none_acceptable"), row.get("rewrite")
    if not is_gap(none_acceptable) and none_acceptable not in (0, 1):
        raise TrainError(f"{place}, none_acceptable = {short(none_acceptable)}: write true or false; mend that row.")
    if not is_gap(rewrite) and not isinstance(rewrite, str):
        raise TrainError(f"{place}, rewrite = {short(rewrite)}: it is a text, or empty; mend that row.")
    named = row.get("candidate_ids")
    if not is_gap(named) and (not isinstance(named, list) or len(named) not in (0, len(answers))):
        raise TrainError(f"{place}, candidate_ids: there must be one for each candidate, or none; mend that row.")
    return RankingRow(
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
    """A comparison as a row of preferences.parquet has it."""
    better, worse = seats.index(row["chosen_id"]), seats.index(row["rejected_id"])
    return Comparison.of_votes(PairVotes(better, worse, row["votes_for"], row["votes_against"], row["ties"]))


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
