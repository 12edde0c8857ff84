"""A window around work that jax has only submitted, in an environment with jax and cupy.

On the CPU, where jax works in threads of its own. The result of the work is dropped, so that nothing is
left that could be waited for. cupy has no GPU here: the window must not fail because of it.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import cupy  # type: ignore[import-not-found] # not in our env
import jax  # type: ignore[import-not-found] # not in our env

from benchmarks.energy.peers.stage import main
from llem_energy import EnergyMeter


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Return durations of the work: to submit it, of its window, and waited for by jax; medians."""
    work = jax.jit(lambda x: jax.lax.fori_loop(0, 30, lambda _, y: (y @ x) / 700.0, x))
    x = jax.numpy.ones((700, 700))
    work(x).block_until_ready()
    durations_s: dict[str, list[float]] = {"submitted_s": [], "window_s": [], "blocked_s": []}
    reasons: set[str] = set()
    with EnergyMeter([0], sources=["nvml"], mode="light") as meter:
        for _ in range(request["n"]):
            with meter.window() as window:
                start_s = time.perf_counter()
                work(x)
                durations_s["submitted_s"].append(time.perf_counter() - start_s)
            durations_s["window_s"].append(window.duration_s or 0.0)
            reasons.update(each for each in window.energy.reasons if "synchron" in each)
            start_s = time.perf_counter()
            work(x).block_until_ready()
            durations_s["blocked_s"].append(time.perf_counter() - start_s)
    return {
        **{name: statistics.median(seconds) for name, seconds in durations_s.items()},
        "versions": f"jax {jax.__version__}, cupy {cupy.__version__}",
        "reasons": sorted(reasons),
    }


if __name__ == "__main__":
    main({"windows": windows})
