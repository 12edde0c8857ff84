"""Opens and closes the windows of a meter, and computes their energy while samples are there."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

import msgspec

from llem_energy._meter.energy_window import EnergyWindow
from llem_energy._meter.parts import Metered
from llem_energy._meter.window_energy import WindowEnergy, missing
from llem_energy._metering.span import WindowSpan

_FORKED = (
    "this process was forked from the one that opened the meter; open a meter of its own in it"
)
_CLOSED = "the meter was closed before the window"
_CLOSED_INSIDE = "the meter was closed while the window was open"
_log = logging.getLogger("llem")
_RELIEF_S, _HURRY_S = 0.005, 0.05  # for figures that have not been read, in one tick
_MANY = 500  # windows that are open, or whose energy has not been read


class WindowLedger:
    """The windows of one meter. It holds no window that its user has dropped."""

    def __init__(
        self,
        synchronise: Callable[[], object],
        reasons: tuple[str, ...],
        notes: tuple[str, ...] = (),
    ) -> None:
        """Begin without anything that is metered.

        Args:
            synchronise: returns when the device has finished all submitted work.
            reasons: why sources could not be read.
            notes: why the energy of every window is flagged.
        """
        self.metered: Metered | None = None
        self.host: Metered | None = None
        self.reasons = reasons
        self._notes = notes
        self._synchronise = synchronise
        self._pid = os.getpid()
        self._is_closed = False
        self._closing = threading.Lock()
        self._windows: dict[int, weakref.ref[EnergyWindow]] = {}

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the one that opened the meter."""
        return os.getpid() != self._pid

    def open(self, window: EnergyWindow) -> None:
        """Open a window. What prevents that becomes a reason of its energy.

        The calls of `open` and `close` are counted: in the mode light they should cost little more
        than a reading of the driver.
        """
        metered = self.metered
        if metered is None or self._is_closed or os.getpid() != self._pid:
            window._refusal = self._refusal()
            window._start_s = time.perf_counter()
            return
        try:
            self._synchronise()
        except Exception as error:  # noqa: BLE001  # of any library
            window._problems.append(_unsynchronised("start", error))
        if metered.sampler.failure is not None:
            self.relieve()  # which its thread no longer does
        self._windows[id(window)] = weakref.ref(window)
        try:
            if window.mode == "light":
                metered.count()
            else:
                window._start_s = time.perf_counter()  # holds the samples of the idle time
                window._quiet = metered.approach(window._start_s)
                metered.sampler.read()
        except Exception as error:  # noqa: BLE001  # of a source of another package
            window._problems.append(_unread("start", error))
        window._start_s = time.perf_counter()
        if window.mode == "light":
            metered.read_after_edge()

    def close(self, window: EnergyWindow) -> None:
        """Close a window that is open."""
        start_s = window._start_s
        assert start_s is not None
        metered = self.metered
        if window._refusal or metered is None or self._is_closed or os.getpid() != self._pid:
            refusal = window._refusal or self._refusal()
            if refusal != window._refusal and refusal == _CLOSED:
                refusal = _CLOSED_INSIDE
            window._energy = missing(refusal or self._nothing())
            window._span = WindowSpan(start_s, time.perf_counter())
            self._windows.pop(id(window), None)
            return
        try:
            self._synchronise()
        except Exception as error:  # noqa: BLE001  # of any library
            window._problems.append(_unsynchronised("end", error))
        end_s = time.perf_counter()
        quiet = window._quiet
        try:
            if quiet is None:
                metered.count()
            else:
                metered.sampler.read()
                window._span = metered.edges.leave(quiet, start_s, end_s)
        except Exception as error:  # noqa: BLE001  # of a source of another package
            window._problems.append(_unread("end", error))
        if window._span is None:
            window._span = WindowSpan(start_s, end_s)
            metered.read_after_edge()

    def energy(self, window: EnergyWindow, span: WindowSpan) -> WindowEnergy:
        """Return the energy of a closed window; it waits until that is known."""
        metered = self.metered
        if metered is None:
            return missing(self._nothing())
        if self.is_forked:
            return missing(_FORKED)
        try:
            if not self._is_closed:
                self._wait_until_ready(span.end_s)
            energy = self._computed(window, metered, span)
        except Exception as error:  # noqa: BLE001  # the program must not end because of its meter
            energy = missing(f"the energy could not be computed ({_shown(error)})")
        self._windows.pop(id(window), None)
        return energy

    def _wait_until_ready(self, end_s: float) -> None:
        for metered in (self.metered, self.host):
            if metered is not None:
                metered.wait_until_ready(end_s)

    def _computed(self, window: EnergyWindow, metered: Metered, span: WindowSpan) -> WindowEnergy:
        duration_s = span.end_s - span.start_s
        if duration_s < metered.call_s:
            return missing(
                f"the window is empty: it lasted {duration_s:.2g} s, less than one reading"
            )
        reasons = (*window._problems, *self._notes)
        energy = metered.energy(span, reasons, window.repeated_s)
        if self.host is None:
            return energy
        alone = WindowSpan(span.start_s, span.end_s)  # a processor does not idle at the ends
        try:
            host = self.host.energy(alone, ())
        except Exception as error:  # noqa: BLE001  # must not cost the energy of the GPUs
            host = missing(f"the energy could not be computed ({_shown(error)})")
        return msgspec.structs.replace(energy, host=host)

    def relieve(self) -> None:
        """Drop samples that no window needs. Called by the sampler's thread after each reading."""
        metered = self.metered
        if metered is None or not (metered.store.is_full or len(self._windows) > _MANY):
            return
        windows = self._remaining()
        if metered.store.is_over_limit or len(windows) > _MANY:
            self._compute_oldest(windows, _HURRY_S if metered.store.is_over_limit else _RELIEF_S)
        starts = [w._start_s for w in windows if w._energy is None and w._start_s is not None]
        metered.store.drop(starts)
        if self.host is not None:
            self.host.store.drop(starts)

    def _remaining(self) -> list[EnergyWindow]:
        """Return the windows that are not yet computed, and forget those that are dropped."""
        windows = []
        for key, ref in list(self._windows.items()):
            window = ref()
            if window is not None:
                windows.append(window)
                continue
            taken = self._windows.pop(key, ref)
            if taken is not ref:  # a new window is in the same place
                self._windows.setdefault(key, taken)
        return windows

    def _compute_oldest(self, windows: list[EnergyWindow], for_s: float) -> None:
        """Compute closed windows, oldest first, so that their samples can be dropped."""
        deadline_s = time.perf_counter() + for_s
        for window in windows:
            span = window._span
            now_s = time.perf_counter()
            if span is not None and now_s - span.end_s > 2.0:
                window._energy = window._energy or self.energy(window, span)
            if time.perf_counter() > deadline_s:
                return

    def close_meter(self, *, waits: bool = False) -> None:
        """Stop metering; the energy of windows that are closed can still be read.

        Args:
            waits: until the counter shows the end of the last window.
        """
        if self.is_forked:
            return
        with self._closing:
            if self._is_closed:
                return
            ends = [w._span.end_s for w in self._remaining() if w._span is not None]
            if waits and ends:
                self._wait_until_ready(max(ends))
            self._is_closed = True
        for metered in (self.metered, self.host):
            problem = metered.close() if metered is not None else None
            if problem is not None:
                _log.warning("llem: the file of samples is not complete: %s", problem)

    def _refusal(self) -> str | None:
        """Return why nothing can be metered now."""
        if self.is_forked:
            return _FORKED
        if self._is_closed:
            return _CLOSED
        return self._nothing() if self.metered is None else None

    def _nothing(self) -> str:
        why = "; ".join(self.reasons) or "sources names no meter"
        return f"no energy was measured: {why}"


def _unsynchronised(end: str, error: Exception) -> str:
    """Return the flag of a window. An error of the device must not come from the meter."""
    return f"the device could not be synchronised at the {end} of the window ({_shown(error)})"


def _unread(end: str, error: Exception) -> str:
    return f"the source could not be read at the {end} of the window ({_shown(error)})"


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
