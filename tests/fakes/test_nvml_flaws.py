"""The energy counter of the fake driver plays the flaws that real counters may have."""

import math
import struct
from dataclasses import replace
from itertools import pairwise

import pytest
from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.nvml_probe import Rig, energies

# Idle at 70 W, 400 W from 2 to 4 s.
STEP = FakeGpu(points=((0.0, 70.0), (2.0, 400.0), (4.0, 70.0)), counter_initial_mj=0)


def test_a_filtered_counter_follows_the_closed_form_of_a_first_order_filter(rig: Rig) -> None:
    tau_s = 0.3
    gpu = replace(STEP, counter_filter_s=tau_s)
    times_s = [2.0, 2.1, 2.5, 4.0, 4.1, 9.0]

    def held_back_j(t_s: float) -> float:
        """Return what the filter has not passed on beyond what it holds at idle."""
        on, off = (math.exp(-max(0.0, t_s - at_s) / tau_s) for at_s in (2.0, 4.0))
        return tau_s * 330 * ((1 - on) - (1 - off))

    expected_mj = [1000 * (true_energy_j(gpu, 0, t_s) - held_back_j(t_s)) for t_s in times_s]
    assert rig.ask(gpu, *energies(times_s)) == pytest.approx(expected_mj, abs=50)  # of 99,000 mJ


def test_a_late_counter_shows_the_energy_of_a_moment_ago(rig: Rig) -> None:
    gpu = replace(STEP, counter_delay_s=0.25)
    times_s = [2.0, 2.3, 4.2, 5.0]
    expected_mj = [round(1000 * true_energy_j(gpu, 0, t_s - 0.25)) for t_s in times_s]
    assert rig.ask(gpu, *energies(times_s)) == pytest.approx(expected_mj, abs=1)


def test_a_sensor_of_power_may_be_filtered_or_late_too(rig: Rig) -> None:
    tau_s = 0.3
    asked = [f"fields({t_s}, 186)[0]" for t_s in (1.9, 2.1, 2.5, 4.1)]
    rises = [1 - math.exp(-after_s / tau_s) for after_s in (0.0, 0.1, 0.5, 2.0)]
    falls = rises.pop() * math.exp(-0.1 / tau_s)
    filtered = rig.ask(replace(STEP, power_filter_s=tau_s), *asked)
    expected_mw = [1000 * (70 + 330 * share) for share in (*rises, falls)]
    assert filtered == pytest.approx(expected_mw, abs=50)
    late = rig.ask(replace(STEP, power_delay_s=0.2), *asked)
    assert late == [70_000, 70_000, 400_000, 400_000]


@pytest.mark.parametrize(("phase_s", "seen_w"), [(0.0, 100.0), (0.05, 500.0)])
def test_a_part_time_counter_takes_what_it_sees_for_the_whole_period(
    rig: Rig, phase_s: float, seen_w: float
) -> None:
    wave = FakeGpu(
        points=((0.0, 500.0), (0.05, 100.0)), repeat_s=0.1, counter_initial_mj=0,
        counter_seen_s=0.025, counter_phase_s=phase_s,
    )  # fmt: skip
    start, end = rig.ask(wave, *energies([1.06, 5.06]))
    assert end - start == pytest.approx(1000 * 4 * seen_w, abs=2)
    assert true_energy_j(wave, 1.06, 5.06) == pytest.approx(4 * 300.0)


def test_a_counter_with_a_threshold_does_not_count_idle_power(rig: Rig) -> None:
    gpu = replace(STEP, counter_threshold_w=100.0)
    readings = rig.ask(gpu, *energies([0.5, 1.9, 3.0, 4.0, 9.0, 3.0]))
    assert readings == pytest.approx([0, 0, 400_000, 800_000, 800_000, 400_000], abs=1)


def test_updates_in_bursts_are_20_and_180_ms_apart(rig: Rig) -> None:
    gpu = replace(STEP, counter_burst_s=0.08)
    times_s = [round(0.5 + 0.001 * k, 3) for k in range(1000)]
    readings = rig.ask(gpu, *energies(times_s))
    changes = [t_s for t_s, (a, b) in zip(times_s[1:], pairwise(readings), strict=True) if a != b]
    intervals_ms = {round(1000 * (b - a)) for a, b in pairwise(changes)}
    assert intervals_ms == {20, 180}


def test_the_period_of_a_counter_depends_on_power(rig: Rig) -> None:
    gpu = replace(STEP, counter_period_s=0.02, counter_every=(5, 200.0, math.inf))
    for start_s, n_changes in ((1.0, 25), (3.0, 5)):
        times_s = [round(start_s + 0.001 * k + 0.0005, 4) for k in range(501)]
        assert len(set(rig.ask(gpu, *energies(times_s)))) - 1 == n_changes


def test_a_counter_wraps_at_32_bits_and_a_float_loses_digits(rig: Rig) -> None:
    start_mj = 2**32 - 100_000
    wrapped = replace(STEP, counter_initial_mj=start_mj, counter_bits=32)
    assert rig.ask(wrapped, *energies([1.0, 2.0])) == [start_mj + 70_000, 40_000]
    rounded = replace(STEP, counter_initial_mj=start_mj, counter_float32=True)
    [shown_mj] = rig.ask(rounded, "energy(1.0)")
    assert shown_mj == struct.unpack("f", struct.pack("f", start_mj + 70_000))[0]
    assert shown_mj != start_mj + 70_000
