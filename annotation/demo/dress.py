"""Drawings of dress for the demo."""

from __future__ import annotations

from math import cos, pi, sin

from annotation.demo.sheet import BLACK, GREEN, HEIGHT, RED, WHITE, WIDTH, YELLOW, Sheet


def huipil(s: Sheet) -> None:
    """A white huipil with bands of flowers, spread out."""
    s.planks("#cdb79a", "#b49b7b", every=150)
    right = [(774, 90), (930, 250), (880, 330), (800, 280), (800, 720)]
    s.shape([*right, *((WIDTH - x, y) for x, y in reversed(right))], WHITE)
    s.shape([(412, 90), (612, 90), (560, 190), (464, 190)], "#cdb79a")
    s.line([(404, 90), (458, 200), (566, 200), (620, 90)], RED, 16)
    for y, colour in ((250, "#c2185b"), (610, "#1565a8")):
        s.box(232, y, 560, 84, colour)
        for number, x in enumerate(range(270, 790, 70)):
            for turn in range(0, 360, 60):
                a = turn * pi / 180
                s.disc(x + 18 * cos(a), y + 42 + 18 * sin(a), 11, (YELLOW, "#ff8a3d", WHITE)[number % 3])
            s.disc(x, y + 42, 9, "#6d2c8f")
    for x in range(240, 790, 40):
        s.shape([(x, 420), (x + 20, 380), (x + 40, 420), (x + 20, 460)], GREEN if x // 40 % 2 else RED)
    for x in range(226, 800, 14):
        s.line([(x, 718), (x, 750)], "#e7dcc6", 5)


def sombrero_vueltiao(s: Sheet) -> None:
    """A wide hat woven of light and black cane, in rings."""
    s.box(0, 0, WIDTH, HEIGHT, "#2a9d8f")
    s.disc(512, 560, 430, "#1f7a6f", high=110)
    s.disc(512, 500, 450, "#efe2c0", high=150)
    for number, across in enumerate(range(440, 190, -42)):
        s.disc(512, 500 - number * 3, across, BLACK if number % 2 == 0 else "#efe2c0", high=across / 3)
    for turn in range(0, 360, 12):
        a = turn * pi / 180
        corners = ((420, 0), (396, 0.07), (372, 0), (396, -0.07))
        s.shape([(512 + u * cos(a + w), 500 + u / 3 * sin(a + w)) for u, w in corners], "#c9a86a")
    s.shape([(330, 480), (352, 250), (420, 180), (512, 215), (604, 180), (672, 250), (694, 480)], "#efe2c0")
    s.disc(512, 480, 182, "#efe2c0", high=52)
    for number, y in enumerate(range(280, 500, 44)):
        half = 160 + (y - 280) * 0.1
        s.line(s.arc(512 - half, y, 512 + half, y, 44), BLACK, 16)
        for x in range(int(520 - half), int(500 + half), 36):
            if number % 2:
                s.box(x, y + 30, 12, 16, "#8b5e2e")
    s.line([(420, 182), (512, 218), (604, 182)], "#b79a62", 8)


def chullo(s: Sheet) -> None:
    """A knitted cap with ear flaps, bands of patterns and tassels."""
    s.box(0, 0, WIDTH, HEIGHT, "#d7dfe4")
    s.shape([(300, 470), (330, 250), (420, 150), (512, 110), (604, 150), (694, 250), (724, 470)], RED)
    s.shape([(300, 460), (430, 460), (400, 600), (365, 630), (330, 600)], RED)
    s.shape([(594, 460), (724, 460), (694, 600), (659, 630), (624, 600)], RED)
    s.shape([(312, 380), (712, 380), (722, 460), (302, 460)], "#1e50a2")
    for x in range(330, 700, 60):
        s.shape([(x, 420), (x + 26, 388), (x + 52, 420), (x + 26, 452)], YELLOW)
        s.shape([(x + 13, 420), (x + 26, 404), (x + 39, 420), (x + 26, 436)], RED)
    s.shape([(336, 270), (688, 270), (704, 330), (322, 330)], "#2a9d8f")
    for x in range(346, 680, 44):
        s.box(x, 296, 30, 18, WHITE)
        s.box(x + 20, 280, 8, 20, WHITE)
        for u in (4, 20):
            s.box(x + u, 312, 6, 14, WHITE)
    for x, y in ((512, 84), (365, 690), (659, 690)):
        for turn in range(0, 360, 24):
            a = turn * pi / 180
            colour = s.draw.choice([YELLOW, "#2a9d8f", "#d63384", "#1e50a2"])
            s.line([(x, y), (x + 48 * cos(a), y + 48 * sin(a))], colour, 12)
    for x in (365, 659):
        s.line([(x, 625), (x, 680)], "#7d3cb5", 14)
    for x in range(318, 420, 22):
        s.disc(x + 6, 500, 7, WHITE)
        s.disc(x + 294, 500, 7, WHITE)
