"""What a meter reads with: an open source, its calibration, a sampler, and the samples."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from llem_energy._errors import MeasurementError
from llem_energy._meter.guarded_source import GuardedSource
from llem_energy._meter.sample_store import SampleStore
from llem_energy._meter.span_energy import AROUND_S, window_energy
from llem_energy._meter.window_energy import WindowEnergy
from llem_energy._metering.board_check import (
    BoardCheck,
    doubts,
    exact,
    possible_delays_s,
    sees_all,
    valid_checks,
)
from llem_energy._metering.boot import boot_id
from llem_energy._metering.calibration import Calibration, calibrate, usable
from llem_energy._metering.calibration_cache import (
    load_board_checks,
    load_calibrations,
    save_calibrations,
)
from llem_energy._metering.edges import UNKNOWN_PERIOD_S, Edges, QuietEdge
from llem_energy._metering.gain_store import GainCalibration, load_gains
from llem_energy._metering.meter_failures import failed_in_window, last_errors
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.settling import Moved, lowest_powers_w
from llem_energy._metering.span import WindowSpan
from llem_energy._sources.protocol import EnergySource, Sample

_SWEEP = 0.073  # a share of the counter's period by which each reading comes earlier in it
_READS_PER_UPDATE = 2
_MIN_PERIOD_S = 0.04  # more readings for a faster counter would cost more than they tell
_BURST_PERIODS, _READS_PER_PERIOD, _MIN_STEP_S = 1.25, 5, 0.002
_UPDATES_AFTER = 2
_PERIODS_AFTER = 2.5
_LAGGED_BEFORE = "another window showed that the energy counter may lag, so the bound may not hold"
_DOUBTS = {"lags", "unclear"}


class _Tee:
    """Hands samples to a store and to a file."""

    def __init__(self, store: SampleStore, recorder: Recorder) -> None:
        self._store, self._recorder = store, recorder

    def add(self, samples: Sequence[Sample]) -> None:
        self._store.add(samples)
        self._recorder.add(samples)


class Metered:
    """One source that is sampled, and the energy of any span of its samples."""

    def __init__(
        self,
        source: EnergySource,
        calibration: tuple[Calibration, ...],
        gains: tuple[GainCalibration, ...],
        checks: tuple[BoardCheck, ...],
        period_s: float,
        after_reading: Callable[[], None],
        timeseries: Path | None,
    ) -> None:
        """Start to sample; the arguments are those of `EnergyMeter`, with its source opened."""
        self.source = GuardedSource(source)
        self.calibration = calibration
        self._gains = gains
        self._checks = checks
        self._lagging: dict[str, None] = {}  # devices whose counter an exact window found to lag
        self.call_s = max((each.call_p50_s for each in calibration), default=0.0)
        """The usual duration of a reading."""
        self.store = SampleStore()
        self._recorder = Recorder(timeseries)
        sink = self.store if timeseries is None else _Tee(self.store, self._recorder)
        self._take = sink.add
        self.sampler = Sampler(
            self.source, sweeping(period_s, calibration), sink, after_reading=after_reading
        )
        self._has_approached = False
        self.edges = Edges(self.sampler, calibration, self.source.devices)
        self._burst_s = _BURST_PERIODS * self.edges.period_s
        self._burst_step_s = max(_MIN_STEP_S, self.edges.period_s / _READS_PER_PERIOD)
        self._ready_after_s = _PERIODS_AFTER * self.edges.period_s + 2 * period_s
        self.sampler.read()  # what else a device reports is known before the first window
        self.sampler.__enter__()
        # A window that opens at once needs to know when the counter moved before it.
        self.sampler.read_until(Moved(self.source.devices, 1), 1.5 * self.edges.period_s)

    def approach(self, since_s: float) -> QuietEdge:
        """Idle before a window.

        Idle power before the first one is the lowest that the counter has shown since the meter was opened.

        Args:
            since_s: from when on the device idles.
        """
        if not self._has_approached:
            self._has_approached = True
            samples = self.store.between(0.0, since_s)
            self.edges.note_idle(lowest_powers_w(samples, self.source.devices))
        return self.edges.approach(since_s)

    def count(self) -> None:
        """Read the counters at an end of a window that must not wait."""
        self._take(self.source.read_counters())

    def read_after_edge(self) -> None:
        """Let the thread read more often until the counter has moved, without waiting for it."""
        self.sampler.burst(self._burst_s, self._burst_step_s)

    def wait_until_ready(self, end_s: float) -> None:
        """Return once the counters show what was used up to `end_s`: half a second at most.

        It reads densely meanwhile, which tells when the counter moved.
        """
        left_s = end_s + self._ready_after_s - time.perf_counter()
        if left_s > 0:
            self.sampler.read_until(Moved(self.source.devices, _UPDATES_AFTER), left_s)

    def energy(
        self, span: WindowSpan, reasons: Sequence[str], steps_s: Sequence[float] = ()
    ) -> WindowEnergy:
        """Return the energy of a window that is ready.

        Args:
            span: the window.
            reasons: why it is flagged, besides what the samples show.
            steps_s: times that repeat in it.
        """
        last_s = span.end_s + max(AROUND_S, span.after_s + 0.5)
        samples = self.store.between(span.start_s - AROUND_S, last_s)
        if self.sampler.failure is not None:
            reasons = (*reasons, f"the sampler stopped early: {self.sampler.failure}")
        reasons = (*self.source.failures_between(span.start_s, span.end_s), *reasons)
        if not span.guard_s:  # no idle time in which this window itself could show it
            reasons = (
                *reasons,
                *(f"{device}: {_LAGGED_BEFORE}" for device in tuple(self._lagging)),
            )
        energy = window_energy(
            self.source,
            samples,
            span,
            self.calibration,
            gains=self._gains,
            seen=sees_all(self._checks),
            exact=exact(self._checks),
            late_s=possible_delays_s(self._checks),
            reasons=(*reasons, *doubts(self._checks)),
            steps_s=steps_s,
        )
        if energy.total_j is None:
            failed = failed_in_window(
                samples, span, self.source.devices, self.sampler.failure, last_errors(self.source)
            )
            quality = energy.quality.with_reasons(failed)
            energy = msgspec.structs.replace(energy, quality=quality)
        self._lagging |= {d.device: None for d in energy.devices if d.counter_check in _DOUBTS}
        return energy

    def close(self) -> OSError | None:
        """Stop sampling, and return why the file of samples is incomplete."""
        self.sampler.__exit__(None, None, None)
        self.source.close()
        self._recorder.close()
        return self._recorder.error


def sweeping(period_s: float, calibration: Sequence[Calibration]) -> float:
    """Return a sample period, at most as long, whose readings sweep through that of the counter.

    Readings that always come at the same place between two updates would show when the counter
    moved only to a whole period. If each comes a little earlier in it, neighbours narrow it down.
    A slow counter is read twice between two updates, so that none hides another.
    """
    counter_s = max((c.counter_period_s or 0.0 for c in calibration), default=0.0)
    counter_s = counter_s or UNKNOWN_PERIOD_S
    half_s = counter_s / _READS_PER_UPDATE
    if half_s >= _MIN_PERIOD_S:
        period_s = min(period_s, half_s)
    if period_s >= counter_s:
        return counter_s * (round(period_s / counter_s) - _SWEEP)
    return counter_s / (round(counter_s / period_s) + 2 * _SWEEP)


def calibrated(source: EnergySource) -> tuple[Calibration, ...]:
    """Return the calibration of a source: the cached one of this boot, or a new one (1 to 5 s)."""
    from llem_config.settings import cache_path  # takes a tenth of a second

    driver, binding = source.versions()
    path, boot = cache_path(), boot_id()
    valid = {
        each.device: each
        for each in load_calibrations(path)
        if usable(each, boot_id=boot, driver=driver, binding=binding)
    }
    if all(device in valid for device in source.devices):
        return tuple(valid[device] for device in source.devices)
    found = calibrate(source)
    save_calibrations(path, [each for each in found if each.counter_period_s])
    return found


def known_checks(source: EnergySource) -> tuple[BoardCheck, ...]:
    """Return what `llem-cli doctor --check-gpu` found on the devices with this driver."""
    from llem_config.settings import cache_path

    return valid_checks(load_board_checks(cache_path()), source.devices, source.versions().driver)


def known_gains() -> tuple[GainCalibration, ...]:
    """Return the gains of sensors that were calibrated with an external meter."""
    from llem_config.settings import gains_path

    with contextlib.suppress(MeasurementError):
        return load_gains(gains_path())
    return ()
