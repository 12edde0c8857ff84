"""Compare the points of a study with the best one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from llem_runner._analysis.caveats import caveats, error_budget
from llem_runner._analysis.common_blocks import (
    Fit,
    best_first,
    several_meters,
    why_not_compared,
)
from llem_runner._analysis.compared_runs import ComparedRuns, runs_to_compare
from llem_runner._analysis.headline import FIGURE_NAMES
from llem_runner._analysis.late_points import late_point_sentences
from llem_runner._analysis.looks import alpha_after
from llem_runner._analysis.machine_effects import distant_machines
from llem_runner._analysis.machines import devices_of, machine_of
from llem_runner._analysis.meters import meter_of
from llem_runner._analysis.statistics import bounded_exp
from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner._storage.comparison_records import ComparedBlock, Comparison, Comparisons
from llem_runner._storage.manifest import Extension, ManifestEntry
from llem_runner._storage.run_facts import MeasuredRun

_METHOD = (
    "additive model of point and block on logarithms, which removes what all runs of a block have "
    "in common; a block is what one process ran of one cycle; least squares; ratios of geometric means; simultaneous intervals over all pairs of points, because "
    "the reference is chosen after the measurement: points are grouped by their spread; Tukey's "
    "intervals within a group (Tukey-Kramer's if blocks lack runs), Welch's with Bonferroni's correction between groups, both with a "
    "paired t test of each pair; paired t tests with Bonferroni's correction for a point that is "
    "alone with its spread"
)
_RULE = (
    "no run with a result is dropped because of its value; a point with results in "
    "less than half as large a share of its planned runs as the best point is left out, and so is a run on another kind of machine than most runs "
    "(name, memory, power limit, default power limit or MIG of the GPU; the processor where no GPU computes); the runs compared are those of the remaining "
    f"points in blocks of at least two of them, at least {MIN_CYCLES} runs of each point; two points "
    "differ if their interval excludes 1"
)


def compare_points(
    entries: Sequence[ManifestEntry],
    results: Mapping[int, MeasuredRun],
    cycle_order: str,
    *,
    input_changes: Sequence[str] = (),
    looks: Sequence[int] = (),
    outliers: Sequence[int] = (),
    extensions: Sequence[Extension] = (),
    runs: ComparedRuns | None = None,
) -> Comparisons:
    """Return the ratio of every point to the best one, or the reason why there is none.

    Args:
        entries: every planned run of the study.
        results: results of the completed runs, by index.
        cycle_order: the order in which the study ran its points.
        input_changes: how the files that the runs read changed during the study; if they did,
            nothing is compared.
        looks: number of cycles at each earlier result after which cycles were added.
        outliers: indices of the runs that are far from the others of their point.
        extensions: points that were added to the study.
        runs: those that are compared, if they are known; None: `runs_to_compare` of the others.
    """
    runs = runs or runs_to_compare(entries, results)
    labels = {entry.config_hash: entry.label for entry in entries}
    no_comparison = Comparisons(
        figure=runs.figure,
        n_blocks=len(runs.blocks),
        left_out=tuple(labels[point] for point in runs.left_out),
        late_points=tuple(late_point_sentences(extensions, entries, runs)),
        left_out_reasons=runs.reasons,
        left_out_runs=tuple(runs.machines.left_out),
        left_out_machines=runs.machines.sentences,
        n_unused=len(runs.values),
        n_unused_other_machine=len(runs.values.keys() & runs.machines.left_out.keys()),
        method=_METHOD,
        rule=_RULE,
        looks=tuple(looks),
        error_budget=error_budget(runs.rows, results, runs.figure),
    )
    name = FIGURE_NAMES[runs.figure]
    sources = (
        {index: meter_of(results[index]) for row in runs.rows for index in row}
        if runs.figure == "energy_per_output_token_j"
        else {}
    )
    reason = why_not_compared(runs.points, runs.blocks, cycle_order, name) or several_meters(
        runs.blocks, sources
    )
    if input_changes:
        reason = "not all runs measured the same files"
    if reason is not None:
        return msgspec.structs.replace(no_comparison, reason=reason)
    fit = runs.fit(alpha_after(looks))
    reference, *others = best_first(fit, lower_is_better=runs.figure == "energy_per_output_token_j")
    blocks = _blocks(fit, runs, {entry.index: entry for entry in entries}, results)
    points = [(i, runs.points[i], labels[runs.points[i]]) for i in others]
    return msgspec.structs.replace(
        no_comparison,
        reference_hash=runs.points[reference],
        reference_label=labels[runs.points[reference]],
        points=tuple(_comparison(fit, i, reference, point, label) for i, point, label in points),
        blocks=blocks,
        distant_machines=tuple(distant_machines(_effects_of_machines(blocks))),
        n_unused=len(runs.values) - runs.n_runs,
        residual_cv=fit.residual_sd,
        residual_cvs={
            point: fit.groups[group].sd
            for point, group in zip(runs.points, fit.group_of, strict=True)
        },
        detectable_ratio=bounded_exp(fit.usual_half_width),
        caveats=(*caveats(runs, entries, results, looks, outliers), *runs.machines.caveats),
    )


def _comparison(fit: Fit, i: int, reference: int, point: str, label: str) -> Comparison:
    difference = fit.means[i] - fit.means[reference]
    half_width = fit.half_width(i, reference)
    return Comparison(
        config_hash=point,
        label=label,
        ratio=bounded_exp(difference),
        ci95_low=bounded_exp(difference - half_width),
        ci95_high=bounded_exp(difference + half_width),
        distinguishable=abs(difference) > half_width,
    )


def _blocks(
    fit: Fit,
    runs: ComparedRuns,
    entries: Mapping[int, ManifestEntry],
    results: Mapping[int, MeasuredRun],
) -> tuple[ComparedBlock, ...]:
    """Return what the runs of each block have in common."""
    blocks = []
    for (block, members), (effect, half_width) in zip(
        runs.blocks.items(), fit.block_effects(), strict=True
    ):
        first = entries[next(iter(members.values()))]
        own = [results[index] for index in members.values()]
        blocks.append(
            ComparedBlock(
                cycle=block[0],
                session=first.session,
                shard=first.shard,
                n_runs=len(members),
                ratio=bounded_exp(effect),
                ci95_low=bounded_exp(effect - half_width),
                ci95_high=bounded_exp(effect + half_width),
                machine=machine_of(own),
                devices=devices_of(own),
            )
        )
    return tuple(blocks)


def _effects_of_machines(blocks: Sequence[ComparedBlock]) -> dict[str, list[float]]:
    """Return the effects of the blocks of each machine and its devices, as logarithms."""
    effects: dict[str, list[float]] = {}
    for block in blocks:
        name = f"{', '.join(block.devices) or 'the processor'} on {block.machine or 'a machine'}"
        effects.setdefault(name, []).append(math.log(block.ratio))
    return effects
