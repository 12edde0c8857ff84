"""How often the verdicts of `study compare` are right, on pairs of simulated studies.

    uv run python benchmarks/compare_statistics.py [--trials 2000]

Each pair is compared by `llem_report` itself. Beside its verdict are those of two usual methods: a t
test for each point without a correction for their number, and the method that is right within a
study, where the effects of cycles are removed first. The seeds are fixed, so the table is the same on
every machine. Exits with code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from llem_report._comparison.compare import compare_studies
from llem_report._comparison.measured_study import MeasuredRun, MeasuredStudy
from llem_report._comparison.welch import Part, cycles_needed, difference, t_quantile
from llem_report._study_data.figures import ENERGY
from llem_runner.records import MachineKind, ManifestEntry, StudyManifest, Totals

N_POINTS = 20
NOISE = 0.02  # standard deviation of the logarithm of a run
CYCLE_SD = 0.01  # the same of what all runs of a cycle share


class Case(NamedTuple):
    """A kind of pair, and what is expected of its verdicts."""

    name: str
    cycles: tuple[int, int]
    """Of the base and of the new study."""
    worse: float = 0.0
    """True change of all points."""
    gate: float | None = None
    max_worse: float | None = None
    """Largest share of pairs that may be called worse; `None`: any."""
    min_worse: float | None = None
    noise_of_new: float = NOISE
    n_shards: int = 1
    """Of each study; each shard has points of its own, and cycles of its own."""


class Rates(NamedTuple):
    """Shares of all pairs."""

    any_point: float
    """A t test calls at least one point worse."""
    cycles_removed: float
    """The test with cycle effects removed calls the study worse."""
    worse: float
    """The verdict of `study compare` is worse."""
    holds: float
    """The interval contains the true ratio."""
    points_hold: float
    """The intervals of all points contain the true ratio."""


CASES = (
    Case("no change", (2, 2), max_worse=0.025),
    Case("no change", (3, 3), max_worse=0.025),
    Case("no change", (5, 5), max_worse=0.025),
    Case("no change", (3, 5), max_worse=0.025),
    Case("no change, new study 3 x noisier", (5, 5), max_worse=0.025, noise_of_new=3 * NOISE),
    Case("no change, 2 shards of 10 points", (3, 3), max_worse=0.025, n_shards=2),
    Case("3 % worse", (3, 3), worse=0.03, min_worse=0.55),
    Case("3 % worse", (5, 5), worse=0.03, min_worse=0.93),
    Case("5 % worse, gate 2 %", (5, 5), worse=0.05, gate=0.02, min_worse=0.93),
    Case("no change, gate 2 %", (5, 5), gate=0.02, max_worse=0.005),
    Case("2 % worse, gate 2 %", (5, 5), worse=0.02, gate=0.02, max_worse=0.025),
)


def rates(case: Case, trials: int) -> Rates:
    """Compare simulated pairs of studies, and return what was said about them."""
    noise = random.Random(repr(case))
    sums = [0, 0, 0, 0, 0]
    gate = math.log1p(case.gate or 0.0)
    truth = 1 + case.worse
    for _ in range(trials):
        base = simulated_study(noise, case.cycles[0], n_shards=case.n_shards)
        new = simulated_study(
            noise, case.cycles[1], truth, noise_sd=case.noise_of_new, n_shards=case.n_shards
        )
        compared = compare_studies(base, new, gate=case.gate)
        assert compared.ratio is not None
        outcomes = (
            any(low > gate for low in _lowest_of_points(base, new)),
            _low_with_cycles_removed(base, new) > gate,
            compared.verdict == "worse",
            _contains(compared.ratio.ci95_low, compared.ratio.ci95_high, truth),
            all(_contains(p.ratio.ci95_low, p.ratio.ci95_high, truth) for p in compared.points),
        )
        sums = [total + outcome for total, outcome in zip(sums, outcomes, strict=True)]
    return Rates(*(total / trials for total in sums))


def simulated_study(
    noise: random.Random,
    n_cycles: int,
    factor: float = 1.0,
    *,
    noise_sd: float = NOISE,
    n_shards: int = 1,
    n_points: int = N_POINTS,
) -> MeasuredStudy:
    """Return a study with the same points in every call; point `i` needs `(i + 1) * factor` joules."""
    runs: list[MeasuredRun] = []
    for shard in range(n_shards):
        for cycle in range(1, n_cycles + 1):
            effect = noise.gauss(0, CYCLE_SD)
            for point in range(shard, n_points, n_shards):
                value = (point + 1) * factor * math.exp(effect + noise.gauss(0, noise_sd))
                runs.append(_run(len(runs) + 1, (shard, cycle), f"{point}", value))
    points = {f"{point}": f"n={point}" for point in range(n_points)}
    entries = tuple(
        ManifestEntry(
            index=run.number, cycle=run.block[1], config_hash=run.config_hash, label=run.config_hash
        )
        for run in runs
    )
    manifest = StudyManifest(
        study_name="simulated", study_design_hash="0" * 16, versions={}, host="here", pid=1,
        status="completed", started_at="2026-01-01T00:00:00+00:00", ended_at=None, entries=entries,
        totals=Totals(pending=0, running=0, completed=len(runs), failed=0, interrupted=0),
    )  # fmt: skip
    return MeasuredStudy(
        Path("simulated"),
        manifest,
        points,
        {point: {"n": point} for point in points},
        tuple(runs),
        frozenset(),
        (),
        {},
        (),
    )


def _run(number: int, block: tuple[int, int], point: str, value: float) -> MeasuredRun:
    return MeasuredRun(
        number,
        block,
        point,
        {ENERGY: value},
        "nvml",
        frozenset({"GPU-1"}),
        frozenset(),
        (point, f"{value!r}"),
        "",
        MachineKind(False, (), None, None, None),
    )


def _contains(low: float | None, high: float | None, truth: float) -> bool:
    return low is not None and high is not None and low <= truth <= high


def _logs(study: MeasuredStudy) -> dict[str, list[float]]:
    logs: dict[str, list[float]] = {}
    for run in study.runs:
        logs.setdefault(run.config_hash, []).append(math.log(run.figures[ENERGY]))
    return logs


def _lowest_of_points(base: MeasuredStudy, new: MeasuredStudy) -> Iterator[float]:
    """Yield the lower end of a 95 % interval for each point, by Welch's t."""
    before = _logs(base)
    for point, values in _logs(new).items():
        yield difference(_one_part(values), _one_part(before[point])).low


def _one_part(values: Sequence[float]) -> tuple[Part]:
    return (Part(1.0, tuple(values)),)


def _low_with_cycles_removed(base: MeasuredStudy, new: MeasuredStudy) -> float:
    """Return the lower end of an interval whose error is that of runs within their cycles."""
    squares, df, share = 0.0, 0, 0.0
    means = []
    for study in (base, new):
        columns = list(_logs(study).values())
        rows = [statistics.fmean(row) for row in zip(*columns, strict=True)]
        mean = statistics.fmean(rows)
        means.append(mean)
        for column in columns:
            centre = statistics.fmean(column) - mean
            squares += sum((v - row - centre) ** 2 for v, row in zip(column, rows, strict=True))
        df += (len(columns) - 1) * (len(rows) - 1)
        share += 1 / (len(columns) * len(rows))
    return means[1] - means[0] - t_quantile(0.975, df) * math.sqrt(squares / df * share)


def power_at_needed_cycles(worse: float, trials: int) -> tuple[int, float]:
    """Return the cycles that are said to be needed for a change, and how often they are enough."""
    sd = math.sqrt(CYCLE_SD**2 + NOISE**2 / N_POINTS)
    many = (Part(1.0, (-sd, sd) * 1000),)  # with this standard deviation
    needed = cycles_needed(many, many, math.log1p(worse))
    assert needed is not None
    return needed, rates(Case("power", (needed, needed), worse=worse), trials).worse


def misses(case: Case, result: Rates, trials: int) -> list[str]:
    """Return the goals that a case misses, with two standard errors of tolerance."""
    problems = []
    name = f"{case.cycles[0]}+{case.cycles[1]}, {case.name}"
    if case.max_worse is not None:
        error = 2 * math.sqrt(max(case.max_worse, 0.005) * (1 - case.max_worse) / trials)
        if result.worse > case.max_worse + error:
            problems.append(f"{name}: worse in {result.worse:.1%}, goal <= {case.max_worse:.1%}")
    if case.min_worse is not None and result.worse < case.min_worse:
        problems.append(f"{name}: worse in {result.worse:.1%}, goal >= {case.min_worse:.1%}")
    error = 2 * math.sqrt(0.95 * 0.05 / trials)
    if result.holds < 0.95 - error:
        problems.append(f"{name}: the interval holds in {result.holds:.1%}, goal >= 95 %")
    if result.points_hold < 0.95 - error:
        problems.append(f"{name}: all points hold in {result.points_hold:.1%}, goal >= 95 %")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description="verdicts about simulated pairs of studies")
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args(arguments).trials
    start = time.perf_counter()
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {trials} pairs of studies each, "
        f"{N_POINTS} points, noise {NOISE:.0%}, cycles {CYCLE_SD:.0%}"
    )
    print("called worse by: t tests of each point, the test with cycles removed, study compare")
    print(
        f"{'cycles':>6}  {'truth':<34} {'points':>7} {'removed':>8} {'compare':>8} {'holds':>7} "
        f"{'all points':>11}"
    )
    problems: list[str] = []
    for case in CASES:
        result = rates(case, trials)
        problems += misses(case, result, trials)
        print(
            f"{case.cycles[0]:>4}+{case.cycles[1]} {case.name:<34}  {result.any_point:>7.1%} "
            f"{result.cycles_removed:>8.1%} {result.worse:>8.1%} {result.holds:>7.1%} "
            f"{result.points_hold:>11.1%}",
            flush=True,
        )
    for worse in (0.02, 0.03, 0.05):
        needed, power = power_at_needed_cycles(worse, trials)
        print(
            f"{worse:.0%} worse: {needed} cycles are said to be needed; they show it in {power:.1%}"
        )
        if not 0.75 <= power <= 0.97:
            problems.append(f"{worse:.0%} worse: the needed cycles show it in {power:.1%}")
    for problem in problems:
        print(f"missed: {problem}")
    print(f"{time.perf_counter() - start:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
