"""The task "rank for cultural fit": its form, a slate as a record, a response as a judgement. Pure: no argilla here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

from annotation.config import Settings
from annotation.task_tables import RankingSettings
from annotation.tasks.base import ItemOutcome, Rows, Scale, Texts, Unfit
from annotation.tasks.form import Field, Form, Question, Shape
from annotation.tasks.page import PICTURE, TeamPage, as_typed, as_written, picture_of, properties, record_of, vector_of
from annotation.tasks.ranking.slates import slate_of
from annotation.tasks.ranking.tables import FROZEN, count_outcome, ranking_tables
from annotation.tasks.ranking.texts import TEXTS
from annotation.types import PROBLEMS, SEATS, Answer, Item, Judgement, Slate, in_order

SLATE = "slate"
"""Name of a record's metadata that holds the slate's id."""

OTHER_SIZE = "other number of answers than the dataset has"

NO_PICTURE = "the file of its picture is missing or damaged"


class Ranking:
    """See `annotation.tasks.base.Task`. Descriptions of pictures are ranked in a subclass, which says what differs.

    Attributes:
        say: Texts of the page.
        problems: What can be said to be wrong with an answer.
        package: Where annot's guidelines stand.
        folder: Where a project's do, below its own.
        tables_named: What the names of the tables in an export begin with.
        pictures: Every prompt is about a picture, which the page shows in its place: the words of all are the same.
    """

    say: Mapping[str, Mapping[str, str]] = TEXTS
    problems: tuple[str, ...] = PROBLEMS
    package = "annotation.tasks.ranking"
    folder = ""
    tables_named = ""
    pictures = False

    name = "ranking"
    title = "rank for cultural fit"
    one = "slate"
    many = "slates"
    made_by = "annot select"
    label = SLATE
    scale: Scale = "ordinal"
    counted: tuple[str, ...] = ("preferences",)
    trains = True
    sensitive = False
    frozen: Mapping[str, str] = MappingProxyType({name: name for name in FROZEN})

    def settings(self, settings: Settings) -> RankingSettings:
        """See Task."""
        return settings.task.ranking

    def form(self, page: TeamPage, settings: Settings, *, dimensions: int | None = None) -> Form:
        """See Task."""
        own = self.settings(settings)
        return form(page, settings.select.slate, own.overlap, dimensions, own.dataset, of=self)

    def differs(self, shape: Shape, needed: Shape) -> str:
        """See Task."""
        if shape.seats != needed.seats:
            return f"has {shape.seats} answers to rank and select.slate is {needed.seats}"
        others = {question for question in needed.questions if question[0] != "problems"}
        # Older datasets ask for problems of the slate as a whole. They keep that question, and take new slates.
        if shape == Shape(needed.fields, frozenset((*others, ("problems", "multi_label_selection", self.problems)))):
            return ""
        return f"differs from what annot asks in {', '.join(shape.differing(needed))}"

    def misfit(self, item: Item, settings: Settings, folder: Path | None = None) -> tuple[str, str] | None:
        """See Task. Nobody is asked about a picture without seeing it."""
        seats, wanted = len(item.content["seats"]), settings.select.slate
        if seats != wanted:
            return OTHER_SIZE, f"{seats} instead of {wanted}"
        if self.pictures and folder is not None and not picture_of(item, folder):
            return NO_PICTURE, "add the picture again with `annot images add`, or restore a backup"
        return None

    def candidates(self, item: Item) -> Iterable[str]:
        """See Task."""
        seats: list[str] = item.content["seats"]
        return seats

    def record(self, item: Item, texts: Texts, vector: Collection[float] | None) -> dict[str, Any]:
        """See Task. Nothing in it tells which model or persona wrote an answer."""
        prompt = texts.prompts[item.prompt_id]
        fields = picture_of(item, texts.folder) if self.pictures else {"prompt": as_typed(prompt.text)}
        if prompt.system and not self.pictures:
            fields["system"] = as_typed(prompt.system)
        for seat, candidate_id in zip(SEATS, item.content["seats"], strict=False):
            fields[seat] = as_typed(texts.candidates[candidate_id])
        return record_of(item, SLATE, fields, None if self.pictures else vector)

    def read(self, item: Item, values: Mapping[str, Any]) -> Judgement:
        """See Task. Ranks and ties as they were given; the SDK's objects have lost them."""
        slate = slate_of(item)
        return Judgement(
            tiers=_tiers(values.get("ranking"), slate),
            problems=_problems(marks, slate, self.problems) if (marks := values.get("problems")) else {},
            none_acceptable=values.get("acceptable") == "none",
            rewrite=as_written(typed).strip() if (typed := values.get("rewrite")) else "",
        )

    def values(self, item: Item, value: Judgement) -> dict[str, Any]:
        """See Task."""
        seat_of = {candidate: seat for seat, candidate in zip(SEATS, item.content["seats"], strict=False)}
        places = {seat_of[candidate]: rank for rank, tier in enumerate(value.tiers, 1) for candidate in tier}
        values: dict[str, Any] = {"ranking": {"value": [{"value": s, "rank": places[s]} for s in sorted(places)]}}
        if value.problems:
            seats = {"": "", **{candidate: f"{seat}:" for candidate, seat in seat_of.items()}}
            marks = [f"{seats[of]}{problem}" for of, problems in value.problems.items() for problem in problems]
            values["problems"] = {"value": marks}
        if value.none_acceptable:
            values["acceptable"] = {"value": "none"}
        if value.rewrite:
            values["rewrite"] = {"value": value.rewrite}
        return values

    def units(self, item: Item, value: Judgement) -> Mapping[str, float]:
        """See Task: candidate -> middle rank."""
        return middle_ranks(value.tiers)

    def score(self, item: Item, value: Judgement) -> float:
        """See Task: the share of pairs whose order or tie is as expected.

        `expected` is {"tiers": [[candidate]]}, which says it of all pairs; or {"worst": candidate}, which has to be
        below every other answer of the slate, and {"tied": [candidate]}, which have to be in one tier, or both: then
        nothing is asked of the other pairs.
        """
        wanted, given = _expected_signs(item), middle_ranks(value.tiers)
        right = sum(
            one in given and other in given and _sign(given[one] - given[other]) == sign
            for (one, other), sign in wanted.items()
        )
        return right / len(wanted)

    def reported(self, value: Judgement) -> Collection[str]:
        """See Task: those marked on its answers; that none is acceptable is one of them."""
        marked = [problem for problems in value.problems.values() for problem in problems]
        return [*marked, "none_acceptable"] if value.none_acceptable else marked

    def outcome(self, item: Item, answers: Sequence[Answer[Judgement]], settings: Settings) -> ItemOutcome:
        """See Task: preferences, and pairs that became none."""
        return count_outcome(slate_of(item), answers, self.settings(settings))

    def tables(
        self,
        items: Mapping[str, Item],
        answers: Sequence[Answer[Judgement]],
        texts: Texts,
        settings: Settings,
        pseudonym: Callable[[str], str],
    ) -> dict[str, Rows]:
        """See Task: preferences (parquet, and in TRL's form), rankings, and what was set aside."""
        own = self.settings(settings)
        return ranking_tables(items, answers, texts, own, pseudonym, named=self.tables_named, pictures=self.pictures)


def form(
    page: TeamPage,
    seats: int,
    overlap: int,
    dimensions: int | None = None,
    named: str = "",
    *,
    of: Ranking | None = None,
) -> Form:
    """The dataset that a team ranks in.

    Args:
        page: What the team reads.
        seats: Answers on every slate: a ranking question has the same options for all records.
        overlap: People per slate.
        dimensions: Of the prompts' vectors; None for no "find similar".
        named: What annot.toml calls it; "" for a name in the team's language.
        of: What is ranked; None for answers to prompts.
    """
    of = of or Ranking()
    say = page.texts(of.name, of.say)
    asked = () if of.pictures else (Field("system", say["system"], required=False), Field("prompt", say["prompt"]))
    answers = {seat: say["seat"].format(seat=seat) for seat in SEATS[:seats]}
    return Form(
        names=page.names(named, of.name, of.say),
        guidelines=page.guidelines(of.package, folder=of.folder, keys=say["keys"]),
        fields=(
            *([Field(PICTURE, say["picture"], "image")] if of.pictures else asked),
            *(Field(seat, title) for seat, title in answers.items()),
        ),
        questions=(
            Question("ranking", "ranking", say["ranking"], say["ranking.help"], required=True, options=answers),
            # Argilla wants two options at least, so "none is acceptable" has its opposite beside it.
            Question(
                "acceptable",
                "label_selection",
                say["acceptable"],
                say["acceptable.help"],
                options={"some": say["some"], "none": say["none"]},
            ),
            # One question and not one per answer: there is less to scroll, and one key goes past it.
            Question(
                "problems",
                "multi_label_selection",
                say["problems"],
                say["problems.help"],
                options={f"{seat}:{problem}": f"{seat}: {say[problem]}" for seat in answers for problem in of.problems},
            ),
            Question("rewrite", "text", say["rewrite"], say["rewrite.help"]),
        ),
        metadata=properties(page, SLATE, say["slate"]),
        # The words of the prompts of pictures are the same: no vector of theirs tells what is alike.
        vector=None if of.pictures else vector_of(page, dimensions),
        overlap=overlap,
    )


def middle_ranks(tiers: Sequence[Sequence[str]]) -> dict[str, float]:
    """Candidate -> mean of the places its tier takes: [[a], [b, c]] is a: 1, b: 2.5, c: 2.5.

    So a tie reads the same whichever numbers the page stored for it (1, 2, 2 or 1, 3, 3).
    """
    ranks: dict[str, float] = {}
    for tier in tiers:
        middle = len(ranks) + (len(tier) + 1) / 2
        ranks |= dict.fromkeys(tier, middle)
    return ranks


def _expected_signs(item: Item) -> dict[tuple[str, str], int]:
    """Pairs of candidates of which the order is known: -1 where the first is better, 0 for a tie, 1."""
    expected = item.expected or {}
    ranks = middle_ranks(expected.get("tiers", ()))
    wanted = {(one, other): _sign(ranks[one] - ranks[other]) for one, other in combinations(sorted(ranks), 2)}
    wanted |= dict.fromkeys(combinations(sorted(expected.get("tied", ())), 2), 0)
    if worst := expected.get("worst"):
        wanted |= {(worst, other): 1 for other in item.content["seats"] if other != worst}
    return wanted


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _problems(marks: Sequence[str], slate: Slate, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Candidate -> its problems, in the order of the seats; "" -> those of the slate as a whole."""
    candidate_of = {"": "", **dict(zip(SEATS, slate.seats, strict=False))}
    found = defaultdict[str, set[str]](set)
    for mark in marks:
        seat, _, problem = mark.rpartition(":")
        if problem not in known or seat not in candidate_of:
            raise Unfit(f"unknown problem: {mark}")
        found[candidate_of[seat]].add(problem)
    return {of: in_order(found[of]) for of in candidate_of.values() if of in found}


def _tiers(ranking: Sequence[Mapping[str, Any]] | None, slate: Slate) -> tuple[tuple[str, ...], ...]:
    """Candidate ids by rank; equal ranks share a tier (in the order of the seats), gaps between ranks mean nothing."""
    if not ranking:
        raise Unfit("nothing was ranked")
    seats = dict(zip(SEATS, slate.seats, strict=False))
    ranks = {item["value"]: item.get("rank") for item in ranking}
    if len(ranking) != len(seats) or ranks.keys() != seats.keys():
        raise Unfit("other seats than the slate's were ranked")
    tiers: dict[int, list[str]] = defaultdict(list)
    for seat, candidate in seats.items():
        if not isinstance(rank := ranks[seat], int):
            raise Unfit("a seat without a rank")
        tiers[rank].append(candidate)
    return tuple(tuple(tiers[rank]) for rank in sorted(tiers))
