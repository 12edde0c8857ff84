"""Zeus and CodeCarbon on the same traces, windows, faults and fake driver as our meter.

    uv run python -m benchmarks.energy.peers [PART ...]

uv installs each unmodified peer into a separate environment for this run only; the scripts that run
there import no llem package. If a peer cannot be installed, its figures are a `Missing` with the
reason. Run as a program, this package prints the figures of the peers only; the comparison is
`benchmarks/energy_accuracy.py`.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "tests"))  # the fakes are not installed
