"""How often equal points look different when their runs are spread over unequal nodes.

    uv run python benchmarks/shard_statistics.py [--trials 1000]

All points are equal, runs vary by 1 %, nodes by 3 %. A block is what one process ran of one cycle on
one node. For each design: the share of studies in which some point differs from the best one,
though all are equal; the efficiency, which is the variance of a difference with complete blocks over that
with this design; and how wide intervals are compared with whole cycles on one node. Points on fixed nodes
are shown because they must not be allowed: `plan_shards` cuts each cycle anew. The seeds
are fixed, so the table is the same on every machine. Exits with code 1 if a goal is missed; fewer
trials than 1000 are too few to judge that.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks is not installed

from benchmarks.simulated.shards import Design, efficiency, false_winners, half_width_ratio

_GOAL = 0.07
_STUDIES = ((12, 4, 3), (24, 5, 3), (40, 5, 4), (40, 5, 8))
_DESIGNS = (
    *(
        (study, design)
        for study in _STUDIES
        for design in Design
        if design is not Design.INTERACTION
    ),
    ((24, 5, 1), Design.CUT),
    ((24, 5, 3), Design.INTERACTION),
)


def main() -> None:
    """Print the table and exit with 0 if every goal is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="studies of each design")
    trials = parser.parse_args().trials
    start_s = time.perf_counter()
    missed = []
    print(f"{trials} studies of each design; goal: a false winner in at most {_GOAL:.0%}\n")
    print(
        f"{'points, cycles, shards a cycle':<32}{'blocks':<62}{'false winner':>12}{'efficiency':>12}"
        f"{'width':>8}"
    )
    for (n_points, n_cycles, n_shards), design in _DESIGNS:
        few = trials // 20 or 1
        rate = false_winners(design, n_points, n_cycles, n_shards, trials=trials)
        kept = efficiency(design, n_points, n_cycles, n_shards, trials=few)
        width = half_width_ratio(design, n_points, n_cycles, n_shards, trials=few)
        shape = f"{n_points}, {n_cycles}, {n_shards}"
        print(f"{shape:<32}{design.value:<62}{rate:>12.1%}{kept:>12.2f}{width:>8.2f}")
        if rate > _GOAL and design is not Design.FIXED:
            missed.append(f"{shape}, {design.value}: {rate:.1%}")
    print(f"\n{time.perf_counter() - start_s:.0f} s")
    print("\n".join(f"missed: {line}" for line in missed) or "all goals reached")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
