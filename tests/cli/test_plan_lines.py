"""The lines before a study starts: how long it takes, and what would be saved without gaps."""

from __future__ import annotations

from fakes.studies import study

from llem_cli._display.plan import summary_lines
from llem_runner.plan import Forecast, schedule


def lines(overhead_s: float | None, *, has_needless_gaps: bool, gaps_s: float = 780.0) -> list[str]:
    planned = study((1, 2))
    expected = Forecast(
        gaps_s=gaps_s, windows_s=30.0, overhead_s=overhead_s, n_earlier_runs=8,
        has_needless_gaps=has_needless_gaps,
    )  # fmt: skip
    return list(summary_lines(planned, schedule(planned), expected))


def test_the_time_has_loading_and_warm_up_as_in_earlier_runs() -> None:
    assert lines(90.0, has_needless_gaps=False)[-1] == (
        "takes about 15 min (13 min of gaps, 30 s of measured windows, and loading and warm-up as in "
        "8 earlier runs here)"
    )


def test_without_earlier_runs_the_time_is_a_least_one() -> None:
    assert lines(None, has_needless_gaps=False)[-1] == (
        "takes at least 13 min 30 s (13 min of gaps, 30 s of measured windows), plus loading and warm-up"
    )


def test_what_is_not_known_is_named_beside_what_is() -> None:
    planned = study((1, 2))
    expected = Forecast(
        gaps_s=0.0, windows_s=30.0, overhead_s=None, known_overhead_s=60.0, unknown=("org/new",),
        n_earlier_runs=8, has_needless_gaps=False,
    )  # fmt: skip
    assert list(summary_lines(planned, schedule(planned), expected))[-1] == (
        "takes at least 1 min 30 s (0 s of gaps, 30 s of measured windows, 1 min of loading and warm-up "
        "as in 8 earlier runs here), plus loading and warm-up of org/new, which has not run here before"
    )


def test_no_time_is_given_where_none_is_known() -> None:
    planned = study((1, 2))
    (first, *others) = summary_lines(planned, schedule(planned), None)
    assert "2 points x" in first
    assert not any("takes" in line for line in others)


def test_gaps_that_may_be_left_out_are_named_with_what_that_costs() -> None:
    (*_, last) = lines(None, has_needless_gaps=True)
    assert last == (
        "`study run --no-gaps` saves 13 min. Each run then begins on a warm processor, so intervals may "
        "be wider."
    )
    assert "--no-gaps" not in " ".join(lines(None, has_needless_gaps=True, gaps_s=59.0))
