"""Samples are kept in time order and in bounded memory, also on a full disk (RES-16, CM-11..34)."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llem_energy._metering import recorder as _recorder
from llem_energy._metering.recorder import Recorder
from llem_energy._sources.protocol import Sample


def samples(n: int, start: int = 0) -> list[Sample]:
    return [
        Sample(
            f"GPU-{i % 2}", i / 1000, 1e-6, energy_j=i * 0.25, power_w=250.0, power_average_w=240.0,
            throttled_power_s=0.5, temperature_c=45.0, memory_used_bytes=1 << 40,
            throttle_reasons=("idle", "software power cap") if i % 3 else None,
        )
        for i in range(start, start + n)
    ]  # fmt: skip


def test_samples_are_returned_unchanged_in_time_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.add(samples(10, 10))
    recorder.add(samples(10))  # another thread added its reading later
    recorder.close()
    assert recorder.between(-1, 99) == samples(20)
    assert recorder.between(0.005, 0.007) == samples(3, 5)
    assert recorder.n_before(0.0105) == 11
    assert recorder.file == tmp_path / "series.parquet"


def test_throttle_reasons_are_stored_as_the_drivers_bit_mask(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.add(samples(2))
    recorder.close()
    stored = pq.read_table(tmp_path / "series.parquet")["throttle_reasons"].to_pylist()
    assert stored == [None, 0x5]


def test_memory_stays_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    n, max_held = 200_000, 0
    for start in range(0, n, 1000):
        recorder.add(samples(1000, start))
        max_held = max(max_held, len(recorder._pending) + len(recorder.recent))
    recorder.close()
    assert max_held <= _recorder._MAX_PENDING + 1000 + _recorder._RECENT
    assert recorder.n_before(1e9) == n
    assert recorder.between(123.0, 123.01) == samples(11, 123_000)
    times = pq.read_table(tmp_path / "series.parquet")["t_s"].to_pylist()
    assert times == sorted(times)
    assert len(times) == n


def test_samples_are_written_when_a_phase_begins_with_the_name_of_their_phase(
    tmp_path: Path,
) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.add(samples(_recorder._CHUNK + 1))
    assert len(recorder._pending) == _recorder._CHUNK + 1  # nothing is written inside a phase
    recorder.phases.append((0.004, "load"))
    recorder.begin("window")
    assert len(recorder._pending) < _recorder._CHUNK
    recorder.close()
    phases = pq.read_table(tmp_path / "series.parquet")["phase"].to_pylist()
    assert phases[:6] == ["", "", "", "", "load", "load"]


def test_without_a_requested_file_old_samples_go_to_a_temporary_file() -> None:
    recorder = Recorder(None)
    for start in range(0, 100_000, 1000):
        recorder.add(samples(1000, start))
    folder = Path(str(recorder._folder.name if recorder._folder else ""))
    assert list(folder.iterdir())
    assert recorder.file is None
    recorder.close()
    assert recorder.n_before(1e9) == 100_000
    recorder.discard()
    assert not folder.exists()


def test_without_samples_no_file_is_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.begin("open")
    recorder.close()
    assert recorder.file is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 10 kB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_loses_the_file_but_not_the_newest_samples(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.add(samples(_recorder._CHUNK // 2))
    recorder.close()
    assert recorder.error is not None
    assert recorder.file is None
    assert recorder.between(0.0, 1.0) == samples(1001)
    recorder.discard()


@pytest.mark.parametrize("target", ["precious", "missing"])
def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "precious").write_bytes(b"data")
    (tmp_path / "series.parquet").symlink_to(target)
    recorder = Recorder(tmp_path / "series.parquet")
    recorder.add(samples(10))
    recorder.close()
    assert recorder.between(-1, 99) == samples(10)
    assert not (tmp_path / "series.parquet").is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"data"
    assert not (tmp_path / "missing").exists()
