"""Compare the points of a study with the best one, and find outlying runs.

Which runs are compared is fixed here. It depends on which runs have a result, never on the values
of the results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from llem_energy import ExperimentResult
from llem_runner._analysis.statistics import BlockFit, fit_blocks, geometric_mean, outliers
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.study_result import Comparison, Comparisons, Figure, Outlier

_METHOD = (
    "additive model of point and cycle on logarithms, which removes what all runs of a cycle have "
    "in common; ratios of geometric means; Tukey's simultaneous 95 % intervals over all pairs of "
    "points, because the reference is chosen after the measurement; the relative spread is assumed "
    "to be the same at all points"
)
_RULE = (
    "no run with a result is dropped because of its value; a point with fewer than half as many "
    "results as the point with the most is left out; the cycles compared are those in which every "
    "remaining point has a result, at least 2; two points differ if their interval excludes 1"
)
_NAMES: dict[Figure, str] = {
    "energy_per_output_token_j": "J per output token",
    "tokens_per_second": "tokens per second",
}


def compare_points(
    entries: Sequence[ManifestEntry], results: Mapping[int, ExperimentResult], cycle_order: str
) -> Comparisons:
    """Return the ratio of every point to the best one, or the reason why there is none.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
        cycle_order: the order in which the study ran its points.
    """
    figure = headline(results.values())
    values = _values(results, figure)
    points: dict[str, dict[int, int]] = {}  # config hash -> cycle -> index of the run
    for entry in entries:
        runs_by_cycle = points.setdefault(entry.config_hash, {})
        if entry.index in values:
            runs_by_cycle[entry.cycle] = entry.index
    max_runs = max(map(len, points.values()), default=0)
    kept = [point for point, runs in points.items() if runs and 2 * len(runs) >= max_runs]
    cycles = sorted(set.intersection(*(set(points[point]) for point in kept))) if kept else []
    table = [[points[point][cycle] for point in kept] for cycle in cycles]
    labels = {entry.config_hash: entry.label for entry in entries}
    no_comparison = Comparisons(
        figure=figure,
        n_blocks=len(cycles),
        left_out=tuple(labels[point] for point in points if point not in kept),
        n_unused=len(values),
        method=_METHOD,
        rule=_RULE,
        error_budget=_error_budget(_n_device_sets(table, results), figure),
    )
    reason = _reason(len(kept), len(cycles), cycle_order, figure)
    if reason is not None:
        return msgspec.structs.replace(no_comparison, reason=reason)
    fit = fit_blocks([[values[index] for index in row] for row in table])
    reference, *others = _ranked(fit, kept, figure)
    return msgspec.structs.replace(
        no_comparison,
        reference_hash=kept[reference],
        reference_label=labels[kept[reference]],
        points=tuple(_comparison(fit, i, reference, kept[i], labels[kept[i]]) for i in others),
        n_unused=len(values) - len(kept) * len(cycles),
        residual_cv=fit.residual_sd,
        caveats=tuple(_caveats(table, results, figure)),
    )


def find_outliers(
    entries: Sequence[ManifestEntry], results: Mapping[int, ExperimentResult]
) -> tuple[Outlier, ...]:
    """Return the runs that are far from the other runs of their point, by the headline figure."""
    figure = headline(results.values())
    values = _values(results, figure)
    points: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        if entry.index in values:
            points.setdefault(entry.config_hash, []).append(entry)
    outlying = []
    for runs in points.values():
        for i in outliers([values[run.index] for run in runs]):
            outlier = runs[i]
            others = [values[run.index] for run in runs if run is not outlier]
            outlying.append(
                Outlier(
                    index=outlier.index,
                    cycle=outlier.cycle,
                    label=outlier.label,
                    figure=figure,
                    ratio=values[outlier.index] / geometric_mean(others),
                    warnings=results[outlier.index].measurement_warnings,
                )
            )
    return tuple(sorted(outlying, key=lambda outlier: outlier.index))


def headline(results: Iterable[ExperimentResult]) -> Figure:
    """Return the figure to compare points by: energy if any result has it, else speed."""
    if any(result.energy_per_output_token_j is not None for result in results):
        return "energy_per_output_token_j"
    return "tokens_per_second"


def _values(results: Mapping[int, ExperimentResult], figure: Figure) -> dict[int, float]:
    """Return the figure of every run that has a positive one, because ratios need that."""
    return {
        index: value
        for index, result in results.items()
        if (value := getattr(result, figure)) is not None and value > 0
    }


def _reason(n_points: int, n_cycles: int, cycle_order: str, figure: Figure) -> str | None:
    """Return why the points cannot be compared, or None if they can."""
    if n_points == 0:
        return f"no run has {_NAMES[figure]}"
    if n_points == 1:
        return f"only one point has {_NAMES[figure]}"
    if n_cycles < 2:
        complete = "1 complete cycle" if n_cycles == 1 else f"{n_cycles} complete cycles"
        return f"{complete} of the {n_points} points, but at least 2 are needed"
    if cycle_order == "sequential":
        # Simulated: a drift of 3 % makes identical points differ every time, and removing the
        # cycle effect does not help, because all cycles of a point are adjacent in time.
        return (
            "in sequential order, drift of the machine looks like a difference between points; "
            "use cycle_order: shuffled"
        )
    return None


def _ranked(fit: BlockFit, points: Sequence[str], figure: Figure) -> list[int]:
    """Return the positions of the points, best first."""
    sign = 1 if figure == "energy_per_output_token_j" else -1
    return sorted(range(len(points)), key=lambda i: sign * fit.means[i])


def _comparison(fit: BlockFit, i: int, reference: int, point: str, label: str) -> Comparison:
    difference = fit.means[i] - fit.means[reference]
    return Comparison(
        config_hash=point,
        label=label,
        ratio=math.exp(difference),
        ci95_low=math.exp(difference - fit.half_width),
        ci95_high=math.exp(difference + fit.half_width),
        distinguishable=abs(difference) > fit.half_width,
    )


def _n_device_sets(table: Sequence[Sequence[int]], results: Mapping[int, ExperimentResult]) -> int:
    """Return how many different sets of devices the compared runs were metered on."""
    return len({frozenset(results[index].energy_per_device_j) for row in table for index in row})


def _caveats(
    table: Sequence[Sequence[int]], results: Mapping[int, ExperimentResult], figure: Figure
) -> Iterator[str]:
    # Shuffled cycles can have the same order by chance: with two points and two cycles, every
    # second time.
    orders = {tuple(sorted(range(len(row)), key=row.__getitem__)) for row in table}
    if len(orders) == 1:
        yield (
            "every cycle ran in the same order, so drift within a cycle looks like a difference "
            "between points; use cycle_order: shuffled and more cycles"
        )
    if figure == "energy_per_output_token_j" and _n_device_sets(table, results) > 1:
        yield "the runs were metered on different devices, so their gain errors do not cancel"
    starts = [[results[index].started_at for index in row] for row in table]
    if any(max(earlier) > min(later) for earlier, later in pairwise(starts)):
        yield (
            "some runs were repeated after their cycle, so the cycle effect removed may not apply "
            "to them"
        )


def _error_budget(n_device_sets: int, figure: Figure) -> dict[str, str]:
    """Return each error in words, under the names that the result of a run uses; never a sum."""
    budget = {"statistical": "the spread between runs; the intervals cover only this error"}
    if figure == "tokens_per_second":
        return budget
    if n_device_sets > 1:
        gain = "does not cancel, because the runs were metered on different devices"
    else:
        gain = "cancels in a ratio of two points, because both were metered on the same device"
    return budget | {
        "gain": f"{gain}; about 5 % of any figure in joules, by published comparisons",
        "edge": (
            "does not cancel: every run has its own, up to its energy_bound_j; the part that "
            "varies between runs is also in the statistical spread"
        ),
        "sampling": "does not cancel; zero where a counter was read, because a counter sees "
        "all energy",
    }
