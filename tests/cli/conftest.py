"""Runs `llem-cli` as a user does, in its own process, and a study file for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
STUDY = """\
model: builtin:tiny-llama
n: 2
pytorch: {device: cpu}
sweep:
  precision: [fp32, bf16]
  pytorch.attn_implementation: [sdpa, flash_attention_2]
exclude: [{precision: bf16, pytorch.attn_implementation: sdpa}]
experiments: [{precision: fp32, pytorch.attn_implementation: sdpa}]
execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}
"""


@pytest.fixture
def llem(tmp_path: Path) -> Run:
    """Return a function that runs `llem-cli` in an empty folder and waits for it."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llem_cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    return run


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file
