"""Checks whether experiments fit the memory of their device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from llem_config import ExperimentConfig
from llem_energy._backends.memory import estimate_memory
from llem_energy._backends.registry import facts_of
from llem_energy._machine.machine import Machine
from llem_energy._model_info.memory_estimate import MemoryEstimate, describe, gigabytes
from llem_energy._preflight.devices import gpus_used
from llem_energy._preflight.findings import Finding, findings


class MemoryNeed(msgspec.Struct, frozen=True):
    """What an experiment needs of the memory of its device, in bytes."""

    needed_bytes: int | None
    """The estimate; None if the architecture is unknown."""
    device_bytes: int | None
    """None if it is unknown."""


def memory_need(config: ExperimentConfig, machine: Machine) -> MemoryNeed:
    """Return the memory that an experiment needs, and that of the device where it would run.

    Args:
        config: the experiment.
        machine: where it would run.
    """
    estimate = estimate_memory(config)
    facts, gpus = facts_of(config.backend), gpus_used([config], machine)
    is_spread = facts.spreads_over_gpus(config)
    return MemoryNeed(
        needed_bytes=None if estimate is None else estimate.total_bytes,
        device_bytes=machine.memory_bytes(facts.device(config), is_spread=is_spread, gpus=gpus),
    )


class _Fit(msgspec.Struct, frozen=True):
    """The estimate of one experiment and the memory of its device."""

    point: int
    config: ExperimentConfig
    estimate: MemoryEstimate
    device_bytes: int
    is_spread: bool | None


def memory_findings(
    experiments: Sequence[ExperimentConfig], machine: Machine, gpus: Sequence[str]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return what cannot fit, and what may not fit.

    Only weights that are larger than the device certainly do not fit; the rest is an estimate.

    Args:
        experiments: to be run.
        machine: whose memory counts.
        gpus: UUIDs of the GPUs that the experiments may use; without any they run on the CPU.
    """
    impossible: dict[str, list[int]] = {}
    doubtful: list[_Fit] = []
    for fit in _fits(experiments, machine, gpus):
        if fit.estimate.weights_bytes > fit.device_bytes and fit.is_spread is False:
            impossible.setdefault(_too_large(fit), []).append(fit.point)
        elif fit.estimate.total_bytes > fit.device_bytes:
            doubtful.append(fit)
    return findings(impossible), _doubtful(doubtful)


def _fits(
    experiments: Sequence[ExperimentConfig], machine: Machine, gpus: Sequence[str]
) -> Iterator[_Fit]:
    for point, config in enumerate(experiments):
        facts = facts_of(config.backend)
        is_spread = facts.spreads_over_gpus(config)
        device_bytes = machine.memory_bytes(facts.device(config), is_spread=is_spread, gpus=gpus)
        estimate = estimate_memory(config)
        if device_bytes is not None and estimate is not None:
            yield _Fit(point, config, estimate, device_bytes, is_spread)


def _too_large(fit: _Fit) -> str:
    return (
        f"{fit.config.model} in {fit.config.precision} needs "
        f"{gigabytes(fit.estimate.weights_bytes)} for its weights alone, but the device has "
        f"{gigabytes(fit.device_bytes)}"
    )


def _doubtful(fits: Sequence[_Fit]) -> tuple[Finding, ...]:
    if not fits:
        return ()
    worst = max(fits, key=lambda fit: fit.estimate.total_bytes - fit.device_bytes)
    message = (
        f"the memory may be too small: the estimate is up to {describe(worst.estimate)}, but the "
        f"device has {gigabytes(worst.device_bytes)}"
    )
    return findings({message: [fit.point for fit in fits]})
