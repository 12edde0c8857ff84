"""Two users of a machine: locks, folders and files of each, in the way of the other."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.hostile.folders import INLINE, finished_study, interrupt, resume
from benchmarks.hostile.place import FaultFound, Kind, Place
from benchmarks.hostile.process import Ended, call, command, judge

STRANGER, USER = 65534, 12345
"""Numbers of two users without rights; they need no entry in the list of users."""

_LOCK = """
number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
fcntl.fcntl(number, fcntl.F_OFD_SETLK, struct.pack("@hhqqi0q", fcntl.F_WRLCK, 0, 0, 0, 0))
"""
_PLANTED = {
    "a lock that is held": _LOCK,
    "a flock": "fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_EX)",
    "a file": "open(path, 'w').write('x')",
    "a file for all": "open(path, 'w').write('{}'); os.chmod(path, 0o666)",
    "a secret file": "os.close(os.open(path, os.O_CREAT, 0o000))",
    "a named pipe": "os.mkfifo(path)",
    "a folder": "os.mkdir(path)",
    "a link": "os.symlink(sys.argv[2], path)",
    "a link to a device": "os.symlink('/dev/zero', path)",
}


@contextmanager
def another_user(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run code as the stranger until the context ends.

    Args:
        code: after it the process waits. It may import only modules that need no file, because the
            stranger may be unable to read those of this interpreter.
        arguments: `sys.argv[1:]` of the code; the first is also its `path`.
    """
    program = (
        "import fcntl, os, struct, sys, time\nos.setgroups([])\n"
        f"os.setgid({STRANGER})\nos.setuid({STRANGER})\nos.umask(0)\npath = sys.argv[1]\n"
        f"{code}\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _hold_gpu(uuid: str) -> int:
    from llem_runner import StudyError
    from llem_runner._gpus.locks import hold_gpus

    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    try:
        with hold_gpus([uuid], study="night"):
            return 0
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def gpu(place: Place, rng: random.Random, index: int) -> int:
    """Take the lock of a GPU after a stranger has made a file with any name for it."""
    uuid = f"GPU-hostile-{os.getpid()}-{index}"
    names = (f"llem-{uuid}.1-0123456789abcdef.lock", f"llem-{uuid}.lock", f".llem-{uuid}.lock")
    path = Path("/tmp") / rng.choice(names)
    what = rng.choice(list(_PLANTED))
    try:
        with another_user(_PLANTED[what], str(path), str(place.precious / "thesis.txt")):
            before = place.snapshot()
            ended = call(lambda: sys.exit(_hold_gpu(uuid)), place)
            judge(ended)
            place.check(before)
            if ended.code != 0:
                raise FaultFound(f"{what} at {path.name} locks a GPU: {ended.err}")
    finally:
        left = [each for each in Path("/tmp").glob(f"*{uuid}*") if each != path]
        for each in Path("/tmp").glob(f"*{uuid}*"):
            each.rmdir() if stat.S_ISDIR(each.lstat().st_mode) else each.unlink()
    if left:
        raise FaultFound(f"files are left over in the folder of the claims: {left}")
    return 1


def _as_user(place: Place, folder: Path, name: str) -> Ended:
    def become_user() -> None:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    if name == "resume":
        return resume(place, folder, env=INLINE, prepare=become_user)
    return command(place, ["study", "show", str(folder)], prepare=become_user)


def folder(place: Place, rng: random.Random, index: int) -> int:
    """Resume and show one's own folder and that of another, where a stranger planted a file."""
    path = place.work / "results" / "night"
    shutil.copytree(finished_study(place.root.parent), path)
    if index % 2:
        interrupt(path)
    owner = rng.choice((USER, USER, STRANGER))
    mode = rng.choice((0o755, 0o777, 0o1777))
    for each in (path, *path.rglob("*")):
        os.chown(each, owner, owner)
    path.chmod(mode)
    for each in (place.home, place.scratch, place.home / "cache"):
        os.chown(each, USER, USER)
    planted = rng.choice((".lock", ".lock", "log.txt", ".manifest.json.1.tmp", "0005_c3_x"))
    what = rng.choice(list(_PLANTED))
    can_plant = owner == STRANGER or mode & 0o002
    target = path / planted
    target.unlink(missing_ok=True)
    code = _PLANTED[what] if can_plant else "pass"
    with another_user(code, str(target), str(place.precious / "thesis.txt")):
        inside, before = place.snapshot(), place.snapshot(path)
        shown = _as_user(place, path, "show")
        place.check(inside)
        if shown.code != 0:
            raise FaultFound(f"show fails after {what} at {planted}: {shown.err}")
        resumed = _as_user(place, path, "resume")
        place.check(before, path)
    if owner == USER and not can_plant and resumed.code != 0:
        raise FaultFound(f"the owner cannot resume: {resumed.err}")
    return 2


KINDS = (
    Kind("GPU of two users", gpu, 4, 60, only_root=True),
    Kind("folder of two users", folder, 4, 60, only_root=True),
)
