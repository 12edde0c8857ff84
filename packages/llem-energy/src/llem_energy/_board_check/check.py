"""The check of one board: steps of a load, then loads that keep pace with the counter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from llem_energy._board_check.bench import Bench
from llem_energy._board_check.part_time import PartTime, part_time, place_pulses
from llem_energy._board_check.readings import changes, mean_period_s
from llem_energy._board_check.steps import StepResponse, step_pulses, step_response
from llem_energy._board_check.waves import is_filtered, is_late, is_slow
from llem_energy._errors import GpuError
from llem_energy._metering.board_check import BoardCheck, Verdict

STEPS_S = 20.0
PLACE_S = 3.0
EXPLAINED = 0.9  # share of variance; with less, the readings are unclear
_SETTLED_LAGS = 5.0  # after them 0.7 % of a step are left
_MAX_SPREAD = 0.1  # of the energy over idle: what a counter that sees 95 % of each period shows


def check_board(
    bench: Bench,
    *,
    steps_s: float = STEPS_S,
    place_s: float = PLACE_S,
    on_stage: Callable[[str], None] | None = None,
) -> BoardCheck:
    """Load a board, and return whether its energy counter is exact at its updates.

    Args:
        bench: the board, which nothing else uses.
        steps_s: about, for the steps of the load.
        place_s: about, for each place of the load within the period of the counter.
        on_stage: called at the beginning of each step of the check.

    Raises:
        GpuError: the counter cannot be read, or does not change.
    """
    report = on_stage or (lambda _: None)
    (device,) = bench.source.devices
    driver = bench.source.versions().driver
    if driver is None:
        raise GpuError("the driver does not give its version, so a check could not be kept")
    report("observing the idle counter")
    calibration = bench.calibration()
    period_s = calibration.counter_period_s
    if period_s is None:
        raise GpuError(f"the energy counter of {device} was not updated, so it cannot be checked")
    report(f"loading the GPU in steps for {steps_s:.0f} s")
    steps = bench.play(step_pulses(period_s, steps_s), 4 * period_s)
    updates = changes(steps.samples, lambda s: s.energy_j)
    try:
        response = step_response(steps, calibration, period_s)
    except ValueError as error:
        raise GpuError(f"the energy counter of {device} cannot be checked: {error}") from error
    period_s = mean_period_s(updates, period_s)
    settle_s = response.counter.delay_s + _SETTLED_LAGS * response.counter.lag_s
    pulses = place_pulses(period_s, place_s, settle_s)
    if pulses:
        report(
            f"loading the GPU in step with its counter for {pulses[-1].start_s:.0f} s, "
            f"once every {1e3 * period_s:.3g} ms"
        )
    played = bench.play(pulses, 4 * period_s) if pulses else steps
    seen = part_time(played, pulses, period_s, settle_s)
    return BoardCheck(
        device=device,
        driver=driver,
        verdict=_verdict(response, seen, period_s, is_known=not pulses or seen.reason is None),
        counter_period_s=period_s,
        counter_delay_s=response.counter.delay_s,
        counter_lag_s=response.counter.lag_s,
        power_lag_s=response.power.lag_s if response.power else None,
        explained_share=response.counter.explained,
        seen_share=seen.seen_share,
        phase_spread_share=seen.spread_share,
        part_time_reason=seen.reason,
        checked_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _verdict(response: StepResponse, seen: PartTime, period_s: float, *, is_known: bool) -> Verdict:
    """Return the verdict; `is_known`: whether the counter can be called exact."""
    if seen.spread_share is not None and seen.spread_share > _MAX_SPREAD:
        return "part-time"
    if response.counter.explained < EXPLAINED:
        return "unclear"
    if is_filtered(response.counter, response.power, period_s):
        return "filtered"
    if is_late(response.counter, period_s):
        return "late"
    if is_slow(response.counter, period_s):
        return "unclear"
    return "exact" if is_known else "unclear"
