"""Issue 13: the benchmark of the ranking counts right and wrong statements as it says."""

from __future__ import annotations

import numpy as np

from benchmarks.report.intervals import flips, tally
from benchmarks.report.peers import Score
from benchmarks.report.studies import KINDS, Kind, grid, simulate

EFFECTS = np.array([0.3, 0.12, 0.06, 0.0])


def wrong(*importance: float) -> tuple[int, int, int, int]:
    score = Score()
    score.add(np.array(importance), EFFECTS, 1.0)
    return score.wrong_first, score.null_above_real, score.swapped, score.wrong


def test_a_wrong_ranking_is_counted_by_what_is_wrong_with_it() -> None:
    assert wrong(4, 3, 2, 1) == (0, 0, 0, 0)
    assert wrong(3, 4, 2, 1) == (1, 0, 1, 1)
    assert wrong(4, 3, 1, 2) == (0, 1, 0, 1)
    assert wrong(3, 2, 1, 4) == (1, 1, 0, 1)


def test_a_study_without_noise_of_its_cycles_holds_its_truth() -> None:
    kind = Kind("plain", grid(2, 3), (0.5, 0.2), (2,), noise_of_points=np.zeros(6))
    study = simulate(kind, 2, np.random.default_rng(1))
    for block in range(2):
        values = study.values[study.block == block]
        assert np.allclose(np.diff(values), np.diff(study.truth))
    assert np.isclose(np.ptp(study.truth), np.log(1.5 * 1.2))


def test_few_small_studies_are_judged() -> None:
    small = next(kind for kind in KINDS if kind.name.startswith("small, 4 points"))
    found = tally(small, 3, 20)
    assert (found.n_studies, found.n_with_null, found.n_real) == (20, 20, 20)
    assert 0.7 < found.single <= 1
    assert found.false_separations == 0


def test_a_large_crossing_is_found_and_no_other() -> None:
    assert flips(0.2, 3, 5) == (1.0, 0.0)
