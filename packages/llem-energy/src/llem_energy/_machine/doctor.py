"""A look at a machine: what it can measure, how well, and what is in the way.

Everything is found by calling it. Loads no inference library and starts no process.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import msgspec

from llem_config import Settings
from llem_energy._errors import MeasurementError
from llem_energy._machine.doctor_advice import problems
from llem_energy._machine.doctor_report import (
    DiagnosedDomain,
    DiagnosedGpu,
    DiagnosedSource,
    Diagnosis,
)
from llem_energy._machine.environment import installed_version
from llem_energy._metering.calibration import Calibration, calibrate, edge_bound_shares
from llem_energy._sources.nvml_gpu import Gpu, driver, driver_versions, find_gpus
from llem_energy._sources.protocol import EnergySource
from llem_energy._sources.rapl import domain_files, permission_command
from llem_energy._sources.registry import open_source

_PACKAGES = (
    "llem-config", "llem-energy", "llem-runner", "llem-cli", "nvidia-ml-py", "torch",
    "transformers",
)  # fmt: skip
_WINDOW_S, _TARGET = 10.0, 0.01
_OnStage = Callable[[str], None]


def diagnose(settings: Settings, *, on_stage: _OnStage | None = None) -> Diagnosis:
    """Return what this machine can measure and how well.

    Args:
        settings: of this machine; the GPUs that they name should be there.
        on_stage: told what takes its time, seconds before it is done.

    Takes 1 to 6 s where there is a meter, for watching it; no time where there is none.
    """
    tell = on_stage or (lambda _: None)
    nvml, gpus, silent = _look_at_gpus(tell)
    rapl, domains = _look_at_domains(tell)
    found = Diagnosis(
        measurable=nvml.available or rapl.available,
        sources=(nvml, rapl),
        gpus=gpus,
        silent_gpus=silent,
        domains=domains,
        versions=_versions(),
        problems=(),
    )
    return msgspec.structs.replace(found, problems=problems(found, settings))


def _look_at_gpus(
    tell: _OnStage,
) -> tuple[DiagnosedSource, tuple[DiagnosedGpu, ...], tuple[str, ...]]:
    try:
        with driver():
            gpus, silent = find_gpus()
            refusals = {gpu.uuid: _refusal(gpu) for gpu in gpus}
            metered = [uuid for uuid, refusal in refusals.items() if refusal is None]
            source = _open("nvml", metered)[0] if metered else None
            seen = _calibrate(source, tell, f"GPUs: {len(metered)} of {len(gpus)}", 1.0, 5.0)
            found = tuple(_diagnosed(gpu, refusals[gpu.uuid], seen.get(gpu.uuid)) for gpu in gpus)
    except MeasurementError as error:
        return DiagnosedSource(name="nvml", available=False, reason=str(error)), (), ()
    reasons = [*silent, *(refusal for refusal in refusals.values() if refusal is not None)]
    reason = None if metered else "; ".join(reasons) or "the driver shows no GPU"
    return (
        DiagnosedSource(name="nvml", available=bool(metered), reason=reason),
        found,
        tuple(silent),
    )


def _refusal(gpu: Gpu) -> str | None:
    source, reason = _open("nvml", [gpu.uuid])
    if source is not None:
        source.close()
    return reason


def _open(name: str, gpus: list[str]) -> tuple[EnergySource | None, str | None]:
    """Return a source, or why there is none."""
    source, reasons = open_source([name], gpus)
    return source, "; ".join(reasons).removeprefix(f"{name}: ") or None


def _calibrate(
    source: EnergySource | None, tell: _OnStage, what: str, at_least_s: float, at_most_s: float
) -> dict[str, Calibration]:
    if source is None:
        return {}
    tell(f"calibrating {what}")
    try:
        found = calibrate(source, at_least_s=at_least_s, at_most_s=at_most_s)
    finally:
        source.close()
    return {seen.device: seen for seen in found}


def _diagnosed(gpu: Gpu, refusal: str | None, seen: Calibration | None) -> DiagnosedGpu:
    state = gpu.snapshot(os.getpid())
    period_s = seen.counter_period_s if seen else None
    typical = worst = shortest_s = shortest_p95_s = None
    if period_s is not None:
        typical, worst = edge_bound_shares(period_s, _WINDOW_S)
        # The bound falls as the window grows, in proportion.
        shortest_s, shortest_p95_s = (bound * _WINDOW_S / _TARGET for bound in (typical, worst))
    return DiagnosedGpu(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        refusal=refusal,
        counter_problem=gpu.counter_problem(),
        calibration=seen,
        bound_10s_share=typical,
        bound_10s_p95_share=worst,
        window_1_percent_s=shortest_s,
        window_1_percent_p95_s=shortest_p95_s,
        supported_fields=gpu.supported_fields(),
        module_power=gpu.has_module_power(),
        mig=state.mig,
        virtualization=gpu.virtualization(),
        persistence_mode=state.persistence_mode,
        other_pids=gpu.other_pids(os.getpid()),
        power_limit_w=state.power_limit_w,
        power_limit_default_w=state.power_limit_default_w,
        temperature_c=state.temperature_c,
    )


def _look_at_domains(tell: _OnStage) -> tuple[DiagnosedSource, tuple[DiagnosedDomain, ...]]:
    source, reason = _open("rapl", [])
    # These counters move about every millisecond, so that a part of a second is plenty.
    seen = _calibrate(source, tell, "the counters of the processor", 0.2, 0.5)
    domains = tuple(
        DiagnosedDomain(
            name=name,
            file=str(file),
            readable=_readable(file),
            permission_command=None if _readable(file) else permission_command(),
            calibration=seen.get(name),
        )
        for name, file in domain_files().items()
    )
    return DiagnosedSource(name="rapl", available=reason is None, reason=reason), domains


def _readable(file: Path) -> bool:
    try:
        file.read_bytes()
    except OSError:
        return False
    return True


def _versions() -> dict[str, str | None]:
    driver_version, nvml, cuda = driver_versions()
    packages = {name: installed_version(name) for name in _PACKAGES}
    return {
        "driver": driver_version, "nvml": nvml, "cuda driver": cuda,
        "python": platform.python_version(), **packages,
    }  # fmt: skip
