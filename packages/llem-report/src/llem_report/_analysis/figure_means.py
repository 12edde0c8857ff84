"""The mean of a figure at each point, with its interval."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from llem_report._study_data.study_data import StudyData
from llem_runner.block_model import fit_blocks
from llem_runner.distributions import t_quantile
from llem_runner.repeats import bounded_exp

_MIN_RUNS = 3
"""The interval of two runs reaches 12.7 standard errors, which says nothing."""


class FigureMean(NamedTuple):
    """The geometric mean of a figure over the runs of a point."""

    value: float
    low: float | None
    """95 % interval from the spread of the runs of this point; None below 3 runs."""
    high: float | None


def points_on_usual_machine(data: StudyData, name: str) -> set[int]:
    """Return the points that have a figure in a run on the kind of machine of most runs.

    The mean of another point is that of another machine, which no front may compare.
    """
    return {
        run.point
        for run in data.runs
        if run.facts is not None
        and run.other_machine is None
        and run.facts.values.get(name, 0.0) > 0
    }


def figure_means(
    data: StudyData, name: str, only: Collection[int] | None = None
) -> dict[int, FigureMean]:
    """Return the mean of a figure at each point that has it, by position in `StudyData.points`.

    Where a run of a point is missing, the difference of its cycle from the others is taken out, so
    that the means have the ratios that the ranking states. Runs on another kind of machine than most
    count only at a point that has no others with this figure.

    Args:
        data: the study.
        name: of a figure of which all values are used, whatever the figure of merit.
        only: indices of the runs that count; None: all.
    """
    import numpy as np

    comparable = points_on_usual_machine(data, name)
    runs = [
        # Two kinds of machine have no block in common, also where a limit was changed within one.
        (run.point, (run.other_machine or "", *run.block), run.facts.values[name])
        for run in data.runs
        if run.facts is not None
        and (only is None or run.index in only)
        and run.facts.values.get(name, 0.0) > 0
        and (run.other_machine is None or run.point not in comparable)
    ]
    if not runs:
        return {}
    points, point = np.unique([run[0] for run in runs], return_inverse=True)
    number = {block: n for n, block in enumerate(sorted({run[1] for run in runs}))}
    block = np.array([number[run[1]] for run in runs])
    logs = np.log([run[2] for run in runs])
    fit = fit_blocks(logs, point, block)
    plain = np.bincount(point, logs) / fit.n_runs
    # The fit knows differences only; their level is that of the plain means.
    parts = [fit.n_runs * (fit.part == part) for part in range(int(fit.part.max()) + 1)]
    shifts = np.array([(part * (plain - fit.means)).sum() / part.sum() for part in parts])
    means = fit.means + shifts[fit.part]
    squares = np.bincount(point, (logs - plain[point]) ** 2)
    found = {}
    for i, position in enumerate(points.tolist()):
        n, mean = int(fit.n_runs[i]), float(means[i])
        if n < _MIN_RUNS:
            found[position] = FigureMean(math.exp(mean), None, None)
            continue
        error = math.sqrt(float(squares[i]) / (n - 1) / n)
        half = t_quantile(0.975, n - 1) * error
        low, high = bounded_exp(mean - half), bounded_exp(mean + half)
        found[position] = FigureMean(math.exp(mean), low, high)
    return found
