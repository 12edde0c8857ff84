"""Issue 13: a ranking of 12 factors and 1,000 points needs a bounded number of steps."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
from report.ranking.studies import design, runs_of

from llem_report._ranking.ranking import rank_factors


def test_a_thousand_points_with_12_factors_take_few_steps_and_little_memory() -> None:
    rng = np.random.default_rng(12)
    table = np.unique(rng.integers(0, 3, (1000, 12)), axis=0)
    study = design(table)
    noise = rng.normal(size=(5, len(table))) * 0.02
    runs = runs_of(table @ np.linspace(0.0, 0.2, 12), 5, noise)
    n_calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    rank_factors(*runs, study, source="runs")  # imports
    tracemalloc.start()
    sys.setprofile(count)
    try:
        ranking = rank_factors(*runs, study, source="runs")
    finally:
        sys.setprofile(None)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(ranking.ranges) == 12
    assert n_calls < 300_000  # a loop over points for each pair of levels would take millions
    assert peak_bytes < 100e6
