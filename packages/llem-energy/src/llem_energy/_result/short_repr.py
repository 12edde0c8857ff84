"""One line for a result, which a notebook or a debugger shows instead of a hundred fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llem_energy._result.experiment_result import ExperimentResult


def short_repr(result: ExperimentResult) -> str:
    """Return model and precision, speed, joules per token with bound and status, and the window."""
    config = result.config
    parts = [
        f"{config.get('model')} {config.get('precision')}",
        f"{result.tokens_per_second:.4g} tokens/s",
        _energy(result),
        f"window {result.window_s:.3g} s",
    ]
    return f"<ExperimentResult {', '.join(parts)}>"


def _energy(result: ExperimentResult) -> str:
    total_j, per_token_j = result.energy_total_j, result.energy_per_output_token_j
    if total_j is None or per_token_j is None:
        return "energy missing"
    bound_j = result.energy_bound_j
    bound = ""
    if bound_j is not None and total_j > 0:
        bound = f" \u00b1 {per_token_j * bound_j / total_j:.2g}"
    return f"{per_token_j:.4g}{bound} J/token ({result.energy_status})"
