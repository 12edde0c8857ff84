"""What the statistics of a study need of the results of its runs.

A result has up to 100 kB. Most of that is equal in all runs of a machine or of a point, or describes one
run only. So 50,000 results would not fit into the memory of a small machine, and their facts do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec

from llem_energy import ExperimentResult
from llem_energy.models import InputDigest
from llem_energy.records import (
    AnswerQuality,
    DataRealism,
    EnvironmentSnapshot,
    Latency,
    NeighbourGpu,
    Quality,
    gain_sentence,
)

_Part = TypeVar("_Part")


class RunFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Facts of a run; a field has the name and the meaning that it has in `ExperimentResult`."""

    measurement_config_hash: str
    config: dict[str, Any]
    started_at: str
    prompts_sha256: str
    window_s: float
    tokens_per_second: float
    time_to_first_token: Latency | None
    energy_source: str | None
    energy_source_kind: str | None
    energy_host_source: str | None
    energy_total_j: float | None
    energy_bound_j: float | None
    energy_host_j: float | None
    energy_estimated_j: float | None
    energy_per_output_token_j: float | None
    energy_per_output_token_with_host_j: float | None
    baseline_power_w: float | None
    counter_exactness: str | None
    measurement_warnings: tuple[str, ...]
    figures: dict[str, Quality]
    inputs: tuple[InputDigest, ...]
    data_realism: DataRealism | None
    neighbours: tuple[NeighbourGpu, ...]
    quality: AnswerQuality | None
    """Without its duration."""
    environment_snapshot: EnvironmentSnapshot
    """Without what changes from run to run: load, variables, and the state of the GPUs."""

    metered: tuple[str, ...]
    """Names of the devices that were metered: the keys of `energy_per_device_j`."""
    gain: str | None
    """The gain error of the sensors in words, by `gain_sentence`."""


MeasuredRun = ExperimentResult | RunFacts
"""A run whose statistics can be computed."""

_COPIED = (
    *("started_at", "window_s", "tokens_per_second", "time_to_first_token", "neighbours"),
    *("energy_total_j", "energy_bound_j", "energy_estimated_j", "baseline_power_w"),
    *("energy_host_j", "energy_per_output_token_j", "energy_per_output_token_with_host_j"),
)
_SHARED = (
    *("measurement_config_hash", "config", "prompts_sha256", "figures", "inputs", "data_realism"),
    *("energy_source", "energy_source_kind", "energy_host_source", "counter_exactness"),
    "measurement_warnings",
)


class FactsOfRuns:
    """Takes the facts from results; parts that are equal in several runs are kept once."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Any] = {}

    def of(self, result: ExperimentResult) -> RunFacts:
        """Return the facts of a run."""
        quality = result.quality
        if quality is not None:
            quality = msgspec.structs.replace(quality, duration_s=None)
        return RunFacts(
            **{name: getattr(result, name) for name in _COPIED},
            **{name: self._shared(getattr(result, name)) for name in _SHARED},
            quality=self._shared(quality),
            environment_snapshot=self._shared(_lasting(result.environment_snapshot)),
            metered=self._shared(tuple(result.energy_per_device_j)),
            gain=self._shared(gain_sentence(result)),
        )

    def _shared(self, part: _Part) -> _Part:
        """Return the part of an earlier run that is equal to this one, or this one."""
        if not part:
            return part
        known: _Part = self._parts.setdefault(msgspec.json.encode(part), part)
        # Two classes may have the same JSON.
        return known if type(known) is type(part) else part


def metered_devices(run: MeasuredRun) -> Collection[str]:
    """Return the names of the devices that were metered in a run."""
    return run.metered if isinstance(run, RunFacts) else run.energy_per_device_j


def _lasting(snapshot: EnvironmentSnapshot) -> EnvironmentSnapshot:
    """Return what two runs on the same machine have in common."""
    gpus = tuple(
        msgspec.structs.replace(gpu, temperature_c=None, sm_clock_mhz=None, n_other_processes=None)
        for gpu in snapshot.gpus
    )
    return msgspec.structs.replace(snapshot, load_average_1min=None, environment={}, gpus=gpus)
