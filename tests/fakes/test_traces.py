"""The traces and faults of the benchmarks are what their descriptions say."""

from dataclasses import replace
from itertools import pairwise

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import true_energy_j
from fakes.faults import FAULTS, HEALTHY, verdict
from fakes.nvml_probe import Rig
from fakes.traces import TRACES, blocks, random_windows


def test_the_library_accepts_every_trace_and_fault_of_the_benchmarks(rig: Rig) -> None:
    gpus = [*TRACES.values(), blocks().gpu, blocks(tail_s=0.4).gpu]
    gpus += [gpu for scenario in (HEALTHY, *FAULTS) for gpu in scenario.gpus]
    for group in (gpus[:16], gpus[16:]):  # the library takes at most 32
        named = [replace(gpu, uuid=f"GPU-{i}") for i, gpu in enumerate(group)]
        fake_nvml.write_trace(rig.trace, named)
        done = rig.run(["at(5.0)", "nvmlInit()"])
        assert done.stderr == ""
    assert len(FAULTS) == len({scenario.name for scenario in FAULTS}) == 12


def test_isolated_blocks_have_quiet_edges_and_a_tail_of_the_expected_energy() -> None:
    plain, tailed = blocks(), blocks(tail_s=0.4)
    assert len(plain.windows) == 27
    assert plain.windows == tailed.windows
    for (_, t1), (next_t0, _) in pairwise(plain.windows):
        assert 1.5 <= next_t0 - t1 <= 2.5
        over_j = true_energy_j(plain.gpu, t1, t1 + 0.4) - 0.4 * plain.idle_w
        assert abs(over_j) < 0.01 * 0.4 * plain.idle_w + 0.001
        # An exponential from 325 W with a time constant of 0.1 s: 32.5 J, minus the part cut off.
        assert true_energy_j(tailed.gpu, t1, t1 + 0.4) - 0.4 * plain.idle_w == pytest.approx(
            32.4, abs=0.2
        )


def test_random_windows_lie_in_their_span_and_are_not_multiples_of_an_update() -> None:
    windows = random_windows(1.0, 500, start_s=3.0, span_s=20.0)
    assert windows == random_windows(1.0, 500, start_s=3.0, span_s=20.0)
    assert windows != random_windows(1.0, 500, start_s=3.0, span_s=20.0, seed=1)
    assert min(t0 for t0, _ in windows) >= 3.0
    assert max(t1 for _, t1 in windows) <= 23.0
    assert len({round(t1 - t0, 3) for t0, t1 in windows}) > 100


@pytest.mark.parametrize(
    ("value_j", "flagged", "expected"),
    [
        (1049.0, False, "correct"),
        (951.0, True, "correct"),
        (1051.0, False, "wrong"),
        (0.0, False, "wrong"),
        (0.0, True, "flagged"),
        (None, False, "flagged"),
    ],
)
def test_a_value_is_correct_flagged_or_silently_wrong(
    value_j: float | None, flagged: bool, expected: str
) -> None:
    assert verdict(value_j, 1000.0, flagged=flagged) == expected
