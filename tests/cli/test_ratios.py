"""Ratios in the tables stay short enough to read, however wide an interval is."""

from __future__ import annotations

from llem_cli._display.numbers import ratio_text
from llem_cli._display.study_comparison import ratio
from llem_report.records import Interval


def test_ends_of_an_interval_that_say_nothing_are_cut() -> None:
    interval = Interval(ratio=0.516, ci95_low=0.0001, ci95_high=172058498363410933211870527488.0)
    assert ratio(interval) == "0.516 (<0.001 to >1,000)"


def test_other_ratios_keep_their_decimals() -> None:
    assert ratio_text(27.906) == "27.91"  # as in the sentence above the ranking
    assert ratio_text(1.5, 2) == "1.50"
    assert ratio_text(999_999.0) == "999999"
    assert ratio_text(2.3014) == "2.301"
