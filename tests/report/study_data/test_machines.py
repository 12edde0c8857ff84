"""Runs on another kind of machine are never part of a ranking without a sentence."""

from __future__ import annotations

from llem_report._study_data.cautions import connection_caveats
from llem_runner.records import Comparisons

LEFT_OUT = "4 runs on n3 are not compared: power limit 300 W, but 700 W in the other blocks"


def comparisons(*left_out: str) -> Comparisons:
    return Comparisons(
        figure="energy_per_output_token_j", n_blocks=2, left_out=(), left_out_blocks=left_out,
        n_unused=0, method="", rule="", error_budget={},
    )  # fmt: skip


def test_each_block_that_the_comparison_leaves_out_is_named_beside_the_ranking() -> None:
    assert list(connection_caveats(comparisons(LEFT_OUT))) == [
        f"the ranking contains runs on another kind of machine: {LEFT_OUT}"
    ]
    assert list(connection_caveats(comparisons())) == [] == list(connection_caveats(None))


def test_many_blocks_are_counted() -> None:
    lines = list(connection_caveats(comparisons(*(f"block {n}" for n in range(30)))))
    assert len(lines) == 11 and lines[-1] == "and 20 more of this kind"
