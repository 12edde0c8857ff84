"""Accuracy and cost of our energy measurement, compared with Zeus and CodeCarbon in the same run.

    uv run python benchmarks/energy_accuracy.py [PART ...] [--quick] [--only TEXT] [--no-peers]
        [--seed TEXT]

All meters read the scripted driver of `tests/fakes`, whose true energy is a closed form. uv installs
the unmodified peers into separate environments. Errors of windows are measured on the virtual clock,
everything else in real time. On a busy machine the costs are unreliable; their ratios are less
affected than their values. Each row has a goal; nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.faults import FAULTS, WINDOW, Scenario, Verdict, verdict

from benchmarks.energy.bench import Bench, HasCells, Row
from benchmarks.energy.costs import costs, throughput
from benchmarks.energy.errors import biases, bounds, window_errors
from benchmarks.energy.flaw_summary import SUMMARY_HEADER, summary
from benchmarks.energy.flaws import HEADER as FLAWS_HEADER
from benchmarks.energy.flaws import FlawRow, flaws
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Missing
from benchmarks.simulated.orders import false_differences
from benchmarks.simulated.points import coverage


def faults(bench: Bench) -> Iterator[Row]:
    """Return whether our meter and the peers detect the scripted faults."""

    def measure(scenario: Scenario) -> tuple[str, Verdict]:
        request = {"window": WINDOW, "n_gpus": len(scenario.gpus)}
        answer = bench.run_our_side("fault", scenario.gpus, request)
        truth_j = scenario.truth_j(*answer["window"])
        flagged = answer["status"] != "ok"
        return scenario.name, verdict(answer["value_j"], truth_j, flagged=flagged)

    with ThreadPoolExecutor(2) as pool:
        ours = dict(pool.map(measure, FAULTS))
    by_meter: dict[str, Counter[str]] = {}
    for outcomes in (
        peer_runs.zeus_faults(bench.peers),
        peer_runs.codecarbon_faults(bench.peers, n_at_once=2),
    ):
        if not isinstance(outcomes, Missing):
            for outcome in outcomes:
                if outcome.scenario != "healthy":
                    by_meter.setdefault(outcome.meter, Counter())[outcome.verdict] += 1
    theirs = "; ".join(
        f"{meter} {verdicts.total() - verdicts['wrong']}" for meter, verdicts in by_meter.items()
    )
    wrong = [name for name, outcome in ours.items() if outcome == "wrong"]
    n_detected = len(ours) - len(wrong)
    yield Row(
        f"{len(FAULTS)} scripted faults: value correct, flagged or missing", f"{len(FAULTS)}",
        str(n_detected), theirs or "no peer could be run", "; ".join(wrong), not wrong,
    )  # fmt: skip


def statistical(bench: Bench) -> Iterator[Row]:
    """Return how often the intervals and comparisons of a study are right."""
    shares = {n: 100 * coverage(n, trials=bench.trials) for n in (5, 7, 10, 20)}
    yield Row(
        "coverage of the nominal 95 % interval, 5 to 20 runs", "93-97 %",
        ", ".join(f"{share:.1f}" for share in shares.values()) + " %", "no peer reports one", "",
        all(93 <= share <= 97 for share in shares.values()),
    )  # fmt: skip
    shuffled = 100 * false_differences("shuffled", trials=bench.trials)
    in_order = 100 * false_differences("sequential", adjusted=False, trials=bench.trials // 4)
    yield Row(
        "false differences among 6 identical points, 3 % drift, shuffled", "<= 7 %",
        f"{shuffled:.1f} %", f"sequential order, plain means: {in_order:.0f} %", "",
        shuffled <= 7,
    )  # fmt: skip


PARTS: dict[str, Callable[[Bench], Iterator[HasCells]]] = {
    "windows": window_errors,
    "bias": biases,
    "bounds": bounds,
    "flaws": flaws,
    "costs": costs,
    "throughput": throughput,
    "faults": faults,
    "statistics": statistical,
}
_HEADER = ("what", "goal", "ours", "peer", "ratio or note", "met")
_HEADERS = {"flaws": FLAWS_HEADER}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer windows, shorter runs")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="of flaws, the rows whose name contains this"
    )
    parser.add_argument(
        "--seed", default="", metavar="TEXT", help="of flaws: play other loads and ripple"
    )
    parser.add_argument("--no-peers", action="store_true", help="of flaws, our side only")
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            Path(folder), quick=options.quick, only=options.only, seed=options.seed,
            has_peers=not options.no_peers,
        )  # fmt: skip
        shown: tuple[str, ...] = ()
        for name in options.part or PARTS:
            header = _HEADERS.get(name, _HEADER)
            if header != shown:
                _print_header(header)
                shown = header
            flaw_rows = []
            for row in PARTS[name](bench):
                print(f"| {' | '.join(row.cells)} |", flush=True)
                if isinstance(row, FlawRow):
                    flaw_rows.append(row)
            if flaw_rows:
                _print_header(SUMMARY_HEADER)
                for cells in summary(flaw_rows):
                    print(f"| {' | '.join(cells)} |")
    print(f"\n{time.perf_counter() - start:.0f} s")


def _print_header(header: Sequence[str]) -> None:
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")


if __name__ == "__main__":
    main()
