"""Meters one measurement from its start to its end: source, samples, calibration, idle power."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llem_config import ExperimentConfig
from llem_energy._measurement.carryover import Carryover
from llem_energy._measurement.idle import IdleSpan, idle, reusable
from llem_energy._metering.board_check import BoardCheck, valid_checks
from llem_energy._metering.boot import boot_id
from llem_energy._metering.calibration import Calibration, calibrate, usable
from llem_energy._metering.live_file import LIVE, LiveFile
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.settling import lowest_powers_w
from llem_energy._result.measurement_figures import ContextIdle
from llem_energy._sources.protocol import Sample
from llem_energy._sources.registry import open_sources


class Metering:
    """The energy source of a measurement, and the stages that need nothing else."""

    def __init__(
        self,
        config: ExperimentConfig,
        gpus: Sequence[int | str],
        on_gpu: bool,
        timeseries: Path | None,
        on_stage: Callable[[str], None],
        stack: contextlib.ExitStack,
    ) -> None:
        """Open the source; if there is none, `reasons` says why.

        Args:
            config: the experiment.
            gpus: the GPUs to meter, by UUID or index.
            on_gpu: whether the model runs on GPUs.
            timeseries: file for the samples; while the measurement runs, `live.json` is beside it.
                None writes no file.
            on_stage: called at the beginning of each stage.
            stack: closes the source and the file.
        """
        self._config = config
        self._on_stage = on_stage
        opened = open_sources(config.energy.sources, gpus, on_gpu=on_gpu)
        self.source, self.reasons = opened.source, opened.reasons
        self.host, self.host_reasons = opened.host, opened.host_reasons
        for source in (opened.source, opened.host):
            if source is not None:
                stack.callback(source.close)
        self.recorder = Recorder(timeseries if self.source is not None else None)
        stack.callback(self.recorder.discard)
        self.host_recorder = Recorder(None)
        stack.callback(self.host_recorder.discard)
        self._live = LiveFile(timeseries.with_name(LIVE) if timeseries is not None else None)
        stack.callback(self._live.close)

    @property
    def devices(self) -> tuple[str, ...]:
        """The metered devices; () without a source."""
        return () if self.source is None else self.source.devices

    def begin(self, stage: str) -> None:
        """Report the beginning of a stage, and mark it in the samples."""
        self._on_stage(stage)
        self.recorder.begin(stage)
        self.host_recorder.begin(stage)
        self._live.begin(stage)

    def sampling(self) -> Sampler:
        """Return a sampler that reads the source while its `with` block runs."""
        period_s = self._config.energy.sample_period_seconds
        return Sampler(self.source, period_s, self.recorder, self._live)

    def host_sampling(self) -> Sampler:
        """Return a sampler of the processor beside the GPUs; without one it does nothing."""
        return Sampler(self.host, self._config.energy.sample_period_seconds, self.host_recorder)

    def calibrate(self, carryover: Carryover) -> tuple[Calibration, ...]:
        """Reuse valid calibrations if there is one for every device; else calibrate all."""
        source = self.source
        if source is None:
            return ()
        driver, binding = source.versions()
        valid = {
            calibration.device: calibration
            for calibration in carryover.calibration
            if usable(calibration, boot_id=boot_id(), driver=driver, binding=binding)
        }
        if all(device in valid for device in source.devices):
            return tuple(valid[device] for device in source.devices)
        self.begin("calibration")
        return calibrate(source)

    def valid_checks(self, carryover: Carryover) -> tuple[BoardCheck, ...]:
        """Return the checks of the metered devices that hold for the present driver."""
        if self.source is None:
            return ()
        return valid_checks(carryover.board_checks, self.devices, self.source.versions().driver)

    def context_idle(
        self, carryover: Carryover, calibration: Sequence[Calibration]
    ) -> tuple[IdleSpan | None, ContextIdle | None]:
        """Return the idle time before a model is loaded, or the valid one of an earlier run."""
        if not self._config.baseline.enabled or self.source is None:
            return None, None
        # One reading with temperatures, which decide whether the earlier value is valid.
        self.recorder.add(self.source.read(details=True))
        if reusable(carryover.context, self.devices, tuple(self.recorder.recent), calibration):
            return None, carryover.context
        return self.idle("baseline"), None

    def idle(self, stage: str) -> IdleSpan | None:
        """Let the devices idle if a baseline is requested and something is metered."""
        if not self._config.baseline.enabled or self.source is None:
            return None
        self.begin(stage)
        return idle(self._config.baseline.duration_seconds, self.recent)

    def idle_w(self, span: IdleSpan | None) -> dict[str, float]:
        """Return the idle power of each device by its counter; {} if it is not known.

        Args:
            span: when it idled, just now.
        """
        if span is None:
            return {}
        idle_samples = (sample for sample in self.recent() if sample.t_s >= span.start_s)
        return lowest_powers_w(idle_samples, self.devices)

    def recent(self) -> Iterator[Sample]:
        """Return the latest samples, oldest first."""
        return iter(tuple(self.recorder.recent))
