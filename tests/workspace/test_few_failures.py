"""Failed tests run again in CI only if they are few, and never all tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace.repository import ROOT

FAILS = """
import pytest
@pytest.mark.parametrize("number", range({n}))
def test_fails(number):
    assert False
"""
DIFFERS = """
import os, pytest
@pytest.mark.parametrize("process", [os.getpid()])
def test_is_named_by_its_process(process):
    pass
"""


def after_a_run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file, and ask whether what failed may run again."""
    (folder / "test_it.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist.plugin", "-o", "cache_dir=cache"]
    tested = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 1, tested.stdout + tested.stderr
    script = ROOT / ".ci" / "few_failures.py"
    return subprocess.run(
        [sys.executable, script, "cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_few_failed_tests_run_again(tmp_path: Path) -> None:
    asked = after_a_run(tmp_path, FAILS.format(n=20))
    assert (asked.returncode, asked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("program", "arguments", "reason"),
    [
        (FAILS.format(n=21), [], "21 tests failed, more than 20"),
        (DIFFERS, ["-n2"], "gw[01]: not collected"),
        ("import no_such_module", ["-n2"], "test_it.py: not collected"),
    ],
    ids=["many failures", "other tests in each process", "an error in a file"],
)
def test_many_failures_and_errors_of_collection_end_ci(
    tmp_path: Path, program: str, arguments: list[str], reason: str
) -> None:
    asked = after_a_run(tmp_path, program, *arguments)
    assert asked.returncode == 1
    assert re.fullmatch(f"no test runs again: {reason}\n", asked.stderr)


@pytest.mark.parametrize("script", ["run", "lowest"])
def test_ci_asks_before_it_runs_failed_tests_again(script: str) -> None:
    text = (ROOT / ".ci" / script).read_text("utf-8")
    _, removed, rest = text.partition("/v/cache/lastfailed")
    assert removed  # what failed in an earlier run
    before, _, _ = rest.partition("--last-failed --last-failed-no-failures none")
    assert "python3 .ci/few_failures.py" in before
