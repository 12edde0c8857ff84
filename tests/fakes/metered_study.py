"""A study on a scripted GPU, and the log of a meter in front of the node that contains it.

Nothing waits: the samples of each run are computed from the script, with the gain of the GPU's sensor.
The log shows the true power of the GPU through a power supply, with an offset, another clock and noise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fakes.fake_nvml import FakeGpu, true_energy_j
from report.tables.folders import SAMPLES, study_of, write_folder

EPOCH_S = 1_767_225_600.0
"""Unix time of the script's zero: 2026-01-01T00:00:00Z."""
_OFFSET_S = 1_750_000_000.25  # `wall_offset_s` of `SAMPLES`
_IDLE_W, _IDLE_S, _WINDOW_S = 80.0, 7.0, 13.0
LEVELS_W = (150.0, 420.0, 260.0, 610.0, 340.0, 190.0, 520.0, 300.0)


def scripted_gpu(
    levels_w: Sequence[float] = LEVELS_W, gain: float = 1.04, uuid: str = "GPU-1"
) -> FakeGpu:
    """Return a GPU that idles, and works once for each level; its counter shows `gain` x the truth."""
    points = [(0.0, _IDLE_W)]
    for start_s, end_s, power_w in _windows(levels_w):
        points += [(start_s, power_w), (end_s, _IDLE_W)]
    return FakeGpu(uuid=uuid, points=tuple(points), counter_gain=gain)


def _windows(levels_w: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """Yield start, end and power of each window; pauses differ, so that no lag fits twice."""
    t_s = 0.0
    for i, power_w in enumerate(levels_w):
        t_s += _IDLE_S + 1.7 * (i % 3)
        yield t_s, t_s + _WINDOW_S, power_w
        t_s += _WINDOW_S + _IDLE_S


def write_study(
    folder: Path, gpu: FakeGpu, levels_w: Sequence[float] = LEVELS_W, **changed: Any
) -> Path:
    """Write the folder of a study with a run for each level, whose result is changed if given."""
    fields = {
        "energy_source_kind": "gpu",
        "timeseries_file": "timeseries.parquet",
        "energy_per_device_j": {gpu.uuid: 100.0},
        **changed,
    }
    states = ["completed"] * len(levels_w)
    write_folder(folder, study_of(range(1, len(levels_w) + 1)), states, fields)
    files = sorted(folder.glob("*/timeseries.parquet"))
    for path, (start_s, end_s, _) in zip(files, _windows(levels_w), strict=True):
        pq.write_table(_samples(gpu, start_s, end_s), path)
    return folder


def _samples(gpu: FakeGpu, start_s: float, end_s: float) -> pa.Table:
    """Return the samples of one run, 20 a second, from its idle time to the idle time after it."""
    n_samples = int((end_s - start_s + 2 * (_IDLE_S - 1)) * 20)
    times_s = [start_s - _IDLE_S + 1 + i / 20 for i in range(n_samples)]
    updates_s = [math.floor(t / gpu.counter_period_s) * gpu.counter_period_s for t in times_s]
    energy_j, before_s, energies_j = 0.0, 0.0, []
    for t_s in updates_s:
        energy_j += gpu.counter_gain * true_energy_j(gpu, before_s, t_s)
        before_s = t_s
        energies_j.append(energy_j)
    phases = [
        "loaded idle" if t < start_s else "window" if t < end_s else "idle after" for t in times_s
    ]
    columns = {
        "t_s": [EPOCH_S + t - _OFFSET_S for t in times_s],
        "energy_j": energies_j,
        "power_w": [gpu.power_w(t) for t in times_s],
        "device": [gpu.uuid] * n_samples,
        "phase": phases,
    }
    empty = [None] * n_samples
    return pa.table([columns.get(name, empty) for name in SAMPLES.names], schema=SAMPLES)


@dataclass(frozen=True)
class FakeMeter:
    """A meter of a node with one GPU."""

    gpu: FakeGpu
    efficiency: float = 0.92
    offset_w: float = 240.0
    lag_s: float = 3.4
    """Its clock minus that of the machine."""
    drift: float = 0.0
    """1e-3: its clock gains 1 ms in a second."""
    noise_w: float = 1.0
    period_s: float = 1.0
    duration_s: float = 260.0
    averaged_s: float | None = None
    """What a reading is the mean of; None: the time since the reading before."""
    held_s: float = 0.0
    """A value of power is repeated for this long."""

    def but(self, **changes: Any) -> FakeMeter:
        """Return a meter that differs."""
        return replace(self, **changes)

    def readings(self) -> list[tuple[float, float, float]]:
        """Return (Unix time on its clock, mean power in W, energy in J)."""
        noise, energy_j = random.Random("meter"), 0.0
        rows: list[tuple[float, float, float]] = []
        for i in range(1, int(self.duration_s / self.period_s)):
            end_s = i * self.period_s
            mean_s = self.averaged_s or self.period_s
            board_w = true_energy_j(self.gpu, max(0.0, end_s - mean_s), end_s) / mean_s
            power_w = self.offset_w + board_w / self.efficiency + noise.gauss(0, self.noise_w)
            energy_j += power_w * self.period_s
            if rows and self.held_s and i % round(self.held_s / self.period_s):
                power_w = rows[-1][1]
            rows.append((EPOCH_S + end_s * (1 + self.drift) + self.lag_s, power_w, energy_j))
        return rows

    def write(
        self,
        path: Path,
        *,
        header: str = "time,power_w",
        zone: tzinfo = UTC,
        time_format: str = "%Y-%m-%dT%H:%M:%S.%f%z",
        scale: float = 1.0,
        is_energy: bool = False,
        without: tuple[float, float] = (0.0, 0.0),
        only_changes: bool = False,
    ) -> Path:
        """Write a log; `scale` converts from W or J, and `without` is an interval that is missing."""
        lines, last_w = [header], 0.0
        for t_s, power_w, energy_j in self.readings():
            if without[0] <= t_s - EPOCH_S < without[1]:
                continue
            if only_changes and abs(power_w - last_w) < 1e-6:
                continue
            last_w = power_w
            text = datetime.fromtimestamp(t_s, zone).strftime(time_format)
            lines.append(f"{text},{(energy_j if is_energy else power_w) * scale!r}")
        path.write_text("\n".join(lines) + "\n")
        return path
