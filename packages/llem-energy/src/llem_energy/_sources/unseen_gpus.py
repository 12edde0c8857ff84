"""Whether this machine has a GPU although no driver library shows one, as in some containers."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def unseen_gpu() -> str | None:
    """Return what shows that there is a GPU that the driver's library does not list; None if nothing."""
    # Not /dev/kfd: the processor of a laptop can have a small AMD GPU, on which no model runs.
    if found := sorted(Path(os.environ.get("LLEM_DEV", "/dev")).glob("nvidia[0-9]*")):
        return f"there is the device {found[0]}"
    torch = sys.modules.get("torch")
    with contextlib.suppress(Exception):  # it may be imported in part only
        if torch is not None and torch.cuda.is_available():
            return "PyTorch finds a GPU"
    return None
