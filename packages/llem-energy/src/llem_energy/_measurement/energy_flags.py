"""Why the energy of a measurement is flagged: reasons that its readings alone do not show."""

from __future__ import annotations

from collections.abc import Iterator

from llem_energy._estimation.figures import Quality
from llem_energy._measurement.raw_measurement import RawMeasurement


def rated_total(raw: RawMeasurement, quality: Quality) -> Quality:
    """Return the quality of a total, given what its readings show.

    Args:
        raw: the measurement.
        quality: of the energy of the window or of a phase, from the readings.
    """
    if raw.source is None:
        return Quality("missing", (f"no energy was measured: {'; '.join(raw.reasons)}",))
    return quality.with_reasons((*meter_flags(raw), *warm_up_flags(raw)))


def meter_flags(raw: RawMeasurement) -> tuple[str, ...]:
    """Return the reasons that concern what was metered; () without a source."""
    if raw.source is None:
        return ()
    stopped = raw.sampler_failure
    return (
        *_wrong_devices(raw),
        *_other_processes(raw),
        *((f"the sampler stopped early: {stopped}",) if stopped else ()),
    )


def _wrong_devices(raw: RawMeasurement) -> Iterator[str]:
    source = raw.source
    if source is None:
        return
    if source.kind == "cpu" and raw.gpus:
        why = f" ({'; '.join(raw.reasons)})" if raw.reasons else ""
        yield (
            f"GPU energy could not be measured{why}; "
            f"energy_total_j covers the CPU only ({source.name})"
        )
    if source.kind == "gpu" and not raw.gpus:
        yield (
            "the backend reported no GPU of its own; the GPUs of this machine's settings "
            "(devices.gpus) were metered"
        )


def _other_processes(raw: RawMeasurement) -> Iterator[str]:
    """Report the processes that shared a metered GPU: the total includes their energy."""
    metered = raw.source.devices if raw.source is not None else ()
    for gpu in raw.environment.gpus:
        if gpu.n_other_processes and gpu.uuid in metered:
            yield f"{gpu.n_other_processes} other processes were on GPU {gpu.index} at the start"


def warm_up_flags(raw: RawMeasurement) -> tuple[str, ...]:
    """Return the reasons why the work may not have been steady in the window."""
    if not raw.config.warmup.enabled:
        return ("no warm-up: compilation and cache set-up are inside the window",)
    warm_up = raw.warm_up
    if warm_up.converged is False:
        return (f"after {warm_up.report.n_repeats} warm-up repeats {warm_up.problem}",)
    return ()
