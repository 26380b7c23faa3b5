"""lm-evaluation-harness, which scores every benchmark: its tasks found, loaded and run on base and adapted model.

Nothing here scores anything. The harness builds the prompts, asks our model object (`harness_model.py`), and computes
its metrics, without the index of all its tasks (14,000 files) and without a second load of the model. Rows from
local files go to it as parquet: its reader of JSON turns a text such as "1821-09-15" into a time of day.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError, TrainError
from annotation.files import write_whole
from train.evaluate.model import READER_CACHE, SIDES, WORKINGS, AdaptedModel, Batches

TASKS = "evaluation_tasks"
"""Folder in the run's with the tasks that annot wrote for the harness, and their rows."""

PLAIN, CHAT = "plain", "chat template"
"""How a prompt is put: as the task has it, or as a user's message in the base's chat template."""

IMAGE = "image"
"""Column of rows that holds the bytes of a picture, and its name."""

SEED = 1234
"""The harness's own, of examples in prompts and of libraries."""

SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")

NAMES = re.compile(rb"^(?:task|group):[ \t]*['\"]?([\w.-]+)['\"]?[ \t\r]*$", re.MULTILINE)


def harness_version() -> str:
    """Version of the harness.

    Raises:
        SettingsError: It is not installed.
    """
    if find_spec("lm_eval") is None:
        raise SettingsError(
            "exams and tasks are scored by lm-evaluation-harness, which is not installed: `pip install "
            "'annot[evaluate]'`, or leave them out of --on."
        )
    return version("lm_eval")


def harness_folder() -> Path:
    """Folder of the harness's own tasks."""
    spec = find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "tasks"


def task_file(name: str) -> Path:
    """The harness's own file of a task or group: found by its text, which takes a second and not 14.

    Raises:
        SettingsError: There is none of that name.
    """
    names: dict[str, Path] = {}
    for folder, _, files in os.walk(harness_folder()):
        for path in (Path(folder, file) for file in files if file.endswith(".yaml")):
            for found in NAMES.findall(path.read_bytes()):
                if found.decode() == name:
                    return path
                names.setdefault(found.decode(), path)
    near = difflib.get_close_matches(name, names, n=3)
    raise SettingsError(
        f'there is no measure and no task of lm-evaluation-harness called "{name}"; '
        + (
            f"did you mean {' or '.join(near)}?"
            if near
            else "our own are ranking, looks, writing, exams, votes, bias and stories."
        )
    )


def write_task(folder: Path, name: str, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a task and its rows into a run's folder, so that anybody can give them to the harness too.

    Args:
        folder: The run's.
        name: Of the task.
        config: What the task's file says, beside where the rows are; `include` names the harness's own file.
        rows: All of one form.

    Raises:
        TrainError: There is no row, or they are of several forms.
    """
    import pyarrow as pa
    from pyarrow import parquet

    home = folder / TASKS
    home.mkdir(exist_ok=True)
    try:
        table = pa.Table.from_pylist(list(rows))
        if IMAGE in table.column_names:  # the library `datasets` opens what is said to be a picture
            table = table.cast(_with_pictures(table.schema))
    except pa.ArrowException as error:
        raise TrainError(f"the rows of {name} are of several forms ({error}); give each column one kind.") from error
    if not table.num_rows or not table.num_columns:
        raise TrainError(f"the file of {name} has no rows; name another one.")
    write_whole(home / f"{name}.parquet", lambda beside: parquet.write_table(table, beside))
    source = {
        "dataset_path": "parquet",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str((home / f"{name}.parquet").resolve())}},
    }
    # JSON is YAML too.
    text = json.dumps({**config, "task": name, **source}, ensure_ascii=False, indent=2)
    write_whole(home / f"{name}.yaml", text.encode())
    return home / f"{name}.yaml"


def _with_pictures(schema: Any) -> Any:
    """A schema whose column IMAGE holds pictures, in the words of the library `datasets`."""
    from datasets import Features, Image

    return Features({**Features.from_arrow_schema(schema), IMAGE: Image()}).arrow_schema


def local_task(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """One of the harness's own tasks with rows from a local file: every split that it reads is that file."""
    from lm_eval.tasks._yaml_loader import load_yaml

    own = task_file(name)
    config = load_yaml(own, resolve_func=False)
    if "group" in config:
        raise SettingsError(f"--task-data {name}=…: {name} is a group; name one of its tasks, each with its own file.")
    splits = {split: "test" for split in SPLITS if config.get(split)}
    return write_task(folder, name, {"include": str(own), **splits}, rows)


def load_tasks(path: Path, folder: Path, shots: int | None = None, *, sees: bool = False) -> dict[str, Any]:
    """A task or group and its data, as the harness's evaluator wants them.

    Args:
        path: Its file.
        folder: The run's; what the reader of its data writes goes to where finished batches lie.
        shots: Examples in the prompt; None: as many as the task says, or none.
        sees: The model sees pictures.

    Raises:
        SettingsError: It would run code that a model wrote, or it shows pictures to a model that sees none, or where
            an answer is to be written.
        TrainError: Its data, or a package that it needs, cannot be had.
    """
    import datasets
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(path, resolve_func=False)
    group = "group" in config
    name = config["group" if group else "task"]
    reader_cache = datasets.config.HF_DATASETS_CACHE
    if path.parent.name == TASKS:
        datasets.config.HF_DATASETS_CACHE = (folder / WORKINGS / READER_CACHE).resolve()
    try:
        with seeded(), mistakes_told(name):
            manager = TaskManager(include_path=str(path.parent) if group else None, include_defaults=False)
            try:
                loaded: dict[str, Any] = manager.load([name if group else str(path)])
            except KeyError:
                if not group:
                    raise
                loaded = TaskManager().load([name])  # its tasks stand elsewhere: only the index of all knows them
    finally:
        datasets.config.HF_DATASETS_CACHE = reader_cache
    for own, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise SettingsError(f"--on {name}: {own} runs code that the model writes; annot does not.")
        if getattr(task, "MULTIMODAL", False) and not (sees and task.OUTPUT_TYPE == "multiple_choice"):
            raise SettingsError(
                f"--on {name}: {own} shows pictures, which annot does in multiple choice, to a run about pictures."
            )
        if shots is not None or task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=shots or 0)
    return loaded


@contextmanager
def seeded() -> Iterator[None]:
    """Seed what a task may draw from, as the harness's command does, and put it back."""
    import numpy as np

    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(SEED)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


@contextmanager
def mistakes_told(name: str) -> Iterator[None]:
    """Put into one sentence what the harness raises where a task's rows or packages are not there."""
    from jinja2 import UndefinedError

    try:
        yield
    except (KeyError, UndefinedError) as error:
        raise TrainError(
            f"the rows of {name} lack something that the task asks for ({error}); look at their form in its README."
        ) from error
    except (ImportError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainError(
            f"the task {name} cannot be loaded ({reason}); where the Hub cannot be reached, name a file of a task's "
            "rows with --task-data TASK=FILE."
        ) from error


@contextmanager
def compiled_once() -> Iterator[None]:
    """Have the harness compile a task's Jinja templates once, and not again for every row."""
    from lm_eval.utils import env

    compiling = env.from_string
    env.from_string = cache(compiling)
    try:
        yield
    finally:
        env.from_string = compiling


class HarnessRun:
    """Tasks of the harness, asked of base and adapted model, plainly and in the base's chat template if it has one."""

    def __init__(
        self, model: AdaptedModel, loaded: Mapping[str, Any], name: str, key: str, sides: Sequence[str] = SIDES[:2]
    ) -> None:
        """Build the prompts as asked plainly; the other way takes as many batches, and is built in its turn."""
        self.model, self.loaded, self.name, self.key, self.sides = model, loaded, name, key, sides
        self.ways = (PLAIN, *((CHAT,) if model.vocabulary.tokenizer.chat_template else ()))
        self._built: dict[str, dict[str, list[Any]]] = {}
        self.count = len(sides) * len(self.ways) * self._batches(self.requests(PLAIN))

    def results(self, kept: Batches, way: str, side: str) -> dict[str, Any]:
        """What the harness's evaluator says of one of `model.SIDES`, its log of every row included."""
        from lm_eval.evaluator import evaluate

        for name, task in self.loaded["tasks"].items():
            # Building takes longer than a small model does, and would draw other examples.
            task.build_all_requests = lambda **_settings: None
            task._instances = [replace(request, resps=[], filtered_resps={}) for request in self.requests(way)[name]]
        lm = self._lm(way, side, kept)
        with mistakes_told(self.name):
            found = evaluate(lm, self.loaded, bootstrap_iters=0, log_samples=True)
        return dict(found)

    def _lm(self, way: str, side: str, kept: Batches | None = None) -> Any:
        from train.evaluate.harness_model import KeptModel

        file = re.sub(r"\W+", "_", f"{self.name} {way} {side}")
        return KeptModel(self.model, kept, file, self.key, side)

    def requests(self, way: str) -> dict[str, list[Any]]:
        """Task -> its requests, asked in one way: built once, the same for both models.

        Raises:
            TrainError: A row lacks a column.
        """
        if way not in self._built:
            lm, chat = self._lm(way, "base"), way == CHAT
            with seeded(), compiled_once():
                for name, task in self.loaded["tasks"].items():
                    task.set_fewshot_seed(SEED)
                    with mistakes_told(name):
                        type(task).build_all_requests(
                            task,
                            apply_chat_template=chat,
                            fewshot_as_multiturn=chat,
                            chat_template=lm.apply_chat_template if chat else None,
                            tokenizer_name=lm.tokenizer_name if chat else "",
                        )
            self._built[way] = {name: task.instances for name, task in self.loaded["tasks"].items()}
        return self._built[way]

    def _batches(self, built: Mapping[str, list[Any]]) -> int:
        """How many batches one model takes."""
        lm, requests = self._lm(PLAIN, "base"), dict[str, list[Any]]()
        for request in (request for theirs in built.values() for request in theirs):
            requests.setdefault(request.request_type, []).extend([request] * request.repeats)
        return sum(len(lm.batches(theirs)) for theirs in requests.values())
