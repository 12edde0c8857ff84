"""Windows with steps that keep pace with a meter: bound, uncertainty, flag (CM-17..19)."""

from __future__ import annotations

from typing import Any

import pytest

from llem_energy._estimation.device_energy import DeviceEnergy, device_energy
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

IDLE_W, MEAN_W, SWING_W = 70.0, 400.0, 240.0
START_S, END_S, PERIOD_S = 2.013, 6.028, 0.1
STEP_S = 0.02


def watts(t_s: float) -> float:
    if not START_S <= t_s < END_S:
        return IDLE_W
    is_high = (t_s - START_S) % STEP_S < STEP_S / 2
    return MEAN_W + (SWING_W / 2 if is_high else -SWING_W / 2)


def metered(
    seen_s: float, phase_s: float = 0.03, *, sensed_s: float = 0.025, **more: Any
) -> tuple[DeviceEnergy, float]:
    """Return the energy by a counter that sees this part of each period, and the true energy.

    The sensor of power sees `sensed_s` of each period.
    """
    tick_s = 0.0005
    joules = [0.0]  # at each tick
    for k in range(int((END_S + 1) / tick_s)):
        joules.append(joules[-1] + tick_s * watts((k + 0.5) * tick_s))

    def at(t_s: float) -> float:
        return joules[max(0, round(t_s / tick_s))]

    ends_s = [phase_s + PERIOD_S * k for k in range(1, int((END_S + 0.9) / PERIOD_S))]
    shown = [1000.0]
    for end_s in ends_s:
        shown.append(shown[-1] + (at(end_s) - at(end_s - seen_s)) * PERIOD_S / seen_s)
    samples = []
    for k in range(500, int((END_S + 0.5) * 500)):
        t_s = 0.002 * k
        n = sum(end_s <= t_s for end_s in ends_s)
        sensed_w = (at(ends_s[n - 1]) - at(ends_s[n - 1] - sensed_s)) / sensed_s
        samples.append(Sample("GPU", t_s, 0.0, energy_j=shown[n], power_w=sensed_w))
    calibration = Calibration(
        device="GPU", counter_period_s=PERIOD_S, counter_jitter_s=0.0, counter_step_j=None,
        power_period_s=PERIOD_S, call_p50_s=0.0, call_p99_s=0.0, n_updates=8, duration_s=1.0,
        boot_id=None, driver=None, binding=None, made_at="",
    )  # fmt: skip
    span = MeasuredSpan(START_S, END_S, 0.0, 1, 0.4, after_s=0.4)
    found = device_energy(samples, span, calibration=calibration, limit_w=700.0, **more)
    return found, at(END_S) - at(START_S)


@pytest.mark.parametrize("phase_s", [0.03, 0.034, 0.038, 0.042, 0.046])
def test_the_bound_and_the_uncertainty_hold_for_fast_steps_that_keep_pace(phase_s: float) -> None:
    found, truth_j = metered(0.025, phase_s, steps_s=(STEP_S,))
    best = found.estimates[0]
    assert best.bound_j is not None and best.uncertainty_j is not None
    assert abs(best.energy_j - truth_j) <= min(best.bound_j, best.uncertainty_j)
    assert not found.reasons


def test_without_the_steps_some_would_be_wrong() -> None:
    found, truth_j = metered(0.025)
    assert abs(found.estimates[0].energy_j - truth_j) > (found.estimates[0].bound_j or 0.0)


def test_a_sensor_that_beats_with_the_steps_does_not_contradict_an_ideal_counter() -> None:
    untold, _ = metered(PERIOD_S)
    assert any("disagree" in reason for reason in untold.reasons), "otherwise this tests nothing"
    best = untold.estimates[0]
    assert untold.integral is not None
    # One of the two is wrong, so the bound contains both; a counter that was checked is not doubted.
    assert abs(untold.integral.energy_j - best.energy_j) < (best.bound_j or 0.0)
    checked, _ = metered(PERIOD_S, sees_all=True)
    assert (checked.estimates[0].bound_j or 0.0) < 0.2 * (best.bound_j or 0.0)
    for sees_all in (False, True):
        told, truth_j = metered(PERIOD_S, steps_s=(STEP_S,), sees_all=sees_all)
        assert told.reasons == ()
        assert told.energy_j == pytest.approx(truth_j, rel=0.002)


def test_only_a_counter_that_was_not_checked_gets_a_wider_bound() -> None:
    steps: dict[str, Any] = {"steps_s": (STEP_S,)}
    bounds_j = [
        metered(PERIOD_S, sensed_s=PERIOD_S, **more)[0].estimates[0].bound_j or 0.0
        for more in (
            {"sees_all": True}, steps | {"sees_all": True}, {}, steps | {"n_parts": 100}, steps
        )
    ]  # fmt: skip
    checked_j, checked_and_told_j, untold_j, paused_j, told_j = bounds_j
    assert checked_j == checked_and_told_j
    assert untold_j < paused_j < (untold_j + told_j) / 3
    assert told_j > untold_j + 0.2 * 4 * MEAN_W


def test_slow_steps_are_flagged_unless_random_pauses_move_them() -> None:
    found, _ = metered(PERIOD_S, steps_s=(0.05,))
    assert any("steps of 50 ms beat" in reason for reason in found.reasons)
    assert found.estimates[0].uncertainty_j is None
    found, _ = metered(PERIOD_S, steps_s=(0.05,), n_parts=100)
    assert found.reasons == ()
