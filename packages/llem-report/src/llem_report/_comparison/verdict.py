"""What an interval says about two studies: worse, better, the same, or nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

from llem_report._comparison.welch import Difference
from llem_report.comparison_records import StudyVerdict
from llem_runner.repeats import MAX_SAID, bounded_exp

SAME_WITHIN = 0.02
"""Share by which two studies may differ and still count as the same, if there is no gate."""
_ROUNDING = 1e-12


class Rule(NamedTuple):
    """When a difference counts."""

    lower_is_better: bool
    gate: float | None = None
    """What counts as worse: a worsening above this share. None: any."""
    sensor_gain: float = 0.0
    """Share by which the sensors of two boards may differ."""


class Judgement(NamedTuple):
    """The verdict about a difference."""

    verdict: StudyVerdict
    same_within: float | None
    """Share by which the two differ at most, if they are the same."""
    missing_half_width: float
    """If nothing can be said: the half-width of the interval that would allow a verdict, on the
    logarithm; 0 if no interval would."""


NO_VERDICT = Judgement("cannot_be_told", None, 0.0)
"""Of two figures that cannot be compared."""


def judge(difference: Difference, rule: Rule) -> Judgement:
    """Return the verdict of an interval.

    Worse: the whole interval is beyond the gate; better: the whole interval is beyond it in the other
    direction; the same: the whole interval is within the gate, or within `SAME_WITHIN` if there is none.

    Args:
        difference: of the logarithms, new minus base.
        rule: when a difference counts. The gain of the sensors widens the interval, because no
            number of cycles shows it.
    """
    sign = 1.0 if rule.lower_is_better else -1.0
    gain = math.log1p(rule.sensor_gain)
    ends = sorted((sign * difference.low, sign * difference.high))
    low, high = ends[0] - gain, ends[1] + gain
    gate = math.log1p(rule.gate or 0.0)
    within = math.log1p(rule.gate or SAME_WITHIN)
    if low > gate + _ROUNDING:
        return Judgement("worse", None, 0.0)
    if high < -gate - _ROUNDING:
        return Judgement("better", None, 0.0)
    largest = max(abs(low), abs(high))
    if largest <= within:
        return Judgement("same", math.expm1(largest), 0.0)
    distance = abs(difference.value)
    to_worse_or_better = distance - gain - gate
    to_same = within - gain - distance
    return Judgement("cannot_be_told", None, max(to_worse_or_better, to_same, 0.0))


def sentence(name: str, difference: Difference, rule: Rule, judgement: Judgement) -> str:
    """Return the verdict in words, without the cycles that are missing.

    Args:
        name: of the figure, such as `J/token`.
        difference: of the logarithms, new minus base.
        rule: when a difference counts.
        judgement: of this difference.
    """
    change = f"{name}: {_signed(difference.value)}"
    if difference.half_width is None:
        return f"{change}, without an interval"
    change += f" (95 % interval {_signed(difference.low)} to {_signed(difference.high)})"
    if judgement.verdict == "cannot_be_told":
        sign = 1.0 if rule.lower_is_better else -1.0
        if rule.gate and min(sign * difference.low, sign * difference.high) > 0:
            return (
                f"{change}: whether it is worse by more than {_percent(rule.gate)} cannot be told"
            )
        return f"{change}: cannot be told"
    if judgement.verdict == "same":
        return f"{change}: the same within {_percent_above(judgement.same_within or 0.0)}"
    beyond = f" by more than {_percent(rule.gate)}" if rule.gate else ""
    return f"{change}: {judgement.verdict}{beyond}"


def _signed(log: float) -> str:
    """Return a difference of logarithms as a change in per cent."""
    share = bounded_exp(log) - 1
    if share > MAX_SAID:
        return f"over +{100 * MAX_SAID:,.0f} %"
    return f"{'-' if share < 0 else '+'}{_percent(abs(share))}"


def _percent(share: float) -> str:
    """Return a share in per cent with two digits."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 1 else f"{value:.2g} %"


def _percent_above(share: float) -> str:
    """Return a share in per cent, rounded up, so that it stays a limit."""
    value = 100 * share
    digits = 1 if value < 10 else 0
    return f"{math.ceil(value * 10**digits) / 10**digits:g} %"
