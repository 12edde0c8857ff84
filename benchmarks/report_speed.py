"""What a report, an export and a ranking cost in time, memory and bytes, with their goals.

    uv run python benchmarks/report_speed.py [--quick] [--repeats 3]

Simulated studies of 200 points x 5 cycles and of 1,000 points x 5 cycles. Every task runs in a new
process. Sizes are the same on every machine. Times are processor time, the smallest of the
repeats; they are compared with goals at the speed of the machine on which the goals were set: a
fixed piece of work, measured in turn with the tasks, gives the ratio. `--quick` leaves the large
study out. Exits with code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.report.folders import write_study
from benchmarks.report.weight import added_bytes

ROOT = Path(__file__).parents[1]
YARDSTICK_S = 0.82
"""Processor time of the task `yardstick` on the machine on which the goals were set: a core of a
shared server of 2026."""
ENDINGS = {
    "analysis": ".json",
    "page": ".html",
    "static_page": ".html",
    "export_runs": ".parquet",
}
"""Of the file that a task writes."""
PLOTLY = ROOT / "benchmarks" / "report" / "plotly_page.py"


class Cost(NamedTuple):
    """What a task used."""

    cpu_s: float
    """At the speed of the reference machine."""
    peak_bytes: int
    n_bytes: int


class Costs:
    """Runs tasks, each several times, in turn with the yardstick."""

    def __init__(self, parent: Path, repeats: int) -> None:
        self._parent = parent
        self._repeats = repeats
        self.speeds: list[float] = []
        """Of each yardstick: time on the reference machine over time here."""

    def measure(self, folder: Path, *tasks: str, n_repeats: int | None = None) -> dict[str, Cost]:
        """Return the cost of each task: the least time, the largest memory."""
        costs: dict[str, list[Cost]] = defaultdict(list)
        for _ in range(n_repeats or self._repeats):
            for task in tasks:
                costs[task].append(self._one(task, folder))
        return {
            task: Cost(
                min(cost.cpu_s for cost in each),
                max(cost.peak_bytes for cost in each),
                each[0].n_bytes,
            )
            for task, each in costs.items()
        }

    def _one(self, task: str, folder: Path) -> Cost:
        speed = YARDSTICK_S / self._run("yardstick").cpu_s
        self.speeds.append(speed)
        files = []
        if task in ENDINGS:
            file = self._parent / f"{folder.name}.{task}{ENDINGS[task]}"
            file.unlink(missing_ok=True)
            files = [str(file)]
        cost = self._run(task, str(folder), *files)
        return cost._replace(cpu_s=cost.cpu_s * speed)

    def _run(self, *arguments: str) -> Cost:
        command = [sys.executable, "-m", "benchmarks.report.tasks", *arguments]
        # A cache of its own: the first report on a machine makes the script of its figures.
        environment = os.environ | {"LLEM_CACHE": str(self._parent / "cache" / "calibrations.json")}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return Cost(**json.loads(done.stdout))


class Table:
    """Prints a row for each figure with its goal, and counts the goals that were missed."""

    def __init__(self) -> None:
        self.n_missed = 0

    def add(self, what: str, value: float | None, most: float, unit: str) -> None:
        """Print a row.

        Args:
            what: the figure.
            value: of the figure; None if it could not be measured, which is no missed goal.
            most: the goal: the largest value allowed.
            unit: of both.
        """
        is_missed = value is not None and value > most
        self.n_missed += is_missed
        shown = "missing" if value is None else f"{value:.2f} {unit}"
        print(f"{what:62} {shown:>12}   <= {most:g} {unit}{'  MISSED' * is_missed}", flush=True)


def plotly_bytes(analysis: Path) -> int | None:
    """Return the size of the same figures by plotly; None if it cannot be installed."""
    page = analysis.with_suffix(".plotly.html")
    command = [os.environ.get("UV", "uv"), "run", "--quiet", "--no-project", "--with", "plotly"]
    command += ["python", str(PLOTLY), str(analysis), str(page)]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"plotly could not be used: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return page.stat().st_size


def small_study(costs: Costs, table: Table, folder: Path) -> None:
    """Print the rows of the study of 200 points."""
    first_s = costs.measure(folder, "page", n_repeats=1)["page"].cpu_s
    cost = costs.measure(folder, "read", "page", "static_page", "show_only", "show_ranking")
    kind = "200 points x 5 cycles"
    beyond = cost["page"].cpu_s - cost["read"].cpu_s
    added = cost["show_ranking"].cpu_s - cost["show_only"].cpu_s
    table.add(f"report, {kind}", cost["page"].n_bytes / 1e6, 1.6, "MB")
    table.add(f"report without scripts, {kind}", cost["static_page"].n_bytes / 1e3, 600, "kB")
    table.add(f"report, {kind}: time beyond reading", beyond, 4, "s")
    table.add("the same, first report on a machine", first_s - cost["read"].cpu_s, 5, "s")
    table.add(f"ranking in `study show`, {kind}: time added", added, 0.5, "s")


def large_study(costs: Costs, table: Table, folder: Path) -> None:
    """Print the rows of the study of 1,000 points."""
    cost = costs.measure(folder, "page", "static_page", "export_runs")
    kind = "1,000 points x 5 cycles"
    table.add(f"report, {kind}", cost["page"].n_bytes / 1e6, 2.5, "MB")
    table.add(f"report without scripts, {kind}", cost["static_page"].n_bytes / 1e6, 1.5, "MB")
    table.add(f"report, {kind}: time with reading", cost["page"].cpu_s, 10, "s")
    table.add(f"report, {kind}: peak memory", cost["page"].peak_bytes / 1e6, 700, "MB")
    table.add("export of 5,000 runs to Parquet", cost["export_runs"].n_bytes / 1e6, 3, "MB")
    table.add("export of 5,000 runs to Parquet: time", cost["export_runs"].cpu_s, 3, "s")


def beside_plotly(costs: Costs, table: Table, folder: Path, parent: Path) -> None:
    """Print the size of our page over that of plotly."""
    cost = costs.measure(folder, "page", "static_page", "analysis")
    theirs = plotly_bytes(parent / f"{folder.name}.analysis.json")
    for task, what, most in (("page", "report", 0.5), ("static_page", "without scripts", 0.3)):
        ratio = None if theirs is None else cost[task].n_bytes / theirs
        table.add(f"{what} over the same figures by plotly, {folder.name}", ratio, most, "x")


def main() -> int:
    """Print the table and return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="leave the large study out")
    parser.add_argument("--repeats", type=int, default=3, help="of each task")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    table = Table()
    weights = added_bytes("llem-report", to="llem-runner")
    table.add("installed beside llem-runner", sum(weights.values()) / 1e6, 280, "MB")
    with tempfile.TemporaryDirectory(prefix="llem-report-speed-") as name:
        parent = Path(name)
        costs, once = Costs(parent, options.repeats), Costs(parent, 1)
        small = write_study(parent, 200)
        small_study(costs, table, small)
        beside_plotly(once, table, small, parent)
        if not options.quick:
            large = write_study(parent, 1000)
            large_study(costs, table, large)
            beside_plotly(once, table, large, parent)
        speeds = sorted(costs.speeds)
    print(f"speed of this machine over that of the goals: {speeds[0]:.2f} to {speeds[-1]:.2f}")
    print(f"{table.n_missed} goals missed" if table.n_missed else "all goals reached")
    return int(table.n_missed > 0)


if __name__ == "__main__":
    sys.exit(main())
