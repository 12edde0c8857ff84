"""The power of a board during one run, from its `timeseries.parquet`, on the clock of the machine."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from llem_config.foreign_files import ForeignFileError, opened
from llem_config.text import one_line
from llem_energy._errors import MeasurementError
from llem_energy._gain.energy_curve import EnergyCurve, energies_under

MAX_ROWS = 20_000_000
"""Of one run: a board for a week."""
_MAX_GAP_S = 2.0  # the sampler reads 20 times a second; a counter is updated at least twice
_COLUMNS = ("t_s", "device", "energy_j", "power_w", "phase")


class Span(NamedTuple):
    """A stretch of one phase, in Unix seconds."""

    phase: str
    start_s: float
    end_s: float


class BoardRun(NamedTuple):
    """One run that metered one board."""

    device: str
    """GPU UUID."""
    curve: EnergyCurve
    """In Unix seconds."""
    spans: tuple[Span, ...]
    """Every phase, in order of time."""


def read_board_run(path: Path, device: str, *, content: BinaryIO | None = None) -> BoardRun:
    """Read the samples of a board.

    Mean power is from the energy counter, between its updates, because energies of results are from
    it too; from instant power if there is no counter.

    Args:
        path: of a `timeseries.parquet`; a link is not followed.
        device: UUID of the board.
        content: of the file, which may be a part of another one; None: the file is opened.

    Raises:
        MeasurementError: the file cannot be read, or has too few samples of the board.
    """
    times_s, rows = _read(path, device, content)
    points = _updates(times_s, [row["energy_j"] for row in rows])
    if len(points) < 3:
        powers = [(t, row["power_w"]) for t, row in zip(times_s, rows, strict=True)]
        there = [(t, w) for t, w in powers if w is not None]
        under = energies_under([t for t, _ in there], [w for _, w in there]) if there else []
        points = [(t, e) for (t, _), e in zip(there, under, strict=True)]
    if len(points) < 3:
        raise MeasurementError(
            f"{path}: expected at least 3 readings of {device}, found {len(points)}"
        )
    curve = EnergyCurve([t for t, _ in points], [e for _, e in points], _MAX_GAP_S)
    return BoardRun(device, curve, tuple(_spans(times_s, [row["phase"] for row in rows])))


def _read(
    path: Path, device: str, content: BinaryIO | None
) -> tuple[list[float], list[dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            opened(path, follow_links=False) if content is None else nullcontext(content) as source,
            pq.ParquetFile(source) as file,
        ):
            if file.metadata.num_rows > MAX_ROWS:
                raise MeasurementError(f"{path}: expected at most {MAX_ROWS:,} rows, found more")
            offset_s = float((file.schema_arrow.metadata or {})[b"wall_offset_s"])
            batches = file.iter_batches(columns=list(_COLUMNS))
            rows = [
                row for batch in batches for row in batch.to_pylist() if row["device"] == device
            ]
            by_time = {row["t_s"] + offset_s: row for row in rows}
            times_s = sorted(by_time)  # two threads may have read at the same instant
    except ForeignFileError as error:
        raise MeasurementError(str(error)) from error
    except KeyError as error:
        raise MeasurementError(f"{path}: expected {error} in the file, found none") from error
    except (pa.ArrowException, ValueError, TypeError, OSError, MemoryError) as error:
        problem = one_line(str(error), 200)
        raise MeasurementError(f"{path}: damaged: {problem}") from error
    return times_s, [by_time[t_s] for t_s in times_s]


def _updates(times_s: list[float], energies_j: list[float | None]) -> list[tuple[float, float]]:
    """Return the readings at which the counter had changed, as cumulative energy from 0.

    A counter that is reset begins again from 0; the energy since the last update is then lost, so
    that the curve must not be used there. Such a run has no curve from its counter.
    """
    points: list[tuple[float, float]] = []
    for t_s, energy_j in zip(times_s, energies_j, strict=True):
        if energy_j is None or (points and energy_j == points[-1][1]):
            continue
        if points and energy_j < points[-1][1]:
            return []
        points.append((t_s, energy_j))
    return points


def _spans(times_s: list[float], phases: list[str]) -> list[Span]:
    spans: list[Span] = []
    for t_s, phase in zip(times_s, phases, strict=True):
        if spans and spans[-1].phase == phase:
            spans[-1] = spans[-1]._replace(end_s=t_s)
        else:
            spans.append(Span(phase, t_s, t_s))
    return spans
