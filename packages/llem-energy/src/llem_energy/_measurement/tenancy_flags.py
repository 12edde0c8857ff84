"""Whether others used a metered GPU: its energy then includes theirs.

The driver's lists of processes come first; what the meter showed while the run idled comes second,
because a driver may list no process of another container.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from llem_energy._measurement.baseline import idle_change
from llem_energy._measurement.gpu_sharing import GpuSharing
from llem_energy._measurement.idle import Idles, IdleSpan
from llem_energy._measurement.tenancy_signs import MAX_FOREIGN_BYTES, same_clock, tenancy_signs
from llem_energy._metering.span import Span
from llem_energy._result.measurement_figures import Baseline
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.protocol import EnergySource, Sample


class Tenancy(msgspec.Struct, frozen=True, kw_only=True):
    """What shows whether others used the metered GPUs during a run."""

    source: EnergySource | None
    between: Callable[[float, float], Sequence[Sample]]
    """Returns the samples of a span in time order."""
    idles: Idles
    """When the run did not use the GPUs."""
    sharing: Mapping[str, GpuSharing]
    """By the UUID of each GPU whose driver lists processes."""
    indices: Mapping[str, int]
    """The index of each GPU of the machine, by its UUID."""
    own_growth_bytes: int | None = None
    """By how much the memory of the run at its peak was above that of the loaded model; None if it is
    not known, and memory then shows nothing."""

    @property
    def loaded_idles(self) -> tuple[IdleSpan, ...]:
        """When the run idled with the model loaded."""
        return tuple(span for span in (self.idles.before, self.idles.after) if span is not None)

    def samples_of(self, device: str) -> list[Sample]:
        """Return all samples of a GPU in time order."""
        return [s for s in self.between(-math.inf, math.inf) if s.device == device]

    def metered(self) -> Iterator[tuple[int, str]]:
        """Yield the index and the UUID of each metered GPU of the machine."""
        devices = self.source.devices if self.source is not None else ()
        yield from ((index, uuid) for uuid, index in self.indices.items() if uuid in devices)


def tenancy_flags(tenancy: Tenancy, span: Span) -> tuple[str, ...]:
    """Return why the energy of a window includes that of other users of a GPU, or may do so.

    Args:
        tenancy: what shows it.
        span: the window, or the window of a phase.
    """
    return (*_listed(tenancy), *_signs(tenancy, span))


def idle_change_flags(tenancy: Tenancy, baseline: Baseline) -> tuple[str, ...]:
    """Return that idle power of GPUs changed over the window, unless their clocks explain it."""
    source, loaded = tenancy.source, tenancy.loaded_idles
    if source is None or source.kind != "gpu":
        return ()
    if not all(same_clock(tenancy.samples_of(device), loaded) for device in source.devices):
        return ()
    return tuple(idle_change(baseline))


def hidden_processes(tenancy: Tenancy, gpus: Sequence[GpuSnapshot]) -> Iterator[str]:
    """Say on which metered GPUs it cannot be told from the list of processes who used them."""
    metered = {uuid for _, uuid in tenancy.metered()}
    for gpu in gpus:
        if gpu.uuid not in metered:
            continue
        sharing = tenancy.sharing.get(gpu.uuid)
        if sharing is None or sharing.is_own_hidden:
            why = "lists no process of this run" if sharing else "lists no processes"
            if gpu.bus_id is not None:  # of AMD
                why = "has a list of processes that llem does not read"
            yield (
                f"whether other processes used GPU {gpu.index} cannot be told from its driver, "
                f"which {why}; only its power, memory and utilisation were checked"
            )


def _listed(tenancy: Tenancy) -> Iterator[str]:
    for index, uuid in tenancy.metered():
        sharing = tenancy.sharing.get(uuid)
        if sharing is None:
            continue
        if sharing.n_at_start:
            yield _processes(sharing.n_at_start, f"on GPU {index} at the start")
        if sharing.n_newcomers:
            yield _processes(sharing.n_newcomers, f"on GPU {index} later in the run")
        if sharing.n_unclear:
            yield (
                f"{sharing.n_unclear} processes came onto GPU {index} while the model was "
                "loaded, and it cannot be told which belong to this run: the driver numbers "
                "processes differently, as in a container"
            )
        if (held_bytes := sharing.unexplained_bytes or 0) > MAX_FOREIGN_BYTES:
            yield (
                f"something else used GPU {index} at the start: "
                f"{held_bytes / 2**30:.1f} GiB of its memory were in use"
            )


def _signs(tenancy: Tenancy, span: Span) -> Iterator[str]:
    source, context, loaded = tenancy.source, tenancy.idles.context, tenancy.loaded_idles
    if source is None or source.kind != "gpu":
        return
    idles = [*([context] if context is not None else []), *loaded]
    for device in source.devices:
        samples = tenancy.samples_of(device)
        for sign in tenancy_signs(samples, idles, loaded, span, tenancy.own_growth_bytes):
            yield f"{device}: {sign}"


def _processes(n: int, where: str) -> str:
    who, them = ("1 other process was", "it") if n == 1 else (f"{n} other processes were", "them")
    return (
        f"{who} {where}; stop {them}, a desktop counts too, or use another GPU "
        "(`llem-cli doctor` lists the process ids)"
    )
