"""Packs the files of an attempt's runs into one zip file, and removes them once it is safe.

A kill at any point leaves every file in its place, in the pack, or in both with the same content; packing again
continues from there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from llem_config.foreign_files import ForeignFileError
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import reason_of
from llem_runner._storage.folders import open_folder, remove_scratch_in, sync_entries
from llem_runner._storage.layout import PACK, RUN_FOLDER, TIMESERIES, is_run_file
from llem_runner._storage.pack_reading import DAMAGE, copy_member, members_of
from llem_runner._storage.pack_writing import (
    Digest,
    LooseFile,
    OnStep,
    mode_of_pack,
    opened_loose,
    write_pack,
)
from llem_runner._storage.run_files import has_complete_samples
from llem_runner._storage.stale_handles import list_folder, without_stale

_BLOCK_BYTES = 2**20


class Packed(NamedTuple):
    """What one packing has done."""

    n_files: int
    """Number of files that were beside the pack before, and are only in it now."""
    n_bytes: int
    """Their size."""
    left: tuple[str, ...] = ()
    """A sentence for each run, and each private log, that was not packed."""


def ignore_step(step: str) -> None:
    """Do nothing after a step."""


def pack_runs(attempt: Path, *, on_step: OnStep = ignore_step) -> Packed:
    """Pack the files of an attempt's runs; no process may write them meanwhile.

    A run whose samples are incomplete is not packed, and no log that fewer people can read than the results:
    the log of a killed run is private. Two processes that pack at once lose nothing.

    Args:
        attempt: folder of the attempt.
        on_step: called after each step.

    Raises:
        StudyError: the pack cannot be written, e.g. on a full disk; or an earlier one is damaged or has
            other content. No file was removed then that is not in an intact pack.
    """
    try:
        with open_folder(attempt) as folder:
            remove_scratch_in(folder)
            files, left = _loose_files(attempt)
            on_step("listed")
            # After the list: another process may have packed them since, and this pack has both.
            status = _status_of_pack(folder)
            earlier = {} if status is None else dict(members_of(attempt / PACK))
            mode = mode_of_pack(status, files)
            left += [
                f"{attempt / file.in_pack} can be read by fewer people than the results, so it is not packed"
                for file in files
                if file.is_hidden_from_readers(mode)
            ]
            files = [file for file in files if not file.is_hidden_from_readers(mode)]
            _check_equal(attempt, [file for file in files if file.in_pack in earlier])
            added = [file for file in files if file.in_pack not in earlier]
            if added:
                write_pack(attempt, folder, mode, earlier, added, on_step)
            _remove(attempt, folder, files, on_step)
    except (OSError, ForeignFileError, *DAMAGE) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise StudyError(
            f"the runs in {attempt} cannot be packed: {reason}; no file of them is lost"
        ) from error
    return Packed(len(files), sum(file.status.st_size for file in files), tuple(left))


def _status_of_pack(folder: int) -> os.stat_result | None:
    """Return the status of the pack; None if there is none, so that a new one can take its name.

    Raises:
        OSError: the system cannot tell.
    """
    try:
        return without_stale(lambda: os.stat(PACK, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _loose_files(attempt: Path) -> tuple[list[LooseFile], list[str]]:
    """Return the files to pack, and a sentence for each run that is left as it is."""
    found: list[LooseFile] = []
    left: list[str] = []
    for path in sorted(list_folder(attempt)):
        if not RUN_FOLDER.fullmatch(path.name) or not stat.S_ISDIR(path.lstat().st_mode):
            continue
        with open_folder(path) as number:
            remove_scratch_in(number)
            files = _files_in(number, path.name)
        names = {file.name for file in files}
        wrong = [file.name for file in files if not stat.S_ISREG(file.status.st_mode)]
        if wrong:
            left.append(f"{path / wrong[0]}: expected a regular file, found none; it is not packed")
        elif TIMESERIES in names and not has_complete_samples(path / TIMESERIES):
            left.append(f"{path / TIMESERIES} is incomplete, so its run is not packed")
        else:
            found += files
    return found, left


def _files_in(folder: int, run: str) -> list[LooseFile]:
    return [
        LooseFile(run, name, os.stat(name, dir_fd=folder, follow_symlinks=False))
        for name in sorted(filter(is_run_file, os.listdir(folder)))
    ]


def _check_equal(attempt: Path, files: Iterable[LooseFile]) -> None:
    """Return if files that are in the pack too have the same content there.

    Raises:
        StudyError: one has not.
    """
    for file in files:
        packed, loose = Digest(), Digest()
        copy_member(attempt / PACK, file.in_pack, packed)
        with opened_loose(attempt, file) as source:
            shutil.copyfileobj(source, loose, _BLOCK_BYTES)
        if packed.value != loose.value:
            raise StudyError(
                f"{attempt / file.in_pack} is not the file of this name in {attempt / PACK}; move the one "
                "away that its run did not write, and pack again"
            )


def _remove(attempt: Path, folder: int, files: Iterable[LooseFile], on_step: OnStep) -> None:
    """Remove files that are in the pack, and their folders if nothing else is in them."""
    for run, of_run in _by_run(files).items():
        # Another process that packs too may have removed them.
        with contextlib.suppress(FileNotFoundError), open_folder(attempt / run) as number:
            for file in of_run:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(file.name, dir_fd=number, follow_symlinks=False)
                    if not file.is_as_found(status):
                        raise StudyError(
                            f"{attempt / file.in_pack} was changed while it was packed, so it stays; find "
                            "out what writes it"
                        )
                    os.unlink(file.name, dir_fd=number)
                on_step(f"removed {file.name}")
    for path in list_folder(attempt):
        if RUN_FOLDER.fullmatch(path.name):
            # Something else may be in it. An earlier packing may have been killed before this step.
            with contextlib.suppress(OSError):
                os.rmdir(path.name, dir_fd=folder)
    sync_entries(folder)


def _by_run(files: Iterable[LooseFile]) -> Mapping[str, list[LooseFile]]:
    runs: dict[str, list[LooseFile]] = {}
    for file in files:
        runs.setdefault(file.run, []).append(file)
    return runs
