"""`annot select`: which answers of a prompt go on its slate, in which seats, and which slate comes when.

What is stored, in this order: vectors (embeddings/), the new slates (ledger, one transaction), then what can be
computed again from those: selection/candidates.parquet, selection/prompts.parquet, the plots, and selection.json last.
Cut off anywhere, the next run comes to the same state.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from annotation.config import SelectSettings, Settings
from annotation.diversity import (
    EXACT_SUBSETS,
    UNIT,
    Flags,
    Floats,
    Ints,
    Whole,
    assign,
    coverage_curve,
    find_medoids,
    interleave,
    near_duplicates,
    order_by_coverage,
    similarities,
    similarity_to_others,
)
from annotation.embedding import Encoder, embed, open_encoder
from annotation.errors import ProjectError
from annotation.language import detect, detectable
from annotation.project import Project, read_parquet, write_parquet, write_whole
from annotation.quota_groups import belongs, plan_quotas
from annotation.refusals import is_refusal
from annotation.screen import Progress, silent
from annotation.types import SEATS, Candidate, Dropped, Prompt, Quota, Slate, content_id

TOO_SHORT = "too short"
REFUSED = "refused"
WRONG_LANGUAGE = "wrong language"
OFF_TOPIC = "off topic"
NEAR_DUPLICATE = "near duplicate"
TOO_FEW = "too few answers"
"""Why a candidate, and the last: why a prompt, has no place on a slate."""

OTHER_LANGUAGES = ("es", "pt", "en")
"""Looked for beside the project's own: what a model falls back to, or mixes up."""

CHUNK_BYTES = 2**26
"""Memory for one stack of prompts while their answers are compared."""

CURVE_POINTS = 1000
RANDOM_ORDERS = 10


@dataclass(frozen=True, slots=True)
class Placement:
    """What became of a candidate.

    Attributes:
        cluster: Id of the candidate on the slate that stands for it (its own where it is on the slate), or "".
        medoid: It is on the slate, or will be where the prompt waits for its turn.
        dropped: Why it was left out before clustering, or "".
        because_of: The candidate that it repeats, or the number that decided.
        centroid_similarity: Cosine with the centroid of the prompt's other answers; None where none is left, or where
            the text alone decided.
        distance: 1 - cosine to `cluster`.
    """

    prompt_id: str
    candidate_id: str
    cluster: str = ""
    medoid: bool = False
    dropped: str = ""
    because_of: str = ""
    centroid_similarity: float | None = None
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart answers stand: mean cosine distances (0 alike, 1 unrelated).

    Attributes:
        every: Between any two answers that there are.
        usable: Between any two that were not dropped.
        chance: Between as many usable ones as the slate has, drawn at random.
        slate: Between those on the slate.
        reach_chance: From a usable answer to the nearest one of those drawn at random.
        reach_slate: From a usable answer to the nearest one on the slate: what the choice makes small.
    """

    every: float
    usable: float
    chance: float
    slate: float
    reach_chance: float
    reach_slate: float


@dataclass(frozen=True, slots=True)
class PromptOutcome:
    """What became of a prompt.

    Attributes:
        usable: Answers that were not dropped.
        position: Place in the order of annotation, None without a slate.
        spread: None without a slate.
    """

    prompt_id: str
    country: str
    topic: str
    answers: int
    usable: int
    slate_id: str = ""
    position: int | None = None
    dropped: str = ""
    spread: Spread | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How well the first slates stand for all prompts: mean cosine with the nearest prompt that has its turn.

    Attributes:
        sizes: So many slates, from the first.
        order: Coverage in the order of annotation.
        chance: In random orders, the mean of RANDOM_ORDERS.
        low: The worst of them.
        high: The best of them.
    """

    sizes: tuple[int, ...] = ()
    order: tuple[float, ...] = ()
    chance: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What `annot select` decided, and the thresholds behind it.

    Attributes:
        slates: New in this run, in the order of annotation; in a dry run, those that would be.
        standing: All slates, these included.
        waiting: Prompts that could have a slate and that `limit` left for another run.
        placements: Every candidate.
        prompts: Every prompt that has candidates.
        spread: Mean over the prompts with a slate; None when there is none.
        thresholds: [select] of annot.toml.
        encoder: Identity of the model.
        swapped: Prompts with too many subsets to try all (diversity.EXACT_SUBSETS): their medoids are the best under
            swaps.
        targets: Slates owed by group, as "MX" or "MX · comida".
    """

    slates: tuple[Slate, ...]
    standing: int
    waiting: int
    placements: tuple[Placement, ...]
    prompts: tuple[PromptOutcome, ...]
    spread: Spread | None
    coverage: Coverage
    thresholds: SelectSettings
    encoder: str
    swapped: int = 0
    targets: Mapping[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """Candidates left out of their prompt's slate, then prompts without one, each with its reason."""
        return (
            *(Dropped(p.candidate_id, p.dropped, p.because_of) for p in self.placements if p.dropped),
            *(
                Dropped(p.prompt_id, p.dropped, f"{p.usable} of {self.thresholds.slate}")
                for p in self.prompts
                if p.dropped
            ),
        )


def select(
    project: Project,
    *,
    encoder: Encoder | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Selection:
    """Give every prompt with enough usable answers a slate and a place in the order of annotation.

    A prompt that has a slate keeps it, with its seats and its place; new ones come after all that stand. With nothing
    new this returns what the last run found, and loads no model.

    Args:
        project: Its prompts, candidates and slates are in the ledger.
        encoder: Instead of the one that annot.toml names.
        limit: Add no more slates than this; a later run goes on in the same order.
        dry_run: Store nothing but the vectors.
        progress: Told how many texts are encoded.

    Raises:
        ProjectError: There are no prompts or no candidates.
        EncoderError: The encoder cannot be loaded.
    """
    with project.lock("select"):
        prompts = {prompt.id: prompt for prompt in sorted(project.ledger.prompts(), key=lambda prompt: prompt.id)}
        if not prompts:
            raise ProjectError(f"{project.folder} has no prompts yet; run `annot prompts add FILE`.")
        answers: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in sorted(project.ledger.candidates(), key=lambda candidate: candidate.id):
            answers[candidate.prompt_id].append(candidate)
        if not answers:
            raise ProjectError(f"{project.folder} has no candidates yet; run `annot draft`.")
        slates = project.ledger.slates()
        named = encoder.identity if encoder else project.settings.select.encoder
        if not dry_run and (last := _last_selection(project, _mark(project, prompts, answers, slates, named))):
            return last

        encoder = encoder or open_encoder(project.settings.select.encoder, project.folder)
        answered = [prompts[prompt_id] for prompt_id in prompts if prompt_id in answers]
        everything = [prompt.text for prompt in answered] + [c.text for p in answered for c in answers[p.id]]
        vectors = embed(everything, encoder, project.vector_cache, progress)
        of_prompt = dict(zip((p.id for p in answered), vectors[: len(answered)], strict=True))

        seats = {slate.prompt_id: slate.seats for slate in slates}
        choices = {
            choice.prompt.id: choice
            for choice in _choose(answered, answers, vectors, seats, project.settings, progress)
        }
        ready = [prompt_id for prompt_id, choice in choices.items() if choice.chosen and prompt_id not in seats]
        order = _order(prompts, ready, slates, of_prompt, project.settings)
        first = slates[-1].position + 1 if slates else 0
        new = tuple(
            make_slate(prompt_id, choices[prompt_id].seats, position=position, seed=project.settings.project.seed)
            for position, prompt_id in enumerate(order[:limit], first)
        )
        everyone = [*slates, *new]
        outcomes = _outcomes(choices, everyone, project.settings.project.seed)
        selection = Selection(
            slates=new,
            standing=len(everyone),
            waiting=len(order) - len(new),
            placements=tuple(placement for choice in choices.values() for placement in choice.placements()),
            prompts=outcomes,
            spread=_mean_spread(outcomes),
            coverage=_coverage(everyone, order[len(new) :], of_prompt, project.settings.project.seed),
            thresholds=project.settings.select,
            encoder=encoder.identity,
            swapped=sum(choice.swapped for choice in choices.values()),
            targets={_name(quota): quota.target for quota in plan_quotas(project.settings, prompts.values())},
        )
        if not dry_run:
            project.ledger.add_slates(new)
            _write(project, selection, of_prompt, _mark(project, prompts, answers, everyone, named))
        return selection


def prompt_vectors(project: Project) -> dict[str, list[float]]:
    """Slate id to the embedding of its prompt, as the last `select` stored them; empty before the first."""
    return {
        row["slate_id"]: row["vector"] for row in read_parquet(_place(project) / "prompts.parquet") if row["slate_id"]
    }


# -- seats ------------------------------------------------------------------------------------------------------


def make_slate(prompt_id: str, candidate_ids: Collection[str], *, position: int, seed: int) -> Slate:
    """Seat the answers that a person will rank side by side.

    The order on the screen sways people, so it is drawn anew for every slate: by a hash of seed, slate and candidate,
    which is the same in every process and every version of Python.

    Args:
        prompt_id: What they answer.
        candidate_ids: Two or more, at most one per seat, in any order.
        position: Place in the order of annotation.
        seed: The project's.
    """
    if len(set(candidate_ids)) != len(candidate_ids) or not 2 <= len(candidate_ids) <= len(SEATS):
        raise ValueError(f"{len(candidate_ids)} answers cannot be seated: {sorted(candidate_ids)}")
    slate_id = content_id(prompt_id, *sorted(candidate_ids))
    return Slate(slate_id, prompt_id, _shuffle(candidate_ids, f"{seed} {slate_id}"), position)


def _shuffle(ids: Collection[str], seed: str) -> tuple[str, ...]:
    return tuple(sorted(ids, key=lambda one: hashlib.sha256(f"{seed}\0{one}".encode()).digest()))


# -- one prompt's answers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """The answers of one prompt, by candidate id, and which of them sit on its slate.

    Attributes:
        pairs: Shape (n, n): cosines in millionths.
        alive: Shape (n,): not dropped.
        chosen: Indices on the slate; empty where too few are usable.
    """

    prompt: Prompt
    ids: tuple[str, ...]
    reasons: tuple[Dropped | None, ...]
    to_others: tuple[float | None, ...]
    pairs: Whole
    alive: Flags
    chosen: tuple[int, ...]
    swapped: bool

    @property
    def seats(self) -> tuple[str, ...]:
        return tuple(self.ids[index] for index in self.chosen)

    def placements(self) -> Iterator[Placement]:
        distances: Whole = UNIT - self.pairs
        nearest = assign(distances, np.array(self.chosen)) if self.chosen else None
        for index, candidate_id in enumerate(self.ids):
            reason = self.reasons[index]
            if reason or nearest is None:
                drop = (reason.reason, reason.because_of) if reason else ("", "")
                yield Placement(self.prompt.id, candidate_id, "", False, *drop, self.to_others[index])
                continue
            medoid = int(nearest[index])
            yield Placement(
                self.prompt.id,
                candidate_id,
                cluster=self.ids[medoid],
                medoid=index in self.chosen,
                centroid_similarity=self.to_others[index],
                distance=int(distances[index, medoid]) / UNIT,
            )

    def spread(self, seed: int) -> Spread:
        distances = (UNIT - self.pairs) / UNIT
        usable, slate = np.flatnonzero(self.alive), np.array(self.chosen)
        drawn = _shuffle([self.ids[index] for index in usable], f"{seed} {self.prompt.id}")[: len(slate)]
        chance = np.array([self.ids.index(candidate_id) for candidate_id in drawn])
        return Spread(
            every=_mean_pairwise(distances),
            usable=_mean_pairwise(distances[np.ix_(usable, usable)]),
            chance=_mean_pairwise(distances[np.ix_(chance, chance)]),
            slate=_mean_pairwise(distances[np.ix_(slate, slate)]),
            reach_chance=float(distances[np.ix_(usable, chance)].min(axis=1).mean()),
            reach_slate=float(distances[np.ix_(usable, slate)].min(axis=1).mean()),
        )


def _mean_pairwise(distances: Any) -> float:
    count = len(distances)
    return float(distances.sum() / (count * (count - 1)))


def _choose(
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[Candidate]],
    vectors: Floats,
    seats: Mapping[str, Sequence[str]],
    settings: Settings,
    progress: Progress,
) -> list[_Choice]:
    """Filter, deduplicate and cluster; prompts with the same number of answers at once. By prompt id.

    `vectors` holds those of the prompts, then those of their answers, prompt after prompt; `seats` what stands, prompt
    id to candidate ids.
    """
    by_text = _judge_texts([(p, c) for p in prompts for c in answers[p.id]], settings, progress)
    starts = np.cumsum([len(prompts), *(len(answers[p.id]) for p in prompts)])
    by_count: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_count[len(answers[prompt.id])].append(index)
    choices: list[_Choice] = []
    for count, members in by_count.items():
        size = max(1, CHUNK_BYTES // (8 * count * max(count, vectors.shape[1])))
        for begin in range(0, len(members), size):
            part = members[begin : begin + size]
            rows = starts[part][:, None] + np.arange(count)
            texts = [[by_text[row - len(prompts)] for row in line] for line in rows]
            choices += _choose_stack(
                [prompts[index] for index in part],
                [tuple(c.id for c in answers[prompts[index].id]) for index in part],
                texts,
                vectors[part],
                vectors[rows],
                seats,
                settings.select,
            )
    return sorted(choices, key=lambda choice: choice.prompt.id)


def _judge_texts(
    pairs: Sequence[tuple[Prompt, Candidate]], settings: Settings, progress: Progress
) -> list[Dropped | None]:
    """What the text alone says against each candidate."""
    among = sorted({*OTHER_LANGUAGES, *settings.project.languages, *(prompt.language for prompt, _ in pairs)})
    reasons: list[Dropped | None] = []
    for start in range(0, len(pairs), 2000):
        part = pairs[start : start + 2000]
        progress(start, len(pairs), "languages")
        for (prompt, candidate), found in zip(part, detect([c.text for _, c in part], among), strict=True):
            length = len(candidate.text.strip())
            if length < settings.select.min_chars:
                reasons.append(Dropped(candidate.id, TOO_SHORT, f"{length} characters"))
            elif is_refusal(candidate.text, prompt.language):
                reasons.append(Dropped(candidate.id, REFUSED))
            elif found is not None and found != prompt.language and detectable(prompt.language):
                reasons.append(Dropped(candidate.id, WRONG_LANGUAGE, f"{found} instead of {prompt.language}"))
            else:
                reasons.append(None)
    return reasons


def _choose_stack(
    prompts: Sequence[Prompt],
    ids: Sequence[tuple[str, ...]],
    texts: Sequence[Sequence[Dropped | None]],
    of_prompts: Floats,
    of_answers: Floats,
    seats: Mapping[str, Sequence[str]],
    asked: SelectSettings,
) -> list[_Choice]:
    """Choose for p prompts with n answers each: `of_prompts` has shape (p, d), `of_answers` (p, n, d)."""
    pairs = similarities(of_answers)
    reasons = [list(line) for line in texts]
    alive: Flags = np.array([[reason is None for reason in line] for line in reasons])

    # An answer is on topic when it is near the prompt's other answers, or near the prompt: with few answers, or
    # most of them astray, the others are no witness.
    to_others = similarity_to_others(pairs, alive)
    to_prompt = np.rint(np.einsum("pnd,pd->pn", of_answers, of_prompts, dtype=np.float64) * UNIT)
    off_topic = alive & (np.maximum(to_others, to_prompt) < asked.off_topic * UNIT)
    judged = alive.copy()
    alive &= ~off_topic
    repeats = near_duplicates(pairs, alive, asked.near_duplicate)
    for p, n in zip(*np.nonzero(off_topic), strict=True):
        reasons[p][n] = Dropped(ids[p][n], OFF_TOPIC, f"{max(to_others[p, n], to_prompt[p, n]) / UNIT:.3f}")
    for p, n in zip(*np.nonzero(repeats >= 0), strict=True):
        reasons[p][n] = Dropped(ids[p][n], NEAR_DUPLICATE, ids[p][repeats[p, n]])
    alive &= repeats < 0

    chosen: list[tuple[int, ...]] = [()] * len(prompts)
    for p, prompt in enumerate(prompts):
        if prompt.id in seats:  # What people may have ranked already stays, whatever the thresholds say now.
            chosen[p] = tuple(sorted(ids[p].index(candidate_id) for candidate_id in seats[prompt.id]))
            alive[p, chosen[p]] = True
            for index in chosen[p]:
                reasons[p][index] = None
    usable = alive.sum(axis=1)
    for count in sorted(set(usable.tolist())):
        if count < asked.slate:
            continue
        members = [p for p in np.flatnonzero(usable == count).tolist() if prompts[p].id not in seats]
        if members:
            points: Ints = np.nonzero(alive[members])[1].reshape(len(members), count)
            stack = np.array(members)[:, None, None], points[:, :, None], points[:, None, :]
            medoids = find_medoids(np.asarray(UNIT - pairs[stack], np.int32), asked.slate)
            for p, line, picked in zip(members, points, medoids.chosen, strict=True):
                chosen[p] = tuple(line[picked].tolist())
    return [
        _Choice(
            prompt,
            ids[p],
            tuple(reasons[p]),
            tuple(
                int(value) / UNIT if seen and value > -UNIT else None
                for value, seen in zip(to_others[p], judged[p], strict=True)
            ),
            pairs[p],
            alive[p],
            chosen[p],
            swapped=bool(chosen[p]) and math.comb(int(usable[p]), len(chosen[p])) > EXACT_SUBSETS,
        )
        for p, prompt in enumerate(prompts)
    ]


# -- all prompts ----------------------------------------------------------------------------------------------


def _order(
    prompts: Mapping[str, Prompt],
    ready: Sequence[str],
    standing: Sequence[Slate],
    vectors: Mapping[str, Floats],
    settings: Settings,
) -> list[str]:
    """Prompt ids in the order in which to annotate them: within a quota's group by coverage, the groups in turn."""
    quotas = plan_quotas(settings, prompts.values())
    stands = {slate.prompt_id for slate in standing}
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    owed: dict[tuple[str, str, str], int] = {}
    for prompt_id in sorted({*ready, *stands}):
        prompt = prompts[prompt_id]
        own = max(
            (quota for quota in quotas if belongs(prompt, quota)),
            key=lambda quota: (bool(quota.topic) + bool(quota.language), _key(quota)),
            default=None,
        )
        key = _key(own) if own else (prompt.country, "", "")
        groups[key].append(prompt_id)
        owed[key] = _own_share(own, quotas) if own else 0
    keys, lines = sorted(groups), []
    for key in keys:
        members = groups[key]
        placed = [index for index, prompt_id in enumerate(members) if prompt_id in stands]
        order, _ = order_by_coverage(np.stack([vectors[prompt_id] for prompt_id in members]), placed)
        lines.append([members[index] for index in order])
    turns = interleave(
        [len(line) for line in lines],
        [owed[key] for key in keys],
        [len(groups[key]) - len(line) for key, line in zip(keys, lines, strict=True)],
    )
    queues = [iter(line) for line in lines]
    return [next(queues[group]) for group in turns]


def _own_share(quota: Quota, quotas: Sequence[Quota]) -> int:
    """Slates that a group owes beyond those that smaller groups inside it owe anyway; at least 1."""
    inside = (
        other.target
        for other in quotas
        if other != quota
        and other.country == quota.country
        and quota.topic in ("", other.topic)
        and quota.language in ("", other.language)
    )
    return max(1, quota.target - sum(inside))


def _key(quota: Quota) -> tuple[str, str, str]:
    return quota.country, quota.topic, quota.language


def _name(quota: Quota) -> str:
    return " · ".join(part for part in _key(quota) if part)


def _coverage(slates: Sequence[Slate], waiting: Sequence[str], vectors: Mapping[str, Floats], seed: int) -> Coverage:
    """The order that stands, and goes on with those waiting, against random orders of the same prompts."""
    ordered = [slate.prompt_id for slate in slates] + list(waiting)
    if len(ordered) < 2:
        return Coverage()
    stack = np.stack([vectors[prompt_id] for prompt_id in ordered])
    random = np.random.default_rng(seed)
    points = stack[np.sort(random.permutation(len(stack))[:CURVE_POINTS])]
    sizes, curve = coverage_curve(points, stack)
    drawn = np.array([coverage_curve(points, random.permutation(stack))[1] for _ in range(RANDOM_ORDERS)])
    return Coverage(
        tuple(sizes),
        tuple(curve),
        tuple(drawn.mean(axis=0).tolist()),
        tuple(drawn.min(axis=0).tolist()),
        tuple(drawn.max(axis=0).tolist()),
    )


def _mean_spread(outcomes: Sequence[PromptOutcome]) -> Spread | None:
    spreads = [outcome.spread for outcome in outcomes if outcome.spread]
    if not spreads:
        return None
    names = [one.name for one in fields(Spread)]
    return Spread(**{name: float(np.mean([getattr(spread, name) for spread in spreads])) for name in names})


def _outcomes(choices: Mapping[str, _Choice], slates: Sequence[Slate], seed: int) -> tuple[PromptOutcome, ...]:
    of_prompt = {slate.prompt_id: slate for slate in slates}
    outcomes = []
    for prompt_id, choice in choices.items():
        slate = of_prompt.get(prompt_id)
        outcomes.append(
            PromptOutcome(
                prompt_id,
                choice.prompt.country,
                choice.prompt.topic,
                len(choice.ids),
                int(choice.alive.sum()),
                slate.id if slate else "",
                slate.position if slate else None,
                "" if choice.chosen else TOO_FEW,
                choice.spread(seed) if slate else None,
            )
        )
    return tuple(outcomes)


# -- what is kept -------------------------------------------------------------------------------------------------


def _place(project: Project) -> Path:
    return project.folder / "selection"


def _write(project: Project, selection: Selection, of_prompt: Mapping[str, Floats], mark: str) -> None:
    import pyarrow as pa

    from annotation.selection_report import draw

    place = _place(project)
    for left in place.glob(".*"):  # A run was killed while it wrote this one.
        left.unlink()
    text, flag, whole, number = pa.string(), pa.bool_(), pa.int64(), pa.float64()
    write_parquet(
        place / "candidates.parquet",
        [asdict(placement) for placement in selection.placements],
        pa.schema(
            [(name, text) for name in ("prompt_id", "candidate_id", "cluster")]
            + [("medoid", flag), ("dropped", text), ("because_of", text)]
            + [("centroid_similarity", number), ("distance", number)]
        ),
    )
    write_parquet(
        place / "prompts.parquet",
        [
            {name: value for name, value in asdict(outcome).items() if name != "spread"}
            | {f"distance_{name}": value for name, value in (asdict(outcome.spread) if outcome.spread else {}).items()}
            | {"vector": of_prompt[outcome.prompt_id].tolist()}
            for outcome in selection.prompts
        ],
        pa.schema(
            [("prompt_id", text), ("country", text), ("topic", text), ("answers", whole), ("usable", whole)]
            + [("slate_id", text), ("position", whole), ("dropped", text)]
            + [(f"distance_{one.name}", number) for one in fields(Spread)]
            + [("vector", pa.list_(pa.float32()))]
        ),
    )
    draw(selection, place)
    last = {
        "mark": mark,
        "encoder": selection.encoder,
        "thresholds": selection.thresholds.model_dump(),
        "standing": selection.standing,
        "waiting": selection.waiting,
        "swapped": selection.swapped,
        "targets": dict(selection.targets),
        "spread": asdict(selection.spread) if selection.spread else None,
        "coverage": asdict(selection.coverage),
    }
    write_whole(place / "selection.json", json.dumps(last, ensure_ascii=False, indent=1).encode())


def _last_selection(project: Project, mark: str) -> Selection | None:
    """What the last run found, where it was about the same things and left nothing for another run."""
    place = _place(project)
    if not (place / "selection.json").exists():
        return None
    last = json.loads((place / "selection.json").read_text(encoding="utf-8"))
    if last["mark"] != mark or last["waiting"]:
        return None
    spreads = [one.name for one in fields(Spread)]
    placements = tuple(Placement(**row) for row in read_parquet(place / "candidates.parquet"))
    outcomes = tuple(
        PromptOutcome(
            **{one.name: row[one.name] for one in fields(PromptOutcome) if one.name != "spread"},
            spread=Spread(**{name: row[f"distance_{name}"] for name in spreads}) if row["slate_id"] else None,
        )
        for row in read_parquet(place / "prompts.parquet")
    )
    if not placements or not outcomes:
        return None
    return Selection(
        slates=(),
        standing=last["standing"],
        waiting=0,
        placements=placements,
        prompts=outcomes,
        spread=Spread(**last["spread"]) if last["spread"] else None,
        coverage=Coverage(**{name: tuple(values) for name, values in last["coverage"].items()}),
        thresholds=SelectSettings(**last["thresholds"]),
        encoder=last["encoder"],
        swapped=last["swapped"],
        targets=last["targets"],
    )


def _mark(
    project: Project,
    prompts: Mapping[str, Prompt],
    answers: Mapping[str, Sequence[Candidate]],
    slates: Sequence[Slate],
    encoder: str,
) -> str:
    """Changes with everything that a selection depends on."""
    settings = project.settings
    facts = [
        [(prompt.id, prompt.topic) for prompt in prompts.values()],
        sorted(candidate.id for some in answers.values() for candidate in some),
        [slate.id for slate in slates],
        settings.project.model_dump(),
        settings.select.model_dump(),
        settings.quota.model_dump(),
        encoder,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
