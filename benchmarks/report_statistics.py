"""How often the ranking of factors is right, on simulated studies with known effects.

    uv run python benchmarks/report_statistics.py [--quick] [--trials 500] [--peer-studies 20]

Single intervals, ranges, ranks, flips, one cycle, the rankings of other tools on the same studies,
and the sums of squares and quantiles against other libraries, each beside its goal. The seeds are
fixed. Exits with code 1 if a goal is missed. Where fewer trials are simulated than 500, the goals
are wider by the larger sampling error.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
# Many small matrices: threads of the linear algebra cost more than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.report.intervals import OneCycle, flips, one_cycle_coverage, tally
from benchmarks.report.peers import OURS, PEER_KINDS, Score, scores, sums_of_squares_difference
from benchmarks.report.studies import KINDS, grid
from llem_runner._analysis.quantiles import range_quantile, t_quantile

_FULL_TRIALS = 500
_missed: list[str] = []


def goal(what: str, *, reached: bool) -> str:
    """Return a mark, and note a goal that was missed."""
    if not reached:
        _missed.append(what)
    return "" if reached else "  MISSED"


def error(trials: int, share: float = 0.05) -> float:
    """Return two standard errors of a share that was simulated."""
    return 2 * math.sqrt(share * (1 - share) / trials)


def intervals(trials: int) -> None:
    """Print intervals, ranges, ranks and null factors by kind of study."""
    extra = max(error(trials) - error(_FULL_TRIALS), 0.0)
    rare = max(error(trials, 0.01) - error(_FULL_TRIALS, 0.01), 0.0)
    print(
        "goals: single intervals 93-97.5 %; all ranges >= 95 % - 2 standard errors; ranks >= 95 %;"
    )
    print(
        "       false separations <= 1 %; a null factor said to matter <= 5 % + 2 standard errors"
    )
    print(f"{'':36} {'':>6} {'single':>7} {'all':>7} {'rank':>7} {'false':>7} {'null':>7} "
          f"{'real':>7} {'half':>7}")  # fmt: skip
    print(f"{'kind of study':36} {'cycles':>6} {'':>7} {'ranges':>7} {'sets':>7} {'sep.':>7} "
          f"{'matters':>7} {'found':>7} {'width':>7}")  # fmt: skip
    for kind in KINDS:
        for n_cycles in kind.cycles:
            found = tally(kind, n_cycles, trials)
            n = found.n_studies
            name = f"{kind.name}, {n_cycles} cycles"
            null = found.null_matters / n if found.n_with_null else None
            marks = (
                goal(f"single intervals: {name}",
                     reached=0.93 - extra <= found.single <= 0.975 + extra)
                + goal(f"all ranges: {name}", reached=found.ranges_held / n >= 0.95 - error(n))
                + goal(f"rank sets: {name}", reached=found.ranks_held / n >= 0.95 - extra)
                + goal(f"false separations: {name}",
                       reached=found.false_separations / n <= 0.01 + rare)
                + goal(f"null factor: {name}", reached=null is None or null <= 0.05 + error(n))
            )  # fmt: skip
            real = f"{found.real_found / found.n_real:.0%}" if found.n_real else "-"
            print(
                f"{kind.name:36} {n_cycles:>6} {found.single:>7.1%} {found.ranges_held / n:>7.1%} "
                f"{found.ranks_held / n:>7.1%} {found.false_separations / n:>7.1%} "
                f"{'-' if null is None else f'{null:.1%}':>7} {real:>7} "
                f"{np.median(found.half_widths):>7.2%}{marks}",
                flush=True,
            )


def crossings(trials: int) -> None:
    """Print how often crossings are found, and false flips."""
    extra = max(error(trials) - error(_FULL_TRIALS * 2 // 5), 0.0)
    rare = max(error(trials, 0.01) - error(_FULL_TRIALS * 2 // 5, 0.01), 0.0)
    print("\nflips, 2 x 4 x 2 x 3 points, noise 2 %; goals: false <= 1 %; 8 % in 3 cycles >= 95 %")
    print(f"{'crossing':>9} {'cycles':>6} {'found':>7} {'false':>7}")
    for crossing in (0.0, 0.02, 0.04, 0.08):
        for n_cycles in (2, 3):
            found, false = flips(crossing, n_cycles, trials)
            name = f"{crossing:.0%} in {n_cycles} cycles"
            marks = goal(f"false flips: {name}", reached=false <= 0.01 + rare)
            if crossing == 0.08 and n_cycles == 3:
                marks += goal(f"crossing found: {name}", reached=found >= 0.95 - extra)
            shown = f"{found:.1%}" if crossing else "-"
            print(f"{crossing:>9.0%} {n_cycles:>6} {shown:>7} {false:>7.1%}{marks}", flush=True)


def one_cycle(trials: int) -> None:
    """Print the coverage of intervals from one cycle."""
    extra = max(error(trials) - error(1000), 0.0)
    big, small = grid(2, 4, 3, 2, 3), grid(3, 3, 4)
    print("\none cycle, error from beyond two-way interactions; goal 93-98 %, grid order refused;")
    print("true three-way effects are taken for noise, so the goal with them is at least 93 %")
    print(f"{'case':46} {'covers':>7} {'half':>7}  intervals are")
    for case in (
        OneCycle("144 points, shuffled", big),
        OneCycle("144 points, three-way effects, sd 2 %", big, three_way=0.02),
        OneCycle("144 points, 5 % drift over the cycle", big, drift=0.05),
        OneCycle("36 points", small),
        OneCycle("144 points in grid order, 5 % drift", big, shuffled=False, drift=0.05),
    ):
        covers, half_width, allowed = one_cycle_coverage(case, trials)
        most = 1.0 if case.three_way else 0.98 + extra
        right = 0.93 - extra <= covers <= most if case.shuffled else not allowed
        mark = goal(f"one cycle: {case.name}", reached=right and allowed == case.shuffled)
        print(f"{case.name:46} {covers:>7.1%} {half_width:>7.2%}  "
              f"{'given' if allowed else 'refused'}{mark}", flush=True)  # fmt: skip


def peers(n_studies: int) -> None:
    """Print the rankings of other tools beside ours."""
    print(f"\nrankings of other tools, {n_studies} studies each, factors of 2, 2, 3, 4 levels, the "
          "last does nothing")  # fmt: skip
    print("% of studies: wrong factor first / null factor above a real one / two real ones swapped")
    print(
        "goals: llem makes no more wrong statements than the best; <= 0.1 x the CPU time of fANOVA"
    )
    for kind, n_cycles in PEER_KINDS:
        found = scores(kind, n_cycles, n_studies)
        print(f"\n{kind.name}, {n_cycles} cycles")
        if found is None:
            print(
                "  the other tools could not be installed", goal("peers installed", reached=False)
            )
            return
        ours = found[OURS]
        best = min(score.wrong for tool, score in found.items() if not tool.startswith("llem"))
        for tool, score in found.items():
            print(f"  {tool:26} {_shares(score)}  {_last(tool, score)}  "
                  f"{np.median(score.seconds):8.3f} s CPU")  # fmt: skip
        times = np.median(ours.seconds) / np.median(found["Optuna fANOVA"].seconds)
        marks = goal(f"wrong statements: {kind.name}", reached=ours.wrong <= best)
        marks += goal(f"time: {kind.name}", reached=bool(times <= 0.1))
        print(f"  wrong: llem {ours.wrong}, best of the others {best}; {times:.3f} x the time of "
              f"fANOVA{marks}", flush=True)  # fmt: skip


def _shares(score: Score) -> str:
    counts = (score.wrong_first, score.null_above_real, score.swapped)
    return " / ".join(f"{count / score.n:4.0%}" for count in counts)


def _last(tool: str, score: Score) -> str:
    share = f"{np.mean(score.null_share):4.0%}"
    return f"{share} have one rank  " if tool == OURS else f"{share} to the null one"


def libraries() -> None:
    """Print the differences from statsmodels and scipy."""
    print("\nagreement with other libraries, largest relative difference")
    for n_points in (120, 100):
        difference = sums_of_squares_difference(n_points)
        mark = goal(f"sums of squares, {n_points} points",
                    reached=difference is not None and difference <= 1e-9)  # fmt: skip
        shown = "not installed" if difference is None else f"{difference:.1e}"
        print(f"  sums of squares, statsmodels, {n_points} of 120 points (<= 1e-9)   {shown}{mark}")
    from scipy.special import stdtrit
    from scipy.stats import studentized_range

    t = max(
        abs(t_quantile(p, df) / float(stdtrit(df, p)) - 1)
        for p in (0.9, 0.975, 0.995, 0.9999)
        for df in (1, 2, 3, 5, 10, 30, 100, 500)
    )
    q = max(
        abs(range_quantile(0.95, k, df) / float(studentized_range.ppf(0.95, k, df)) - 1)
        for k, df in ((3, 2), (3, 10), (10, 20), (50, 100), (200, 400))
    )
    print(f"  Student's t, scipy (<= 1e-9)   {t:.1e}{goal('Student t', reached=t <= 1e-9)}")
    print(f"  studentised range, scipy (<= 1e-5)   {q:.1e}{goal('range', reached=q <= 1e-5)}")


def main() -> int:
    """Print all tables; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=_FULL_TRIALS, help="simulated studies a row")
    parser.add_argument("--peer-studies", type=int, default=20, help="studies for the other tools")
    parser.add_argument("--quick", action="store_true", help="60 trials, 3 studies for the tools")
    options = parser.parse_args()
    trials = 60 if options.quick else options.trials
    n_peer_studies = 3 if options.quick else options.peer_studies
    start = time.perf_counter()
    print(f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}; "
          f"{trials} trials a row, run noise 2 %, cycle noise 2 %\n")  # fmt: skip
    intervals(trials)
    crossings(max(trials * 2 // 5, 1))
    one_cycle(trials)
    libraries()
    peers(n_peer_studies)
    print(f"\n{time.perf_counter() - start:.0f} s; goals missed: {len(_missed)}")
    for missed in _missed:
        print(f"  {missed}")
    return 1 if _missed else 0


if __name__ == "__main__":
    sys.exit(main())
