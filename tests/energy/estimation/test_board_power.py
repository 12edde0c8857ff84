"""The power that a board may have drawn."""

from __future__ import annotations

import pytest

from llem_energy._estimation.board_power import first_peak_w, largest_w
from llem_energy._metering.span import WindowSpan
from llem_energy._sources.protocol import Sample


@pytest.mark.parametrize(
    ("guard_s", "energy_j", "above_j", "expected_w"),
    [
        (0.35, 800.0, 660.0, 700.0),  # 400 W, 330 W above idle: it may begin at the limit
        (0.35, 146.0, 6.0, 76.0),  # 73 W over 70 W: it hardly works
        (0.0, 800.0, 800.0, 0.0),  # without idle time the work did not begin with the window
    ],
)
def test_the_first_peak_is_the_limit_of_a_board_that_works(
    guard_s: float, energy_j: float, above_j: float, expected_w: float
) -> None:
    span = WindowSpan(0.0, 2.0, guard_s)
    assert first_peak_w(energy_j, above_j, span, 700.0) == pytest.approx(expected_w)


def test_the_largest_power_is_the_limit_or_what_was_seen_above_it() -> None:
    samples = [Sample("GPU", 0.0, 0.0, power_w=watts) for watts in (300.0, 720.0)]
    assert largest_w(samples, 700.0) == 720.0
    assert largest_w(samples[:1], 700.0) == 700.0
    assert largest_w([], None) == 0.0
