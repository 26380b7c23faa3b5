"""What commands show while they work."""

import pytest

from annotation.screen import progress


def test_a_file_is_told_every_half_minute_how_long_the_stage_still_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter((0, 0, 300, 301, 361, 400, 1000, 1060))
    monkeypatch.setattr("annotation.screen.time.monotonic", lambda: float(next(clock)))
    with progress("training") as bar:
        bar(0, 10, "groups scored")
        bar(9, 10, "groups scored")
        bar(0, 100, "steps")
        bar(2, 100, "steps")
        bar(13, 100, "steps")
        bar(50, 100, "steps")
        bar(100, 100, "steps")
    assert capsys.readouterr().err.splitlines() == [
        "annot: training: 9 of 10 groups scored, about 33 s left",
        "annot: training: 2 of 100 steps, about 49 min left",
        "annot: training: 13 of 100 steps, about 11 min left",
        "annot: training: 50 of 100 steps, about 12 min left",
        "annot: training: 100 of 100 steps",
    ]
