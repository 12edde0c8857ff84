"""Whether runs on several GPUs of one machine disturb one another (STU-09)."""

from __future__ import annotations

import random
from typing import Any

from fakes.results import make_result
from fakes.studies import study

from llem_energy import ExperimentResult
from llem_energy.records import NeighbourGpu
from llem_runner._analysis.neighbour_effects import neighbour_effects
from llem_runner.plan import schedule
from llem_runner.records import ManifestEntry, NeighbourChange, NeighbourEffects


def neighbour(power_w: float | None, n_processes: int = 1) -> NeighbourGpu:
    return NeighbourGpu(
        uuid="GPU-2", power_start_w=90.0, power_before_window_w=power_w, power_end_w=power_w,
        n_processes=n_processes,
    )  # fmt: skip


def found(
    *,
    busy: float = 0.0,
    idle: float = 0.0,
    low_w: float = 90.0,
    high_w: float = 690.0,
    seed: int = 1,
) -> NeighbourEffects | None:
    """Return the effects in a study whose powers rise by these shares beside busy neighbours."""
    rng = random.Random(seed)
    entries: list[ManifestEntry] = []
    results: dict[int, ExperimentResult] = {}
    for run in schedule(study(range(1, 7), n_cycles=5, cycle_order="shuffled")):
        entries.append(
            ManifestEntry(
                index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label,
                shard=run.cycle, session=1,
            )
        )  # fmt: skip
        share = rng.random()
        board = 1 + 0.05 * (run.cycle % 2)  # the cycles ran on two boards
        fields: dict[str, Any] = {
            "energy_source_kind": "gpu",
            "energy_total_j": 400 * run.config.n * board * (1 + busy * share) * rng.gauss(1, 0.002),
            "baseline_power_w": 80 * board * (1 + idle * share) * rng.gauss(1, 0.002),
            "neighbours": (neighbour(low_w + share * (high_w - low_w)),),
        }
        results[run.index] = make_result(run.config, **fields)
    return neighbour_effects(entries, results)


def covers(change: NeighbourChange | None, ratio: float) -> bool:
    assert change is not None
    return change.ci95_low <= ratio <= change.ci95_high


def test_the_change_beside_busy_neighbours_is_found_for_idle_and_busy_power() -> None:
    effects = found(busy=0.05, idle=0.10)
    assert effects is not None and effects.busy is not None and effects.idle is not None
    assert effects.n_runs == 30 and effects.n_processes == 1
    assert 90 <= effects.low_w < 150 and 630 < effects.high_w <= 690
    assert effects.busy.is_clear and effects.idle.is_clear
    assert abs(effects.busy.ratio - 1.05) < 0.006
    assert abs(effects.idle.ratio - 1.10) < 0.012


def test_runs_that_do_not_disturb_one_another_are_rarely_called_disturbed() -> None:
    n_clear = sum(
        not covers(effects.busy, 1.0)
        for seed in range(40)
        if (effects := found(seed=seed)) is not None
    )
    assert n_clear <= 7  # 2 are expected


def test_neighbours_that_do_the_same_all_the_time_tell_nothing() -> None:
    effects = found(low_w=300.0, high_w=320.0)
    assert effects is not None and effects.busy is None and effects.idle is None


def test_a_machine_without_other_gpus_has_no_neighbours() -> None:
    assert neighbour_effects([], {}) is None
    (run,) = schedule(study([1], n_cycles=1))
    entry = ManifestEntry(index=1, cycle=1, config_hash=run.config_hash, label="")
    alone = make_result(run.config, energy_source_kind="gpu")
    unknown = make_result(run.config, energy_source_kind="gpu", neighbours=(neighbour(None),))
    assert neighbour_effects([entry], {1: alone}) is None
    assert neighbour_effects([entry], {1: unknown}) is None
