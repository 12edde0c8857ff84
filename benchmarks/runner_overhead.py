"""What running a study costs beside the measurements themselves.

    uv run python benchmarks/runner_overhead.py [--runs N] [--gap S] [--fake N] [--night N] [--entries N]

In one run, each beside its floor:

- from the end of one window to the start of the next, beyond the gap, with a tiny model on the CPU:
  our study against a plain spawned process per run, with gaps and without, in turns. Load and
  warm-up are inside. Both measure by the same function, so their speeds must agree too;
- processor time of the parent while a run goes on, and its memory over many runs of a stand-in;
- what a run of that stand-in costs more than a spawned process with the same imports and no work,
  and than one of a program that imports nothing; also as the first of 10,000 planned runs;
- one update of a manifest of many runs, against writing and flushing as many bytes.

Ratios matter, seconds belong to the machine. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig
from llem_energy import ExperimentResult, measure, read_result
from llem_runner import Event, ManifestWriter, RunFinished, run_isolated, run_study, schedule
from llem_runner._storage.layout import Layout

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the stand-ins, in children too
POINT = {
    "model": "builtin:tiny-llama",
    "precision": "fp32",
    "n": 4,
    "max_input_tokens": 16,
    "max_output_tokens": 16,
    "pytorch": {"device": "cpu"},
    "warmup": {"n_warmup": 1, "convergence_detection": False},
    "baseline": {"enabled": False},
    "energy": {"min_window_seconds": 1.0},
}
_Spans = list[tuple[float, float]]


def study(n_points: int, **execution: Any) -> StudyConfig:
    """Return a study of points that all cost the same."""
    points = [
        ExperimentConfig.model_validate({**POINT, "random_seed": seed}) for seed in range(n_points)
    ]
    return StudyConfig(
        experiments=tuple(points), execution=ExecutionConfig.model_validate(execution)
    )


def ours(n_runs: int, gap_s: float) -> list[ExperimentResult]:
    """Return the results of a study of ours."""
    made = study(n_runs, config_gap_seconds=gap_s, cycle_gap_seconds=gap_s)
    with tempfile.TemporaryDirectory() as folder:
        files = run_study(made, output=folder).result_files
        (own,) = Path(folder).iterdir()
        return [read_result(own / file) for file in files]


def plain(n_runs: int, gap_s: float) -> list[ExperimentResult]:
    """Return the results of one spawned process per run, as anybody would write it."""
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
    """Return the seconds between the windows, less the gap."""
    spans = [result.steady_state_window for result in results]
    ends = [(span.start_s, span.end_s) for span in spans if span is not None]
    return [b[0] - a[1] - gap_s for a, b in itertools.pairwise(ends)]


def show_windows(n_runs: int, gap_s: float) -> None:
    """Print the time between windows, ours and plain."""
    print(f"\nbetween two windows, beyond the gap ({n_runs} runs each, twice, in turns)")
    print(f"{'gap s':>6} {'ours s':>8} {'plain s':>8} {'ratio':>6}   tokens/s ours, plain")
    for gap in (gap_s, 0.0):
        ways: dict[str, list[float]] = {"ours": [], "plain": []}
        speeds: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(2):
            for name, run in (("ours", ours), ("plain", plain)):
                results = run(n_runs, gap)
                ways[name] += between_windows(results, gap)
                speeds[name] += [result.tokens_per_second for result in results]
        own, other = (statistics.median(ways[name]) for name in ways)
        words = ", ".join(
            f"{statistics.mean(s):.0f} ± {statistics.stdev(s):.0f}" for s in speeds.values()
        )
        print(f"{gap:>6g} {own:>8.3f} {other:>8.3f} {own / other:>6.3f}   {words}")


def show_parent(n_runs: int) -> None:
    """Print what the parent costs while a run goes on, and over many runs."""
    from fakes import measures

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        before = time.process_time()
        run_isolated(study(1).experiments[0], measure=measures.hangs, timeout_s=5, log=log)
        short_s = time.process_time() - before
        before = time.process_time()
        run_isolated(study(1).experiments[0], measure=measures.hangs, timeout_s=25, log=log)
        share = (time.process_time() - before - short_s) / 20
    print(f"\nparent while a run goes on: {share:.3%} of a core")

    resident: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            resident.append(_resident_bytes())

    with tempfile.TemporaryDirectory() as folder:
        made = study(n_runs, config_gap_seconds=0, cycle_gap_seconds=0)
        used = time.process_time()
        run_study(made, output=folder, measure=measures.quick, on_event=on_event)
        used_s = (time.process_time() - used) / n_runs
    at = [resident[int(share * (len(resident) - 1))] / 2**20 for share in (0.1, 0.5, 1.0)]
    print(f"{n_runs} runs of a stand-in")
    print(f"  processor time of the parent: {used_s * 1e3:.1f} ms each")
    print("  memory of the parent after 10, 50, 100 %: " + ", ".join(f"{a:.1f} MiB" for a in at))


def same_imports(n: int) -> float:
    """Return the seconds of each of some spawned processes with our imports and no work."""
    context = multiprocessing.get_context("spawn")
    start = time.perf_counter()
    for _ in range(n):
        process = context.Process(target=_imports)
        process.start()
        process.join()
    return (time.perf_counter() - start) / n


_EMPTY = """
import multiprocessing, sys, time
def nothing(): pass
if __name__ == "__main__":
    context, n, start = multiprocessing.get_context("spawn"), int(sys.argv[1]), time.perf_counter()
    for _ in range(n):
        process = context.Process(target=nothing)
        process.start()
        process.join()
    print((time.perf_counter() - start) / n)
"""


def empty(n: int) -> float:
    """Return the same of a program without any imports; a child imports what its parent's has."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "empty.py"
        program.write_text(_EMPTY)
        done = subprocess.run(
            [sys.executable, str(program), str(n)], capture_output=True, text=True, check=True
        )
    return float(done.stdout)


class _EnoughError(Exception):
    """As many runs were seen as are timed."""


def stand_ins(n: int, n_planned: int) -> float:
    """Return the seconds of each of the first runs of a study of a stand-in."""
    from fakes import measures

    times: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            times.append(time.perf_counter())
            if len(times) > n:
                raise _EnoughError

    n_cycles = max(1, n_planned // 100)
    made = study(n_planned // n_cycles, n_cycles=n_cycles, config_gap_seconds=0,
                 cycle_gap_seconds=0)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        run_study(made, output=folder, measure=measures.quick, on_event=on_event)
    return (times[-1] - times[0]) / n


def show_spawns(n_runs: int, n_entries: int) -> None:
    """Print what a run of a stand-in costs over an empty process, in turns of ten."""
    few, many, same, bare = [], [], [], []
    for _ in range(max(1, n_runs // 10)):
        few.append(stand_ins(10, 12))
        same.append(same_imports(10))
        many.append(stand_ins(10, n_entries))
        bare.append(empty(10))
    own, of_many, imports, nothing = (
        statistics.median(kind) * 1e3 for kind in (few, many, same, bare)
    )
    print("\na run of a stand-in, and what it costs over a spawned process that does nothing")
    print(f"{'':24} {'ms':>6} {'same imports':>14} {'no imports':>12}")
    print(f"{'floor':24} {'':>6} {imports:>14.0f} {nothing:>12.0f}")
    for name, ms in (("one of 12 runs", own), (f"one of {n_entries} runs", of_many)):
        print(f"{name:24} {ms:>6.0f} {ms - imports:>+14.1f} {ms - nothing:>+12.1f}")


def _imports() -> None:
    import fakes.measures

    import llem_runner._executors.local.child

    assert fakes.measures
    assert llem_runner._executors.local.child


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def show_manifest(n_entries: int) -> None:
    """Print what one update of a large manifest costs."""
    made = study(100, n_cycles=n_entries // 100)
    runs = schedule(made)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # not on a disk of memory
        layout = Layout(Path(folder))
        writer = ManifestWriter.create(layout, "big", made.study_design_hash, runs)
        updates, floor = [], []
        for run in runs[:100]:
            start = time.perf_counter()
            writer.mark_running(run)
            updates.append(time.perf_counter() - start)
            content = layout.manifest.read_bytes()
            start = time.perf_counter()
            with (layout.folder / "floor").open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            floor.append(time.perf_counter() - start)
        size = layout.manifest.stat().st_size / 2**20
    own, other = statistics.median(updates) * 1e3, statistics.median(floor) * 1e3
    print(f"\nmanifest of {len(runs)} runs ({size:.1f} MiB): {own:.2f} ms for one update,")
    print(f"writing and flushing as many bytes {other:.2f} ms, ratio {own / other:.2f}")


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description="What running a study costs.")
    parser.add_argument("--runs", type=int, default=4, help="runs between whose windows is timed")
    parser.add_argument("--gap", type=float, default=10.0, help="seconds")
    parser.add_argument("--fake", type=int, default=100, help="runs of the stand-in, in turns")
    parser.add_argument("--night", type=int, default=1000, help="runs of it in one study")
    parser.add_argument("--entries", type=int, default=10_000, help="runs in the manifest")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    show_manifest(options.entries)
    show_spawns(options.fake, options.entries)
    show_parent(options.night)
    show_windows(options.runs, options.gap)


if __name__ == "__main__":
    main()
