"""The README of the benchmarks lists every command."""

from __future__ import annotations

import re
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_table_lists_every_command_and_no_other() -> None:
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+\.py)` \|", readme, flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in BENCHMARKS.glob("*.py"))
