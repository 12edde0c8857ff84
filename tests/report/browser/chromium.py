"""The browser of this machine, in which tests open pages: Chromium or Chrome."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "LLEM_REQUIRE_CHROMIUM"
"""Set to 1 where a test without a browser fails instead of being skipped, as in `.ci/run`."""
# Read on import: the environment of a test has no variable of llem.
_IS_REQUIRED = os.environ.get(VARIABLE) == "1"


def find_chromium(*, path: str | None = None, required: bool = _IS_REQUIRED) -> str:
    """Return the path of a browser; without one, skip the test, or fail it if one is required.

    Args:
        path: folders to search, joined by `:`; None for those of `PATH`.
        required: whether a missing browser is a failure.
    """
    for name in NAMES:
        if program := shutil.which(name, path=path):
            return program
    problem = f"expected a browser on the path ({', '.join(NAMES)}), found none"
    if required:
        pytest.fail(f"{problem}; install one, or do not set {VARIABLE}", pytrace=False)
    pytest.skip(f"{problem}; install one to run this test")
