"""A meter that a program builds of the public parts, with the quiet edges of a run."""

from __future__ import annotations

from pathlib import Path

from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu

PROGRAM = """
import json, time
from llem_energy.sources import (
    Edges, Sampler, WindowSpan, calibrate, open_source, window_energy
)

class Samples(list):
    add = list.extend
    def in_order(self):
        return sorted(self, key=lambda sample: sample.t_s)

source, _ = open_source(["nvml"], [0])
calibration, samples = calibrate(source), Samples()
with Sampler(source, 0.05, samples) as sampler:
    edges = Edges(sampler, calibration, source.devices)
    quiet = edges.approach(sampler.now_s())
    sampler.read()
    start_s = sampler.now_s()
    time.sleep(1.0)
    end_s = sampler.now_s()
    sampler.read()
    span = edges.leave(quiet, start_s, end_s)
def seen(span):
    energy = window_energy(source, samples.in_order(), span, calibration)
    return [energy.total_j, energy.bound_j, energy.sampling_j, energy.method, energy.reasons]
inner = WindowSpan(start_s + 0.2, end_s - 0.2)  # of the same samples, without idle time of its own
print(json.dumps([seen(span), seen(inner), span.end_s - span.start_s, span.guard_s, edges.guard_s]))
"""


def test_the_parts_of_the_meter_measure_a_window_and_a_part_of_it(
    library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 300.0),), counter_period_s=0.02)
    whole, inner, duration_s, guard_s, least_s = with_gpus(PROGRAM, library, [gpu], tmp_path)
    assert guard_s > 0 and least_s > 0
    assert abs(whole[0] - 300 * duration_s) <= whole[1]
    assert abs(inner[0] - 300 * (duration_s - 0.4)) <= inner[1]
    assert "quiet edge" in whole[3] and "quiet edge" not in inner[3]
    assert 0 <= whole[2] < whole[1]
