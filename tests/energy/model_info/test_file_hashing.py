"""Large files are read once, and again after any change; nothing but regular files is read."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from llem_energy._model_info.digest_cache import FileState, load_digests, save_digests
from llem_energy._model_info.file_hashing import hash_files

MEGABYTE = 1_000_000


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.json"


def state_of(path: Path) -> FileState:
    s = path.stat()
    return FileState(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)


def sha256(path: Path, cache: Path) -> str | None:
    return hash_files([path], cache=cache)[path].sha256


@pytest.mark.parametrize("n_bytes", [0, 1, MEGABYTE, 3 * MEGABYTE + 17, 40 * MEGABYTE])
def test_the_digest_is_the_sha256_of_the_content(tmp_path: Path, cache: Path, n_bytes: int) -> None:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(n_bytes))
    hashed = hash_files([path], cache=cache)[path]
    assert hashed.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert hashed.n_bytes == n_bytes


def test_a_known_file_is_not_read_again_until_it_changes(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3 * MEGABYTE))
    save_digests(cache, {state_of(path): "stored"})
    assert sha256(path, cache) == "stored"
    times_ns = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    with path.open("r+b") as file:
        file.write(b"1")
    os.utime(path, ns=times_ns)  # the same size and time of modification as before
    assert sha256(path, cache) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_read_again_if_another_one_takes_its_name(tmp_path: Path, cache: Path) -> None:
    path, other = tmp_path / "weights", tmp_path / "other"
    for file, byte in ((path, b"0"), (other, b"1")):
        file.write_bytes(byte * 3 * MEGABYTE)
    save_digests(cache, {state_of(path): "stored"})
    shutil.copystat(path, other)
    other.replace(path)
    assert sha256(path, cache) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_digests_are_stored_except_of_small_and_of_just_written_files(
    tmp_path: Path, cache: Path
) -> None:
    old, small, new = (tmp_path / name for name in ("old", "small", "new"))
    old.write_bytes(os.urandom(2 * MEGABYTE))
    small.write_bytes(os.urandom(100))
    time.sleep(2.1)  # ctime cannot be set
    new.write_bytes(os.urandom(2 * MEGABYTE))
    hash_files([old, small, new], cache=cache)
    assert load_digests(cache) == {state_of(old): hashlib.sha256(old.read_bytes()).hexdigest()}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"schema_version": 9, "digests": []}'])
def test_a_damaged_cache_is_replaced(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(2 * MEGABYTE))
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert load_digests(cache) == {}
    save_digests(cache, {state_of(path): "stored"})
    assert load_digests(cache) == {state_of(path): "stored"}


def test_a_cache_that_is_no_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(2 * MEGABYTE))
    os.mkfifo(tmp_path / "pipe")
    save_digests(tmp_path / "pipe", {state_of(path): "stored"})
    assert (tmp_path / "pipe").is_fifo()
    assert sha256(path, tmp_path / "pipe") is not None


def test_pipes_devices_folders_and_missing_files_are_not_read(tmp_path: Path, cache: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    names = ("pipe", "device", "loop", "folder", "missing")
    hashed = hash_files([tmp_path / name for name in names], cache=cache)
    assert {each.sha256 for each in hashed.values()} == {None}


def test_a_link_has_the_digest_of_its_file(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "real").write_bytes(b"weights")
    (tmp_path / "link").symlink_to("real")
    assert sha256(tmp_path / "link", cache) == hashlib.sha256(b"weights").hexdigest()


def test_reading_reports_its_progress_and_can_be_stopped(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(20 * MEGABYTE))
    reports: list[tuple[int, int]] = []
    hash_files([path], cache=cache, on_bytes=lambda *report: reports.append(report))
    assert reports[0] == (0, 20 * MEGABYTE)

    def stop(_n_read_bytes: int, _n_bytes: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_files([path], cache=cache, on_bytes=stop)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_content_of_a_hub_file_is_compared_with_its_name(
    tmp_path: Path, cache: Path, is_damaged: bool
) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    blob, link = tmp_path / "blobs" / digest, tmp_path / "snapshots" / "model.safetensors"
    blob.parent.mkdir()
    link.parent.mkdir()
    blob.write_bytes(b"weight5" if is_damaged else b"weights")
    link.symlink_to(blob)
    assert hash_files([link], cache=cache)[link].matches_hub is (not is_damaged)


def test_a_small_file_of_the_hub_states_no_sha256(tmp_path: Path, cache: Path) -> None:
    blob = tmp_path / "blobs" / ("0" * 40)  # the hub names it after its git object
    blob.parent.mkdir()
    blob.write_bytes(b"{}")
    assert hash_files([blob], cache=cache)[blob].matches_hub is None
