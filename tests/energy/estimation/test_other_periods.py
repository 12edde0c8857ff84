"""A counter that behaves differently under load than in idle, where it was calibrated (CM-11..16)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import pytest

from llem_energy._estimation.counter import Reading, loaded_period_s, still_after_s
from llem_energy._estimation.device_energy import DeviceEnergy, device_energy
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.edges import Edges
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

IDLE_W, LOAD_W = 70.0, 400.0
START_S, END_S = 2.013, 4.028


def energy(t_s: float, idle_w: float = IDLE_W) -> float:
    loaded_s = min(max(t_s - START_S, 0.0), END_S - START_S)
    return idle_w * (t_s - loaded_s) + LOAD_W * loaded_s


def metered(
    updates_s: Sequence[float],
    *,
    period_s: float | None,
    jitter_s: float | None = 0.0,
    idle_w: float = IDLE_W,
    after_s: float = 0.4,
) -> DeviceEnergy:
    """Return the energy of a window from a counter that is updated at these instants."""

    def shown_j(t_s: float) -> float:
        return 1000 + energy(updates_s[max(0, bisect_right(updates_s, t_s) - 1)], idle_w)

    dense = [1.0 + 0.001 * k for k in range(int(1000 * (END_S + after_s - 1.0)))]
    times = [t for t in dense if not START_S < t < END_S]
    times += [START_S + 0.01 + 0.05 * k for k in range(40)]
    samples = [
        Sample("GPU", t, 0.0, energy_j=shown_j(t), power_w=LOAD_W if START_S <= t < END_S else IDLE_W)
        for t in sorted(times)
    ]  # fmt: skip
    calibration = Calibration(
        device="GPU", counter_period_s=period_s, counter_jitter_s=jitter_s, counter_step_j=None,
        power_period_s=0.1, call_p50_s=0.0, call_p99_s=0.0, n_updates=8, duration_s=1.0,
        boot_id=None, driver=None, binding=None, made_at="",
    )  # fmt: skip
    span = MeasuredSpan(START_S, END_S, 0.0, 1, 0.35, after_s=after_s)
    return device_energy(samples, span, calibration=calibration, limit_w=700.0)


def every(period_s: float, from_s: float, to_s: float) -> list[float]:
    return [from_s + period_s * k for k in range(int((to_s - from_s) / period_s))]


def test_the_period_under_load_is_learnt_inside_the_window() -> None:
    shown = [Reading(t, t, 40.0 * int(t / 0.1 + 1e-9)) for t in every(0.05, 0.0, 3.0)]
    assert loaded_period_s(shown, 0.0, 3.0) == pytest.approx(0.1, abs=0.01)
    assert loaded_period_s(shown, 0.0, 0.3) is None, "too few updates"
    fast = [Reading(t, t, 400.0 * t) for t in every(0.05, 0.0, 3.0)]
    assert loaded_period_s(fast, 0.0, 3.0) is None, "readings as rare as this hide updates"


def test_a_counter_that_is_slower_under_load_keeps_its_bound_and_is_not_flagged() -> None:
    idle, load = 0.02, 0.1
    updates = [
        *every(idle, 0.5, START_S),
        *every(load, START_S, END_S),
        *every(idle, END_S + 0.01, 5),
    ]
    device = metered(updates, period_s=idle)
    assert device.reasons == ()
    assert device.energy_j is not None
    truth_j = LOAD_W * (END_S - START_S)
    assert abs(device.energy_j - truth_j) <= (device.estimates[0].uncertainty_j or 0.0)


def test_updates_in_bursts_are_no_standstill() -> None:
    updates = sorted([*every(0.2, 0.5, 6.0), *every(0.2, 0.52, 6.0)])
    device = metered(updates, period_s=0.03, jitter_s=0.15)
    assert not any("was not updated" in reason for reason in device.reasons)


def test_the_idle_time_next_to_a_window_is_longer_for_updates_in_bursts() -> None:
    def least_guard_s(jitter_s: float | None) -> float:
        regular = Calibration(
            device="GPU", counter_period_s=0.02, counter_jitter_s=jitter_s, counter_step_j=None,
            power_period_s=None, call_p50_s=0.0, call_p99_s=0.0, n_updates=8, duration_s=1.0,
            boot_id=None, driver=None, binding=None, made_at="",
        )  # fmt: skip
        return Edges(Sampler(None, 0.05, Recorder(None)), [regular], ["GPU"]).guard_s

    assert least_guard_s(None) == pytest.approx(3.2 * 0.02)
    # Two whole intervals of the longest kind, wherever the end of the window is.
    assert least_guard_s(0.16) == pytest.approx(3.2 * 0.18)


def test_a_real_standstill_is_flagged() -> None:
    updates = [*every(0.1, 0.5, 2.5), *every(0.1, 3.2, 6.0)]
    device = metered(updates, period_s=0.1)
    assert any("was not updated for 0." in reason for reason in device.reasons)


def test_a_counter_that_does_not_count_in_idle_is_flagged() -> None:
    updates = every(0.1, 2.0, 4.25)  # none before the work, none after it
    device = metered(updates, period_s=None, idle_w=0.0, after_s=2.0)
    assert any("it does not count in idle" in reason for reason in device.reasons)


def test_time_without_updates_after_the_window_is_measured_from_the_last_one() -> None:
    readings = [Reading(t, t, min(t, 1.2)) for t in every(0.1, 0.0, 2.05)]
    assert still_after_s(readings, 1.0) == pytest.approx(0.7, abs=0.11)
    assert still_after_s(readings, 3.0) == 0.0
