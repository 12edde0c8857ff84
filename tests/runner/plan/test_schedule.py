"""The list of runs: orders, cycles and gaps (STU-07, CFG-15, STU-06)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.studies import study

from llem_config import ExecutionConfig, StudyConfig, load_study
from llem_runner.plan import gap_seconds, schedule


def turns(planned: StudyConfig) -> list[tuple[int, int]]:
    return [(run.config.n, run.cycle) for run in schedule(planned)]


def test_sequential_runs_all_cycles_of_a_point_before_the_next_point() -> None:
    planned = study((1, 2), n_cycles=2, cycle_order="sequential")
    assert turns(planned) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_interleaved_runs_all_points_in_each_cycle() -> None:
    planned = study((1, 2), n_cycles=2, cycle_order="interleaved")
    assert turns(planned) == [(1, 1), (2, 1), (1, 2), (2, 2)]


def test_shuffled_runs_every_point_once_per_cycle_in_a_new_order() -> None:
    ns = tuple(range(1, 9))
    planned = study(ns, n_cycles=6, cycle_order="shuffled")
    cycles = [[n for n, cycle in turns(planned) if cycle == number] for number in range(1, 7)]
    assert all(sorted(order) == list(ns) for order in cycles)
    assert len({tuple(order) for order in cycles}) == 6


def test_the_shuffled_order_depends_only_on_the_seed() -> None:
    ns = tuple(range(1, 9))
    order = turns(study(ns, n_cycles=3, cycle_order="shuffled"))
    assert order == turns(study(ns, n_cycles=3, cycle_order="shuffled"))
    assert order != turns(study(ns, n_cycles=3, cycle_order="shuffled", shuffle_seed=7))


def test_adding_a_cycle_does_not_change_the_shuffled_order_of_earlier_cycles() -> None:
    ns = tuple(range(1, 9))
    two_cycles = turns(study(ns, n_cycles=2, cycle_order="shuffled"))
    three_cycles = turns(study(ns, n_cycles=3, cycle_order="shuffled"))
    assert three_cycles[: len(two_cycles)] == two_cycles


def test_runs_are_numbered_from_1_and_have_hash_and_label() -> None:
    planned = study((1, 2), n_cycles=2, cycle_order="interleaved")
    runs = schedule(planned)
    assert [run.index for run in runs] == [1, 2, 3, 4]
    assert [run.config_hash for run in runs] == [*planned.config_hashes, *planned.config_hashes]
    assert [run.label for run in runs] == ["n=1", "n=2", "n=1", "n=2"]


@pytest.mark.parametrize(
    ("order", "gaps"),
    [
        ("interleaved", [None, "config", "cycle", "config"]),
        ("shuffled", [None, "config", "cycle", "config"]),
        # In this order no cycle of the study ends before the last run, so the gap between cycles
        # is never used.
        ("sequential", [None, "config", "config", "config"]),
    ],
)
def test_each_run_after_the_first_has_a_gap_and_a_new_cycle_has_the_longer_gap(
    order: str, gaps: list[str | None]
) -> None:
    planned = study((1, 2), n_cycles=2, cycle_order=order)
    assert [run.gap for run in schedule(planned)] == gaps


def test_gaps_have_the_length_given_in_execution() -> None:
    planned = study((1, 2), n_cycles=2, cycle_order="interleaved")
    execution = ExecutionConfig(
        n_cycles=2, cycle_order="interleaved", config_gap_seconds=3, cycle_gap_seconds=7
    )
    runs = schedule(planned)
    assert [gap_seconds(run.gap, execution) for run in runs] == [0, 3, 7, 3]


@pytest.mark.parametrize("n_cycles", [1, 3])
def test_the_same_study_from_yaml_and_from_python_has_the_same_runs(
    tmp_path: Path, n_cycles: int
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(f"model: a/b\nsweep: {{n: [1, 2, 3]}}\nexecution: {{n_cycles: {n_cycles}}}\n")
    loaded = load_study(file)
    built = StudyConfig(
        experiments=loaded.experiments, execution=ExecutionConfig(n_cycles=n_cycles)
    )
    from_yaml = schedule(loaded)
    from_python = schedule(built)
    assert len(from_yaml) == 3 * n_cycles
    assert [run.config_hash for run in from_yaml] == [run.config_hash for run in from_python]
