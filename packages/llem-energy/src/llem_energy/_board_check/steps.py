"""How a counter follows a load that steps up and down."""

from __future__ import annotations

import msgspec

from llem_energy._board_check.bench import Played, Pulse
from llem_energy._board_check.readings import changes, counter_pieces, power_pieces
from llem_energy._board_check.waves import Fit, fit, updates_per_step
from llem_energy._metering.calibration import Calibration

_LEAD_S = 1.0  # idle before the first step


class StepResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response of both meters of a board to the same steps."""

    counter: Fit
    power: Fit | None
    """None if instant power cannot be read."""
    counter_steps: tuple[int, ...]
    """Updates until 90 % of each step."""
    power_steps: tuple[int, ...]


def step_pulses(period_s: float, seconds: float) -> list[Pulse]:
    """Return at least 8 steps for about `seconds`, at every place within the period of a counter."""
    on_s = max(0.4, 4 * period_s)
    n_steps = max(8, round(seconds / (2 * on_s + period_s / 2)))
    pulses, start_s = [], _LEAD_S
    for i in range(n_steps):
        pulses.append(Pulse(start_s, on_s))
        # Pauses of varying length, so that edges occur at every place.
        start_s += 2 * on_s + period_s * (0.618 * i % 1)
    return pulses


def step_response(played: Played, calibration: Calibration, period_s: float) -> StepResponse:
    """Return how both meters have followed the steps.

    Args:
        played: what `step_pulses` gave.
        calibration: of the idle board.
        period_s: of the counter.

    Raises:
        ValueError: the counter was updated too rarely, or did not change.
    """
    counter = counter_pieces(changes(played.samples, lambda s: s.energy_j))
    power = power_pieces(changes(played.samples, lambda s: s.power_w))
    unit_s = calibration.power_period_s or period_s
    return StepResponse(
        counter=fit(counter, played.loads, period_s),
        power=fit(power, played.loads, unit_s) if len(power) > 2 else None,
        counter_steps=tuple(updates_per_step(counter, played.loads)),
        power_steps=tuple(updates_per_step(power, played.loads)),
    )
