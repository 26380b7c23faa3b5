"""Energy and carbon of a run, measured by the real library on this machine."""

import json
import time
from pathlib import Path

import pytest

from annotation.errors import SettingsError
from train.footprint import FILE, footprint, measure_energy
from train.settings import FootprintSettings, load_recipe


def work(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_energy_adds_up_over_the_processes_of_a_run(tmp_path: Path) -> None:
    with measure_energy(tmp_path, FootprintSettings(measure=True, country="MX")):
        work(0.2)
    first = footprint(tmp_path)
    assert first is not None
    assert first.kwh > 0
    # Mexico's grid is neither free of carbon nor dirtier than coal (about 1 kg per kWh).
    assert 0.1 < first.kg_co2e / first.kwh < 1.0
    assert (first.grid, first.processes) == ("Mexico", 1)

    with measure_energy(tmp_path, FootprintSettings(measure=True, country="")) as keep:
        work(0.2)
        # What a kill would leave, once the library has looked at the hardware.
        while len(json.loads((tmp_path / FILE).read_text())) < 2:
            keep()
            time.sleep(0.1)
    both = footprint(tmp_path)
    assert both is not None
    assert both.kwh > first.kwh
    assert both.seconds > first.seconds
    # The second process alone: the world's average of 475 g per kWh, as the library has it.
    assert (both.kg_co2e - first.kg_co2e) / (both.kwh - first.kwh) == pytest.approx(0.475, rel=1e-3)


def test_nothing_is_measured_where_nobody_asked(tmp_path: Path) -> None:
    with measure_energy(tmp_path, FootprintSettings(measure=False, country="")):
        pass
    assert footprint(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_country_that_is_none_is_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r'footprint.country.*"ZZ" is no ISO 3166 code; write two letters'):
        load_recipe("cpu-smoke", overrides=("footprint.country=ZZ",))
