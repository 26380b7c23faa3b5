"""Drawings of dishes and drinks for the demo, one a function."""

from __future__ import annotations

from math import cos, pi, sin

from annotation.demo.sheet import BLACK, HEIGHT, RED, WHITE, WIDTH, Sheet


def tacos(s: Sheet) -> None:
    """Three tacos on blue tiles, with lime and salsa."""
    for x in range(0, WIDTH, 128):
        for y in range(0, HEIGHT, 128):
            s.box(x + 2, y + 2, 124, 124, "#2f6f9f" if (x + y) // 128 % 2 else "#e9eef0")
    s.disc(500, 400, 440, "#c96a3a", high=300)
    s.disc(500, 400, 400, "#d98a55", high=265)
    for x in (230, 480, 730):
        s.disc(x, 420, 150, "#e9c46a", turn=-15)
        for u, v in s.scatter(26, x + 4, 400, 95, 80):
            s.disc(u, v, 22, s.draw.choice(["#7b3f24", "#8f4b2a", "#a4552b"]), high=14, turn=s.draw.random() * 180)
        for u, v in s.scatter(30, x, 395, 90, 75):
            s.box(u, v, 11, 11, s.draw.choice([WHITE, "#5aa04a", "#3f8a3a"]))
        s.disc(x, 420, 152, "#d9ae4f", turn=-15, begin=0, end=180)
        s.disc(x - 12, 408, 130, "#e9c46a", turn=-15, begin=20, end=160)
    for x, y in ((870, 250), (890, 600)):
        s.disc(x, y, 62, "#4f8f2f", begin=180, end=360)
        s.disc(x, y, 50, "#cfe39a", begin=180, end=360)
    s.disc(170, 640, 100, "#403733")
    s.disc(170, 640, 80, RED)


def mate(s: Sheet) -> None:
    """A gourd of mate with its bombilla, a kettle, biscuits."""
    s.box(0, 0, WIDTH, 500, "#bcd6dd")
    s.box(0, 500, WIDTH, 268, "#9c6b3f")
    s.shape([(640, 640), (680, 300), (880, 300), (920, 640)], "#5d6d7a")
    s.disc(780, 640, 140, "#5d6d7a", high=34)
    s.disc(780, 300, 100, "#75879a", high=30)
    s.disc(780, 270, 20, BLACK)
    s.line([(680, 330), (600, 380), (560, 330)], "#5d6d7a", 36)
    s.line([(690, 300), (720, 170), (840, 170), (870, 300)], BLACK, 22)
    s.disc(300, 520, 165, "#5b3418", high=180)
    s.disc(300, 370, 110, "#3c210d", high=34)
    s.disc(300, 366, 96, "#71923d", high=26)
    s.disc(300, 372, 60, "#8fae55", high=14)
    s.box(188, 372, 224, 26, "#b9bcc0", round_by=10)
    s.line([(330, 370), (420, 150), (470, 120)], "#c9ccd1", 18)
    s.disc(250, 530, 26, "#7a4a26", high=70)
    for x, y in ((470, 690), (560, 700), (515, 665)):
        s.disc(x, y, 62, "#c98d3c", high=26, turn=-12)


def empanadas(s: Sheet) -> None:
    """Baked empanadas in a half ring on a dark tray, one cut open."""
    s.box(0, 0, WIDTH, HEIGHT, "#e6d5b8")
    for x in range(-40, WIDTH, 120):
        s.box(x, 0, 36, HEIGHT, "#dcc49c")
    s.box(90, 110, 844, 560, "#33302d", round_by=50)
    for row, y in enumerate((340, 570)):
        for number, x in enumerate((250, 510, 770)):
            if (row, number) == (1, 2):
                continue
            s.disc(x, y, 125, "#a9651f", begin=180, end=360, turn=8)
            s.disc(x, y - 6, 110, "#d99a45", begin=180, end=360, turn=8)
            for step in range(185, 360, 16):
                a = (step + 8) * pi / 180
                s.disc(x + 118 * cos(a), y + 118 * sin(a), 14, "#c07f2e")
            for u, v in s.scatter(5, x, y - 45, 60, 22):
                s.disc(u, v, 9, "#b8742a", high=5)
    s.disc(770, 570, 125, "#c07f2e", begin=180, end=360)
    s.disc(770, 564, 100, "#6e3b1f", begin=180, end=360)
    for u, v in s.scatter(30, 770, 525, 80, 30):
        s.disc(u, v, 11, s.draw.choice(["#8d4b28", "#f3e9c9", "#4d6b2d", "#a55a30"]))


def feijoada(s: Sheet) -> None:
    """A clay pot of feijoada with rice, farofa, kale and orange."""
    s.planks("#8c5a33", "#6f4526", every=110)
    s.disc(370, 360, 300, "#3b2418")
    s.disc(370, 360, 262, "#20130d")
    for u, v in s.scatter(230, 370, 360, 245, 245):
        s.disc(u, v, 13, s.draw.choice(["#2c1a14", "#36211a", "#120b08"]), high=9, turn=s.draw.random() * 180)
    for u, v in s.scatter(13, 370, 360, 190, 190):
        s.disc(u, v, 40, s.draw.choice(["#8c3b28", "#a04a30", "#b5654a"]), high=24, turn=s.draw.random() * 180)
    for x, y, inside, bits in (
        (810, 170, WHITE, "#e8e2d2"),
        (850, 400, "#e3b34d", "#c98f2c"),
        (800, 630, "#2f6b2a", "#58964a"),
    ):
        s.disc(x, y, 112, "#b8552f")
        s.disc(x, y, 94, inside)
        for u, v in s.scatter(90, x, y, 84, 84):
            s.disc(u, v, 9, bits, high=4, turn=s.draw.random() * 180)
    for x in (130, 250, 370):
        s.disc(x, 700, 56, "#f08a1d")
        s.disc(x, 700, 46, "#f9b25a")
        for turn in range(0, 180, 45):
            a = turn * pi / 180
            s.line([(x - 44 * cos(a), 700 - 44 * sin(a)), (x + 44 * cos(a), 700 + 44 * sin(a))], "#f7d9a8", 4)


def completo(s: Sheet) -> None:
    """A long bun with sausage, tomato, mashed avocado and mayonnaise, on a paper napkin."""
    s.box(0, 0, WIDTH, HEIGHT, RED)
    for x in range(0, WIDTH, 128):
        for y in range(0, HEIGHT, 128):
            s.box(x, y, 64, 64, WHITE)
            s.box(x + 64, y + 64, 64, 64, WHITE)
    s.shape([(60, 250), (880, 60), (980, 520), (150, 720)], "#f4f1e8")
    s.disc(512, 400, 420, "#a8642a", high=175, turn=-12)
    s.disc(512, 385, 400, "#dba45a", high=150, turn=-12)
    s.disc(512, 380, 415, "#b0452f", high=62, turn=-12)
    for u, v in s.scatter(80, 0, 0, 330, 70):
        s.box(512 + u, 380 + v - u * 0.21, 24, 20, s.draw.choice(["#d8392b", "#e65b45"]))
    s.disc(500, 372, 340, "#7fa63c", high=66, turn=-12)
    for u, v in s.scatter(60, 0, 0, 300, 50):
        s.disc(500 + u, 372 + v - u * 0.21, 14, s.draw.choice(["#93b84e", "#6d9433"]), high=9)
    zigzag = [(200 + 24 * n, 436 - 5.1 * n + (26 if n % 2 else -26)) for n in range(26)]
    s.line(zigzag, "#fff6d6", 15)


def arepas(s: Sheet) -> None:
    """Round white arepas on a griddle, one with cheese, and a cup of hot chocolate."""
    s.box(0, 0, WIDTH, HEIGHT, "#5f8f88")
    for y in range(0, HEIGHT, 64):
        s.line([(0, y), (WIDTH, y)], "#578580", 8)
    s.disc(400, 400, 340, "#1f1f22")
    s.box(700, 370, 330, 60, "#1f1f22", round_by=26)
    s.disc(400, 400, 310, "#343438")
    for x, y in ((270, 280), (530, 300), (290, 540), (540, 550)):
        s.disc(x, y, 122, "#d8c08c")
        s.disc(x - 3, y - 5, 112, "#f4e6c0")
        for u, v in s.scatter(9, x, y, 80, 80):
            s.disc(u, v, 15, s.draw.choice(["#c98f45", "#b57a35"]), high=10, turn=s.draw.random() * 180)
    s.box(480, 492, 120, 112, "#fff9e0", round_by=10)
    s.box(492, 504, 96, 88, "#fdf0b4", round_by=8)
    s.disc(860, 180, 118, "#b8432f")
    s.disc(860, 180, 98, "#5a2f1a")
    s.disc(845, 170, 50, "#8a5230", high=34)
    s.box(950, 150, 66, 60, "#b8432f", round_by=24)


def paella(s: Sheet) -> None:
    """A wide two-handled pan of yellow rice with rabbit, flat beans, big white beans and rosemary."""
    s.box(0, 0, WIDTH, HEIGHT, "#d9d3c6")
    for u, v in s.scatter(260, 512, 384, 560, 420):
        s.disc(u, v, 5, "#c2bbab")
    for x in (100, 924):
        s.disc(x, 384, 62, "#8f1f1a", high=92)
        s.disc(x, 384, 34, "#d9d3c6", high=60)
    s.disc(512, 384, 366, "#2a2a2c")
    s.disc(512, 384, 336, "#e0a528")
    for u, v in s.scatter(900, 512, 384, 325, 325):
        s.disc(u, v, 9, s.draw.choice(["#f1c04a", "#d4941d", "#f6d06a"]), high=4, turn=s.draw.random() * 180)
    for u, v in s.scatter(16, 512, 384, 260, 260):
        s.disc(u, v, 44, s.draw.choice(["#9a5a2a", "#ad6a35"]), high=27, turn=s.draw.random() * 180)
    for u, v in s.scatter(26, 512, 384, 280, 280):
        s.disc(u, v, 42, "#4f8a34", high=9, turn=s.draw.random() * 180)
    for u, v in s.scatter(20, 512, 384, 280, 280):
        s.disc(u, v, 18, "#f3ead2", high=11, turn=s.draw.random() * 180)
    s.line([(440, 470), (620, 330)], "#3c5b32", 7)
    for n in range(12):
        x, y = 440 + n * 15, 470 - n * 11.7
        s.line([(x - 16, y - 22), (x, y), (x + 24, y + 16)], "#4d7340", 5)


def ceviche(s: Sheet) -> None:
    """A deep plate of ceviche with sweet potato, corn, red onion and lettuce."""
    s.box(0, 0, WIDTH, HEIGHT, "#183a55")
    s.shape([(0, 560), (1024, 380), (1024, 768), (0, 768)], "#f0efe9")
    s.disc(512, 440, 430, "#0f2638", high=300)
    s.disc(512, 415, 430, "#dfe8ea", high=300)
    s.disc(512, 415, 360, WHITE, high=240)
    s.disc(220, 380, 110, "#6aa544", high=74, turn=-30)
    s.disc(205, 372, 76, "#93c66a", high=44, turn=-30)
    for u, v in s.scatter(62, 500, 400, 180, 120):
        s.box(u - 28, v - 22, 58, 46, s.draw.choice(["#f7ede2", "#f1dfd2", "#fbf3ec"]), round_by=12)
    for u, v in s.scatter(26, 500, 385, 170, 110):
        bend = s.draw.random() * 360
        s.disc(u, v, 50, "#a33a7a", high=34, begin=bend, end=bend + 90)
        s.disc(u, v, 44, "#f1dbe8", high=28, begin=bend, end=bend + 90)
    for x, y in ((760, 300), (790, 380), (770, 460)):
        s.disc(x, y, 66, "#e0782a", high=40, turn=-20)
        s.disc(x, y - 5, 56, "#f0934a", high=30, turn=-20)
    for u, v in s.scatter(34, 400, 580, 150, 44):
        s.disc(u, v, 17, s.draw.choice(["#fbf0c9", "#f1dfa0"]), high=14)
    for u, v in s.scatter(16, 500, 380, 160, 100):
        s.box(u, v, 14, 9, s.draw.choice(["#d22f2f", "#3f8a3a"]))
    s.disc(900, 120, 76, "#5c9a2f", high=62)
    s.disc(900, 120, 62, "#d5e8a4", high=50)


def natas(s: Sheet) -> None:
    """Custard tarts on a white saucer and a small coffee, on a marble table."""
    s.box(0, 0, WIDTH, HEIGHT, "#e9e9e6")
    for _ in range(14):
        x, y = s.draw.random() * WIDTH, s.draw.random() * HEIGHT
        s.line([(x, y), (x + 190, y + 60), (x + 300, y + 180)], "#d6d6d2", 5)
    s.plate(370, 440, 320, rim="#3769a8")
    for x, y in ((260, 350), (490, 370), (360, 560)):
        s.disc(x, y, 128, "#b5742d")
        for turn in range(0, 360, 20):
            a = turn * pi / 180
            s.disc(x + 112 * cos(a), y + 112 * sin(a), 22, "#d9a154")
        s.disc(x, y, 100, "#f4c542")
        for u, v in s.scatter(8, x, y, 70, 70):
            s.disc(u, v, 24, s.draw.choice(["#7b3f14", "#99551c", "#5b2d10"]), high=15, turn=s.draw.random() * 180)
    s.disc(830, 230, 150, "#d0d3d4")
    s.disc(830, 225, 140, "#fdfdfb")
    s.disc(830, 220, 84, "#d8dadb")
    s.disc(830, 220, 70, "#3b1f10")
    s.disc(830, 220, 50, "#6f4424")
    s.box(905, 196, 62, 40, "#fdfdfb", round_by=18)
    s.line([(700, 620), (960, 520)], "#a9adb0", 16)
    s.disc(700, 622, 44, "#a9adb0", high=26, turn=-20)
