"""What disturbed a window from outside, as reasons to doubt its time and its energy."""

from __future__ import annotations

from collections.abc import Iterator

from llem_energy._host.host_load import HostLoad, WindowStops
from llem_energy._host.load_limits import (
    MAX_OTHER_SHARE,
    MAX_STOLEN_SHARE,
    MAX_STOPPED_SHARE,
    MAX_WAIT_SHARE,
    other_load_problem,
)
from llem_energy._metering.window import MeasuredSpan

_MIN_SUSPENDED_S = 0.1
_MIN_SWAPPED_BYTES = 1 << 20


def load_flags(span: MeasuredSpan, *, on_gpu: bool) -> tuple[str, ...]:
    """Return why time and energy of a window are not those of an undisturbed machine.

    Args:
        span: the window, with what the operating system counted.
        on_gpu: whether the work ran on a GPU. Other load then matters only if the thread that
            starts the GPU's work had to wait for a CPU.
    """
    return (
        *(_of_stops(span.stops, span.end_s - span.start_s) if span.stops else ()),
        *(_of_load(span, span.load, on_gpu=on_gpu) if span.load else ()),
    )


def shared_meter_flags(span: MeasuredSpan) -> tuple[str, ...]:
    """Return why a meter of the CPU or the board shows the energy of other processes too."""
    load = span.load
    if load is None or load.other_cores is None:
        return ()
    own_cores = load.family_cpu_s / load.duration_s
    other_cores = load.other_cores - load.resolution_cores
    if other_cores <= MAX_OTHER_SHARE * (own_cores + load.other_cores):
        return ()
    return (
        f"the energy includes that of other processes, which used {load.other_cores:.2g} CPUs, "
        f"while the run used {own_cores:.2g}",
    )


def _of_stops(stops: WindowStops, window_s: float) -> Iterator[str]:
    if stops.stopped_s > MAX_STOPPED_SHARE * window_s:
        yield (
            f"the process of the run or its machine was stopped for {stops.stopped_s:.2g} s of the "
            f"window of {window_s:.3g} s"
        )
    if stops.suspended_s > _MIN_SUSPENDED_S:
        yield f"the machine was suspended for {stops.suspended_s:.2g} s during the window"


def _of_load(span: MeasuredSpan, load: HostLoad, *, on_gpu: bool) -> Iterator[str]:
    window_s = span.end_s - span.start_s
    waited_s = span.stops.thread_waited_s if span.stops else None
    if not on_gpu or waited_s is None:
        if problem := other_load_problem(load, on_gpu=on_gpu):
            yield f"{problem} during the window"
    elif waited_s > MAX_WAIT_SHARE * window_s:
        yield (
            f"the thread that starts the work of the GPU waited for a CPU for {waited_s:.2g} s of "
            f"the window of {window_s:.3g} s"
        )
    cpu_s = load.n_cpus * load.duration_s
    if load.stolen_s is not None and load.stolen_s > MAX_STOLEN_SHARE * cpu_s:
        yield f"the hypervisor withheld {load.stolen_s / cpu_s:.1%} of the CPU time of this machine"
    if load.cpu_limit_s is not None and load.cpu_limit_s > MAX_STOPPED_SHARE * load.duration_s:
        yield (
            f"the CPU limit of the control group stopped the run {load.n_cpu_limit_stops} times, "
            f"{load.cpu_limit_s:.2g} s over all CPUs"
        )
    swapped_in = load.swapped_in_bytes or 0
    if swapped_in >= _MIN_SWAPPED_BYTES and span.stops and span.stops.n_page_loads != 0:
        yield (
            f"memory was too small: {swapped_in / 1e6:.3g} MB were read back from swap space during "
            "the window"
        )
