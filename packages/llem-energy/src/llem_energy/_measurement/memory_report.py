"""The sentence about memory for a person whose experiment did not fit."""

from __future__ import annotations

import contextlib

from llem_config import ExperimentConfig
from llem_energy._backends.memory import estimate_memory
from llem_energy._backends.registry import facts_of
from llem_energy._errors import BackendError
from llem_energy._machine.device_memory import device_memory_bytes, host_memory_bytes
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._model_info.memory_estimate import describe, gigabytes


def memory_report(
    config: ExperimentConfig,
    environment: EnvironmentSnapshot,
    gpus: tuple[str, ...],
    peak_bytes: int | None,
) -> str:
    """Return the peak so far, the estimate and the size of the device, as text.

    Args:
        config: the experiment.
        environment: has the memory of every GPU.
        gpus: UUIDs of the GPUs that the backend uses.
        peak_bytes: as the backend reports it; None if unknown.
    """
    size_bytes = estimate = None
    # This explains another error, which an error of the facts must not replace.
    with contextlib.suppress(BackendError):
        facts = facts_of(config.backend)
        size_bytes = device_memory_bytes(
            facts.device(config),
            is_spread=facts.spreads_over_gpus(config),
            gpus_bytes=[
                g.memory_bytes for g in environment.gpus if g.is_among(gpus) and g.memory_bytes
            ],
            host_bytes=host_memory_bytes(),
        )
    with contextlib.suppress(BackendError):
        estimate = estimate_memory(config)
    return (
        f"peak {gigabytes(peak_bytes) if peak_bytes else 'unknown'}, "
        f"estimated {describe(estimate) if estimate else 'unknown'}, "
        f"the device has {gigabytes(size_bytes) if size_bytes else 'an unknown amount'}"
    )
