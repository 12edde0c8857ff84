"""The SHA-256 of files, each read once: digests are kept by the identity of the file's content.

A file that was written again has another inode, size or time, so it is read again. Only regular
files are read, and only as many bytes as they have: a pipe or a device would block.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from llem_energy._model_info.digest_cache import FileState, load_digests, save_digests

OnBytes = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes to read; it may raise to stop the reading."""

_CHUNK_BYTES = 1 << 20
_MIN_CACHED_BYTES = 1 << 20  # smaller files are read each time
_MIN_THREADED_BYTES = 16 << 20
_MAX_THREADS = 4
_REPORT_S = 0.2
_MIN_AGE_NS = 2_000_000_000
"""A file that was written less than this before could change again without another time: some file
systems count in seconds."""
_KNOWN: dict[FileState, str] = {}
"""What this process has read, also if the cache cannot be written."""
_HUB_BLOB = re.compile(r"[0-9a-f]{64}")


class Hashed(NamedTuple):
    """One file as it was read."""

    n_bytes: int | None
    sha256: str | None
    """None if it cannot be read, or is no regular file."""
    matches_hub: bool | None


def hash_files(
    paths: Iterable[Path], *, cache: Path, on_bytes: OnBytes | None = None
) -> dict[Path, Hashed]:
    """Return the SHA-256 of files.

    Args:
        paths: of the files; links are followed.
        cache: file with the digests of earlier calls.
        on_bytes: called every fraction of a second if files have to be read that are large.
    """
    states = {path: _state(path) for path in dict.fromkeys(paths)}
    wanted = {state for state in states.values() if state is not None}
    if any(s.n_bytes >= _MIN_CACHED_BYTES and s not in _KNOWN for s in wanted):
        _KNOWN.update(load_digests(cache))
    unread = {
        state: path for path, state in states.items() if state is not None and state not in _KNOWN
    }
    start_ns = time.time_ns()
    read = _read_all(unread, on_bytes)
    lasting = {
        state: digest
        for state, digest in read.items()
        if digest is not None
        and state.n_bytes >= _MIN_CACHED_BYTES
        and start_ns - max(state.mtime_ns, state.ctime_ns) > _MIN_AGE_NS
        and _state(unread[state]) == state
    }
    if lasting:
        _KNOWN.update(lasting)
        save_digests(cache, lasting)
    digests = _KNOWN | read
    return {
        path: Hashed(None, None, None) if state is None else _hashed(path, state, digests[state])
        for path, state in states.items()
    }


def _state(path: Path) -> FileState | None:
    """Return the identity of a regular file's content; None for anything else."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileState(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _hashed(path: Path, state: FileState, digest: str | None) -> Hashed:
    """Return the digest, compared with the name of the file in the hub's cache.

    Source: huggingface_hub, "Understand caching": a large file is `blobs/SHA256`.
    """
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        return Hashed(state.n_bytes, digest, None)
    is_blob = real.parent.name == "blobs" and _HUB_BLOB.fullmatch(real.name) is not None
    return Hashed(state.n_bytes, digest, real.name == digest if is_blob and digest else None)


def _read_all(
    unread: dict[FileState, Path], on_bytes: OnBytes | None
) -> dict[FileState, str | None]:
    n_bytes = sum(state.n_bytes for state in unread)
    counts, stop = [0] * len(unread), threading.Event()
    tasks = [(state, path, i) for i, (state, path) in enumerate(unread.items())]
    if n_bytes < _MIN_THREADED_BYTES:
        return {state: _read(state, path, counts, i, stop) for state, path, i in tasks}
    # Small models never need it, and its import delays the start of every command.
    from concurrent.futures import ThreadPoolExecutor, wait

    n_threads = max(1, min(_MAX_THREADS, os.cpu_count() or 1))
    with ThreadPoolExecutor(n_threads) as pool:
        futures = {
            state: pool.submit(_read, state, path, counts, i, stop) for state, path, i in tasks
        }
        try:
            report = on_bytes or (lambda _read, _all: None)
            report(0, n_bytes)
            while wait(futures.values(), timeout=_REPORT_S).not_done:
                report(sum(counts), n_bytes)
        except BaseException:
            stop.set()  # the pool waits for its threads
            raise
    return {state: future.result() for state, future in futures.items()}


def _read(
    state: FileState, path: Path, counts: list[int], number: int, stop: threading.Event
) -> str | None:
    """Return the SHA-256 of a file's first `state.n_bytes` bytes; None if it cannot be read."""
    digest, left = hashlib.sha256(), state.n_bytes
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(left, 1))))
    try:
        # Without O_NONBLOCK, opening a pipe that has replaced the file would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            while left and not stop.is_set():
                n_read = file.readinto(buffer[: min(left, len(buffer))])
                if not n_read:
                    break
                digest.update(buffer[:n_read])
                left -= n_read
                counts[number] += n_read
    except OSError:
        return None
    return digest.hexdigest()
