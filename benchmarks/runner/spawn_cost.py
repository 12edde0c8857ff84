"""The time of a run compared with that of a spawned process that does nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.runner.equal_points import study
from llem_runner import run_study
from llem_runner.events import Event, RunFinished


def same_imports(n: int) -> float:
    """Return the seconds per spawned process that imports what a run imports and does no work."""
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


def no_imports(n: int) -> float:
    """Return the seconds per spawned process in a program without imports.

    This needs a program of its own, because a spawned process imports the main module.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "empty.py"
        program.write_text(_EMPTY)
        done = subprocess.run(
            [sys.executable, str(program), str(n)], capture_output=True, text=True, check=True
        )
    return float(done.stdout)


class _EnoughError(Exception):
    """All runs to be timed have finished."""


def stand_ins(n: int, n_planned: int) -> float:
    """Return the seconds per run of the first `n` of `n_planned` runs of a stand-in."""
    from fakes import measures

    ends_s: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            ends_s.append(time.perf_counter())
            if len(ends_s) > n:
                raise _EnoughError

    n_cycles = max(1, n_planned // 100)
    config = study(n_planned // n_cycles, n_cycles=n_cycles, config_gap_seconds=0,
                 cycle_gap_seconds=0)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        run_study(config, output=folder, measure=measures.quick, on_event=on_event)
    return (ends_s[-1] - ends_s[0]) / n


def show_spawns(n_runs: int, n_entries: int) -> None:
    """Print the time of a run of a stand-in compared with an empty process, in turns of ten."""
    few, many, imports, empty = [], [], [], []
    for _ in range(max(1, n_runs // 10)):
        few.append(stand_ins(10, 12))
        imports.append(same_imports(10))
        many.append(stand_ins(10, n_entries))
        empty.append(no_imports(10))
    few_ms, many_ms, imports_ms, empty_ms = (
        statistics.median(times_s) * 1e3 for times_s in (few, many, imports, empty)
    )
    print("\ntime of a run of a stand-in, and its excess over a spawned process without work")
    print(f"{'':24} {'ms':>6} {'same imports':>14} {'no imports':>12}")
    print(f"{'process without work':24} {'':>6} {imports_ms:>14.0f} {empty_ms:>12.0f}")
    for name, ms in (("one of 12 runs", few_ms), (f"one of {n_entries} runs", many_ms)):
        print(f"{name:24} {ms:>6.0f} {ms - imports_ms:>+14.1f} {ms - empty_ms:>+12.1f}")


def _imports() -> None:
    import fakes.measures

    import llem_runner._executors.local.child

    assert fakes.measures
    assert llem_runner._executors.local.child
