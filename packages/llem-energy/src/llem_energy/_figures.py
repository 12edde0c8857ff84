"""The energy part of a result: what each figure is worth, and what it was made from.

Every figure has a `Quality`. A figure that is missing is None, never 0, and says why.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_config import PhaseName
from llem_energy._prior import ContextIdle

Status = Literal["ok", "flagged", "missing"]
SENSOR_GAIN_SHARE = 0.05
"""Error of a board's own power sensor against an external meter, from the literature: -6 to -4 %
on six of nine boards, +11 % on one (arXiv 2312.02741). It is the same for every run on one board,
so it cancels in ratios between its points, but not between boards."""


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a figure can be relied on, and if not, why."""

    status: Status
    reasons: tuple[str, ...] = ()


class EstimateFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one estimator says of the window of one device."""

    method: str
    energy_j: float
    uncertainty_j: float | None
    """The estimator's own, as far as its assumption holds."""
    bound_j: float | None
    """Needs no assumption about the load; None for an integral of power, which has no such bound."""


class DeviceWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one metered device did during the window."""

    device: str
    """GPU UUID, or the name of a RAPL domain."""
    energy_j: float | None
    energy_bound_j: float | None
    power_limit_w: float | None = None
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None
    temperature_max_c: float | None = None
    sm_clock_mean_mhz: float | None = None
    throttled_power_s: float | None = None
    """Time held back by the power limit, from the driver's cumulative counter."""
    throttled_thermal_s: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    """Reasons seen in any sample of the window."""
    estimates: tuple[EstimateFigure, ...] = ()
    """Every estimator that could be applied; the first is the one that `energy_j` is from."""
    power_mean_w: float | None = None
    power_max_w: float | None = None
    """Of the instant power that was sampled, in the window."""


class ErrorBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Four errors side by side. They are of different kinds, so they are not added up.

    The gain is common to all runs on one board and cancels in their ratios; the others do not.
    """

    edge_bound_j: float | None
    """Largest error from the two ends of the window; None where only power could be integrated."""
    sampling_j: float | None
    """Error (95 %) from the time that an integral of power did not see; None with a counter, which
    sees everything."""
    gain_share: float | None
    """Literature value for a GPU's sensor; None for other meters."""
    statistical_share: float | None = None
    """From repeats only; a single run has none. See the point's interval in `study_result.json`."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well the window was sampled."""

    n: int
    rate_hz: float
    """Reached, over all of the window; per device."""
    worst_gap_s: float
    bracket_p99_s: float
    """Duration of a reading; a busy interpreter holds the sampler up in the middle of one."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Idle power of all metered devices, in watts; None where it was not measured."""

    context: ContextIdle | None = None
    """The device's context up, no model."""
    context_reused: bool = False
    """Taken over from an earlier run of the study."""
    loaded_before_w: float | None = None
    """Model loaded, before the warm-up."""
    loaded_after_w: float | None = None
    """Model loaded, after the window."""
    power_w: float | None = None
    """What is taken off: model loaded, interpolated to the middle of the window."""
    uncertainty_w: float | None = None
    """Half of the difference between before and after, or what each was known to if that is more."""


class WarmUpReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How steady the work was when the window opened."""

    n_repeats: int
    duration_s: float
    latency_cv: float | None
    """Coefficient of variation over the last repeats."""
    power_slope_per_min: float | None = None
    """Change of mean power over the last seconds of the warm-up, as a share a minute."""
    temperature_slope_c_per_min: float | None = None


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prefill or decode alone, measured in a window of its own on the first batch."""

    phase: PhaseName
    n_prompts: int | None
    """Prompts of one batch."""
    n_repeats: int | None
    n_tokens: int | None
    """Total of the window: input tokens read by prefill, output tokens generated by decode."""
    window_s: float | None
    tokens_per_second: float | None
    energy_j: float | None
    energy_bound_j: float | None
    energy_uncertainty_j: float | None
    energy_method: str | None
    energy_per_token_j: float | None
    """Per input token for prefill, per output token for decode."""
    energy_adjusted_j: float | None
    """Less the loaded idle power."""
    quality: Quality
