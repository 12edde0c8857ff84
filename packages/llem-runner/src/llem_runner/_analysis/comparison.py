"""Compare the points of a study with the best one.

Which runs are compared is fixed here. It depends on which runs have a result, never on the values
of the results.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from llem_energy import ExperimentResult
from llem_runner._analysis.blocks import BlockFit, fit_blocks
from llem_runner._analysis.caveats import caveats, error_budget
from llem_runner._analysis.headline import FIGURE_NAMES, headline, headline_values
from llem_runner._analysis.looks import alpha_after
from llem_runner._plan.comparability import CONSTANT_ORDER, MIN_CYCLES, has_constant_order
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.study_result import Comparison, Comparisons, Figure

_METHOD = (
    "additive model of point and cycle on logarithms, which removes what all runs of a cycle have "
    "in common; ratios of geometric means; simultaneous intervals over all pairs of points, because "
    "the reference is chosen after the measurement: points are grouped by their spread; Tukey's "
    "intervals within a group, Welch's with Bonferroni's correction between groups, both with a "
    "paired t test of each pair; paired t tests with Bonferroni's correction for a point that is "
    "alone with its spread"
)
_RULE = (
    "no run with a result is dropped because of its value; a point with fewer than half as many "
    "results as the point with the most is left out; the cycles compared are those in which every "
    f"remaining point has a result, at least {MIN_CYCLES}; two points differ if their interval "
    "excludes 1"
)


class ComparedRuns(msgspec.Struct, frozen=True):
    """The runs that are compared."""

    figure: Figure
    points: tuple[str, ...]
    """Hashes of the points with enough results."""
    left_out: tuple[str, ...]
    """Hashes of the other points."""
    table: tuple[tuple[int, ...], ...]
    """One row per complete cycle, with the index of the run of every point."""
    values: dict[int, float]
    """The figure of every run that has a positive one, also of runs that are not compared."""

    @property
    def blocks(self) -> list[list[float]]:
        """Return the figure of the compared runs, one row per cycle."""
        return [[self.values[index] for index in row] for row in self.table]


def runs_to_compare(
    entries: Sequence[ManifestEntry], results: Mapping[int, ExperimentResult]
) -> ComparedRuns:
    """Return the runs of complete cycles of the points that have enough results.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
    """
    figure = headline(results.values())
    values = headline_values(results, figure)
    points: dict[str, dict[int, int]] = {}  # config hash -> cycle -> index of the run
    for entry in entries:
        runs_by_cycle = points.setdefault(entry.config_hash, {})
        if entry.index in values:
            runs_by_cycle[entry.cycle] = entry.index
    max_runs = max(map(len, points.values()), default=0)
    kept = [point for point, runs in points.items() if runs and 2 * len(runs) >= max_runs]
    cycles = sorted(set.intersection(*(set(points[point]) for point in kept))) if kept else []
    return ComparedRuns(
        figure=figure,
        points=tuple(kept),
        left_out=tuple(point for point in points if point not in kept),
        table=tuple(tuple(points[point][cycle] for point in kept) for cycle in cycles),
        values=values,
    )


def compare_points(
    entries: Sequence[ManifestEntry],
    results: Mapping[int, ExperimentResult],
    cycle_order: str,
    *,
    input_changes: Sequence[str] = (),
    looks: Sequence[int] = (),
    outliers: Sequence[int] = (),
) -> Comparisons:
    """Return the ratio of every point to the best one, or the reason why there is none.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
        cycle_order: the order in which the study ran its points.
        input_changes: how the files that the runs read changed during the study; if they did,
            nothing is compared.
        looks: number of cycles at each earlier result after which cycles were added.
        outliers: indices of the runs that are far from the others of their point.
    """
    runs = runs_to_compare(entries, results)
    labels = {entry.config_hash: entry.label for entry in entries}
    no_comparison = Comparisons(
        figure=runs.figure,
        n_blocks=len(runs.table),
        left_out=tuple(labels[point] for point in runs.left_out),
        n_unused=len(runs.values),
        method=_METHOD,
        rule=_RULE,
        looks=tuple(looks),
        error_budget=error_budget(runs.table, results, runs.figure),
    )
    reason = _reason(runs, cycle_order) or _several_meters(runs, results)
    if input_changes:
        reason = "not all runs measured the same files"
    if reason is not None:
        return msgspec.structs.replace(no_comparison, reason=reason)
    fit = fit_blocks(runs.blocks, alpha_after(looks))
    reference, *others = _ranked(fit, runs)
    points = [(i, runs.points[i], labels[runs.points[i]]) for i in others]
    return msgspec.structs.replace(
        no_comparison,
        reference_hash=runs.points[reference],
        reference_label=labels[runs.points[reference]],
        points=tuple(_comparison(fit, i, reference, point, label) for i, point, label in points),
        n_unused=len(runs.values) - len(runs.points) * len(runs.table),
        residual_cv=fit.residual_sd,
        residual_cvs={
            point: fit.groups[group].sd
            for point, group in zip(runs.points, fit.group_of, strict=True)
        },
        detectable_ratio=math.exp(fit.usual_half_width),
        caveats=tuple(caveats(runs.table, entries, results, runs.figure, looks, outliers)),
    )


def _reason(runs: ComparedRuns, cycle_order: str) -> str | None:
    """Return why the points cannot be compared, or None if they can."""
    n_cycles, n_points, name = len(runs.table), len(runs.points), FIGURE_NAMES[runs.figure]
    if n_points == 0:
        return f"no run has {name}"
    if n_points == 1:
        return f"only one point has {name}"
    if n_cycles < MIN_CYCLES:
        complete = "1 complete cycle" if n_cycles == 1 else f"{n_cycles} complete cycles"
        return f"{complete} of the {n_points} points, but at least {MIN_CYCLES} are needed"
    # Simulated: a drift of 3 % makes identical points differ every time in sequential order, and
    # in most studies where every cycle has the same order (benchmarks/energy_statistics.py).
    # Shuffled cycles can have the same order by chance: three cycles of two points in 1 of 4 studies.
    if cycle_order == "sequential" or has_constant_order(runs.table):
        return CONSTANT_ORDER
    return None


def _several_meters(compared: ComparedRuns, results: Mapping[int, ExperimentResult]) -> str | None:
    """Return a sentence if the compared runs were not all metered by the same energy source."""
    if compared.figure != "energy_per_output_token_j":
        return None
    indices = [index for row in compared.table for index in row]
    n_runs = Counter(results[index].energy_source or "unknown" for index in indices)
    if len(n_runs) == 1:
        return None
    counts = ", ".join(f"{source}: {n} runs" for source, n in sorted(n_runs.items()))
    return f"the runs were metered by different meters ({counts}), which measure different devices"


def _ranked(fit: BlockFit, runs: ComparedRuns) -> list[int]:
    """Return the positions of the points, best first."""
    sign = 1 if runs.figure == "energy_per_output_token_j" else -1
    return sorted(range(len(runs.points)), key=lambda i: sign * fit.means[i])


def _comparison(fit: BlockFit, i: int, reference: int, point: str, label: str) -> Comparison:
    difference = fit.means[i] - fit.means[reference]
    half_width = fit.half_width(i, reference)
    return Comparison(
        config_hash=point,
        label=label,
        ratio=math.exp(difference),
        ci95_low=math.exp(difference - half_width),
        ci95_high=math.exp(difference + half_width),
        distinguishable=abs(difference) > half_width,
    )
