"""Under which conditions runs were measured, and in which of them two studies differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from llem_energy import ExperimentResult
from llem_energy.records import EnvironmentSnapshot, GpuSnapshot
from llem_report.comparison_records import EnvironmentDifference
from llem_runner import StudyError, read_study_result
from llem_runner.records import ManifestEntry, StudyManifest

Kind = Literal["machine", "meter", "software", "protocol", "inputs"]
_ORDER: tuple[Kind, ...] = ("machine", "meter", "software", "protocol", "inputs")
_N_DIGITS = 12  # of a digest

_GPU_FIELDS = {
    "name": "name",
    "uuid": "UUID",
    "power_limit_w": "power limit (W)",
    "power_limit_default_w": "default power limit (W)",
    "vbios": "VBIOS",
    "memory_bytes": "memory (bytes)",
    "sm_clock_max_mhz": "maximum SM clock (MHz)",
    "application_sm_clock_mhz": "application SM clock (MHz)",
    "application_sm_clock_default_mhz": "default application SM clock (MHz)",
    "application_memory_clock_mhz": "application memory clock (MHz)",
    "application_memory_clock_default_mhz": "default application memory clock (MHz)",
    "clocks_locked": "clocks locked",
    "persistence_mode": "persistence mode",
    "ecc": "ECC",
    "mig": "MIG",
    "compute_mode": "compute mode",
    "virtualization": "virtualization",
}
_MACHINE_FIELDS = {
    "cpu_model": "CPU",
    "n_cpus": "number of CPUs",
    "memory_bytes": "memory (bytes)",
    "cpu_governor": "CPU governor",
}
_SOFTWARE_FIELDS = {
    "platform": "operating system",
    "python": "Python",
    "driver": "GPU driver",
    "cuda_driver": "CUDA of the driver",
    "amd_driver": "AMD driver",
}


class Condition(NamedTuple):
    """A property of the machine, the software, the protocol or the input files."""

    kind: Kind
    what: str
    value: str


def conditions_of_run(entry: ManifestEntry, result: ExperimentResult) -> frozenset[Condition]:
    """Return the conditions of a run, apart from its configuration."""
    return frozenset((*_of_environment(result.environment_snapshot), *_of_result(entry, result)))


def conditions_of_study(folder: Path, manifest: StudyManifest) -> frozenset[Condition]:
    """Return the conditions that hold for all runs of a study: its versions and its protocol."""
    conditions = [Condition("machine", "host", manifest.host)]
    conditions += [Condition("software", name, text) for name, text in manifest.versions.items()]
    # A study that is running, or that was killed, has no result yet.
    with contextlib.suppress(StudyError):
        protocol = read_study_result(folder).measurement_protocol
        conditions += [
            Condition("protocol", name.replace("_", " "), str(value))
            for name in protocol.__struct_fields__
            if name not in ("energy_sources", "executors")  # those of each run are known
            and (value := getattr(protocol, name)) is not None
        ]
    return frozenset(conditions)


def differences(
    base: Iterable[Condition], new: Iterable[Condition]
) -> tuple[EnvironmentDifference, ...]:
    """Return the properties whose values differ between two studies, by kind."""
    old_values, new_values = _by_property(base), _by_property(new)
    return tuple(
        EnvironmentDifference(
            kind=kind,
            what=what,
            base=tuple(sorted(old_values.get((kind, what), ()))),
            new=tuple(sorted(new_values.get((kind, what), ()))),
        )
        for kind, what in sorted(
            old_values.keys() | new_values.keys(), key=lambda name: (_ORDER.index(name[0]), name[1])
        )
        if old_values.get((kind, what)) != new_values.get((kind, what))
    )


def _by_property(conditions: Iterable[Condition]) -> dict[tuple[Kind, str], set[str]]:
    values: dict[tuple[Kind, str], set[str]] = {}
    for condition in conditions:
        values.setdefault((condition.kind, condition.what), set()).add(condition.value)
    return values


def _of_environment(environment: EnvironmentSnapshot) -> Iterator[Condition]:
    yield from _fields(environment, _MACHINE_FIELDS, "machine", "")
    yield from _fields(environment, _SOFTWARE_FIELDS, "software", "")
    if environment.nvml is not None:
        yield Condition("software", "NVML", environment.nvml)
    for gpu in environment.gpus:
        yield from _fields(gpu, _GPU_FIELDS, "machine", f"GPU {gpu.index}: ")
    for name, version in environment.packages.items():
        yield Condition("software", f"package {name}", version)
    for name, value in environment.environment.items():
        yield Condition("software", f"variable {name}", value)


def _fields(
    record: EnvironmentSnapshot | GpuSnapshot, names: dict[str, str], kind: Kind, prefix: str
) -> Iterator[Condition]:
    for field, name in names.items():
        value = getattr(record, field)
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            yield Condition(kind, prefix + name, text)


def _of_result(entry: ManifestEntry, result: ExperimentResult) -> Iterator[Condition]:
    yield Condition("meter", "energy source", result.energy_source or "none")
    if result.energy_method is not None:
        yield Condition("meter", "estimator", result.energy_method)
    for device in result.energy_per_device_j:
        yield Condition("meter", "metered devices", device)
    if entry.executor is not None:
        yield Condition("protocol", "executor", entry.executor)
    yield Condition("protocol", "methodology", result.measurement_methodology.replace("_", " "))
    for file in result.inputs:
        if file.sha256 is not None:
            yield Condition("inputs", f"{file.role} {file.name}", file.sha256[:_N_DIGITS])
