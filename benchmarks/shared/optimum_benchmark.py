"""Runs programs in a separate environment with optimum-benchmark.

uv installs it for `pytorch_speed.py` and `runner_peer.py`, together with the newest version of
transformers with which it can be imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PEER = ("optimum-benchmark==0.6.*", "transformers<5")
# Not the interpreter of our environment, whose packages the peer would see.
_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")


def peer_command(*arguments: str) -> list[str]:
    """Return the command that runs Python with the peer and our version of torch."""
    import torch

    packages = (*PEER, f"torch=={torch.__version__.partition('+')[0]}")
    command = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", _PYTHON]
    command += [word for package in packages for word in ("--with", package)]
    return [*command, "python", *arguments]


def last_answer(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Any:
    """Return the last line that a program prints, decoded from JSON; None if it fails.

    Args:
        command: runs the program.
        folder: working directory; the peer writes its log there.
        env: environment variables; one is added that prevents downloads of models.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**env, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr.strip()[-1000:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])
