"""The country of this machine, as far as its time zone tells."""

from __future__ import annotations

import os
from pathlib import Path

_LOCAL_TIME = Path("/etc/localtime")
_ZONES = Path("/usr/share/zoneinfo")
_TABLE = _ZONES / "zone.tab"


def country_of_time_zone() -> str | None:
    """Return the code of two letters by ISO 3166; None if the time zone tells no country.

    UTC, which most servers use, belongs to no country.
    """
    zone = _zone()
    if zone is None:
        return None
    try:
        lines = _TABLE.read_text("utf-8", "replace").splitlines()
    except OSError:  # a machine without the table of time zones
        return None
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return next((row[0] for row in rows if len(row) > 2 and row[2] == zone), None)


def _zone() -> str | None:
    """Return the name of the time zone, such as `Europe/Berlin`."""
    if name := os.environ.get("TZ"):
        return name.lstrip(":")
    try:
        target = _LOCAL_TIME.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return str(target.relative_to(_ZONES)) if target.is_relative_to(_ZONES) else None
