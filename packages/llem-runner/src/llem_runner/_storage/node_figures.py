"""The energy of whole machines beside that of the runs on them, as `study_result.json` has it."""

from __future__ import annotations

from llem_runner._storage.node_energy import NodeEnergyRecord


class NodeEnergy(NodeEnergyRecord, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attempt at a shard: joules of its whole machine, and those that its runs have measured.

    It is a cross-check of the order of magnitude. No comparison or ranking uses it.
    """

    n_runs: int
    """Number of runs of the attempt whose energy is known; they are all that the next two fields hold."""
    measured_j: float | None
    """Joules in the measured windows, of what `covers` names; None if no run has them."""
    measured_s: float
    """Seconds of these windows."""
    measured_share: float | None = None
    """`measured_j` over `energy_j`; None if one is missing."""
    measured_time_share: float | None = None
    """`measured_s` over the time from the start of the job to its end; None if that is not known."""
    problem: str | None = None
    """Why the two contradict each other, in words; None if they do not."""
