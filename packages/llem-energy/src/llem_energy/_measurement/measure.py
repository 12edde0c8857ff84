"""One measurement, from configuration to result.

    open device -> calibrate -> idle -> load -> tokenise -> idle, loaded -> warm up
    -> prompts of further passes -> [window: synchronise, read, generate, synchronise, read] -> phases alone -> idle
    -> quality of the answers -> result

Inside a window only the work and the sampler's thread run: no message is sent and nothing is
tokenised. The only file that is written is `live.json`, by the sampler's thread, once a second.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from llem_config import ExperimentConfig, Settings, measurement_config_hash
from llem_energy._backends.protocol import Backend, Batch, Generation, Memory, RendersChats
from llem_energy._backends.registry import facts_of, find_backend
from llem_energy._errors import BackendError, OutOfMemory
from llem_energy._host.family import Family
from llem_energy._host.host_load import load_between
from llem_energy._host.host_reading import read_host
from llem_energy._machine.environment import snapshot_environment
from llem_energy._measurement.answer_quality import answer_quality, why_no_quality
from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.build_result import assemble
from llem_energy._measurement.carryover import Carryover
from llem_energy._measurement.device_peaks import FoundPeaks, device_peaks
from llem_energy._measurement.fresh_prompts import (
    FreshPrompts,
    RandomPause,
    WarmUpWork,
    WindowWork,
)
from llem_energy._measurement.gpu_sharing import (
    TenantLists,
    gpu_sharing,
    is_any_shared,
    with_sharing,
)
from llem_energy._measurement.idle import Idles
from llem_energy._measurement.inputs import read_again, read_inputs
from llem_energy._measurement.measured_window import measure_phase, measure_window
from llem_energy._measurement.memory_report import memory_report
from llem_energy._measurement.metering import Metering
from llem_energy._measurement.neighbours import neighbour_gpus
from llem_energy._measurement.raw_measurement import HostMeter, RawMeasurement
from llem_energy._measurement.requests import keep_requests
from llem_energy._measurement.warm_up import warm_up
from llem_energy._metering.window import Windows
from llem_energy._prompts.load import fingerprint, load
from llem_energy._prompts.prompt import Chat, RenderedChats
from llem_energy._result.answer_quality import AnswerQuality
from llem_energy._result.experiment_result import ExperimentResult
from llem_energy._sources.gpu_tenants import gpu_tenants

STAGES = (
    "open", "calibration", "baseline", "load", "tokenise", "loaded idle", "warm-up", "window",
    "prefill", "decode", "idle after", "quality", "result",
)  # fmt: skip
"""The stages of a measurement in order; a stage without work is left out."""


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
        carryover: calibrations and idle power of an earlier run on this machine, and gains of
            sensors; each used if valid.

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
        self._started_at = datetime.now(UTC)
        self._settings = settings
        on_stage("open")
        # Before the device has a context: a process that is on it now does not belong to the run.
        self._tenants = gpu_tenants()
        # The result needs the facts. If they are broken, the measurement fails here, not at its end.
        facts_of(config.backend)
        self._backend: Backend = find_backend(config)
        stack.callback(self._backend.close)
        self._gpus = self._backend.open()
        self._reports = BackendReports(self._backend, config.backend)
        self._family = Family(self._reports.process_ids)
        self._host_at_start = read_host(self._family)
        self._environment = snapshot_environment(self._family.pids())
        self._metering = Metering(
            config,
            self._gpus or settings.devices.gpus,
            bool(self._gpus),
            timeseries,
            on_stage,
            stack,
        )
        self._timeseries = timeseries
        self._finds_quality = settings.measurement.quality

    def run(self, carryover: Carryover) -> ExperimentResult:
        """Go through all stages."""
        config, backend, metering = self._config, self._backend, self._metering
        calibration = metering.calibrate(carryover)
        with metering.sampling() as sampler, metering.host_sampling() as host_sampler:
            context, reused = metering.context_idle(carryover, calibration)
            # Without this, every full garbage collection examines all imported objects, which
            # takes a fifth of a second and may happen inside the window.
            gc.freeze()
            metering.begin("load")
            inputs = read_inputs(self._requested)
            backend.load()
            metering.begin("tokenise")
            loaded = load(config, backend.vocabulary())
            inputs = read_again(self._requested, inputs)
            rendered = self._rendered(loaded.chats) if loaded.chats else None
            workload = backend.prepare(rendered.prompts if rendered else loaded.prompts)
            fresh = FreshPrompts(config, backend, workload)
            warm_up_batches = fresh.warm_up() if config.warmup.enabled else ()
            before = metering.idle("loaded idle")
            idle_w = metering.idle_w(before)
            metering.begin("warm-up")
            backend.seed()
            timed = WarmUpWork(backend, time.perf_counter)
            warm = warm_up(
                config.warmup,
                warm_up_batches,
                timed,
                metering.recent,
                compilations=backend.compilations,
            )
            passes = fresh.passes(config.energy.min_window_seconds, timed.fastest_s)
            tenants_before, family_before = gpu_tenants(), self._family.pids()
            load_before = load_between(self._host_at_start, read_host(self._family))
            windows = Windows(
                sampler, backend.synchronise, calibration, metering.devices, self._family, idle_w
            )
            longest_s = config.energy.random_pause_seconds
            work = WindowWork(backend, passes, RandomPause(longest_s) if longest_s else None)
            window = measure_window(config, backend, windows, metering, work, self._reports)
            phases = [
                measure_phase(name, config, backend, windows, metering, workload.batches[0])
                for name in config.energy.phases or ()
            ]
            after = metering.idle("idle after")
            windows.settle()
            tenants_after, family_after = gpu_tenants(), self._family.pids()
            quality = self._quality(work.generated[: len(workload.batches)])
            metering.begin("result")
        metering.recorder.close()
        tenants = TenantLists(
            self._tenants, tenants_before, tenants_after, metering.recorder.seen_pids
        )
        sharing = gpu_sharing(
            tenants,
            own_pids=family_before | family_after,
            used=self._gpus,
        )
        is_shared = is_any_shared(sharing, self._gpus)
        peaks = self._peaks(carryover, window.memory, is_shared=is_shared)
        generations = window.generations
        requests_file, problem = keep_requests(self._timeseries, generations, len(workload.batches))
        raw = RawMeasurement(
            config=self._requested,
            config_hash=measurement_config_hash(self._requested),
            started_at=self._started_at,
            gpus=self._gpus,
            source=metering.source,
            reasons=tuple(metering.reasons),
            host=HostMeter(
                metering.host,
                metering.host_recorder,
                tuple(metering.host_reasons),
                host_sampler.failure,
            ),
            environment=with_sharing(self._environment, sharing),
            gpu_sharing=sharing,
            neighbours=neighbour_gpus(tenants, {*self._gpus, *metering.devices}),
            calibration=calibration,
            gains=carryover.gains,
            board_checks=metering.valid_checks(carryover),
            samples=metering.recorder,
            sampler_failure=sampler.failure,
            idles=Idles(context=context, reused=reused, before=before, after=after),
            load_before=load_before,
            window=window.span,
            n_compilations=window.n_compilations,
            generations=generations,
            requests_file=requests_file,
            requests_problem=problem,
            phases=phases,
            warm_up=warm,
            workload=workload,
            memory=window.memory,
            peaks=peaks,
            quality=quality,
            inputs=inputs,
            prompts_sha256=fingerprint(loaded.chats or loaded.prompts),
            chat_template=rendered.template if rendered else None,
            n_answers_removed=sum(chat.n_answers for chat in loaded.chats),
            chosen_column=loaded.chosen_column,
        )
        return assemble(raw, self._reports)

    def _rendered(self, chats: Sequence[Chat]) -> RenderedChats:
        """Return conversations as token ids.

        Raises:
            BackendError: the backend cannot do this.
        """
        if not isinstance(self._backend, RendersChats):
            name = self._config.backend
            raise BackendError(f"the backend {name} does not apply chat templates")
        return self._backend.render_chats(chats)

    def _peaks(self, carryover: Carryover, memory: Memory, *, is_shared: bool) -> FoundPeaks:
        """Return the peaks of the device, which are measured after everything else."""
        if not self._settings.devices.peaks:
            return FoundPeaks(None, "the setting devices.peaks leaves out the peaks of the device")
        return device_peaks(
            self._backend,
            carryover.peaks,
            self._environment,
            on_gpu=bool(self._gpus),
            used_bytes=memory.peak_bytes,
            family=self._family,
            is_shared=is_shared,
        )

    def _quality(self, first_pass: Sequence[tuple[Batch, Generation]]) -> AnswerQuality:
        """Return the quality of the answers, or why it was not found."""
        why_not = why_no_quality(self._config, self._backend, is_on=self._finds_quality)
        if why_not is not None:
            return AnswerQuality(reasons=(why_not,))
        self._metering.begin("quality")
        return answer_quality(self._backend, first_pass, on_gpu=bool(self._gpus))

    def memory_needed(self) -> str:
        """Return the peak so far, the estimate and the size of the device, as text."""
        peak_bytes = self._backend.memory().peak_bytes
        return memory_report(self._config, self._environment, self._gpus, peak_bytes)
