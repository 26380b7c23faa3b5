"""Drawings of places for the demo."""

from __future__ import annotations

from math import cos, pi, sin

from annotation.demo.sheet import BLACK, BROWN, GREEN, HEIGHT, RED, WHITE, WIDTH, YELLOW, Sheet


def obelisco(s: Sheet) -> None:
    """A white obelisk over a wide avenue at dusk."""
    for number, colour in enumerate(("#35507d", "#5b6fa0", "#a184a8", "#e09a86", "#f3bf7f")):
        s.box(0, number * 105, WIDTH, 110, colour)
    for x, top in ((0, 330), (130, 270), (250, 360), (660, 300), (790, 350), (900, 240)):
        s.box(x, top, 125, 260, "#3c4258")
        for u in range(x + 14, x + 115, 30):
            for v in range(top + 16, 500, 36):
                s.box(u, v, 14, 18, s.draw.choice(["#f6d778", "#5a607a", "#f6d778"]))
    s.box(0, 505, WIDTH, 100, "#2f3346")
    s.shape([(0, 768), (0, 590), (470, 500), (554, 500), (1024, 590), (1024, 768)], "#474747")
    s.shape([(480, 520), (498, 150), (512, 110), (526, 150), (544, 520)], "#f7f4ec")
    s.shape([(512, 110), (526, 150), (544, 520), (512, 520)], "#d5cfc2")
    s.disc(512, 525, 120, GREEN, high=24)
    for x0, x1 in ((330, 100), (694, 924), (430, 330), (594, 694)):
        s.line([(500 + (x0 - 512) / 4, 545), (x1, 768)], WHITE, 6)
    for x, y, colour in ((250, 650, YELLOW), (740, 620, BLACK), (420, 600, YELLOW)):
        s.box(x, y, 90, 34, colour, round_by=10)
        s.box(x + 18, y - 20, 54, 24, "#bcd6dd", round_by=8)
        for u in (20, 70):
            s.disc(x + u, y + 36, 12, BLACK)


def pao_de_acucar(s: Sheet) -> None:
    """A bay with a steep round rock, a cable car, boats and a beach."""
    s.box(0, 0, WIDTH, 430, "#8fd0ee")
    s.disc(160, 120, 56, "#fff1a8")
    s.disc(330, 440, 240, "#4d7d4a", high=170, begin=180, end=360)
    s.disc(700, 440, 150, "#6b6d63", high=340, begin=180, end=360)
    s.disc(735, 440, 105, "#7f8175", high=300, begin=180, end=360)
    s.disc(700, 446, 190, "#4d7d4a", high=70, begin=180, end=360)
    s.line([(330, 275), (690, 110)], BLACK, 4)
    s.box(480, 190, 54, 34, RED, round_by=8)
    s.box(0, 430, WIDTH, 220, "#2b83b8")
    for x, y in s.scatter(40, 512, 540, 500, 90):
        s.line([(x, y), (x + 34, y)], "#7fbfe0", 4)
    s.disc(480, 800, 760, "#f0dca6", high=190, begin=180, end=360)
    for x, y in ((250, 530), (560, 500), (860, 560)):
        s.shape([(x - 44, y), (x + 44, y), (x + 28, y + 22), (x - 28, y + 22)], WHITE)
        s.shape([(x, y - 6), (x, y - 76), (x + 34, y - 6)], "#f7e3d4")
    for x, colour in ((240, RED), (420, YELLOW), (600, "#3fa34d")):
        s.disc(x, 700, 58, colour, high=44, begin=180, end=360)
        s.line([(x, 700), (x, 750)], BROWN, 6)


def valparaiso(s: Sheet) -> None:
    """Houses of many colours on a steep hill over the sea, and a cable railway."""
    s.box(0, 0, WIDTH, HEIGHT, "#cfe6f3")
    s.shape([(0, 768), (0, 150), (300, 90), (700, 330), (1024, 560), (1024, 768)], "#a8916b")
    s.shape([(620, 768), (760, 600), (1024, 520), (1024, 768)], "#2b83b8")
    colours = ["#e63946", "#f4a261", "#2a9d8f", "#e9c46a", "#6d597a", "#457b9d", "#f28482", "#84a59d"]
    for row in range(6):
        for column in range(8):
            x, y = 10 + column * 104 + row % 2 * 40, 150 + row * 92 + column * 34
            if x > 700 - row * 10 or y > 690:
                continue
            s.box(x, y, 92, 92, s.draw.choice(colours))
            s.shape([(x - 6, y), (x + 46, y - 30), (x + 98, y)], s.draw.choice(["#7a3b2e", "#555f66"]))
            for u in (14, 54):
                s.box(x + u, y + 20, 24, 30, WHITE)
                s.box(x + u + 3, y + 23, 18, 24, "#3d5a80")
    for side in (0, 34):
        s.line([(500 + side, 300), (700 + side, 768)], "#4a4a4a", 7)
    s.box(560, 470, 100, 78, YELLOW, round_by=10)
    s.box(574, 484, 72, 30, "#bcd6dd")
    for x, y in ((850, 660), (950, 600)):
        s.shape([(x - 60, y), (x + 60, y), (x + 40, y + 28), (x - 40, y + 28)], RED)
        s.box(x - 20, y - 26, 40, 26, WHITE)


def molinos(s: Sheet) -> None:
    """White windmills on a dry hill, under a large sky."""
    s.box(0, 0, WIDTH, HEIGHT, "#7fb7e6")
    for x, y in ((180, 110), (760, 80), (900, 190)):
        for u, v in ((0, 0), (60, 14), (-60, 14)):
            s.disc(x + u, y + v, 62, WHITE, high=30)
    s.disc(512, 900, 760, "#c9a35a", high=360, begin=180, end=360)
    for left, top in s.scatter(140, 512, 700, 480, 70):
        s.disc(left, top, 9, s.draw.choice(["#8c8a3c", "#a98a45"]), high=6)
    for x, y, size, turn in ((220, 600, 0.75, 15), (520, 560, 1.15, 35), (830, 610, 0.85, 60)):
        for left, foot, colour in ((-56, -70, WHITE), (10, 10, "#e4ddcf")):
            wall = ((foot, 0), (left, -210), (56, -210), (70, 0))
            s.shape([(x + u * size, y + v * size) for u, v in wall], colour)
        s.shape([(x - 68 * size, y - 205 * size), (x, y - 300 * size), (x + 68 * size, y - 205 * size)], "#3a3a3d")
        s.box(x - 14 * size, y - 60 * size, 28 * size, 60 * size, "#2f5fa8")
        for arm in range(0, 360, 90):
            a = (arm + turn) * pi / 180
            hub, far = (x, y - 215 * size), 190 * size
            end = (hub[0] + far * cos(a), hub[1] + far * sin(a))
            s.line([hub, end], BROWN, 8 * size)
            across, down = -sin(a) * 34 * size, cos(a) * 34 * size
            start = (hub[0] + 50 * size * cos(a), hub[1] + 50 * size * sin(a))
            s.shape([start, end, (end[0] + across, end[1] + down), (start[0] + across, start[1] + down)], "#b58a55")


def eletrico(s: Sheet) -> None:
    """A yellow tram on a steep street between tiled fronts."""
    s.box(0, 0, WIDTH, HEIGHT, "#bfe0f2")
    s.shape([(0, 0), (250, 60), (330, 560), (0, 768)], "#f1d9c0")
    s.shape([(1024, 0), (800, 40), (720, 560), (1024, 768)], "#8fb7d9")
    for x, y in ((40, 120), (150, 140), (50, 330), (170, 330)):
        s.box(x, y, 70, 120, GREEN)
        s.box(x + 8, y + 8, 54, 104, "#d8e8ee")
    for x in range(830, 1024, 44):
        for y in range(90, 600, 44):
            s.box(x, y, 36, 36, "#e9f1f7")
            s.disc(x + 18, y + 18, 9, "#2f5fa8")
    s.shape([(0, 768), (330, 520), (720, 520), (1024, 768)], "#8b8680")
    for x0, x1 in ((430, 300), (610, 740)):
        s.line([(x0, 540), (x1, 768)], "#4a4742", 9)
    s.line([(0, 90), (512, 190), (1024, 70)], BLACK, 3)
    s.line([(512, 190), (540, 260)], BLACK, 6)
    s.box(350, 260, 330, 390, "#f2b705", round_by=34)
    s.box(350, 440, 330, 28, WHITE)
    s.box(366, 250, 298, 40, WHITE, round_by=16)
    for x in (374, 474, 574):
        s.box(x, 310, 84, 118, "#3a4750", round_by=10)
        s.box(x + 8, 318, 68, 102, "#a9c7d6", round_by=8)
    s.disc(515, 520, 36, "#fff3c4")
    s.box(350, 610, 330, 50, "#5b4636", round_by=10)
    for x in (430, 600):
        s.disc(x, 664, 30, BLACK)
