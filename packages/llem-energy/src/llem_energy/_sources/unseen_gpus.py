"""Whether this machine has a GPU although no driver library shows one, as in some containers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def unmetered_gpu(sources: Sequence[str]) -> str | None:
    """Return that there is a GPU that no source can meter; None if none is there, or none is wanted.

    Args:
        sources: the names of energy sources.
    """
    sign = _sign() if set(sources) - {"rapl", "none"} else None
    if sign is None:
        return None
    return (
        f"no GPU can be metered although {sign}, so there is no total; install the driver's library, or "
        'meter the processor alone with sources="rapl"'
    )


def _sign() -> str | None:
    """Return what shows that there is a GPU that the driver's library does not list."""
    # Not /dev/kfd: the processor of a laptop can have a small AMD GPU, on which no model runs.
    if found := sorted(Path(os.environ.get("LLEM_DEV", "/dev")).glob("nvidia[0-9]*")):
        return f"there is the device {found[0]}"
    torch = sys.modules.get("torch")
    with contextlib.suppress(Exception):  # it may be imported in part only
        if torch is not None and torch.cuda.is_available():
            return "PyTorch finds a GPU"
    return None
