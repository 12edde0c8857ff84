"""The peak memory of this process on a CPU, as the kernel counts it."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak_resident_bytes() -> None:
    """Restart the measurement of the peak, if the kernel can do so (Linux)."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5")  # resets VmHWM; see proc(5)


def peak_resident_bytes() -> int:
    """Return the peak since the reset, or since the process began if there can be no reset."""
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
