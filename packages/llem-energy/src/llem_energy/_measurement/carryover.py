"""What a run hands to the next one: calibrations and idle power, with the conditions they need.

The next run checks whether the conditions still hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from llem_energy._metering.board_check import BoardCheck
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._result.measurement_figures import ContextIdle
from llem_energy._result.roofline import DevicePeaks

if TYPE_CHECKING:
    from llem_energy._result.experiment_result import ExperimentResult


class Carryover(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before a run begins; empty if nothing is."""

    calibration: tuple[Calibration, ...] = ()
    """Of each metered device, from an earlier run of this boot."""
    context: ContextIdle | None = None
    """Idle power with a context and no model, from an earlier run."""
    gains: tuple[GainCalibration, ...] = ()
    """Of sensors that were calibrated with an external meter; of any machine."""
    board_checks: tuple[BoardCheck, ...] = ()
    """Of energy counters, by `llem-cli doctor --check-gpu`; of any machine and driver."""
    peaks: tuple[DevicePeaks, ...] = ()
    """Of any machine and boot."""


def carryover_from(result: ExperimentResult, before: Carryover | None = None) -> Carryover:
    """Return what is known after a run: what it measured, and `before` for the rest.

    Calibrations of devices that the run did not measure are kept.
    """
    earlier = before or Carryover()
    calibrations = {each.device: each for each in earlier.calibration}
    calibrations |= {each.device: each for each in result.calibration if each.counter_period_s}
    context = result.baseline.context if result.baseline else None
    return Carryover(
        calibration=tuple(calibrations.values()),
        context=context or earlier.context,
        gains=earlier.gains,
        board_checks=earlier.board_checks,
        peaks=_with(earlier.peaks, result.device_peaks),
    )


def _with(known: tuple[DevicePeaks, ...], found: DevicePeaks | None) -> tuple[DevicePeaks, ...]:
    return known if found is None or found in known else (*known, found)
