"""Windows of a meter as OpenTelemetry metrics and as attributes of spans.

    from llem_energy.integrations.opentelemetry import OpenTelemetryWindows, span_attributes
    metrics = OpenTelemetryWindows()                  # the global MeterProvider
    with tracer.start_as_current_span("prefill") as span:
        with meter.window("prefill") as window:
            ...
        span.set_attributes(span_attributes(window))
    metrics.add(window)

It needs `llem-energy[opentelemetry]`, which is the API only: without an SDK, nothing is exported.
"""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter_provider

from llem_energy._meter.closed_window import closed_duration_s
from llem_energy._meter.energy_window import EnergyWindow

__all__ = ["OpenTelemetryWindows", "span_attributes"]

_NAME = "llem.window"
_DEVICE = "llem.device"
_STATUS = "llem.status"


class OpenTelemetryWindows:
    """Records windows in the instruments of a `MeterProvider`.

    `llem.window.energy` and `llem.window.energy.bound` (J), both by device; `llem.window.duration` (s)
    and `llem.windows`, both by the status of the energy. A window whose energy is missing adds
    nothing to the energy.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        """Create the instruments.

        Args:
            provider: None is the global one.
        """
        meter = (provider or get_meter_provider()).get_meter("llem_energy")
        self._energy = meter.create_counter(
            "llem.window.energy", "J", "Energy of closed windows whose energy is known"
        )
        self._bound = meter.create_counter(
            "llem.window.energy.bound", "J", "Sum of the maximum errors of these energies"
        )
        self._duration = meter.create_histogram(
            "llem.window.duration", "s", "Duration of closed windows"
        )
        self._windows = meter.create_counter("llem.windows", "{window}", "Closed windows")

    def add(self, window: EnergyWindow) -> None:
        """Record a closed window.

        Raises:
            MeasurementError: it is not closed.
        """
        duration_s = closed_duration_s(window)
        energy = window.energy
        labels = {_NAME: window.name, _STATUS: energy.status}
        self._duration.record(duration_s, labels)
        self._windows.add(1, labels)
        for device in energy.devices:
            by_device = {_NAME: window.name, _DEVICE: device.device}
            if device.energy_j is not None:
                self._energy.add(device.energy_j, by_device)
                if device.energy_bound_j is not None:
                    self._bound.add(device.energy_bound_j, by_device)


def span_attributes(window: EnergyWindow) -> dict[str, str | float | tuple[str, ...]]:
    """Return the energy of a closed window as attributes of a span; what is missing has none.

    Raises:
        MeasurementError: it is not closed.
    """
    duration_s = closed_duration_s(window)
    energy = window.energy
    attributes: dict[str, str | float | tuple[str, ...]] = {
        _NAME: window.name,
        _STATUS: energy.status,
        "llem.duration_s": duration_s,
    }
    if energy.total_j is not None:
        attributes["llem.energy_j"] = energy.total_j
    if energy.bound_j is not None:
        attributes["llem.energy_bound_j"] = energy.bound_j
    if energy.reasons:
        attributes["llem.reasons"] = energy.reasons
    return attributes
