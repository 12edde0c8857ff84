"""How two studies are compared in words, and what the intervals do not cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_report._comparison.measured_study import MeasuredRun, MeasuredStudy
from llem_report._comparison.sides import Side
from llem_report._comparison.verdict import Judgement, Rule
from llem_report._comparison.welch import Difference
from llem_report._study_data.study_data import FigureInfo
from llem_report.comparison_records import UnpairedPoint

METHOD = (
    "points are paired by their configuration; ratios of geometric means. All points: Welch's t "
    "between the means of whole cycles, because all runs of a cycle share the state of the machine "
    "and the two studies have no cycle in common. Single points: Welch's t between runs, with "
    "degrees of freedom rounded down and intervals that hold simultaneously for all points (Sidak). "
    "Relative to all points: the same with the mean of each cycle removed"
)


def why_not_comparable(
    base: Sequence[MeasuredRun], new: Sequence[MeasuredRun], figure: FigureInfo
) -> str | None:
    """Return why the figures of two studies cannot be compared at all; None if they can."""
    if not figure.is_energy:
        return None
    sources = [
        sorted({run.source or "unknown" for run in runs if figure.name in run.figures})
        for runs in (base, new)
    ]
    if sources[0] == sources[1] and len(sources[0]) == 1:
        return None
    names = [" and ".join(names) for names in sources]
    return (
        f"the base was metered by {names[0]} and the new study by {names[1]}, which measure "
        "different devices"
    )


def caveats(
    base: MeasuredStudy,
    new: MeasuredStudy,
    base_runs: Sequence[MeasuredRun],
    new_runs: Sequence[MeasuredRun],
    *,
    gain: float,
    identical: bool,
) -> Iterator[str]:
    """Yield possible errors of the ratios that the intervals do not cover.

    Args:
        base: the earlier study.
        new: the later study.
        base_runs: runs of the paired points.
        new_runs: runs of the paired points.
        gain: share by which the sensors of the two studies may differ.
        identical: whether both have the same runs.
    """
    for name, study in (("base", base), ("new", new)):
        manifest = study.manifest
        if manifest.status != "completed":
            n_completed, n_runs = manifest.totals.completed, len(manifest.entries)
            yield f"{name} is {manifest.status}: {n_completed} of {n_runs} runs are completed"
        yield from (f"{name}: {problem}" for problem in study.problems)
        yield from (f"{name}: {sentence}" for sentence in study.other_machines)
    if gain:
        yield (
            f"the studies were metered on different boards, whose gains differ by up to about "
            f"{100 * gain:g} %; the verdict takes this into account, the intervals do not"
        )
    shared = {run.identity for run in base_runs} & {run.identity for run in new_runs}
    if shared and not identical:
        yield f"{len(shared)} runs are in both studies, so the intervals are too wide"
    if _other_prompts(base_runs, new_runs):
        yield "points with the same configuration had other prompts in the new study"


def _other_prompts(base: Sequence[MeasuredRun], new: Sequence[MeasuredRun]) -> bool:
    earlier: dict[str, set[str]] = {}
    for run in base:
        earlier.setdefault(run.config_hash, set()).add(run.prompts_sha256)
    return any(
        run.config_hash in earlier and run.prompts_sha256 not in earlier[run.config_hash]
        for run in new
    )


def no_common_point(
    base: MeasuredStudy, new: MeasuredStudy, figure: FigureInfo, unpaired: Sequence[UnpairedPoint]
) -> str:
    """Return the error of two studies without a common point, with the two nearest points."""
    text = f"{base.folder} and {new.folder} have no common point with results"
    if any(point.nearest is None and "too few results" in point.reason for point in unpaired):
        return f"no point has {figure.unit} in both {base.folder} and {new.folder}"
    nearest = min(
        (point for point in unpaired if point.nearest is not None),
        key=lambda point: len(point.differences),
        default=None,
    )
    if nearest is None:
        return f"{text}; compare studies of the same study file"
    fields = ", ".join(
        f"{each.field} ({each.base or 'not set'} and {each.new or 'not set'})"
        for each in nearest.differences
    )
    names = (nearest.label, nearest.nearest)
    first, second = names if nearest.study == "base" else names[::-1]
    return (
        f"{text}. The nearest points are {first} and {second}, which differ in {fields}; "
        "--ignore FIELD pairs points that differ in a field"
    )


def why_no_verdict(
    old: Side,
    later: Side,
    overall: Difference,
    rule: Rule,
    judgement: Judgement,
    needed: int | None,
) -> str:
    """Return why an interval allows no verdict, and what would."""
    if overall.half_width is None:
        names = [
            f"{name} has {_cycles(side.cycles.n_cycles)}"
            for name, side in (("the base", old), ("the new study", later))
            if side.cycles.n_cycles < 2
        ]
        text = f"{' and '.join(names)}, but an interval needs at least 2 of each study"
        return f"{text}; use 5 cycles"
    if judgement.missing_half_width <= 0 and rule.sensor_gain:
        return (
            f"the sensors of two boards may differ by {100 * rule.sensor_gain:g} %, which no number of cycles "
            "shows; --same-meter leaves this out"
        )
    if needed is None:
        return "the interval is too wide, and no number of cycles up to 1000 would be enough"
    return f"the interval is too wide; about {needed} cycles of each study would be enough"


def _cycles(number: int) -> str:
    return "1 complete cycle" if number == 1 else f"{number or 'no'} complete cycles"
