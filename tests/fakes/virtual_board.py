"""A board of the scripted driver that can be loaded at will, on a clock that only moves when told.

Nothing sleeps: a recording of a minute takes seconds, and a busy machine cannot disturb it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence

import msgspec

from llem_energy._board_check.bench import Played, Pulse
from llem_energy._board_check.check import check_board
from llem_energy.sources import Calibration, NvmlSource, Sample, calibrate

IDLE_W, LOAD_W = 80.0, 600.0
_STEP_S = 0.001
_CALL_S = 1e-5


class VirtualBoard:
    """GPU 0 of the scripted driver; `late_s` is how late the host starts every other load."""

    def __init__(self, late_s: float = 0.0) -> None:
        self._now_s, self._late_s = 0.0, late_s
        driver = ctypes.CDLL("libnvidia-ml.so.1")
        self._set_time, self._set_power = driver.fake_nvml_set_time, driver.fake_nvml_set_power
        self._set_time.argtypes, self._set_time.restype = [ctypes.c_double], None
        self._set_power.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
        self._set_time(0.0)
        self.source = NvmlSource([0], clock=lambda: self._now_s)

    def calibration(self) -> Calibration:
        return calibrate(
            self.source, min_duration_s=2.0, clock=lambda: self._now_s, sleep=self._sleep
        )[0]

    def play(self, pulses: Sequence[Pulse], rest_s: float) -> Played:
        begin_s, samples = self._now_s, list[Sample]()
        loads = []
        for number, pulse in enumerate(pulses):
            self._read_until(begin_s + pulse.start_s + self._late_s * (number % 2), samples)
            start_s = self._now_s
            self._power(LOAD_W)
            self._read_until(start_s + pulse.length_s, samples)
            self._power(IDLE_W)
            loads.append((start_s, self._now_s))
        self._read_until(self._now_s + rest_s, samples)
        return Played(samples, begin_s, loads)

    def _power(self, watts: float) -> None:
        assert self._set_power(0, self._now_s, watts)

    def _read_until(self, t_s: float, samples: list[Sample]) -> None:
        while self._now_s + _STEP_S + _CALL_S < t_s:
            self._sleep(_STEP_S)
            samples += self.source.read()
        self._sleep(max(0.0, t_s - self._now_s))

    def _sleep(self, seconds: float) -> None:
        self._now_s += seconds + (_CALL_S if seconds == _STEP_S else 0.0)
        self._set_time(self._now_s)


def main() -> None:
    """Check the board and print the check and its stages; the argument is `late_s`."""
    stages: list[str] = []
    late_s = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    check = check_board(VirtualBoard(late_s), steps_s=8.0, place_s=1.0, on_stage=stages.append)
    print(json.dumps([msgspec.to_builtins(check), stages]))


if __name__ == "__main__":
    main()
