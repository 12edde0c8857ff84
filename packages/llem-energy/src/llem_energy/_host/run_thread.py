"""The thread that starts the work of a window: was it able to run?

Everything here takes microseconds, so it is read right next to the ends of a window.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

from llem_energy._host.host_reading import since_boot_s
from llem_energy._host.processes import proc

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_NANO = 1e-9


class ThreadReading(NamedTuple):
    """What the kernel has counted for the calling thread and its process; None: not reported."""

    waited_s: float | None
    """Time in which the thread was ready to run and waited for a CPU."""
    suspended_s: float
    """Time in which the machine was suspended, since the boot."""
    n_preemptions: int | None
    """Times that the process had to give up a CPU (involuntary context switches)."""
    n_yields: int | None
    """Times that the process waited for something (voluntary context switches)."""
    n_page_loads: int | None
    """Pages of the process that were read from the disk (major faults)."""


def read_thread() -> ThreadReading:
    """Read the counters of the calling thread and of its process."""
    usage = resource.getrusage(resource.RUSAGE_SELF) if resource is not None else None
    return ThreadReading(
        waited_s=waited_s(wait_file()),
        suspended_s=since_boot_s() - time.monotonic(),
        n_preemptions=usage.ru_nivcsw if usage else None,
        n_yields=usage.ru_nvcsw if usage else None,
        n_page_loads=usage.ru_majflt if usage else None,
    )


def wait_file() -> Path:
    """Return the kernel's account of the calling thread, for `waited_s`."""
    return proc() / "self" / "task" / str(threading.get_native_id()) / "schedstat"


def waited_s(file: Path) -> float | None:
    """Return how long a thread has waited for a CPU so far; None if it is not reported."""
    try:
        fields = file.read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    # Time on a CPU, time waiting for one, and number of time slices (sched-stats in Linux).
    return int(fields[1]) * _NANO if len(fields) == 3 and fields[1].isdigit() else None
