"""All energy figures of a measurement, each with its quality."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from llem_energy._estimation.cpu_model import METHOD, estimated_energy_j
from llem_energy._estimation.figures import Figure, Quality
from llem_energy._estimation.window_energy import EnergyFigures
from llem_energy._measurement.baseline import RatedBaseline, baseline_figures, without_baseline
from llem_energy._measurement.calibrated_range import outside_calibration
from llem_energy._measurement.energy_flags import (
    meter_flags,
    power_left_warnings,
    rated_total,
    time_flags,
)
from llem_energy._measurement.host_metrics import HostEnergy, host_energy
from llem_energy._measurement.input_reading import InputReading
from llem_energy._measurement.phase_metrics import phase_results, phase_warnings
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._measurement.tenancy_flags import hidden_processes, idle_change_flags
from llem_energy._measurement.window_readings import window_energy
from llem_energy._result.measurement_figures import Baseline, PhaseResult
from llem_energy._sources.protocol import Kind


class EnergyMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The energy part of a result."""

    source: str | None
    source_kind: Kind | None
    window: EnergyFigures
    """From the readings alone: bound, method, devices and error budget are used as they are."""
    total: Figure
    counter: Figure
    integrated: Figure
    baseline_power: Figure
    adjusted: Figure
    per_output_token: Figure
    per_input_token: Figure
    per_prompt: Figure
    host: HostEnergy
    estimated: Figure
    estimate_method: str | None
    gain_corrected: Figure
    baseline: Baseline | None
    phases: tuple[PhaseResult, ...]
    warnings: tuple[str, ...]

    @property
    def qualities(self) -> dict[str, Quality]:
        """Return the quality of each figure by its field in the result."""
        return {
            "energy_total_j": self.total.quality,
            "energy_counter_j": self.counter.quality,
            "energy_integrated_j": self.integrated.quality,
            "baseline_power_w": self.baseline_power.quality,
            "energy_adjusted_j": self.adjusted.quality,
            "energy_per_output_token_j": self.per_output_token.quality,
            "energy_per_input_token_j": self.per_input_token.quality,
            "energy_per_prompt_j": self.per_prompt.quality,
            "energy_estimated_j": self.estimated.quality,
            "energy_gain_corrected_j": self.gain_corrected.quality,
            **self.host.qualities,
        }


def energy_metrics(
    raw: RawMeasurement, *, reading: InputReading, output_tokens: int
) -> EnergyMetrics:
    """Return the energy figures of a measurement.

    Args:
        raw: the measurement.
        reading: the input tokens of the window.
        output_tokens: of the window, repeats included.
    """
    window = window_energy(raw, raw.window)
    baseline = _baseline(raw)
    rated = rated_total(raw, raw.window, window.total)
    rated = rated.with_reasons(idle_change_flags(raw.tenancy, baseline.figures))
    total = Figure(window.total_j, rated)
    metered = meter_flags(raw, raw.window)
    adjusted = without_baseline(total, baseline, raw.window.end_s - raw.window.start_s)
    phases = phase_results(raw, baseline)
    is_estimated = raw.config.energy.estimate
    return EnergyMetrics(
        source=raw.source.name if raw.source is not None else None,
        source_kind=raw.source.kind if raw.source is not None else None,
        window=window,
        total=total,
        counter=Figure(window.counter_j, window.counter.with_reasons(metered)),
        integrated=Figure(window.integrated_j, window.integrated.with_reasons(metered)),
        baseline_power=Figure(baseline.figures.power_w, baseline.quality),
        adjusted=adjusted,
        per_output_token=total.per(output_tokens, "output tokens"),
        per_input_token=reading.per_token(total),
        per_prompt=total.per(raw.config.n * raw.window.n_repeats, "prompts"),
        host=host_energy(raw, total, output_tokens),
        estimated=_estimated(raw),
        estimate_method=METHOD if is_estimated else None,
        gain_corrected=_gain_corrected(window, total, raw.window.end_s - raw.window.start_s),
        baseline=baseline.figures if raw.source is not None else None,
        phases=phases,
        warnings=tuple(dict.fromkeys(_warnings(raw, total, adjusted, phases))),
    )


def _baseline(raw: RawMeasurement) -> RatedBaseline:
    if raw.source is None:
        return RatedBaseline(Baseline(), Quality("missing", ("nothing was metered",)))
    return baseline_figures(
        raw.source,
        raw.samples.between,
        raw.idles,
        raw.calibration,
        (raw.window.start_s + raw.window.end_s) / 2,
        raw.environment.boot_id,
    )


def _gain_corrected(window: EnergyFigures, total: Figure, window_s: float) -> Figure:
    """Return the corrected total, which has all reasons of the total."""
    corrected = window.gain_corrected
    if corrected.value is None:
        return corrected
    reasons = (*total.quality.reasons, *outside_calibration(window, window_s))
    return Figure(corrected.value, corrected.quality.with_reasons(reasons))


def _estimated(raw: RawMeasurement) -> Figure:
    if not raw.config.energy.estimate:
        return Figure(None, Quality("missing", ("no estimate was requested",)))
    modelled = Quality("flagged", ("modelled, not measured",))
    return Figure(estimated_energy_j(raw.window.cpu_time_s), modelled)


def _warnings(
    raw: RawMeasurement, total: Figure, adjusted: Figure, phases: tuple[PhaseResult, ...]
) -> Iterator[str]:
    yield from total.quality.reasons
    yield from hidden_processes(raw.tenancy, raw.environment.gpus)
    yield from time_flags(raw, raw.window)
    yield from power_left_warnings(raw)
    if adjusted.quality.status == "flagged":
        for reason in adjusted.reasons_besides(total):
            yield f"energy_adjusted_j: {reason}"
    yield from phase_warnings(phases, total.quality.reasons)
