"""Named files run in one process, and the whole suite runs in parallel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = [
    *("config", "runner", "cli", "fakes", "bench", "workspace"),
    *(
        f"energy/{folder}"
        for folder in (
            *("estimation", "machine", "metering", "model_info"),
            *("preflight", "prompts", "result", "sources"),
        )
    ),
]
COLLECT = """
import sys

import pytest


class Settings:
    def pytest_collection_finish(self, session):
        counts.update(processes=session.config.option.numprocesses, tests=len(session.items))


counts = {}
code = pytest.main(["--collect-only", "-qq", *sys.argv[1:]], plugins=[Settings()])
print(f"exit {int(code)} processes {counts['processes']} torch {'torch' in sys.modules}")
"""


def collected(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_tests_that_need_no_torch_are_collected_without_it() -> None:
    folders = [f"tests/{folder}" for folder in WITHOUT_TORCH]
    assert collected(*folders) == "exit 0 processes 0 torch False"


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        (["-o", "testpaths=tests/config"], 2),  # no file is named; a small suite collects faster
        (["tests/config/test_hashes.py"], 0),
        (["-n3", "tests/config/test_hashes.py"], 3),
    ],
)
def test_only_the_whole_suite_is_spread_over_processes(
    arguments: list[str], processes: int
) -> None:
    assert f" processes {processes} " in collected(*arguments)
