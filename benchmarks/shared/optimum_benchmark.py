"""optimum-benchmark in an environment of its own, and what a program that runs there answers.

uv installs it for `pytorch_speed.py` and `runner_peer.py`, with the newest transformers that it can
be imported with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PEER = ("optimum-benchmark==0.6.*", "transformers<5")
# Not that of our environment, whose packages the peer would see.
_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")


def peer_command(*arguments: str) -> list[str]:
    """Return the command that runs Python beside the peer and the torch that we have."""
    import torch

    wanted = (*PEER, f"torch=={torch.__version__.partition('+')[0]}")
    command = ["uv", "run", "--quiet", "--isolated", "--no-project", "--python", _PYTHON]
    command += [word for package in wanted for word in ("--with", package)]
    return [*command, "python", *arguments]


def last_answer(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Any:
    """Return what a program prints last as JSON; None if it fails.

    Args:
        command: that runs it.
        folder: where it runs; the peer leaves its log there.
        env: its variables; one is added, so that no model is looked for elsewhere.
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
