"""Calibrations on disk, so that not every run spends a second or more on its own.

One small JSON file in the user's cache folder. It only saves time: one that is missing, damaged,
of another version or not writable is no error, and whoever finds nothing calibrates again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llem_energy._metering.calibration import Calibration

_FORMAT = 1
_MAX_ENTRIES = (
    500  # a home folder may be shared by many machines, and each boot leaves entries behind
)


class _Cache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema_version: int
    calibrations: tuple[Calibration, ...]


def load_calibrations(path: Path) -> tuple[Calibration, ...]:
    """Return every calibration in a cache file, of any machine and boot; () if it has none.

    Whether one still holds is for `usable` to say.
    """
    try:
        cache = msgspec.json.decode(path.read_bytes(), type=_Cache)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()
    return cache.calibrations if cache.schema_version == _FORMAT else ()


def save_calibrations(path: Path, calibrations: Iterable[Calibration]) -> None:
    """Add calibrations to a cache file, in the place of older ones of the same device and boot.

    Of two writers at once one may not see what the other adds, which costs a calibration later on.
    """
    kept = {(each.boot_id, each.device): each for each in (*load_calibrations(path), *calibrations)}
    newest = sorted(kept.values(), key=lambda each: each.made_at)[-_MAX_ENTRIES:]
    data = msgspec.json.encode(_Cache(schema_version=_FORMAT, calibrations=tuple(newest)))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, msgspec.json.format(data, indent=2) + b"\n")


def _replace(path: Path, content: bytes) -> None:
    # A name of its own for each writer: they may be threads, or processes on several machines.
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise
