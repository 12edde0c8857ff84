"""True figures of a simulated study, and the error of the means of its runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llem_report.records import Interval


@dataclass(frozen=True)
class TrueFactor:
    """A factor with the true figure of each level over that of the first level."""

    key: str
    ratios: dict[str, float]
    numeric: bool = False


def true_logs(
    factors: Sequence[TrueFactor],
    shape: tuple[int, ...],
    interactions: float,
    crossing: tuple[str, str, float] | None,
    rng: np.random.Generator,
) -> Any:
    truth = np.full(shape, math.log(0.2))
    for axis, factor in enumerate(factors):
        truth = truth + along(axis, np.log(list(factor.ratios.values())), shape)
    active = [i for i, factor in enumerate(factors) if set(factor.ratios.values()) != {1.0}]
    for a, b in itertools.combinations(active, 2):
        sizes = [n if axis in (a, b) else 1 for axis, n in enumerate(shape)]
        term = rng.normal(0, interactions, sizes)
        for axis in (a, b):  # sums to zero over each, so that the main effects stay true
            term = term - term.mean(axis=axis, keepdims=True)
        truth = truth + term
    if crossing:
        keys = [factor.key for factor in factors]
        a, b = keys.index(crossing[0]), keys.index(crossing[1])
        signs = along(a, np.array([-1.0, 1.0]), shape)
        truth = truth + signs * along(b, np.linspace(crossing[2], -crossing[2], shape[b]), shape)
    return truth


def along(axis: int, values: Any, shape: tuple[int, ...]) -> Any:
    return np.reshape(values, [-1 if i == axis else 1 for i in range(len(shape))])


@dataclass(frozen=True)
class Error:
    sd: float
    df: int
    n_pairs: int
    exists: bool

    @classmethod
    def of(cls, runs: Any, factors: Sequence[TrueFactor]) -> Error:
        n_points, n_cycles = math.prod(runs.shape[:-1]), runs.shape[-1]
        df = (n_points - 1) * (n_cycles - 1)
        n_pairs = sum(math.comb(len(factor.ratios), 2) for factor in factors)
        if df == 0:
            return cls(0.0, 0, n_pairs, exists=False)
        flat = runs.reshape(n_points, n_cycles)
        residuals = flat - flat.mean(1, keepdims=True) - flat.mean(0) + flat.mean()
        return cls(float(np.sqrt((residuals**2).sum() / df)), df, n_pairs, exists=True)

    def half(self, n_runs: float) -> float:
        """Return half the interval of the difference of two means of `n_runs` runs each."""
        from scipy.special import stdtrit

        alpha = 1 - 0.95 ** (1 / max(self.n_pairs, 1))
        return float(stdtrit(self.df, 1 - alpha / 2)) * self.sd * math.sqrt(2 / n_runs)

    def interval(self, log_ratio: float, n_runs: float) -> Interval:
        if not self.exists:
            return Interval(ratio=math.exp(log_ratio))
        half = self.half(n_runs)
        return Interval(
            ratio=math.exp(log_ratio),
            ci95_low=math.exp(log_ratio - half),
            ci95_high=math.exp(log_ratio + half),
        )
