"""`llem-cli study shard` with a stand-in for the measurement, as Slurm starts it in the tests.

    python stand_in.py -m llem_cli study shard FOLDER NUMBER

A run takes `LLEM_TEST_SECONDS`, or `LLEM_TEST_FIRST_SECONDS` until Slurm has restarted the task. On node
n2 each needs 6 % more energy than on n1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fakes.shard_studies import EFFECT, SECONDS, on_a_node

from llem_cli._commands.study.shard import shard

RETRIES = 2
"""Of a run whose process dies."""
FIRST_SECONDS = "LLEM_TEST_FIRST_SECONDS"
EFFECTS = {"n1": "1.0", "n2": "1.06"}

if __name__ == "__main__":
    os.environ[EFFECT] = EFFECTS.get(os.environ.get("SLURMD_NODENAME", ""), "1.0")
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0" and FIRST_SECONDS in os.environ:
        os.environ[SECONDS] = os.environ[FIRST_SECONDS]
    folder, number = sys.argv[-2:]
    sys.exit(shard(Path(folder), int(number), measure=on_a_node, retry=RETRIES))
