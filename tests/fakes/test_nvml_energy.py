"""The energy counter of the fake driver shows the true energy at its updates."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.nvml_probe import Rig, energies


def test_two_seconds_at_300_watts_are_exactly_600_000_millijoules(rig: Rig) -> None:
    start, end, truth_j = rig.ask(
        FakeGpu(points=((0.0, 300.0),)), *energies([3.0, 5.0]), "truth(0, 3.0, 5.0)"
    )
    assert end - start == 600_000
    assert truth_j == 600.0


def test_counter_steps_only_at_its_period_and_phase(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 200.0),), counter_phase_s=0.03, counter_initial_mj=7_000_000)
    times_s = [1.0, 1.029, 1.03, 1.031, 1.129, 1.13, 1.229]
    readings = [reading - 7_000_000 for reading in rig.ask(gpu, *energies(times_s))]
    assert readings == [186_000, 186_000, 206_000, 206_000, 206_000, 226_000, 226_000]


@pytest.mark.parametrize("period_s", [0.01, 0.02, 0.1, 0.106, 0.5])
def test_counter_shows_the_true_energy_at_every_update_instant(rig: Rig, period_s: float) -> None:
    # k * 0.1 is rarely exact in binary; that must not delay an update by a period.
    gpu = FakeGpu(points=((0.0, 250.0),), counter_period_s=period_s, counter_initial_mj=0)
    times_s = [round(k * period_s, 3) for k in range(60)]
    assert rig.ask(gpu, *energies(times_s)) == [round(250_000 * t_s) for t_s in times_s]


def test_gain_error_of_the_counter_does_not_change_the_truth(rig: Rig) -> None:
    start, end, truth_j = rig.ask(
        FakeGpu(counter_gain=1.05), *energies([0.0, 10.0]), "truth(0, 0.0, 10.0)"
    )
    assert (end - start, truth_j) == (1_050_000, 1000.0)


def test_counter_with_jitter_updates_off_its_grid_and_is_exact_at_each_update(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 1000.0),), counter_initial_mj=0, counter_jitter_s=0.03)
    times_s = [round(1 + 0.001 * k, 3) for k in range(2000)]
    first, second = (rig.ask(gpu, *energies(times_s)) for _ in range(2))
    assert first == second, "another process sees other updates"
    changes = [i for i in range(1, len(first)) if first[i] != first[i - 1]]
    # At 1000 W the counter value is the time of its update in microseconds, just before the read.
    assert all(0 <= 1e6 * times_s[i] - first[i] <= 1000 for i in changes)
    gaps_s = [(b - a) * 0.001 for a, b in pairwise(changes)]
    assert 0.04 - 0.001 <= min(gaps_s) < 0.08
    assert 0.12 < max(gaps_s) <= 0.16 + 0.001
    offsets_s = [times_s[i] - 0.1 * round(times_s[i] / 0.1) for i in changes]
    assert max(map(abs, offsets_s)) <= 0.03 + 0.001
    assert min(offsets_s) < -0.01
    assert max(offsets_s) > 0.01


def test_stalled_counter_with_jitter_shows_the_last_update_before_the_stall(rig: Rig) -> None:
    points = ((0.0, 1000.0),)
    free = FakeGpu(points=points, counter_initial_mj=0, counter_jitter_s=0.04)
    stuck = replace(free, stalls=((2.0, 3.0),))
    [before] = rig.ask(free, "energy(1.9999)")
    readings = rig.ask(stuck, *energies([1.9999, 2.0, 2.5, 2.99, 3.2]))
    assert readings[:4] == [before] * 4
    assert readings[4] > 3_000_000


def test_counter_shows_multiples_of_its_quantum(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 123.0),), counter_initial_mj=1000, counter_quantum_mj=1000)
    assert rig.ask(gpu, *energies([0.0, 0.1, 0.5, 1.0])) == [1000, 13_000, 63_000, 124_000]


def test_counter_keeps_all_64_bits(rig: Rig) -> None:
    initial_mj = 2**53 - 10_000_000
    assert rig.ask(FakeGpu(counter_initial_mj=initial_mj), "energy(1.0)") == [initial_mj + 100_000]


def test_python_reference_agrees_with_sums_computed_by_hand() -> None:
    step = FakeGpu(points=((1.0, 100.0), (2.0, 400.0)))
    assert true_energy_j(step, 0.0, 3.0) == 600.0
    assert true_energy_j(step, -1.0, 1.5) == 250.0
    ramp = FakeGpu(points=((0.0, 100.0), (2.0, 300.0)), linear=True)
    assert true_energy_j(ramp, 0.0, 2.0) == 400.0
    assert true_energy_j(ramp, 1.0, 3.0) == 250.0 + 300.0
    square = FakeGpu(points=((0.0, 500.0), (0.25, 100.0)), repeat_s=1.0)
    assert true_energy_j(square, 0.5, 3.5) == 3 * 200.0
    assert true_energy_j(square, 1.125, 1.125) == 0.0


def test_energy_of_a_linear_ramp_equals_the_closed_form(rig: Rig) -> None:
    ramp = FakeGpu(points=((1.0, 100.0), (5.0, 700.0)), linear=True)
    start, middle, end = rig.ask(ramp, *energies([1.0, 3.0, 7.0]))
    assert middle - start == 1000 * true_energy_j(ramp, 1.0, 3.0) == 500_000
    assert end - middle == 1000 * true_energy_j(ramp, 3.0, 7.0) == 1_100_000 + 1_400_000


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("repeat_s", [0.0, 2.5])
def test_library_and_python_agree_on_random_traces(rig: Rig, linear: bool, repeat_s: float) -> None:
    rng = random.Random(20)
    times_s = sorted(rng.uniform(0.0, 2.5) for _ in range(12))
    points = tuple((t_s, rng.uniform(60.0, 700.0)) for t_s in times_s)
    gpu = FakeGpu(points=points, linear=linear, repeat_s=repeat_s, counter_period_s=0.13)
    windows_s = [sorted((rng.uniform(-3.0, 9.0), rng.uniform(-3.0, 9.0))) for _ in range(50)]
    truths_j = rig.ask(gpu, *(f"truth(0, {t0!r}, {t1!r})" for t0, t1 in windows_s))
    expected_j = [true_energy_j(gpu, t0, t1) for t0, t1 in windows_s]
    assert truths_j == pytest.approx(expected_j, rel=1e-12, abs=1e-9)

    reads_s = [t1 for _, t1 in windows_s if t1 > 0]
    updates_s = [0.13 * math.floor(t_s / 0.13) for t_s in reads_s]
    counter_mj = rig.ask(gpu, *energies(reads_s))
    expected_mj = [10**9 + 1000 * true_energy_j(gpu, 0.0, t_s) for t_s in updates_s]
    assert counter_mj == pytest.approx(expected_mj, rel=0, abs=0.6)  # rounded to whole millijoules
