"""The gain of a sensor on the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from llem_cli._display.console import add_row, count, first_prefixed, plain_table, print_table, say
from llem_energy.gain import GainReport


def show_calibration(
    reports: Sequence[GainReport],
    path: Path | None,
    notes: Sequence[str],
    warnings: Sequence[str],
    *,
    has_efficiency: bool,
) -> None:
    """Show the fit of each board, and where it is stored.

    Args:
        reports: one for each board.
        path: of the file in which they are stored; None if they are not.
        notes: why runs were left out.
        warnings: why a gain may be wrong.
        has_efficiency: whether the user has stated the efficiency.
    """
    for report in reports:
        table = plain_table(show_header=False)
        for row in _rows(report, has_efficiency=has_efficiency):
            add_row(table, row)
        print_table(table)
    for line in first_prefixed(notes, "note: "):
        say(line)
    for warning in warnings:
        say(f"warning: {warning}")
    if path is not None:
        say(f"stored in {path}; later results use it")
    elif not has_efficiency:
        say(
            "not stored: the slope contains the losses between meter and board; give --efficiency, such "
            "as 0.94 for a power supply"
        )
    else:
        say("not stored (--dry-run)")


def calibration_json(
    reports: Sequence[GainReport],
    path: Path | None,
    notes: Sequence[str],
    warnings: Sequence[str],
) -> bytes:
    """Return everything about a calibration as JSON."""
    boards = [
        {
            "calibration": msgspec.to_builtins(report.calibration),
            "clock_drift_s": report.lag.drift_s,
            "n_left_out": report.n_left_out,
            "n_gaps": report.n_gaps,
            "cut_s": report.cut_s,
            "windows": [{"board_w": board, "meter_w": meter} for board, meter in report.windows],
        }
        for report in reports
    ]
    data = {
        "boards": boards,
        "stored_in": None if path is None else str(path),
        "notes": list(notes),
        "warnings": list(warnings),
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=2)


def _rows(report: GainReport, *, has_efficiency: bool) -> list[tuple[str, str]]:
    fit = report.calibration
    drift = "not known" if report.lag.drift_s is None else f"{report.lag.drift_s:+.2f} s"
    left_out = f", {count(fit.n_outliers, 'outlier')}, {report.n_left_out} left out"
    rows = [
        ("board", fit.device),
        ("slope", f"{fit.slope:.4f} +- {fit.slope_se:.4f} W at the meter per W (standard error)"),
        ("offset", f"{fit.offset_w:.2f} +- {fit.offset_se_w:.2f} W (standard error)"),
        ("residuals", f"{fit.residual_sd_w:.3g} W (standard deviation)"),
        ("windows", f"{fit.n_windows}, {fit.board_min_w:.4g} to {fit.board_max_w:.4g} W{left_out}"),
        ("cut from their ends", f"{report.cut_s:.3g} s"),
        (
            "clock of the meter",
            f"{fit.lag_s:+.2f} s, correlation {fit.lag_correlation:.3f}, drift {drift}",
        ),
        ("gaps in the log", str(report.n_gaps)),
    ]
    if has_efficiency:
        rows.append(("gain", f"{fit.gain:.4f} +- {fit.gain_error:.4f} (95 %)"))
    return rows
