"""Accuracy and cost of `EnergyMeter` around arbitrary code, beside ZeusMonitor in the same run.

    uv run python benchmarks/energy_meter.py [PART ...] [--quick]

Our meter runs in real time, with its thread, on the scripted driver of `tests/fakes`, through its
public API. Zeus measures the same windows of the same power on the virtual clock, where nothing
disturbs it. The true energy is a closed form. Each row has a goal; nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from benchmarks.energy.bench import Bench
from benchmarks.energy.meter_costs import cost, edges, imports
from benchmarks.energy.meter_errors import bound, busy, idle
from benchmarks.energy.meter_programs import compare, libraries, migration

PARTS = {
    "import": imports,
    "busy": busy,
    "idle": idle,
    "bound": bound,
    "edges": edges,
    "cost": cost,
    "libraries": libraries,
    "migration": migration,
    "compare": compare,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer windows")
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| what | goal | ours | peer | ratio or note | met |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=options.quick)
        for name in options.part or PARTS:
            for row in PARTS[name](bench):
                print(f"| {' | '.join(row.cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
