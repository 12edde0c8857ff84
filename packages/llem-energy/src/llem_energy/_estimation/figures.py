"""Energy figures of a window: value, quality, estimators and errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Status = Literal["ok", "flagged", "missing"]
CounterCheck = Literal["agrees", "lags", "unclear", "unverified"]
"""Whether the counter of a GPU falls to idle power with the board after the window: it does; it
continues to count; one of the two, which cannot be told apart; there is no instant power to tell."""


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a figure can be relied on, and if not, why."""

    status: Status
    """`ok`, `flagged` (has reasons for doubt) or `missing` (has no value)."""
    reasons: tuple[str, ...] = ()
    """One sentence each; () if it is ok."""

    def with_reasons(self, reasons: Iterable[str]) -> Quality:
        """Return this quality with more reasons; a figure that is there is then flagged."""
        both = (*self.reasons, *reasons)
        if self.status == "missing":
            return Quality("missing", both)
        return Quality("flagged" if both else "ok", both)


class Figure(msgspec.Struct, frozen=True):
    """A number with its quality; None if and only if the quality is `missing`."""

    value: float | None
    quality: Quality

    def per(self, count: int, what: str) -> Figure:
        """Return the figure divided by a count of `what`; missing if there were none."""
        if count == 0:
            return Figure(None, Quality("missing", (f"there were no {what}",)))
        return Figure(None if self.value is None else self.value / count, self.quality)

    def reasons_besides(self, other: Figure) -> list[str]:
        """Return the reasons of this figure that are not reasons of the other."""
        return [reason for reason in self.quality.reasons if reason not in other.quality.reasons]


class EstimateFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The estimate of one estimator for the window of one device."""

    method: str
    """Name of the estimator."""
    energy_j: float
    """Joules of the device in the window."""
    uncertainty_j: float | None
    """Holds if the assumption of the estimator holds."""
    bound_j: float | None
    """Maximum error; None for an integral of power, which has no bound."""


class DeviceWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metered device during the window."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    energy_j: float | None
    """Energy during the window."""
    energy_bound_j: float | None
    """Maximum error of `energy_j`, apart from the gain error of the sensor."""
    power_limit_w: float | None = None
    """Power limit during the window."""
    temperature_start_c: float | None = None
    """Temperature at the start of the window."""
    temperature_end_c: float | None = None
    """Temperature at the end of the window."""
    temperature_max_c: float | None = None
    """Maximum temperature in the window."""
    sm_clock_mean_mhz: float | None = None
    """Mean clock of the multiprocessors in the window."""
    throttled_power_s: float | None = None
    """Time throttled by the power limit, from the driver's cumulative counter."""
    throttled_thermal_s: float | None = None
    """Time throttled because of the temperature."""
    throttle_reasons: tuple[str, ...] = ()
    """Reasons seen in any sample of the window."""
    estimates: tuple[EstimateFigure, ...] = ()
    """Every estimator that could be applied; `energy_j` is from the first."""
    power_mean_w: float | None = None
    """Mean instant power in the window."""
    power_max_w: float | None = None
    """Of the instant power sampled in the window."""
    counter_check: CounterCheck | None = None
    """None if the device is no GPU, or was not read long enough after the window."""
    energy_after_j: float | None = None
    """Rise of the counter above idle power after the window, from its first update on."""
    power_after_j: float | None = None
    """The same from instant power."""


class ErrorBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Errors of different kinds, which are therefore not added up.

    The gain error is the same for all runs on one board and cancels in their ratios; the others do
    not.
    """

    edge_bound_j: float | None
    """Maximum error from the two ends of the window; None if only power could be integrated."""
    lag_j: float | None = None
    """What the counter of a GPU may hide because it lags, or may lag; None if there is no bound."""
    sampling_j: float | None
    """Error (95 %) of an integral because power is only sampled. With the counter of a GPU, what it
    can miss if it observes the board part of the time; None if it is known to observe it all the time."""
    gain_share: float | None
    """Gain error of the sensor; None if it is not known. `gain_source` says where it is from."""
    data_share: float | None = None
    """Error because the model computed with other values than a service would: 0 if weights and
    tokens are real, None if it is not known."""
    data_reason: str | None = None
    """Why `data_share` is not known."""
    statistical_share: float | None = None
    """Always None: a single run has none. The format keeps the field; `study_result.json` has the
    intervals over repeats."""
    gain_source: str | None = None
    """Where `gain_share` is from: the literature, or a calibration with an external meter."""
    corrected_gain_share: float | None = None
    """Gain error that is left in `energy_gain_corrected_j` (95 %); None without a calibration."""
