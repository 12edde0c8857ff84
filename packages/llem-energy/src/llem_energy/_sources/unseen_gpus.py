"""Whether this machine has a GPU although no driver library shows one, as in some containers."""

from __future__ import annotations

import sys
from pathlib import Path

_DEVICES = Path("/dev")


def unseen_gpu() -> str | None:
    """Return what shows that there is a GPU that the driver's library does not list; None if nothing."""
    # Not /dev/kfd: the processor of a laptop can have a small AMD GPU, on which no model runs.
    if found := sorted(_DEVICES.glob("nvidia[0-9]*")):
        return f"there is the device {found[0]}"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return "PyTorch finds a GPU"
    return None
