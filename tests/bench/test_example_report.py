"""The example of a report: the scripted backend is metered in real runs, and draws what it says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.report.example_study import run_example
from benchmarks.report.example_truth import true_energy_j, true_ratios
from benchmarks.report.measured_example import measure_example, study_file
from llem_energy import read_result
from llem_report import analyse

ONE_POINT = {
    "[1, 16, 64]": "[1, 64]",
    "[fp32, bf16]": "[fp32]",
    "[dynamic, static]": "[static]",
    "[static, sorted]": "[static]",
    "n_cycles: 5": "n_cycles: 1",
}


@pytest.mark.slow  # starts a process for each of 6 runs
def test_measured_runs_have_the_true_energy_and_both_phases(library: Path, tmp_path: Path) -> None:
    del library  # skips the test if there is no C compiler
    study = study_file(72)
    for old, new in ONE_POINT.items():
        study = study.replace(old, new)
    folder = measure_example(tmp_path, study)
    results = [read_result(path) for path in sorted(folder.glob("*/result.json"))]
    assert len(results) == 6
    for result in results:
        true_j = true_energy_j(result.effective_config)
        # A run spreads by 2 %; a process that is late meters idle power too, never less.
        assert result.energy_source == "nvml"
        assert result.energy_per_output_token_j is not None
        assert -0.1 < math.log(result.energy_per_output_token_j / true_j) < 0.3
        assert [phase.phase for phase in result.phases] == ["prefill", "decode"]
        assert all(phase.energy_j for phase in result.phases)


def test_the_simulated_study_has_the_points_of_the_measured_one(tmp_path: Path) -> None:
    analysis = analyse(run_example(tmp_path))
    assert (analysis.n_points, analysis.n_runs_used) == (144, 720)
    truth = true_ratios("pytorch")
    assert {factor.key for factor in analysis.factors} == set(truth)
    for factor in analysis.factors:
        assert factor.effect is not None
        # The seeds are fixed, so this interval does not change by chance.
        low, high = factor.effect.ci95_low, factor.effect.ci95_high
        assert low is not None
        assert high is not None
        assert low <= max(truth[factor.key].values()) <= high
