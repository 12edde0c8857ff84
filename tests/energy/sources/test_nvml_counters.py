"""The counters of GPUs alone, as an end of a window reads them, through the real binding."""

from __future__ import annotations

from pathlib import Path

from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu, Fault

PROGRAM = """
import ctypes, json
from llem_energy.sources import NvmlSource
set_time = ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_set_time
set_time.argtypes, set_time.restype = [ctypes.c_double], None
set_time(1.0)
source = NvmlSource([0, 1])
set_time(2.0)
def plain(samples):
    return [[s.device, s.energy_j, s.power_w, s.driver_time_s, s.read_duration_s] for s in samples]
read = source.read_counters
print(json.dumps([plain(source.read()), read and plain(read()), plain(source.read())]))
"""
STEADY = (FakeGpu(points=((0.0, 300.0),), uuid="GPU-a"), FakeGpu(uuid="GPU-b"))


def test_the_counters_alone_are_those_of_a_whole_reading(library: Path, tmp_path: Path) -> None:
    before, alone, after = with_gpus(PROGRAM, library, STEADY, tmp_path)
    for first, each, last in zip(before, alone, after, strict=True):
        assert each[0] == first[0]
        assert first[1] <= each[1] <= last[1] <= first[1] + 300
        assert first[3] <= each[3] <= last[3]
        assert each[2] is None
        assert each[4] > 0


def test_without_a_counter_there_is_no_reading_of_it_alone(library: Path, tmp_path: Path) -> None:
    gpus = (STEADY[0], FakeGpu(uuid="GPU-b", faults=(Fault("field:83", 3),)))
    _, alone, _ = with_gpus(PROGRAM, library, gpus, tmp_path)
    assert alone is None


def test_a_counter_that_fails_for_a_moment_gives_no_value(library: Path, tmp_path: Path) -> None:
    gpus = (STEADY[0], FakeGpu(uuid="GPU-b", faults=(Fault("field:83", 3, t0_s=2.0),)))
    _, alone, _ = with_gpus(PROGRAM, library, gpus, tmp_path)
    assert alone[0][1] is not None
    assert alone[1][1] is None
