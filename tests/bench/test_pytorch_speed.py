"""The parts of `benchmarks/pytorch_speed.py` run; their speed is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pytorch_speed.py"


def part(name: str, number: int) -> Any:
    command = [sys.executable, str(SCRIPT), "--part", name, "builtin:tiny-llama", "1", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["window", "load"])
def test_our_call_and_the_bare_call_alternate(name: str) -> None:
    speeds = part(name, 2)
    assert {side: len(pairs) for side, pairs in speeds.items()} == {
        "ours": 2,
        "bare": 2,
        "again": 2,
    }
    assert all(value > 0 for pairs in speeds.values() for pair in pairs for value in pair)
