"""What CONTRIBUTING.md promises: one package without torch, and the checks of a commit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def uv() -> str:
    """Return the path of uv; `uv run` passes it in the environment."""
    for path in (os.environ.get("UV"), shutil.which("uv"), ROOT / ".uv" / "bin" / "uv"):
        if path and Path(path).is_file():
            return str(path)
    pytest.skip("needs uv")


@pytest.mark.parametrize("group", ["config", "energy", "runner"])
def test_the_group_of_a_package_installs_its_tests_without_torch(group: str) -> None:
    command = [uv(), "export", "--frozen", "--offline", "--no-hashes", "--only-group", group]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {line.split("==")[0].strip() for line in lines.splitlines()}
    assert f"-e ./packages/llem-{group}" in names
    assert {"pytest", "mypy", "ruff"} <= names
    assert not names & {"torch", "transformers", "datasets"}
