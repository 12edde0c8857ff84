"""Processes that hash text differently, as each Python does, write the same archive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from report.comparison.folders import make_folder

_ARCHIVE = """
import sys
from llem_report import archive_study, describe_methods
print(archive_study(sys.argv[1], sys.argv[2]).sha256)
print(describe_methods(sys.argv[1]))
"""


def test_an_archive_does_not_depend_on_the_hashes_of_texts(tmp_path: Path) -> None:
    warnings = tuple(f"something is unusual: {word}" for word in ("a", "b", "c", "d", "e", "f"))
    folder = make_folder(
        tmp_path / "results", 1, ns=(1, 2), cycles=3, measurement_warnings=warnings
    )
    found = set()
    for seed in ("0", "1", "2"):
        command = [sys.executable, "-c", _ARCHIVE, str(folder), str(tmp_path / f"{seed}.zip")]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
