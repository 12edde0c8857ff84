"""How a meter behaves on this machine, found by watching it for a second or two.

How often an energy counter moves differs by generation, from 1 ms to 500 ms, and stands in no
document; every bound of an energy follows from it. So a source is polled much faster than that.
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
_TYPICAL_PERIODS, _WORST_PERIODS = 1.1, 1.9
"""How wide the interval is that surely holds an energy, in counter periods of power: in half of
all windows, and in 95 % of them. From 400 random windows per size on a model of LLM load."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one metered device behaves; None for what could not be seen."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    counter_period_s: float | None
    """Median time between two updates; one that is shorter than a poll looks as long as a poll."""
    counter_jitter_s: float | None
    """Largest deviation of one interval from the median, less what the polls leave open."""
    counter_step_j: float | None
    """Median joules of one update, at whatever power there was."""
    power_period_s: float | None
    """Median time between two changes of instant power."""
    call_p50_s: float
    call_p99_s: float
    """How long one read of this device took."""
    n_updates: int
    """Updates of the counter that were seen."""
    duration_s: float
    """How long it was watched."""
    boot_id: str | None
    driver: str | None
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
    """Watch every device of a source and return how each behaves, in the order of its devices.

    Args:
        source: an open source; nobody else should be reading it.
        min_duration_s: watch for so long, for the duration of the calls and the period of power.
        timeout_s: give up waiting for updates after so long.
        n_updates: wait for so many updates of every counter that can be read at all.
        poll_s: pause between two reads.
        clock: seconds that only rise; `sleep` must move it.
        sleep: waits for so many seconds.

    A device that fails or stands still has None for its period; this never raises.
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
    """Tell whether a calibration that was kept still holds, given what there is now.

    The same boot and the same versions, so that the same code reads the same hardware; and it
    must have seen a period, since what stood still then may move now, and seen it often enough.
    """
    return (
        boot_id is not None
        and calibration.boot_id == boot_id
        and (calibration.driver, calibration.binding) == (driver, binding)
        and calibration.counter_period_s is not None
        and calibration.n_updates >= _ENOUGH_UPDATES
    )


def edge_bound_shares(period_s: float, window_s: float) -> tuple[float, float]:
    """Return the bound of a window's energy as a share of it: typical, and for 95 % of windows.

    Args:
        period_s: of the counter.
        window_s: > 0, of steady load.
    """
    return _TYPICAL_PERIODS * period_s / window_s, _WORST_PERIODS * period_s / window_s


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
        """Tell whether waiting any longer is of no use: enough was seen, or nothing is there."""
        return len(self.counter.steps) >= n_updates or not self.counter.is_there


class _Changes:
    """When one value of a device changed: somewhere between two readings, never exactly known."""

    def __init__(self) -> None:
        self.steps = array("d")
        self._intervals_s = array("d")
        self._open_s = array("d")  # how far off each interval may be, either way
        self._last: tuple[float, float] | None = None  # when the last reading began, and its value
        self._changed: tuple[float, float] | None = None  # middle and half width of the last change

    @property
    def is_there(self) -> bool:
        """Whether the last reading had a value."""
        return self._last is not None

    def take(self, sample: Sample, value: float | None) -> None:
        if value is None:  # it may change unseen, so that the next interval would be too long
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
        return statistics.median(self._intervals_s) if self._intervals_s else None

    def jitter_s(self) -> float | None:
        median_s = self.period_s()
        if median_s is None:
            return None
        pairs = zip(self._intervals_s, self._open_s, strict=True)
        return max(0.0, *(abs(interval_s - median_s) - open_s for interval_s, open_s in pairs))

    def step(self) -> float | None:
        return statistics.median(self.steps) if self.steps else None


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
