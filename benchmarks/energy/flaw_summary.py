"""The table of counters with flaws in short: one row for each kind of counter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fakes.fake_nvml import FakeGpu

from benchmarks.energy.flaws import FlawRow

SUMMARY_HEADER = (
    "counter",
    "behaviours",
    "windows with an energy",
    "flagged, %",
    "ok but off",
    "in uncertainty, %",
)
_EXACT, _LATE, _PART, _OTHER = "exact", "late or filtered", "part-time", "other flaws"
_KINDS = (_EXACT, _LATE, _PART, _OTHER)


def kind(gpu: FakeGpu) -> str:
    """Return what is wrong with the counter of a GPU."""
    if gpu.counter_delay_s or gpu.counter_filter_s:
        return _LATE
    if gpu.counter_seen_s:
        return _PART
    exact = FakeGpu()
    flaws = (
        "counter_quantum_mj",
        "counter_threshold_w",
        "counter_burst_s",
        "counter_every",
        "counter_bits",
        "counter_float32",
    )
    return _OTHER if any(getattr(gpu, each) != getattr(exact, each) for each in flaws) else _EXACT


def summary(rows: Sequence[FlawRow]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of counter that was measured."""
    for name in _KINDS:
        chosen = [row for row in rows if kind(row.behaviour.gpu) == name]
        lengths = [length for row in chosen for length in row.lengths]
        if not lengths:
            continue
        held, given = (sum(length.covered[i] for length in lengths) for i in range(2))
        yield (
            name,
            str(len(chosen)),
            f"{sum(len(length.errors) for length in lengths):,}",
            f"{100 * sum(length.flagged for length in lengths) / len(lengths):.3g}",
            str(sum(length.n_silent for length in lengths)),
            f"{100 * held / given:.3g}" if given else "none given",
        )
