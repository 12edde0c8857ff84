"""Shards on a file system of several machines: stale handles, names that are seen late, and errors of a disk.

A shim in C stands between Python and the system, so the real code of every reader is met.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.shard_studies import SECONDS, divided, on_a_node
from report.comparison.folders import make_folder

from llem_runner._executors.inline import InlineExecutor
from llem_runner.shards import merge_study, run_shard

SHIM = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int n_opened, n_stale, n_hidden, n_broken;
/* The disk has an error below one name, so the system cannot tell what is there. */
static int is_broken(const char *path) {
    const char *name = strrchr(path, '/'), *broken = getenv("SHIM_BROKEN");
    if (!broken || strcmp(name ? name + 1 : path, broken)) return 0;
    n_broken++;
    errno = EIO;
    return 1;
}
/* Every second file is stale at first: another machine has replaced it just now. */
static int is_stale(const char *path, int flags) {
    size_t length = strlen(path);
    if (!getenv("SHIM_STALE") || (flags & O_ACCMODE) != O_RDONLY) return 0;
    if (length < 5 || strcmp(path + length - 5, ".json") || n_opened++ % 2) return 0;
    n_stale++;
    errno = ESTALE;
    return 1;
}
#define OPEN(name) int name(const char *path, int flags, ...) { \
    typedef int (*function)(const char *, int, ...); \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
    return is_broken(path) || is_stale(path, flags) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(path, flags, mode); }
#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    typedef int (*function)(int, const char *, int, ...); \
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
    return is_broken(path) || is_stale(path, flags) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(folder, path, flags, mode); }
#define STAT(name) int name(const char *path, void *status) { \
    typedef int (*function)(const char *, void *); \
    return is_broken(path) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(path, status); }
#define XSTAT(name) int name(int version, const char *path, void *status) { \
    typedef int (*function)(int, const char *, void *); \
    return is_broken(path) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(version, path, status); }
#define STATAT(name) int name(int folder, const char *path, void *status, int flags) { \
    typedef int (*function)(int, const char *, void *, int); \
    return is_broken(path) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(folder, path, status, flags); }
#define XSTATAT(name) int name(int version, int folder, const char *path, void *status, int flags) { \
    typedef int (*function)(int, int, const char *, void *, int); \
    return is_broken(path) ? -1 : ((function)dlsym(RTLD_NEXT, #name))(version, folder, path, status, flags); }
/* A name that another machine has made is not in the list yet. */
#define READDIR(name, kind) struct kind *name(DIR *folder) { \
    typedef struct kind *(*function)(DIR *); \
    const char *hidden = getenv("SHIM_HIDDEN"); \
    for (;;) { \
        struct kind *entry = ((function)dlsym(RTLD_NEXT, #name))(folder); \
        if (!entry || !hidden || strcmp(entry->d_name, hidden)) return entry; \
        n_hidden++; \
    } }
STAT(stat)
STAT(stat64)
STAT(lstat)
STAT(lstat64)
STATAT(fstatat)
STATAT(fstatat64)
/* Those of glibc before 2.33. */
XSTAT(__xstat)
XSTAT(__xstat64)
XSTAT(__lxstat)
XSTAT(__lxstat64)
XSTATAT(__fxstatat)
XSTATAT(__fxstatat64)
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
READDIR(readdir, dirent)
READDIR(readdir64, dirent64)
__attribute__((destructor)) static void count(void) { 
    fprintf(stderr, "stale %d hidden %d broken %d\n", n_stale, n_hidden, n_broken); }
"""
MERGE = "import sys; from llem_runner.shards import merge_study; print(merge_study(sys.argv[1]).summary.completed)"
CLAIM = (
    "import sys; from pathlib import Path; from llem_runner._storage.divided_folder import DividedFolder; "
    "print(DividedFolder(Path(sys.argv[1])).claim_attempt(1).path.name)"
)
SENTENCE = """
import sys
from pathlib import Path
from llem_config import LlemError
from llem_runner import merge_studies, verify_study
from llem_runner.shards import is_merged
folder = Path(sys.argv[1])
try:
    print(%s)
except LlemError as error:
    print(error)
"""
"""Prints what a call returns, or the sentence of its error."""
MERGED = ("manifest.json", "study_result.json")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    command = ["cc", "-shared", "-fPIC", "-o", f"{folder}/shim.so", f"{folder}/shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return folder / "shim.so"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with one complete shard, which has two attempts with the same runs."""
    monkeypatch.setenv(SECONDS, "0")
    folder = divided(tmp_path / "out", 10, 2, 2).folder
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    shard = folder / "shards/0001"
    (shard / "a01").rename(shard / "hidden")
    run_shard(folder, 1, executor=InlineExecutor(), measure=on_a_node)
    (shard / "a01").rename(shard / "a02")
    (shard / "hidden").rename(shard / "a01")
    return folder


def run(code: str, folder: Path, shim: Path, **environment: str) -> tuple[str, dict[str, int]]:
    """Return what a program prints, and how often the shim did something."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "LD_PRELOAD": str(shim), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = done.stderr.split()[-6:]
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return done.stdout.strip(), counts


def merged(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in MERGED]


def test_a_merge_over_stale_handles_is_the_same(folder: Path, shim: Path) -> None:
    merge_study(folder)
    expected = merged(folder)
    for name in MERGED:
        (folder / name).unlink()
    completed, counts = run(MERGE, folder, shim, SHIM_STALE="1")
    assert completed == "5"
    assert counts["stale"] > 5
    assert merged(folder) == expected


def test_an_attempt_that_is_seen_late_counts_in_the_next_merge(folder: Path, shim: Path) -> None:
    merge_study(folder)
    expected = merged(folder)
    for name in MERGED:
        (folder / name).unlink()
    completed, counts = run(MERGE, folder, shim, SHIM_HIDDEN="a01")
    assert completed == "5"  # those of the second attempt
    assert counts["hidden"] > 0
    assert merged(folder) != expected
    merge_study(folder)
    assert merged(folder) == expected


def test_a_claim_beside_an_attempt_that_is_not_seen_yet_takes_the_next_name(
    folder: Path, shim: Path
) -> None:
    name, counts = run(CLAIM, folder, shim, SHIM_HIDDEN="a02")
    assert name == "a03"
    assert counts["hidden"] > 0


def test_a_disk_error_at_the_manifest_does_not_make_a_merged_study_unmerged(
    folder: Path, shim: Path
) -> None:
    merge_study(folder)
    code = SENTENCE % "is_merged(folder)"
    assert run(code, folder, shim)[0] == "True"
    said, counts = run(code, folder, shim, SHIM_BROKEN="manifest.json")
    assert said.endswith("manifest.json: cannot be read: Input/output error")
    assert counts["broken"] > 0


@pytest.mark.parametrize("name", ["study_resolved.json", "study_result.json"])
def test_a_disk_error_makes_no_file_of_a_study_a_missing_one(
    folder: Path, shim: Path, name: str
) -> None:
    merge_study(folder)
    code = SENTENCE % "{file.name: file.state for file in verify_study(folder).files}"
    assert f"'{name}': 'intact'" in run(code, folder, shim)[0]
    said, counts = run(code, folder, shim, SHIM_BROKEN=name)
    assert f"'{name}': 'changed'" in said
    assert counts["broken"] > 0


def test_a_disk_error_at_the_result_does_not_make_a_study_one_that_was_killed(
    tmp_path: Path, shim: Path
) -> None:
    studies = [make_folder(tmp_path, seed, cycles=3) for seed in (1, 2)]
    names = [studies[0].relative_to(tmp_path), studies[1].relative_to(tmp_path)]
    code = (
        SENTENCE
        % f"merge_studies(folder / 'out', [folder / {str(names[0])!r}, folder / {str(names[1])!r}])"
    )
    said, counts = run(code, tmp_path, shim, SHIM_BROKEN="study_result.json")
    assert said.endswith("study_result.json: cannot be read: Input/output error")
    assert counts["broken"] > 0
    assert not (tmp_path / "out").exists()
