"""Descriptions of a project's pictures by a model on this machine, in a file that `annot draft --from` reads.

Each picture is described several times, each time in another voice, focus and length, as `annot draft` asks Cohere's
models. The lines of a picture are written together, so that a process that was killed is gone on with at the next one.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.drafting.personas import Persona, describers
from annotation.errors import TrainError
from annotation.files import lock_file
from annotation.project import Project
from annotation.quota_groups import in_project
from annotation.screen import Progress, counted, silent
from annotation.tasks.page import own_texts
from annotation.types import Prompt, content_id
from train.data.encoding import encode_prompt
from train.data.slates import RankedSlate
from train.data.texts import as_question
from train.evaluate.model import seed_of
from train.evaluate.run import recipe_of
from train.models.base import base_of_run, find_base, load_model
from train.models.generation import sample_answers
from train.models.pictures import pictures_of
from train.models.tokenizer import Vocabulary, load_vocabulary
from train.run_folder import finished_run
from train.settings import load_recipe

TINY = "tiny"
"""Name of a model that is made on the spot: it writes nonsense, and shows that the way works."""

LIMIT = 256
"""Most tokens of a description."""

TOP_P = 0.95
"""Share of the distribution that is drawn from: the unlikeliest words of a small model are mostly slips."""


@dataclass(frozen=True)
class Describer:
    """A model that sees, loaded.

    Attributes:
        name: What its descriptions are said to be from.
        model: With an adapter, or a base alone.
        vocabulary: Its words and processor.
    """

    name: str
    model: Any
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Described:
    """What became of the pictures of a project.

    Attributes:
        file: Where the descriptions are.
        pictures: That were described now.
        descriptions: Of these.
        there: Pictures that the file had already.
        answered: Pictures that have as many descriptions in the project already.
        left: Pictures still to be described.
        seconds: For one picture, as measured now; of the first one only where there is no other.
        dry: Nothing was written.
    """

    file: Path
    pictures: int
    descriptions: int
    there: int
    answered: int
    left: int
    seconds: float
    dry: bool = False

    def lines(self) -> list[str]:
        """For a person."""
        takes = self.left * self.seconds
        about = f"about {takes:.0f} seconds" if takes < 90 else f"about {takes / 60:.0f} minutes"
        about = f"{about if takes < 5400 else f'about {takes / 3600:.1f} hours'} at {self.seconds:.1f} s a picture"
        done = f"{counted(self.pictures, 'picture')} described, with {counted(self.descriptions, 'description')}"
        if self.dry:
            done = f"Would describe {counted(self.left, 'picture')}{f', {about}' if self.left else ''}"
        lines = [f"{done}; {self.there} were in {self.file.name} before."]
        if self.answered:
            lines.append(
                f"{counted(self.answered, 'picture')} with as many descriptions already: --each asks for more."
            )
        if self.left and not self.dry:
            every = self.pictures + self.there + self.answered + self.left
            lines.append(f"{self.left} of the {every} pictures are left: {about}.")
        if self.pictures or self.there:
            lines.append(f"`annot draft --from {self.file}` takes them into the project.")
        return lines


def load_describer(project: Project, name: str, *, seed: int = 0) -> Describer:
    """Load a model that sees: of a finished run of the project, of a folder, of the Hub, or one made on the spot.

    Raises:
        TrainError: There is none of that name, or it reads text alone.
        TrainLater: It is on the Hub and cannot be reached.
    """
    import torch

    if ((run := project.run_folder(name)) / "run.json").exists():
        from peft import PeftModel

        facts, _ = finished_run(run)
        recipe = recipe_of(facts)
        if recipe.base.vision == "none":
            raise TrainError(
                f"{name} was trained on texts and sees no pictures; name a run about pictures, or a model."
            )
        base = base_of_run(run, recipe.base, facts)
        plain = load_model(base, recipe.base, recipe.device)
        return Describer(
            name, PeftModel.from_pretrained(plain, str(run / "adapter")), load_vocabulary(base, recipe.base)
        )
    card = torch.cuda.is_available()
    recipe = load_recipe("l40s-vlm-lora" if card else "cpu-smoke-vlm", base="" if name == TINY else name)
    if name != TINY:
        base = find_base(recipe.base, project.folder, list, seed=seed)
        return Describer(name, load_model(base, recipe.base, recipe.device), load_vocabulary(base, recipe.base))
    recipe = load_recipe("cpu-smoke-vlm")
    with tempfile.TemporaryDirectory() as home:
        texts = [prompt.text for prompt in project.ledger.prompts() if prompt.image]
        base = find_base(recipe.base, Path(home), lambda: texts, seed=seed)
        return Describer(TINY, load_model(base, recipe.base, recipe.device), load_vocabulary(base, recipe.base))


def describe(
    project: Project,
    load: Callable[[], Describer],
    file: Path,
    *,
    each: int,
    limit: int = 0,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Described:
    """Describe the pictures that lack descriptions; the same command goes on where an earlier one was cut off.

    Args:
        project: Whose pictures.
        load: Gives the model, once there is something to do.
        file: JSON lines with prompt_id, answer, model and voice; lines are added.
        each: Descriptions of a picture, those included that the project has.
        limit: Most pictures now; 0: all.
        dry_run: Describe two pictures to measure the time of the second, and write nothing.
        progress: Told the pictures done.

    Raises:
        TrainError: The file holds something else, or a picture is gone.
    """
    prompts = [one for one in project.ledger.prompts() if one.image and in_project(one, project.settings)]
    if not prompts:
        raise TrainError("the project has no pictures of its countries yet; `annot images add` reads them.")
    has = project.ledger.count_candidates(prompt.id for prompt in prompts)
    missing = {prompt.id: each - has.get(prompt.id, 0) for prompt in prompts}
    lacking = [prompt for prompt in prompts if missing[prompt.id] > 0]
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(file.with_name(f".{file.name}.lock"), print, "annot: waiting for another `annot describe` ..."):
        models, written = _written(file)
        todo = [prompt for prompt in lacking if prompt.id not in written]
        now = todo[: limit or None]
        planned, now = len(now), now[: 2 if dry_run else None]
        seconds, number = 0.0, 0
        if now:
            describer = load()
            if others := models - {describer.name}:
                raise TrainError(
                    f"{file} has descriptions of {others.pop()}, and {describer.name} is another model; name another "
                    "file with --out."
                )
            texts, began = own_texts(project.folder), time.monotonic()
            with (Path(os.devnull) if dry_run else file).open("ab") as lines:
                for done, prompt in enumerate(now, 1):
                    cast = _cast(project, prompt, texts, each)[-missing[prompt.id] :]
                    told = _described(project, describer, prompt, cast)
                    lines.write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in told).encode())
                    lines.flush()
                    number += len(told)
                    progress(done, len(now), "pictures described")
                    if done == 1 < len(now):  # the first one warms the model up
                        began = time.monotonic()
            seconds = (time.monotonic() - began) / max(1, len(now) - 1)
    pictures, number, left = (0, 0, planned) if dry_run else (len(now), number, len(todo) - len(now))
    there = sum(prompt.id in written for prompt in lacking)
    return Described(file, pictures, number, there, len(prompts) - len(lacking), left, seconds, dry_run)


def _written(file: Path) -> tuple[set[str], set[str]]:
    """Models and prompts in a file; what a crash left half written is cut off.

    Raises:
        TrainError: It holds something else.
    """
    if not file.exists():
        return set(), set()
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        found = {row["model"] for row in rows}, {row["prompt_id"] for row in rows}
    except (ValueError, TypeError, KeyError):
        raise TrainError(f"{file} is no file of `annot describe`; name another one with --out.") from None
    # A picture's lines are written at once; where the last ones are cut short, the whole picture is described again.
    last = rows[-1]["prompt_id"] if len(whole) < len(content) and rows else ""
    if len(whole) < len(content):
        kept = [
            line for line, row in zip(whole.splitlines(keepends=True), rows, strict=True) if row["prompt_id"] != last
        ]
        with file.open("r+b") as cut:
            cut.truncate(sum(map(len, kept)))
        found[1].discard(last)
    return found


def _cast(project: Project, prompt: Prompt, texts: dict[str, str], count: int) -> list[Persona]:
    dice = random.Random(content_id(str(project.settings.project.seed), prompt.id))
    return describers(prompt, dice, texts, count)


def _described(project: Project, describer: Describer, prompt: Prompt, cast: Sequence[Persona]) -> list[dict[str, str]]:
    """Lines of one picture: all voices at once."""
    vocabulary = describer.vocabulary
    # Not every chat template takes a system text: what a voice is told stands before the question.
    asked = [
        encode_prompt(
            RankedSlate(prompt.id, as_question(f"{one.system}\n\n{prompt.text}"), (), (), (), image=prompt.image),
            vocabulary,
            project.folder,
        )
        for one in cast
    ]
    pixels = pictures_of(vocabulary.processor, project.folder).pixels(prompt.image)
    drawn = sample_answers(
        describer.model,
        asked,
        ends=vocabulary.ends,
        pad=vocabulary.pad,
        limit=LIMIT,
        seed=seed_of(project.settings.project.seed, int(prompt.id[:8], 16)),
        pictures=[pixels] * len(asked),
        top_p=TOP_P,
    )
    texts = (vocabulary.tokenizer.decode(one.tokens, skip_special_tokens=True).strip() for one in drawn)
    about = [{"prompt_id": prompt.id, "model": describer.name, "voice": one.description} for one in cast]
    return [{**row, "answer": text} for row, text in zip(about, texts, strict=True)]
