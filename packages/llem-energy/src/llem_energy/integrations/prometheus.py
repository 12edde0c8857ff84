"""Windows of a meter as Prometheus metrics, in the text format. It needs no other package.

from llem_energy.integrations.prometheus import PrometheusWindows
metrics = PrometheusWindows()
with meter.window("prefill") as window:
    ...
metrics.add(window)
metrics.text()                                    # serve it at /metrics
metrics.write(Path("/var/lib/node_exporter/llem.prom"))   # or for the textfile collector
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llem_config.foreign_files import replace_file
from llem_energy._meter.closed_window import closed_duration_s
from llem_energy._meter.energy_window import EnergyWindow

__all__ = ["CONTENT_TYPE", "PrometheusWindows"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The value of the header `Content-Type` for `PrometheusWindows.text`."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class _Metric(NamedTuple):
    name: str
    help: str
    labels: tuple[str, ...]


_ENERGY = _Metric(
    "llem_window_energy_joules_total",
    "Energy of closed windows whose energy is known.",
    ("window", "device"),
)
_BOUND = _Metric(
    "llem_window_energy_bound_joules_total",
    "Sum of the maximum errors of these energies, where they have one.",
    ("window", "device"),
)
_METERED = _Metric(
    "llem_window_metered_seconds_total",
    "Duration of the windows whose energy is known; energy divided by it is the mean power.",
    ("window", "device"),
)
_SECONDS = _Metric(
    "llem_window_seconds_total",
    "Duration of all closed windows.",
    ("window",),
)
_WINDOWS = _Metric(
    "llem_windows_total",
    "Closed windows, by the status of their energy: ok, flagged or missing.",
    ("window", "status"),
)
_METRICS = (_ENERGY, _BOUND, _METERED, _SECONDS, _WINDOWS)


class PrometheusWindows:
    """Sums of windows by their name, as Prometheus counters. Any thread may use it.

    A window whose energy is missing adds nothing to the energy, and one to `llem_windows_total` with
    the status `missing`. So no sum contains a 0 in place of a value that is not known.
    """

    def __init__(self) -> None:
        self._sums: dict[_Metric, dict[tuple[str, ...], float]] = {each: {} for each in _METRICS}
        self._lock = threading.Lock()

    def add(self, window: EnergyWindow) -> None:
        """Add a closed window.

        Raises:
            MeasurementError: it is not closed.
        """
        duration_s = closed_duration_s(window)
        energy = window.energy
        with self._lock:
            self._raise(_SECONDS, (window.name,), duration_s)
            self._raise(_WINDOWS, (window.name, energy.status), 1)
            for device in energy.devices:
                labels = (window.name, device.device)
                if device.energy_j is not None:
                    self._raise(_ENERGY, labels, device.energy_j)
                    self._raise(_METERED, labels, duration_s)
                    if device.energy_bound_j is not None:
                        self._raise(_BOUND, labels, device.energy_bound_j)

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus, version 0.0.4."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def write(self, path: Path) -> None:
        """Replace a file by the metrics, so that a reader never finds a part of them.

        Raises:
            OSError: the file cannot be written; the earlier one is still there.
        """
        replace_file(path, self.text().encode())

    def _raise(self, metric: _Metric, labels: tuple[str, ...], value: float) -> None:
        sums = self._sums[metric]
        sums[labels] = sums.get(labels, 0.0) + value

    def _lines(self) -> Iterator[str]:
        for metric, sums in self._sums.items():
            if sums:
                yield f"# HELP {metric.name} {metric.help}"
                yield f"# TYPE {metric.name} counter"
            for values, total in sums.items():
                pairs = zip(metric.labels, values, strict=True)
                labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
                yield f"{metric.name}{{{labels}}} {total!r}"
