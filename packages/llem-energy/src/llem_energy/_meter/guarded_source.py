"""A source as a meter reads it: it never raises, and its facts are known after it is closed."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from llem_energy._metering.meter_failures import last_errors
from llem_energy._sources.protocol import EnergySource, Kind, Sample, SourceVersions

_KEPT = 100  # times of failure
_CLOSE_S = 1.0  # failures that are as close as this are one


class _Failure:
    """A time in which the source raised each time that it was read."""

    def __init__(self, t_s: float, error: str) -> None:
        self.first_s = self.last_s = t_s
        self.error = error


class GuardedSource:
    """A source of any package.

    A source should not raise when it is read. One that does costs the windows in which it does, and
    neither the program nor other windows.
    """

    def __init__(self, source: EnergySource) -> None:
        self.name: str = source.name
        self.kind: Kind = source.kind
        self.devices = tuple(source.devices)
        self.gain_share = source.gain_share
        self._versions = source.versions()
        self._limits_w = {device: source.power_limit_w(device) for device in self.devices}
        self._source: EnergySource | None = source
        self._failures: deque[_Failure] = deque(maxlen=_KEPT)
        self._last_errors: dict[str, str] = {}
        self.read_counters: Callable[[], Sequence[Sample]] = (
            getattr(source, "read_counters", None) or self.read
        )
        """Reads the counters as cheaply as the source can; () after it is closed."""

    def versions(self) -> SourceVersions:
        """Return the versions when it was opened."""
        return self._versions

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of a device, or the last known one."""
        if self._source is not None:
            with contextlib.suppress(Exception):
                self._limits_w[device] = self._source.power_limit_w(device)
        return self._limits_w[device]

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Read the source; () after it is closed, and samples without values if it raises."""
        source = self._source
        if source is None:
            return ()
        try:
            return source.read(details=details)
        except Exception as error:  # noqa: BLE001  # of a source of another package
            t_s = time.perf_counter()
            self._note(t_s, f"{type(error).__name__}: {' '.join(str(error).split())}")
            return tuple(Sample(device, t_s, 0.0) for device in self.devices)

    def _note(self, t_s: float, error: str) -> None:
        last = self._failures[-1] if self._failures else None
        if last is not None and last.error == error and t_s - last.last_s < _CLOSE_S:
            last.last_s = t_s
        else:
            self._failures.append(_Failure(t_s, error))

    def failures_between(self, start_s: float, end_s: float) -> Iterator[str]:
        """Yield each reason for which it could not be read in a span, once."""
        for error in dict.fromkeys(
            each.error
            for each in list(self._failures)
            if each.first_s <= end_s and each.last_s >= start_s
        ):
            yield f"{self.name} could not be read in the window ({error})"

    def last_error(self, device: str) -> str | None:
        """Return why a device failed when it was read last; None if it did not, or is not known to."""
        if self._source is not None:
            self._last_errors = last_errors(self._source)
        return self._last_errors.get(device)

    def close(self) -> None:
        """Close the source."""
        if self._source is not None:
            self._last_errors = last_errors(self._source)
            source, self._source, self.read_counters = self._source, None, tuple
            with contextlib.suppress(Exception):
                source.close()
