"""Energy and carbon of a run, by codecarbon in offline mode: kept with the run, added up over its processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from annotation.files import write_whole
from annotation.ledger_file import now
from train.run_folder import read_facts
from train.settings import FootprintSettings

FILE = "energy.json"
"""In the run's folder: start of a process -> what it used up to its last flush."""

MEASURE_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """Energy and carbon of all processes of a run. CPU and memory are estimated where the machine has no counter.

    Attributes:
        kwh: Energy of CPU, GPU and memory, in kilowatt-hours.
        gpu_kwh: The GPU's part.
        kg_co2e: Carbon dioxide equivalent of producing it, in kilograms.
        seconds: Measured wall time.
        processes: Starts of the run; energy since the last flush of one that was killed is not counted.
        grid: Whose electricity the carbon is reckoned for.
        hardware: CPU and GPU of the newest process.
    """

    kwh: float
    gpu_kwh: float
    kg_co2e: float
    seconds: float
    processes: int
    grid: str
    hardware: str

    def line(self) -> str:
        """One line for a report."""
        return (
            f"{self.kwh:.2g} kWh ({self.gpu_kwh:.2g} of the GPU) and {self.kg_co2e:.2g} kg CO2e in "
            f"{self.seconds:.0f} s on {self.hardware}; carbon of {self.grid}"
        )


@contextmanager
def measure_energy(folder: Path, settings: FootprintSettings) -> Iterator[Callable[[], None]]:
    """Measure this process and the machine's GPU while the block runs; nothing is sent anywhere.

    Yields:
        A function that writes what was used so far, for the moments at which a checkpoint is written.
    """
    if not settings.measure:
        yield lambda: None
        return
    os.environ["CODECARBON_LOG_LEVEL"] = "CRITICAL"  # read when it is imported; until told it speaks on standard error
    from codecarbon import OfflineEmissionsTracker
    from codecarbon.output import BaseOutput

    class Newest(BaseOutput):  # type: ignore[misc]
        total: Any = None

        def out(self, total: Any, delta: Any) -> None:  # noqa: ARG002
            self.total = total

    _kept(folder / FILE)  # refused before hours of training, not after
    started, newest = now(), Newest()
    tracker = OfflineEmissionsTracker(
        **_grid(settings.country),
        tracking_mode="process",
        measure_power_secs=MEASURE_EVERY_S,
        save_to_file=False,
        output_handlers=[newest],
        log_level="critical",
        allow_multiple_runs=True,
    )
    # Looking at the hardware takes two seconds, nearly all of them spent waiting.
    starting = Thread(target=tracker.start, name="footprint", daemon=True)
    starting.start()

    def keep() -> None:
        if not starting.is_alive():
            tracker.flush()
            _write(folder, started, newest.total, settings.country)

    try:
        yield keep
    finally:
        starting.join()
        tracker.stop()
        _write(folder, started, newest.total, settings.country)


def footprint(folder: Path) -> Footprint | None:
    """Energy and carbon of a run so far; None where nothing was measured."""
    path = folder / FILE
    if not path.exists():
        return None
    processes = list(_kept(path).values())
    total = {key: sum(one[key] for one in processes) for key in ("kwh", "gpu_kwh", "kg_co2e", "seconds")}
    return Footprint(**total, processes=len(processes), grid=processes[-1]["grid"], hardware=processes[-1]["hardware"])


def _grid(country: str) -> dict[str, Any]:
    import pycountry
    from codecarbon.input import DataSource

    if not country:
        # Any country would do: its figure is overruled by the world's.
        world = DataSource().get_carbon_intensity_per_source_data()["world_average"]
        return {"country_iso_code": "FRA", "force_carbon_intensity_g_co2e_kwh": float(world)}
    return {"country_iso_code": pycountry.countries.lookup(country).alpha_3}


def _kept(path: Path) -> dict[str, Any]:
    """Energy of each process of the run, by the time at which it began."""
    remedy = "remove it and run the same command again: what was used until then is not counted"
    return read_facts(path, {}, remedy) if path.exists() else {}


def _write(folder: Path, started: str, data: Any, country: str) -> None:
    path = folder / FILE
    kept = _kept(path)
    kept[started] = {
        "kwh": data.energy_consumed,
        "gpu_kwh": data.gpu_energy,
        "kg_co2e": data.emissions,
        "seconds": data.duration,
        "grid": data.country_name if country else "the world's average grid",
        "hardware": " and ".join(part for part in (data.cpu_model, data.gpu_model) if part),
    }
    write_whole(path, json.dumps(kept, ensure_ascii=False, indent=2).encode())
