"""`timeseries.parquet`: one row per sample and device, with the phase it fell in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llem_energy._source import Sample

_COLUMNS = (
    "t_s", "bracket_s", "device", "energy_j", "power_w", "throttled_power_s", "throttled_thermal_s",
    "temperature_c", "sm_clock_mhz", "memory_clock_mhz", "utilisation", "memory_used_bytes",
    "throttle_reasons",
)  # fmt: skip
_TEXT, _WHOLE = ("device", "phase"), ("memory_used_bytes", "throttle_reasons")


def write_timeseries(
    path: Path,
    samples: Sequence[Sample],
    phases: Sequence[tuple[float, str]],
    wall_offset_s: float,
) -> None:
    """Write the samples of one measurement.

    Args:
        path: the file.
        samples: in time order.
        phases: when each phase began, in time order.
        wall_offset_s: seconds to add to `t_s` to get Unix time; kept in the file's metadata.

    Raises:
        OSError: disk full or folder gone.
    """
    import pyarrow as pa  # a third of a second, so not before the measurement is over
    import pyarrow.parquet as pq

    starts = [start for start, _ in phases]
    names = ["", *(name for _, name in phases)]
    columns: dict[str, list[Any]] = {
        name: [getattr(sample, name) for sample in samples] for name in _COLUMNS
    }
    columns["phase"] = [names[bisect_right(starts, sample.t_s)] for sample in samples]
    schema = pa.schema(
        [
            (name, pa.string() if name in _TEXT else pa.int64() if name in _WHOLE else pa.float64())
            for name in columns
        ],
        metadata={"schema_version": "1", "wall_offset_s": repr(wall_offset_s)},
    )
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")
