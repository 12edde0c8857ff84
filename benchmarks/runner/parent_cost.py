"""What the parent process of a study costs: CPU time and memory."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.runner.equal_points import study
from llem_runner import run_isolated, run_study
from llem_runner.events import Event, RunFinished


def show_parent(n_runs: int) -> None:
    """Print the CPU time of the parent during a run, and its memory over many runs."""
    from fakes import measures

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        before = time.process_time()
        run_isolated(study(1).experiments[0], measure=measures.hangs, timeout_s=5, log=log)
        short_s = time.process_time() - before
        before = time.process_time()
        run_isolated(study(1).experiments[0], measure=measures.hangs, timeout_s=25, log=log)
        share = (time.process_time() - before - short_s) / 20
    print(f"\nparent during a run: {share:.3%} of a core")

    memory_bytes: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            memory_bytes.append(_resident_bytes())

    with tempfile.TemporaryDirectory() as folder:
        config = study(n_runs, config_gap_seconds=0, cycle_gap_seconds=0)
        used = time.process_time()
        run_study(config, output=folder, measure=measures.quick, on_event=on_event)
        used_s = (time.process_time() - used) / n_runs
    sizes_mib = [
        memory_bytes[int(part * (len(memory_bytes) - 1))] / 2**20 for part in (0.1, 0.5, 1.0)
    ]
    print(f"{n_runs} runs of a stand-in measurement")
    print(f"  CPU time of the parent: {used_s * 1e3:.1f} ms per run")
    sizes = ", ".join(f"{size_mib:.1f} MiB" for size_mib in sizes_mib)
    print(f"  memory of the parent after 10, 50 and 100 % of the runs: {sizes}")


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
