"""The list of runs: orders, cycles and pauses (STU-07, CFG-15, STU-06)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.studies import study

from llem_config import ExecutionConfig, StudyConfig, load_study
from llem_runner import gap_seconds, schedule


def turns(made: StudyConfig) -> list[tuple[int, int]]:
    return [(run.config.n, run.cycle) for run in schedule(made.experiments, made.execution)]


def test_sequential_finishes_a_point_before_the_next() -> None:
    made = study((1, 2), n_cycles=2, cycle_order="sequential")
    assert turns(made) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_interleaved_goes_through_all_points_cycle_by_cycle() -> None:
    made = study((1, 2), n_cycles=2, cycle_order="interleaved")
    assert turns(made) == [(1, 1), (2, 1), (1, 2), (2, 2)]


def test_shuffled_runs_every_point_once_per_cycle_in_fresh_orders() -> None:
    ns = tuple(range(1, 9))
    made = study(ns, n_cycles=6, cycle_order="shuffled")
    cycles = [[n for n, cycle in turns(made) if cycle == wanted] for wanted in range(1, 7)]
    assert all(sorted(order) == list(ns) for order in cycles)
    assert len({tuple(order) for order in cycles}) == 6


def test_shuffled_is_the_same_again_and_another_with_another_seed() -> None:
    ns = tuple(range(1, 9))
    one = turns(study(ns, n_cycles=3, cycle_order="shuffled"))
    assert one == turns(study(ns, n_cycles=3, cycle_order="shuffled"))
    assert one != turns(study(ns, n_cycles=3, cycle_order="shuffled", shuffle_seed=7))


def test_a_cycle_added_later_leaves_the_shuffled_order_of_earlier_ones_alone() -> None:
    ns = tuple(range(1, 9))
    two = turns(study(ns, n_cycles=2, cycle_order="shuffled"))
    assert turns(study(ns, n_cycles=3, cycle_order="shuffled"))[: len(two)] == two


def test_runs_are_numbered_from_one_and_carry_hash_and_label() -> None:
    made = study((1, 2), n_cycles=2, cycle_order="interleaved")
    runs = schedule(made.experiments, made.execution)
    assert [run.index for run in runs] == [1, 2, 3, 4]
    assert [run.config_hash for run in runs] == [*made.config_hashes, *made.config_hashes]
    assert [run.label for run in runs] == ["n=1", "n=2", "n=1", "n=2"]


@pytest.mark.parametrize(
    ("order", "gaps"),
    [
        ("interleaved", [None, "config", "cycle", "config"]),
        ("shuffled", [None, "config", "cycle", "config"]),
        # No cycle of the whole study ever ends here, so repeats of a point are not held apart
        # by the long pause between cycles.
        ("sequential", [None, "config", "config", "config"]),
    ],
)
def test_a_gap_before_every_run_but_the_first_and_a_longer_one_between_cycles(
    order: str, gaps: list[str | None]
) -> None:
    made = study((1, 2), n_cycles=2, cycle_order=order)
    assert [run.gap for run in schedule(made.experiments, made.execution)] == gaps


def test_gaps_have_the_length_that_execution_says() -> None:
    made = study((1, 2), n_cycles=2, cycle_order="interleaved")
    execution = ExecutionConfig(
        n_cycles=2, cycle_order="interleaved", config_gap_seconds=3, cycle_gap_seconds=7
    )
    runs = schedule(made.experiments, execution)
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
    from_yaml = schedule(loaded.experiments, loaded.execution)
    from_python = schedule(built.experiments, built.execution)
    assert len(from_yaml) == 3 * n_cycles
    assert [run.config_hash for run in from_yaml] == [run.config_hash for run in from_python]
