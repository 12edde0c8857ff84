"""What one run of a study hands on to the next, through whoever runs them.

Only what was measured, with what has to be the same for it to hold; whether it does is decided by
the run that would use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from llem_energy._metering.calibration import Calibration
from llem_energy._result.measurement_figures import ContextIdle

if TYPE_CHECKING:
    from llem_energy._result.experiment_result import ExperimentResult


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """Known before a run begins; empty where nothing is."""

    calibration: tuple[Calibration, ...] = ()
    context: ContextIdle | None = None


def prior_of(result: ExperimentResult, before: Prior | None = None) -> Prior:
    """Return what is known after a run: what it found out, over what was known before.

    A run that measured another set of devices says nothing of those that it left alone.
    """
    known = before or Prior()
    calibration = {one.device: one for one in known.calibration}
    calibration |= {one.device: one for one in result.calibration if one.counter_period_s}
    context = result.baseline.context if result.baseline else None
    return Prior(calibration=tuple(calibration.values()), context=context or known.context)
