"""What a finished run is worth on the prompts that it has not seen: how well it ranks, for whom, and what it became.

`evaluate` is the whole of it. The expensive part (forward passes and sampling) goes batch by batch into files of the
run's `.evaluation/`, so that a process that was killed is gone on with; what is computed from them is cheap and is
computed anew. On a CPU the same run gives the same bytes, cut off or not.

- Ranking: the implicit reward beta * (log-prob with the adapter - without) orders the answers of a slate. Ranking
  accuracy is the share of people's votes about two answers ("this one before that one") that it agrees with; Kendall's
  tau-b compares it with each person's whole ranking, ties included.
- Divergence: KL(adapted || base) of the next token over the whole vocabulary, exact at each position. Averaged over
  people's held-out answers it says how far the adapter moved on their text; averaged over the adapted model's own
  samples it is the Rao–Blackwellised Monte Carlo estimate of the KL between the two models (Amini, Vieira & Cotterell
  2025, "Better estimation of the KL divergence between language models").
- Writing: base and adapted model answer the same prompts with the same seeds: length, endings, repetition.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError, TrainError
from annotation.project import write_whole
from annotation.screen import Progress, silent
from train.base import Base, base_of_run, ends_of_text, load_model, load_tokenizer
from train.dataset import read_pairs, read_rows
from train.encoding import encode_slate, token_ids
from train.evaluation import METHOD, Answered, Evaluation, SlateScore, Versus, score_slate, summarise, versus
from train.evaluation_report import SLATES, leave
from train.gate import EVALUATION, remeasure
from train.generation import Sample, sample_answers
from train.rankings import RankedSlate, slate_of_pair
from train.run_folder import claimed, finished_run, read_facts
from train.scores import AnswerScore, Written, batches, compare_with_base
from train.settings import Recipe

WORKINGS = ".evaluation"
"""Folder in the run's where finished batches lie until evaluation.json is written."""


def evaluate(
    folder: Path, *, overrides: Sequence[str] = (), say: Callable[[str], None] = print, progress: Progress = silent
) -> Evaluation:
    """Measure a finished run on its held-out slates; what another process began is gone on with.

    Args:
        folder: The run's.
        overrides: "evaluation.key=value" in place of the run's own settings.
        say: Told what begins, a line each.
        progress: Told the batches done.

    Raises:
        SettingsError: There is no such setting, or a value is impossible.
        TrainError: The run is not finished, is of an older annot, has lost a file, or its base is another one now.
        TrainLater: Another process is at it, or the base is on the Hub and cannot be reached.
    """
    from train.libraries import quiet_libraries, settled_numerics

    facts, digest = finished_run(folder)
    recipe = recipe_of(facts, overrides)
    slates = held_out_slates(folder)
    rows = [slate.row() for slate in slates]
    asked = [METHOD, digest, facts["base_version"], rows, recipe.evaluation.model_dump(mode="json"), recipe.run.seed]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
    if (known := read_evaluation(folder)) and known.key == key:
        return known
    with claimed(folder, "evaluated"), quiet_libraries(folder / "libraries.log"):
        base = base_of_run(folder, recipe.base, facts)
        with settled_numerics(recipe):
            scores, samples = run_model(folder, recipe, base, slates, key, say, progress)
        found = summarise(folder.name, key, recipe, scores, samples)
        leave(folder, found, scores, samples)
        shutil.rmtree(folder / WORKINGS, ignore_errors=True)
    return found


def recipe_of(facts: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """The settings of a run, with others for its evaluation.

    Raises:
        SettingsError: An override is of another section, or says something impossible.
        TrainError: The run was made by an annot that knew other settings.
    """
    from pydantic import ValidationError

    from train.settings import with_overrides

    if other := [override for override in overrides if not override.strip().startswith("evaluation.")]:
        raise SettingsError(
            f"--set {other[0]}: the run is finished, so only its evaluation can be changed, for example "
            "--set evaluation.prompts=50."
        )
    raw = facts["recipe"]
    try:
        Recipe.model_validate(raw)
    except ValidationError:
        raise TrainError(
            f"{facts['run']} was trained by another version of annot, whose settings this one does not know; train it "
            "again under another --run."
        ) from None
    return with_overrides(raw, overrides, f"the run {facts['run']}")


def held_out_slates(folder: Path) -> tuple[RankedSlate, ...]:
    """What a run kept out of training: its slates, or its pairs as slates of two.

    Raises:
        TrainError: The file is gone or damaged.
    """
    path = folder / "held_out_slates.jsonl"
    if path.exists():
        try:
            return tuple(RankedSlate.from_row(row) for row in read_rows(path))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise TrainError(
                f"{path} is damaged: not every line is a slate; remove {folder.name}'s DONE and run its `annot train` "
                "command again, which writes it anew."
            ) from None
    if not (folder / "held_out.jsonl").exists():
        raise TrainError(f"{folder.name} has lost its held_out.jsonl, so there is nothing to measure it on.")
    return tuple(slate_of_pair(pair) for pair in read_pairs(folder / "held_out.jsonl").pairs)


def read_evaluation(folder: Path) -> Evaluation | None:
    """What was measured before; None where nothing was, or where it was measured otherwise than it is today.

    Raises:
        TrainError: The file is damaged.
    """
    path = folder / EVALUATION
    if not path.exists():
        return None
    told = read_facts(path, {"method": type(METHOD)}, remeasure(folder))
    if told["method"] != METHOD:
        return None
    try:
        return Evaluation.from_json(told)
    except (AttributeError, KeyError, TypeError, ValueError):  # the shape is not what `as_json` gives
        raise TrainError(f"{path} is damaged: it is no whole evaluation; {remeasure(folder)}.") from None


def run_model(
    folder: Path,
    recipe: Recipe,
    base: Base,
    slates: Sequence[RankedSlate],
    key: str,
    say: Callable[[str], None],
    progress: Progress,
) -> tuple[tuple[SlateScore, ...], tuple[Answered, ...]]:
    """All that needs the weights, batch by batch; finished batches are kept in the run's folder."""
    from train.libraries import work_offline

    work_offline()
    tokenizer = load_tokenizer(base, recipe.base)
    ends = ends_of_text(base, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    wanted = recipe.evaluation

    encoded = [encode_slate(slate, tokenizer, limit=recipe.data.max_length) for slate in slates]
    answers = [Written((*row.prompt, *answer), len(row.prompt)) for row in encoded for answer in row.answers]
    scored = batches(answers, 2 * recipe.run.eval_batch)
    prompts = prompts_to_answer(slates, wanted.prompts, recipe.run.seed)
    asked = [token_ids(slate.prompt, tokenizer, prompt=True) for slate in prompts]
    # Short prompts together; what a prompt is answered depends on its batch, so batches are always the same.
    order = sorted(range(len(asked)), key=lambda i: (len(asked[i]), i))
    sampled = [order[first : first + wanted.batch] for first in range(0, len(order), wanted.batch)]
    say(f"{folder.name}: {len(answers)} answers of {len(slates)} held-out slates are scored, without and with it")
    if prompts:
        say(f"{len(prompts)} prompts are answered by both, with at most {wanted.max_new_tokens} tokens each")

    model = _Model(folder, recipe, base)
    bar = _Bar(progress, len(scored) + 3 * len(sampled))
    home = folder / WORKINGS

    def score(chosen: Sequence[Written]) -> list[list[float]]:
        return [list(astuple(found)) for found in compare_with_base(model.load(), chosen, pad=pad)]

    def sample(number: int, *, adapted: bool) -> list[list[Any]]:
        chosen, loaded = [asked[i] for i in sampled[number]], model.load()
        with contextlib.nullcontext() if adapted else loaded.disable_adapter():
            found = sample_answers(
                loaded, chosen, ends=ends, pad=pad, limit=wanted.max_new_tokens, seed=_seed(recipe.run.seed, number)
            )
        return [[answer.tokens, answer.ended] for answer in found]

    on_people = _kept(home / "scores.jsonl", key, len(scored), lambda n: score([answers[i] for i in scored[n]]), bar)
    of_base = _kept(home / "base.jsonl", key, len(sampled), lambda n: sample(n, adapted=False), bar)
    of_adapted = _kept(home / "adapted.jsonl", key, len(sampled), lambda n: sample(n, adapted=True), bar)

    def own(number: int) -> list[list[float]]:
        return score(
            [
                Written([*asked[i], *tokens], len(asked[i]))
                for i, (tokens, _) in zip(sampled[number], of_adapted[number], strict=True)
            ]
        )

    on_own = _kept(home / "own.jsonl", key, len(sampled), own, bar)

    by_answer = {
        i: AnswerScore(*found)
        for chosen, row in zip(scored, on_people, strict=True)
        for i, found in zip(chosen, row, strict=True)
    }
    scores, first = [], 0
    for slate in slates:
        theirs = [by_answer[first + i] for i in range(len(slate.answers))]
        scores.append(score_slate(slate, theirs, recipe.dpo.beta))
        first += len(slate.answers)
    samples = []
    for chosen, *parts in zip(sampled, of_base, of_adapted, on_own, strict=True):
        for i, base_row, adapted_row, own_row in zip(chosen, *parts, strict=True):
            one, other = (Sample(tuple(tokens), ended) for tokens, ended in (base_row, adapted_row))
            said, became = (tokenizer.decode(answer.tokens, skip_special_tokens=True) for answer in (one, other))
            about = prompts[i]
            samples.append(Answered(about.prompt_key, about.country, one, other, said, became, AnswerScore(*own_row)))
    samples.sort(key=lambda answered: (answered.country, answered.prompt))
    return tuple(scores), tuple(samples)


class _Model:
    """The base with the run's adapter on it, loaded when it is first needed: a batch that is kept needs none."""

    def __init__(self, folder: Path, recipe: Recipe, base: Base) -> None:
        self.folder, self.recipe, self.base = folder, recipe, base
        self.loaded: Any = None

    def load(self) -> Any:
        from peft import PeftModel

        if self.loaded is None:
            plain = load_model(self.base, self.recipe.base, self.recipe.device)
            self.loaded = PeftModel.from_pretrained(plain, str(self.folder / "adapter"))
        return self.loaded


class _Bar:
    """Counts batches over all stages."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self) -> None:
        self.done += 1
        self.progress(self.done, self.total, "batches measured")


def _kept(path: Path, key: str, count: int, work: Callable[[int], Any], tick: Callable[[], None]) -> list[Any]:
    """Results of `count` batches: those that lie in the file already, and the others, each added as it is done.

    A line is a batch. A line that a crash left half written is cut off; a file that belongs to another measurement is
    begun anew. Numbers come back from the file as they went in, so it makes no difference who computed them.
    """
    path.parent.mkdir(exist_ok=True)
    whole = path.read_bytes() if path.exists() else b""
    whole = whole[: whole.rfind(b"\n") + 1]
    lines = whole.decode().splitlines()
    if not lines or lines[0] != key:
        lines, whole = [key], f"{key}\n".encode()
    write_whole(path, whole)
    found = [json.loads(line) for line in lines[1:]]
    for _ in found:
        tick()
    with path.open("ab") as file:
        for number in range(len(found), count):
            line = json.dumps(work(number))
            file.write(line.encode() + b"\n")
            file.flush()
            found.append(json.loads(line))
            tick()
    return found


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def prompts_to_answer(slates: Sequence[RankedSlate], count: int, seed: int) -> list[RankedSlate]:
    """Slates whose prompts are answered: as many, each prompt once per country, the countries taking turns."""
    by_country: dict[str, dict[str, RankedSlate]] = defaultdict(dict)
    for slate in slates:
        by_country[slate.country].setdefault(repr(slate.prompt), slate)
    queues = [
        sorted(theirs.values(), key=lambda slate: hashlib.sha256(f"{seed}:{slate.prompt!r}".encode()).digest())
        for _, theirs in sorted(by_country.items())
    ]
    turns = (slate for turn in zip_longest(*queues) for slate in turn if slate is not None)
    return list(islice(turns, count))


def check_measured(run: Path) -> None:
    """Make sure that a run can be compared with.

    Raises:
        TrainError: It is no run, it is not finished, or it was not measured.
    """
    finished_run(run)
    if read_evaluation(run) is None:
        raise TrainError(f"{run.name} was not measured yet; run `annot evaluate {run.name}` first.")


def warn_of_bases(folder: Path, other: Path) -> str:
    """A sentence where two finished runs stand on different bases, else ""."""
    one, two = (finished_run(run)[0] for run in (folder, other))
    # A base that was made on the spot is made of the run's own texts and seed.
    decides = ("base_version", *(("digest", "seed") if one["base_is_tiny_and_random"] else ()))
    if all(one[fact] == two[fact] for fact in decides):
        return ""
    return (
        f"{folder.name} and {other.name} stand on different bases ({one['base_note']}, version {one['base_version']}; "
        f"{two['base_note']}, version {two['base_version']}): the difference is that of bases and adapters together."
    )


def compare(folder: Path, other: Path, *, seed: int = 0) -> tuple[Versus, ...]:
    """How much better a run ranks the held-out slates that another run has too; both are measured.

    Raises:
        TrainError: One of them was not measured, or no slate was held out of both.
    """
    for run in (folder, other):
        check_measured(run)
    ours, theirs = (
        {row["id"]: SlateScore(**{**row, "rewards": tuple(row["rewards"])}) for row in read_rows(run / SLATES)}
        for run in (folder, other)
    )
    shared = [name for name in ours if name in theirs and ours[name].votes == theirs[name].votes > 0]
    if not shared:
        raise TrainError(
            f"{folder.name} and {other.name} kept no slate in common out of training; train them on the same data with "
            "the same data.held_out and run.seed."
        )
    return versus([ours[name] for name in shared], [theirs[name] for name in shared], seed=seed)
