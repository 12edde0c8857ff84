"""Full and read-only file systems: a sentence, nothing lost, and a resume that completes the study."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes import measures

from benchmarks.hostile.folders import INLINE, finished_study, interrupt, resume, run
from benchmarks.hostile.place import FaultFound, Kind, Place
from benchmarks.hostile.process import command

_STUDY = """\
model: builtin:tiny-llama
pytorch: {device: cpu}
sweep: {n: [1, 2, 3]}
execution: {n_cycles: 1, config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@contextmanager
def _disk(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def _complete(place: Place, env: dict[str, str]) -> None:
    """Resume the study, if a folder was made, and check that it is completed."""
    for folder in (place.work / "results").glob("*"):
        if not (folder / "study_resolved.json").exists():
            continue  # the disk was full before the study was written
        before = {path: path.read_bytes() for path in _completed(folder)}
        ended = resume(place, folder, env=env)
        if ended.code != 0:
            raise FaultFound(f"resume with free space fails: {ended.err}")
        if any(path.read_bytes() != content for path, content in before.items()):
            raise FaultFound("a completed result was changed by the resume")
        if scratch := list(folder.rglob(".*.tmp")):
            raise FaultFound(f"half-written files are left: {scratch}")


def _completed(folder: Path) -> list[Path]:
    from llem_runner import read_manifest

    if not (folder / "manifest.json").exists():
        return []
    entries = read_manifest(folder).entries
    return [folder / str(e.result_file) for e in entries if e.status == "completed"]


def full(place: Place, rng: random.Random, index: int) -> int:
    """Run a study on a disk without space or file names, free some, and resume it."""
    study = place.work / "study.yaml"
    study.write_text(_STUDY)
    env = {} if index % 4 == 0 else INLINE
    kilobytes, names = rng.choice((4, 8, 16, 32, 64, 128)), rng.choice((3, 6, 8, 12, 999, 999, 999))
    with _disk(place.work / "results", f"size={kilobytes}k,nr_inodes={names}"):
        measure = rng.choice((measures.quick, measures.writes_samples))
        _check_code(run(place, study, env=env, measure=measure).code, (0, 1))
        _remount(place.work / "results", "size=8m,nr_inodes=1000")
        _complete(place, env)
    return 1


def read_only(place: Place, rng: random.Random, index: int) -> int:
    """Use a study on a read-only file system: it is shown, and not resumed."""
    del rng
    study = place.work / "study.yaml"
    study.write_text(_STUDY)
    with _disk(place.work / "results", "size=8m"):
        folder = place.work / "results" / "night"
        shutil.copytree(finished_study(place.root.parent), folder)
        if index % 2:
            interrupt(folder)
        _remount(place.work / "results", "ro")
        _use_without_writing(place, folder, study)
    return 1


def _use_without_writing(place: Place, folder: Path, study: Path) -> None:
    before = place.snapshot()
    for arguments in (["show", folder], ["show", folder, "--json"], ["plan", study]):
        _check_code(command(place, ["study", *map(str, arguments)]).code, (0,))
    _check_code(resume(place, folder, env=INLINE).code, (1,))
    _check_code(run(place, study, env=INLINE).code, (1, 2))
    place.check(before)


def small_files(place: Place, rng: random.Random, index: int) -> int:
    """Run a study with a limit on the size of files (EFBIG), and resume it without one."""
    study = place.work / "study.yaml"
    study.write_text(_STUDY)
    limit = rng.choice((0, 100, 1000, 2000, 4000, 8000))
    env = {} if index % 4 == 0 else INLINE

    def with_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    _check_code(run(place, study, env=env, prepare=with_limit).code, (0, 1))
    _complete(place, env)
    return 1


def forbidden(place: Place, rng: random.Random, index: int) -> int:
    """Use a folder without permission to write, or to read, as an ordinary user."""
    import os

    study = place.work / "study.yaml"
    study.write_text(_STUDY)
    folder = place.work / "results" / "night"
    shutil.copytree(finished_study(place.root.parent), folder)
    if index % 2:
        interrupt(folder)
    paths = [folder, folder.parent, *folder.rglob("*")]
    # The deepest first: below a closed folder no permission can be changed.
    for path in sorted(rng.sample(paths, rng.choice((1, 1, 3))), reverse=True):
        path.chmod(rng.choice((0o000, 0o444, 0o555)))
    try:
        command(place, ["study", "show", str(folder)])
        command(place, ["study", "show", str(folder), "--json"])
        resume(place, folder, env=INLINE)
        run(place, study, env=INLINE)
    finally:
        for at, _, _ in os.walk(folder.parent):
            Path(at).chmod(0o700)
    return 4


def _check_code(code: int, expected: tuple[int, ...]) -> None:
    if code not in expected:
        raise FaultFound(f"expected exit code {expected}, found {code}")


KINDS = (
    Kind("full disk", full, 3, 40, only_root=True),
    Kind("read-only disk", read_only, 1, 4, only_root=True),
    Kind("limited file size", small_files, 2, 30),
    Kind("forbidden files", forbidden, 3, 60),
)
