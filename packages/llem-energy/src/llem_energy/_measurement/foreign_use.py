"""Whether others used the GPUs that any program has metered."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llem_energy._measurement.baseline import baseline_figures
from llem_energy._measurement.gpu_sharing import TenantLists, gpu_sharing
from llem_energy._measurement.idle import Idles
from llem_energy._measurement.tenancy_flags import Tenancy, idle_change_flags, tenancy_flags
from llem_energy._metering.boot import boot_id
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.span import Span
from llem_energy._sources.nvml_gpus import gpu_uuids
from llem_energy._sources.protocol import EnergySource, Sample


def foreign_use(
    source: EnergySource,
    samples: Sequence[Sample],
    span: Span,
    lists: TenantLists,
    *,
    own_pids: Collection[int],
    idles: Idles,
    calibration: Sequence[Calibration] = (),
    own_growth_bytes: int | None = None,
) -> tuple[str, ...]:
    """Return why the energy of a window includes that of other users of a GPU, or may do so.

    docs/energy.md lists the signs and their limits. A process that the driver does not list, and which
    draws power inside the window only, leaves no sign.

    Args:
        source: the meter of the GPUs.
        samples: of all its devices in time order, of the whole run.
        span: the window; before and after it the program does not use the GPUs for `span.guard_s`.
        lists: what the driver listed during the run.
        own_pids: the processes of the program.
        idles: when the program did not use the GPUs.
        calibration: of the devices, if known.
        own_growth_bytes: by how much the memory of the program at its peak was above that at the
            beginning of `idles.before`; None if it is not known, and memory then shows nothing.
    """

    def between(start_s: float, end_s: float) -> list[Sample]:
        return [sample for sample in samples if start_s <= sample.t_s <= end_s]

    seen: dict[str, set[int]] = {device: {*pids} for device, pids in lists.seen.items()}
    for sample in samples:
        seen.setdefault(sample.device, set()).update(sample.pids or ())
    lists = lists._replace(seen=seen)
    tenancy = Tenancy(
        source=source,
        between=between,
        idles=idles,
        sharing=gpu_sharing(lists, own_pids=own_pids, used=source.devices),
        indices={uuid: index for index, uuid in enumerate(gpu_uuids())},
        own_growth_bytes=own_growth_bytes,
    )
    middle_s = (span.start_s + span.end_s) / 2
    rated = baseline_figures(source, between, idles, calibration, middle_s, boot_id())
    return (*tenancy_flags(tenancy, span), *idle_change_flags(tenancy, rated.figures))
