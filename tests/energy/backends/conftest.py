"""The example backend, installed once for the processes of the tests of this folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from workspace.repository import uv

_EXAMPLE = Path(__file__).parents[2] / "example_backend"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a process that sees the example."""
    folder = tmp_path_factory.mktemp("site")
    command = [uv(), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*command, "--target", str(folder), str(_EXAMPLE)], check=True, timeout=60)
    return {"PYTHONPATH": str(folder)}
