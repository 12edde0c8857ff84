"""Issue 13: the public names of llem-report can be imported, and only what is used is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

import llem_report

_HEAVY = ("numpy", "scipy", "pyarrow", "altair", "vl_convert", "pandas", "torch")


def loaded_after(code: str) -> set[str]:
    """Return which large libraries a new interpreter has loaded after some code."""
    command = f"{code}\nimport sys\nprint(*(name for name in {_HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", llem_report.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(llem_report, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'analyze'"):
        _ = llem_report.analyze


@pytest.mark.parametrize(
    "code",
    [
        "import llem_report.records",
        "from llem_report import analyse, compare, export",
        "import llem_cli._commands.study.show",
        "import llem_cli._commands.study.run",
    ],
)
def test_importing_loads_no_large_library(code: str) -> None:
    assert loaded_after(code) == set()
