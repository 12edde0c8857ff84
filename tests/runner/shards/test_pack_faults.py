"""Errors of the file system while packs are written and read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fakes.packed_studies import complete_study, files_below

from llem_config.foreign_files import opened
from llem_runner import StudyError, read_manifest, verify_study
from llem_runner._storage import pack_reading, temporary_copies
from llem_runner._storage.pack_reading import pack_problem
from llem_runner._storage.packing import pack_runs
from llem_runner._storage.run_files import has_complete_samples, opened_run_file, read_run_file
from llem_runner.run_files import TemporaryFolderError
from llem_runner.shards import damaged_attempts, merge_study, pack_study

PACK = "shards/0003/a01/runs.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = complete_study(tmp_path_factory.mktemp("made"))
    merge_study(folder)
    pack_study(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def refuse_status(monkeypatch: pytest.MonkeyPatch, code: int, n_times: int) -> None:
    """Let the system not tell whether there is a pack."""
    left = iter(range(n_times))
    for name in ("stat", "lstat"):
        real = getattr(os, name)

        def status(path: Any, *rest: Any, real: Any = real, **options: Any) -> os.stat_result:
            if Path(os.fsdecode(path)).name == "runs.zip" and next(left, None) is not None:
                raise OSError(code, os.strerror(code))
            return real(path, *rest, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(os, name, status)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
def test_a_pack_that_cannot_be_seen_for_a_moment_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    attempt = (folder / PACK).parent
    with zipfile.ZipFile(folder / PACK) as content:
        run = content.namelist()[0].partition("/")[0]
        content.extractall(attempt, [name for name in content.namelist() if name.startswith(run)])
    before = files_below(folder)
    with monkeypatch.context() as faulty:
        refuse_status(faulty, code, 1000)
        with pytest.raises(StudyError, match="no file of them is lost"):
            pack_runs(attempt)
    assert files_below(folder) == before
    pack_runs(attempt)
    assert files_below(folder).keys() == {name for name in before if f"/{run}/" not in name}
    assert (folder / PACK).read_bytes() == before[PACK]


def test_a_pack_that_cannot_be_seen_is_named_and_not_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_status(monkeypatch, errno.EIO, 1000)
    assert any(f"{folder / PACK}: cannot be read" in each for each in damaged_attempts(folder))


def first_samples(folder: Path) -> Path:
    """Return the path of the packed samples of a run."""
    files = [entry.result_file for entry in read_manifest(folder).entries if entry.result_file]
    result = next(file for file in files if file.startswith(PACK[:15]))
    return (folder / result).with_name("timeseries.parquet")


class Stale(io.RawIOBase):
    """A file that another machine replaces when it is read for the n-th time."""

    n_reads, fails_at = 0, 0

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int = -1, /) -> bytes:
        Stale.n_reads += 1
        if Stale.n_reads == Stale.fails_at:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return self.file.read(size)

    def seek(self, offset: int, origin: int = 0, /) -> int:
        return self.file.seek(offset, origin)

    def tell(self) -> int:
        return self.file.tell()

    def fileno(self) -> int:
        return self.file.fileno()


def test_a_pack_that_is_replaced_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def stale(path: Path, **options: Any) -> Iterator[Any]:
        with opened(path, **options) as file:
            yield Stale(file)

    path = first_samples(folder)
    with zipfile.ZipFile(folder / PACK) as content:
        expected = content.read(f"{path.parent.name}/{path.name}")
    monkeypatch.setattr(pack_reading, "opened", stale)
    monkeypatch.setattr(pack_reading, "_BLOCK_BYTES", 256)
    monkeypatch.setattr(zipfile.ZipExtFile, "MIN_READ_SIZE", 256)

    def by_opening() -> bytes:
        with opened_run_file(path) as file:
            return file.read()

    for read in (by_opening, lambda: read_run_file(path, max_bytes=10**6)):
        for fails_at in range(1, 1000):
            Stale.n_reads, Stale.fails_at = 0, fails_at
            pack_reading._KNOWN.clear()
            assert read() == expected
            if Stale.n_reads < fails_at:
                break
        assert fails_at > 10
    for fails_at in range(1, 12):
        Stale.n_reads, Stale.fails_at = 0, fails_at
        pack_reading._KNOWN.clear()
        assert pack_problem(folder / PACK) is None
        Stale.n_reads = 0
        pack_reading._KNOWN.clear()
        assert has_complete_samples(path)


@pytest.mark.parametrize("buffering", [0, 2**23])
def test_a_full_folder_for_temporary_files_is_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, buffering: int
) -> None:
    def full() -> BinaryIO:
        return Path("/dev/full").open("r+b", buffering)

    monkeypatch.setattr(temporary_copies, "_new_file", full)
    with (
        pytest.raises(
            TemporaryFolderError, match=r"the folder for temporary files, /.*, is full: No space"
        ),
        opened_run_file(first_samples(folder)),
    ):
        pass
    with pytest.raises(TemporaryFolderError, match="set TMPDIR to a folder with enough space"):
        verify_study(folder, files_only=True)


@pytest.mark.parametrize("has_result", [True, False])
def test_samples_that_were_cut_off_are_not_packed_and_never_complete(
    folder: Path, has_result: bool
) -> None:
    samples = first_samples(folder)
    attempt, name = samples.parents[1], f"{samples.parent.name}/{samples.name}"
    assert has_complete_samples(samples)
    with zipfile.ZipFile(folder / PACK) as content:
        content.extractall(attempt)
    (folder / PACK).unlink()
    cut = samples.read_bytes()[:-9]
    samples.write_bytes(cut)
    if not has_result:
        samples.with_name("result.json").unlink()
    assert pack_runs(attempt).left == (f"{samples} is incomplete, so its run is not packed",)
    assert samples.exists()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(folder / PACK, "w", method) as content:
            content.writestr(name, cut)
            content.writestr(name.replace("timeseries", "requests"), cut + b"PAR1")
            content.writestr(f"{samples.parent.name}/log.txt", b"")
        shutil.rmtree(samples.parent, ignore_errors=True)
        assert not has_complete_samples(samples)
        assert has_complete_samples(samples.with_name("requests.parquet"))
        assert not has_complete_samples(samples.with_name("log.txt"))
        assert not has_complete_samples(samples.with_name("live.json"))
