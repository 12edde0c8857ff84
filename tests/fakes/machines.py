"""Descriptions of machines for results of tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fakes.results import make_result
from fakes.studies import experiment

from llem_energy.records import GpuSnapshot

GPU = GpuSnapshot(
    index=0, uuid="GPU-1", name="H200", power_limit_w=700.0, power_limit_default_w=700.0, vbios=None,
    memory_bytes=141 << 30, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=None,
    persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0, temperature_c=30.0,
)  # fmt: skip


def on_machine(
    host: str = "n1", gpu: Mapping[str, Any] | None = None, **snapshot: Any
) -> dict[str, Any]:
    """Return the fields of a result that describe its machine, which has an unused GPU too.

    Args:
        host: name of the machine.
        gpu: fields in which the metered GPU differs from `GPU`.
        snapshot: other fields of the machine.
    """
    board = msgspec.structs.replace(GPU, uuid=f"GPU-{host}", **(gpu or {}))
    other = msgspec.structs.replace(GPU, uuid="GPU-unused", name="A2", power_limit_w=60.0)
    environment = msgspec.structs.replace(
        make_result(experiment()).environment_snapshot, host=host, gpus=(other, board), **snapshot
    )
    return {"environment_snapshot": environment, "energy_per_device_j": {board.uuid: 100.0}}


def on_processor(host: str = "n1", cpu_model: str | None = "Xeon") -> dict[str, Any]:
    """Return the same of a machine without a GPU, whose processor was metered."""
    environment = msgspec.structs.replace(
        make_result(experiment()).environment_snapshot, host=host, cpu_model=cpu_model, gpus=()
    )
    return {
        "environment_snapshot": environment,
        "energy_per_device_j": {"package-0": 100.0},
        "energy_source": "rapl",
        "energy_source_kind": "cpu",
    }
