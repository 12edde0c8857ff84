"""Whether others used a metered GPU: its energy then includes theirs.

The driver's lists of processes come first; what the meter showed while the run idled comes second,
because a driver may list no process of another container.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from llem_energy._measurement.baseline import idle_change
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._measurement.tenancy_signs import MAX_FOREIGN_BYTES, same_clock, tenancy_signs
from llem_energy._metering.window import MeasuredSpan
from llem_energy._result.measurement_figures import Baseline
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.protocol import Sample


def tenancy_flags(raw: RawMeasurement, span: MeasuredSpan) -> tuple[str, ...]:
    """Return why the energy of a window includes that of other users of a GPU, or may do so.

    Args:
        raw: the measurement.
        span: the window, or the window of a phase.
    """
    return (*_listed(raw), *_signs(raw, span))


def idle_change_flags(raw: RawMeasurement, baseline: Baseline) -> tuple[str, ...]:
    """Return that idle power of GPUs changed over the window, unless their clocks explain it."""
    if raw.source is None or raw.source.kind != "gpu":
        return ()
    loaded = [span for span in (raw.idles.before, raw.idles.after) if span is not None]
    samples = raw.samples.between(-math.inf, math.inf)
    by_device = [[s for s in samples if s.device == device] for device in raw.source.devices]
    if not all(same_clock(readings, loaded) for readings in by_device):
        return ()
    return tuple(idle_change(baseline))


def hidden_processes(raw: RawMeasurement) -> Iterator[str]:
    """Say on which metered GPUs it cannot be told from the list of processes who used them."""
    for gpu in _metered(raw):
        sharing = raw.gpu_sharing.get(gpu.uuid)
        if sharing is None or sharing.is_own_hidden:
            why = "lists no process of this run" if sharing else "lists no processes"
            if gpu.bus_id is not None:  # of AMD
                why = "has a list of processes that llem does not read"
            yield (
                f"whether other processes used GPU {gpu.index} cannot be told from its driver, "
                f"which {why}; only its power, memory and utilisation were checked"
            )


def _listed(raw: RawMeasurement) -> Iterator[str]:
    for gpu in _metered(raw):
        sharing = raw.gpu_sharing.get(gpu.uuid)
        if sharing is None:
            continue
        if sharing.n_at_start:
            yield f"{_processes(sharing.n_at_start)} on GPU {gpu.index} at the start"
        if sharing.n_newcomers:
            yield f"{_processes(sharing.n_newcomers)} on GPU {gpu.index} later in the run"
        if sharing.n_unclear:
            yield (
                f"{sharing.n_unclear} processes came onto GPU {gpu.index} while the model was "
                "loaded, and it cannot be told which belong to this run: the driver numbers "
                "processes differently, as in a container"
            )
        if (held_bytes := sharing.unexplained_bytes or 0) > MAX_FOREIGN_BYTES:
            yield (
                f"something else used GPU {gpu.index} at the start: "
                f"{held_bytes / 2**30:.1f} GiB of its memory were in use"
            )


def _signs(raw: RawMeasurement, span: MeasuredSpan) -> Iterator[str]:
    source = raw.source
    if source is None or source.kind != "gpu":
        return
    loaded = [each for each in (raw.idles.before, raw.idles.after) if each is not None]
    idles = [*([raw.idles.context] if raw.idles.context is not None else []), *loaded]
    samples = raw.samples.between(-math.inf, math.inf)
    for device in source.devices:
        own: list[Sample] = [sample for sample in samples if sample.device == device]
        for sign in tenancy_signs(own, idles, loaded, span, _own_growth_bytes(raw)):
            yield f"{device}: {sign}"


def _own_growth_bytes(raw: RawMeasurement) -> int | None:
    if not raw.gpus:
        return 0  # the model does not run on a GPU
    peak_bytes, weights_bytes = raw.memory.peak_bytes, raw.memory.weights_bytes
    if peak_bytes is None or weights_bytes is None:
        return None
    return peak_bytes - weights_bytes


def _metered(raw: RawMeasurement) -> Iterator[GpuSnapshot]:
    metered = raw.source.devices if raw.source is not None else ()
    yield from (gpu for gpu in raw.environment.gpus if gpu.uuid in metered)


def _processes(n: int) -> str:
    return "1 other process was" if n == 1 else f"{n} other processes were"
