"""The tables of the shares of the variance: of each choice, and of each pair of choices."""

from __future__ import annotations

from llem_config.text import shortened
from llem_report._figures.names import short_names
from llem_report._figures.scales import percent
from llem_report._page.html import Cell, Column, table
from llem_report._page.tables import MAX_NAME, NONE, name
from llem_report.records import Analysis

PAIRS = (
    "Share of the variance between points that two choices explain together, beyond what each of "
    "them explains by itself. Where a choice meets itself: what it explains by itself."
)
"""What the table of pairs has."""


def shares_table(analysis: Analysis) -> str:
    """Return how the variance between points divides, with what belongs to no single choice."""
    columns = [Column("part"), Column("share of variance", is_number=True)]
    parts = [(factor.key, factor.share) for factor in analysis.factors if factor.share is not None]
    parts += list(analysis.shares_of_rest.items())
    rows = [[name(part), Cell(percent(share), share)] for part, share in parts]
    return table(columns, rows, name="shares")


def share_pairs_table(analysis: Analysis) -> str:
    """Return a matrix of all choices, the largest effect first; empty if there are no pairs.

    A pair without a share is one of which one choice exists at some levels of the other one only.
    """
    shares = {frozenset(term.factors): term.share for term in analysis.share_terms}
    keys = [factor.key for factor in analysis.factors if frozenset((factor.key,)) in shares]
    if len(keys) < 2:
        return ""
    names = short_names(keys)
    columns = [
        Column("choice"),
        *(Column(shortened(names[key], MAX_NAME), is_number=True) for key in keys),
    ]
    rows = [
        [name(key), *(_share(shares.get(frozenset((key, other)))) for other in keys)]
        for key in keys
    ]
    return table(columns, rows, name="pairs")


def _share(share: float | None) -> Cell:
    return NONE if share is None else Cell(percent(share), share)
