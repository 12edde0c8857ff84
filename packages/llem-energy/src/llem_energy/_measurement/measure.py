"""One measurement, from configuration to result.

    open device -> calibrate -> idle -> load -> tokenise -> idle, loaded -> warm up
    -> [window: synchronise, read, generate, synchronise, read] -> phases alone -> idle -> result

Inside a window only the work and the sampler's thread run: no message is sent, no file is written
and nothing is tokenised.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from llem_config import ExperimentConfig, PhaseName, Settings, measurement_config_hash
from llem_energy._backends.protocol import (
    Backend,
    Batch,
    Generation,
    Memory,
    Phase,
    Workload,
)
from llem_energy._backends.registry import facts_of, find_backend
from llem_energy._errors import BackendError, OutOfMemory
from llem_energy._machine.environment import snapshot_environment
from llem_energy._measurement.build_result import assemble
from llem_energy._measurement.carryover import Carryover
from llem_energy._measurement.idle import IdleSpan, idle, reusable
from llem_energy._measurement.memory_report import memory_report
from llem_energy._measurement.raw_measurement import (
    GenerationRecord,
    Idles,
    PhaseSpan,
    RawMeasurement,
)
from llem_energy._measurement.requests import keep_requests
from llem_energy._measurement.warm_up import warm_up
from llem_energy._metering.boot import boot_id
from llem_energy._metering.calibration import Calibration, calibrate, usable
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import MeasuredSpan, Windows
from llem_energy._prompts.load import fingerprint, load
from llem_energy._result.experiment_result import ExperimentResult
from llem_energy._result.measurement_figures import ContextIdle
from llem_energy._sources.protocol import EnergySource, Sample
from llem_energy._sources.registry import open_source

STAGES = (
    "open", "calibration", "baseline", "load", "tokenise", "loaded idle", "warm-up", "window",
    "prefill", "decode", "idle after", "result",
)  # fmt: skip
"""The stages of a measurement in order; a stage without work is left out."""

_Context = tuple[IdleSpan | None, ContextIdle | None]


class _MeasuredWindow(NamedTuple):
    """What the window gave; the generations are still on the device."""

    span: MeasuredSpan
    generated: list[tuple[Batch, Generation]]
    n_compilations: int
    memory: Memory

    def read_generations(self) -> list[GenerationRecord]:
        """Return the token counts and times of every batch, read from the device."""
        return [
            GenerationRecord(batch, generation.n_tokens(), generation.token_times_s())
            for batch, generation in self.generated
        ]


def measure(
    config: ExperimentConfig,
    *,
    settings: Settings | None = None,
    timeseries: Path | None = None,
    on_stage: Callable[[str], None] | None = None,
    carryover: Carryover | None = None,
) -> ExperimentResult:
    """Measure one experiment in this process and return its result.

    Args:
        config: what to measure.
        settings: of this machine; None uses the defaults.
        timeseries: file for the samples, written if there is an energy source. The file
            `requests.parquet` is always written beside it. None writes no file.
        on_stage: called at the beginning of each of `STAGES`, never inside a window.
        carryover: calibrations and idle power of an earlier run on this machine, used if valid.

    Raises:
        MeasurementError: the experiment cannot be run. A missing energy source is not an error:
            the energy is then None, and `figures` has the reason.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(gc.unfreeze)
        report = on_stage or (lambda _: None)
        measurement = _Measurement(config, settings or Settings(), timeseries, report, stack)
        try:
            return measurement.run(carryover or Carryover())
        except OutOfMemory as error:
            raise OutOfMemory(f"{error}; {measurement.memory_needed()}") from error


class _Measurement:
    """The state of one measurement, so that each step below is short."""

    def __init__(
        self,
        config: ExperimentConfig,
        settings: Settings,
        timeseries: Path | None,
        on_stage: Callable[[str], None],
        stack: contextlib.ExitStack,
    ) -> None:
        self._requested = config
        self._config = config = config.with_full_paths()
        self._on_stage = on_stage
        self._started_at = datetime.now(UTC)
        self._on_stage("open")
        # The result needs the facts. If they are broken, the measurement fails here, not at its end.
        facts_of(config.backend)
        self._backend: Backend = find_backend(config)
        stack.callback(self._backend.close)
        self._gpus = self._backend.open()
        self._environment = snapshot_environment()
        self._source: EnergySource | None
        self._source, self._reasons = open_source(
            config.energy.sources, self._gpus or settings.devices.gpus
        )
        if self._source is not None:
            stack.callback(self._source.close)
        self._timeseries = timeseries
        self._recorder = Recorder(timeseries if self._source is not None else None)
        stack.callback(self._recorder.discard)

    def run(self, carryover: Carryover) -> ExperimentResult:
        """Go through all stages."""
        config, backend = self._config, self._backend
        calibration = self._calibrate(carryover)
        with self._sampling() as sampler:
            context, reused = self._context_idle(carryover, calibration)
            # Without this, every full garbage collection examines all imported objects, which
            # takes a fifth of a second and may happen inside the window.
            gc.freeze()
            self._begin("load")
            backend.load()
            self._begin("tokenise")
            loaded = load(config, backend.vocabulary())
            workload = backend.prepare(loaded.prompts)
            before = self._idle("loaded idle")
            self._begin("warm-up")
            backend.seed()
            warm = warm_up(
                config.warmup,
                workload.batches,
                self._timed,
                self._recent,
                compilations=backend.compilations,
            )
            windows = Windows(sampler, backend.synchronise, calibration, self._devices)
            window = self._window(windows, workload)
            phases = [
                self._phase(name, windows, workload.batches[0])
                for name in config.energy.phases or ()
            ]
            after = self._idle("idle after")
            windows.settle()
            self._begin("result")
        self._recorder.close()
        generations = window.read_generations()
        requests_file, problem = keep_requests(self._timeseries, generations, len(workload.batches))
        raw = RawMeasurement(
            config=self._requested,
            config_hash=measurement_config_hash(self._requested),
            started_at=self._started_at,
            gpus=self._gpus,
            source=self._source,
            reasons=tuple(self._reasons),
            environment=self._environment,
            calibration=calibration,
            samples=self._recorder,
            sampler_failure=sampler.failure,
            idles=Idles(context=context, reused=reused, before=before, after=after),
            window=window.span,
            n_compilations=window.n_compilations,
            generations=generations,
            requests_file=requests_file,
            requests_problem=problem,
            phases=phases,
            warm_up=warm,
            workload=workload,
            memory=window.memory,
            prompts_sha256=fingerprint(loaded.prompts),
            chosen_column=loaded.chosen_column,
        )
        return assemble(raw, backend)

    def _window(self, windows: Windows, workload: Workload) -> _MeasuredWindow:
        """Measure the window, with the seed at its beginning."""
        backend = self._backend
        generated: list[tuple[Batch, Generation]] = []

        def generate_all() -> None:
            generated.extend((batch, backend.generate(batch)) for batch in workload.batches)

        backend.seed()
        backend.reset_peak_memory()
        self._begin("window")
        compiled_before = backend.compilations()
        span = windows.measure(generate_all, self._config.energy.min_window_seconds)
        return _MeasuredWindow(
            span=span,
            generated=generated,
            n_compilations=(backend.compilations() or 0) - (compiled_before or 0),
            memory=backend.memory(),
        )

    def memory_needed(self) -> str:
        """Return the peak so far, the estimate and the size of the device, as text."""
        peak_bytes = self._backend.memory().peak_bytes
        return memory_report(self._config, self._environment, self._gpus, peak_bytes)

    @property
    def _devices(self) -> tuple[str, ...]:
        return () if self._source is None else self._source.devices

    def _begin(self, stage: str) -> None:
        self._on_stage(stage)
        self._recorder.begin(stage)

    def _sampling(self) -> Sampler:
        return Sampler(self._source, self._config.energy.sample_period_seconds, self._recorder)

    def _calibrate(self, carryover: Carryover) -> tuple[Calibration, ...]:
        """Reuse valid calibrations if there is one for every device; else calibrate all."""
        source = self._source
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
        self._begin("calibration")
        return calibrate(source)

    def _context_idle(self, carryover: Carryover, calibration: Sequence[Calibration]) -> _Context:
        if not self._config.baseline.enabled or self._source is None:
            return None, None
        # One reading with temperatures, which decide whether the earlier value is valid.
        self._recorder.add(self._source.read(details=True))
        if reusable(carryover.context, self._devices, tuple(self._recorder.recent), calibration):
            return None, carryover.context
        return self._idle("baseline"), None

    def _idle(self, stage: str) -> IdleSpan | None:
        """Let the devices idle if a baseline is requested and something is metered."""
        if not self._config.baseline.enabled or self._source is None:
            return None
        self._begin(stage)
        return idle(self._config.baseline.duration_seconds, self._recent)

    def _recent(self) -> Iterator[Sample]:
        return iter(tuple(self._recorder.recent))

    def _timed(self, batch: Batch) -> float:
        start_s = time.perf_counter()
        self._backend.generate(batch)
        self._backend.synchronise()
        return time.perf_counter() - start_s

    def _phase(self, name: PhaseName, windows: Windows, batch: Batch) -> PhaseSpan:
        """Measure one phase alone, or return why the backend cannot run it alone."""
        self._begin(name)
        try:
            phase: Phase = self._backend.phase(name, batch)
            phase.run()  # its warm-up
            span = windows.measure(phase.run, self._config.energy.min_window_seconds)
        except BackendError as error:
            return PhaseSpan(name, None, None, str(error))
        return PhaseSpan(name, phase, span)
