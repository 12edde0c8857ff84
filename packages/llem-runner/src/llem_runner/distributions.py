"""Quantiles and tails of the distributions behind the intervals of a study, without scipy.

Importing `scipy.special` takes longer than ranking a study of 1,000 runs.
"""

from llem_runner._analysis.distributions import chi_square_above
from llem_runner._analysis.quantiles import t_quantile

__all__ = ["chi_square_above", "t_quantile"]
