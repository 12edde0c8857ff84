"""A full or read-only disk, or a clock that is set back: a clear error and a readable folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_energy import read_result
from llem_runner import PreflightError, StudyError, read_manifest, resume_study, run_study
from llem_runner._storage.atomic_files import write_atomically


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("this machine does not allow mounting a small disk")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("needs mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "size=512k")
    yield disk
    for _ in range(100):  # the tracker of a run's semaphores ends a moment after the run
        if subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_the_study_with_one_sentence_and_a_folder_to_resume(
    small_disk: Path,
) -> None:
    with pytest.raises(StudyError, match="No space left on device") as caught:
        run_study(study((1, 2, 3)), output=small_disk, measure=measures.fills_the_disk)
    assert "\n" not in str(caught.value)
    (folder,) = small_disk.iterdir()
    manifest = read_manifest(folder)
    completed = [entry for entry in manifest.entries if entry.status == "completed"]
    assert [entry.index for entry in completed] == [1]
    for entry in completed:
        assert read_result(folder / str(entry.result_file))
    for filler in small_disk.rglob("filler"):
        filler.unlink()
    assert resume_study(folder, measure=measures.quick).status == "completed"
    assert [path.name for path in folder.rglob(".*.tmp")] == []
    assert [entry.attempts for entry in read_manifest(folder).entries] == [1, 2, 1]


def test_a_folder_that_becomes_read_only_stops_the_study(tmp_path: Path) -> None:
    if shutil.which("chattr") is None or os.geteuid() != 0:
        pytest.skip("only root can make a folder read-only for root")
    try:
        with pytest.raises(StudyError, match="cannot be written"):
            run_study(study((1, 2)), output=tmp_path, measure=measures.makes_its_study_read_only)
    finally:
        folder = only_folder(tmp_path)
        subprocess.run(["chattr", "-i", folder], check=True)
    assert [e.status for e in read_manifest(folder).entries] == ["running", "pending"]
    assert resume_study(folder, measure=measures.quick).status == "completed"
    # The result was on disk before the manifest became read-only, so the run is not repeated.
    assert [e.attempts for e in read_manifest(folder).entries] == [1, 1]


_STEP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, now);
    if (id == CLOCK_REALTIME && access(getenv("LLEM_STEP"), F_OK) == 0) now->tv_sec -= 7200;
    return rc;
}
"""
_STUDY = """
import sys, time
from pathlib import Path
from fakes import measures
from fakes.studies import study
from llem_runner.events import GapStarted, RunFinished
from llem_runner import run_study
if __name__ == "__main__":
    start = time.monotonic(), time.time()
    def on_event(event):
        if isinstance(event, GapStarted):
            Path(sys.argv[2]).touch()
        if isinstance(event, RunFinished):
            assert event.left_s is not None and 0 <= event.left_s < 30, event
    result = run_study(study((1, 2, 3), config_gap_seconds=1.5), output=sys.argv[1],
                       measure=measures.quick, on_event=on_event)
    assert time.time() < start[1] - 7000, "the clock was not set"
    print(time.monotonic() - start[0], result.status, result.summary.wall_time_s)
"""


def test_setting_the_clock_back_changes_neither_gaps_nor_order(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler")
    (tmp_path / "step.c").write_text(_STEP)
    (tmp_path / "study.py").write_text(_STUDY)
    library = tmp_path / "step.so"
    source = str(tmp_path / "step.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, tmp_path / "study.py", tmp_path / "results", tmp_path / "set"],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "LLEM_STEP": str(tmp_path / "set"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, status, wall_time_s = done.stdout.split()
    assert status == "completed"
    assert float(seconds) >= 3.0  # two gaps of 1.5 s
    assert float(wall_time_s) >= 0
    (folder,) = (tmp_path / "results").iterdir()
    assert resume_study(folder, measure=measures.raises).status == "completed"


def test_a_disk_that_is_full_from_the_start_is_not_said_to_keep_a_file(small_disk: Path) -> None:
    (small_disk / "results").mkdir()
    (small_disk / "filler").write_bytes(bytes(2**18))
    with contextlib.suppress(OSError), (small_disk / "more").open("wb") as file:
        file.write(bytes(2**20))
    path = small_disk / "results" / "new.json"
    with pytest.raises(StudyError, match="No space left on device; there is no such file"):
        write_atomically(path, b"{}")


def test_a_read_only_file_system_is_named_as_such(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(
        PreflightError,
        match=f"to {small_disk}/r: the file system is read-only in {small_disk}; choose another folder",
    ):
        run_study(study((1,)), output=small_disk / "r", measure=measures.quick)
