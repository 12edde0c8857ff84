"""Measures the undocumented properties of the energy meter of a GPU.

    uv run python benchmarks/gpu_check.py [PART ...] [--gpu INDEX] [--quick] [--json FILE]

Loads the GPU with matrix products and with a generating model, reads the driver at the same time,
and prints one table: what was checked, what was seen, what it means for our figures. Nothing is
asserted; if a part fails, its row shows the error. All parts take about ten minutes, or three with
`--quick`. They need torch with CUDA. With `--no-load` only the parts that need no CUDA run, so the
check also works with the scripted driver of `tests/fakes`. The measurement code is that of `measure`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.gpu.blocks import blocks
from benchmarks.gpu.check import Check, Row
from benchmarks.gpu.costs import latency, sampler_cost
from benchmarks.gpu.counter import agreement, exactness, part_time_places
from benchmarks.gpu.load import Load
from benchmarks.gpu.machine import calibration, environment, stamps
from benchmarks.gpu.repeats import repeats
from benchmarks.gpu.tail import power_tail
from llem_energy import MeasurementError
from llem_energy._sources.nvml_gpu import driver, find_gpus
from llem_energy.sources import NvmlSource

Part = Callable[[Check], Iterator[Row]]
PARTS: dict[str, Part] = {
    "environment": environment,
    "calibration": calibration,
    "stamps": stamps,
    "exactness": exactness,
    "part-time": part_time_places,
    "agreement": agreement,
    "latency": latency,
    "sampler": sampler_cost,
    "tail": power_tail,
    "blocks": blocks,
    "repeats": repeats,
}
_NEED_LOAD = ("exactness", "part-time", "tail", "blocks", "repeats")


def prepare(index: int, *, quick: bool, load: bool) -> Check:
    """Return the check of one GPU.

    Raises:
        MeasurementError: there is no driver or no such GPU, or torch does not see it.
    """
    with driver():
        n_gpus = len(find_gpus()[0])
    if n_gpus > 1:
        # Before torch is imported. As an index in the order of the driver, because Zeus reads only
        # indices.
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(index)}
    source = NvmlSource([index])
    if not load:
        return Check(source, None, quick=quick)
    return Check(source, Load(source.devices[0]), quick=quick)


def perform(name: str, check: Check) -> dict[str, Any]:
    """Print the rows of a part and return them; if it raises, the error is the last row."""
    start_s = time.perf_counter()
    rows: list[Row] = []
    failed = None

    def show(row: Row) -> None:
        rows.append(row)
        cells = (
            cell.replace("|", "/").replace("\n", " ") for cell in (row.what, row.seen, row.means)
        )
        print(f"| {' | '.join(cells)} |", flush=True)

    try:
        for row in PARTS[name](check):
            show(row)
    except Exception as error:  # noqa: BLE001  the other parts must still run
        failed = f"{type(error).__name__}: {error}"
        show(Row(name, f"failed: {failed}"))
    return {
        "seconds": time.perf_counter() - start_s,
        "failed": failed,
        "rows": [[row.what, row.seen, row.means] for row in rows],
        "figures": {key: value for row in rows for key, value in row.figures.items()},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument(
        "--gpu", type=int, default=0, metavar="INDEX", help="index in the order of NVML"
    )
    parser.add_argument("--quick", action="store_true", help="shorter loads, fewer repeats")
    parser.add_argument("--no-load", action="store_true", help="only the parts that need no CUDA")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all figures to this file"
    )
    options = parser.parse_args()
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"expected parts among {', '.join(PARTS)}, found {', '.join(sorted(unknown))}")
    try:
        check = prepare(options.gpu, quick=options.quick, load=not options.no_load)
    except MeasurementError as error:
        raise SystemExit(f"no GPU to check: {error}") from None
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}, GPU {options.gpu} {check.uuid}\n")  # fmt: skip
    print("| what | seen | what it means |\n|---|---|---|")
    start_s = time.perf_counter()
    report: dict[str, Any] = {"gpu": check.uuid, "quick": options.quick, "parts": {}}
    for name in options.part or PARTS:
        if options.no_load and name in _NEED_LOAD:
            continue
        report["parts"][name] = perform(name, check)
        if options.json is not None:  # after each part: the machine may go away before the last
            options.json.write_text(json.dumps(report, indent=2, default=str) + "\n", "utf-8")
    print(f"\n{time.perf_counter() - start_s:.0f} s")


if __name__ == "__main__":
    main()
