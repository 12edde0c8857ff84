"""Which choices of a study matter most: a line per choice, and how they depend on each other."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from llem_cli._display.console import (
    add_row,
    count,
    first_lines,
    plain_table,
    print_table,
    say,
    stdout_console,
)
from llem_cli._display.numbers import plain, ratio_text
from llem_report.records import Analysis, FactorEffect, Interval
from llem_runner.repeats import MAX_SAID, interval_text

_MAX_CHOICES = 5
_MAX_FLIPS = 3
_WITHOUT_INTERVAL = "ratios without intervals, which may be noise or drift:"


def show_ranking(
    analysis: Analysis, *, shown: Sequence[str] = (), console: Console | None = None
) -> None:
    """Print which choices matter most, or why that cannot be told.

    A study of one point has no choices; nothing is printed.

    Args:
        analysis: of the study.
        shown: caveats, and sentences about what is left out, that were printed already.
        console: where to print the table; stdout if not given.
    """
    if analysis.n_points < 2:
        return
    say("")
    say(analysis.finding)
    if analysis.factors:
        if analysis.reason is not None:
            say(_WITHOUT_INTERVAL)
        print_table(_table(analysis), console or stdout_console())
    for line in _notes(analysis, shown):
        say(line)


def _table(analysis: Analysis) -> Table:
    """Return one row per choice, the largest effect first."""
    first = analysis.factors[:_MAX_CHOICES]
    has_ranks = any(factor.rank_low is not None for factor in first)
    has_shares = any(factor.share is not None for factor in first)
    table = plain_table()
    names = {
        "rank": has_ranks,
        "choice": True,
        "worst over best" if analysis.lower_is_better else "best over worst": True,
        "levels": True,
        "share of\nvariance": has_shares,
    }
    for name, is_shown in names.items():
        if is_shown:
            is_share = name.startswith("share")
            table.add_column(name, justify="right" if is_share else "left", overflow="fold")
    for factor in first:
        cells = (
            "-".join(map(str, factor.ranks)) or "-",
            factor.key,
            _ratio(factor),
            _levels(factor, lower_is_better=analysis.lower_is_better),
            _share(factor.share),
        )
        add_row(
            table, [cell for cell, is_shown in zip(cells, names.values(), strict=True) if is_shown]
        )
    return table


def _ratio(factor: FactorEffect) -> str:
    effect = factor.effect
    if effect is None:
        return "cannot be told"
    if factor.verdict == "no_effect_found" and effect.ci95_high is not None:
        if effect.ci95_high > MAX_SAID:
            return "no effect found; even x 1,000 is possible"
        return f"no effect found; at most x {ratio_text(effect.ci95_high)}"
    return f"x {_with_interval(effect)}"


def _with_interval(effect: Interval) -> str:
    if effect.ci95_low is None or effect.ci95_high is None:
        return plain(effect.ratio, 3)
    places = 3 if effect.ci95_high - effect.ci95_low < 0.02 else 2
    plain_end = functools.partial(ratio_text, places=places)
    ends = interval_text(effect.ci95_low, effect.ci95_high, plain_end)
    return f"{ratio_text(effect.ratio, places)} ({ends})"


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    if 0 < share < 0.001:
        return "below 0.1 %"
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _levels(factor: FactorEffect, *, lower_is_better: bool) -> str:
    if factor.effect is None:
        return factor.reason or ""
    if factor.verdict == "no_effect_found":
        return ""
    first, second = (factor.worst, factor.best) if lower_is_better else (factor.best, factor.worst)
    levels = f"{first} over {second}"
    return f"{levels}; {factor.note}" if factor.note else levels


def _notes(analysis: Analysis, shown: Sequence[str]) -> Iterator[str]:
    """Yield what the table leaves out, which choices depend on others, and what could be wrong."""
    n_more = len(analysis.factors) - _MAX_CHOICES
    if n_more > 0:
        yield f"and {count(n_more, 'more choice')}; `study show --json` lists all"
    if any(factor.rank_low is not None for factor in analysis.factors):
        yield (
            "x: ratio of two levels, everything else equal, with 95 % confidence intervals that hold "
            "for all choices at once; a range of ranks: these places cannot be told apart"
        )
    flips = [each.text for each in analysis.dependences if each.flips]
    for text in flips[:_MAX_FLIPS]:
        yield f"depends on another choice: {text}"
    if len(flips) > _MAX_FLIPS:
        yield f"and {count(len(flips) - _MAX_FLIPS, 'more choice')} that flip with another one"
    if analysis.flips_note is not None and analysis.reason is None:
        yield analysis.flips_note
    if analysis.shares_reason is not None and analysis.reason is None:
        yield f"the shares of variance are not known: {analysis.shares_reason}"
    yield from first_lines(
        (f"left out: {sentence}" for sentence in analysis.left_out if sentence not in shown),
        lambda n: (
            f"and {count(n, 'other line')} about what is left out; `study show --json` lists all"
        ),
    )
    for caveat in analysis.caveats:
        if caveat not in shown:
            yield f"caveat: {caveat}"
