"""Calibrations and checks of boards on disk, which save each run a second and more.

They are in one small JSON file in the user's cache folder. It is not an error if the file is
missing, damaged, of another version or not writable: the source is then calibrated again, and its
counter is unverified.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes, replace_file
from llem_energy._metering.board_check import BoardCheck
from llem_energy._metering.calibration import Calibration

_FORMAT = 1
_MAX_BYTES = 2**24
_MAX_ENTRIES = 500  # machines may share a home folder, and each boot adds entries


class _Cache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema_version: int
    calibrations: tuple[Calibration, ...] = ()
    board_checks: tuple[BoardCheck, ...] = ()


def load_calibrations(path: Path) -> tuple[Calibration, ...]:
    """Return every calibration in a cache file, of any machine and boot; () if there is none.

    `usable` decides whether a calibration is still valid.
    """
    return _load(path).calibrations


def load_board_checks(path: Path) -> tuple[BoardCheck, ...]:
    """Return every check of a board in a cache file, of any machine and driver; () if there is none.

    `valid_checks` decides which are valid.
    """
    return _load(path).board_checks


def save_calibrations(path: Path, calibrations: Iterable[Calibration]) -> None:
    """Add calibrations to a cache file; they replace older ones of the same device and boot.

    If two processes write at once, the entries of one may be lost and are calibrated again.
    """
    cache = _load(path)
    kept = {(each.boot_id, each.device): each for each in (*cache.calibrations, *calibrations)}
    newest = sorted(kept.values(), key=lambda each: each.made_at)[-_MAX_ENTRIES:]
    _save(path, msgspec.structs.replace(cache, calibrations=tuple(newest)))


def save_board_checks(path: Path, checks: Iterable[BoardCheck]) -> bool:
    """Add checks to a cache file; they replace older ones of the same board and driver.

    Returns:
        Whether the file has them now.
    """
    cache = _load(path)
    kept = {(each.device, each.driver): each for each in (*cache.board_checks, *checks)}
    newest = sorted(kept.values(), key=lambda each: each.checked_at)[-_MAX_ENTRIES:]
    return _save(path, msgspec.structs.replace(cache, board_checks=tuple(newest)))


def _load(path: Path) -> _Cache:
    empty = _Cache(schema_version=_FORMAT)
    try:
        content = read_bytes(path, max_bytes=_MAX_BYTES)
        cache = msgspec.json.decode(content, type=_Cache)
    except (ForeignFileError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return empty
    return cache if cache.schema_version == _FORMAT else empty


def _save(path: Path, cache: _Cache) -> bool:
    data = msgspec.json.encode(cache)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.is_file():  # else e.g. /dev/null
            replace_file(path, msgspec.json.format(data, indent=2) + b"\n")
            return True
    return False
