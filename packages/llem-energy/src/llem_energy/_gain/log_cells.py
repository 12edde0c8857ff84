"""The cells of the log of a power meter: times and readings."""

from __future__ import annotations

import math
import re
from datetime import datetime, tzinfo
from pathlib import Path

from llem_config.text import shortened
from llem_energy._errors import MeasurementError

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


def time_s(path: Path, number: int, text: str, zone: tzinfo | None) -> float:
    """Return a time as Unix seconds: a number of seconds or milliseconds, or ISO 8601.

    Args:
        path: of the log.
        number: of the line.
        text: of the cell.
        zone: of a time that has none.

    Raises:
        MeasurementError: it is no such time.
    """
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        pass
    else:
        if 1e8 < value < 1e11:
            return value
        if 1e11 <= value < 1e14:
            return value / 1000
        raise MeasurementError(
            f"{path}:{number}: expected Unix time in seconds or milliseconds, or ISO 8601, found "
            f"{shortened(text, 40)!r}; convert the times, because the log must say when it was written"
        )
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MeasurementError(
            f"{path}:{number}: expected a time such as 2026-01-31T12:00:00Z or Unix seconds, found "
            f"{shortened(text, 40)!r}; convert the times, or remove the row"
        ) from error
    if moment.tzinfo is None:
        if zone is None:
            raise MeasurementError(
                f"{path}:{number}: the time {shortened(text, 40)!r} has no time zone; give "
                "--time-zone, such as UTC, Europe/Berlin or +02:00"
            )
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()


def reading(path: Path, number: int, text: str, *, comma_separates: bool) -> float:
    """Return a reading, with a point or a comma before its decimals.

    Args:
        path: of the log.
        number: of the line.
        text: of the cell.
        comma_separates: whether commas are between columns. One in a number, within quotes, would then
            be before thousands or before decimals.

    Raises:
        MeasurementError: it is no number, or is below 0.
    """
    stripped = text.strip()
    if comma_separates and "," in stripped:
        raise MeasurementError(
            f"{path}:{number}: expected a number without a comma, because commas separate the columns, "
            f"found {shortened(text, 40)!r}; write 1234.5, or separate the columns by semicolons"
        )
    value = math.nan
    if _NUMBER.fullmatch(stripped):
        value = float(stripped.replace(",", "."))
    if not math.isfinite(value):
        raise MeasurementError(
            f"{path}:{number}: expected a number, such as 1234.5, found {shortened(text, 40)!r}; remove "
            "the row if the meter did not respond"
        )
    if value < 0:
        raise MeasurementError(
            f"{path}:{number}: expected a reading of 0 or more, found {shortened(text, 40)!r}; if the "
            "meter is connected the wrong way round, change the signs"
        )
    return value
