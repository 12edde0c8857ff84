"""When to stop reading in the idle time next to a window: conditions on the readings of its counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llem_energy._metering.power_tolerance import STRETCH_S, tolerance_w
from llem_energy._sources.protocol import Sample

SETTLE_S = 3.0  # longest time for which a counter may continue to rise after the work
NEAR_IDLE = 0.05  # a share of idle power
_STRETCHES = 3  # over which power must not have fallen
_DOUBT_S = 1.2  # waits no longer than this for an idle power that is known
_LONG_S = 0.2  # power over this time hardly depends on when the counter was read
_STRETCHES_S = 0.32  # waits no longer for them, if the period is longer than a stretch


class CounterPower:
    """The power of each device, from the updates of its counter since this object was made."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._last_j: dict[str, float] = {}
        self._updates: dict[str, list[tuple[float, float]]] = {device: [] for device in devices}
        self.instant_w: dict[str, float] = {}
        """The newest instant power of each device that reports it."""

    def take(self, samples: Sequence[Sample]) -> None:
        """Note which counters have moved."""
        for sample in samples:
            if sample.power_w:
                self.instant_w[sample.device] = sample.power_w
            if sample.energy_j is None or sample.device not in self._updates:
                continue
            if self._last_j.setdefault(sample.device, sample.energy_j) != sample.energy_j:
                self._updates[sample.device].append((sample.t_s, sample.energy_j))
                self._last_j[sample.device] = sample.energy_j

    def all_moved(self, n_moves: int) -> bool:
        """Return whether the counters of all devices have moved this many times."""
        return all(len(updates) >= n_moves for updates in self._updates.values())

    def lowest_w(self, device: str) -> float | None:
        """Return the lowest power of a device over a fifth of a second; None: not enough updates yet."""
        updates = self._updates[device]
        powers_w: list[float] = []
        begin = 0
        for end in range(1, len(updates)):
            length_s = updates[end][0] - updates[begin][0]
            if length_s >= _LONG_S:
                powers_w.append((updates[end][1] - updates[begin][1]) / length_s)
                begin = end
        return min(powers_w, default=None)

    def watts(self, device: str, n_back: int = 0) -> float | None:
        """Return the newest power of a device, or that of `n_back` stretches before it.

        A stretch is the time between two updates, or several of them if they are close together.
        None: not enough updates yet.
        """
        updates = self._updates[device]
        end = len(updates) - 1
        for i in range(end - 1, -1, -1):
            length_s = updates[end][0] - updates[i][0]
            if length_s < STRETCH_S:
                continue
            if n_back == 0:
                return (updates[end][1] - updates[i][1]) / length_s
            end, n_back = i, n_back - 1
        return None


def lowest_powers_w(samples: Iterable[Sample], devices: Sequence[str]) -> dict[str, float]:
    """Return the lowest power of each device by its counter; a device whose counter hardly moved is left out.

    Args:
        samples: in time order.
        devices: to look for.
    """
    power = CounterPower(devices)
    power.take(tuple(samples))
    powers_w = {device: power.lowest_w(device) for device in devices}
    return {device: watts for device, watts in powers_w.items() if watts is not None}


class Moved:
    """Returns True once the counters of all devices have moved `n_moves` times."""

    def __init__(self, devices: Sequence[str], n_moves: int) -> None:
        self._power = CounterPower(devices)
        self._n_moves = n_moves

    def __call__(self, samples: Sequence[Sample]) -> bool:
        self._power.take(samples)
        return self._power.all_moved(self._n_moves)


class Steady:
    """Returns True once every counter shows that its device idles, but not before `guard_s`.

    Its power no longer falls. And it is near instant power, or near an idle power that is known: a
    counter that is late by more than the guard shows the constant power of earlier work.
    """

    def __init__(
        self, devices: Sequence[str], guard_s: float, idle_w: Mapping[str, float] | None = None
    ) -> None:
        """Prepare.

        Args:
            devices: with their counters.
            guard_s: the least time.
            idle_w: power of the counter of each device in earlier idle times, if there were any.
        """
        self.power = CounterPower(devices)
        self._devices = devices
        self._guard_s = guard_s
        self._idle_w = idle_w or {}
        self._start_s: float | None = None

    def __call__(self, samples: Sequence[Sample]) -> bool:
        self.power.take(samples)
        if samples and self._start_s is None:
            self._start_s = samples[0].t_s
        if self._start_s is None:
            return False
        waited_s = samples[-1].t_s - self._start_s
        if waited_s < self._guard_s:
            return False
        return all(self._is_steady(device, waited_s) for device in self._devices)

    def _is_steady(self, device: str, waited_s: float) -> bool:
        last_w = self.power.watts(device)
        # A slow fall shows only over several stretches.
        earlier_w = [self.power.watts(device, n_back) for n_back in range(1, _STRETCHES + 1)]
        if earlier_w[1] is None and waited_s < _STRETCHES_S:
            return False
        if last_w is None:
            return True  # a counter that does not move
        if any(watts is not None and watts > (1 + NEAR_IDLE) * last_w for watts in earlier_w):
            return False
        known_w, instant_w = self._idle_w.get(device), self.power.instant_w.get(device)
        if known_w is not None and last_w <= (1 + NEAR_IDLE) * known_w:
            return True
        if known_w is not None and last_w > _above(known_w) and waited_s < _DOUBT_S:
            return False  # both meters may still show earlier work
        # Without a sensor, the power that was measured first may be that of work.
        return instant_w is None or last_w <= _above(instant_w)


class Settled:
    """Returns True once every counter has moved `n_moves` times and shows idle power again."""

    def __init__(
        self,
        n_moves: int,
        devices: Sequence[str],
        idle_w: Mapping[str, float],
        lowest_w: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            n_moves: of each counter, at least.
            devices: with their counters.
            idle_w: power before the work; a device that is not in it has nothing to return to.
            lowest_w: power in earlier idle times: before the work, a counter may still have shown
                other work.
        """
        self._n_moves = n_moves
        lowest_w = lowest_w or {}
        self._near_w = {
            device: min((1 + NEAR_IDLE) * watts, _above(lowest_w.get(device, watts)))
            for device, watts in idle_w.items()
        }
        self._power = CounterPower(devices)

    def __call__(self, samples: Sequence[Sample]) -> bool:
        self._power.take(samples)
        return self._power.all_moved(self._n_moves) and all(map(self._is_idle, self._near_w))

    def _is_idle(self, device: str) -> bool:
        watts = self._power.watts(device)
        return watts is not None and watts <= self._near_w[device]


def _above(watts: float) -> float:
    """Return what is clearly above a power."""
    return watts + tolerance_w(watts)
