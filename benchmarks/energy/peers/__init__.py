"""Zeus and CodeCarbon beside us: the same traces, windows and faults, the same fake driver.

    uv run python -m benchmarks.energy.peers [PART ...]

Each peer is installed by uv into an environment of its own, for this run only, and is not changed;
what runs there imports nothing of ours. Where a peer cannot be installed, its figures are a
`Missing` with the reason. Run as a program, it prints the peers' figures alone; the comparison is
`benchmarks/energy_accuracy.py`.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "tests"))  # the fakes are not installed
