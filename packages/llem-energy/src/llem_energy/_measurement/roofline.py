"""How much of its device each phase used, and what limited it. For explanation only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.device_peaks import FoundPeaks
from llem_energy._measurement.phase_work import PhaseWork, phase_works
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._model_info.traffic import Confidence, confidence_of
from llem_energy._result.measurement_figures import PhaseResult
from llem_energy._result.roofline import Bound, PhaseRoofline

MAX_SHARE = 1.05
"""Of a peak. More is a fault of the count or of the peak, because no work exceeds it."""
MIN_UTILISATION = 0.9
"""Share of the time in which the GPUs have work; with less, they wait for the host."""
MIN_SHARE = 0.2
"""Of a peak; with less of both, neither operations nor bytes limit the work."""
_TERA, _GIGA, _PER_PICO = 1e12, 1e9, 1e12
_NOT_ALONE = "the energy of a phase is measured only if energy.phases lists it"


def rooflines(
    raw: RawMeasurement, reports: BackendReports, phases: Sequence[PhaseResult]
) -> tuple[PhaseRoofline, ...]:
    """Return the roofline of prefill and decode.

    Args:
        raw: the measurement, with the peaks of the device.
        reports: of the backend.
        phases: the energies of the phases that were measured alone.
    """
    traffic = reports.traffic()
    energies = {phase.phase: phase for phase in phases}
    return tuple(
        roofline_of(
            work,
            raw.peaks,
            energies.get(work.phase) if work.timed == "alone" else None,
            _utilisation(raw, work),
            None if traffic is None else confidence_of(traffic, work.phase),
        )
        for work in phase_works(raw, reports, traffic)
    )


def roofline_of(
    work: PhaseWork,
    peaks: FoundPeaks,
    energy: PhaseResult | None,
    utilisation: float | None,
    confidence: Confidence | None,
) -> PhaseRoofline:
    """Return the roofline of one phase.

    Args:
        work: what it computed, and how long it took.
        peaks: of the device.
        energy: of the same work; None if it was not measured.
        utilisation: of the GPUs, 0 to 1; None without GPUs, or if unknown.
        confidence: of the bytes.
    """
    found = _Figures(work)
    found.divide("achieved_tflops", "flops", work.time_s, "time_s", 1 / _TERA)
    found.divide("achieved_gb_s", "bytes_moved", work.time_s, "time_s", 1 / _GIGA)
    found.divide("arithmetic_intensity", "flops", work.bytes_moved, "bytes_moved")
    known = peaks.found.peaks if peaks.found is not None else None
    reason = peaks.reason or "the backend does not measure this peak in this precision"
    found.share("mfu", "achieved_tflops", known.tflops if known else None, reason)
    found.share("mbu", "achieved_gb_s", known.memory_gb_s if known else None, reason)
    for name, amount in (("pj_per_flop", work.flops), ("pj_per_byte", work.bytes_moved)):
        count = "flops" if name == "pj_per_flop" else "bytes_moved"
        found.values["energy_j"], found.why["energy_j"] = _energy(energy)
        found.divide(name, "energy_j", amount, count, _PER_PICO)
    bound = _bound_by(found, utilisation)
    get = found.values.get
    return PhaseRoofline(
        phase=work.phase,
        timed=work.timed,
        time_s=work.time_s,
        flops=work.flops,
        bytes_moved=work.bytes_moved,
        bytes_confidence=None if work.bytes_moved is None else confidence,
        achieved_tflops=get("achieved_tflops"),
        achieved_gb_s=get("achieved_gb_s"),
        arithmetic_intensity=get("arithmetic_intensity"),
        mfu=get("mfu"),
        mbu=get("mbu"),
        pj_per_flop=get("pj_per_flop"),
        pj_per_byte=get("pj_per_byte"),
        gpu_utilisation=utilisation,
        bound_by=bound,
        reasons=found.reasons(),
    )


class _Figures:
    """Figures by name, and for each that is missing the reason."""

    def __init__(self, work: PhaseWork) -> None:
        self.values: dict[str, float | None] = {
            "flops": work.flops, "bytes_moved": work.bytes_moved
        }  # fmt: skip
        self.why = dict(work.unknown)

    def divide(
        self, name: str, amount: str, divisor: float | None, what: str, scale: float = 1.0
    ) -> None:
        """Add a quotient.

        Args:
            name: of the quotient.
            amount: name of the dividend, which was added before.
            divisor: a positive number, 0, or None.
            what: name of the divisor, whose reason counts.
            scale: to multiply with.
        """
        value = self.values.get(amount)
        if value is None or not divisor:
            self.values[name] = None
            self.why[name] = (self.why.get(amount) if value is None else None) or self.why.get(
                what, f"{what} is 0"
            )
        else:
            self.values[name] = scale * value / divisor

    def share(self, name: str, rate: str, peak: float | None, reason: str) -> None:
        """Add the share of a peak, unless it is more than any work can reach.

        Args:
            name: of the share.
            rate: name of the rate, which was added before.
            peak: in the unit of the rate; None if it is not known.
            reason: why the peak is not known.
        """
        if not peak and self.values.get(rate) is not None:
            self.values[name], self.why[name] = None, reason
            return
        self.divide(name, rate, peak, "the peak")
        share = self.values[name]
        if share is not None and share > MAX_SHARE:
            self.values[name] = None
            self.why[name] = (
                f"the count gives {share:.3g} of the measured peak, which no work can reach: the "
                "count or the peak is wrong, or the data stayed in a cache of the processor"
            )

    def reasons(self) -> tuple[str, ...]:
        """Return one sentence for each reason, with the fields that it concerns."""
        names: dict[str, list[str]] = {}
        for name, reason in self.why.items():
            if name != "energy_j":
                names.setdefault(reason, []).append(name)
        return tuple(f"{', '.join(fields)}: {reason}" for reason, fields in names.items())


def _energy(phase: PhaseResult | None) -> tuple[float | None, str]:
    if phase is None:
        return None, _NOT_ALONE
    return phase.energy_j, "; ".join(phase.quality.reasons) or "the energy is missing"


def _bound_by(found: _Figures, utilisation: float | None) -> Bound | None:
    if utilisation is not None and utilisation < MIN_UTILISATION:
        return "host"
    mfu, mbu = found.values.get("mfu"), found.values.get("mbu")
    if mfu is None or mbu is None:
        found.why["bound_by"] = found.why["mfu" if mfu is None else "mbu"]
        return None
    if max(mfu, mbu) < MIN_SHARE:
        return "host"
    return "compute" if mfu > mbu else "memory"


def _utilisation(raw: RawMeasurement, work: PhaseWork) -> float | None:
    """Return the mean utilisation of the GPUs that the model is on."""
    shares = [
        sample.utilisation
        for sample in raw.samples.between(work.span.start_s, work.span.end_s)
        if sample.device in raw.gpus and sample.utilisation is not None
    ]
    return statistics.fmean(shares) if shares else None
