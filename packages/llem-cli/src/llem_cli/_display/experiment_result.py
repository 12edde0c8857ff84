"""The result of one measurement, as `experiment run` prints it."""

from __future__ import annotations

from llem_cli._display.console import add_row, note, plain_table, print_table
from llem_energy import ExperimentResult
from llem_energy.records import PhaseResult


def show_experiment_result(result: ExperimentResult) -> None:
    """Print the main figures of one measurement, and its warnings."""
    first_token = result.time_to_first_token
    per_token_j = result.energy_per_output_token_j
    rows = [
        ("tokens/s", f"{result.tokens_per_second:.4g}"),
        ("output tokens", f"{result.output_tokens} in {result.window_s:.2f} s"),
        ("padding", _padding(result)),
        ("first token", "missing" if first_token is None else f"{first_token.mean_s * 1e3:.3g} ms"),
        ("energy", _energy(result)),
        ("J/output token", "missing" if per_token_j is None else f"{per_token_j:.4g}"),
    ]
    if result.energy_gain_corrected_j is not None and result.error_budget is not None:
        origin = result.error_budget.gain_source
        rows.append(("gain corrected", f"{result.energy_gain_corrected_j:.6g} J ({origin})"))
    if result.energy_adjusted_j is not None:
        idle = f"{result.baseline_power_w:.4g} W of idle power subtracted"
        rows.append(("above idle", f"{result.energy_adjusted_j:.6g} J ({idle})"))
    rows += [(f"{phase.phase} alone", _phase(phase)) for phase in result.phases]
    if result.energy_host_j is not None:
        rows.append(("energy of the host", _host(result)))
    if result.energy_estimated_j is not None:
        rows.append(("modelled J", f"{result.energy_estimated_j:.4g} (an estimate, not measured)"))
    table = plain_table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        add_row(table, [name, value])
    print_table(table)
    for warning in result.measurement_warnings:
        note(f"warning: {warning}")


def _padding(result: ExperimentResult) -> str:
    if result.padding_share is None:
        return "unknown"
    after_end = result.n_tokens_after_end
    text = f"{result.padding_share:.1%} of the tokens of prefill"
    return text if after_end is None else f"{text}; {after_end} output tokens after an end"


def _energy(result: ExperimentResult) -> str:
    if result.energy_total_j is None:
        return "missing"
    return (
        f"{result.energy_total_j:.6g}{_bound(result.energy_bound_j)} J, {result.energy_status} "
        f"({result.energy_source}: {result.energy_method})"
    )


def _host(result: ExperimentResult) -> str:
    quality = result.figures.get("energy_host_j")
    status = f", {quality.status}" if quality is not None else ""
    text = (
        f"{result.energy_host_j:.6g}{_bound(result.energy_host_bound_j)} J{status} "
        f"({result.energy_host_source})"
    )
    both_j = result.energy_per_output_token_with_host_j
    return text if both_j is None else f"{text}; with the GPUs {both_j:.4g} J/output token"


def _phase(phase: PhaseResult) -> str:
    if phase.tokens_per_second is None:
        return f"missing: {'; '.join(phase.quality.reasons)}"
    speed = f"{phase.tokens_per_second:.4g} tokens/s"
    if phase.energy_j is None or phase.energy_per_token_j is None:
        return f"{speed}, energy missing"
    kind = "input" if phase.phase == "prefill" else "output"
    return (
        f"{phase.energy_per_token_j:.4g} J/{kind} token, {speed}; {phase.energy_j:.6g}"
        f"{_bound(phase.energy_bound_j)} J in {phase.window_s:.2f} s"
    )


def _bound(bound_j: float | None) -> str:
    return "" if bound_j is None else f" ± {bound_j:.2g}"
