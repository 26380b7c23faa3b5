"""How long `annot --help` takes beside an interpreter that does nothing: both in turn, in one run.

Run: .venv/bin/python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

RUNS = 20
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "annot --help": [sys.executable, "-m", "annotation.cli", "--help"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure in the order A B A B … after one run of each that does not count."""
    for command in COMMANDS.values():
        seconds(command)
    times = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(RUNS)]
    for name in COMMANDS:
        own = sorted(row[name] for row in times)
        print(f"{name:16} median {statistics.median(own):.3f} s   min {own[0]:.3f}   max {own[-1]:.3f}")
    ratios = [row["annot --help"] / row["python -c pass"] for row in times]
    print(f"ratio            median {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
