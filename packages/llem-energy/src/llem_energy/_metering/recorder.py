"""Keeps every sample of a measurement: the newest in memory, older ones in a Parquet file.

`timeseries.parquet` has one row per sample and device, with the phase of the measurement. Memory
is bounded for measurements of any duration. If the disk is full, the newest samples stay in memory
and `error` says why the file is missing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from llem_config.foreign_files import create_file, delete_file, opened
from llem_energy._sources.protocol import Sample
from llem_energy._sources.throttling import throttle_mask, throttle_names

if TYPE_CHECKING:
    import tempfile

_CHUNK = 8192  # samples kept in memory until the next phase begins: minutes at 20 Hz
_MAX_PENDING = 4 * _CHUNK  # inside a phase, where writing would disturb; rarely reached
_RECENT = 4 * _CHUNK
_CACHED = 200_000  # rows kept in memory after they have been read back
_COLUMNS = (
    "t_s", "bracket_s", "driver_time_s", "device", "energy_j", "power_w", "power_average_w",
    "throttled_power_s", "throttled_thermal_s", "temperature_c", "memory_temperature_c", "sm_clock_mhz",
    "memory_clock_mhz", "utilisation", "memory_used_bytes", "throttle_reasons",
)  # fmt: skip
_FIELDS = {"bracket_s": "read_duration_s"}  # columns whose name differs from the field of a sample
_TEXT, _WHOLE = ("device", "phase"), ("memory_used_bytes", "throttle_reasons")


class Recorder:
    """Takes samples from any thread; returns them in time order after `close`."""

    def __init__(self, path: Path | None) -> None:
        """Keep samples in the file `path`, or with None in a temporary file if they are many."""
        self.phases: list[tuple[float, str]] = []
        """When each phase began, on the clock of the samples."""
        self.recent: deque[Sample] = deque(maxlen=_RECENT)
        """The newest samples, available while the measurement runs."""
        self.seen_pids: dict[str, set[int]] = {}
        """Every process that a sample has listed, by device. The file does not have them."""
        self.error: OSError | None = None
        """Why the file is missing."""
        self._path = path
        self._pending: list[Sample] = []
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writer: Any = None
        self._file: BinaryIO | None = None
        self._written: Path | None = None
        self._wall_offset_s = time.time() - time.perf_counter()
        self._last: list[Sample] = []  # written last; lost if the file cannot be closed
        self._cache: list[Sample] | None = None

    def begin(self, phase: str) -> None:
        """Note that a phase begins now."""
        self.phases.append((time.perf_counter(), phase))
        if len(self._pending) > _CHUNK:
            self._write()

    def add(self, samples: Sequence[Sample]) -> None:
        """Take the samples of one reading."""
        with self._lock:
            self._pending.extend(samples)
            self.recent.extend(samples)
            for sample in samples:
                if sample.pids is not None:
                    self.seen_pids.setdefault(sample.device, set()).update(sample.pids)
            is_full = len(self._pending) > _MAX_PENDING
        if is_full:
            self._write()

    def between(self, start_s: float, end_s: float) -> list[Sample]:
        """Return the samples of a span in time order; only after `close`."""
        samples = [s for s in self._kept() if start_s <= s.t_s <= end_s]
        return sorted(samples, key=lambda sample: sample.t_s)

    def n_before(self, t_s: float) -> int:
        """Return the number of samples taken before an instant; only after `close`."""
        return sum(sample.t_s < t_s for sample in self._kept())

    @property
    def file(self) -> Path | None:
        """Return the file that holds every sample; None if there is none."""
        return self._path if self._written is not None and self.error is None else None

    def close(self) -> None:
        """Write what is left to the requested file; safe to call twice."""
        if self._pending and self._path is not None:
            self._write(everything=True)
        if self._writer is not None:
            try:
                self._writer.close()
                self._close_file()
            except OSError as error:
                self._fail(error, self._last)
            self._writer = None

    def discard(self) -> None:
        """Close, and delete the temporary file."""
        self.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _kept(self) -> Iterator[Sample]:
        if self._cache is not None:
            yield from self._cache
            return
        kept: list[Sample] = []
        if self._written is not None and self.error is None:
            for sample in _read(self._written):
                if len(kept) <= _CACHED:
                    kept.append(sample)
                yield sample
        yield from self._pending
        if len(kept) <= _CACHED:
            self._cache = kept + self._pending

    def _fail(self, error: OSError, unsaved: Sequence[Sample]) -> None:
        """Give up the file: without its end it cannot be read. Keep what was written last."""
        self.error, self._writer = error, None
        with contextlib.suppress(OSError):
            self._close_file()
        self._pending = [*unsaved, *self._pending]
        if self._written is not None:
            with contextlib.suppress(OSError):
                delete_file(self._written)

    def _write(self, *, everything: bool = False) -> None:
        """Move samples to the file, except the newest, which may still arrive out of order."""
        if self.error is not None:
            return
        with self._lock:
            ordered = sorted(self._pending, key=lambda sample: sample.t_s)
            n_kept = 0 if everything else _CHUNK // 8
            chunk, kept = ordered[: len(ordered) - n_kept], ordered[len(ordered) - n_kept :]
            try:
                self._writer = self._writer or self._open()
                self._writer.write_table(self._table(chunk))
            except OSError as error:
                self._fail(error, self._last)
                return
            self._pending, self._last = kept, chunk

    def _open(self) -> Any:
        import pyarrow.parquet as pq  # takes a third of a second; not needed without a meter

        if self._path is None:
            import tempfile

            self._folder = tempfile.TemporaryDirectory(prefix="llem-samples-")
            self._written = Path(self._folder.name) / "samples.parquet"
        else:
            self._written = self._path
        self._file = create_file(self._written)
        schema = _schema(self._wall_offset_s)
        return pq.ParquetWriter(self._file, schema, compression="zstd")

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _table(self, samples: Sequence[Sample]) -> Any:
        import pyarrow as pa

        starts = [start for start, _ in self.phases]
        names = ["", *(name for _, name in self.phases)]
        columns: dict[str, list[Any]] = {
            name: [getattr(sample, _FIELDS.get(name, name)) for sample in samples]
            for name in _COLUMNS
        }
        columns["throttle_reasons"] = [
            None if names is None else throttle_mask(names) for names in columns["throttle_reasons"]
        ]
        columns["phase"] = [names[bisect_right(starts, sample.t_s)] for sample in samples]
        return pa.table(columns, schema=_schema(self._wall_offset_s))


def _schema(wall_offset_s: float) -> Any:
    import pyarrow as pa

    kinds = {name: pa.string() for name in _TEXT} | {name: pa.int64() for name in _WHOLE}
    return pa.schema(
        [(name, kinds.get(name, pa.float64())) for name in (*_COLUMNS, "phase")],
        metadata={"schema_version": "2", "wall_offset_s": repr(wall_offset_s)},
    )


def _read(path: Path) -> Iterator[Sample]:
    import pyarrow.parquet as pq

    with opened(path) as content, pq.ParquetFile(content) as file:
        for batch in file.iter_batches(columns=list(_COLUMNS)):
            for row in batch.to_pylist():
                mask = row["throttle_reasons"]
                row["throttle_reasons"] = None if mask is None else throttle_names(mask)
                yield Sample(**{_FIELDS.get(name, name): value for name, value in row.items()})
