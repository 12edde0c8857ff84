"""The energy of whole machines beside that of the runs on them: a cross-check of both meters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.node_energy import Coverage, NodeEnergyRecord
from llem_runner._storage.node_figures import NodeEnergy
from llem_runner._storage.run_facts import MeasuredRun

_MAX_POWER_RATIO = 3.0
"""Mean power of a machine over that of what was metered on it; above, it does more than serve the runs."""


def node_energies(
    records: Iterable[NodeEnergyRecord],
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
) -> tuple[NodeEnergy, ...]:
    """Return the energy of the machine of each attempt, and what its runs have measured.

    Args:
        records: what clusters say, one record for each attempt.
        entries: of the merged manifest.
        results: of completed runs, by index.
    """
    of_attempt: dict[tuple[int | None, int | None], list[MeasuredRun]] = {}
    for entry in entries:
        if entry.index in results:
            key = entry.shard, entry.session
            of_attempt.setdefault(key, []).append(results[entry.index])
    return tuple(
        _checked(record, of_attempt.get((record.shard, record.attempt), ())) for record in records
    )


def _checked(record: NodeEnergyRecord, results: Sequence[MeasuredRun]) -> NodeEnergy:
    try:
        return _beside(record, results)
    except Exception as error:  # noqa: BLE001  # no figure uses it, so it must not end a merge
        return NodeEnergy(
            **msgspec.structs.asdict(record),
            n_runs=0,
            measured_j=None,
            measured_s=0.0,
            problem=f"the cross-check failed: {type(error).__name__}: {error}",
        )


def _beside(record: NodeEnergyRecord, results: Sequence[MeasuredRun]) -> NodeEnergy:
    found = [(_joules(each, record.covers or "machine"), each.window_s) for each in results]
    metered = [(joules, seconds) for joules, seconds in found if joules is not None]
    measured_j = math.fsum(joules for joules, _ in metered) if metered else None
    measured_s = math.fsum(seconds for _, seconds in metered)
    job_s = _seconds(record)
    share = None
    if record.energy_j and measured_j is not None:
        share = measured_j / record.energy_j
    time_share = None if job_s is None else measured_s / job_s
    return NodeEnergy(
        **msgspec.structs.asdict(record),
        n_runs=len(metered),
        measured_j=measured_j,
        measured_s=measured_s,
        measured_share=share,
        measured_time_share=time_share,
        problem=_problem(share, time_share, record),
    )


def _joules(result: MeasuredRun, covers: Coverage) -> float | None:
    """Return the joules of a run that a meter with this coverage counts too; None if not metered.

    A processor that was not metered beside a GPU is left out of a machine's joules.
    """
    is_of_gpus = result.energy_source_kind in (None, "gpu")
    match covers:
        case "gpus":
            return result.energy_total_j if is_of_gpus else None
        case "processor":
            if result.energy_source_kind == "cpu":
                return result.energy_total_j
            return result.energy_host_j
        case "machine":
            if result.energy_total_j is None:
                return None
            return result.energy_total_j + (result.energy_host_j or 0.0)


def _seconds(record: NodeEnergyRecord) -> float | None:
    if record.started_at is None or record.ended_at is None:
        return None
    start, end = map(datetime.fromisoformat, (record.started_at, record.ended_at))
    return max(1.0, (end - start).total_seconds())  # whole seconds


def _problem(share: float | None, time_share: float | None, record: NodeEnergyRecord) -> str | None:
    if share is None:
        return None
    if share > 1:
        return (
            f"the runs measured {share:.2f} x the joules that {record.meter or 'the cluster'} counted for "
            "the whole job, so one of the two meters is wrong"
        )
    if share == 0:
        return (
            f"the runs measured 0 J, while {record.meter or 'the cluster'} counted "
            f"{record.energy_j:.4g} J for the whole job, so one of the two meters is wrong"
        )
    if time_share and time_share / share > _MAX_POWER_RATIO:
        return (
            f"{record.meter or 'the cluster'} counted {time_share / share:.1f} x the power that the runs "
            "measured: other devices of the machine were busy or idle beside them, or one of the two "
            "meters is wrong"
        )
    return None
