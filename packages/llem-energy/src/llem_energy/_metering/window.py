"""One measured window: a guard of idle time, the repeated work, another guard.

The guards make the ends of the window exact. The device idles for three updates of its counter,
which is read densely, so that idle power and the times of the updates next to each end are known.
The window opens just after an update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from llem_energy._metering.calibration import Calibration
from llem_energy._metering.sampler import Sampler
from llem_energy._sources.protocol import Sample

GUARD_PERIODS = 3.2  # two whole intervals between updates, wherever the edge lies in an interval
_UNKNOWN_PERIOD_S = 0.1  # the most common period, if calibration saw none
_MAX_GUARD_S = 2.0
_MIN_SETTLE_TIMEOUT_S = 2.0
_UPDATES_AFTER = 3


class MeasuredSpan(msgspec.Struct, frozen=True):
    """A measured window, on the clock of the samples."""

    start_s: float
    end_s: float
    cpu_time_s: float
    """Of this process."""
    n_repeats: int
    guard_s: float
    """The shorter of the idle times before and after."""


class Windows:
    """Measures windows one after another with the same sampler."""

    def __init__(
        self,
        sampler: Sampler,
        synchronise: Callable[[], None],
        calibration: Sequence[Calibration],
        devices: Sequence[str],
    ) -> None:
        """Prepare.

        Args:
            sampler: already running.
            synchronise: returns when the device has finished all submitted work.
            calibration: of the metered devices, if known.
            devices: the metered devices; without any there are no guards.
        """
        periods = [c.counter_period_s or _UNKNOWN_PERIOD_S for c in calibration]
        self._period_s = max(periods, default=_UNKNOWN_PERIOD_S)
        self._sampler = sampler
        self._synchronise = synchronise
        self._devices = devices

    def measure(self, work: Callable[[], None], min_seconds: float) -> MeasuredSpan:
        """Repeat the work until the minimum duration is reached; once if it is 0."""
        self._synchronise()
        quiet_since_s = time.perf_counter()
        self._approach()
        n_repeats = 0
        cpu_start_s = time.process_time()
        # The readings next to the ends are outside the window, so that they are not measured.
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
        guard_s = min(GUARD_PERIODS * self._period_s, _MAX_GUARD_S)
        self._sampler.read_until(_never, guard_s)
        moved = _Moves(self._devices[:1], 1)
        self._sampler.read_until(moved, 1.5 * self._period_s)

    def settle(self) -> None:
        """Read until every counter shows the energy used up to now, or does not move in time."""
        moved = _Moves(self._devices, _UPDATES_AFTER)
        timeout_s = max(_MIN_SETTLE_TIMEOUT_S, (_UPDATES_AFTER + 1.5) * self._period_s)
        self._sampler.read_until(moved, timeout_s)


def _never(samples: Sequence[Sample]) -> bool:
    """Return False, so that reading continues until the timeout."""
    del samples
    return False


class _Moves:
    """Returns True once the counters of all devices have moved `n_moves` times."""

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
