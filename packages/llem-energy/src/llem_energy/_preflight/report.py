"""All checks of a study's experiments at once, before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._machine.machine import Machine
from llem_energy._preflight.availability import (
    blocking_problems,
    file_problems,
    unmet_requirements,
)
from llem_energy._preflight.chat_templates import missing_templates
from llem_energy._preflight.context_fit import context_length_warnings
from llem_energy._preflight.data_sets import check_datasets, missing_files
from llem_energy._preflight.devices import gpus_used
from llem_energy._preflight.findings import Finding, findings
from llem_energy._preflight.memory_fit import memory_findings
from llem_energy._preflight.other_load import other_load_warnings
from llem_energy._prompts.synthetic import SYNTHETIC
from llem_energy._sources.registry import missing_meters

_Key = TypeVar("_Key")


class PreflightReport(msgspec.Struct, frozen=True):
    """What the checks of some experiments found."""

    problems: tuple[Finding, ...]
    """The experiments cannot run on this machine until these are solved."""
    warnings: tuple[Finding, ...]
    """The experiments can run, but these may spoil their results."""
    expected_failures: tuple[Finding, ...]
    """Points that will fail while others can run."""
    file_problems: tuple[Finding, ...] = ()
    """Those of `problems` that the files alone have: they are the same on every machine."""


def check(experiments: Sequence[ExperimentConfig], machine: Machine) -> PreflightReport:
    """Check whether experiments can run on a machine. Imports no inference library.

    Args:
        experiments: the points of a study; a finding names points by their index.
        machine: as `find_machine` returns it.

    Raises:
        BackendError: the facts of a backend cannot be imported.
    """
    experiments = [config.with_full_paths() for config in experiments]
    gpus = gpus_used(experiments, machine)
    has_gpu = bool(machine.gpus)
    unmet = findings(unmet_requirements(experiments, has_gpu=has_gpu))
    # The inference library may see a GPU that NVML does not show. Therefore a missing GPU alone
    # is not a reason to refuse a study.
    hopeless = unmet if has_gpu else findings(unmet_requirements(experiments, has_gpu=True))
    n_hopeless = len({point for finding in hopeless for point in finding.points})
    no_fit, doubtful_fit = memory_findings(experiments, machine, gpus)
    data_sets = check_datasets(experiments)
    local_data = [problem for data in data_sets if data.is_local for problem in data.problems]
    return PreflightReport(
        problems=(
            *_of_each_group(experiments, blocking_problems),
            *(problem for data in data_sets for problem in data.problems),
            *_missing_gpu(experiments, has_gpu=has_gpu),
            *_unclear_gpus(experiments, machine),
            *(unmet if n_hopeless == len(experiments) else ()),
            *no_fit,
        ),
        warnings=(
            *doubtful_fit,
            *context_length_warnings(experiments),
            *other_load_warnings(experiments, machine),
            *missing_templates(experiments),
            *_no_granted_gpu(experiments, machine),
            *_missing_energy(experiments, gpus, machine.settings.devices.gpus),
        ),
        expected_failures=unmet,
        file_problems=(*_of_each_group(experiments, file_problems), *local_data),
    )


def check_files(experiments: Sequence[ExperimentConfig]) -> tuple[Finding, ...]:
    """Return why experiments cannot run on any machine: wrong folders, files and kinds of models.

    This is the part of `check` that needs no device, no inference library and no network. The rows
    of data sets are not read; see `check_datasets`.

    Args:
        experiments: the points of a study.

    Raises:
        BackendError: the facts of a backend cannot be imported.
    """
    experiments = [config.with_full_paths() for config in experiments]
    return (*_of_each_group(experiments, file_problems), *missing_files(experiments))


def _of_each_group(
    experiments: Sequence[ExperimentConfig], problems_of: Callable[[ExperimentConfig], list[str]]
) -> tuple[Finding, ...]:
    points: dict[str, list[int]] = {}
    for group in _grouped(experiments, _what_is_read).values():
        for problem in dict.fromkeys(problems_of(experiments[group[0]])):
            points.setdefault(problem, []).extend(group)
    return findings(points)


def _what_is_read(config: ExperimentConfig) -> object:
    """Return a key that is equal for experiments with the same backend, files and template."""
    facts, is_synthetic = facts_of(config.backend), config.dataset.source == SYNTHETIC
    return (
        config.backend, facts.models(config), config.model, is_synthetic,
        config.dataset.chat_template, facts.files_read(config),
    )  # fmt: skip


def _missing_gpu(experiments: Sequence[ExperimentConfig], *, has_gpu: bool) -> tuple[Finding, ...]:
    if has_gpu:
        return ()
    points = [i for i, c in enumerate(experiments) if facts_of(c.backend).device(c) == "gpu"]
    message = "a GPU is required, but no NVIDIA GPU was found; `llem-cli doctor` shows the reason"
    return findings({message: points} if points else {})


def _unclear_gpus(experiments: Sequence[ExperimentConfig], machine: Machine) -> tuple[Finding, ...]:
    """Return why it cannot be told which GPUs the experiments would use."""
    devices = ("gpu",) if not machine.visible_gpus else ("gpu", "auto", None)
    return _gpu_problem(experiments, machine, devices)


def _no_granted_gpu(
    experiments: Sequence[ExperimentConfig], machine: Machine
) -> tuple[Finding, ...]:
    """Return that experiments will run on the CPU, because a cluster granted no GPU."""
    return () if machine.visible_gpus else _gpu_problem(experiments, machine, ("auto", None))


def _gpu_problem(
    experiments: Sequence[ExperimentConfig], machine: Machine, devices: Sequence[str | None]
) -> tuple[Finding, ...]:
    if machine.gpu_problem is None:
        return ()
    points = [i for i, c in enumerate(experiments) if facts_of(c.backend).device(c) in devices]
    return findings({machine.gpu_problem: points} if points else {})


def _missing_energy(
    experiments: Sequence[ExperimentConfig],
    visible: Sequence[int | str],
    in_settings: Sequence[int | str],
) -> tuple[Finding, ...]:
    """Return a warning if nothing will measure energy, or not that of the GPUs that compute.

    Args:
        experiments: the points of a study.
        visible: the GPUs that they may use.
        in_settings: the GPUs to meter if a backend names none.
    """
    points: dict[str, list[int]] = {}
    groups = _grouped(experiments, lambda c: (c.energy.sources, facts_of(c.backend).device(c)))
    for (sources, device), group in groups.items():
        on_gpu = device == "gpu" or (device == "auto" and bool(visible))
        gpus = in_settings if device == "cpu" else visible or in_settings
        if reasons := missing_meters(sources, gpus, on_gpu=on_gpu):
            what = "the energy of the GPUs will not" if on_gpu else "no energy will"
            message = f"{what} be measured: {'; '.join(reasons)}"
            points.setdefault(message, []).extend(group)
    return findings(points)


def _grouped(
    experiments: Sequence[ExperimentConfig], key: Callable[[ExperimentConfig], _Key]
) -> Mapping[_Key, list[int]]:
    groups: dict[_Key, list[int]] = {}
    for i, config in enumerate(experiments):
        groups.setdefault(key(config), []).append(i)
    return groups
