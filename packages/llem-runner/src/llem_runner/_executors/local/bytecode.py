"""Compiled Python files for the child processes of runs, where Python itself would keep none.

Many container images set PYTHONDONTWRITEBYTECODE, and many installers do not compile what they
install. Each child process then compiles torch and transformers again, which takes longer than
their import. In that case the compiled files go to a folder in the cache of llem. Only child
processes use this folder; this process and its environment stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec

from llem_config import LlemError
from llem_config.settings import cache_folder
from llem_energy.backends import facts_of

MAX_BYTES = 2**30  # an installation of torch and transformers needs about a sixth of this


class BytecodeCache(msgspec.Struct, frozen=True):
    """Where the child processes keep compiled files."""

    folder: Path | None = None
    """None: where Python keeps them, if anywhere."""
    note: str | None = None
    """What the user should know about it; None if Python's own way is fast."""


def find_bytecode_cache(backend: str) -> BytecodeCache:
    """Return where the child processes of a backend keep compiled files; creates the folder.

    A person who can write to this folder can run code as this user. So the folder must belong to
    the user, and others may neither open nor replace it.
    """
    package = _uncompiled_package(backend)
    if package is None:
        return BytecodeCache()
    parent = cache_folder()
    if parent is None:
        return BytecodeCache(note=_slow(package, "there is no home folder for a cache"))
    folder = parent / "bytecode"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if problem := _access_problem(folder):
            return BytecodeCache(note=_slow(package, problem))
    except OSError as error:
        return BytecodeCache(note=_slow(package, f"{folder}: {error.strerror}"))
    note = (
        f"{package} is installed without compiled Python files, and Python may not write them "
        f"there; the runs keep them in {folder}"
    )
    return BytecodeCache(folder, note)


def trim_bytecode(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Empty the folder if its files, such as those of removed environments, exceed a size."""
    n_bytes = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # another study may have replaced it
                n_bytes += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118  # 10,000 files
    if n_bytes > max_bytes:
        for entry in folder.iterdir():
            shutil.rmtree(entry, ignore_errors=True)


def use_bytecode_cache(folder: str) -> None:
    """Keep the compiled files of this process, and of those that it starts, in a folder."""
    # Python passes the option -B to spawned processes, so the environment alone has no effect here.
    sys.dont_write_bytecode = False
    sys.pycache_prefix = folder
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _uncompiled_package(backend: str) -> str | None:
    """Return a large package that each child process would compile; None if there is none."""
    if sys.pycache_prefix is not None:
        return None  # the user has chosen a place
    try:
        packages = facts_of(backend).large_packages()
    except LlemError:
        return None  # reported by pre-flight or by the run
    for package in packages:
        spec = find_spec(package)
        if spec is None or spec.cached is None or Path(spec.cached).exists():
            continue
        if sys.dont_write_bytecode or not _is_writable(Path(spec.cached).parent):
            return package
    return None


def _is_writable(folder: Path) -> bool:
    """Return whether Python can write to a folder, which it creates if necessary."""
    return os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK)


def _access_problem(folder: Path) -> str | None:
    """Return why others could place files in a folder; None if they cannot."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user; remove it or set LLEM_CACHE"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"other users have access to {folder}; remove it"
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"all users can replace folders in {parent}; change its permissions"
    return None


def _slow(package: str, problem: str) -> str:
    return (
        f"every run compiles {package} again, because it is installed without compiled Python "
        f"files and the cache of llem cannot keep them: {problem}. Or compile the installation "
        "once: python -m compileall -q FOLDER_OF_THE_ENVIRONMENT"
    )
