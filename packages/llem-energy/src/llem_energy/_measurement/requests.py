"""One row per request of the window, in `requests.parquet`: its tokens and its latencies.

Written after the window, from what was kept of each batch: token counts and the time of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llem_energy._measurement.raw_measurement import GenerationRecord

REQUESTS = "requests.parquet"
_SCHEMA_VERSION = "1"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and its answer. Everything is counted from 1; None where it cannot be told."""

    repeat: int
    """Which pass of the window."""
    batch: int
    """Which batch of the pass; those of one batch were answered together."""
    prompt: int
    """Its place in the data set, whatever order it was answered in."""
    input_tokens: int
    output_tokens: int
    time_to_first_token_s: float | None
    """Since its batch began, like `latency_s`."""
    latency_s: float | None
    """Until its last token was there; the rest of its batch may take longer."""
    inter_token_mean_s: float | None
    """Between its own tokens; None for an answer of one."""


def requests_of(answered: Sequence[GenerationRecord], n_batches: int) -> Iterator[Request]:
    """Yield every request of the window in the order of its batches.

    Args:
        answered: what each batch of each pass gave.
        n_batches: of one pass.
    """
    for number, one in enumerate(answered):
        before = sum(a.batch.n_prompts for a in answered[number - number % n_batches : number])
        places = one.batch.prompt_indices or range(before, before + one.batch.n_prompts)
        for place, n_in, n_out in zip(places, one.batch.lengths, one.n_tokens, strict=True):
            yield Request(
                repeat=number // n_batches + 1,
                batch=number % n_batches + 1,
                prompt=place + 1,
                input_tokens=n_in,
                output_tokens=n_out,
                **_latencies(one.times_s, n_out),
            )


def _latencies(times_s: Sequence[float] | None, n_tokens: int) -> dict[str, float | None]:
    own = (times_s or ())[:n_tokens]
    if not own or len(own) < n_tokens:
        return dict.fromkeys(("time_to_first_token_s", "latency_s", "inter_token_mean_s"))
    return {
        "time_to_first_token_s": own[0],
        "latency_s": own[-1],
        "inter_token_mean_s": (own[-1] - own[0]) / (n_tokens - 1) if n_tokens > 1 else None,
    }


def write_requests(path: Path, requests: Iterable[Request]) -> None:
    """Write the rows to a Parquet file.

    Raises:
        OSError: disk full or folder gone; nothing is left of the file.
    """
    import pyarrow as pa  # a third of a second, after the window
    import pyarrow.parquet as pq

    fields = Request.__struct_fields__
    columns: dict[str, list[Any]] = {name: [] for name in fields}
    for request in requests:
        for name in fields:
            columns[name].append(getattr(request, name))
    schema = pa.schema(
        [(name, pa.float64() if name.endswith("_s") else pa.int64()) for name in fields],
        metadata={"schema_version": _SCHEMA_VERSION},
    )
    try:
        pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
    except OSError:
        path.unlink(missing_ok=True)
        raise
