"""The meter itself: what users open, and what they get windows from."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from llem_energy._errors import MeasurementError
from llem_energy._meter.energy_window import EnergyWindow, Mode
from llem_energy._sources.protocol import DEFAULT_SOURCES, Kind, Sample

if TYPE_CHECKING:
    from llem_energy._metering.calibration import Calibration

_MODES: tuple[Mode, ...] = ("exact", "light")
_log = logging.getLogger("llem")
_told: set[str] = set()


class EnergyMeter:
    """Measures the energy of any code in windows.

        with EnergyMeter() as meter:
            with meter.window("generate") as window:
                model.generate(**inputs)
        print(window.energy.total_j, "J +-", window.energy.bound_j)

    Windows may be nested, may overlap, and may be opened in several threads. What is metered are whole
    boards, so the figures contain the work of every program that uses them at the same time.

    Where nothing can be metered, the reason is logged once, as a warning of the logger `llem`, and the
    energy of each window is `missing`, with the same reason.
    """

    def __init__(
        self,
        gpus: int | str | Sequence[int | str] | None = None,
        *,
        sources: Sequence[str] = DEFAULT_SOURCES,
        synchronize: Callable[[], object] | Literal[False] | None = None,
        mode: Mode = "exact",
        sample_period_s: float = 0.1,
        timeseries: Path | str | None = None,
    ) -> None:
        """Open the meter, calibrate it, and start to sample.

        The calibration takes one to five seconds in which the GPUs should idle; it is kept for the
        current boot and driver, so that the next meter starts within two updates of its counter.

        Args:
            gpus: the GPUs to meter, by the driver's index or UUID; None is every GPU that
                CUDA_VISIBLE_DEVICES leaves visible.
            sources: names of energy sources in order of preference. The first that can be read is
                the total; one of the processor is metered beside it and never replaces a GPU.
            synchronize: returns when the device has finished all submitted work. None waits for
                torch, jax and cupy if they are imported; False waits for nothing.
            mode: of the windows. `exact` waits at both ends of a window for about half a second,
                until the counter has shown idle power there. `light` never waits there, and
                its bound is about two counter periods of power.
            sample_period_s: longest time between two readings of the background thread, in seconds,
                > 0. A counter with a period above 0.08 s is read twice between two updates.
            timeseries: a Parquet file for every sample, as `timeseries.parquet` of a run.

        Raises:
            MeasurementError: an argument is not what was expected. A machine on which nothing can be
                metered is no error.
        """
        if mode not in _MODES:
            raise MeasurementError(f"mode: expected 'exact' or 'light', found {mode!r}")
        if not 0 < sample_period_s < math.inf:
            raise MeasurementError(
                f"sample_period_s: expected seconds above 0, found {sample_period_s!r}"
            )
        # The parts of an open meter take as long to import as this module, so they wait for a meter.
        from llem_energy._meter.opening import opened_ledger

        self.mode: Mode = mode
        self._named: dict[str, EnergyWindow] = {}
        self._ledger = opened_ledger(gpus, sources, synchronize, sample_period_s, timeseries)
        if self._ledger.metered is None:
            _tell_once("; ".join(self._ledger.reasons))
        self._finalizer = weakref.finalize(self, self._ledger.close_meter)

    @property
    def source(self) -> str | None:
        """The name of what is read, such as `nvml`; None if nothing can be metered."""
        metered = self._ledger.metered
        return None if metered is None else metered.source.name

    @property
    def kind(self) -> Kind | None:
        """What the total is of: `gpu`, `cpu` or `board`; None if nothing can be metered."""
        metered = self._ledger.metered
        return None if metered is None else metered.source.kind

    @property
    def devices(self) -> tuple[str, ...]:
        """The metered devices: UUIDs of GPUs, or names of domains; () if there are none."""
        metered = self._ledger.metered
        return () if metered is None else metered.source.devices

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why sources could not be read."""
        return self._ledger.reasons

    @property
    def calibration(self) -> tuple[Calibration, ...]:
        """How each device's counter behaves; () if nothing is metered."""
        metered = self._ledger.metered
        return () if metered is None else metered.calibration

    def latest(self) -> tuple[Sample, ...]:
        """Return the newest reading of each device; () before the first one."""
        metered = self._ledger.metered
        if metered is None or self._ledger.is_forked:
            return ()
        newest = {sample.device: sample for sample in metered.store.latest(8 * len(self.devices))}
        return tuple(newest[device] for device in self.devices if device in newest)

    def window(self, name: str = "window", *, mode: Mode | None = None) -> EnergyWindow:
        """Return a new window, for `with`, `async with` or as a decorator.

        Args:
            name: for messages and exports; it need not be unique.
            mode: of this window; None is that of the meter.

        Raises:
            MeasurementError: no such mode.
        """
        chosen = self.mode if mode is None else mode
        if chosen not in _MODES:
            raise MeasurementError(f"mode: expected 'exact' or 'light', found {mode!r}")
        return EnergyWindow(self._ledger, name, chosen, self)

    def begin_window(self, name: str) -> EnergyWindow:
        """Open a window under a name, for `end_window` in another place or thread.

        Raises:
            MeasurementError: a window of this name is open.
        """
        window = EnergyWindow(self._ledger, name, self.mode, self)
        if self._named.setdefault(name, window) is not window:
            raise MeasurementError(f"a window {name!r} is already open; end it or use another name")
        self._ledger.open(window)
        return window

    def end_window(self, name: str) -> EnergyWindow:
        """Close the window of this name and return it.

        Raises:
            MeasurementError: no window of this name is open.
        """
        window = self._named.pop(name, None)
        if window is None:
            open_now = ", ".join(map(repr, self._named)) or "none"
            raise MeasurementError(f"no window {name!r} is open; open windows: {open_now}")
        return window.close()

    def close(self) -> None:
        """Stop sampling and close the sources; safe to call twice.

        The energy of closed windows can still be read. Windows that are open become `missing`.
        """
        self._ledger.close_meter(waits=True)
        self._finalizer.detach()

    def __enter__(self) -> EnergyMeter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _tell_once(reasons: str) -> None:
    if reasons not in _told:
        _told.add(reasons)
        _log.warning("llem: no energy is measured: %s", reasons)
