"""The demo's pictures: the same drawings every time, and no two alike."""

from pathlib import Path

import numpy as np
from PIL import Image

from annotation.demo.pictures import PICTURES, draw_pictures


def test_the_same_pictures_are_drawn_every_time_and_those_that_are_there_stay(tmp_path: Path) -> None:
    first, second = draw_pictures(tmp_path / "a"), draw_pictures(tmp_path / "b")
    assert [path.stem for path in first] == list(PICTURES)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    stamp = first[0].stat().st_mtime_ns
    first[1].unlink()
    draw_pictures(tmp_path / "a")
    assert first[0].stat().st_mtime_ns == stamp
    assert first[1].read_bytes() == second[1].read_bytes()


def test_no_two_pictures_look_alike(tmp_path: Path) -> None:
    small = []
    for path in draw_pictures(tmp_path):
        with Image.open(path) as picture:
            assert picture.size == (1024, 768)
            small.append(np.asarray(picture.convert("L").resize((9, 8)), dtype=int))
    rising = np.array([(grey[:, 1:] > grey[:, :-1]).ravel() for grey in small])
    apart = (rising[:, None] != rising[None]).sum(axis=-1)[np.triu_indices(len(rising), 1)]
    assert len(rising) == 24
    assert apart.min() > 12
