"""Shards whose processes, file systems and disks fail: nothing is lost, and the merge is the same."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.shard_studies import divided, on_a_node

from benchmarks.runner.scripted_cluster import ScriptedCluster
from benchmarks.shard_faults import problems
from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_runner import StudyError, read_manifest, read_study_result
from llem_runner._executors.inline import InlineExecutor
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.shards import ShardOutcome, merge_study, read_plan, run_shard

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* As on a file system that was mounted without locks. */
static int lock(int number, int command, void *argument) {
    typedef int (*function)(int, int, ...);
    if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW) {
        errno = ENOSYS;
        return -1;
    }
    return ((function)dlsym(RTLD_NEXT, "fcntl"))(number, command, argument);
}
int fcntl(int number, int command, ...) {
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return lock(number, command, argument);
}
int fcntl64(int number, int command, ...) {
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
    return lock(number, command, argument);
}
int flock(int number, int operation) { errno = ENOSYS; return -1; }
"""


def quick(config: ExperimentConfig, **_: Any) -> ExperimentResult:
    return make_result(config)


def run(folder: Path, number: int, **options: Any) -> ShardOutcome:
    return run_shard(
        folder, number, **{"executor": InlineExecutor(), "measure": on_a_node, **options}
    )


def test_random_faults_lose_and_change_nothing(tmp_path: Path) -> None:
    plan = divided(tmp_path / "out", 10, 2, 2)
    report = ScriptedCluster(plan.folder, random.Random(7)).run(6, every_s=(0.5, 1.5))
    assert report.faults.total() >= 3
    # On a busy machine a fault may meet the first run of every attempt.
    assert [each for each in problems(report) if "begun" not in each] == []
    assert read_study_result(plan.folder).summary.completed == 20


def fills_the_disk(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Fill the disk of the results in the third run of a shard."""
    folder: Path = rest["timeseries"].parent
    if len(list(folder.parent.glob("*/result.json"))) == 2:
        with (folder / "filler").open("wb", 0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
    return quick(config)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_ends_a_shard_with_75_and_it_continues_when_there_is_room(
    small_disk: Path,
) -> None:
    plan = divided(small_disk)
    outcome = run(plan.folder, 1, measure=fills_the_disk)
    assert (outcome.end, outcome.exit_code, outcome.n_completed) == ("stopped", 75, 2)
    assert "No space left on device" in str(outcome.reason)
    for filler in small_disk.rglob("filler"):
        filler.unlink()
    again = run(plan.folder, 1, measure=quick)
    assert (again.end, again.attempt, again.n_completed) == ("complete", 2, 5)
    assert list(plan.folder.rglob(".llem-*.tmp")) == []


def test_a_shard_that_starts_on_a_full_disk_ends_with_75_and_leaves_no_attempt(
    small_disk: Path,
) -> None:
    plan = divided(small_disk)
    filler = small_disk / "filler"
    with filler.open("wb", 0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    outcome = run(plan.folder, 1)
    assert (outcome.attempt, outcome.end, outcome.exit_code) == (None, "stopped", 75)
    assert "No space left on device" in str(outcome.reason)
    # An earlier attempt that still runs must not end because of one that never began.
    assert DividedFolder(plan.folder).attempts(1) == []
    filler.unlink()
    again = run(plan.folder, 1, measure=quick)
    assert (again.end, again.attempt) == ("complete", 1)


def test_a_study_runs_and_merges_but_does_not_grow_where_files_cannot_be_locked(
    tmp_path: Path,
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c", "-ldl"], check=True)
    plan = divided(tmp_path / "out")
    code = (
        "import fcntl, os, sys\n"
        "from fakes.shard_studies import on_a_node\n"
        "from llem_runner._executors.inline import InlineExecutor\n"
        "from llem_runner import StudyError\n"
        "from llem_runner.shards import add_cycles, resume_shards\n"
        "try: fcntl.flock(os.open('/', os.O_RDONLY), fcntl.LOCK_EX)\n"
        "except OSError as error: print(error.errno)\n"
        "done = resume_shards(sys.argv[1], executor=InlineExecutor(), measure=on_a_node)\n"
        "print(done.result.status)\n"
        "try: add_cycles(sys.argv[1], 4)\n"
        "except StudyError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plan.folder],
        env={
            **os.environ,
            "LD_PRELOAD": str(shim),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "LLEM_TEST_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    number, status, refused = done.stdout.splitlines()
    assert (number, status) == (str(errno.ENOSYS), "completed")
    assert refused == (
        f"{plan.folder} cannot be locked, because its file system has no locks (Function not implemented); "
        "copy it to a file system with locks and add to the copy, because two commands that add something "
        "at once would damage it"
    )
    assert len(read_plan(plan.folder).shards) == 6
    assert read_manifest(plan.folder).status == "completed"
    with_shim = {n: (plan.folder / n).read_bytes() for n in ("manifest.json", "study_result.json")}
    merge_study(plan.folder)
    assert {name: (plan.folder / name).read_bytes() for name in with_shim} == with_shim


def test_a_stale_file_handle_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    expected = merge_study(plan.folder)
    chance = random.Random(1)
    real = os.open
    n_stale = 0

    def stale(path: Any, *arguments: Any, **options: Any) -> int:
        """Fail as a reader on NFS does when another host has just replaced the file."""
        nonlocal n_stale
        if str(path).endswith((".json", "manifest.json")) and chance.random() < 0.3:
            n_stale += 1
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", stale)
    result = merge_study(plan.folder)
    assert n_stale > 3
    assert result == expected
    chance.random = lambda: 0.0  # type: ignore[method-assign]  # it never becomes readable
    with pytest.raises(StudyError, match="Stale file handle"):
        merge_study(plan.folder)


def test_two_machines_with_the_same_process_numbers_do_not_disturb_one_another(
    tmp_path: Path,
) -> None:
    plan = divided(tmp_path)
    run(plan.folder, 1)
    run(plan.folder, 2)
    folder = DividedFolder(plan.folder)
    records = [(folder.shard(n) / "a01" / "attempt.json").read_text() for n in (1, 2)]
    assert all(f'"pid": {os.getpid()}' in record for record in records)
    assert merge_study(plan.folder).summary.completed == 10
