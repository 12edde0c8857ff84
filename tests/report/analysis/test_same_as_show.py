"""The report of a study states the figures, ratios and intervals that its `study_result.json` states."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from fakes.studies import study
from report.comparison.folders import KnownMeter, make_folder

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult, MeasurementError
from llem_report import analyse
from llem_runner import StudyResult, extend_study, read_study_result, resume_study, run_study
from llem_runner.executors import InlineExecutor

NS = (1, 2, 3, 4)


class _Unlucky:
    """A meter with which some runs fail, or are metered by another source."""

    def __init__(
        self, failing: Collection[tuple[int, int]], other_meter: Collection[int] = ()
    ) -> None:
        """Make a meter.

        Args:
            failing: the runs that fail, by the `n` of their point and their number from 1.
            other_meter: `n` of the points that another source meters.
        """
        self.meter, self.failing, self.n_runs = KnownMeter(7, 3), failing, Counter[int]()
        self.of_other = KnownMeter(7, 3, energy_source="rapl")
        self.other_meter = other_meter

    def __call__(self, config: ExperimentConfig, **others: Any) -> ExperimentResult:
        self.n_runs[config.n] += 1
        if (config.n, self.n_runs[config.n]) in self.failing:
            raise MeasurementError("the GPU is gone")
        meter = self.of_other if config.n in self.other_meter else self.meter
        return meter(config, **others)


def _measured(folder: Path, meter: Any, n_cycles: int = 8) -> Path:
    run_study(
        study(NS, n_cycles=n_cycles, cycle_order="shuffled"), output=folder,
        measure=meter, executor=InlineExecutor(),
    )  # fmt: skip
    return next(folder.iterdir())


def _complete(folder: Path) -> Path:
    return make_folder(folder, 1, ns=NS, cycles=4)


def _with_a_failure(folder: Path) -> Path:
    return _measured(folder, _Unlucky({(2, 1)}), 4)


LATE_RUNS_OF_4 = {(4, number) for number in range(4, 9)}


def _with_a_point_left_out(folder: Path) -> Path:
    return _measured(folder, _Unlucky(LATE_RUNS_OF_4 | {(2, 1)}))


def _with_a_left_out_point_of_another_meter(folder: Path) -> Path:
    return _measured(folder, _Unlucky(LATE_RUNS_OF_4, other_meter=(4,)))


def _with_a_run_alone_in_its_block(folder: Path) -> Path:
    return _measured(folder, _Unlucky({(1, 8), (2, 8), (4, 8)}))


def _with_more_cycles(folder: Path) -> Path:
    folder = make_folder(folder, 1, ns=NS, cycles=3)
    resume_study(folder, cycles=5, measure=KnownMeter(3, 4), executor=InlineExecutor())
    return folder


def _extended(folder: Path) -> Path:
    folder = make_folder(folder, 1, ns=NS, cycles=4)
    extend_study(
        folder, study((6, 7), n_cycles=4, cycle_order="shuffled"),
        measure=KnownMeter(5, 3), executor=InlineExecutor(),
    )  # fmt: skip
    return folder


HARD = [
    _with_a_point_left_out,
    _with_a_left_out_point_of_another_meter,
    _with_a_run_alone_in_its_block,
]


@pytest.mark.parametrize("by", ["axis", "field"])
@pytest.mark.parametrize("make", [_complete, _with_a_failure, _extended, _with_more_cycles, *HARD])
def test_the_report_states_the_figures_of_the_result(make: Any, by: Any, tmp_path: Path) -> None:
    folder = make(tmp_path)
    result, analysis = read_study_result(folder), analyse(folder, by=by)
    comparisons = result.summary.comparisons
    assert comparisons is not None
    assert comparisons.reason is None
    points = {point.config_hash: point for point in analysis.points}
    assert analysis.detectable_ratio == pytest.approx(comparisons.detectable_ratio, rel=1e-12)
    for compared in comparisons.points:
        ratio = points[compared.config_hash].ratio_to_best
        assert ratio is not None
        assert (ratio.ratio, ratio.ci95_low, ratio.ci95_high) == pytest.approx(
            (compared.ratio, compared.ci95_low, compared.ci95_high), rel=1e-12
        )
    for point in result.summary.points:
        same = points[point.config_hash]
        if point.compared is None:
            assert make in HARD
            assert same.ratio_to_best is None
            continue
        assert same.n_runs == point.compared.n
        assert (same.value, same.ci95_low, same.ci95_high) == pytest.approx(
            (point.compared.geometric_mean, point.compared.ci95_low, point.compared.ci95_high),
            rel=1e-12,
        )
    if make not in HARD:
        _is_on_the_measured_scale(result, folder)


def _is_on_the_measured_scale(result: StudyResult, folder: Path) -> None:
    """The mean of all compared runs is that of their measured figures."""
    stated = [
        (math.log(point.compared.geometric_mean), point.compared.n)
        for point in result.summary.points
        if point.compared is not None and point.compared.geometric_mean is not None
    ]
    n_runs = sum(n for _, n in stated)
    values = [run.value for run in analyse(folder).runs if run.value is not None]
    assert n_runs == len(values)
    assert sum(log * n for log, n in stated) == pytest.approx(sum(map(math.log, values)), rel=1e-9)


@pytest.mark.parametrize("make", [_complete, _extended, _with_more_cycles])
def test_two_levels_that_are_points_have_the_interval_of_the_points(
    make: Any, tmp_path: Path
) -> None:
    """A page with two intervals for one ratio would contradict itself."""
    analysis = analyse(make(tmp_path))
    (only,) = analysis.factors
    ratios = {point.levels["n"]: point.ratio_to_best for point in analysis.points}
    others = [level for level in only.levels if level.level != only.best]
    assert len(others) == len(analysis.points) - 1
    for level in others:
        same = ratios[level.level]
        assert same is not None
        assert (level.ratio.ratio, level.ratio.ci95_low, level.ratio.ci95_high) == pytest.approx(
            (same.ratio, same.ci95_low, same.ci95_high), rel=1e-12
        )
    assert "The levels of the only choice are points" in analysis.method
    assert "pooled spread" not in analysis.method
