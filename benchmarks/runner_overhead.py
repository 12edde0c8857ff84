"""The overhead of a study beyond its measurements.

    uv run python benchmarks/runner_overhead.py [--runs N] [--gap S] [--fake N] [--night N] [--entries N]

Each figure is compared with its floor in the same run:

- The time from the end of one window to the start of the next, without the gap, with a tiny model on
  the CPU: an llem study and one plain spawned process per run alternate, with and without gaps.
  Load and warm-up are included. Both measure with the same function, so their speeds must agree.
- The CPU time of the parent during a run, and its memory over many runs of a stand-in.
- The time of a run of that stand-in compared with a spawned process that has the same imports and
  does no work, and with one of a program without imports; also as the first of 10,000 planned runs.
- One update of a manifest of many runs, compared with writing and flushing as many bytes.

All processes keep compiled Python files, whatever the environment says.
The ratios matter; the seconds depend on the machine. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the stand-ins, also in children

from benchmarks.runner.manifest_cost import show_manifest
from benchmarks.runner.parent_cost import show_parent
from benchmarks.runner.spawn_cost import show_spawns
from benchmarks.runner.windows import show_windows
from benchmarks.shared.compiled_files import keep_compiled_files


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="The overhead of a study beyond its measurements.")
    parser.add_argument(
        "--runs", type=int, default=4, help="runs per turn for time between windows"
    )
    parser.add_argument("--gap", type=float, default=10.0, help="gap between those runs in seconds")
    parser.add_argument("--fake", type=int, default=100, help="runs of the stand-in to time")
    parser.add_argument("--night", type=int, default=1000, help="runs of the stand-in in one study")
    parser.add_argument("--entries", type=int, default=10_000, help="runs in the large manifest")
    options = parser.parse_args()
    keep_compiled_files()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    show_manifest(options.entries)
    show_spawns(options.fake, options.entries)
    show_parent(options.night)
    show_windows(options.runs, options.gap)


if __name__ == "__main__":
    main()
