"""The points of a study against its best one, and runs that stand out: what a reader may conclude.

The rule of what is compared is fixed here, and depends on which runs have a result, never on what
the results are.
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
    "additive model of point and cycle on logarithms, so what a whole cycle has in common is taken "
    "out; ratios of geometric means; Tukey's simultaneous 95 % intervals over all pairs of points, "
    "since the reference is picked after the fact; the relative spread is taken to be the same at "
    "all points"
)
_RULE = (
    "no run with a result is dropped for its value; a point with a result in fewer than half of "
    "the cycles of the fullest point is left out; compared are the cycles in which every other "
    "point has a result, at least 2; two points differ if their interval leaves out 1"
)
_NAMES: dict[Figure, str] = {
    "energy_per_output_token_j": "J per output token",
    "tokens_per_second": "tokens per second",
}


def compare_points(
    entries: Sequence[ManifestEntry], results: Mapping[int, ExperimentResult], cycle_order: str
) -> Comparisons:
    """Return every point's ratio to the best one, or the reason why there is none.

    Args:
        entries: every planned run of the study.
        results: of the completed ones, by index.
        cycle_order: in which they ran.
    """
    figure = headline(results.values())
    values = _values(results, figure)
    points: dict[str, dict[int, int]] = {}  # by hash, the index of its run in each cycle
    for entry in entries:
        own = points.setdefault(entry.config_hash, {})
        if entry.index in values:
            own[entry.cycle] = entry.index
    fullest = max(map(len, points.values()), default=0)
    kept = [point for point, own in points.items() if own and 2 * len(own) >= fullest]
    cycles = sorted(set.intersection(*(set(points[point]) for point in kept))) if kept else []
    table = [[points[point][cycle] for point in kept] for cycle in cycles]
    labels = {entry.config_hash: entry.label for entry in entries}
    nothing = Comparisons(
        figure=figure,
        n_blocks=len(cycles),
        left_out=tuple(labels[point] for point in points if point not in kept),
        n_unused=len(values),
        method=_METHOD,
        rule=_RULE,
        error_budget=_error_budget(_n_devices(table, results), figure),
    )
    reason = _reason(len(kept), len(cycles), cycle_order, figure)
    if reason is not None:
        return msgspec.structs.replace(nothing, reason=reason)
    fit = fit_blocks([[values[index] for index in row] for row in table])
    reference, *others = _ranked(fit, kept, figure)
    return msgspec.structs.replace(
        nothing,
        reference_hash=kept[reference],
        reference_label=labels[kept[reference]],
        points=tuple(_compared(fit, i, reference, kept[i], labels[kept[i]]) for i in others),
        n_unused=len(values) - len(kept) * len(cycles),
        residual_cv=fit.residual_sd,
        caveats=tuple(_caveats(table, results, figure)),
    )


def find_outliers(
    entries: Sequence[ManifestEntry], results: Mapping[int, ExperimentResult]
) -> tuple[Outlier, ...]:
    """Return the runs that are far from the others of their point, by the headline figure."""
    figure = headline(results.values())
    values = _values(results, figure)
    points: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        if entry.index in values:
            points.setdefault(entry.config_hash, []).append(entry)
    found = {}
    for own in points.values():
        for i in outliers([values[entry.index] for entry in own]):
            others = [values[entry.index] for entry in own if entry is not own[i]]
            index = own[i].index
            found[index] = Outlier(
                index=index,
                cycle=own[i].cycle,
                label=own[i].label,
                figure=figure,
                ratio=values[index] / geometric_mean(others),
                warnings=results[index].measurement_warnings,
            )
    return tuple(found[index] for index in sorted(found))


def headline(results: Iterable[ExperimentResult]) -> Figure:
    """Return the figure that points are compared by: energy wherever any was measured."""
    if any(result.energy_per_output_token_j is not None for result in results):
        return "energy_per_output_token_j"
    return "tokens_per_second"


def _values(results: Mapping[int, ExperimentResult], figure: Figure) -> dict[int, float]:
    """Return the figure of every run that has one which a ratio can be made of."""
    return {
        index: value
        for index, result in results.items()
        if (value := getattr(result, figure)) is not None and value > 0
    }


def _reason(n_points: int, n_cycles: int, cycle_order: str, figure: Figure) -> str | None:
    if n_points == 0:
        return f"no run has {_NAMES[figure]}"
    if n_points == 1:
        return f"only one point has {_NAMES[figure]}"
    if n_cycles < 2:
        complete = "1 complete cycle" if n_cycles == 1 else f"{n_cycles} complete cycles"
        return f"{complete} of the {n_points} points, at least 2 are needed"
    if cycle_order == "sequential":
        # Simulated: 3 % drift makes a false winner of identical points every time, and taking
        # the cycles out changes nothing, since a point's cycles all lie together in time.
        return (
            "in sequential order a drift of the machine looks like a difference between points; "
            "cycle_order: shuffled avoids it"
        )
    return None


def _ranked(fit: BlockFit, points: Sequence[str], figure: Figure) -> list[int]:
    """Return the positions of the points, the best first."""
    sign = 1 if figure == "energy_per_output_token_j" else -1
    return sorted(range(len(points)), key=lambda i: sign * fit.means[i])


def _compared(fit: BlockFit, i: int, reference: int, point: str, label: str) -> Comparison:
    difference = fit.means[i] - fit.means[reference]
    return Comparison(
        config_hash=point,
        label=label,
        ratio=math.exp(difference),
        ci95_low=math.exp(difference - fit.half_width),
        ci95_high=math.exp(difference + fit.half_width),
        distinguishable=abs(difference) > fit.half_width,
    )


def _n_devices(table: Sequence[Sequence[int]], results: Mapping[int, ExperimentResult]) -> int:
    """Return how many different sets of devices the compared runs were metered on."""
    return len({frozenset(results[index].energy_per_device_j) for row in table for index in row})


def _caveats(
    table: Sequence[Sequence[int]], results: Mapping[int, ExperimentResult], figure: Figure
) -> Iterator[str]:
    # Shuffled orders come out alike now and then too: of two points in two cycles, every other
    # time.
    orders = {tuple(sorted(range(len(row)), key=row.__getitem__)) for row in table}
    if len(orders) == 1:
        yield (
            "every cycle ran in the same order, so a drift within a cycle looks like a difference "
            "between points; cycle_order: shuffled and more cycles avoid it"
        )
    if figure == "energy_per_output_token_j" and _n_devices(table, results) > 1:
        yield "the runs were metered on different devices, so their gain errors do not cancel"
    starts = [[results[index].started_at for index in row] for row in table]
    if any(max(before) > min(after) for before, after in pairwise(starts)):
        yield (
            "some runs were repeated after their cycle had ended, so what their cycle has in "
            "common may not be theirs"
        )


def _error_budget(n_devices: int, figure: Figure) -> dict[str, str]:
    """Return each error in words, by the names that a run's own budget has; never one sum."""
    budget = {"statistical": "the spread of the runs; the intervals hold it and nothing else"}
    if figure == "tokens_per_second":
        return budget
    if n_devices > 1:
        gain = "does not cancel, since the runs were metered on different devices"
    else:
        gain = "cancels in a ratio of two points, which were metered on the same device"
    return budget | {
        "gain": f"{gain}; about 5 % of any figure in joules, by published comparisons",
        "edge": (
            "does not cancel: each run has its own, at most its energy_bound_j; as far as it "
            "differs from run to run it is part of the statistical spread too"
        ),
        "sampling": "does not cancel; none where a counter was read, which sees everything",
    }
