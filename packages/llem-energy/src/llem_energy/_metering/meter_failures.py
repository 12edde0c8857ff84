"""Meters that failed while they were needed, and what they had shown until then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from llem_energy._metering.span import Span
from llem_energy._sources.protocol import EnergySource, Sample


def last_errors(source: EnergySource) -> dict[str, str]:
    """Return why each device failed when it was read last, as far as the source says so.

    A source that raises says nothing: the run is measured by now, and must not be lost.
    """
    last_error = getattr(source, "last_error", None)
    if last_error is None:
        return {}
    errors: dict[str, str] = {}
    for device in source.devices:
        with contextlib.suppress(Exception):
            if error := last_error(device):
                errors[device] = str(error)
    return errors


def failed_in_window(
    samples: Sequence[Sample],
    span: Span,
    devices: Sequence[str],
    stopped: str | None,
    errors: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yield for each device how long it was read, if it was not until the end of the window.

    A device that fails for a moment is not named: its counter continues, or a gap is reported.

    Args:
        samples: in time order, from before the window to after it.
        span: the window.
        devices: that were metered.
        stopped: why the samples ended; None if they did not.
        errors: why a device failed when it was read last, by device.
    """
    for device in devices:
        own = [sample for sample in samples if sample.device == device]
        before = [s for s in own if s.t_s <= span.start_s and _has_value(s)]
        inside = [s for s in own if span.start_s < s.t_s <= span.end_s]
        read = [s for s in inside if _has_value(s)]
        # The reading just after the end is part of the window: it closes it.
        ended = not any(_has_value(s) for s in own if s.t_s > span.end_s)
        failed = [s for s in inside if not read or s.t_s > read[-1].t_s]
        if not (ended and (failed or stopped is not None)):
            continue
        until_s = read[-1].t_s - span.start_s if read else 0.0
        cause = stopped or (errors or {}).get(device)
        why = "" if cause is None else f" ({cause})"
        yield (
            f"{device}: its meter failed {until_s:.2f} s after the start of the window of "
            f"{span.end_s - span.start_s:.2f} s{why}{_known([*before[-1:], *read])}"
        )


def _has_value(sample: Sample) -> bool:
    return sample.energy_j is not None or sample.power_w is not None


def _known(read: Sequence[Sample]) -> str:
    """Return what the counter had shown until then."""
    counted_j = [sample.energy_j for sample in read if sample.energy_j is not None]
    if len(counted_j) < 2:
        return ""
    return (
        f"; until then its counter had risen by {counted_j[-1] - counted_j[0]:.4g} J, which is not the "
        "energy of the window"
    )
