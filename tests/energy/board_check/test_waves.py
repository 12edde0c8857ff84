"""The response of a counter to steps of the load, on simulated counters with known flaws."""

from __future__ import annotations

import math

import pytest

from llem_energy._board_check.readings import Piece, counter_pieces, mean_period_s
from llem_energy._board_check.waves import fit, is_filtered, is_late, is_slow, updates_per_step

IDLE_W, LOAD_W = 80.0, 600.0
# Bursts of 0.4 s and pauses of different lengths, so that updates occur at every phase.
STARTS_S = [1.0 + 0.85 * i + 0.01 * (37 * i % 10) for i in range(12)]
BURSTS = [(start_s, start_s + 0.4) for start_s in STARTS_S]


def counter(period_s: float = 0.1, *, lag_s: float = 0.0, delay_s: float = 0.0) -> list[Piece]:
    """Simulate a counter with these flaws and return the power that it shows for the bursts."""
    tick_s, joules, watts = 0.0005, 0.0, IDLE_W
    shown, due_s = [], 0.0
    for k in range(round(12.5 / tick_s)):
        t_s = k * tick_s
        if t_s >= due_s:
            shown.append((due_s, joules))
            due_s += period_s
        on = any(start_s <= t_s - delay_s < end_s for start_s, end_s in BURSTS)
        true_w = LOAD_W if on else IDLE_W
        watts = true_w + (watts - true_w) * math.exp(-tick_s / lag_s) if lag_s else true_w
        joules += watts * tick_s
    return counter_pieces(shown)


def test_an_exact_counter_is_reported_as_exact() -> None:
    pieces = counter()
    response = fit(pieces, BURSTS, 0.1)
    assert (response.delay_s, response.lag_s) == (0.0, 0.0)
    assert response.off_w == pytest.approx(IDLE_W, abs=3)
    assert response.on_w == pytest.approx(LOAD_W, abs=3)
    assert response.explained > 0.99
    assert set(updates_per_step(pieces, BURSTS)) <= {1, 2}
    assert not is_late(response, 0.1)
    assert not is_filtered(response, response, 0.1)


@pytest.mark.parametrize("delay_s", [0.06, 0.25])
def test_a_late_counter_is_no_filtered_counter(delay_s: float) -> None:
    late = fit(counter(delay_s=delay_s), BURSTS, 0.1)
    assert late.delay_s == pytest.approx(delay_s, abs=0.006)
    assert late.lag_s == 0.0
    assert is_late(late, 0.1)
    assert not is_filtered(late, None, 0.1)


def test_a_filtered_counter_is_no_late_counter() -> None:
    pieces = counter(lag_s=0.2)
    smeared = fit(pieces, BURSTS, 0.1)
    assert smeared.lag_s == pytest.approx(0.2, rel=0.01)
    assert smeared.delay_s == pytest.approx(0.0, abs=0.006)
    assert min(updates_per_step(pieces, BURSTS)) > 2
    assert is_filtered(smeared, None, 0.1)
    assert not is_late(smeared, 0.1)
    # If instant power rises as slowly, power may be slow and not the counter; it is not exact either.
    assert not is_filtered(smeared, smeared, 0.1)
    assert is_slow(smeared, 0.1)
    assert not is_slow(fit(counter(), BURSTS, 0.1), 0.1)


def test_readings_that_the_load_does_not_explain_have_a_poor_fit() -> None:
    noise = [(a, b, 100.0 + 37 * k % 11) for k, (a, b, _) in enumerate(counter())]
    assert fit(noise, BURSTS, 0.1).explained < 0.9
    with pytest.raises(ValueError, match="at least 3 different updates"):
        fit([(a, b, 100.0) for a, b, _ in counter()], BURSTS, 0.1)


def test_a_period_is_known_better_than_a_single_reading() -> None:
    updates = [(0.0973 * k + 0.001 * (k % 2), float(k)) for k in range(200) if k % 7]
    assert mean_period_s(updates, 0.11) == pytest.approx(0.0973, rel=1e-4)
