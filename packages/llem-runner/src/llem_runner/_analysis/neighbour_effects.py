"""Whether runs on one GPU changed while its neighbours worked: they share air, power and processor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from llem_runner._analysis.block_model import fit_blocks
from llem_runner._analysis.common_blocks import block_of
from llem_runner._analysis.quantiles import t_quantile
from llem_runner._storage.comparison_records import NeighbourChange, NeighbourEffects
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun

_MIN_SPAN_W = 50.0
"""With a smaller difference, the neighbours did the same all the time, and nothing can be told."""
_MIN_DF = 3
_Power = Callable[[MeasuredRun], float | None]


def neighbour_effects(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> NeighbourEffects | None:
    """Return how the power of runs depends on that of the other GPUs of their machine.

    Args:
        entries: every planned run of the study.
        results: of the completed runs, by index.

    Returns:
        None if no run on a GPU had a neighbour whose power is known.
    """
    powers_w = {
        index: power_w
        for index, result in results.items()
        if result.energy_source_kind == "gpu" and (power_w := neighbours_w(result)) is not None
    }
    if not powers_w:
        return None
    runs = [entry for entry in entries if entry.index in powers_w]
    busy = _change(runs, results, powers_w, _busy_w)
    idle = _change(runs, results, powers_w, lambda result: result.baseline_power_w)
    return NeighbourEffects(
        n_runs=len(runs),
        low_w=min(powers_w.values()),
        high_w=max(powers_w.values()),
        busy=busy,
        idle=idle,
        n_processes=max(
            (each.n_processes or 0 for entry in runs for each in results[entry.index].neighbours),
            default=0,
        ),
    )


def neighbours_w(result: MeasuredRun) -> float | None:
    """Return the power of all other GPUs around the window of a run; None if one is not known."""
    total_w = 0.0
    for each in result.neighbours:
        if each.power_before_window_w is None or each.power_end_w is None:
            return None
        total_w += (each.power_before_window_w + each.power_end_w) / 2
    return total_w if result.neighbours else None


def _busy_w(result: MeasuredRun) -> float | None:
    total_j = result.energy_total_j
    return None if total_j is None or result.window_s <= 0 else total_j / result.window_s


def _change(
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
    neighbours_w_of: Mapping[int, float],
    power_of: _Power,
) -> NeighbourChange | None:
    """Return by what ratio a power changes from idle neighbours to busy ones.

    A straight line through the logarithms, once what points and blocks have in common is removed from
    both. None if there are too few runs, or if the neighbours did the same all the time.
    """
    import numpy as np

    runs = [e for e in entries if (power := power_of(results[e.index])) is not None and power > 0]
    span_w = max(neighbours_w_of.values()) - min(neighbours_w_of.values())
    if len(runs) < 2 or span_w < _MIN_SPAN_W:
        return None
    logs = np.array([math.log(power_of(results[run.index]) or 1.0) for run in runs])
    beside = np.array([neighbours_w_of[run.index] for run in runs])
    point = np.unique([run.config_hash for run in runs], return_inverse=True)[1]
    blocks = [repr(block_of(run)) for run in runs]
    block = np.unique(blocks, return_inverse=True)[1]
    own, other = fit_blocks(logs, point, block), fit_blocks(beside, point, block)
    df, squared = own.df - 1, float(other.residuals @ other.residuals)
    if df < _MIN_DF or squared < _MIN_SPAN_W**2:
        return None
    slope = float(other.residuals @ own.residuals) / squared
    rest = own.residuals - slope * other.residuals
    error = math.sqrt(max(float(rest @ rest), 1e-18) / df / squared)
    half = t_quantile(0.975, df) * error * span_w
    return NeighbourChange(
        ratio=math.exp(slope * span_w),
        ci95_low=math.exp(slope * span_w - half),
        ci95_high=math.exp(slope * span_w + half),
    )
