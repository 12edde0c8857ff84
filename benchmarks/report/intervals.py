"""How often intervals, ranges, ranks and flips of simulated studies are right."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from benchmarks.report.studies import NOISE, Array, Kind, Study, design_of, grid, simulate
from llem_report._ranking.conditions import PlacedRun, error_source
from llem_report._ranking.contexts import LevelWeights, cells_of, level_weights
from llem_report._ranking.contrasts import (
    ErrorModel,
    error_from_interactions,
    error_from_runs,
    half_widths,
)
from llem_report._ranking.designs import nesting
from llem_report._ranking.effects import Pairs, all_pairs, contrast_pairs, range_of, rank_sets
from llem_report._ranking.ranking import rank_factors
from llem_report._ranking.shares import two_way_fit
from llem_runner.block_model import BlockFit, fit_blocks


@dataclass
class Tally:
    """What was right in the studies of a kind."""

    n_studies: int = 0
    n_pairs: int = 0
    pairs_held: int = 0
    ranges_held: int = 0
    """Studies in which all ranges held at once, like the next four."""
    ranks_held: int = 0
    false_separations: int = 0
    null_matters: int = 0
    n_with_null: int = 0
    n_real: int = 0
    real_found: int = 0
    half_widths: Array = ()
    """Median half-width of the intervals that hold together, per study."""

    @property
    def single(self) -> float:
        """Share of single 95 % intervals that hold."""
        return self.pairs_held / max(self.n_pairs, 1)


def tally(kind: Kind, n_cycles: int, trials: int) -> Tally:
    """Simulate studies of a kind and count what was right."""
    rng = np.random.default_rng([zlib.crc32(kind.name.encode()), n_cycles])
    total, widths = Tally(), []
    for _ in range(trials):
        study = simulate(kind, n_cycles, rng)
        fit = fit_blocks(study.values, study.point, study.block)
        errors = error_from_runs(fit, study.design)
        widths.append(_judge(study, fit, errors, kind, total))
    total.half_widths = np.array(widths)
    return total


def _judge(study: Study, fit: BlockFit, errors: ErrorModel, kind: Kind, total: Tally) -> float:
    """Add what is right in a study to `total`; return the median half-width."""
    nested = nesting(study.design)
    levels = [
        level_weights(cells_of(study.design, f, nested, fit.part))
        for f in range(len(study.design.keys))
    ]
    pairs = all_pairs(fit, errors, levels)
    true_ranges = []
    for weights, found in zip(levels, pairs, strict=True):
        true = _true_differences(weights, found, study)
        single = contrast_pairs(fit, errors, weights)[2]
        total.n_pairs += len(true)
        total.pairs_held += int((abs(single.difference - true) <= half_widths(single, 1)).sum())
        true_ranges.append(float(abs(true).max()) if len(true) else None)
    ranges = [range_of(each) for each in pairs]
    known = [
        (true, found, f)
        for f, (true, found) in enumerate(zip(true_ranges, ranges, strict=True))
        if true is not None and found is not None
    ]
    total.n_studies += 1
    rounding = 1e-12
    total.ranges_held += all(
        found.low - rounding <= true <= found.high + rounding for true, found, _ in known
    )
    ranks = rank_sets([found for _, found, _ in known])
    holds = True
    for (true, _, _), rank in zip(known, ranks, strict=True):
        n_larger = sum(other > true + rounding for other, _, _ in known)
        n_smaller = sum(other < true - rounding for other, _, _ in known)
        assert rank is not None  # every range is known
        holds &= rank[0] <= 1 + n_larger and rank[1] >= len(known) - n_smaller
    total.ranks_held += holds
    total.false_separations += any(
        first.low > second.high and true_first <= true_second
        for true_first, first, _ in known
        for true_second, second, _ in known
    )
    nulls = [found for true, found, f in known if not kind.effects[f] and true <= rounding]
    total.n_with_null += bool(nulls)
    total.null_matters += any(found.low > 0 for found in nulls)
    real = [found for _, found, f in known if kind.effects[f]]
    total.n_real += len(real)
    total.real_found += sum(found.low > 0 for found in real)
    return float(np.median(np.concatenate([each.half_width for each in pairs])))


def _true_differences(levels: LevelWeights, pairs: Pairs, study: Study) -> Array:
    return (levels.weights[pairs.a] - levels.weights[pairs.b]) @ study.truth


def flips(crossing: float, n_cycles: int, trials: int) -> tuple[float, float]:
    """Return how often a true crossing is found, and how often a study has a false flip.

    Studies of 2 x 4 x 2 x 3 points. Level 1 of the first factor is better by half of `crossing` at
    two levels of the second factor, and worse by as much at the other two.
    """
    rng = np.random.default_rng([round(crossing * 1000), n_cycles])
    levels = grid(2, 4, 2, 3)
    design = design_of(levels)
    sign = np.where(levels[:, 0] == 1, 1.0, -1.0) * np.where(levels[:, 1] < 2, 0.5, -0.5)
    truth = 0.5 * crossing * sign + 0.1 * levels[:, 3]
    found = false = 0
    for _ in range(trials):
        values = truth + rng.normal(size=(n_cycles, 48)) * NOISE + rng.normal(size=(n_cycles, 1))
        point, block = np.tile(np.arange(48), n_cycles), np.repeat(np.arange(n_cycles), 48)
        listed = rank_factors(values.ravel(), point, block, design, "runs").dependences.listed
        pairs = {(each.factor, each.other) for each in listed if each.flips}
        true = {(0, 1), (1, 0)} if crossing else set()
        found += (0, 1) in pairs
        false += bool(pairs - true)
    return found / trials, false / trials


@dataclass(frozen=True)
class OneCycle:
    """A study of one cycle."""

    name: str
    levels: Array
    shuffled: bool = True
    drift: float = 0.0
    """Linear change of the logarithm from the first run to the last."""
    three_way: float = 0.0


def one_cycle_coverage(case: OneCycle, trials: int) -> tuple[float, float, bool]:
    """Return the coverage of single intervals, their half-width, and whether the study has them.

    The intervals are computed even where llem refuses them.
    """
    rng = np.random.default_rng([zlib.crc32(case.name.encode())])
    effects = (0.35, 0.5, 0.12, 0.03, 0.0)[: case.levels.shape[1]]
    kind = Kind(case.name, case.levels, effects, (1,), interactions=0.05, three_way=case.three_way)
    n_points = len(case.levels)
    held = n_pairs = 0
    widths, allowed = [], False
    for _ in range(trials):
        study = simulate(kind, 1, rng)
        order = rng.permutation(n_points) if case.shuffled else np.arange(n_points)
        values = study.values + case.drift * order / (n_points - 1)
        nested = nesting(study.design)
        runs = [PlacedRun(p, 0, int(order[p])) for p in range(n_points)]
        cycle_order = "shuffled" if case.shuffled else "interleaved"
        allowed = error_source(runs, cycle_order, study.design, nested)[0] == "interactions"
        fit = fit_blocks(values, study.point, study.block)
        rest = two_way_fit(fit.means, study.design, nested)
        assert rest is not None  # the cases have fewer parameters than points
        errors = error_from_interactions(fit, rest.residual_squares, rest.residual_df)
        for f in range(len(effects)):
            levels = level_weights(cells_of(study.design, f, nested, fit.part))
            a, b, contrasts = contrast_pairs(fit, errors, levels)
            true = (levels.weights[a] - levels.weights[b]) @ study.truth
            half_width = half_widths(contrasts, 1)
            held += int((abs(contrasts.difference - true) <= half_width).sum())
            n_pairs += len(a)
            widths.append(float(np.median(half_width)))
    return held / n_pairs, float(np.median(widths)), allowed
