"""The highlight of one level through all figures of a page.

A figure has the parameter `picked`: empty, or the numbers of a factor and of one of its levels in
`Analysis.factors`. A page sets it in all figures at once; marks of other levels fade.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from llem_report.records import Analysis, PointEstimate

NAME = "picked"
LABELS = "labels"
"""The data set of `point_labels`."""
_FADED = 0.12
_ELSEWHERE = " (another kind of machine, not compared)"


def parameter() -> Any:
    """Return the parameter that a page sets."""
    return alt.param(name=NAME, value=[])


def point_labels(analysis: Analysis) -> list[dict[str, Any]]:
    """Return the label of each point with its number `p`, from 1 in the order of the study.

    `l` has the number of the level that the point has of each factor, -1 for none. Figures of one
    page share these rows, so that a label is in the page once.
    """
    numbers = {
        factor.key: {level.level: number for number, level in enumerate(factor.levels)}
        for factor in analysis.factors
    }
    return [
        {
            "p": number,
            "point": point.label + (_ELSEWHERE if _is_elsewhere(point) else ""),
            "l": [names.get(point.levels.get(key, ""), -1) for key, names in numbers.items()],
        }
        for number, point in enumerate(analysis.points, 1)
    ]


def _is_elsewhere(point: PointEstimate) -> bool:
    """Return whether all runs of a point with the figure are on another kind of machine than most."""
    return point.n_other_machine > 0 and point.n_runs == 0


def point_numbers(analysis: Analysis) -> dict[str, int]:
    """Return the number `p` of each point by the hash of its configuration."""
    return {point.config_hash: number for number, point in enumerate(analysis.points, 1)}


def with_labels(chart: Any) -> Any:
    """Return a chart whose rows get the label and the levels of their point."""
    labels = alt.LookupData(data=alt.NamedData(LABELS), key="p", fields=["point", "l"])
    return chart.transform_lookup(lookup="p", from_=labels)


def when_picked(opacity: float = 1.0) -> Any:
    """Return the opacity of a mark whose row has the levels of its point in `l`."""
    test = f"!length({NAME}) || datum.l[{NAME}[0]] === {NAME}[1]"
    return alt.condition(test, alt.value(opacity), alt.value(_FADED * opacity))
