"""Points and runs of a simulated study as the structs of an analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from report.truth import TrueFactor

from llem_report.records import Interval, PointEstimate, RunEstimate


def points_of(
    factors: Sequence[TrueFactor],
    means: Any,
    runs: Any,
    rng: np.random.Generator,
    *,
    has_phases: bool,
) -> tuple[PointEstimate, ...]:
    n_cycles = runs.shape[-1]
    half = runs.std(axis=-1, ddof=1).mean() * 2.0 / math.sqrt(n_cycles) if n_cycles > 1 else None
    # Energy and speed go together, but not fully.
    speeds = 300 * np.exp(-0.6 * (means - means.min()) + rng.normal(0, 0.08, means.shape))
    best = float(means.min())
    points = []
    for number, place in enumerate(np.ndindex(means.shape)):
        levels = {
            factor.key: list(factor.ratios)[i] for factor, i in zip(factors, place, strict=True)
        }
        value, speed = math.exp(means[place]), float(speeds[place])
        points.append(
            PointEstimate(
                config_hash=f"{number:016x}",
                label=" ".join(f"{key}={level}" for key, level in levels.items()),
                levels=levels,
                n_runs=n_cycles,
                n_planned=n_cycles,
                n_flagged=0,
                value=value,
                ci95_low=None if half is None else value * math.exp(-half),
                ci95_high=None if half is None else value * math.exp(half),
                ratio_to_best=Interval(ratio=math.exp(float(means[place]) - best)),
                energy_per_output_token_j=value,
                tokens_per_second=speed,
                tokens_per_second_low=None if half is None else speed * math.exp(-half / 2),
                tokens_per_second_high=None if half is None else speed * math.exp(half / 2),
                time_to_first_token_s=0.8 * value / speed * 100,
                time_to_first_token_low_s=None if half is None else 80 * value / speed * 0.98,
                time_to_first_token_high_s=None if half is None else 80 * value / speed / 0.98,
                prefill_energy_per_token_j=value / 30 if has_phases else None,
                decode_energy_per_token_j=value * 0.8 if has_phases else None,
                on_front=False,
                front_is_certain=False,
            )
        )
    return _with_front(points)


def _with_front(points: list[PointEstimate]) -> tuple[PointEstimate, ...]:
    def is_better(other: PointEstimate, point: PointEstimate, margin: float) -> bool:
        assert other.value and point.value and other.tokens_per_second and point.tokens_per_second
        return (
            other.value * margin < point.value
            and other.tokens_per_second > point.tokens_per_second * margin
        )

    def is_earlier(other: PointEstimate, point: PointEstimate) -> bool:
        assert other.value and point.value
        assert other.time_to_first_token_s and point.time_to_first_token_s
        return (
            other.value < point.value and other.time_to_first_token_s < point.time_to_first_token_s
        )

    return tuple(
        msgspec.structs.replace(
            point,
            on_front=not any(is_better(other, point, 1) for other in points),
            front_is_certain=not any(
                is_better(other, point, 0.98) for other in points if other is not point
            ),
            on_first_token_front=not any(is_earlier(other, point) for other in points),
        )
        for point in points
    )


def runs_of(
    points: Sequence[PointEstimate], values: Any, rng: np.random.Generator
) -> tuple[RunEstimate, ...]:
    n_cycles = values.shape[-1]
    flat = values.reshape(len(points), n_cycles)
    runs: list[RunEstimate] = []
    for cycle in range(n_cycles):
        for number in rng.permutation(len(points)):
            point, value = points[number], math.exp(flat[number, cycle])
            seconds = len(runs) * 30
            runs.append(
                RunEstimate(
                    index=len(runs) + 1,
                    cycle=cycle + 1,
                    config_hash=point.config_hash,
                    label=point.label,
                    status="completed",
                    quality="ok",
                    value=value,
                    ratio_to_point=value / (point.value or value),
                    is_outlier=False,
                    started_at=f"2026-11-28T{seconds // 3600:02}:{seconds // 60 % 60:02}:00+00:00",
                    reasons=(),
                )
            )
    return tuple(runs)
