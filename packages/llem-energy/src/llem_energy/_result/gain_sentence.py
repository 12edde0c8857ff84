"""The gain error of a result in words."""

from __future__ import annotations

from llem_energy._result.experiment_result import ExperimentResult


def gain_sentence(result: ExperimentResult) -> str | None:
    """Return how wrong the gain of the sensors may be, and how that is known; None if it is not known."""
    budget = result.error_budget
    if budget is None or budget.gain_share is None:
        return None
    text = f"±{100 * budget.gain_share:.2g} %, {budget.gain_source or 'literature'}"
    if budget.corrected_gain_share is None or result.energy_gain_corrected_j is None:
        return text
    return f"{text}; ±{100 * budget.corrected_gain_share:.2g} % in energy_gain_corrected_j"
