"""How an attempt at a shard ended, for the program that has started it."""

from __future__ import annotations

from typing import Literal

import msgspec

ShardEnd = Literal["complete", "failed", "again", "fenced", "unfit", "stopped"]

EXIT_CODES: dict[ShardEnd, int] = {
    "complete": 0,
    "failed": 1,
    "again": 75,  # EX_TEMPFAIL of sysexits.h: not complete, and may be started again
    "fenced": 75,
    "unfit": 75,
    "stopped": 75,
}


class ShardOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt at a shard ended."""

    shard: int
    """Its number, from 1."""
    attempt: int | None
    """Its number; None if nothing was written, because there was nothing to do, or because nothing can be."""
    end: ShardEnd
    """`complete`: every run has a result. `failed`: every run has a result or has failed, or too many
    failed in a row. The other ends leave runs to do: `again`, the time limit was near; `fenced`,
    another process has begun a later attempt; `unfit`, this machine cannot run the shard; `stopped`,
    on request, or because nothing could be written."""
    reason: str | None = None
    """Why, in words."""
    n_runs: int
    """Of the shard."""
    n_completed: int
    """Runs with a result, of all attempts."""
    n_failed: int
    """Runs that have failed and have no result."""
    is_restarted: bool = False
    """Whether the cluster was asked to start the shard again, and agreed."""

    @property
    def exit_code(self) -> int:
        """Return 0 for complete, 1 for failed, 75 if the shard may be started again."""
        return EXIT_CODES[self.end]
