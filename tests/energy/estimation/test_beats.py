"""Steps that keep pace with a meter which observes the board part of the time (CM-17..19)."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import pytest

from llem_energy._estimation.beats import Sweep, beat_reason, beats, missed_share

PERIOD_S = 0.1
SWING = 2 * 330 / 400  # of a load of 400 W over 70 W


def wrong_share(step_s: float, window_s: float, seen: float, duty: float, place: float) -> float:
    """Return by how much of the swing a meter that sees a share of each period is wrong."""

    def high_s(t_s: float) -> float:
        n, rest_s = divmod(t_s, step_s)
        return n * step_s * duty + min(rest_s, step_s * duty)

    n = round(window_s / PERIOD_S)
    start_s = place * step_s
    ends_s = [start_s + PERIOD_S * (k + 1) for k in range(n)]
    shown = sum(high_s(end_s) - high_s(end_s - seen * PERIOD_S) for end_s in ends_s) / seen
    return (shown - high_s(ends_s[-1]) + high_s(start_s)) / (n * PERIOD_S)


def worst_share(step_s: float, window_s: float) -> float:
    """Return the largest error of steps of which no level is further from the mean than half."""
    return max(
        abs(wrong_share(step_s, window_s, seen, duty, place / 20)) * 0.5 / max(duty, 1 - duty)
        for seen in (0.25, 0.3, 0.5)
        for duty in (0.3, 0.5, 0.7)
        for place in range(20)
    )


@pytest.mark.parametrize("window_s", [1.0, 2.0, 10.0])
@pytest.mark.parametrize(
    "step_ms", [10, 11.1, 12, 14.3, 16.7, 19.96, 20, 20.02, 24.97, 33.3, 50, 66.7, 100]
)
def test_what_steps_can_hide_is_in_the_share(step_ms: float, window_s: float) -> None:
    worst = worst_share(step_ms / 1000, window_s)
    share = missed_share(beats([step_ms / 1000], [PERIOD_S], window_s))
    assert worst < share + 0.005 / window_s, "the rest is what the ends of a window hide"


@pytest.mark.parametrize("step_s", [0.01, 0.02, 0.05])
def test_the_share_is_not_needlessly_wide(step_s: float) -> None:
    assert missed_share(beats([step_s], [PERIOD_S], 10.0)) < 1.5 * worst_share(step_s, 10.0)


def test_the_fifth_harmonic_is_no_reason_for_a_flag_but_widens() -> None:
    found = beats([0.02], [PERIOD_S], 10.0)
    assert 0.2 < missed_share(found) < 0.22
    assert beat_reason(found, SWING) is None


@pytest.mark.parametrize("step_s", [0.1, 0.05, 0.0333, 0.2])
def test_steps_that_keep_pace_with_the_meter_are_named_with_what_to_check(step_s: float) -> None:
    reason = beat_reason(beats([step_s], [PERIOD_S, None], 5.0), SWING)
    assert reason is not None
    assert f"steps of {1000 * step_s:.3g} ms beat with the 100 ms of the meter" in reason
    assert "not checked" in reason


@pytest.mark.parametrize("step_s", [0.04, 0.047, 0.006])
def test_steps_that_beat_often_enough_are_not(step_s: float) -> None:
    assert beat_reason(beats([step_s], [PERIOD_S], 10.0), SWING) is None


def test_a_longer_window_has_more_beats_and_averages() -> None:
    (first, *_) = beats([0.048], [PERIOD_S], 2.0)
    assert first.n_beats == pytest.approx(2 * 5 / 6, rel=1e-6)
    shares = [missed_share(beats([0.048], [PERIOD_S], window_s)) for window_s in (2.0, 10.0)]
    assert shares[1] < shares[0] / 4
    assert beat_reason(beats([0.048], [PERIOD_S], 2.0), SWING) is not None
    assert beat_reason(beats([0.048], [PERIOD_S], 20.0), SWING) is None


def test_batches_count_beside_tokens() -> None:
    alone = missed_share(beats([0.012], [PERIOD_S], 10.0))
    found = beats([0.012, 0.2], [PERIOD_S], 10.0)
    assert missed_share(found) > 0.2 > 10 * alone
    assert "steps of 200 ms" in (beat_reason(found, SWING) or "")


def test_batches_of_many_periods_are_seen_by_the_meter() -> None:
    assert beats([2.5, 10.0], [PERIOD_S], 60.0) == ()


def test_batches_of_a_second_pass_with_their_tenth_overtone() -> None:
    assert 0.06 < missed_share(beats([1.0], [PERIOD_S], 20.0)) < 0.1


def test_random_pauses_leave_less_the_more_there_are() -> None:
    shares = [missed_share(beats([0.02], [PERIOD_S], 60.0, n)) for n in (1, 20, 200)]
    assert shares[0] > 2 * shares[1] > 4 * shares[2] > 0


def drifting_share(first_s: float, last_s: float, window_s: float, place: float) -> float:
    """Return by how much of the swing a meter is wrong if steps become longer in the window."""
    edges_s = [-first_s * place]
    while edges_s[-1] < window_s + 1:
        share = max(0.0, edges_s[-1]) / window_s
        edges_s.append(edges_s[-1] + first_s + (last_s - first_s) * share)

    def high_s(t_s: float) -> float:
        n = bisect_right(edges_s, t_s) - 1
        half_s = [(b - a) / 2 for a, b in pairwise(edges_s[: n + 2])]
        return sum(half_s[:n]) + min(t_s - edges_s[n], half_s[n])

    ends_s = [PERIOD_S * (k + 1) for k in range(round(window_s / PERIOD_S))]
    shown = sum(high_s(end_s) - high_s(end_s - PERIOD_S / 4) for end_s in ends_s) * 4
    return (shown - high_s(ends_s[-1]) + high_s(0.0)) / window_s


@pytest.mark.parametrize(("first_ms", "last_ms"), [(48, 57.6), (20, 21), (9.9, 10.4), (49, 51)])
def test_steps_that_become_longer_keep_pace_for_a_part_of_the_window(
    first_ms: float, last_ms: float
) -> None:
    first_s, last_s = first_ms / 1000, last_ms / 1000
    worst = max(abs(drifting_share(first_s, last_s, 5.0, place / 12)) for place in range(12))
    middle_s = (first_s + last_s) / 2
    share = missed_share(beats([middle_s, Sweep(first_s, last_s, 1)], [PERIOD_S], 5.0))
    assert worst < share + 0.001
    assert beats([Sweep(0.0216, 0.0217, 1)], [PERIOD_S], 5.0) == (), "no harmonic is passed"


def test_without_a_period_nothing_is_said() -> None:
    assert beats([0.05], [None, None], 1.0) == ()
    assert beats([0.0], [PERIOD_S], 1.0) == ()
    assert beat_reason((), SWING) is None
    assert missed_share(()) == 0.0
