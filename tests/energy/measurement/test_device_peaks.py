"""Peaks are measured once per boot and conditions, and a failure costs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from energy.parts import experiment, loaded
from energy.peaks import PEAKS
from fakes.machines import GPU

from llem_energy import BackendError, Carryover, measure
from llem_energy._backends.roofline import PeakConditions, Peaks
from llem_energy._host.family import Family
from llem_energy._machine.environment import snapshot_environment
from llem_energy._measurement.carryover import carryover_from
from llem_energy._measurement.device_peaks import device_peaks
from llem_energy.records import load_peaks, save_peaks

ENVIRONMENT = snapshot_environment(frozenset())


class Measuring:
    """A backend whose device has known peaks; each test has conditions of its own."""

    def __init__(self, device: str, answer: Any = None) -> None:
        self.conditions = PeakConditions(device=device, precision="float32", library="none")
        self.answer = answer or Peaks(tflops=1.0, copy_gb_s=2.0, read_gb_s=3.0)
        self.n_measured = 0

    def peak_conditions(self) -> PeakConditions:
        return self.conditions

    def measure_peaks(self) -> Peaks:
        self.n_measured += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # of a wrong type in one test


def found(backend: Any, known: tuple[Any, ...] = (), **more: Any) -> Any:
    arguments = {"on_gpu": False, "used_bytes": None, "family": Family(), **more}
    environment = arguments.pop("environment", ENVIRONMENT)
    return device_peaks(backend, known, environment, **arguments)


def test_peaks_are_measured_once_in_a_boot() -> None:
    backend = Measuring("once")
    first, second = found(backend), found(backend)
    assert first.found.peaks == backend.answer
    assert first.found.boot_id == ENVIRONMENT.boot_id
    assert second == first
    assert backend.n_measured == 1


@pytest.mark.parametrize("change", [{"boot_id": "another"}, {"driver": "1.2"}])
def test_another_boot_or_driver_is_measured_again(change: dict[str, str]) -> None:
    backend = Measuring(f"again {change}")
    first = found(backend, on_gpu=True)
    other = msgspec.structs.replace(ENVIRONMENT, **change)
    second = found(backend, (first.found,), on_gpu=True, environment=other)
    assert backend.n_measured == 2
    assert second.found.conditions == first.found.conditions


@pytest.mark.parametrize(
    ("on_gpu", "limit_w", "governor", "n_measured"),
    [
        (True, 300.0, "performance", 2),
        (True, None, "performance", 2),
        (True, 700.0, "powersave", 1),
        (False, 300.0, "performance", 1),
        (False, 700.0, "powersave", 2),
    ],
)
def test_other_settings_of_the_device_are_measured_again(
    on_gpu: bool, limit_w: float | None, governor: str, n_measured: int
) -> None:
    name = f"GPU {on_gpu} {limit_w} {governor}"

    def environment(limit_w: float | None, governor: str) -> Any:
        gpu = msgspec.structs.replace(GPU, uuid=name, power_limit_w=limit_w)
        return msgspec.structs.replace(ENVIRONMENT, gpus=(gpu,), cpu_governor=governor)

    backend = Measuring(name)
    first = found(backend, on_gpu=on_gpu, environment=environment(700.0, "performance"))
    later = environment(limit_w, governor)
    found(backend, (first.found,), on_gpu=on_gpu, environment=later)
    assert backend.n_measured == n_measured


def test_peaks_of_a_gpu_that_others_use_are_not_measured() -> None:
    backend = Measuring("shared")
    answer = found(backend, on_gpu=True, is_shared=True)
    assert answer == (None, "the peaks were not measured: others may use the GPU")
    assert backend.n_measured == 0


def test_without_an_id_of_the_boot_nothing_is_reused() -> None:
    backend = Measuring("no boot")
    unknown = msgspec.structs.replace(ENVIRONMENT, boot_id=None)
    first = found(backend, environment=unknown)
    found(backend, (first.found,), environment=unknown)
    assert backend.n_measured == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BackendError("the GPU has 3 MB free"), "the GPU has 3 MB free"),
        (ZeroDivisionError("by\nzero"), "ZeroDivisionError: by zero"),
        (17, "returned 17"),
    ],
)
def test_a_backend_that_fails_has_no_peaks_but_a_reason(answer: Any, reason: str) -> None:
    result = found(Measuring(f"fails {reason}", answer))
    assert result.found is None
    assert reason in result.reason


def test_a_backend_without_the_method_has_no_peaks() -> None:
    result = found(object())
    assert result.found is None
    assert "does not measure" in result.reason


def test_a_run_that_fills_the_memory_is_not_lost_for_its_peaks() -> None:
    backend = Measuring("full")
    result = found(backend, used_bytes=2**60)
    assert (result.found, backend.n_measured) == (None, 0)
    assert "needs 1 GB" in result.reason


def test_a_result_has_the_peaks_and_the_next_run_takes_them() -> None:
    first = measure(experiment())
    assert first.device_peaks is not None
    peaks = first.device_peaks
    assert peaks.conditions == loaded(experiment()).peak_conditions()
    faster = msgspec.structs.replace(
        peaks, peaks=Peaks(tflops=1000.0, copy_gb_s=1e5, read_gb_s=None)
    )
    second = measure(experiment(), carryover=Carryover(peaks=(faster,)))
    assert second.device_peaks == faster
    for each in second.roofline:
        assert each.achieved_tflops is not None
        assert each.achieved_gb_s is not None
        assert each.mfu == pytest.approx(each.achieved_tflops / 1000)
        assert each.mbu == pytest.approx(each.achieved_gb_s / 1e5)
        assert each.bound_by == "host"
    assert carryover_from(second).peaks == (faster,)
    assert carryover_from(second, Carryover(peaks=(PEAKS, faster))).peaks == (PEAKS, faster)


def test_saved_peaks_are_loaded_and_newer_ones_replace_them(tmp_path: Path) -> None:
    path = tmp_path / "new" / "peaks.json"
    other = msgspec.structs.replace(PEAKS, boot_id="other")
    newer = msgspec.structs.replace(PEAKS, made_at="2026-02-01T00:00:00+00:00")
    save_peaks(path, [PEAKS, other])
    save_peaks(path, [newer])
    assert sorted(load_peaks(path), key=lambda each: each.made_at) == [other, newer]


@pytest.mark.parametrize("content", ["", "{}", "[", '{"schema_version": 9, "peaks": []}', "\udcff"])
def test_a_damaged_file_of_peaks_is_no_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "peaks.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert load_peaks(path) == ()
    save_peaks(path, [PEAKS])
    assert load_peaks(path) == (PEAKS,)
