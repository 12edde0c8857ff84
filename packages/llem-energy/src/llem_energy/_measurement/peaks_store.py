"""Peaks of devices on disk, so that each boot of a machine measures them once.

They are in one small JSON file in the user's cache folder. It is not an error if the file is
missing, damaged, of another version or not writable: the peaks are then measured again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes, replace_file
from llem_energy._result.roofline import DevicePeaks

_FORMAT = 1
_MAX_BYTES = 2**24
_MAX_ENTRIES = 500  # machines may share a home folder, and each boot adds entries


class _Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema_version: int
    peaks: tuple[DevicePeaks, ...]


def load_peaks(path: Path) -> tuple[DevicePeaks, ...]:
    """Return all peaks in a cache file, of any machine and boot; () if there are none."""
    try:
        store = msgspec.json.decode(read_bytes(path, max_bytes=_MAX_BYTES), type=_Store)
    except (ForeignFileError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    return store.peaks if store.schema_version == _FORMAT else ()


def save_peaks(path: Path, peaks: Iterable[DevicePeaks]) -> None:
    """Add peaks to a cache file; they replace older ones of the same boot and conditions.

    If two processes write at once, the entries of one may be lost and are measured again.
    """
    kept = {
        (each.boot_id, each.driver, each.conditions, each.settings): each
        for each in (*load_peaks(path), *peaks)
    }
    newest = sorted(kept.values(), key=lambda each: each.made_at)[-_MAX_ENTRIES:]
    data = msgspec.json.encode(_Store(schema_version=_FORMAT, peaks=tuple(newest)))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.is_file():  # else e.g. /dev/null
            replace_file(path, msgspec.json.format(data, indent=2) + b"\n")
