"""Multiple choice about pictures as a task of lm-evaluation-harness: rows with a picture, a question and its options.

That is the form of WorldCuisines (G. I. Winata et al. 2024, "WorldCuisines: a massive-scale benchmark for multilingual
and multicultural visual question answering on global cuisines"): which dish is this, of five. The likeliest letter is
the answer. The set itself is not in the harness, so its rows come from a file (`--task-data picture_questions=FILE`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from annotation.reading.cells import unpacked
from train.evaluate.harness_pictures import PLACE

NAME = "picture_questions"

LETTERS = "ABCDEFGHIJ"

CONFIG: Mapping[str, Any] = {
    "output_type": "multiple_choice",
    "test_split": "test",
    "doc_to_image": ["image"],
    "doc_to_text": PLACE
    + "\n{{question}}\n{% for option in options %}{{'ABCDEFGHIJ'[loop.index0]}}. {{option}}\n{% endfor %}Answer:",
    "doc_to_choice": "{{letters}}",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
"""The task's file, but for where its rows are."""


def question_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the harness takes them, with the pictures in them.

    Args:
        file: Beside which the pictures are that rows name.
        rows: Each with `image` (a path), `question`, `options` and `answer`: its place (0 first), letter or text.

    Raises:
        TrainError: A row lacks something, or its picture is not there.
    """
    return [_row(file, number, row) for number, row in enumerate(rows, 1)]


def _row(file: Path, number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    place = f"{file.name}:{number}"
    options, answer = unpacked(row.get("options")), row.get("answer")
    if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS) or not row.get("question"):
        raise TrainError(f"{place} is no question: it needs image, question, 2 to {len(LETTERS)} options and answer.")
    options = [str(option) for option in options]
    letters = list(LETTERS[: len(options)])
    written = str(answer).strip()
    right = next((names.index(written) for names in (options, letters) if written in names), None)
    if right is None and written.isdecimal() and int(written) < len(options):
        right = int(written)
    if right is None:
        raise TrainError(f"{place}: the answer {written!r} is none of its options; name its text, letter or place.")
    try:
        content = (file.parent / str(row.get("image"))).read_bytes()
    except OSError:
        raise TrainError(f"{place}: there is no picture {row.get('image')} beside {file.name}.") from None
    return {
        "image": {"bytes": content, "path": Path(str(row["image"])).name},
        "question": str(row["question"]),
        "options": options,
        "letters": letters,
        "answer": right,
    }
