"""What came of a run."""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_energy import ExperimentResult


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The measurement succeeded; always the last message."""

    result: ExperimentResult


Reason = Literal[
    "exception", "gpu_memory", "memory",
    "oom_killer", "signal", "exit", "timeout", "stalled", "pipe", "garbage",
]  # fmt: skip
"""Why a run has no result: the first line is what a run says of itself, the second what its parent
found: killed by the kernel for want of memory, by another signal, left without a last message,
over its time, without progress, its pipe closed while it went on, not a message of ours."""


CRASHES: frozenset[Reason] = frozenset(
    {"oom_killer", "signal", "exit", "stalled", "pipe", "garbage"}
)
"""What may go better the next time. An exception comes again, and a timeout costs its time again."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The measurement raised, hung or died; always the last message."""

    error_type: str
    """Class name, e.g. `BackendError`; from the parent `Timeout`, `Stalled`, `ProcessDied` or
    `BadMessage`."""
    message: str
    traceback: str = ""
    reason: Reason = "exception"
    log_tail: str = ""
    """The last lines of the log that this attempt wrote, or of one that hangs where it does; filled
    in by the parent."""


class Interrupted(msgspec.Struct, frozen=True):
    """The run was stopped on request; made by the parent, never sent."""


Outcome = Finished | Failed | Interrupted
