"""Tokens and latencies of each request of the window, one row each, in `requests.parquet`.

The file is written after the window, from the token counts and step times of each batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec

from llem_config.foreign_files import create_file, delete_file
from llem_energy._measurement.raw_measurement import GenerationRecord

REQUESTS = "requests.parquet"
_SCHEMA_VERSION = "2"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and its output. Numbers count from 1; None if it cannot be known."""

    repeat: int
    """Which pass of the window."""
    batch: int
    """Which batch of the pass."""
    prompt: int
    """Its position in the data set, in any order of processing."""
    input_tokens: int
    """Tokens of the prompt."""
    output_tokens: int
    """Tokens of the output."""
    time_to_first_token_s: float | None
    """Since its batch began."""
    latency_s: float | None
    """From the start of its batch to its own last token; others of the batch may take longer."""
    inter_token_mean_s: float | None
    """Mean time between its tokens; None if there is only one."""
    cached_input_tokens: int | None
    """Of `input_tokens`, those that the backend took from a cache of earlier prompts."""


def requests_of(generations: Sequence[GenerationRecord], n_batches: int) -> Iterator[Request]:
    """Yield every request of the window in the order of its batches.

    Args:
        generations: of every batch of every pass.
        n_batches: batches of one pass.
    """
    for number, generation in enumerate(generations):
        before = sum(g.batch.n_prompts for g in generations[number - number % n_batches : number])
        places = generation.batch.prompt_indices or range(
            before, before + generation.batch.n_prompts
        )
        cached = generation.cached_tokens or repeat(None, generation.batch.n_prompts)
        for place, n_in, n_out, n_cached in zip(
            places, generation.batch.lengths, generation.n_tokens, cached, strict=True
        ):
            first_s, latency_s, mean_s = _latencies(generation.times_s, n_out)
            yield Request(
                repeat=number // n_batches + 1,
                batch=number % n_batches + 1,
                prompt=place + 1,
                input_tokens=n_in,
                output_tokens=n_out,
                time_to_first_token_s=first_s,
                latency_s=latency_s,
                inter_token_mean_s=mean_s,
                cached_input_tokens=n_cached,
            )


def _latencies(
    times_s: Sequence[float] | None, n_tokens: int
) -> tuple[float | None, float | None, float | None]:
    """Return time to first token, latency, and mean time between tokens, in seconds."""
    times = (times_s or ())[:n_tokens]
    if not times or len(times) < n_tokens:
        return None, None, None
    mean_s = (times[-1] - times[0]) / (n_tokens - 1) if n_tokens > 1 else None
    return times[0], times[-1], mean_s


def keep_requests(
    timeseries: Path | None, generations: Sequence[GenerationRecord], n_batches: int
) -> tuple[str | None, str | None]:
    """Write all requests beside the time series, if that is wanted.

    Args:
        timeseries: the file of the samples; None writes nothing.
        generations: of every batch of every pass.
        n_batches: batches of one pass.

    Returns:
        The name of the file, or why it could not be written.
    """
    if timeseries is None:
        return None, None
    try:
        write_requests(timeseries.with_name(REQUESTS), requests_of(generations, n_batches))
    except OSError as error:
        return None, str(error)
    return REQUESTS, None


def write_requests(path: Path, requests: Iterable[Request]) -> None:
    """Write the rows to a Parquet file.

    Raises:
        OSError: the disk is full or the folder is missing; no partial file remains.
    """
    import pyarrow as pa  # takes a third of a second, so after the window
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
        with create_file(path) as file:
            pq.write_table(pa.table(columns, schema=schema), file, compression="zstd")
    except OSError:
        delete_file(path)
        raise
