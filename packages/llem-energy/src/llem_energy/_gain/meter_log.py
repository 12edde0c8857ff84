"""Reads the log of an external power meter: a CSV file with a column of times and one of readings."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import statistics
from collections.abc import Sequence
from datetime import tzinfo
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_config.text import shortened
from llem_energy._errors import MeasurementError
from llem_energy._gain.energy_curve import EnergyCurve, energies_under
from llem_energy._gain.log_cells import reading, time_s

MAX_BYTES = 2**28
UNITS_OF_POWER = {"mW": 1e-3, "W": 1.0, "kW": 1e3}
UNITS_OF_ENERGY = {"mJ": 1e-3, "J": 1.0, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6}
_ALL = {**UNITS_OF_POWER, **UNITS_OF_ENERGY}
_TIMES = {"time", "timestamp", "date", "datetime", "date time", "t", "utc", "unix", "epoch"}
_READINGS = {"power", "energy", "value", "watts", "watt", "active power", "reading"}
_WORDS = {"watt": "W", "watts": "W", "joule": "J", "joules": "J"}
_MIN_READINGS = 3
_GAP_PERIODS = 5.0  # an interval longer than this number of usual ones is a gap
_SOONEST = 0.05  # a meter that measures in each row also changes its value from one to the next


class LogFormat(NamedTuple):
    """How to read a log where its header does not say it; None: from the header."""

    unit: str | None = None
    """Of the values, such as `W` or `Wh`."""
    time_column: str | None = None
    """Name of the column of times."""
    value_column: str | None = None
    """Name of the column of power or energy."""
    zone: tzinfo | None = None
    """Of times that have none."""
    shift_s: float = 0.0
    """Added to all times."""


class MeterLog(NamedTuple):
    """The readings of a meter over time."""

    curve: EnergyCurve
    """On the clock of the meter, in Unix seconds."""
    period_s: float
    """Median interval between two readings, or between changes of their value if that is longer."""
    is_irregular: bool
    """A tenth of the intervals between readings are three times as long as another tenth."""
    unit: str
    """Of the values in the log."""
    n_readings: int
    """Readings that the curve has."""
    sha256: str
    """Of the file."""
    path: Path
    """The file."""


def read_meter_log(path: Path, log_format: LogFormat | None = None) -> MeterLog:
    """Read a log: comma, semicolon or tab between its columns, names in its first row.

    Raises:
        MeasurementError: the file cannot be read, has an unknown column, unit or time, or its times
            do not increase. The message names the line.
    """
    wanted = log_format or LogFormat()
    try:
        content = read_bytes(path, max_bytes=MAX_BYTES)
        separator, rows = _rows(content.decode("utf-8-sig"))
    except ForeignFileError as error:
        raise MeasurementError(str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MeasurementError(
            f"{path}: expected a CSV file in UTF-8, found another ({error}); export the log as text, and "
            "save it in UTF-8"
        ) from error
    (first, header), *lines = rows or [(1, [])]
    if rows and sum(map(bool, map(str.strip, header))) < 2:
        raise MeasurementError(
            f"{path}:{first}: expected the names of at least 2 columns, separated by comma, semicolon or "
            f"tab, found {shortened(','.join(header), 40)!r}; remove what is above the names, or change the "
            "separator"
        )
    if len(lines) < _MIN_READINGS:
        raise MeasurementError(
            f"{path}: expected a row of names and at least {_MIN_READINGS} readings, found "
            f"{len(lines)} below {'the names' if rows else 'no names'}; give the whole log of the meter"
        )
    names = f"{path}:{first}"  # where they are
    times = _column(names, header, wanted.time_column, _TIMES, "time")
    values = _column(names, header, wanted.value_column, _READINGS, "value", _unit_of)
    unit = wanted.unit or _unit_of(header[values])
    if unit is None:
        raise MeasurementError(
            f"{names}: expected a unit in the name of the column {shortened(header[values], 40)!r}, "
            "such as power_w or energy_wh; add it, or give --unit"
        )
    if unit not in _ALL:
        raise MeasurementError(
            f"--unit: expected one of {', '.join(_ALL)}, found {shortened(unit, 20)!r}"
        )
    t_s, readings = [], []
    for number, row in lines:
        _check_width(path, number, row, len(header))
        t_s.append(time_s(path, number, row[times], wanted.zone) + wanted.shift_s)
        value = reading(path, number, row[values], comma_separates=separator == ",")
        readings.append(value * _ALL[unit])
        if len(t_s) > 1 and t_s[-1] <= t_s[-2]:
            raise MeasurementError(f"{path}:{number}: {_why_not_later(t_s, row[times])}")
        if unit in UNITS_OF_ENERGY and len(t_s) > 1 and readings[-1] < readings[-2]:
            raise MeasurementError(
                f"{path}:{number}: expected an energy that does not decrease, found {row[values]!r}; "
                "cut the log where the meter was reset, or give --unit=W if these are powers"
            )
    intervals_s = sorted(b - a for a, b in pairwise(t_s))
    is_irregular = (
        intervals_s[-1 - len(intervals_s) // 10] > 3 * intervals_s[len(intervals_s) // 10]
    )
    period_s = statistics.median(intervals_s)
    energies = readings if unit in UNITS_OF_ENERGY else energies_under(t_s, readings)
    curve = EnergyCurve(t_s, energies, _GAP_PERIODS * period_s)
    period_s = max(period_s, _held_s(t_s, readings))
    digest = hashlib.sha256(content).hexdigest()
    return MeterLog(curve, period_s, is_irregular, unit, len(t_s), digest, path)


def _held_s(t_s: Sequence[float], readings: Sequence[float]) -> float:
    """Return the shortest usual time between two changes of a value.

    Some meters measure every few seconds, and repeat the value in each row between.
    """
    pairs = zip(t_s[1:], pairwise(readings), strict=True)
    changed_s = [later_s for later_s, (before, after) in pairs if after != before]
    spacings_s = sorted(b - a for a, b in pairwise(changed_s))
    return spacings_s[int(_SOONEST * len(spacings_s))] if spacings_s else 0.0


def _check_width(path: Path, number: int, row: Sequence[str], n_columns: int) -> None:
    """Return if a row has as many cells as there are names; empty ones at its end do not count."""
    n_cells = len(row)
    while n_cells > n_columns and not row[n_cells - 1].strip():
        n_cells -= 1
    if n_cells == n_columns:
        return
    advice = "is the row cut off? Remove it"
    if n_cells > n_columns:
        advice = "if numbers have a decimal comma, separate the columns by semicolons"
    raise MeasurementError(
        f"{path}:{number}: expected {n_columns} columns, as in the first row, found {n_cells}; {advice}"
    )


def _why_not_later(t_s: Sequence[float], text: str) -> str:
    """Return what is wrong with a time that is not after the one before."""
    found = f"expected a later time than in the row before, found {shortened(text, 40)!r}"
    if t_s[-1] == t_s[-2]:
        return (
            f"{found} again; let the meter write times with a finer resolution, or remove one of the "
            "rows if it is there twice"
        )
    return (
        f"{found}; sort the log by time. If the clock was set back or summer time ended, use UTC, or cut "
        "the log there"
    )


def _rows(text: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return the separator, and each row that is not empty with its line; the first row decides."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(";\t,", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    return separator, rows


def _column(
    where: str,
    header: Sequence[str],
    wanted: str | None,
    usual: set[str],
    what: str,
    unit_of: object = None,
) -> int:
    """Return the index of a column: the one that is named, else the only one with a usual name.

    Args:
        where: file and line of the names, for messages.
        header: the names.
        wanted: the one that the caller gives.
        usual: names in small letters.
        what: of the column, for messages.
        unit_of: a name with a unit is usual too, if this is given.
    """
    names = [name.strip() for name in header]
    listed = shortened(", ".join(names), 200)
    if wanted is not None:
        if wanted not in names:
            raise MeasurementError(
                f"{where}: expected a column {wanted!r}, found {listed}; give one of these to "
                f"--{what}-column"
            )
        if names.count(wanted) > 1:
            raise MeasurementError(
                f"{where}: expected one column {wanted!r}, found {names.count(wanted)}; rename the "
                "others"
            )
        return names.index(wanted)
    matches = [
        i
        for i, name in enumerate(names)
        if _plain(name) in usual or (unit_of is not None and _unit_of(name) is not None)
    ]
    if len(matches) != 1:
        raise MeasurementError(
            f"{where}: expected one column of {what}s, found {len(matches)} of: {listed}; name it "
            f"with --{what}-column"
        )
    return matches[0]


def _plain(name: str) -> str:
    """Return a name in small letters, without its unit in brackets."""
    return re.sub(r"[\s_]+", " ", re.sub(r"[(\[].*?[)\]]", "", name)).strip().lower()


def _unit_of(name: str) -> str | None:
    """Return the unit in the name of a column: `power_w`, `Power (kW)`, `Energy [Wh]`, `watts`."""
    last = re.split(r"[\s_()\[\]]+", name.strip().rstrip(")]"))[-1]
    by_small = {unit.lower(): unit for unit in _ALL}
    if last in _ALL:
        return last
    # Small letters are usual in names; they cannot tell mW from MW, which no node draws.
    return by_small.get(last.lower()) or _WORDS.get(last.lower())
