"""How a run ended: with a result, without one, or stopped."""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_energy import ExperimentResult


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The measurement succeeded. The last message of the child process."""

    result: ExperimentResult


Reason = Literal[
    "exception", "gpu_memory", "memory",
    "oom_killer", "signal", "exit", "exit_unknown", "timeout", "stalled", "pipe", "garbage",
]  # fmt: skip
"""Why a run has no result.

The child process reports the first three itself. The parent process finds the others: killed by the
kernel because memory ran out, killed by another signal, exited without a last message, ended in a
way that the kernel does not report to a program that ignores SIGCHLD, ran into the timeout, made no
progress, closed its pipe but kept running, sent data that is not a message.
"""


CRASHES: frozenset[Reason] = frozenset(
    {"oom_killer", "signal", "exit", "exit_unknown", "stalled", "pipe", "garbage"}
)
"""Reasons for which a retry may help. An exception would be raised again, and a timeout would take
its full time again."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The measurement raised, hung or died. The last message of the child process."""

    error_type: str
    """Class name, e.g. `BackendError`; if the parent process found the failure, `Timeout`,
    `Stalled`, `ProcessDied` or `BadMessage`."""
    message: str
    traceback: str = ""
    reason: Reason = "exception"
    log_tail: str = ""
    """The last lines that this attempt wrote to the log, or where it hung; the parent process fills
    it in."""


class Interrupted(msgspec.Struct, frozen=True):
    """The run was stopped on request. Made by the parent process, never sent."""


Outcome = Finished | Failed | Interrupted
