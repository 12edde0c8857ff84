"""The fake driver reports power, field values and throttling as a real one does."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from fakes.fake_nvml import FakeGpu, Fault, Throttle, true_energy_j
from fakes.nvml_probe import NOT_SUPPORTED, Rig


def test_instant_power_changes_before_the_one_second_average(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 100.0), (2.0, 300.0)))
    average, instant = 185, 186
    answers = rig.ask(
        gpu,
        *(f"fields({t_s}, {average}, {instant})" for t_s in (1.99, 2.5, 2.59, 2.6, 3.0)),
        "(at(2.5), nvmlDeviceGetPowerUsage(gpu(0)))[1]",
    )
    assert answers == [
        [100_000, 100_000],
        [200_000, 300_000],
        [200_000, 300_000],  # no update since 2.5 s
        [220_000, 300_000],
        [300_000, 300_000],
        200_000,  # the plain power draw is the average
    ]


def test_instant_power_without_averaging_is_the_power_at_the_update(rig: Rig) -> None:
    # In binary, 11 * 0.03 is just below 0.33; the update must still see the power from 0.33 s.
    once = FakeGpu(points=((0.0, 500.0), (0.33, 100.0)), power_period_s=0.03, instant_window_s=0.0)
    assert rig.ask(once, *(f"fields({t_s}, 186)[0]" for t_s in (0.32, 0.33))) == [500_000, 100_000]
    again = FakeGpu(
        points=((0.0, 500.0), (0.1, 100.0)),
        repeat_s=0.33,
        power_period_s=0.03,
        instant_window_s=0.0,
    )
    answers = rig.ask(again, *(f"fields({t_s}, 186)[0]" for t_s in (0.09, 0.12, 0.33, 0.45)))
    assert answers == [500_000, 100_000, 500_000, 100_000]


def test_ring_holds_120_samples_whose_sum_is_the_true_energy(rig: Rig) -> None:
    ramp = FakeGpu(points=((0.0, 100.0), (10.0, 600.0)), linear=True, sample_period_s=0.02)
    [entries] = rig.ask(ramp, "ring(5.005)")
    assert len(entries) == 120
    stamps_us = [stamp_us for stamp_us, _ in entries]
    assert {b - a for a, b in pairwise(stamps_us)} <= {19_999, 20_000, 20_001}
    joules = sum(0.02 * mw / 1000 for _, mw in entries)
    assert joules == pytest.approx(true_energy_j(ramp, 2.6, 5.0), rel=1e-6)


def test_ring_returns_only_samples_after_the_last_one_seen(rig: Rig) -> None:
    gpu = FakeGpu(sample_period_s=0.1)
    answers = rig.ask(
        gpu,
        "globals().update(last=ring(5.0)[-1][0])",
        "[(t - last) / 1e6 for t, _ in ring(5.35, last)]",
        "(at(5.05), nvmlDeviceGetSamples(gpu(0), NVML_TOTAL_POWER_SAMPLES, last))",
        "nvmlDeviceGetSamples(gpu(0), NVML_GPU_UTILIZATION_SAMPLES, 0)",
        "[f.timestamp - ring(5.0)[-1][0] for f in (at(5.0), "
        "nvmlDeviceGetFieldValues(gpu(0), [186]))[1]]",
    )
    assert answers[1] == pytest.approx([0.1, 0.2, 0.3], abs=2e-6)  # whole microseconds
    assert answers[2:4] == ["NVMLError_NotFound", "NVMLError_NotSupported"]
    assert answers[4] == [0]  # both timestamps use the same clock


def test_module_and_memory_power_exist_only_if_the_trace_has_them(rig: Rig) -> None:
    plain = FakeGpu(points=((0.0, 300.0),))
    scopes = "fields(2.0, *((field, scope) for field in (185, 186) for scope in range(4)))"
    coupled = "nvmlDeviceGetC2cModeInfoV(gpu(0)).isC2cEnabled"
    refused = f"error {NOT_SUPPORTED}"
    assert rig.ask(plain, scopes)[0] == [300_000, refused, refused, refused] * 2
    module = replace(plain, module_w=150.0, memory_share=0.25)
    answers = rig.ask(module, scopes, coupled, "fields(2.0, (83, 1))")
    assert answers[0] == [300_000, 450_000, 75_000, refused] * 2
    assert answers[1:] == [1, [refused]]


def test_one_call_returns_a_code_for_each_field(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 300.0),), counter_initial_mj=0, faults=(Fault("field:185", 999),))
    values, n_calls = rig.ask(
        gpu,
        "fields(2.0, 83, 186, 185, 191, 74, 75, 82, 250, (186, 1))",
        "calls('nvmlDeviceGetFieldValues')",
    )
    refused = f"error {NOT_SUPPORTED}"
    assert values == [600_000, 300_000, "error 999", 600_000, 0, 0, refused, refused, refused]
    assert n_calls == 1


def test_fields_of_one_call_have_the_same_wall_clock_timestamp(rig: Rig) -> None:
    stamps = "[f.timestamp for f in nvmlDeviceGetFieldValues(gpu(0), [83, 186])]"
    before_us = time.time() * 1e6
    first, later = rig.ask(FakeGpu(), f"(at(0.0), {stamps})[1]", f"(at(2.0), {stamps})[1]")
    assert first[0] == first[1]
    assert later[0] - first[0] == 2_000_000
    assert abs(first[0] - before_us) < 60e6  # time 0 is when `environment` was called


def test_short_throttling_is_missing_in_the_bitmask_but_counted_in_the_fields(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(1.02, 1.07, 0x4), Throttle(1.05, 1.06, 0x40)))
    reasons = "nvmlDeviceGetCurrentClocksEventReasons(gpu(0))"
    old_reasons = "nvmlDeviceGetCurrentClocksThrottleReasons(gpu(0))"
    answers = rig.ask(
        gpu,
        f"(fields(1.0, 74, 75), {reasons})",
        f"(fields(1.1, 74, 75), {reasons})",
        f"(fields(1.055, 74, 75), {reasons}, {old_reasons})",
    )
    assert answers == [
        [[0, 0], 0],
        [[50_000_000, 10_000_000], 0],
        [[35_000_000, 5_000_000], 0x44, 0x44],
    ]


def test_reasons_without_a_counter_appear_only_in_the_bitmask(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(0.0, 5.0, 0x1 | 0x8),))
    answers = rig.ask(
        gpu, "fields(5.0, 74, 75)", "(at(4.0), nvmlDeviceGetCurrentClocksEventReasons(gpu(0)))[1]"
    )
    assert answers == [[0, 0], 9]


def test_throttling_halves_the_sm_clock_but_not_the_memory_clock(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(1.0, 2.0, 0x20),))
    clocks = "[nvmlDeviceGetClockInfo(gpu(0), c) for c in (NVML_CLOCK_SM, NVML_CLOCK_MEM)]"
    answers = rig.ask(gpu, f"(at(1.5), {clocks})[1]", f"(at(2.0), {clocks})[1]")
    assert answers == [[990, 3201], [1980, 3201]]
