"""Which factors matter most: contrasts, intervals, ranks, shares, flips; arithmetic only."""
