"""The time between two measurement windows, of a study and of plain spawned processes."""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner.equal_points import study
from llem_config import ExperimentConfig
from llem_energy import ExperimentResult, measure, read_result
from llem_runner import run_study


def ours(n_runs: int, gap_s: float) -> list[ExperimentResult]:
    """Return the results of a study run by llem."""
    config = study(n_runs, config_gap_seconds=gap_s, cycle_gap_seconds=gap_s)
    with tempfile.TemporaryDirectory() as folder:
        files = run_study(config, output=folder).result_files
        (study_folder,) = Path(folder).iterdir()
        return [read_result(study_folder / file) for file in files]


def plain(n_runs: int, gap_s: float) -> list[ExperimentResult]:
    """Return the results of one spawned process per run, in its simplest form."""
    context = multiprocessing.get_context("spawn")
    results = []
    for number, config in enumerate(study(n_runs).experiments):
        if number:
            time.sleep(gap_s)
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_measure_plainly, args=(sending, config))
        process.start()
        results.append(receiving.recv())
        process.join()
    return results


def _measure_plainly(pipe: Any, config: ExperimentConfig) -> None:
    pipe.send(measure(config))


def between_windows(results: Sequence[ExperimentResult], gap_s: float) -> list[float]:
    """Return the seconds between the windows, without the gap."""
    spans = [result.steady_state_window for result in results]
    ends = [(span.start_s, span.end_s) for span in spans if span is not None]
    return [b[0] - a[1] - gap_s for a, b in itertools.pairwise(ends)]


def show_windows(n_runs: int, gap_s: float) -> None:
    """Print the time between windows, of llem and of plain processes."""
    print(f"\nbetween two windows, without the gap (2 alternating turns of {n_runs} runs)")
    print(f"{'gap s':>6} {'ours s':>8} {'plain s':>8} {'ratio':>6}   tokens/s: ours, plain")
    for gap in (gap_s, 0.0):
        overheads_s: dict[str, list[float]] = {"ours": [], "plain": []}
        speeds: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(2):
            for name, run in (("ours", ours), ("plain", plain)):
                results = run(n_runs, gap)
                overheads_s[name] += between_windows(results, gap)
                speeds[name] += [result.tokens_per_second for result in results]
        our_s, plain_s = (statistics.median(values) for values in overheads_s.values())
        speed_text = ", ".join(
            f"{statistics.mean(s):.0f} ± {statistics.stdev(s):.0f}" for s in speeds.values()
        )
        print(f"{gap:>6g} {our_s:>8.3f} {plain_s:>8.3f} {our_s / plain_s:>6.3f}   {speed_text}")
