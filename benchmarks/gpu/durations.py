"""Durations as printed in the table."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.shared.quantiles import percentile


def ms(seconds: float | None) -> str:
    """Return a duration in milliseconds as text."""
    return "not seen" if seconds is None else f"{1e3 * seconds:.3g} ms"


def every(seconds: float | None) -> str:
    """Return a period as text."""
    return "no change seen" if seconds is None else f"every {ms(seconds)}"


def spread(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile of durations as text."""
    return f"p50 {ms(percentile(seconds, 0.5))}, p99 {ms(percentile(seconds, 0.99))}"


def spread_of(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 99th percentile of durations, as figures of a row."""
    return {f"{name}_p50_s": percentile(seconds, 0.5), f"{name}_p99_s": percentile(seconds, 0.99)}
