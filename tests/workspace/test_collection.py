"""Named files run in one process, and the whole suite runs in parallel."""

from __future__ import annotations

import os
import re
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
        (["-o", "testpaths=tests/config"], 4),  # no file is named; a small suite collects faster
        (["tests/config/test_hashes.py"], 0),
        (["-n2", "tests/config/test_hashes.py"], 2),
    ],
)
def test_only_the_whole_suite_is_spread_over_processes(
    arguments: list[str], processes: int
) -> None:
    assert f" processes {processes} " in collected(*arguments)


def test_processes_begin_with_what_takes_longest_and_one_runs_all_of_slurm(tmp_path: Path) -> None:
    """The options are those of this repository; only the tests are others."""
    slow = "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\n"
    several = "".join(f"def test_{number}(): pass\n" for number in range(3))
    one = "def test_one(): pass\n"
    (tmp_path / "tests" / "slurm").mkdir(parents=True)
    for name, text in {"a": one, "b": several, "c": slow, "slurm/x": slow, "slurm/y": one}.items():
        (tmp_path / "tests" / name).with_name(f"test_{name[-1]}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    for plugin in ("xdist.plugin", "pytest_timeout", "conftest"):
        command += ["-p", plugin]
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, "-n2", "-v", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(ROOT / "tests"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(r"\[(gw\d)\] .*PASSED .*test_(\w)\.py", done.stdout)
    assert len(passed) == 7
    processes = {file: process for process, file in passed}
    assert processes["x"] == processes["y"] != processes["c"]
    for process in ("gw0", "gw1"):
        files = [file for at, file in passed if at == process]
        assert files[0] in {"x", "c"}
        assert files == sorted(files, key="xycba".index)
