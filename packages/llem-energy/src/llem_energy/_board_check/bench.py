"""A board that can be loaded at will while it is read."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llem_energy._errors import GpuError
from llem_energy._metering.calibration import Calibration, calibrate
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._sources.protocol import EnergySource, Sample

DENSE_S = 0.001  # between samples: as often as is useful


class Pulse(NamedTuple):
    """A load that is wanted."""

    start_s: float
    """After the beginning of the recording."""
    length_s: float


class Played(NamedTuple):
    """A recording of pulses."""

    samples: list[Sample]
    """In order of time, from before the first pulse to after the last one."""
    begin_s: float
    """On the clock of the samples, as below."""
    loads: list[tuple[float, float]]
    """When each load really began and ended."""


class Load(Protocol):
    """Makes a board draw much power."""

    def run(self, seconds: float) -> None:
        """Work for about this many seconds, and return when the board has finished."""
        ...


class Bench(Protocol):
    """A board under test."""

    @property
    def source(self) -> EnergySource:
        """Meters this board only."""
        ...

    def calibration(self) -> Calibration:
        """Observe the idle board, and return how its meters behave."""
        ...

    def play(self, pulses: Sequence[Pulse], rest_s: float) -> Played:
        """Load the board with pulses while it is read, and read it for `rest_s` after them."""
        ...


class LoadedBoard:
    """A real board: one thread reads it a thousand times a second, the caller's thread loads it."""

    def __init__(self, source: EnergySource, load: Load) -> None:
        """Take an open source of one board, and what loads this board."""
        self.source = source
        self._load = load

    def calibration(self) -> Calibration:
        """Observe the idle board for at least two seconds."""
        return calibrate(self.source, min_duration_s=2.0, n_updates=16)[0]

    def play(self, pulses: Sequence[Pulse], rest_s: float) -> Played:
        """Load the board on an absolute schedule; a pulse that is late begins at once.

        Raises:
            GpuError: the board could not be read to the end.
        """
        recorder, loads = Recorder(None), []
        try:
            with Sampler(self.source, DENSE_S, recorder) as sampler:
                begin_s = time.perf_counter()
                for pulse in pulses:
                    time.sleep(max(0.0, begin_s + pulse.start_s - time.perf_counter()))
                    start_s = time.perf_counter()
                    self._load.run(pulse.length_s)
                    loads.append((start_s, time.perf_counter()))
                time.sleep(rest_s)
            if sampler.failure is not None:
                raise GpuError(f"the GPU could not be read during the check: {sampler.failure}")
            recorder.close()
            return Played(recorder.between(-math.inf, math.inf), begin_s, loads)
        finally:
            recorder.discard()
