"""Which files of a study's folder are in its archive."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from llem_config.credentials import kind_of_credential
from llem_config.foreign_files import ForeignFileError
from llem_report._errors import ReportError
from llem_runner.records import StudyManifest
from llem_runner.run_files import (
    has_run_file,
    is_packed_run,
    list_as_unpacked,
    opened_run_file,
    pack_that_has,
)

_OF_STUDY = ("study.yaml", "study_resolved.json", "manifest.json", "study_result.json")
_OF_SHARD = ("plan.json", "shard.json")
_OF_RUN = ("result.json", "timeseries.parquet", "requests.parquet", "log.txt")
_OF_ATTEMPT = ("attempt.json", "manifest.json")
_ATTEMPT = re.compile(r"a[0-9]{2,6}")
_RUN_FOLDER = re.compile(r"([0-9]+)_c([0-9]+)_[A-Za-z0-9._-]+")
_TEXTS = ("log.txt",)


def study_files(folder: Path, manifest: StudyManifest) -> dict[str, Path]:
    """Return the files of a study by their names in its folder.

    Files of people, of running processes and, in a study that is not divided, of earlier attempts are
    left out. Of a divided study all attempts count, because readers merge them.

    Args:
        folder: of the study.
        manifest: of the folder.

    Raises:
        ReportError: a file is a link, or has a password or a token, or the folder of a shard is gone.
    """
    added = [each.study_file for each in manifest.extensions if each.study_file is not None]
    names = (*_OF_STUDY, *added)
    files = {name: folder / name for name in names if os.path.lexists(folder / name)}
    runs = {(entry.index, entry.cycle) for entry in manifest.entries}
    if manifest.is_divided:  # what clusters said of the energy of their machines
        for path in sorted(folder.glob("cluster/*/node_energy.json")):
            if not (path.parent.is_symlink() or path.parent.parent.is_symlink()):
                files[path.relative_to(folder).as_posix()] = path
    for parent in _divided(folder, manifest) if manifest.is_divided else (folder,):
        named = _OF_ATTEMPT if _ATTEMPT.fullmatch(parent.name) else _OF_SHARD
        if parent != folder:
            files |= _present(folder, parent, named)
        for path in _entries(folder, parent):
            match = _RUN_FOLDER.fullmatch(path.name)
            if match and (int(match[1]), int(match[2])) in runs and not path.is_symlink():
                files |= _present(folder, path, _OF_RUN)
    for name, path in files.items():
        _check(name, path)
    return files


def _divided(folder: Path, manifest: StudyManifest) -> Iterator[Path]:
    """Yield the folders of a divided study in which its files are: of the plan, shards and attempts."""
    yield folder / "shards"
    for name in manifest.shards:
        yield folder / name
        for path in _entries(folder, folder / name):
            if _ATTEMPT.fullmatch(path.name) and not path.is_symlink():
                yield path


def _entries(study: Path, folder: Path) -> list[Path]:
    """Return what is in a folder of a study, in order of the names.

    Raises:
        ReportError: it cannot be read.
    """
    try:
        return list_as_unpacked(folder)
    except OSError as error:
        raise ReportError(
            f"{study} cannot be archived: {folder}: expected a folder of the study, found none that can be "
            f"read ({error.strerror}); restore it from a copy"
        ) from error


def _present(folder: Path, parent: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files with some names that are in a folder, by their names in the study's folder."""
    return {
        (parent / name).relative_to(folder).as_posix(): parent / name
        for name in names
        if has_run_file(parent / name)
    }


def left_out(folder: Path, files: dict[str, Path]) -> Iterator[str]:
    """Yield what is in a study's folder but not in the archive, by its path from there.

    Of a folder of which nothing is packed, only the folder is named.
    """
    packed = {each for name in files for each in (Path(name), *Path(name).parents)}
    yield from _left_out_below(folder, folder, packed)


def _left_out_below(study: Path, folder: Path, packed: Container[Path]) -> Iterator[str]:
    for path in _entries(study, folder):
        name = path.relative_to(study)
        if path.name.startswith("."):
            continue
        if name not in packed:
            yield name.as_posix()
        elif path.is_dir() or is_packed_run(path):
            yield from _left_out_below(study, path, packed)


def _password_found(path: Path, line: int, kind: str) -> str:
    pack = pack_that_has(path)
    place, how = f"{path}", "remove this line"
    if pack is not None:
        place = f"{path.relative_to(pack.parent)} in {pack}"
        how = f'unpack {pack.name} as "Few files" in docs/clusters.md says, and {how}'
    return (
        f"{place}, line {line}: expected no password, found {kind}; an archive is for strangers, so revoke "
        f"it, then {how}"
    )


def _check(name: str, path: Path) -> None:
    try:
        with opened_run_file(path) as file:
            if path.suffix != ".yaml" and path.name not in _TEXTS:
                return
            for number, line in enumerate(file, 1):
                if kind := kind_of_credential(line.decode(errors="replace")):
                    raise ReportError(_password_found(path, number, kind))
    except ForeignFileError as error:
        raise ReportError(f"{name} cannot be archived: {error}") from error
