"""Analyses of simulated studies with known true effects, for tests of figures and pages.

The estimates are those of a full grid: means of logarithms per level, and a pooled error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from report.simulated_points import points_of, runs_of
from report.truth import Error, TrueFactor, true_logs

from llem_report.records import (
    Analysis,
    Dependence,
    FactorEffect,
    Interval,
    LevelContext,
    LevelEffect,
    ShareTerm,
)

_ONE = Interval(ratio=1.0)


def simulate(
    factors: Sequence[TrueFactor],
    *,
    n_cycles: int = 3,
    noise: float = 0.02,
    interactions: float = 0.02,
    crossing: tuple[str, str, float] | None = None,
    has_phases: bool = False,
    seed: int = 20,
) -> Analysis:
    """Return the analysis of a study with the effects of `factors`.

    Args:
        factors: with their true effects.
        n_cycles: each point runs once in each cycle.
        noise: standard deviation of the logarithm of a run.
        interactions: standard deviation of the two-way terms.
        crossing: a factor of two levels, another factor, and half the logarithm by which the first
            one reverses its effect between the first and the last level of the other.
        has_phases: whether the points have the energy of prefill and decode.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(len(factor.ratios) for factor in factors)
    truth = true_logs(factors, shape, interactions, crossing, rng)
    cycles = rng.normal(0, 0.01, n_cycles)
    runs = truth[..., None] + cycles + rng.normal(0, noise, (*shape, n_cycles))
    means = runs.mean(axis=-1)
    error = Error.of(runs, factors)
    effects = [_effect(i, factor, means, error) for i, factor in enumerate(factors)]
    order = sorted(range(len(factors)), key=lambda i: -(effects[i].effect or _ONE).ratio)
    ranked = tuple(_ranked(effects[i], [effects[j] for j in order]) for i in order)
    points = points_of(factors, means, runs, rng, has_phases=has_phases)
    return Analysis(
        study_name="simulated",
        study_design_hash="0123456789abcdef",
        status="completed",
        figure="energy_per_output_token_j",
        unit="J/token",
        lower_is_better=True,
        by="axis",
        n_points=len(points),
        n_cycles=n_cycles,
        n_runs_planned=len(points) * n_cycles,
        n_runs_used=len(points) * n_cycles,
        n_runs_failed=0,
        n_runs_pending=0,
        finding=_finding(ranked),
        factors=ranked,
        level_pairs=(),
        dependences=_dependences(factors, means, error, crossing),
        shares_of_rest={"three and more together": 0.002, "not attributable": 0.0},
        shares_reason=None,
        share_terms=_share_terms(ranked),
        detectable_ratio=math.exp(error.half(n_cycles)) if error.exists else None,
        points=points,
        runs=runs_of(points, runs, rng),
        method=(
            "Logarithms of the figure, point and cycle effects removed; one pooled error with "
            f"{error.df} degrees of freedom; Sidak intervals over {error.n_pairs} pairs of levels."
        ),
        caveats=("The gain error of the sensor (about 5 %) cancels in ratios, not in joules.",),
        reason=None if error.exists else "1 cycle: the spread of the runs is not known",
    )


def _effect(axis: int, factor: TrueFactor, means: Any, error: Error) -> FactorEffect:
    names = list(factor.ratios)
    by_level = np.moveaxis(means, axis, 0).reshape(len(names), -1)
    level_means = by_level.mean(axis=1)
    best, worst = int(level_means.argmin()), int(level_means.argmax())
    n_contexts = by_level.shape[1]
    n_runs = n_contexts * (error.df // max(means.size - 1, 1) + 1)
    effect = error.interval(float(level_means[worst] - level_means[best]), n_runs)
    matters = effect.ci95_low is not None and effect.ci95_low > 1
    contexts = [f"context {i}" for i in range(n_contexts)]
    shown = by_level - by_level.mean(axis=0) + level_means.mean() - level_means[best]
    return FactorEffect(
        key=factor.key,
        numeric=factor.numeric,
        verdict="matters" if matters else "no_effect_found" if error.exists else "cannot_be_told",
        effect=msgspec.structs.replace(effect, ci95_low=max(1.0, effect.ci95_low or 1.0))
        if error.exists
        else effect,
        best=names[best],
        worst=names[worst],
        rank_low=None,
        rank_high=None,
        share=float(((level_means - level_means.mean()) ** 2).mean() / means.var())
        if means.var()
        else None,
        levels=tuple(
            LevelEffect(
                level=name,
                ratio=_ONE
                if i == best
                else error.interval(float(level_means[i] - level_means[best]), n_runs),
                n_points=n_contexts,
                contexts=tuple(
                    LevelContext(context=context, ratio=math.exp(value))
                    for context, value in zip(contexts, shown[i], strict=True)
                ),
            )
            for i, name in enumerate(names)
        ),
        note="falls at every step" if factor.numeric else None,
        reason=None if error.exists else "1 cycle",
    )


def _share_terms(factors: Sequence[FactorEffect]) -> tuple[ShareTerm, ...]:
    """Return the shares of the factors by themselves, and 0.1 % for each pair."""
    if any(factor.share is None for factor in factors):
        return ()
    keys = [factor.key for factor in factors]
    return (
        *(ShareTerm(factors=(factor.key,), share=factor.share or 0.0) for factor in factors),
        *(ShareTerm(factors=pair, share=0.001) for pair in combinations(keys, 2)),
    )


def _ranked(effect: FactorEffect, effects: Sequence[FactorEffect]) -> FactorEffect:
    if effect.effect is None or effect.effect.ci95_high is None:
        return effect
    own = effect.effect
    others = [other.effect for other in effects if other.effect is not None]
    above = sum((other.ci95_low or 1) > (own.ci95_high or 1) for other in others)
    below = sum((other.ci95_high or 1) < (own.ci95_low or 1) for other in others)
    return msgspec.structs.replace(effect, rank_low=1 + above, rank_high=len(others) - below)


def _finding(ranked: Sequence[FactorEffect]) -> str:
    first = ranked[0]
    if first.rank_high != 1 or first.effect is None:
        return "It cannot be told which choice matters most."
    return (
        f"{first.key} matters most: {first.worst} needs {first.effect.ratio:.2f} times the energy "
        f"of {first.best} (95 % interval {first.effect.ci95_low:.2f} to {first.effect.ci95_high:.2f})."
    )


def _dependences(
    factors: Sequence[TrueFactor],
    means: Any,
    error: Error,
    crossing: tuple[str, str, float] | None,
) -> tuple[Dependence, ...]:
    if crossing is None or not error.exists:
        return ()
    keys = [factor.key for factor in factors]
    first, second = keys.index(crossing[0]), keys.index(crossing[1])
    kept = np.moveaxis(means, (first, second), (0, 1))
    table = kept.reshape(*kept.shape[:2], -1).mean(axis=-1)
    a, b = list(factors[first].ratios)[:2]
    levels = tuple(factors[second].ratios)
    n_runs = means.size / table.size * (error.df // max(means.size - 1, 1) + 1)
    ratios = tuple(
        error.interval(float(table[0, i] - table[1, i]), n_runs) for i in range(len(levels))
    )
    return (
        Dependence(
            factor=keys[first],
            a=a,
            b=b,
            other=keys[second],
            levels=levels,
            ratios=ratios,
            flips=True,
            text=f"{keys[first]}: {a} is better at {keys[second]} {levels[-1]}, worse at {levels[0]}",
        ),
    )
