"""Two divided studies are compared by whole cycles, whatever the number of shards of a cycle."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fakes.shard_studies import divided
from report.comparison.folders import KnownMeter, make_folder

from llem_report import compare
from llem_runner.executors import InlineExecutor
from llem_runner.shards import merge_study, resume_shards, run_shard

N_POINTS, N_CYCLES = 10, 4


def measured(
    results: Path, seed: int, n: int, *, factor: float = 1.0, n_shards: int | None = None
) -> Path:
    """Return a study of `n` shards per cycle, of which the first `n_shards` have run."""
    plan = divided(results / f"{seed}", N_POINTS, N_CYCLES, n)
    meter = KnownMeter(seed, N_POINTS // n, factor=factor)
    if n_shards is None:
        resume_shards(plan.folder, executor=InlineExecutor(), measure=meter)
        return plan.folder
    for number in range(1, n_shards + 1):
        run_shard(plan.folder, number, executor=InlineExecutor(), measure=meter)
    merge_study(plan.folder)
    return plan.folder


@pytest.mark.parametrize("n", [1, 2])
def test_a_cycle_is_complete_if_all_its_shards_are(tmp_path: Path, n: int) -> None:
    base, new = measured(tmp_path, 1, n), measured(tmp_path, 2, n, factor=1.10)
    compared = compare(base, new, gate=0.02)
    for study in (compared.base, compared.new):
        assert (study.n_cycles, study.n_runs) == (N_CYCLES, N_CYCLES * N_POINTS)
    assert compared.verdict == "worse"
    assert compared.ratio is not None
    assert compared.ratio.ci95_low is not None
    assert math.isclose(compared.ratio.ratio, 1.10, rel_tol=0.02)
    assert len(compared.points) == N_POINTS
    assert all(point.ratio.ci95_low is not None for point in compared.points)


def test_a_cycle_with_a_shard_that_has_not_run_is_incomplete(tmp_path: Path) -> None:
    base, new = measured(tmp_path, 1, 2), measured(tmp_path, 2, 2, n_shards=7)
    compared = compare(base, new)
    assert (compared.base.n_cycles, compared.new.n_cycles) == (N_CYCLES, N_CYCLES - 1)
    assert compared.new.n_runs == (N_CYCLES - 1) * N_POINTS


def test_a_divided_study_is_compared_with_one_of_one_machine(tmp_path: Path) -> None:
    base = make_folder(tmp_path, 1, ns=range(1, N_POINTS + 1), cycles=N_CYCLES)
    compared = compare(base, measured(tmp_path, 2, 2))
    assert (compared.base.n_cycles, compared.new.n_cycles) == (N_CYCLES, N_CYCLES)
    assert compared.ratio is not None
    assert compared.ratio.ci95_low is not None
