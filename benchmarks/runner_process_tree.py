"""The search for the processes of a run: our reader of /proc compared with psutil.

    uv run python benchmarks/runner_process_tree.py [--members N] [--others N] [--repeats N]

`ProcessTree.members` is called after every run and every 2 ms until all processes of the run are
gone. Both searches look at the same processes in turns: some of a run, found by their group or by
the tag in their environment, and some others. The table shows the processor time of a search.

psutil keeps no group and no session, so its search calls `os.getpgid` and `os.getsid` too. It
makes a new `psutil.Process` for every number: `psutil.process_iter` returns the object of an
earlier process if its number is used again. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable

import psutil

from llem_config.settings import ENV_RUN_TAG
from llem_runner._executors.local.process_tree import ProcessTree

TAG = "benchmark"


class PsutilTree:
    """The search of `ProcessTree.members`, with psutil instead of /proc."""

    def __init__(self, root_pid: int, tag: str) -> None:
        self._root_pid = root_pid
        self._tag = tag
        self._started_s = psutil.Process(root_pid).create_time()

    def members(self) -> tuple[int, ...]:
        """Return the processes of the run that are alive."""
        return tuple(pid for pid in psutil.pids() if self._includes(pid))

    def _includes(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            if self._root_pid not in (os.getpgid(pid), os.getsid(pid)) and (
                process.create_time() < self._started_s
                or process.environ().get(ENV_RUN_TAG) != self._tag
            ):
                return False
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except (psutil.Error, ProcessLookupError):
            return False


def start(n: int, tag: str | None) -> list[subprocess.Popen[bytes]]:
    """Start processes that sleep, each in a new session."""
    environment = {**os.environ, **({ENV_RUN_TAG: tag} if tag else {})}
    return [
        subprocess.Popen(["sleep", "600"], start_new_session=True, env=environment)
        for _ in range(n)
    ]


def time_ms(search: Callable[[], tuple[int, ...]]) -> float:
    """Return the processor time of one search."""
    start_s = time.process_time()
    search()
    return (time.process_time() - start_s) * 1e3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The search for the processes of a run.")
    parser.add_argument("--members", type=int, default=5, help="processes of the run")
    parser.add_argument("--others", type=int, default=200, help="other processes, older")
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    others = start(options.others, None)
    time.sleep(0.05)  # so that the members are younger by some ticks
    members = start(options.members, TAG)
    try:
        trees: dict[str, ProcessTree | PsutilTree] = {
            "ours": ProcessTree(members[0].pid, TAG),
            "psutil": PsutilTree(members[0].pid, TAG),
        }
        times_ms: dict[str, list[float]] = {name: [] for name in trees}
        for _ in range(options.repeats):
            for name, tree in trees.items():
                times_ms[name].append(time_ms(tree.members))
        n_found = {name: len(tree.members()) for name, tree in trees.items()}
    finally:
        for process in (*members, *others):
            process.kill()
            process.wait()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"psutil {psutil.__version__}, {len(psutil.pids()) + len(members) + len(others)} processes, "
        f"{options.repeats} searches each, in turns"
    )
    print(f"{'search':8} {'found':>6} {'median ms':>10} {'max ms':>8} {'ratio':>6}")
    ours_ms = statistics.median(times_ms["ours"])
    for name, values in times_ms.items():
        median = statistics.median(values)
        print(
            f"{name:8} {n_found[name]:>6} {median:>10.2f} {max(values):>8.2f} "
            f"{median / ours_ms:>6.2f}"
        )


if __name__ == "__main__":
    main()
