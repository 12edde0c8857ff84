"""Clocks of one NVIDIA GPU, and whether a user has set them.

NVML has functions that lock clocks and none that reads the lock back (NVML API reference: "Device
Commands" has nvmlDeviceSetGpuLockedClocks, "Device Queries" has no counterpart). What it shows are
the application clocks with their defaults, and whether a setting holds the clock down just now. So
a lock can be found, but never excluded. NVML is called here only through `_mhz`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pynvml

_SETTING = "application clocks"  # the reason in `throttling`
_CANNOT_TELL = "the driver can lock clocks but not report a lock, and nothing else shows one"


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """Clocks of one GPU in MHz. None: the driver does not report it."""

    sm: float | None
    """Of the multiprocessors, now."""
    sm_max: float | None
    application_sm: float | None
    application_sm_default: float | None
    application_memory: float | None
    application_memory_default: float | None

    def lock(self, reasons: tuple[str, ...] | None) -> tuple[bool | None, str]:
        """Return whether a setting of a user limits the clocks, and what shows that.

        Args:
            reasons: why the GPU runs slower than it could, by `throttle_names`; None: not reported.

        The answer is never False: a lock that does not hold the clock down just now, as on an idle
        GPU, cannot be seen. None comes with the reason why it is unknown.
        """
        changed = [
            f"{name} {now:g} MHz instead of {default:g}"
            for name, now, default in (
                ("SM", self.application_sm, self.application_sm_default),
                ("memory", self.application_memory, self.application_memory_default),
            )
            if now is not None and default is not None and now != default
        ]
        if changed:
            return True, f"application clocks are set: {', '.join(changed)}"
        if reasons is None:
            return None, "the driver does not report what limits the clocks"
        if _SETTING not in reasons:
            return None, _CANNOT_TELL
        default, highest = self.application_sm_default, self.sm_max
        if default is not None and highest is not None and default < highest:
            return None, (
                f"a setting limits the clocks, perhaps only the default application clock "
                f"({default:g} of at most {highest:g} MHz)"
            )
        return True, "the driver reports that a setting limits the clocks"


def read_clocks(handle: Any) -> Clocks:
    """Return the clocks of the GPU with this handle."""
    sm, memory = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
    application = pynvml.nvmlDeviceGetApplicationsClock
    default = pynvml.nvmlDeviceGetDefaultApplicationsClock
    return Clocks(
        sm=_mhz(pynvml.nvmlDeviceGetClockInfo, handle, sm),
        sm_max=_mhz(pynvml.nvmlDeviceGetMaxClockInfo, handle, sm),
        application_sm=_mhz(application, handle, sm),
        application_sm_default=_mhz(default, handle, sm),
        application_memory=_mhz(application, handle, memory),
        application_memory_default=_mhz(default, handle, memory),
    )


def _mhz(function: Callable[[Any, int], int], handle: Any, kind: int) -> float | None:
    try:
        return function(handle, kind)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None
