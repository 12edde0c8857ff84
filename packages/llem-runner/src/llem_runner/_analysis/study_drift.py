"""How the figures of a study changed over its time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from llem_runner._analysis.compared_runs import ComparedRuns
from llem_runner._analysis.machines import run_elsewhere
from llem_runner._analysis.trends import drift
from llem_runner._storage.comparison_records import Drift
from llem_runner._storage.run_facts import MeasuredRun


def find_drift(runs: ComparedRuns, results: Mapping[int, MeasuredRun]) -> Drift | None:
    """Return the change of the headline figure from the first run of complete cycles to the last.

    Returns:
        None for fewer than 3 complete cycles or 2 points, and if the cycles ran on several machines
        or devices, whose differences would look like a drift.
    """
    rows = runs.complete_rows
    if run_elsewhere(results[index] for row in rows for index in row):
        return None
    logs = [[math.log(runs.values[index]) for index in row] for row in rows]
    times = [
        [datetime.fromisoformat(results[index].started_at).timestamp() for index in row]
        for row in rows
    ]
    slope = drift(logs, times) if logs else None
    if slope is None:
        return None
    return Drift(
        figure=runs.figure,
        ratio=math.exp(slope.change),
        ci95_low=math.exp(slope.change - slope.half_width),
        ci95_high=math.exp(slope.change + slope.half_width),
        distinguishable=slope.is_clear,
    )
