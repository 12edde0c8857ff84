"""The newest power of a measurement in a small file, so that another process can show it.

The sampler's thread overwrites the same block once a second: one system call of a few microseconds,
which changes no size and waits for no disk. The file exists only while the measurement runs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from llem_config.foreign_files import create_file, delete_file
from llem_energy._sources.protocol import Sample

LIVE = "live.json"
_PERIOD_S = 1.0
_BLOCK_BYTES = 4096  # a multiple is written, so that a shorter text leaves nothing of a longer one
_MAX_BYTES = 16 * _BLOCK_BYTES


class LiveDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The newest readings of one metered device."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    power_w: float | None
    """Mean of the readings of about the last second; from the energy counter if the device reports
    no power. None: no reading."""
    temperature_c: float | None
    """Temperature in °C; None: not reported."""


class LiveReading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a measurement does now, in `live.json`."""

    schema_version: Literal[1] = 1
    n_written: int
    """Counts the writes of the file."""
    written_at_s: float
    """Unix time of this write."""
    stage: str
    """One of `llem_energy.STAGES`."""
    devices: tuple[LiveDevice, ...]
    """() if nothing is metered, or not yet."""
    n_written_again: int
    """As `n_written`; if it differs, the file was read while it was written."""


class LiveFile:
    """Writes the file; does nothing without a path, and after the first error."""

    def __init__(self, path: Path | None) -> None:
        """Create the file `path`, which `close` deletes."""
        self._path = path
        self._number: int | None = None
        self._lock = threading.Lock()
        self._stage = ""
        self._n_written = self._n_bytes = 0
        self._written_s = time.perf_counter()
        self._devices: dict[str, _Device] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError), create_file(path) as file:
                self._number = os.dup(file.fileno())

    def begin(self, stage: str) -> None:
        """Write that a stage begins; call it outside of measured windows."""
        with self._lock:
            self._stage = stage
            self._write()

    def add(self, samples: Sequence[Sample]) -> None:
        """Take the samples of one reading; write if the last write was a second ago."""
        if self._number is None:
            return
        with self._lock:
            for sample in samples:
                self._devices.setdefault(sample.device, _Device()).add(sample)
            if time.perf_counter() - self._written_s >= _PERIOD_S:
                self._write()

    def close(self) -> None:
        """Delete the file; safe to call twice."""
        with self._lock:
            if self._number is not None and self._path is not None:
                os.close(self._number)
                self._number = None
                with contextlib.suppress(OSError):
                    delete_file(self._path)

    def _write(self) -> None:
        if self._number is None:
            return
        self._n_written += 1
        self._written_s = time.perf_counter()
        reading = LiveReading(
            n_written=self._n_written,
            written_at_s=time.time(),
            stage=self._stage,
            devices=tuple(device.reading(name) for name, device in self._devices.items()),
            n_written_again=self._n_written,
        )
        content = msgspec.json.encode(reading)
        if len(content) > _MAX_BYTES:
            return
        n_blocks = -(-len(content) // _BLOCK_BYTES)
        self._n_bytes = max(self._n_bytes, n_blocks * _BLOCK_BYTES)
        try:
            os.pwrite(self._number, content.ljust(self._n_bytes), 0)
        except OSError:  # a full disk
            os.close(self._number)
            self._number = None


class _Device:
    """The readings of a device since the last write."""

    def __init__(self) -> None:
        self._powers_w: list[float] = []
        self._first: Sample | None = None  # of the counter
        self._last: Sample | None = None
        self._temperature_c: float | None = None

    def add(self, sample: Sample) -> None:
        power_w = sample.power_average_w if sample.power_w is None else sample.power_w
        if power_w is not None:
            self._powers_w.append(power_w)
        if sample.energy_j is not None:
            self._first, self._last = self._first or sample, sample
        if sample.temperature_c is not None:
            self._temperature_c = sample.temperature_c

    def reading(self, name: str) -> LiveDevice:
        """Return the readings since the last call."""
        power_w = self._mean_power_w()
        self._powers_w, self._first, self._last = [], self._last, None
        return LiveDevice(device=name, power_w=power_w, temperature_c=self._temperature_c)

    def _mean_power_w(self) -> float | None:
        if self._powers_w:
            return sum(self._powers_w) / len(self._powers_w)
        first, last = self._first, self._last
        if first is None or last is None or first.energy_j is None or last.energy_j is None:
            return None
        seconds, energy_j = last.t_s - first.t_s, last.energy_j - first.energy_j
        # A counter that went backwards was reset.
        return energy_j / seconds if seconds > 0 and energy_j >= 0 else None
