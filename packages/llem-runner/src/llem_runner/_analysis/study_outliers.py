"""The outliers of a study, with their warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llem_runner._analysis.common_blocks import Block, block_of
from llem_runner._analysis.headline import headline, headline_values
from llem_runner._analysis.outliers import Run, outlying_runs
from llem_runner._analysis.statistics import geometric_mean
from llem_runner._storage.comparison_records import Outlier
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun


def find_outliers(
    entries: Sequence[ManifestEntry], results: Mapping[int, MeasuredRun]
) -> tuple[Outlier, ...]:
    """Return the runs that are far from the other runs of their point, by the headline figure."""
    figure = headline(results.values())
    values = headline_values(results, figure)
    runs = [entry for entry in entries if entry.index in values]
    # What the runs of a block have in common is no outlier: several machines may share a cycle.
    numbers: dict[Block, int] = {}
    for run in runs:
        if run.shard is not None:
            numbers.setdefault(block_of(run), len(numbers) + 1)
    found = outlying_runs(
        [
            Run(
                run.config_hash,
                numbers[block_of(run)] if numbers else run.cycle,
                math.log(values[run.index]),
            )
            for run in runs
        ]
    )
    outlying = [runs[position] for position in found]
    usual: dict[str, list[float]] = {}
    for run in runs:
        if run not in outlying:
            usual.setdefault(run.config_hash, []).append(values[run.index])
    return tuple(
        Outlier(
            index=run.index,
            cycle=run.cycle,
            label=run.label,
            figure=figure,
            ratio=values[run.index] / geometric_mean(usual[run.config_hash]),
            warnings=results[run.index].measurement_warnings,
        )
        for run in sorted(outlying, key=lambda run: run.index)
    )
