"""The plan of a run, made before any weight is loaded: slates read, checked and split, base found, steps counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.screen import Progress, silent
from train.data.counts import Preflight
from train.data.encoding import as_conversations
from train.data.objective import apply_objective
from train.data.pairs import Pair, one_row_per_vote
from train.data.pictures import check_pictures, first_alike
from train.data.preflight import check_not_empty, preflight
from train.data.read import read_slates
from train.data.regions import Region, for_region, regions, with_country
from train.data.rounds import by_round, count_rounds
from train.data.slates import RankedSlate
from train.data.split import Split, all_texts, groups_of, split_by_prompt
from train.libraries import work_offline
from train.models.base import Base, find_base
from train.models.tokenizer import Vocabulary, load_vocabulary
from train.settings import Recipe


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs beside the weights, and what was counted on the way.

    Attributes:
        recipe: Settings.
        base: The model.
        vocabulary: Its tokenizer.
        slates: To train on, and held out to measure on.
        pairs: The slates' comparisons: TRL's own losses train on these, a row per vote where labels are smoothed.
        steps: Updates of the weights.
        checks: What the preflight counted.
        regions: The countries among the slates.
        notices: What a person should know about how a file was read.
        together: Prompts that stand on one side of the split with others, and in how many groups.
        pictures: Folder below which the pictures of the slates are; None for texts.
    """

    recipe: Recipe
    base: Base
    vocabulary: Vocabulary
    slates: Split[RankedSlate]
    pairs: Split[Pair]
    steps: int
    checks: Preflight
    regions: tuple[Region, ...] = ()
    notices: tuple[str, ...] = ()
    together: tuple[int, int] = (0, 0)
    pictures: Path | None = None

    @property
    def by_trl(self) -> bool:
        """Whether TRL's own trainer trains, on pairs."""
        return self.recipe.dpo.objective == "trl"

    def lines(self, device: str) -> list[str]:
        """The preflight and the plan, one line each."""
        optimiser = self.recipe.optimiser
        rows: Split[Any] = self.pairs if self.by_trl else self.slates
        unit = "slates"
        if self.by_trl:
            unit = "votes" if self.recipe.dpo.label_smoothing == "votes" else "pairs"
        prompts, groups = self.together
        return [
            *(f"{'read':<22}{notice}" for notice in self.notices),
            *(f"{label:<22}{value}" for label, value in self.checks.lines()),
            *(f"warning: {sentence}" for sentence in self.checks.warnings()),
            f"{'base':<22}{self.base.shown}",
            *([f"{'licence':<22}{self.base.licence}"] if self.base.licence else []),
            f"{'device':<22}{device}",
            *([f"{'rounds':<22}{self._rounds()}"] if len(count_rounds(self.slates.train)) > 1 else []),
            f"{'split by prompt':<22}{len(rows.train)} {unit} to train on{self._of_others()}, {len(rows.held_out)} "
            f"{'pairs ' if self.by_trl else ''}held out",
            *([f"{'near duplicates':<22}{prompts} prompts stay on one side, in {groups} groups"] if groups else []),
            f"{'plan':<22}{self.steps} steps of {optimiser.batch * optimiser.accumulate} {unit}",
        ]

    def _rounds(self) -> str:
        """Part of a line: the slates to train on of every round, and what those of earlier ones weigh."""
        parts = (f"{number} of round {name}" for name, number in count_rounds(self.slates.train).items())
        return f"{', '.join(parts)}; each earlier round weighs {self.recipe.data.earlier_rounds:g} of the next one"

    def _of_others(self) -> str:
        """Part of a line: the slates of other countries than the one that an adapter is for."""
        region = self.recipe.region
        others = sum(slate.country != region.country for slate in self.slates.train) if region.country else 0
        return f" ({others} of them of other countries, at a weight of {region.others:g})" if others else ""

    def as_json(self, device: str) -> dict[str, Any]:
        """The preflight and the plan for a script."""
        return {
            "notices": self.notices,
            "preflight": self.checks.as_json(),
            "base": self.base.shown,
            "base_is_tiny_and_random": self.base.tiny,
            "licence": self.base.licence,
            "device": device,
            "train_rows": len(self.pairs.train),
            "held_out_pairs": len(self.pairs.held_out),
            "train_slates": len(self.slates.train),
            "held_out_slates": len(self.slates.held_out),
            "grouped_prompts": self.together[0],
            "groups": self.together[1],
            "regions": [asdict(region) for region in self.regions],
            "rounds": {str(name): number for name, number in count_rounds(self.slates.train).items()},
            "steps": self.steps,
            "recipe": self.recipe.model_dump(mode="json"),
        }


def make_plan(
    recipe: Recipe,
    source: Path,
    home: Path,
    *,
    weights: bool = True,
    sentences: Collection[str] = (),
    progress: Progress = silent,
) -> Plan:
    """Read what people said, find the base, look at the tokens, and split the slates by prompt.

    Args:
        recipe: Settings.
        source: A snapshot folder, a file with judgements, or owner/name of a dataset on the Hub.
        home: Folder in which a tiny base is made where none is named, and pictures of a file are written.
        weights: Fetch the base's weights too; a dry run needs only the tokenizer.
        sentences: What no text to train on may be: see held_back.py.
        progress: Told how far the preflight is.

    Raises:
        TrainError: The data or the base will not do.
        TrainLater: The Hub cannot be reached.
    """
    dpo, data = recipe.dpo, recipe.data
    read = read_slates(
        source,
        rewrites=dpo.sft_weight > 0,
        repeated=data.repeated,
        columns=data.columns,
        sentences=sentences,
        vision=recipe.base.vision,
        home=home,
        progress=progress,
    )
    check_not_empty(read)
    pictures = None if recipe.base.vision == "none" else source if source.is_dir() else home
    if pictures:
        check_pictures((slate.image for slate in read.slates), pictures, progress)
    base = find_base(recipe.base, home, lambda: all_texts(read.slates), seed=recipe.run.seed, weights=weights)
    work_offline()
    vocabulary = load_vocabulary(base, recipe.base)
    informative, uninformative = apply_objective(read.slates, dpo)
    slates = as_conversations(informative, vocabulary.tokenizer)
    slates = with_country(slates) if recipe.region.in_prompt else slates
    read = replace(read, slates=slates, excluded=(*read.excluded, *uninformative))
    kept, checks = preflight(read, vocabulary, data, dpo.objective, pictures=pictures, progress=progress)
    groups: Mapping[str, str] = {}
    if data.split == "group":
        # Questions about pictures are much the same: what they have in common is the picture.
        alike = first_alike((slate.image for slate in kept), pictures) if pictures else {}
        named = read.groups | {(slate.prompt_key, alike[slate.image]) for slate in kept if pictures}
        groups = groups_of(kept, named, progress)
    if len(groups) > 1 and len(set(groups.values())) == 1:
        notice = f"all {len(groups)} prompts are near duplicates: what is held out of them says little."
        read, groups = replace(read, notices=(*read.notices, notice)), {}
    everybody = split_by_prompt(kept, data.held_out, recipe.run.seed, groups)
    split = for_region(by_round(everybody, data.earlier_rounds), recipe.region)
    pairs, held_out = (pairs_of_slates(side) for side in (split.train, split.held_out))
    if not held_out:
        raise TrainError(
            f"in none of the {len(split.held_out)} held-out slates a majority prefers one answer to another, so that "
            "nothing could be measured; raise data.held_out, or collect more judgements."
        )
    rows = one_row_per_vote(pairs) if dpo.label_smoothing == "votes" else pairs
    steps = count_steps(len(rows) if dpo.objective == "trl" else len(split.train), recipe)
    found = regions(everybody, recipe.region)
    several = [size for size in Counter(groups.values()).values() if size > 1]
    together = sum(several), len(several)
    return Plan(
        recipe, base, vocabulary, split, Split(rows, held_out), steps, checks, found, read.notices, together, pictures
    )


def pairs_of_slates(slates: Sequence[RankedSlate]) -> tuple[Pair, ...]:
    """All comparisons of the slates as pairs."""
    return tuple(pair for slate in slates for pair in slate.pairs())


def count_steps(rows: int, recipe: Recipe) -> int:
    """Updates that the epochs need, or max_steps where that is fewer."""
    per_epoch = math.ceil(math.ceil(rows / recipe.optimiser.batch) / recipe.optimiser.accumulate)
    steps = max(1, math.ceil(per_epoch * recipe.optimiser.epochs))
    return min(steps, recipe.optimiser.max_steps or steps)
