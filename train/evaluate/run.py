"""The evaluation of a finished run: how well it ranks held-out slates, what it writes, what it knows, for whom.

`evaluate` is the whole of it; a training run ends with its first part, `HeldOutRanking`. The expensive part (forward
passes and sampling) goes batch by batch into files of the run's `.evaluation/`, so that a process that was killed is
gone on with, and the scores of a training run are not computed again; what is computed from them is cheap and is
computed anew. On a CPU the same run gives the same bytes, cut off or not.

- Ranking: the implicit reward beta * (log-prob with the adapter - without) orders the answers of a slate. Ranking
  accuracy is the share of people's votes about two answers ("this one before that one") that it agrees with; Kendall's
  tau-b compares it with each person's whole ranking, ties included.
- Divergence: KL(adapted || base) of the next token over the whole vocabulary, exact at each position. Averaged over
  people's held-out answers it says how far the adapter moved on their text; averaged over the adapted model's own
  samples it is the Rao–Blackwellised Monte Carlo estimate of the KL between the two models (Amini, Vieira & Cotterell
  2025, "Better estimation of the KL divergence between language models").
- Looks: held-out descriptions are ranked beside the right picture and beside another one.
- Writing: base and adapted model answer the same prompts with the same seeds: length, endings, repetition.
- Exams and tasks: base and adapted model are scored by lm-evaluation-harness itself.
- Bias: base, adapted model and random weights score pairs of sentences that differ in a group of people alone.
- Votes: what visitors of the demo said of both models' answers is counted; no model is asked.
- Stories: both models write about people of groups, and what people find in it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError, TrainError
from annotation.screen import Progress, silent
from annotation.stereotypes.stories import JudgedStory
from annotation.tasks.duel.votes import Duel
from annotation.types import ExamQuestion, MinimalPair
from train.data.pairs import read_pairs
from train.data.rows import read_rows
from train.data.slates import RankedSlate, slate_of_pair
from train.evaluate.bias import decisive as decisive_pairs
from train.evaluate.evaluation import Evaluation, conclude, measure_called
from train.evaluate.gate import EVALUATION, remeasure
from train.evaluate.measure import Material, Summary
from train.evaluate.model import METHOD, AdaptedModel, Batches, hash_of
from train.evaluate.report import write_evaluation
from train.evaluate.stories import decisive
from train.evaluate.votes import Votes
from train.models.base import Base, base_of_run
from train.models.tokenizer import Vocabulary, load_vocabulary
from train.run_folder import claimed, finished_run, read_facts
from train.settings import EvaluationSettings, Recipe

GATE_SETTINGS = tuple(name for name in EvaluationSettings.model_fields if name.startswith("gate_"))
"""What the gate asks for: it changes verdicts and no number."""

OF_ONE_MEASURE = ("stories",)
"""Settings that change the numbers of their own measure alone."""


def evaluate(
    folder: Path,
    *,
    on: Sequence[str] = ("ranking", "writing"),
    questions: Sequence[ExamQuestion] = (),
    seen: Collection[str] = (),
    data: Mapping[str, Path] | None = None,
    duels: Sequence[Duel] = (),
    pairs: Sequence[MinimalPair] = (),
    stories: Sequence[JudgedStory] = (),
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = print,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a finished run; what another process began is gone on with, and what was measured before stays.

    Other settings of the gate change no number: what is kept is judged anew. Those of the evaluation that is there
    hold until others are named, so that measuring once more opens no gate.

    Args:
        folder: The run's.
        on: Measures: "ranking", "looks", "writing", "exams", "votes", "bias", "stories", and tasks of
            lm-evaluation-harness by their names, `NAME@5` for one with five examples in its prompt.
        questions: For "exams": checked questions, four options each.
        seen: Ids of those that stand in the run's training texts.
        data: Task -> local file with its rows, where the Hub cannot be reached; for "bias" a file of minimal pairs.
        duels: Visitors' votes, for "votes" and to see whether those that were counted before are still all there are;
            those about other runs do not count.
        pairs: For "bias", and for "stories", which are about their groups: checked minimal pairs, all there
            are: what was measured on others before, and not on a file, is left out.
        stories: What people said of texts of this run's models; used as the votes are.
        overrides: "evaluation.key=value" in place of the run's own settings.
        say: Told what begins, a line each.
        progress: Told the batches done.

    Raises:
        SettingsError: There is no such setting or task, a value is impossible, the harness is not installed, or there
            are no questions, votes or pairs.
        TrainError: The run is not finished, is of an older annot, has lost a file, or its base is another one now; the
            data of a task cannot be had.
        TrainLater: Another process is at it, or the base is on the Hub and cannot be reached.
    """
    from train.libraries import deterministic, quiet_libraries, work_offline

    facts, digest = finished_run(folder)
    with claimed(folder, "evaluated"):
        before = read_evaluation(folder)
        recipe = _with_gate_of(before, recipe_of(facts, overrides), overrides)
        version, wanted = facts["base_version"], recipe.evaluation
        slates = held_out_slates(folder)
        material = Material(folder, recipe, digest, version, slates, questions, seen, data or {}, duels, pairs, stories)
        key = _key(digest, version, wanted, recipe.run.seed)
        names = [name for name in dict.fromkeys(on) if name != "writing" or wanted.prompts]
        if not names:
            left = "writing is left out by evaluation.prompts = 0" if "writing" in on else "--on names no measure"
            raise SettingsError(f"{left}, so there is nothing to measure; name one, as in --on ranking.")
        if unused := sorted(material.data.keys() - set(names)):
            raise SettingsError(f"--task-data {unused[0]}=…: {unused[0]} is not measured; name it in --on too.")
        keys = {name: hash_of([key, name, measure_called(name).decided_by(name, material)]) for name in names}
        known = before if before and before.key == key else None
        summaries: dict[str, Summary] = {}
        if known:
            held = dict(known.keys)
            if "votes" in held:  # whether it is asked for or not: votes come, and prompts are removed with theirs
                held["votes"] = hash_of([key, "votes", Votes.of(material).decisive])
            if "stories" in held:
                held["stories"] = hash_of([key, "stories", decisive(material)])
            if "bias" in held and "bias" not in keys and not getattr(known.summaries["bias"], "of_file", False):
                held["bias"] = hash_of([key, "bias", decisive_pairs(pairs)])  # pairs are corrected and forgotten too
            keys = {**held, **keys}
            summaries = {name: found for name, found in known.summaries.items() if known.keys[name] == keys[name]}
        todo, kept = [name for name in names if name not in summaries], tuple(summaries)
        if known and not todo and known.settings == wanted and len(kept) == len(known.summaries):
            return known
        batches = None
        if todo:
            with quiet_libraries(folder / "libraries.log"), deterministic(recipe):
                model = AdaptedModel(folder, recipe, lambda: _base_of(folder, recipe, facts))
                measures = {name: measure_called(name).begin(name, model, material, keys[name]) for name in todo}
                work_offline()
                say(f"{folder.name}: {'; '.join(measure.line for measure in measures.values())}")
                batches = Batches(folder, progress, sum(measure.count for measure in measures.values()))
                for name, measure in measures.items():
                    scores = measure.score(batches)
                    summaries[name] = measure.summary(scores)
                    measure.write(folder, scores, summaries[name])
                if "stories" in todo:  # from now on it is decided by the texts that were written
                    keys["stories"] = hash_of([key, "stories", decisive(material)])
        found = conclude(folder.name, key, wanted, keys, summaries)
        if known and known.settings != wanted:
            for name in kept:
                found.summaries[name].draw(folder, wanted)
        write_evaluation(folder, found)
        if batches:
            batches.remove()
    return found


def _key(adapter: str, base_version: str, settings: EvaluationSettings, seed: int) -> str:
    """Hash of what all measures of a run have in common; what the gate asks for changes no number."""
    decisive = settings.model_dump(mode="json", exclude={*GATE_SETTINGS, *OF_ONE_MEASURE})
    return hash_of([METHOD, adapter, base_version, decisive, seed])


def check_evaluation(run: Path) -> None:
    """Make sure that the evaluation of a finished run is about its adapter, and that its verdict follows from it.

    Raises:
        TrainError: It is about another one, its verdict is not that of its own numbers, or it is damaged.
    """
    if (found := read_evaluation(run)) is None:
        return
    (facts, digest), path = finished_run(run), run / EVALUATION
    if found.key != _key(digest, facts["base_version"], found.settings, recipe_of(facts).run.seed):
        raise TrainError(f"{path} is about another adapter than the run's; {remeasure(run)}.")
    try:
        again = conclude(found.run, found.key, found.settings, found.keys, found.summaries)
        for summary in again.summaries.values():
            summary.tables()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # values of another kind
        raise TrainError(f"{path} is damaged: its numbers are none; {remeasure(run)}.") from None
    if again.gate.verdict != found.gate.verdict:
        raise TrainError(
            f"{path} says {found.gate.verdict}, and its own numbers say {again.gate.verdict}; {remeasure(run)}."
        )


def _base_of(folder: Path, recipe: Recipe, facts: Mapping[str, Any]) -> tuple[Base, Vocabulary]:
    """The base of a run and its tokenizer: looked for by the first measure that computes something, as it begins."""
    base = base_of_run(folder, recipe.base, facts)
    return base, load_vocabulary(base, recipe.base)


def _with_gate_of(before: Evaluation | None, recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with what the gate of an earlier evaluation asked for, where the overrides do not say otherwise."""
    if not before:
        return recipe
    named = {override.partition("=")[0].strip() for override in overrides}
    held = {key: getattr(before.settings, key) for key in GATE_SETTINGS if f"evaluation.{key}" not in named}
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=held)})


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
    try:  # what a setting did before there was one is a setting too
        raw = Recipe.model_validate(facts["recipe"]).model_dump(mode="json")
    except ValidationError:
        raise TrainError(
            f"{facts['run']} was trained by another version of annot, whose settings this one does not know; train it "
            "again under another --run."
        ) from None
    return with_overrides(raw, overrides, f"the run {facts['run']}")


def held_out_slates(folder: Path) -> tuple[RankedSlate, ...]:
    """Slates that a run kept out of training, or its pairs as slates of two.

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
    return tuple(slate_of_pair(pair) for pair in read_pairs(folder / "held_out.jsonl"))


def read_evaluation(folder: Path) -> Evaluation | None:
    """The evaluation in a run's folder; None where there is none, or where it was measured otherwise than today.

    Raises:
        TrainError: The file is damaged.
    """
    path = folder / EVALUATION
    if not path.exists():
        return None
    facts = read_facts(path, {"method": type(METHOD)}, remeasure(folder))
    if facts["method"] != METHOD:
        return None
    try:
        return Evaluation.from_json(facts)
    except (AttributeError, KeyError, TypeError, ValueError):  # the shape is not what `as_json` gives
        raise TrainError(f"{path} is damaged: it is no whole evaluation; {remeasure(folder)}.") from None
