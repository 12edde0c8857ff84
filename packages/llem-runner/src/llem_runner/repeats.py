"""Statistics of repeated measurements, as a study applies them to its runs.

    from llem_runner.repeats import mean_interval, ratio_of_pairs
    mean_interval([100.2, 99.1, 100.9])               # (97.8, 102.4)
    ratio_of_pairs([100.2, 99.1, 100.9], [90.5, 90.1, 91.4])

All work on logarithms of positive figures, so that no result depends on the unit.
"""

from llem_runner._analysis.difference_words import (
    MAX_SAID,
    difference_words,
    interval_text,
    possible_difference,
    untold_difference,
)
from llem_runner._analysis.pairs import PairRatio, ratio_of_pairs
from llem_runner._analysis.statistics import (
    MIN_RUNS_FOR_INTERVAL,
    bounded_exp,
    geometric_mean,
    mean_interval,
)

__all__ = [
    "MAX_SAID",
    "MIN_RUNS_FOR_INTERVAL",
    "PairRatio",
    "bounded_exp",
    "difference_words",
    "geometric_mean",
    "interval_text",
    "mean_interval",
    "possible_difference",
    "ratio_of_pairs",
    "untold_difference",
]
