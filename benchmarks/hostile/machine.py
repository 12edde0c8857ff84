"""Start the campaign again: in mounts of its own, and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_MARK = "LLEM_HOSTILE_MOUNTS"
USER = 65534
"""Number of the user without rights."""


def in_own_mounts(arguments: Sequence[str]) -> int | None:
    """Run the campaign again where mounts end with it, and where all users can start Python.

    Returns:
        Its exit code; None if this process is there already, or is not of root.
    """
    if os.geteuid() != 0 or os.environ.get(_MARK) or shutil.which("unshare") is None:
        return None
    program = [sys.executable, str(_ROOT / "benchmarks" / "hostile_campaign.py"), *arguments]
    unshare = ["unshare", "--mount", "--propagation", "private"]
    done = subprocess.run([*unshare, *program], env={**os.environ, _MARK: "1"}, check=False)
    return done.returncode


def make_python_reachable() -> None:
    """Show the interpreter and this repository to all users; in the mounts of this process only.

    A folder such as /root, which only its owner may enter, is replaced by an empty one that holds no
    more than these.
    """
    if not os.environ.get(_MARK):
        return
    needed = [Path(path).resolve() for path in (sys.base_prefix, sys.prefix, _ROOT)]
    for path in needed:
        closed = [each for each in reversed(path.parents) if not each.stat().st_mode & 0o001]
        if closed:
            _show_only([each for each in needed if closed[0] in each.parents], closed[0])


def _show_only(paths: Sequence[Path], folder: Path) -> None:
    stage = Path(tempfile.mkdtemp())
    places = [(stage / str(number), path) for number, path in enumerate(paths)]
    for place, path in places:
        place.mkdir()
        _mount("--bind", path, place)
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for place, path in places:
        path.mkdir(parents=True, exist_ok=True)
        _mount("--bind", place, path)
        subprocess.run(["umount", place], check=True)
    shutil.rmtree(stage)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def as_ordinary_user(arguments: Sequence[str]) -> int:
    """Run the campaign again as a user without rights, with a home of its own; return its exit code."""
    home = Path(tempfile.mkdtemp(prefix="hostile-home-"))
    os.chown(home, USER, USER)
    program = [sys.executable, str(_ROOT / "benchmarks" / "hostile_campaign.py"), *arguments]
    try:
        done = subprocess.run(
            program, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
            cwd="/", user=USER, group=USER, extra_groups=(), check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(home)
    return done.returncode
