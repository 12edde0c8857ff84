"""One measured window: a guard of idle time, the work again and again, a guard.

The guards are what makes the ends exact: the device is left alone for three updates of its
counter, which is read densely meanwhile, so that idle power and the time of the updates next to
each end are known. The window opens just after an update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from llem_energy._metering.calibration import Calibration
from llem_energy._metering.sampler import Sampler
from llem_energy._sources.protocol import Sample

GUARD_PERIODS = 3.2  # two whole intervals between updates, wherever in one the edge lies
_UNKNOWN_PERIOD_S = 0.1  # the commonest, where calibration saw none
_LONGEST_GUARD_S = 2.0
_LONGEST_SETTLE_S = 2.0
_UPDATES_AFTER = 3


class MeasuredSpan(msgspec.Struct, frozen=True):
    """A window that was measured, on the clock of the samples."""

    start_s: float
    end_s: float
    cpu_time_s: float
    """Of this process."""
    n_repeats: int
    guard_s: float
    """How long the device was left alone at least, before and after."""


class Windows:
    """Measures windows, one after another, with the same sampler."""

    def __init__(
        self,
        sampler: Sampler,
        synchronise: Callable[[], None],
        calibration: Sequence[Calibration],
        devices: Sequence[str],
    ) -> None:
        """Take what every window needs.

        Args:
            sampler: runs already.
            synchronise: returns when the device has finished everything asked so far.
            calibration: of the metered devices, where known.
            devices: that are metered; without any there are no guards.
        """
        periods = [c.counter_period_s or _UNKNOWN_PERIOD_S for c in calibration]
        self._period_s = max(periods, default=_UNKNOWN_PERIOD_S)
        self._sampler = sampler
        self._synchronise = synchronise
        self._devices = devices

    def measure(self, work: Callable[[], None], min_seconds: float) -> MeasuredSpan:
        """Do the work once, and again until the least duration is reached."""
        self._synchronise()
        quiet_since_s = time.perf_counter()
        self._approach()
        n_repeats = 0
        cpu_start_s = time.process_time()
        # The readings next to the ends lie outside of the window: it is not they that is measured.
        self._sampler.read()
        start_s = time.perf_counter()
        while True:
            work()
            n_repeats += 1
            self._synchronise()
            if time.perf_counter() - start_s >= min_seconds:
                break
        end_s = time.perf_counter()
        self._sampler.read()
        cpu_time_s = time.process_time() - cpu_start_s
        self.settle()
        guard_s = min(start_s - quiet_since_s, time.perf_counter() - end_s)
        return MeasuredSpan(
            start_s, end_s, cpu_time_s, n_repeats, guard_s if self._devices else 0.0
        )

    def _approach(self) -> None:
        guard_s = min(GUARD_PERIODS * self._period_s, _LONGEST_GUARD_S)
        self._sampler.read_until(_never, guard_s)
        moved = _Moves(self._devices[:1], 1)
        self._sampler.read_until(moved, 1.5 * self._period_s)

    def settle(self) -> None:
        """Read until every counter has shown what was used up to now, or it surely never will."""
        moved = _Moves(self._devices, _UPDATES_AFTER)
        timeout_s = max(_LONGEST_SETTLE_S, (_UPDATES_AFTER + 1.5) * self._period_s)
        self._sampler.read_until(moved, timeout_s)


def _never(samples: Sequence[Sample]) -> bool:
    """Say that the time has not come yet, so that all of it passes."""
    del samples
    return False


class _Moves:
    """Tells when the counters of some devices have all moved so many times."""

    def __init__(self, devices: Sequence[str], n_moves: int) -> None:
        self._left = dict.fromkeys(devices, n_moves)
        self._last: dict[str, float] = {}

    def __call__(self, samples: Sequence[Sample]) -> bool:
        for sample in samples:
            if sample.energy_j is None or sample.device not in self._left:
                continue
            if self._last.setdefault(sample.device, sample.energy_j) != sample.energy_j:
                self._left[sample.device] -= 1
                self._last[sample.device] = sample.energy_j
        return all(n_left <= 0 for n_left in self._left.values())
