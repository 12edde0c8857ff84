"""How a meter behaves on this machine, measured by polling it for a second or two.

The period of an energy counter differs by GPU generation, from 1 ms to 500 ms, and is not
documented. Every bound of an energy depends on it.
"""

from __future__ import annotations

import math
import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from llem_energy._metering.boot import boot_id
from llem_energy._sources.protocol import EnergySource, Sample

_ENOUGH_UPDATES = 5
_ROUNDING_S = 1e-9
_TYPICAL_PERIODS, _P95_PERIODS = 1.1, 1.9
"""Width of the interval that is certain to contain an energy, in counter periods times power: the
median and the 95th percentile over 400 random windows per size of a model of LLM load."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one metered device behaves; None for what could not be observed."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    counter_period_s: float | None
    """Mean time between two updates, the median if they are irregular; a shorter period than a poll appears as long as a poll."""
    counter_jitter_s: float | None
    """Largest deviation of one interval from the median, minus the resolution of the polls."""
    counter_step_j: float | None
    """Median joules of one update, at the power of that moment."""
    power_period_s: float | None
    """Median time between two changes of instant power."""
    call_p50_s: float
    call_p99_s: float
    """Duration of one read of this device, median and 99th percentile."""
    n_updates: int
    """Updates of the counter that were observed."""
    duration_s: float
    """How long it was observed."""
    boot_id: str | None
    """Of the boot in which it was made; None: not reported."""
    driver: str | None
    """Version of the driver; None: not reported."""
    binding: str | None
    """Version of the library between us and the driver."""
    made_at: str
    """UTC, ISO 8601."""


def calibrate(
    source: EnergySource,
    *,
    min_duration_s: float = 1.0,
    timeout_s: float = 5.0,
    n_updates: int = 8,
    poll_s: float = 0.001,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[Calibration, ...]:
    """Poll a source and return how each device behaves, in the order of its devices.

    Args:
        source: an open source; nothing else should read it meanwhile.
        min_duration_s: poll for at least this long, to learn the duration of calls and the
            period of power.
        timeout_s: stop waiting for updates after this time.
        n_updates: updates to wait for, of every counter that can be read.
        poll_s: pause between two reads.
        clock: monotonic seconds; `sleep` must advance it.
        sleep: waits for the given number of seconds.

    A device that fails or does not change has None for its period; this never raises.
    """
    watches = [_Watch(device) for device in source.devices]
    start_s = clock()
    while True:
        for watch, sample in zip(watches, source.read(), strict=True):
            watch.take(sample)
        elapsed_s = clock() - start_s
        settled = all(watch.is_settled(n_updates) for watch in watches)
        if elapsed_s >= timeout_s or (settled and elapsed_s >= min_duration_s):
            break
        sleep(poll_s)
    boot, (driver, binding) = boot_id(), source.versions()
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return tuple(
        Calibration(
            device=watch.device,
            counter_period_s=watch.counter.period_s(),
            counter_jitter_s=watch.counter.jitter_s(),
            counter_step_j=watch.counter.step(),
            power_period_s=watch.power.period_s(),
            call_p50_s=_percentile(watch.calls_s, 0.50),
            call_p99_s=_percentile(watch.calls_s, 0.99),
            n_updates=len(watch.counter.steps),
            duration_s=elapsed_s,
            boot_id=boot,
            driver=driver,
            binding=binding,
            made_at=made_at,
        )
        for watch in watches
    )


def usable(
    calibration: Calibration, *, boot_id: str | None, driver: str | None, binding: str | None
) -> bool:
    """Return whether an earlier calibration is still valid.

    The boot and the versions must be the same, so that the same code reads the same hardware. And
    it must have observed enough updates: a counter that did not move then may move now.
    """
    return (
        boot_id is not None
        and calibration.boot_id == boot_id
        and (calibration.driver, calibration.binding) == (driver, binding)
        and calibration.counter_period_s is not None
        and calibration.n_updates >= _ENOUGH_UPDATES
    )


def edge_bound_shares(period_s: float, window_s: float) -> tuple[float, float]:
    """Return the bound of a window's energy as a share of it: median and 95th percentile.

    Args:
        period_s: of the counter.
        window_s: > 0, of steady load.
    """
    return _TYPICAL_PERIODS * period_s / window_s, _P95_PERIODS * period_s / window_s


class _Watch:
    """What the readings of one device have shown so far."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.counter, self.power = _Changes(), _Changes()
        self.calls_s = array("d")

    def take(self, sample: Sample) -> None:
        self.calls_s.append(sample.read_duration_s)
        self.counter.take(sample, sample.energy_j)
        self.power.take(sample, sample.power_w)

    def is_settled(self, n_updates: int) -> bool:
        """Return whether enough updates were seen, or there is no counter to wait for."""
        return len(self.counter.steps) >= n_updates or not self.counter.is_there


class _Changes:
    """When one value of a device changed: at an unknown moment between two readings."""

    def __init__(self) -> None:
        self.steps = array("d")
        self._intervals_s = array("d")
        self._open_s = array("d")  # uncertainty of each interval, in both directions
        self._last: tuple[float, float] | None = None  # when the last reading began, and its value
        self._changed: tuple[float, float] | None = None  # middle and half width of the last change

    @property
    def is_there(self) -> bool:
        """Whether the last reading had a value."""
        return self._last is not None

    def take(self, sample: Sample, value: float | None) -> None:
        if value is None:  # it may change unobserved, and the next interval would be too long
            self._last = self._changed = None
            return
        last, self._last = self._last, (sample.t_s - sample.read_duration_s / 2, value)
        if last is None or value == last[1]:
            return
        ended_s = sample.t_s + sample.read_duration_s / 2
        changed = (ended_s + last[0]) / 2, (ended_s - last[0]) / 2
        if self._changed is not None:
            self._intervals_s.append(changed[0] - self._changed[0])
            self._open_s.append(changed[1] + self._changed[1])
        self._changed = changed
        self.steps.append(value - last[1])

    def period_s(self) -> float | None:
        if not self._intervals_s:
            return None
        if (self.jitter_s() or 0.0) > _ROUNDING_S:
            return statistics.median(self._intervals_s)
        # Of a regular counter, the errors of intervals next to each other cancel in their mean.
        return statistics.fmean(self._intervals_s)

    def jitter_s(self) -> float | None:
        if not self._intervals_s:
            return None
        median_s = statistics.median(self._intervals_s)
        pairs = zip(self._intervals_s, self._open_s, strict=True)
        return max(0.0, *(abs(interval_s - median_s) - open_s for interval_s, open_s in pairs))

    def step(self) -> float | None:
        return statistics.median(self.steps) if self.steps else None


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is not exceeded by at least this share of all values."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
