"""The floating-point operations of the window, as the backend counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.raw_measurement import GenerationRecord
from llem_energy._model_info.flops import Flops

Lengths = tuple[int, int, int]
"""Input, output and cached tokens of one prompt."""


def window_flops(records: Sequence[GenerationRecord], reports: BackendReports) -> Flops | None:
    """Return the operations for all prompts and outputs, without padding and what else is useless.

    Where the number of cached tokens is unknown, all input tokens count as read.
    """
    counts: Counter[Lengths] = Counter()
    for record in records:
        cached = record.cached_tokens or (0,) * record.batch.n_prompts
        counts.update(zip(record.batch.lengths, record.n_tokens, cached, strict=True))
    return sum_of_flops(counts, reports)


def sum_of_flops(counts: Counter[Lengths], reports: BackendReports) -> Flops | None:
    """Return the operations for many prompts; None if those of any are unknown.

    Args:
        counts: how many prompts have the same lengths; the backend is asked once for each.
        reports: of the backend.
    """
    last: Flops | None = None
    total, prefill, decode = 0.0, 0.0, 0.0
    is_split = True
    for lengths, n in counts.items():
        last = reports.flops(*lengths)
        if last is None:
            return None
        total += n * last.total
        if last.prefill is None or last.decode is None:
            is_split = False
        else:
            prefill, decode = prefill + n * last.prefill, decode + n * last.decode
    if last is None:
        return None
    parts = (
        {"prefill": prefill, "decode": decode} if is_split else {"prefill": None, "decode": None}
    )
    return msgspec.structs.replace(last, total=total, **parts)
