"""Pictures of the demo: plainly synthetic drawings of food, feasts, dress and places, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from annotation.demo import dress, feasts, food, places
from annotation.demo.sheet import HEIGHT, WIDTH, Sheet

PICTURES: Mapping[str, Callable[[Sheet], None]] = {
    draw.__name__: draw
    for draw in (
        *(food.arepas, food.ceviche, food.completo, food.empanadas, food.feijoada, food.mate, food.natas, food.paella),
        *(food.tacos, feasts.altar, feasts.dieciocho, feasts.feria, feasts.inti_raymi, feasts.marimonda),
        *(feasts.santos_populares, feasts.sao_joao, dress.chullo, dress.huipil, dress.sombrero_vueltiao),
        *(places.eletrico, places.molinos, places.obelisco, places.pao_de_acucar, places.valparaiso),
    )
}
"""Name -> what draws it."""
CREATOR, LICENCE = "annot", "CC0-1.0"
"""What is said of each: annot draws them, and nobody keeps any rights."""


def draw_pictures(folder: Path) -> list[Path]:
    """Draw every picture of the demo into a folder, as NAME.png of 1024 by 768; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in PICTURES.items():
        path = folder / f"{name}.png"
        if not path.exists():
            sheet = Sheet(name)
            draw(sheet)
            beside = path.with_suffix(".part")
            sheet.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(beside, "PNG")
            beside.replace(path)
        paths.append(path)
    return paths
