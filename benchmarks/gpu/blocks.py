"""The part that measures isolated loads with every estimator."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.gpu.check import Check, Row


def blocks(check: Check) -> Iterator[Row]:
    """Compare all estimators, and Zeus if it is installed, on the same isolated loads."""
    monitor, problem = _zeus()
    n_blocks, (min_s, max_s) = (6, (0.5, 1.5)) if check.quick else (20, (1.0, 3.0))
    lengths_s = [min_s + (max_s - min_s) * k / (n_blocks - 1) for k in range(n_blocks)]
    random.Random(4).shuffle(lengths_s)
    seconds, joules = [], []
    chosen: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for length_s in lengths_s:
        zeus_j: list[float] = []

        def work(length_s: float = length_s, zeus_j: list[float] = zeus_j) -> None:
            if monitor is None:
                return check.loaded.run(length_s)
            monitor.begin_window("block", sync_execution=False)
            check.loaded.run(length_s)
            result = monitor.end_window("block", sync_execution=False)
            zeus_j.append(sum(result.gpu_energy.values()))

        figures, span = check.window(work, 0.0)
        estimates = figures.devices[0].estimates
        if not estimates:
            missing.update(figures.total.reasons)
            continue
        chosen[estimates[0].method] += 1
        by_method = {e.method.removeprefix("energy counter, "): e.energy_j for e in estimates}
        by_method["chosen"] = estimates[0].energy_j
        if zeus_j:
            by_method["Zeus"] = zeus_j[0]
        joules.append(by_method)
        seconds.append(span.end_s - span.start_s)
        time.sleep(0.5)
    for reason, n in missing.items():
        yield Row(f"{n} blocks without energy", reason)
    if not joules:
        return
    yield Row(
        f"estimator chosen for {len(seconds)} blocks of {min(seconds):.1f} to {max(seconds):.1f} s",
        ", ".join(f"{method}: {n}" for method, n in chosen.most_common()),
        "quiet edge is chosen if idle power was steady on that side",
        {"chosen": dict(chosen), "seconds": seconds, "joules": joules},
    )
    for name in dict.fromkeys(name for by_method in joules for name in by_method):
        yield _compared(name, seconds, joules)
    if monitor is None:
        yield Row("Zeus on the same blocks", problem, "install zeus to compare it with ours")


def _compared(name: str, seconds: Sequence[float], joules: Sequence[Mapping[str, float]]) -> Row:
    """Return how one estimator differs from the chosen one, and its scatter around a line.

    The load is constant, so energy is a linear function of the duration. The scatter around that
    line is the error of the estimator plus the drift of power, which is the same for all estimators.
    """
    pairs = [
        (s, by_method[name], by_method["chosen"])
        for s, by_method in zip(seconds, joules, strict=True)
        if name in by_method
    ]
    apart = [100 * (energy_j - chosen_j) / chosen_j for _, energy_j, chosen_j in pairs]
    scatter, scatter_text = None, "too few blocks for a line"
    if len(pairs) > 3:
        times_s, values_j = [s for s, _, _ in pairs], [energy_j for _, energy_j, _ in pairs]
        slope, intercept = statistics.linear_regression(times_s, values_j)
        residuals = [
            100 * (energy_j - slope * s - intercept) / energy_j
            for s, energy_j in zip(times_s, values_j, strict=True)
        ]
        scatter = statistics.stdev(residuals)
        scatter_text = f"scatter around a straight line {scatter:.2f} %"
    return Row(
        f"{name}, {len(pairs)} blocks",
        f"mean difference from the chosen one {statistics.fmean(apart):+.2f} %, worst "
        f"{max(apart, key=abs):+.2f} %; {scatter_text}",
        "at the start of a block Zeus reads just after an update, as we do"
        if name == "Zeus"
        else "",
        {name: {"apart_percent": apart, "scatter_percent": scatter}},
    )


def _zeus() -> tuple[Any, str]:
    try:
        from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # not in our env

        return ZeusMonitor(gpu_indices=[0], cpu_indices=[]), ""
    except ImportError as error:
        return None, f"not installed: {error}"
    except Exception as error:  # noqa: BLE001  our blocks are measured without Zeus too
        return None, f"failed: {error}"
