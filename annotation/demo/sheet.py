"""A sheet to draw on with Pillow: discs, boxes, lines and places that are random in the same way every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1024, 768
FINE = 2
"""Pictures are drawn this much larger and made smaller at the end, for smooth edges."""
Point = tuple[float, float]
WHITE, BLACK, BROWN, GREEN, RED, YELLOW = "#fbf7ee", "#26221f", "#7a4a26", "#3f7d3a", "#c23b2e", "#f2c230"


class Sheet:
    """A sheet to draw on, in points of a picture of 1024 by 768; `draw` is random in the same way every time.

    Args:
        name: Of the picture: the seed.
    """

    def __init__(self, name: str) -> None:
        self.image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), WHITE)
        self.pen = ImageDraw.Draw(self.image)
        self.draw = Random(name)

    def shape(self, points: Sequence[Point], fill: str) -> None:
        """A polygon."""
        self.pen.polygon([(x * FINE, y * FINE) for x, y in points], fill=fill)

    def box(self, x: float, y: float, width: float, height: float, fill: str, *, round_by: float = 0) -> None:
        """A rectangle, by its upper left corner."""
        corners = [x * FINE, y * FINE, (x + width) * FINE, (y + height) * FINE]
        self.pen.rounded_rectangle(corners, round_by * FINE, fill=fill)

    def disc(
        self,
        x: float,
        y: float,
        across: float,
        fill: str,
        *,
        high: float | None = None,
        turn: float = 0,
        begin: float = 0,
        end: float = 360,
    ) -> None:
        """An ellipse by its centre, half widths, turn and part, in degrees clockwise."""
        high = across if high is None else high
        steps = [begin + (end - begin) * step / 60 for step in range(61)]
        flat = [(across * cos(a * pi / 180), high * sin(a * pi / 180)) for a in steps]
        c, s = cos(turn * pi / 180), sin(turn * pi / 180)
        self.shape([(x + u * c - v * s, y + u * s + v * c) for u, v in flat], fill)

    def line(self, points: Sequence[Point], fill: str, width: float) -> None:
        """A line through points."""
        self.pen.line([(x * FINE, y * FINE) for x, y in points], fill=fill, width=int(width * FINE), joint="curve")

    def arc(self, x0: float, y0: float, x1: float, y1: float, sag: float) -> list[Point]:
        """17 points of a rope that hangs between two places."""
        return [(x0 + (x1 - x0) * t / 16, y0 + (y1 - y0) * t / 16 + sag * sin(pi * t / 16)) for t in range(17)]

    def scatter(self, count: int, x: float, y: float, across: float, high: float) -> Iterator[Point]:
        """Random places within an ellipse."""
        for _ in range(count):
            angle, far = self.draw.random() * 2 * pi, self.draw.random() ** 0.5
            yield x + across * far * cos(angle), y + high * far * sin(angle)

    def planks(self, light: str, dark: str, *, every: int = 96) -> None:
        """A table of wood."""
        self.box(0, 0, WIDTH, HEIGHT, light)
        for y in range(every, HEIGHT, every):
            self.line([(0, y), (WIDTH, y)], dark, 4)

    def plate(self, x: float, y: float, across: float, *, rim: str = "#e3ded2", inside: str = WHITE) -> None:
        """A plate seen from above, with its shadow."""
        self.disc(x + 10, y + 16, across, "#5b4a3c")
        self.disc(x, y, across, rim)
        self.disc(x, y, across * 0.8, inside)
