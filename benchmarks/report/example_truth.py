"""The study of the example of a report, and the true energies of its 144 points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from llem_config import ExperimentConfig, canonical

_AXES = """\
sweep:
  {section}.batch_size: [{batch_sizes}]
  precision: [{precisions}]
  attention:
    - {{{section}.attn_implementation: eager}}
    - {{{section}.attn_implementation: sdpa}}
    - {{{section}.attn_implementation: sdpa, {section}.torch_compile: true}}
  {section}.cache_implementation: [dynamic, static]
  {section}.batching: [static, sorted]
"""
EXECUTION = """\
execution: {n_cycles: 5, cycle_order: shuffled, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""
RATIOS: Mapping[str, Mapping[str, float]] = {
    "batch_size": {"1": 1.62, "4": 1.28, "16": 1.06, "64": 1.0},
    "precision": {"fp32": 1.38, "fp16": 1.004, "bf16": 1.0},
    "attention": {"eager": 1.14, "sdpa": 1.03, "sdpa+torch_compile": 1.0},
    "cache_implementation": {"dynamic": 1.02, "static": 1.0},
    "batching": {"static": 1.0, "sorted": 1.0},
}
"""The true energy of each level over that of another one; batching has no effect."""
FEWER_LEVELS: Mapping[str, tuple[str, ...]] = {
    "batch_size": ("1", "16", "64"),
    "precision": ("fp32", "bf16"),
}
"""Half of the points: the levels of the factors that have fewer."""
COMPILED = {"1": 1.13, "4": 1.04, "16": 0.97, "64": 0.93}
"""What compiling adds at each batch size: it is worse at 1 and better at 64."""
BEST_J = 0.19  # per output token, where all ratios are 1
NOISE = 0.02  # standard deviation of the logarithm of a run


def levels(n_points: int) -> dict[str, tuple[str, ...]]:
    """Return the levels of every factor in the study of 144 or 72 points."""
    every = {key: tuple(ratios) for key, ratios in RATIOS.items()}
    return every if n_points == 144 else every | dict(FEWER_LEVELS)


def axes(section: str, n_points: int = 144) -> str:
    """Return the axes of the study file, with the options of the backend in `section`."""
    swept = levels(n_points)
    return _AXES.format(
        section=section,
        batch_sizes=", ".join(swept["batch_size"]),
        precisions=", ".join(swept["precision"]),
    )


def levels_of(config: ExperimentConfig) -> dict[str, str]:
    """Return the level of each factor at a point."""
    plain = canonical(config)
    section = plain[config.backend]
    compiled = "+torch_compile" if section.get("torch_compile") else ""
    return {
        "batch_size": str(section["batch_size"]),
        "precision": str(plain["precision"]),
        "attention": section["attn_implementation"] + compiled,
        "cache_implementation": section["cache_implementation"],
        "batching": section["batching"],
    }


def true_energy_j(point: Mapping[str, str]) -> float:
    """Return the true energy per output token of a point, from the level of each factor."""
    ratio = math.prod(RATIOS[key][level] for key, level in point.items())
    if "torch_compile" in point["attention"]:
        ratio *= COMPILED[point["batch_size"]]
    return BEST_J * ratio


def true_ratios(section: str, n_points: int = 144) -> dict[str, dict[str, float]]:
    """Return the true mean of each level over all points, over that of the best level.

    Args:
        section: with the options of the backend; it begins the names of their factors.
        n_points: 144 or 72.
    """
    swept = levels(n_points)
    logs: dict[str, dict[str, list[float]]] = {key: {} for key in swept}
    for combination in itertools.product(*swept.values()):
        point = dict(zip(swept, combination, strict=True))
        for key, level in point.items():
            logs[key].setdefault(level, []).append(math.log(true_energy_j(point)))
    ratios = {}
    for key, of_key in logs.items():
        means = {level: sum(values) / len(values) for level, values in of_key.items()}
        name = key if key in ("precision", "attention") else f"{section}.{key}"
        ratios[name] = {
            level: math.exp(mean - min(means.values())) for level, mean in means.items()
        }
    return ratios
