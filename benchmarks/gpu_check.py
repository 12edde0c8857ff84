"""Settles on the GPU at hand what no document tells about its energy meter.

    uv run python benchmarks/gpu_check.py [PART ...] [--gpu INDEX] [--quick] [--json FILE]

Loads the GPU with matrix products and with a model's answers, reads the driver meanwhile, and
prints one table: what was looked at, what was seen, what it means for our figures. Nothing is
asserted, and a part that fails says why in its row. All parts take about nine minutes, two with
`--quick`. It needs torch with CUDA; `--no-load` does what needs a driver only, so that it also runs
on the scripted one of `tests/fakes`. What it measures with is the code of a measurement.
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
from benchmarks.gpu.counter import agreement, exactness
from benchmarks.gpu.load import Load
from benchmarks.gpu.machine import calibration, environment, stamps
from benchmarks.gpu.repeats import repeats
from benchmarks.gpu.tail import tail
from llem_energy import GpuError, MeasurementError
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.nvml_gpu import driver, find_gpus

Part = Callable[[Check], Iterator[Row]]
PARTS: dict[str, Part] = {
    "environment": environment,
    "calibration": calibration,
    "stamps": stamps,
    "exactness": exactness,
    "agreement": agreement,
    "latency": latency,
    "sampler": sampler_cost,
    "tail": tail,
    "blocks": blocks,
    "repeats": repeats,
}
_ONLY_LOADED = ("exactness", "tail", "blocks", "repeats")


def prepare(index: int, *, quick: bool, load: bool) -> Check:
    """Return the check of one GPU.

    Raises:
        MeasurementError: no driver, no such GPU, or torch does not see it.
    """
    with driver():
        n_gpus = len(find_gpus()[0])
    if n_gpus > 1:
        # Before torch is imported. By number, since Zeus reads nothing else; in the driver's order.
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(index)}
    source = NvmlSource([index])
    if not load:
        return Check(source, None, quick=quick)
    try:
        import torch
    except ImportError as error:
        raise GpuError(f"torch cannot be imported ({error}); --no-load does without it") from error
    if not torch.cuda.is_available():
        raise GpuError("torch sees no CUDA device; --no-load does what needs none")
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    if not source.devices[0].endswith(uuid):
        raise GpuError(f"torch uses {uuid}, which is not GPU {index} ({source.devices[0]})")
    try:
        return Check(source, Load(), quick=quick)
    except RuntimeError as error:  # torch's own, e.g. another process holds the memory
        raise GpuError(f"the GPU cannot be loaded ({error})") from error


def perform(name: str, check: Check) -> dict[str, Any]:
    """Print the rows of a part and return them; what it raises is its last row."""
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
    except Exception as error:  # noqa: BLE001  one part must not take the others with it
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
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--gpu", type=int, default=0, metavar="INDEX", help="in NVML's order")
    parser.add_argument("--quick", action="store_true", help="shorter loads, fewer repeats")
    parser.add_argument("--no-load", action="store_true", help="only what needs no CUDA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    given = parser.parse_args()
    if unknown := set(given.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        check = prepare(given.gpu, quick=given.quick, load=not given.no_load)
    except MeasurementError as error:
        raise SystemExit(f"No GPU to check here: {error}.") from None
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}, GPU {given.gpu} {check.uuid}\n")  # fmt: skip
    print("| what | seen | what it means |\n|---|---|---|")
    start_s = time.perf_counter()
    report: dict[str, Any] = {"gpu": check.uuid, "quick": given.quick, "parts": {}}
    for name in given.part or PARTS:
        if given.no_load and name in _ONLY_LOADED:
            continue
        report["parts"][name] = perform(name, check)
        if given.json is not None:  # at once: a machine may be taken back before the last part
            given.json.write_text(json.dumps(report, indent=2, default=str) + "\n", "utf-8")
    print(f"\n{time.perf_counter() - start_s:.0f} s")


if __name__ == "__main__":
    main()
