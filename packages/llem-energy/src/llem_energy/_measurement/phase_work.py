"""What prefill and decode computed and how long they took: in a phase alone, or in the window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from llem_config import PhaseName
from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.operations import sum_of_flops
from llem_energy._measurement.raw_measurement import GenerationRecord, PhaseSpan, RawMeasurement
from llem_energy._metering.window import MeasuredSpan
from llem_energy._model_info.traffic import Row, Traffic, decode_bytes, prefill_bytes

Batches = Counter[tuple[Row, ...]]
"""How often a batch of these rows was computed."""


class PhaseWork(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one phase; what is unknown is None, and `unknown` says why by field."""

    phase: PhaseName
    timed: Literal["alone", "in the window"]
    time_s: float | None
    flops: float | None
    bytes_moved: float | None
    span: MeasuredSpan
    """When it happened; of the whole window, if the phase was not measured alone."""
    unknown: dict[str, str]


def phase_works(
    raw: RawMeasurement, reports: BackendReports, traffic: Traffic | None
) -> Iterator[PhaseWork]:
    """Yield prefill, and decode if outputs have more than one token.

    Args:
        raw: the measurement.
        reports: of the backend, which counts operations.
        traffic: of the model; None if unknown.
    """
    alone = {each.name: each for each in raw.phases if each.span is not None}
    names: tuple[PhaseName, ...] = ("prefill", "decode")
    for name in names[: 1 if raw.config.max_output_tokens == 1 else 2]:
        if name in alone:
            yield _alone(raw, alone[name], reports, traffic)
        else:
            yield _in_window(raw, name, reports, traffic)


def _alone(
    raw: RawMeasurement, measured: PhaseSpan, reports: BackendReports, traffic: Traffic | None
) -> PhaseWork:
    """Return the work of a phase in a window of its own, always on the first batch."""
    span = measured.span
    assert span is not None  # chosen by the caller
    first = raw.generations[0]
    # A phase ignores ends and starts without a cache of earlier prompts.
    n_output = 1 if measured.name == "prefill" else raw.config.max_output_tokens
    batches: Batches | str = _NO_PADDING
    padding = _numbers(first, first.reported_padding_tokens)
    if padding is not None:
        lengths = zip(first.batch.lengths, padding, strict=True)
        rows = tuple(Row(length + extra, n_output) for length, extra in lengths)
        batches = Counter({rows: span.n_repeats})
    return _work(measured.name, "alone", span.end_s - span.start_s, span, batches, reports, traffic)


def _in_window(
    raw: RawMeasurement, name: PhaseName, reports: BackendReports, traffic: Traffic | None
) -> PhaseWork:
    """Return the work of a phase inside the window, by the times of tokens."""
    batches: Batches | str = Counter()
    time_s: float | None = 0.0
    for record in raw.generations:
        rows = _rows(record)
        if isinstance(rows, str):
            batches = rows
        elif isinstance(batches, Counter):
            batches[rows] += 1
        times_s = record.times_s
        if not times_s:
            time_s = None
        elif time_s is not None:
            time_s += times_s[0] if name == "prefill" else times_s[-1] - times_s[0]
    return _work(name, "in the window", time_s, raw.window, batches, reports, traffic)


def _rows(record: GenerationRecord) -> tuple[Row, ...] | str:
    """Return the prompts of a batch as they were computed, or why that is unknown."""
    padding = _numbers(record, record.reported_padding_tokens)
    after_end = _numbers(record, record.reported_tokens_after_end)
    if padding is None:
        return _NO_PADDING
    if after_end is None:
        return "the backend does not report tokens after the end of an output"
    if record.cached_tokens is None:
        return "the backend does not report tokens from a cache"
    numbers = zip(
        record.batch.lengths, padding, record.n_tokens, after_end, record.cached_tokens, strict=True
    )
    return tuple(
        Row(n_input + extra, n_output + rest, cached)
        for n_input, extra, n_output, rest, cached in numbers
    )


_NO_PADDING = "the backend does not report padding tokens"


def _numbers(record: GenerationRecord, counts: Sequence[int] | None) -> Sequence[int] | None:
    """Return one number for each prompt; None if they are unknown or impossible."""
    if counts is None or len(counts) != record.batch.n_prompts or min(counts, default=0) < 0:
        return None
    return counts


def _work(
    name: PhaseName,
    timed: Literal["alone", "in the window"],
    time_s: float | None,
    span: MeasuredSpan,
    batches: Batches | str,
    reports: BackendReports,
    traffic: Traffic | None,
) -> PhaseWork:
    unknown: dict[str, str] = {}
    if not time_s or time_s <= 0:
        time_s = None
        unknown["time_s"] = "the backend reported no times of tokens"
    flops = bytes_moved = None
    if isinstance(batches, str):
        unknown["flops"] = unknown["bytes_moved"] = batches
    else:
        flops = _flops(name, batches, reports)
        if flops is None:
            unknown["flops"] = "the backend does not count the operations of this experiment"
        if traffic is None:
            unknown["bytes_moved"] = "the bytes of this model and cache are not known"
        else:
            count: Callable[[Traffic, Sequence[Row]], float] = (
                prefill_bytes if name == "prefill" else decode_bytes
            )
            bytes_moved = sum(n * count(traffic, rows) for rows, n in batches.items())
    return PhaseWork(
        phase=name, timed=timed, time_s=time_s, flops=flops, bytes_moved=bytes_moved, span=span,
        unknown=unknown,
    )  # fmt: skip


def _flops(name: PhaseName, batches: Batches, reports: BackendReports) -> float | None:
    rows: Counter[tuple[int, int, int]] = Counter()
    for batch, n in batches.items():
        for row in batch:
            rows[row] += n
    total = sum_of_flops(rows, reports)
    if total is None:
        return None
    return total.prefill if name == "prefill" else total.decode
