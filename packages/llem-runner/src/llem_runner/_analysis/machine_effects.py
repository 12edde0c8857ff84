"""Machines whose figures are far from those of the others, although they are of the same kind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from llem_runner._analysis.quantiles import t_quantile
from llem_runner._analysis.statistics import sample_sd

_BEYOND_3_SD = 1 - 0.00135  # the share of a normal distribution below 3 standard deviations
_MIN_OTHERS = 2


def distant_machines(effects: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Yield a sentence for each machine that is beyond 3 standard deviations of the others.

    Few machines say little about their spread, so the distance is one that a further machine of the
    same kind exceeds as rarely as a normal variable exceeds 3 standard deviations.

    Args:
        effects: by machine, the effect of each of its blocks, as a logarithm.
    """
    means = {machine: statistics.fmean(own) for machine, own in effects.items()}
    if len(means) <= _MIN_OTHERS:
        return
    for machine, mean in means.items():
        others = [each for name, each in means.items() if name != machine]
        distance = mean - statistics.fmean(others)
        spread = sample_sd(others) * math.sqrt(1 + 1 / len(others))
        if abs(distance) > t_quantile(_BEYOND_3_SD, len(others) - 1) * max(spread, 1e-12):
            share = math.expm1(abs(distance)) if distance > 0 else -math.expm1(-abs(distance))
            yield (
                f"{machine} is {share:.2%} {'above' if distance > 0 else 'below'} the "
                f"{len(others)} other machines, beyond 3 standard deviations of them; its difference "
                "is removed from the ratios, but look at its cooling, clocks and other load"
            )
