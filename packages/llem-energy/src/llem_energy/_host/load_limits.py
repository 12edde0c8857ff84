"""When other load is too high for a measurement. docs/energy.md explains the limits."""

from __future__ import annotations

from llem_energy._host.host_load import HostLoad

MAX_OTHER_SHARE = 0.05
"""Of the CPUs that a run on the CPU may use: the run loses about this share of its speed."""
MAX_WAIT_SHARE = 0.02
"""Of a window, for which the thread that starts the work of a GPU may wait for a CPU."""
MAX_STOLEN_SHARE = 0.02
"""Of the CPU time that a run may use, which the hypervisor may withhold."""
MAX_STOPPED_SHARE = 0.01
"""Of a window in which the process was stopped, or the CPU limit of its group was reached."""


def other_load_problem(load: HostLoad, *, on_gpu: bool) -> str | None:
    """Return one sentence if other processes keep the CPUs too busy; None if not or unknown.

    Args:
        load: over a fraction of a second or more.
        on_gpu: whether the work runs on a GPU, which needs one free CPU only.
    """
    other_cores = load.other_usable_cores
    if other_cores is None:
        return None
    limit_cores = load.n_cpus - 1 + MAX_OTHER_SHARE if on_gpu else MAX_OTHER_SHARE * load.n_cpus
    if other_cores - load.resolution_cores <= limit_cores:
        return None
    noun = "CPU" if load.n_cpus == 1 else "CPUs"
    # Clocks of different resolution can show more than there is.
    shown_cores = min(other_cores, load.n_cpus)
    return f"other processes kept {shown_cores:.2g} of the {load.n_cpus} {noun} busy"
