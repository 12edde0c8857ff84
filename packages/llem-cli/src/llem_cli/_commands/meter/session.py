"""The meter of one call of `llem-cli meter`: each run is a window of it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from llem_cli._commands.meter.program import Ended
from llem_cli._display.meter_report import MeasuredRun, MeteredDevice
from llem_energy import EnergyMeter, EnergyWindow

if TYPE_CHECKING:
    from llem_energy.sources import Sample


class MeterSession:
    """An open meter. Where nothing can be metered, programs run all the same."""

    def __init__(
        self, gpus: Sequence[int | str] | None, timeseries: Path | None, *, is_light: bool
    ) -> None:
        """Prepare.

        Args:
            gpus: indices or UUIDs; None for all that are visible.
            timeseries: file for the samples, .parquet or .csv.
            is_light: whether the GPUs may be busy at both ends of a window, so that waiting for idle
                time there would be no use.
        """
        self._gpus = gpus
        self._timeseries = timeseries
        self._is_light = is_light
        self._folder = contextlib.ExitStack()
        self._warnings: list[str] = []
        self._at_start_j: dict[str, float] = {}

    def __enter__(self) -> MeterSession:
        # The reasons are part of the result; the meter would log them as well.
        logging.getLogger("llem").addFilter(_nothing_metered)
        file = self._timeseries
        if file is not None and file.suffix == ".csv":
            folder = self._folder.enter_context(tempfile.TemporaryDirectory(prefix="llem-meter-"))
            file = Path(folder) / "samples.parquet"
        self._samples = file
        self._meter = EnergyMeter(
            self._gpus,
            synchronize=False,  # the work is in another process
            mode="light" if self._is_light else "exact",
            timeseries=file,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.close()
        with self._folder:
            self._write_samples()
        logging.getLogger("llem").removeFilter(_nothing_metered)

    @property
    def source(self) -> str | None:
        """The name of the energy source; None if nothing is metered."""
        return self._meter.source

    def warnings(self) -> Sequence[str]:
        """Return what could not be written; complete after the end of the session."""
        return self._warnings

    def power_w(self) -> float | None:
        """Return the present power of all devices in W; None if one of them does not report it."""
        samples = self._meter.latest()
        powers_w = [s.power_w if s.power_w is not None else s.power_average_w for s in samples]
        known_w = [watts for watts in powers_w if watts is not None]
        return sum(known_w) if known_w and len(known_w) == len(powers_w) else None

    def energy_so_far_j(self) -> float | None:
        """Return what the counters of all devices show since the run began; None if not all do.

        It is one period of the counters behind, and for the eye only: results do not use it.
        """
        now_j = _counters_j(self._meter.latest())
        if not now_j or now_j.keys() != self._at_start_j.keys():
            return None
        rises_j = [now_j[device] - start_j for device, start_j in self._at_start_j.items()]
        return sum(rises_j) if min(rises_j) >= 0 else None  # else one was reset

    def measure(self, work: Callable[[], Ended]) -> tuple[MeasuredRun, int | None]:
        """Run the work in a window; return what was measured, and the signal that stopped it."""
        with self._meter.window("run") as window:
            self._at_start_j = _counters_j(self._meter.latest())
            started_unix_s = time.time()
            ended = work()
        return _measured_run(window, ended, started_unix_s), ended.stopped_by

    def _write_samples(self) -> None:
        """Convert the samples to CSV if that is requested, and say what is missing."""
        file = self._timeseries
        if file is None or self._samples is None:
            return
        if self._meter.source is None:
            self._warnings.append(f"{file} was not written: nothing was metered")
        elif not self._samples.is_file():
            self._warnings.append(f"{file} was not written; check its folder and the disk")
        elif file != self._samples:
            import pyarrow.csv
            import pyarrow.parquet

            try:
                with file.open("wb") as target:
                    pyarrow.csv.write_csv(pyarrow.parquet.read_table(self._samples), target)
            except OSError as error:
                self._warnings.append(f"{file} was not written: {error.strerror}")


def _counters_j(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the counter of each device; {} if one has none."""
    counters_j = {s.device: s.energy_j for s in samples if s.energy_j is not None}
    return counters_j if len(counters_j) == len(samples) else {}


def _measured_run(window: EnergyWindow, ended: Ended, started_unix_s: float) -> MeasuredRun:
    energy, host = window.energy, window.energy.host
    duration_s = window.duration_s or 0.0
    devices = tuple(
        MeteredDevice(
            device=device.device,
            energy_j=device.energy_j,
            bound_j=device.energy_bound_j,
            power_mean_w=(
                device.energy_j / duration_s if device.energy_j is not None and duration_s else None
            ),
            power_max_w=device.power_max_w,
        )
        for device in energy.devices
    )
    return MeasuredRun(
        exit_code=ended.code,
        duration_s=duration_s,
        cpu_time_s=ended.cpu_time_s,
        energy_j=energy.total_j,
        bound_j=energy.bound_j,
        status=energy.status,
        reasons=energy.reasons,
        method=energy.method,
        devices=devices,
        host_energy_j=host.total_j if host is not None else None,
        host_bound_j=host.bound_j if host is not None else None,
        host_reasons=host.reasons if host is not None else (),
        started_unix_s=started_unix_s,
    )


def _nothing_metered(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("llem: no energy is measured")
