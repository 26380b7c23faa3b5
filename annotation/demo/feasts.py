"""Drawings of feasts for the demo, one a function."""

from __future__ import annotations

from math import cos, pi, sin

from annotation.demo.sheet import BLACK, BROWN, GREEN, HEIGHT, RED, WHITE, WIDTH, YELLOW, Sheet


def altar(s: Sheet) -> None:
    """An altar of the Day of the Dead: steps, candles, marigolds, bread, cut paper."""
    s.box(0, 0, WIDTH, HEIGHT, "#3a1f4d")
    for number, colour in enumerate(("#d63384", "#f28c28", "#7b4fb5", "#2a9d8f", "#e63946", "#f2c230")):
        x = number * 172 + 6
        s.box(x, 20, 158, 110, colour)
        for u in range(3):
            s.disc(x + 38 + u * 41, 62, 14, "#3a1f4d")
            s.shape([(x + u * 53, 130), (x + 26 + u * 53, 104), (x + 53 + u * 53, 130)], "#3a1f4d")
    for level, (left, top) in enumerate(((250, 300), (150, 450), (50, 600))):
        s.box(left, top, WIDTH - 2 * left, 170, ("#f7e7ce", "#f28c28", "#d63384")[level])
        for x in range(left + 20, WIDTH - left, 44):
            s.disc(x, top + 6, 24, "#f28c28" if level != 1 else "#f2b705")
            s.disc(x, top + 6, 11, "#d97706")
    s.box(440, 165, 144, 130, "#8a5a2b")
    s.box(456, 181, 112, 98, "#e8dcc3")
    s.disc(512, 218, 22, "#9b8b78")
    s.disc(512, 276, 40, "#9b8b78", high=36, begin=180, end=360)
    for x, y in ((320, 300), (700, 300), (220, 450), (800, 450), (110, 600), (910, 600)):
        s.box(x - 14, y - 90, 28, 84, WHITE)
        s.disc(x, y - 108, 12, YELLOW, high=24)
    for x, y in ((400, 555), (620, 555)):
        s.disc(x, y, 70, "#b9722d", high=44)
        s.line([(x - 52, y - 12), (x + 52, y + 12)], "#d99a4e", 16)
        s.line([(x - 52, y + 12), (x + 52, y - 12)], "#d99a4e", 16)
        s.disc(x, y, 16, "#e0a85c")
    s.disc(512, 690, 40, WHITE)
    s.box(490, 706, 44, 34, WHITE, round_by=8)
    for x in (496, 528):
        s.disc(x, 688, 11, BLACK)


def sao_joao(s: Sheet) -> None:
    """A June night: bunting, paper balloon lamps, a bonfire, corn."""
    s.box(0, 0, WIDTH, 560, "#16224a")
    s.box(0, 560, WIDTH, 208, "#6e4a2c")
    for x, y in s.scatter(60, 512, 240, 520, 230):
        s.disc(x, y, 3, WHITE)
    for sag, top in ((70, 40), (90, 130), (60, 235)):
        rope = s.arc(0, top, WIDTH, top, sag)
        s.line(rope, WHITE, 3)
        for number, (x, y) in enumerate(rope):
            colour = (RED, YELLOW, "#3fa34d", "#2f80d0", "#e75a9a")[number % 5]
            s.shape([(x - 20, y), (x + 20, y), (x + 20, y + 54), (x, y + 36), (x - 20, y + 54)], colour)
    for x, colour in ((170, "#e75a9a"), (860, "#3fa34d")):
        s.shape([(x, 330), (x + 60, 390), (x, 470), (x - 60, 390)], colour)
        s.shape([(x, 330), (x + 22, 390), (x, 470), (x - 22, 390)], YELLOW)
    for x in (420, 470, 520, 570, 620):
        s.line([(x, 700), (1024 - x + 10, 560)], "#4a2c16", 26)
    for across, high, colour in ((125, 260, "#e2571c"), (90, 200, "#f58f1d"), (52, 130, "#ffd24a")):
        edge = ((-1, 0), (-0.7, 0.6), (-0.3, 0.45), (0.06, 1), (0.4, 0.5), (0.7, 0.7), (1, 0))
        s.shape([(512 + across * u, 640 - high * v) for u, v in edge], colour)
    for x in (120, 190, 830, 900):
        s.disc(x, 690, 24, YELLOW, high=60, turn=12)
        s.disc(x - 18, 700, 14, "#6b9c3a", high=58, turn=-14)


def dieciocho(s: Sheet) -> None:
    """September in the park: kites, a stall of branches with garlands of three colours, a grill."""
    s.box(0, 0, WIDTH, 520, "#a7d8f0")
    s.shape([(0, 520), (200, 330), (330, 420), (520, 250), (720, 430), (850, 340), (1024, 520)], "#8fa3b5")
    s.shape([(470, 297), (520, 250), (570, 297), (545, 320), (520, 300), (495, 320)], WHITE)
    s.box(0, 500, WIDTH, 268, "#74b04c")
    for x, y, colour in ((160, 140, RED), (420, 90, "#1e50a2"), (800, 150, YELLOW)):
        s.shape([(x, y - 70), (x + 60, y), (x, y + 80), (x - 60, y)], colour)
        s.shape([(x, y - 70), (x + 60, y), (x, y + 80)], WHITE)
        s.line([(x, y + 80), (x + 20, y + 130), (x - 10, y + 180), (x + 40, y + 330)], "#555555", 3)
    s.box(560, 400, 400, 250, "#8a5a2b")
    s.box(590, 440, 340, 210, "#3a2412")
    for x in range(540, 980, 22):
        s.disc(x, 392, 46, s.draw.choice(["#2f6b2a", "#3f7d3a", "#528f45"]), high=26, turn=s.draw.random() * 90)
    for number, x in enumerate(range(566, 960, 36)):
        s.shape([(x, 440), (x + 36, 440), (x + 18, 486)], ("#1e50a2", WHITE, RED)[number % 3])
    s.box(590, 560, 340, 28, "#b98042")
    for x in (640, 720, 800, 880):
        s.disc(x, 560, 30, "#d99a45", begin=180, end=360)
    s.box(120, 600, 260, 46, "#333333", round_by=10)
    s.line([(150, 646), (120, 740)], "#333333", 10)
    s.line([(350, 646), (380, 740)], "#333333", 10)
    for x in range(150, 360, 52):
        s.disc(x, 596, 26, "#a0522d", high=15)
    for x in (170, 250, 330):
        s.line(s.arc(x, 560, x + 20, 430, 14), "#d8d8d8", 9)


def marimonda(s: Sheet) -> None:
    """A carnival mask with a long nose and big ears, in bright patches, and confetti."""
    s.box(0, 0, WIDTH, HEIGHT, "#f7c948")
    for number, turn in enumerate(range(0, 360, 20)):
        if number % 2:
            ray = [(512 + 900 * cos(a * pi / 180), 384 + 900 * sin(a * pi / 180)) for a in (turn, turn + 20)]
            s.shape([(512, 384), *ray], "#f39c3d")
    for x, colour in ((230, "#d63384"), (794, "#1e9e8a")):
        s.disc(x, 350, 150, colour, high=180)
        s.disc(x, 350, 100, WHITE, high=128)
        s.disc(x, 350, 60, colour, high=84)
    s.disc(512, 380, 250, "#2b5fb5", high=300)
    s.disc(512, 380, 250, "#7d3cb5", high=300, begin=270, end=450)
    for x in (410, 614):
        s.disc(x, 300, 72, YELLOW)
        s.disc(x, 300, 52, WHITE)
        s.disc(x, 306, 22, BLACK)
    s.disc(512, 590, 110, RED, high=46)
    s.disc(512, 590, 84, BLACK, high=22)
    s.box(470, 360, 84, 300, "#3fa34d", round_by=40)
    for y in range(400, 640, 50):
        s.box(470, y, 84, 12, YELLOW)
    for left, top in s.scatter(150, 512, 384, 620, 460):
        if abs(left - 512) > 300 or abs(top - 384) > 320:
            s.box(left, top, 16, 16, s.draw.choice([RED, "#1e9e8a", "#7d3cb5", WHITE]))


def feria(s: Sheet) -> None:
    """A fair in Andalusia at night: rows of paper lanterns over striped canvas booths."""
    s.box(0, 0, WIDTH, HEIGHT, "#1a1533")
    for top, sag in ((20, 60), (110, 70), (210, 60)):
        rope = s.arc(0, top, WIDTH, top, sag)
        s.line(rope, "#574f7a", 3)
        for number, (x, y) in enumerate(rope):
            s.disc(x, y + 30, 32, (RED, WHITE)[number % 2])
            s.disc(x, y + 30, 32, "#f4a698" if number % 2 == 0 else "#f7e3c0", high=10)
    for x, colour in ((40, RED), (360, GREEN), (680, RED)):
        for stripe in range(6):
            s.box(x + stripe * 50, 430, 50, 250, colour if stripe % 2 == 0 else WHITE)
        s.shape([(x - 16, 440), (x + 150, 340), (x + 316, 440)], colour)
        s.disc(x + 150, 400, 24, YELLOW)
        s.shape([(x + 70, 680), (x + 110, 480), (x + 190, 480), (x + 230, 680)], "#4a2419")
        s.disc(x + 150, 610, 62, BROWN, high=16)
        s.line([(x + 150, 610), (x + 150, 680)], BROWN, 12)
    s.box(0, 680, WIDTH, 88, "#d9a441")
    for x, y in s.scatter(90, 512, 724, 520, 40):
        s.disc(x, y, 5, "#c08f35")


def inti_raymi(s: Sheet) -> None:
    """A golden sun with a face over stone walls with terraces, and a bowl of chicha."""
    s.box(0, 0, WIDTH, HEIGHT, "#3aa0d8")
    for turn in range(0, 360, 15):
        a = turn * pi / 180
        far, near = 330 if turn % 30 == 0 else 270, (a - 0.1, a + 0.1)
        tip = (512 + far * cos(a), 300 + far * sin(a))
        s.shape([tip, *((512 + 190 * cos(b), 300 + 190 * sin(b)) for b in near)], YELLOW)
    s.disc(512, 300, 205, "#c98f14")
    s.disc(512, 300, 188, YELLOW)
    for x in (440, 584):
        s.box(x - 34, 246, 68, 40, "#8c6210", round_by=8)
        s.box(x - 16, 254, 32, 24, WHITE, round_by=6)
    s.shape([(512, 270), (544, 350), (480, 350)], "#c98f14")
    s.box(440, 376, 144, 36, "#8c6210", round_by=8)
    for x in range(450, 580, 24):
        s.box(x, 384, 14, 20, WHITE)
    for row, y in enumerate((560, 630, 700)):
        for x in range(-60 + row % 2 * 60, WIDTH, 120):
            s.box(x + 3, y + 3, 114, 64, s.draw.choice(["#8d877b", "#9c968a", "#7c766b"]), round_by=12)
    for x in (130, 890):
        s.line([(x, 620), (x, 330)], BROWN, 12)
        for number, stripe in enumerate(("#d7263d", "#f46036", "#f2c230", "#3fa34d", "#2f80d0", "#7d3cb5")):
            s.box(x, 340 + number * 22, 100, 22, stripe)
    s.disc(512, 560, 110, "#8a4b23", high=70, begin=0, end=180)
    s.disc(512, 560, 110, "#5d2f14", high=24)
    s.disc(512, 560, 92, "#e7c35a", high=16)


def santos_populares(s: Sheet) -> None:
    """June in Lisbon: sardines on a grill, a pot of basil with a paper carnation, streamers."""
    s.box(0, 0, WIDTH, HEIGHT, "#f3ead7")
    for x in range(0, WIDTH, 102):
        for y in range(0, 420, 105):
            s.box(x + 3, y + 3, 96, 99, "#e2ecf4")
            s.disc(x + 51, y + 52, 30, "#3b6fb0")
            s.disc(x + 51, y + 52, 16, "#e2ecf4")
    for top, sag in ((0, 120), (30, 190)):
        for number, (u, v) in enumerate(s.arc(0, top, WIDTH, top, sag)):
            s.box(u - 24, v, 40, 60, (RED, GREEN, YELLOW, "#e75a9a", "#2f80d0")[number % 5], round_by=12)
    s.box(40, 470, 640, 240, "#2e2b2a", round_by=16)
    for u, v in s.scatter(90, 360, 590, 290, 95):
        s.disc(u, v, 16, s.draw.choice(["#e2571c", "#7a2b12", "#f58f1d", "#3b3230"]))
    for x in range(60, 680, 28):
        s.line([(x, 480), (x, 700)], "#9a9a9a", 5)
    for number in range(5):
        x = 130 + number * 118
        s.disc(x, 580, 36, "#6f8796", high=118, turn=8)
        s.disc(x - 8, 580, 20, "#b9c9d2", high=96, turn=8)
        s.shape([(x - 16, 690), (x - 50, 730), (x + 16, 726)], "#6f8796")
        s.disc(x + 12, 492, 6, BLACK)
    s.shape([(760, 560), (960, 560), (930, 730), (790, 730)], "#b8552f")
    s.disc(860, 480, 150, "#3f7d3a", high=120)
    for u, v in s.scatter(160, 860, 480, 140, 112):
        s.disc(u, v, 12, s.draw.choice(["#56994a", "#2f6b2a", "#6fb35c"]), high=8)
    s.line([(880, 450), (900, 300)], GREEN, 6)
    for u, v in s.scatter(20, 900, 290, 34, 30):
        s.disc(u, v, 14, s.draw.choice([RED, "#e0564a"]))
    s.box(905, 330, 80, 50, WHITE)
