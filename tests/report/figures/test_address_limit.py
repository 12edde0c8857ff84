"""A limit on addresses (`ulimit -v`), as batch systems set it, is a sentence and no crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits addresses")
PROGRAM = """
import resource, sys
from llem_report._figures.rendering import svg_of
limit = int(float(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
spec = {"mark": "bar", "data": {"values": [{"a": 1}]}, "encoding": {"x": {"field": "a"}}}
print(svg_of(spec)[:4])
"""


def draw(limit: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, limit], capture_output=True, text=True, check=False
    )


def test_too_few_addresses_are_an_error_and_end_no_process() -> None:
    done = draw("40e9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "llem_report._errors.ReportError: no figure can be drawn: expected at least 80 GB of "
        "addresses, found a limit of 40.0 GB; remove it, e.g. with `ulimit -v unlimited`"
    )


def test_the_smallest_limit_that_is_accepted_is_enough() -> None:
    done = draw("80e9")
    assert (done.returncode, done.stdout) == (0, "<svg\n"), done.stderr[-500:]
