"""Calibration of meters, and its cache (CM-11, CM-14, RES-06).

All GPUs are calibrated in one process, each group in its own thread, so that a stalled counter does
not delay the others.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu, Fault

from llem_energy._metering.boot import boot_id
from llem_energy._metering.calibration import (
    Calibration,
    calibrate,
    edge_bound_shares,
    usable,
)
from llem_energy._metering.calibration_cache import load_calibrations, save_calibrations
from llem_energy._sources.protocol import Kind, Sample, SourceVersions

LOST, NOT_SUPPORTED = 15, 3
# Power that changes at every update of the sensor, as real power does.
RAMP: dict[str, Any] = {"points": ((0.0, 200.0), (7.3, 600.0)), "linear": True, "repeat_s": 7.3}

WATCH = """
import ctypes, json, sys
from concurrent.futures import ThreadPoolExecutor
import msgspec
from llem_energy._metering.calibration import calibrate
from llem_energy._sources.registry import open_source

fake = ctypes.CDLL("libnvidia-ml.so.1")
fake.fake_nvml_set_time.argtypes = [ctypes.c_double]
fake.fake_nvml_set_time(0.0)  # no fault begins while the sources are opened, however slowly
groups = json.loads(sys.argv[1])
sources = [open_source(["nvml"], group)[0] for group in groups.values()]
def watch(source):
    return calibrate(source, timeout_s=4.6)
with ThreadPoolExecutor(len(groups)) as pool:
    fake.fake_nvml_begin()
    calibrations = dict(zip(groups, pool.map(watch, sources)))
print(msgspec.json.encode(calibrations).decode())
"""

GROUPS: dict[str, tuple[FakeGpu, ...]] = {
    "10": (FakeGpu(counter_period_s=0.01, power_period_s=0.02, **RAMP),),
    "20": (FakeGpu(counter_period_s=0.02, counter_phase_s=0.007, **RAMP),),
    "100": (FakeGpu(counter_period_s=0.1, latency_us=300, points=((0.0, 300.0),)),),
    "106": (FakeGpu(counter_period_s=0.106, **RAMP),),
    "500": (FakeGpu(counter_period_s=0.5, **RAMP),),
    "unsteady": (FakeGpu(counter_jitter_s=0.02),),
    "stalled": (FakeGpu(stalls=((0.0, 1000.0),)),),
    "lost": (FakeGpu(faults=(Fault("*", LOST, 0.6),)), FakeGpu()),
    "no counter": (
        FakeGpu(
            faults=(
                Fault("field:83", NOT_SUPPORTED),
                Fault("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED),
            ),
            **RAMP,
        ),
    ),
}


def numbered() -> Iterator[tuple[str, FakeGpu]]:
    everything = [(name, gpu) for name, gpus in GROUPS.items() for gpu in gpus]
    for i, (name, gpu) in enumerate(everything):
        changes = {f: getattr(gpu, f) for f in gpu.__slots__} | {"uuid": f"GPU-{i:04d}"}
        yield name, FakeGpu(**changes)


@pytest.fixture(scope="module")
def watched(
    library: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    gpus = list(numbered())
    groups = {name: [i for i, (of, _) in enumerate(gpus) if of == name] for name in GROUPS}
    folder = tmp_path_factory.mktemp("calibration")
    calibrations: dict[str, list[dict[str, Any]]] = with_gpus(
        WATCH, library, [gpu for _, gpu in gpus], folder, json.dumps(groups)
    )
    return calibrations


@pytest.mark.parametrize("period_ms", [10, 20, 100, 106, 500])
def test_the_period_of_a_counter_is_measured(watched: dict[str, Any], period_ms: int) -> None:
    (calibration,) = watched[str(period_ms)]
    assert calibration["counter_period_s"] == pytest.approx(period_ms / 1e3, rel=0.05)
    assert calibration["n_updates"] >= 8
    # These counters are exact; any jitter is from late polls.
    assert calibration["counter_jitter_s"] < 0.002
    assert calibration["driver"] == "580.00.01"
    assert calibration["binding"] == version("nvidia-ml-py")


def test_the_jitter_of_an_irregular_counter_is_measured(watched: dict[str, Any]) -> None:
    (calibration,) = watched["unsteady"]
    assert calibration["counter_period_s"] == pytest.approx(0.1, abs=0.02)
    assert 0.004 < calibration["counter_jitter_s"] < 0.08


def test_the_step_of_a_counter_is_the_energy_of_one_period(watched: dict[str, Any]) -> None:
    (calibration,) = watched["100"]
    assert calibration["counter_step_j"] == pytest.approx(30.0, rel=0.01)


def test_the_period_of_power_is_measured_if_power_changes(watched: dict[str, Any]) -> None:
    assert watched["10"][0]["power_period_s"] == pytest.approx(0.02, rel=0.05)
    assert watched["106"][0]["power_period_s"] == pytest.approx(0.1, rel=0.05)
    assert watched["100"][0]["power_period_s"] is None


def test_the_duration_of_a_call_is_measured(watched: dict[str, Any]) -> None:
    slow, quick = watched["100"][0], watched["106"][0]
    assert 0.0003 <= slow["call_p50_s"] <= slow["call_p99_s"]
    assert 0 < quick["call_p50_s"] < slow["call_p50_s"]


def test_a_counter_that_does_not_move_has_no_period(watched: dict[str, Any]) -> None:
    (calibration,) = watched["stalled"]
    assert (calibration["counter_period_s"], calibration["counter_jitter_s"]) == (None, None)
    assert (calibration["counter_step_j"], calibration["n_updates"]) == (None, 0)
    assert calibration["duration_s"] >= 4.6  # it may still have changed


def test_a_lost_gpu_does_not_prolong_the_calibration(watched: dict[str, Any]) -> None:
    lost, other = watched["lost"]
    assert 2 <= lost["n_updates"] <= 6
    assert lost["counter_period_s"] == pytest.approx(0.1, rel=0.05)
    assert other["counter_period_s"] == pytest.approx(0.1, rel=0.05)
    assert other["n_updates"] >= 8


def test_a_gpu_without_a_counter_still_has_a_power_period(watched: dict[str, Any]) -> None:
    (calibration,) = watched["no counter"]
    assert (calibration["counter_period_s"], calibration["n_updates"]) == (None, 0)
    assert calibration["power_period_s"] == pytest.approx(0.1, rel=0.05)


class Scripted:
    """A source whose readings are a function of a clock that only `sleep` advances."""

    def __init__(self, energy_j: Callable[[float], float | None], call_s: float = 0.0) -> None:
        self.name = "rapl"
        self.kind: Kind = "cpu"
        self.gain_share = None
        self.devices: tuple[str, ...] = ("package-0",)
        self._energy_j = energy_j
        self._call_s = call_s
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        del details
        return (Sample("package-0", self.now_s, self._call_s, energy_j=self._energy_j(self.now_s)),)

    def power_limit_w(self, device: str) -> float | None:
        del device
        return None

    def versions(self) -> SourceVersions:
        return SourceVersions("1.2")

    def close(self) -> None:
        pass


def calibrated(source: Scripted, **limits: Any) -> Calibration:
    (calibration,) = calibrate(source, clock=source.clock, sleep=source.sleep, **limits)
    return calibration


def every(period_s: float) -> Callable[[float], float]:
    """Return a counter that moves at every multiple of a period."""
    return lambda t_s: float(int(t_s / period_s + 1e-9))


@pytest.mark.parametrize(
    ("energy_j", "duration_s"),
    [
        (every(0.02), 1.0),
        (every(0.5), 4.0),  # eight updates
        (lambda _: 0.0, 5.0),  # it may still change
        (lambda _: None, 1.0),  # no counter
        (lambda t_s: every(0.1)(t_s) if t_s < 0.6 else None, 1.0),  # lost during the calibration
    ],
    ids=["quick", "slow", "stalled", "absent", "lost"],
)
def test_calibration_takes_a_second_unless_a_counter_is_slow(
    energy_j: Callable[[float], float | None], duration_s: float
) -> None:
    assert calibrated(Scripted(energy_j)).duration_s == pytest.approx(duration_s, abs=0.002)


def test_jitter_does_not_include_the_polling_interval() -> None:
    # Every tenth update is 30 ms late; the next update is on time again.
    def late(t_s: float) -> float:
        n = int((t_s + 1e-9) / 0.1)
        return float(n - 1 if n % 10 == 5 and t_s - n * 0.1 < 0.0295 else n)

    calibration = calibrated(Scripted(late), min_duration_s=3.0)
    assert calibration.counter_period_s == pytest.approx(0.1, abs=0.001)
    assert calibration.counter_jitter_s == pytest.approx(0.028, abs=0.002)
    steady = calibrated(
        Scripted(lambda t_s: float(int(t_s / 0.1 + 1e-9))), min_duration_s=3.0, poll_s=0.033
    )
    assert steady.counter_period_s == pytest.approx(0.1, rel=0.02)
    assert steady.counter_jitter_s == pytest.approx(0.0, abs=1e-9)


def test_the_period_of_a_regular_counter_is_more_exact_than_a_poll() -> None:
    def shown(t_s: float) -> float:
        return float(int((t_s + 0.0004) / 0.10037))

    calibration = calibrated(Scripted(shown), min_duration_s=1.0)
    assert calibration.counter_period_s == pytest.approx(0.10037, rel=0.001)
    assert calibration.counter_jitter_s == pytest.approx(0.0, abs=1e-9)


def test_missing_readings_do_not_lengthen_the_period() -> None:
    def silent(t_s: float) -> float | None:
        return None if 0.25 < t_s < 0.85 else float(int(t_s / 0.1 + 1e-9))

    calibration = calibrated(Scripted(silent))
    assert calibration.counter_period_s == pytest.approx(0.1, abs=0.002)
    assert calibration.counter_jitter_s == pytest.approx(0.0, abs=0.002)


def test_a_counter_as_fast_as_the_polls_is_read_completely() -> None:
    calibration = calibrated(Scripted(lambda t_s: 50.0 * t_s, call_s=0.0001), min_duration_s=0.2)
    assert calibration.counter_period_s == pytest.approx(0.001, rel=0.01)
    assert calibration.counter_step_j == pytest.approx(0.05, rel=0.01)
    assert (calibration.call_p50_s, calibration.call_p99_s) == (0.0001, 0.0001)
    assert calibration.duration_s == pytest.approx(0.2, abs=0.002)


def test_the_bound_grows_with_the_period_and_shrinks_with_the_window() -> None:
    assert edge_bound_shares(0.1, 10.0) == pytest.approx((0.011, 0.019))
    assert edge_bound_shares(0.5, 1.0) == pytest.approx((0.55, 0.95))


def example(**changes: Any) -> Calibration:
    calibration = Calibration(
        device="GPU-0", counter_period_s=0.1, counter_jitter_s=0.0, counter_step_j=3.0,
        power_period_s=None, call_p50_s=1e-5, call_p99_s=2e-5, n_updates=9, duration_s=1.0,
        boot_id="this boot", driver="580", binding="13.6", made_at="2026-01-31T12:00:00+00:00",
    )  # fmt: skip
    return msgspec.structs.replace(calibration, **changes)


NOW: dict[str, str | None] = {"boot_id": "this boot", "driver": "580", "binding": "13.6"}


def test_a_calibration_is_valid_for_the_same_boot_driver_and_binding() -> None:
    assert usable(example(), **NOW)
    for name in NOW:
        assert not usable(example(), **{**NOW, name: "another"})
    assert not usable(example(boot_id=None), **{**NOW, "boot_id": None})
    assert not usable(example(counter_period_s=None), **NOW)


def test_a_new_calibration_is_usable() -> None:
    calibration = calibrated(Scripted(lambda t_s: t_s))
    assert usable(calibration, boot_id=boot_id(), driver="1.2", binding=None) == (
        Path("/proc/sys/kernel/random/boot_id").exists()
    )
    age_s = (datetime.now(UTC) - datetime.fromisoformat(calibration.made_at)).total_seconds()
    assert -1 <= age_s < 60


def test_saved_calibrations_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "calibrations.json"
    assert load_calibrations(path) == ()
    save_calibrations(path, [example(), example(device="GPU-1", power_period_s=0.02)])
    assert load_calibrations(path) == (example(), example(device="GPU-1", power_period_s=0.02))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_saving_replaces_the_same_device_and_boot_and_keeps_all_others(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    save_calibrations(path, [example(), example(device="GPU-1"), example(boot_id="another")])
    save_calibrations(path, [example(counter_period_s=0.02)])
    periods_s = {(c.boot_id, c.device): c.counter_period_s for c in load_calibrations(path)}
    assert periods_s == {
        ("this boot", "GPU-0"): 0.02,
        ("this boot", "GPU-1"): 0.1,
        ("another", "GPU-0"): 0.1,
    }


def test_the_cache_has_a_maximum_size_and_drops_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    old = [example(boot_id=str(n), made_at=f"2025-01-01T00:00:00.{n:04}") for n in range(600)]
    save_calibrations(path, old)
    save_calibrations(path, [example()])
    loaded = load_calibrations(path)
    assert len(loaded) == 500
    assert loaded[-1] == example()
    assert old[-1] in loaded
    assert old[0] not in loaded


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"schema_version": 2, "calibrations": []}',
        b'{"schema_version": 1, "calibrations": [{"device": "GPU-0"}]}',
        msgspec.json.encode({"schema_version": 2, "calibrations": [example()]}),
        msgspec.json.encode({"schema_version": 1, "calibrations": [example()]})[:-20],
        msgspec.json.encode({"schema_version": 1, "calibrations": [example()], "more": 1}),
    ],
)
def test_a_damaged_or_foreign_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "calibrations.json"
    path.write_bytes(damage)
    assert load_calibrations(path) == ()
    save_calibrations(path, [example()])
    assert load_calibrations(path) == (example(),)


@pytest.mark.parametrize("place", ["file/calibrations.json", "folder"])
def test_a_folder_that_cannot_be_written_is_not_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    save_calibrations(tmp_path / place, [example()])
    assert load_calibrations(tmp_path / place) == ()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "inside"]


def test_simultaneous_writers_leave_a_complete_file(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.json"
    save_calibrations(path, [example(device="first")])
    broken: list[int] = []
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            if not load_calibrations(path):
                broken.append(1)

    def write(name: str) -> None:
        for n in range(30):
            save_calibrations(path, [example(device=f"{name}-{n}")])

    reader = threading.Thread(target=read_on)
    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert broken == []
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.timeout(20)
def test_a_cache_that_is_a_pipe_or_a_device_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "device").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("device", "pipe"):
        assert load_calibrations(tmp_path / name) == ()
        save_calibrations(tmp_path / name, [example()])
    assert (tmp_path / "device").is_symlink()
    assert (tmp_path / "pipe").is_fifo()


def test_a_cache_of_any_size_or_depth_is_ignored_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**40)
    (tmp_path / "deep").write_text('{"calibrations":' + "[" * 200_000)
    for name in ("large", "deep"):
        assert load_calibrations(tmp_path / name) == ()
        save_calibrations(tmp_path / name, [example()])
        assert load_calibrations(tmp_path / name) == (example(),)
