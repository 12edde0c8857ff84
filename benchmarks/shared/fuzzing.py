"""The command line of the fuzzers: cases in several processes, and a count of their outcomes."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

Failures = Callable[[int, range], tuple[Counter[str], list[str]]]
"""From a seed and the numbers of cases to the number of each outcome, and a text for each fault."""
_MAX_SHOWN = 20


def run(failures: Failures, description: str | None, n_cases: int, chunk: int) -> int:
    """Run the cases that the command line requests, and print what came of them.

    Args:
        failures: runs some cases; a module-level function, because other processes import it.
        description: for `--help`.
        n_cases: if the command line has no number.
        chunk: cases that a process runs at a time.

    Returns:
        The exit code: 1 if any case failed.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=n_cases)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    start_s = time.perf_counter()
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    # If a case kills its process, the executor raises instead of waiting for it.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawn) as pool:
        work = [pool.submit(failures, options.seed, n) for n in _chunks(options.count, chunk)]
        for future in work:
            counted, failed = future.result()
            outcomes += counted
            wrong += failed
    for text in wrong[:_MAX_SHOWN]:
        print(text)
    counts = ", ".join(f"{n} {name}" for name, n in sorted(outcomes.items()))
    seconds = time.perf_counter() - start_s
    print(f"{options.count} cases, seed {options.seed}: {counts}; {seconds:.0f} s")
    return 1 if wrong else 0


def _chunks(count: int, size: int) -> Iterator[range]:
    for first in range(0, count, size):
        yield range(first, min(first + size, count))
