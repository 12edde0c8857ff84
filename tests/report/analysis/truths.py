"""Studies in real folders whose true figures are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from report.study_data.folders import make_folder

from llem_config import ExperimentConfig, canonical

Effects = Mapping[str, Mapping[Any, float]]
"""By field, such as `pytorch.batch_size`: the true ratio of the figure at each value."""


def field_of(config: ExperimentConfig, key: str) -> Any:
    """Return the value of a field; None if it is not set."""
    value: Any = canonical(config)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class Truth:
    """Figures with known effects; the noise of each run and cycle has a fixed seed."""

    def __init__(
        self,
        effects: Effects,
        *,
        noise: float = 0.01,
        figure: str = "energy_per_output_token_j",
        also: Callable[[ExperimentConfig], float] = lambda _: 1.0,
        seed: int = 7,
    ) -> None:
        self._effects = effects
        self._noise = noise
        self._figure = figure
        self._also = also
        self._random = random.Random(seed)

    def __call__(self, config: ExperimentConfig, _: int) -> dict[str, Any]:
        """Return the fields of the result of a run."""
        value = 2.0 * self._also(config)
        for key, ratios in self._effects.items():
            value *= ratios.get(field_of(config, key), 1.0)
        value *= self._random.lognormvariate(0.0, self._noise) if self._noise else 1.0
        return {self._figure: value}


def too_noisy_for_shares(parent: Path) -> Path:
    """Return a study of which one part would have more than 100 % of the variance.

    Its two cycles say too little about the noise, which is taken off each share.
    """
    truth = Truth({"precision": {"fp32": 1.1}}, noise=0.03, seed=0)
    return study(parent, "sweep: {precision: [fp32, bf16], n: [1, 2]}\n", truth, n_cycles=2)


def study(parent: Path, text: str, truth: Any, n_cycles: int = 3, **options: Any) -> Path:
    """Return the folder of a finished study; see `make_folder`."""
    return make_folder(parent, text, truth, n_cycles, **options)
