"""Every point of a study: its figures, its ratio to the best point, and the front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from llem_report._analysis.figure_means import FigureMean, figure_means, points_on_usual_machine
from llem_report._analysis.point_ratios import PointRatios
from llem_report._study_data.answer_quality import qualities_of_points
from llem_report._study_data.derived_figures import POWER_LIMITED
from llem_report._study_data.figures import ENERGY, FURTHER, SPEED
from llem_report._study_data.phase_uses import point_phases
from llem_report._study_data.shares import mean_shares
from llem_report._study_data.study_data import StudyData, StudyRun
from llem_report.records import Estimate, PointEstimate, RunEstimate

_FIRST_TOKEN = "time_to_first_token_s"
_SLOWEST_TOKENS = "inter_token_latency_p99_s"
_PHASES = ("prefill", "decode")

Means = Mapping[int, FigureMean]


def point_estimates(
    data: StudyData, ratios: PointRatios, values: Means
) -> tuple[PointEstimate, ...]:
    """Return every point of the study, in its order.

    Args:
        data: the study.
        ratios: of the points to the best one.
        values: means of the figure of merit.
    """
    energies, speeds, waits = (
        values if name == data.figure.name else figure_means(data, name)
        for name in (ENERGY, SPEED, _FIRST_TOKEN)
    )
    prefill, decode = (figure_means(data, f"phase.{name}.energy_per_token_j") for name in _PHASES)
    further = {
        name: values if name == data.figure.name else figure_means(data, name) for name in FURTHER
    }
    limited = mean_shares(data.runs, POWER_LIMITED)
    qualities = qualities_of_points(
        data.runs, [p.label for p in data.points], [p.config for p in data.points]
    )
    slowest, phases = figure_means(data, _SLOWEST_TOKENS), point_phases(data.runs)
    usual_energies, usual_speeds, usual_waits = (
        {i: means[i] for i in means.keys() & points_on_usual_machine(data, name)}
        for name, means in ((ENERGY, energies), (SPEED, speeds), (_FIRST_TOKEN, waits))
    )
    front = _front(usual_energies, usual_speeds)
    first_token_front = _front(
        usual_energies, {i: _per_second(wait) for i, wait in usual_waits.items()}
    )
    runs: dict[int, list[StudyRun]] = defaultdict(list)
    for run in data.runs:
        runs[run.point].append(run)
    estimates = []
    for i, point in enumerate(data.points):
        value, speed, wait = values.get(i), speeds.get(i), waits.get(i)
        levels = zip(data.factors, point.levels, strict=True)
        estimates.append(
            PointEstimate(
                config_hash=point.config_hash,
                label=point.label,
                levels={f.key: f.levels[level] for f, level in levels if level is not None},
                n_runs=sum(
                    run.index in ratios.runs if i in ratios.by_point and ratios.runs else run.used
                    for run in runs[i]
                ),
                n_planned=len(runs[i]),
                n_flagged=sum(run.quality == "flagged" for run in runs[i]),
                value=value.value if value else None,
                ci95_low=value.low if value else None,
                ci95_high=value.high if value else None,
                ratio_to_best=ratios.by_point.get(i),
                energy_per_output_token_j=_value(energies, i),
                tokens_per_second=_value(speeds, i),
                tokens_per_second_low=speed.low if speed else None,
                tokens_per_second_high=speed.high if speed else None,
                time_to_first_token_s=wait.value if wait else None,
                time_to_first_token_low_s=wait.low if wait else None,
                time_to_first_token_high_s=wait.high if wait else None,
                prefill_energy_per_token_j=_value(prefill, i),
                decode_energy_per_token_j=_value(decode, i),
                on_front=i in front,
                front_is_certain=front.get(i, False),
                on_first_token_front=i in first_token_front,
                first_token_front_is_certain=first_token_front.get(i, False),
                figures={
                    name: Estimate(value=mean.value, ci95_low=mean.low, ci95_high=mean.high)
                    for name, means in further.items()
                    if (mean := means.get(i)) is not None
                },
                power_limited_share=limited.get(i),
                quality=qualities[i],
                inter_token_latency_p99_s=_value(slowest, i),
                phases=phases.get(i, ()),
                n_other_machine=sum(run.other_machine is not None for run in runs[i]),
            )
        )
    return tuple(estimates)


def run_estimates(data: StudyData, values: Means) -> tuple[RunEstimate, ...]:
    """Return every planned run.

    Args:
        data: the study.
        values: means of the figure of merit.
    """
    has_others = {run.point for run in data.runs if run.used}
    return tuple(
        RunEstimate(
            index=run.index,
            cycle=run.cycle,
            config_hash=data.points[run.point].config_hash,
            label=data.points[run.point].label,
            status=run.status,
            quality=run.quality,
            value=run.value,
            ratio_to_point=(
                run.value / values[run.point].value
                if run.value is not None
                and run.value > 0
                and (run.used or run.point not in has_others)
                else None
            ),
            is_outlier=run.is_outlier,
            started_at=run.started_at,
            reasons=run.reasons,
            energy_bound_share=None if run.facts is None else run.facts.energy_bound_share,
            gpu_temperature_c=run.gpu_temperature_c,
            other_machine=run.other_machine,
        )
        for run in data.runs
    )


def _front(energies: Means, speeds: Means) -> dict[int, bool]:
    """Return the points that no other one beats in energy and speed, and whether that is certain.

    It is certain if every other point is worse in energy or in speed with the intervals apart.
    """
    both = sorted(
        energies.keys() & speeds.keys(), key=lambda i: (energies[i].value, -speeds[i].value)
    )
    front: list[int] = []
    fastest = 0.0
    for i in both:
        if speeds[i].value > fastest:
            front.append(i)
            fastest = speeds[i].value
    return {i: _is_certain(i, both, energies, speeds) for i in front}


def _per_second(wait: FigureMean) -> FigureMean:
    """Return a time as a rate, of which more is better as of a speed."""
    low = None if wait.high is None else 1 / wait.high
    high = None if wait.low is None else 1 / wait.low
    return FigureMean(1 / wait.value, low, high)


def _is_certain(i: int, points: Sequence[int], energies: Means, speeds: Means) -> bool:
    energy, speed = energies[i], speeds[i]
    if energy.high is None or speed.low is None:
        return False
    return all(
        _is_above(energies[j].low, energy.high) or _is_above(speed.low, speeds[j].high)
        for j in points
        if j != i
    )


def _is_above(value: float | None, other: float | None) -> bool:
    return value is not None and other is not None and value > other


def _value(means: Means, i: int) -> float | None:
    return means[i].value if i in means else None
