"""The folders of one case, with files that no command may change, and what a fault is."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

Snapshot = dict[str, str]
"""By path: kind, permissions, and the digest of the content or the target of the link."""


class FaultFound(Exception):  # noqa: N818  # a finding, which the campaign counts
    """llem did something that it must not do; the message says what."""


class Place(NamedTuple):
    """The folders of one case."""

    root: Path

    @property
    def work(self) -> Path:
        """The working directory of the commands."""
        return self.root / "work"

    @property
    def precious(self) -> Path:
        """Files of another person, which no command may change."""
        return self.root / "precious"

    @property
    def home(self) -> Path:
        """The home folder, with the cache and the settings of the user."""
        return self.root / "home"

    @property
    def scratch(self) -> Path:
        """The folder of temporary files, which must be empty at the end."""
        return self.root / "scratch"

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands."""
        return {
            **os.environ,
            "HOME": str(self.home),
            "TMPDIR": str(self.scratch),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "HF_HUB_OFFLINE": "1",
            "LLEM_PROC": str(self.home),  # other load of this machine is a warning
            "LLEM_CACHE": str(self.home / "cache" / "calibrations.json"),
        }

    def snapshot(self, *changeable: Path) -> Snapshot:
        """Return the state of all files of the case, except those below the given folders."""
        allowed = {str(path) for path in (self.home, *changeable)}
        state = {}
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if f"{folder}/{name}" not in allowed]
            for name in (*folders, *files):
                path = f"{folder}/{name}"
                if path not in allowed:
                    state[path] = _state(path)
        return state

    def check(self, before: Snapshot, *changeable: Path) -> None:
        """Compare the files with an earlier snapshot.

        Raises:
            FaultFound: a file was changed, deleted or created.
        """
        after = self.snapshot(*changeable)
        changed = sorted(path for path in before | after if before.get(path) != after.get(path))
        if changed:
            names = [os.path.relpath(path, self.root) for path in changed]
            raise FaultFound(f"files outside the study's folder changed: {names[:5]}")


class Kind(NamedTuple):
    """One kind of hostility."""

    name: str
    run: Callable[[Place, random.Random, int], int]
    """Runs a case in a place and returns the number of tries in it; the int is the case's number."""
    n_short: int
    n_full: int
    only_root: bool = False


@contextmanager
def new_place(parent: Path) -> Iterator[Place]:
    """Make the folders of a case, and delete them at the end."""
    place = Place(Path(tempfile.mkdtemp(dir=parent)))
    place.root.chmod(0o755)
    for folder in (place.work, place.precious, place.home, place.scratch):
        folder.mkdir()
    (place.home / "cache").mkdir()
    (place.precious / "thesis.txt").write_text("years of work\n" * 100)
    (place.precious / "folder").mkdir()
    (place.precious / "folder" / "notes.txt").write_text("notes\n")
    try:
        yield place
    finally:
        for at, names, _ in os.walk(place.root):
            for name in names:
                if not (path := Path(at, name)).is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(place.root)


def choose_some(rng: random.Random, choices: Sequence[str], n_max: int) -> list[str]:
    """Return one to `n_max` of the choices."""
    return rng.sample(choices, rng.randint(1, min(n_max, len(choices))))


def _state(path: str) -> str:
    status = os.lstat(path)
    mode = oct(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return f"{mode} {Path(path).readlink()}"
    if stat.S_ISREG(status.st_mode) and status.st_size < 10_000_000:
        return f"{mode} {hashlib.sha256(_content(path)).hexdigest()}"
    return f"{mode} {status.st_size if stat.S_ISREG(status.st_mode) else ''}"


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except PermissionError:
        return b""
