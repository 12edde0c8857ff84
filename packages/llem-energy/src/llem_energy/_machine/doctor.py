"""What this machine can measure, how well, and what prevents a better measurement.

Everything is found by trying it. Loads no inference library and starts no process.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from llem_config import Settings
from llem_energy._host.observe import observe_load
from llem_energy._machine.doctor_advice import problems
from llem_energy._machine.doctor_report import (
    DiagnosedDomain,
    DiagnosedGpu,
    DiagnosedSource,
    Diagnosis,
)
from llem_energy._machine.environment import installed_version
from llem_energy._metering.board_check import BoardCheck, exactness, valid_checks
from llem_energy._metering.calibration import Calibration, calibrate, edge_bound_shares
from llem_energy._sources.protocol import GpuDiagnosis, SourceDiagnosis
from llem_energy._sources.registry import diagnose_source, open_source, source_names

_PACKAGES = (
    "llem-config", "llem-energy", "llem-runner", "llem-report", "llem-cli", "nvidia-ml-py", "torch",
    "transformers",
)  # fmt: skip
_WINDOW_S, _TARGET = 10.0, 0.01
_LOAD_S = 0.5
_OnStage = Callable[[str], None]


def diagnose(
    settings: Settings,
    *,
    on_stage: _OnStage | None = None,
    board_checks: Sequence[BoardCheck] = (),
) -> Diagnosis:
    """Return what this machine can measure and how well.

    Args:
        settings: of this machine; the GPUs that they name should exist.
        on_stage: called before a step that takes seconds.
        board_checks: earlier checks of energy counters, of any machine and driver.

    It takes 1 to 6 s for each available source, to observe its counters, and half a second to
    observe other load.
    """
    report = on_stage or (lambda _: None)
    findings = {name: diagnose_source(name) for name in source_names()}
    sources = {name: _watched(name, finding, report) for name, finding in findings.items()}
    pairs = [(finding, sources[name]) for name, finding in findings.items()]
    diagnosis = Diagnosis(
        measurable=any(source.available for source in sources.values()),
        sources=tuple(sources.values()),
        gpus=tuple(
            gpu for finding, source in pairs for gpu in _gpus(finding, source, board_checks)
        ),
        silent_gpus=tuple(error for finding, _ in pairs for error in finding.silent_gpus),
        domains=tuple(domain for finding, source in pairs for domain in _domains(finding, source)),
        versions=_versions(findings.values()),
        problems=tuple(problem for finding, _ in pairs for problem in finding.problems),
        load=observe_load(_LOAD_S),
    )
    return msgspec.structs.replace(
        diagnosis, problems=(*diagnosis.problems, *problems(diagnosis, settings))
    )


def _watched(name: str, finding: SourceDiagnosis, report: _OnStage) -> DiagnosedSource:
    """Open a source that seems to be available and calibrate it."""
    if finding.reason is not None:
        return DiagnosedSource(name=name, available=False, reason=finding.reason)
    source, reasons = open_source([name], finding.open_with)
    if source is None:
        reason = "; ".join(reasons).removeprefix(f"{name}: ")
        return DiagnosedSource(name=name, available=False, reason=reason)
    report(f"calibrating {finding.description or name}")
    try:
        calibration = calibrate(
            source, min_duration_s=finding.min_watch_s, timeout_s=finding.max_watch_s
        )
        versions = source.versions()
    except Exception as error:  # noqa: BLE001  # the source of another package may raise anything
        reason = f"it failed while it was read ({type(error).__name__}: {error})"
        return DiagnosedSource(name=name, available=False, reason=reason)
    finally:
        source.close()
    return DiagnosedSource(
        name=name,
        available=True,
        reason=None,
        kind=source.kind,
        driver=versions.driver,
        binding=versions.binding,
        calibration=calibration,
    )


def _gpus(
    finding: SourceDiagnosis, source: DiagnosedSource, checks: Sequence[BoardCheck]
) -> Iterator[DiagnosedGpu]:
    calibrations = {each.device: each for each in source.calibration}
    for gpu in finding.gpus:
        uuid = gpu.snapshot.uuid
        valid = valid_checks(checks, [uuid], source.driver)
        diagnosed = _gpu(gpu, calibrations.get(uuid))
        if diagnosed.refusal is None:
            diagnosed = msgspec.structs.replace(
                diagnosed,
                counter_exactness=exactness(valid, [uuid]),
                board_check=valid[0] if valid else None,
            )
        yield diagnosed


def _domains(finding: SourceDiagnosis, source: DiagnosedSource) -> Iterator[DiagnosedDomain]:
    calibrations = {each.device: each for each in source.calibration}
    for counter in finding.counters:
        yield DiagnosedDomain(
            name=counter.device,
            file=counter.file,
            readable=counter.readable,
            permission_command=counter.permission_command,
            calibration=calibrations.get(counter.device),
        )


def _gpu(gpu: GpuDiagnosis, calibration: Calibration | None) -> DiagnosedGpu:
    state = gpu.snapshot
    period_s = calibration.counter_period_s if calibration else None
    typical = worst = shortest_s = shortest_p95_s = None
    if period_s is not None:
        typical, worst = edge_bound_shares(period_s, _WINDOW_S)
        # The bound is inversely proportional to the duration of the window.
        shortest_s, shortest_p95_s = (bound * _WINDOW_S / _TARGET for bound in (typical, worst))
    return DiagnosedGpu(
        index=state.index,
        uuid=state.uuid,
        name=state.name,
        refusal=gpu.refusal,
        counter_problem=gpu.counter_problem,
        calibration=calibration,
        bound_10s_share=typical,
        bound_10s_p95_share=worst,
        window_1_percent_s=shortest_s,
        window_1_percent_p95_s=shortest_p95_s,
        supported_fields=gpu.supported_fields,
        module_power=gpu.module_power,
        mig=state.mig,
        virtualization=state.virtualization,
        persistence_mode=state.persistence_mode,
        other_pids=gpu.other_pids,
        power_limit_w=state.power_limit_w,
        power_limit_default_w=state.power_limit_default_w,
        temperature_c=state.temperature_c,
        sm_clock_mhz=state.sm_clock_mhz,
        sm_clock_max_mhz=state.sm_clock_max_mhz,
        application_sm_clock_mhz=state.application_sm_clock_mhz,
        clocks_locked=state.clocks_locked,
        clocks_locked_reason=state.clocks_locked_reason,
    )


def _versions(findings: Iterable[SourceDiagnosis]) -> dict[str, str | None]:
    below = {name: text for finding in findings for name, text in finding.versions.items()}
    packages = {name: installed_version(name) for name in _PACKAGES}
    return {**below, "python": platform.python_version(), **packages}
