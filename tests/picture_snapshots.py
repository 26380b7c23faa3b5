"""Snapshots of descriptions of pictures: drawn dishes, and a preference that depends on their colour."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

from picture_files import keep_picture
from PIL import Image, ImageDraw
from train_snapshots import preference_rows, ranking_rows, write_snapshot

from annotation.files import write_whole

COLOURS = {"rojo": "red", "verde": "green", "azul": "blue", "amarillo": "yellow"}
QUESTION = "Describe esta imagen para alguien de tu país."


def dish(number: int, size: tuple[int, int] = (96, 72)) -> bytes:
    """A JPEG of a dish on a table; each number is another picture, and none looks like another."""
    chance = random.Random(number)
    picture = Image.new("RGB", size, "white")
    drawing = ImageDraw.Draw(picture)
    for _ in range(12):
        left, top = chance.randrange(size[0]), chance.randrange(size[1])
        grey = chance.randrange(256)
        drawing.rectangle((left, top, left + chance.randrange(40), top + chance.randrange(30)), fill=(grey,) * 3)
    drawing.ellipse((24, 18, 72, 54), fill=list(COLOURS.values())[number % len(COLOURS)])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def keep_dish(folder: Path, number: int) -> str:
    """The same as a picture of a folder; its id."""
    return keep_picture(folder, dish(number))


def description_rows(folder: Path, pictures: int, *, per_prompt: int = 2) -> list[dict[str, Any]]:
    """Rows of preferences.parquet about drawn dishes, whose files are written below the folder."""
    rows = preference_rows(pictures, per_prompt=per_prompt)
    named = [keep_dish(folder, number) for number in range(pictures)]
    words = list(COLOURS)
    for place, row in enumerate(rows):
        number = place // per_prompt
        row |= {"image": named[number], "prompt": QUESTION, "system": ""}
        row["chosen"] = f"Un plato {words[number % 4]}. {row['chosen']}"
        row["rejected"] = f"Un plato {words[(number + 1) % 4]}. {row['rejected']}"
    return rows


def write_picture_snapshot(project: Path, name: str, pictures: int = 12, **more: Any) -> Path:
    """A snapshot of descriptions as `annot sync` leaves it."""
    folder = project / "snapshots" / name
    rows = description_rows(folder, pictures)
    images = {row["slate_id"]: row["image"] for row in rows}
    rankings = [{**row, "image": images[row["slate_id"]]} for row in ranking_rows(rows)]
    write_snapshot(project, name, rows, rankings=rankings, **more)
    path = folder / "snapshot.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    write_whole(path, json.dumps({**facts, "task": "description"}).encode())
    return folder
