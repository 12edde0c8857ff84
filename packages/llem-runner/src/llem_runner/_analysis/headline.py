"""The figure by which the points of a study are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llem_runner._storage.comparison_records import Figure
from llem_runner._storage.run_facts import MeasuredRun

FIGURE_NAMES: dict[Figure, str] = {
    "energy_per_output_token_j": "J per output token",
    "tokens_per_second": "tokens per second",
}


def headline(results: Iterable[MeasuredRun]) -> Figure:
    """Return the figure to compare points by: energy if any result has it, else speed."""
    if any(result.energy_per_output_token_j is not None for result in results):
        return "energy_per_output_token_j"
    return "tokens_per_second"


def headline_values(results: Mapping[int, MeasuredRun], figure: Figure) -> dict[int, float]:
    """Return the figure of every run that has a positive one, because ratios need that."""
    return {
        index: value
        for index, result in results.items()
        if (value := getattr(result, figure)) is not None and value > 0
    }
