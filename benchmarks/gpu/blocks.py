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
    """Every estimator, and Zeus where it is installed, on the same isolated loads."""
    monitor, without = _zeus()
    n_blocks, (least_s, most_s) = (6, (0.5, 1.5)) if check.quick else (20, (1.0, 3.0))
    lengths_s = [least_s + (most_s - least_s) * k / (n_blocks - 1) for k in range(n_blocks)]
    random.Random(4).shuffle(lengths_s)
    seconds, joules = [], []
    chosen: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for length_s in lengths_s:
        theirs: list[float] = []

        def work(length_s: float = length_s, theirs: list[float] = theirs) -> None:
            if monitor is None:
                return check.loaded.run(length_s)
            monitor.begin_window("block", sync_execution=False)
            check.loaded.run(length_s)
            found = monitor.end_window("block", sync_execution=False)
            theirs.append(sum(found.gpu_energy.values()))

        figures, span = check.window(work, 0.0)
        estimates = figures.devices[0].estimates
        if not estimates:
            missing.update(figures.total.reasons)
            continue
        chosen[estimates[0].method] += 1
        own = {one.method.removeprefix("energy counter, "): one.energy_j for one in estimates}
        own["chosen"] = estimates[0].energy_j
        if theirs:
            own["Zeus"] = theirs[0]
        joules.append(own)
        seconds.append(span.end_s - span.start_s)
        time.sleep(0.5)
    for reason, n in missing.items():
        yield Row(f"{n} blocks without energy", reason)
    if not joules:
        return
    yield Row(
        f"estimator chosen for {len(seconds)} blocks of {min(seconds):.1f} to {max(seconds):.1f} s",
        ", ".join(f"{method}: {n}" for method, n in chosen.most_common()),
        "quiet edge is chosen where idle power was steady on that side",
        {"chosen": dict(chosen), "seconds": seconds, "joules": joules},
    )
    for name in dict.fromkeys(name for one in joules for name in one):
        yield _compared(name, seconds, joules)
    if monitor is None:
        yield Row("Zeus on the same blocks", without, "install zeus to have it beside ours")


def _compared(name: str, seconds: Sequence[float], joules: Sequence[Mapping[str, float]]) -> Row:
    """Return how one estimator differs from the chosen one, and from a straight line of its own.

    The load is constant, so its energy is a straight line over the duration; what scatters around
    the line is the estimator's error and the drift of power, which is the same for all of them.
    """
    pairs = [
        (s, one[name], one["chosen"]) for s, one in zip(seconds, joules, strict=True) if name in one
    ]
    apart = [100 * (own_j - chosen_j) / chosen_j for _, own_j, chosen_j in pairs]
    scatter, scattered = None, "too few for a line"
    if len(pairs) > 3:
        times_s, own = [s for s, _, _ in pairs], [own_j for _, own_j, _ in pairs]
        slope, intercept = statistics.linear_regression(times_s, own)
        rest = [100 * (e - slope * s - intercept) / e for s, e in zip(times_s, own, strict=True)]
        scatter = statistics.stdev(rest)
        scattered = f"scatter around a straight line {scatter:.2f} %"
    return Row(
        f"{name}, {len(pairs)} blocks",
        f"{statistics.fmean(apart):+.2f} % in the mean from the chosen one, worst "
        f"{max(apart, key=abs):+.2f} %; {scattered}",
        "at the start Zeus reads just after an update, as we do" if name == "Zeus" else "",
        {name: {"apart_percent": apart, "scatter_percent": scatter}},
    )


def _zeus() -> tuple[Any, str]:
    try:
        from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # in no env of ours

        return ZeusMonitor(gpu_indices=[0], cpu_indices=[]), ""
    except ImportError as error:
        return None, f"not installed: {error}"
    except Exception as error:  # noqa: BLE001  a peer that fails is no reason to stop
        return None, f"failed: {error}"
