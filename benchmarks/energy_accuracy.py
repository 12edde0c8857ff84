"""How right the energy figures are and what they cost, beside Zeus and CodeCarbon in the same run.

    uv run python benchmarks/energy_accuracy.py [--quick]

Everything is played on the scripted driver of `tests/fakes`, whose true energy is a closed form.
The peers are installed by uv into environments of their own and are not changed. Errors of windows
are taken on the virtual clock, the rest in real time; on a busy machine the costs say little, and
their ratios more than their values. Each row has a goal; nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.faults import FAULTS, WINDOW, verdict

from benchmarks.energy.bench import Bench, Row
from benchmarks.energy.costs import costs, throughput
from benchmarks.energy.errors import biases, bounds, window_errors
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Missing
from benchmarks.energy_statistics import coverage, false_differences


def faults(bench: Bench) -> Iterator[Row]:
    """What becomes of the scripted faults."""

    def one(number: int) -> tuple[str, str]:
        scenario = FAULTS[number]
        found = bench.ask("fault", scenario.gpus, {"window": WINDOW, "n_gpus": len(scenario.gpus)})
        flagged = found["status"] != "ok"
        truth_j = scenario.truth_j(*found["window"])
        worth = verdict(found["value_j"], truth_j, flagged=flagged)
        return scenario.name, f"{worth}, {found['status']}"

    with ThreadPoolExecutor(2) as pool:
        ours = dict(pool.map(one, range(len(FAULTS))))
    by_meter: dict[str, Counter[str]] = {}
    for outcomes in (
        peer_runs.zeus_faults(bench.peers),
        peer_runs.codecarbon_faults(bench.peers, n_at_once=2),
    ):
        if not isinstance(outcomes, Missing):
            for outcome in outcomes:
                if outcome.scenario != "healthy":
                    by_meter.setdefault(outcome.meter, Counter())[outcome.verdict] += 1
    fine = sum(not worth.startswith("wrong") for worth in ours.values())
    others = "; ".join(
        f"{meter} {sum(seen.values()) - seen['wrong']}" for meter, seen in by_meter.items()
    )
    wrong = [name for name, worth in ours.items() if worth.startswith("wrong")]
    yield Row(
        f"{len(FAULTS)} scripted faults that end correct, flagged or missing", f"{len(FAULTS)}",
        str(fine), others or "no peer could be run", "; ".join(wrong), fine == len(FAULTS),
    )  # fmt: skip


def statistical(bench: Bench) -> Iterator[Row]:
    """What a study says over its cycles."""
    shares = {n: 100 * coverage(n, trials=bench.trials) for n in (5, 7, 10, 20)}
    yield Row(
        "coverage of the nominal 95 % interval, 5 to 20 runs", "93-97 %",
        ", ".join(f"{share:.1f}" for share in shares.values()) + " %", "no peer has one", "",
        all(93 <= share <= 97 for share in shares.values()),
    )  # fmt: skip
    shuffled = 100 * false_differences("shuffled", trials=bench.trials)
    in_order = 100 * false_differences("sequential", adjusted=False, trials=bench.trials // 4)
    yield Row(
        "false differences among 6 identical points, 3 % drift, shuffled", "<= 7 %",
        f"{shuffled:.1f} %", f"sequential order, plain means: {in_order:.0f} %", "",
        shuffled <= 7,
    )  # fmt: skip


PARTS = {
    "windows": window_errors,
    "bias": biases,
    "bounds": bounds,
    "costs": costs,
    "throughput": throughput,
    "faults": faults,
    "statistics": statistical,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer windows, shorter runs")
    given = parser.parse_args()
    start = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| what | goal | ours | peer | ratio or note | met |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=given.quick)
        for name in given.part or PARTS:
            for row in PARTS[name](bench):
                met = "-" if row.met is None else "yes" if row.met else "**no**"
                cells = (row.what, row.goal, row.ours, row.peer, row.ratio, met)
                print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
