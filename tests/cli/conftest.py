"""Runs `llem-cli` as a user does, in its own process, and a study file for it.

In each file of tests, the first call of each command has a new process; those after it may have a forked
one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from fakes.forked_commands import ForkedCommands

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


@pytest.fixture(scope="session")
def server() -> Iterator[Callable[[], ForkedCommands]]:
    """Return a function that returns the server of forked commands, and starts it at first."""
    servers: list[ForkedCommands] = []

    def started() -> ForkedCommands:
        if not servers:
            servers.append(ForkedCommands())
        return servers[0]

    yield started
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def called() -> set[tuple[str, ...]]:
    """Return the commands that the tests of this file have called, such as ("study", "plan")."""
    return set()


@pytest.fixture
def llem(tmp_path: Path, server: Callable[[], ForkedCommands], called: set[tuple[str, ...]]) -> Run:
    """Return a function that runs `llem-cli` in an empty folder and waits for it."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        words = tuple(map(str, arguments))
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **env}
        command = tuple(takewhile(lambda word: not word.startswith("-"), words[:2]))
        is_first = command not in called
        called.add(command)
        if not is_first and server().can_start(environment):
            return server().run(
                ["-m", "llem_cli", *words], cwd=tmp_path, env=environment, timeout=280
            )
        return subprocess.run(
            [sys.executable, "-m", "llem_cli", *words],
            cwd=tmp_path,
            env=environment,
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
