"""The quantiles of llem against those of scipy: how far they differ, and what each costs.

    uv run --with scipy python benchmarks/scipy_quantiles.py

llem computes the quantiles of Student's t and of the studentised range itself, so that
llem-runner does not depend on scipy. This prints the largest relative difference over the sizes
that studies have, the time to import each, the time per quantile, and the size of scipy on
disk. About a minute.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distribution, version

from llem_runner._analysis.quantiles import range_quantile, t_quantile

N_IMPORTS = 5
T_CASES: list[tuple[float, ...]] = [
    (probability, df)
    for probability in (0.9, 0.975, 0.995, 0.99999)
    for df in (*range(1, 31), 60, 120, 500, 1000)
]
RANGE_CASES: list[tuple[float, ...]] = [
    (0.95, n_points, (n_points - 1) * (n_cycles - 1))
    for n_points in (2, 3, 5, 10, 30, 100)
    for n_cycles in (2, 3, 5, 10, 30)
]


def import_seconds(module: str) -> float:
    """Return the median time that a fresh Python takes to import a module, less its start."""
    return _seconds(f"import {module}") - _seconds("pass")


def installed_bytes(package: str) -> int:
    """Return the size on disk of an installed package, from the record of its files."""
    return sum(file.size or 0 for file in distribution(package).files or ())


def scipy_t(probability: float, df: int) -> float:
    """Return the quantile of Student's t by scipy."""
    from scipy.stats import t

    return float(t.ppf(probability, df))


def scipy_range(probability: float, n_groups: int, df: int) -> float:
    """Return the quantile of the studentised range by scipy."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(probability, n_groups, df))


def _seconds(code: str) -> float:
    times = []
    for _ in range(N_IMPORTS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _timed(
    quantile: Callable[..., float], cases: list[tuple[float, ...]]
) -> tuple[list[float], float]:
    """Return the quantile of each case and the mean time in seconds; no case repeats."""
    start = time.perf_counter()
    values = [quantile(*case) for case in cases]
    return values, (time.perf_counter() - start) / len(cases)


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for name, ours, theirs, cases in (
        ("Student's t", t_quantile, scipy_t, T_CASES),
        ("studentised range", range_quantile, scipy_range, RANGE_CASES),
    ):
        _timed(theirs, cases[:1])  # imports
        llem_values, llem_s = _timed(ours, cases)
        scipy_values, scipy_s = _timed(theirs, cases)
        pairs = zip(llem_values, scipy_values, strict=True)
        difference = max(abs(llem / scipy - 1) for llem, scipy in pairs)
        yield f"{name}, ms per quantile", f"{llem_s * 1e3:.3g}", f"{scipy_s * 1e3:.3g}", ""
        yield f"{name}, largest relative difference", "", "", f"{difference:.1e}"


def main() -> None:
    """Print the table."""
    print(
        f"{platform.machine()}, Python {platform.python_version()}, scipy {version('scipy')}, "
        f"{len(T_CASES)} quantiles of t, {len(RANGE_CASES)} of the range\n"
    )
    print(f"{'':<46} {'llem':>8} {'scipy':>8} {'both':>8}")
    ours_s = import_seconds("llem_runner._analysis.quantiles") - import_seconds("llem_runner")
    size_mb = installed_bytes("scipy") / 1e6
    rows = [
        ("import, s", f"{max(0.0, ours_s):.2f}", f"{import_seconds('scipy.stats'):.2f}", ""),
        ("installed size, MB", "0", f"{size_mb:.0f}", ""),
        *_rows(),
    ]
    for name, ours, theirs, both in rows:
        print(f"{name:<46} {ours:>8} {theirs:>8} {both:>8}")


if __name__ == "__main__":
    main()
