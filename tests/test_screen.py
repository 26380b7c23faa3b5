"""What a command says of how far it is."""

import time

import pytest

from annotation.screen import progress, time_left


@pytest.mark.parametrize(
    ("done", "left", "seconds", "words"),
    [
        (0, 10, 5.0, ""),
        (10, 0, 5.0, ""),
        (10, 10, 30.0, "less than a minute left"),
        (10, 40, 30.0, "about 2 min left"),
        (1, 99, 60.0, "about 1.6 h left"),
    ],
)
def test_the_time_left_is_told_in_words(done: int, left: int, seconds: float, words: str) -> None:
    assert time_left(done, left, seconds) == words


def test_a_log_says_how_far_each_step_is_and_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with progress("selecting") as report:
        for clock[0], done, total, note in (
            (0.0, 0, 300, "loading"),
            (60.0, 100, 300, ""),
            (90.0, 0, 50, "languages"),
            (120.0, 10, 50, ""),
            (150.0, 0, 50, "another step as long"),
            (180.0, 25, 50, ""),
        ):
            report(done, total, note)
    assert capsys.readouterr().err.splitlines() == [
        "annot: selecting: 100 of 300, about 2 min left",
        "annot: selecting: 0 of 50 languages",
        "annot: selecting: 10 of 50, about 2 min left",
        "annot: selecting: 0 of 50 another step as long",
        "annot: selecting: 25 of 50, less than a minute left",
    ]
