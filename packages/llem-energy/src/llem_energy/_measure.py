"""One measurement, from configuration to result: a straight script over three small protocols.

    open device -> idle baseline -> load -> tokenise -> warm up
    -> [window: synchronise, read, generate, synchronise, read] -> free -> result

Inside the window nothing of ours happens but `generate` and the sampler's thread: no message, no
file, no tokenisation.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from llem_config import ExperimentConfig, Settings, WarmupConfig, measurement_config_hash
from llem_energy._assemble import assemble
from llem_energy._backend import Answer, Backend, Batch, Workload, find_backend
from llem_energy._datasets import fingerprint, load_prompts
from llem_energy._environment import snapshot_environment
from llem_energy._evidence import Evidence, WarmUp, Window
from llem_energy._results import ExperimentResult
from llem_energy._sampler import Sampler
from llem_energy._source import EnergySource, Sample, open_source
from llem_energy._timeseries import write_timeseries

STAGES = ("open", "baseline", "load", "tokenise", "warm-up", "window", "result")
_STEADY_REPEATS = 5  # warm-up repeats over which latency has to be stationary
_SETTLE_S = 2.0  # longest wait for a counter's first update after the window


def measure(
    config: ExperimentConfig,
    *,
    settings: Settings | None = None,
    timeseries: Path | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> ExperimentResult:
    """Measure one experiment in this process and return its result.

    Args:
        config: what to measure.
        settings: machine-local settings; None takes the defaults.
        timeseries: where to write the samples; nothing is written if there is no energy source.
        on_stage: called at the beginning of each of `STAGES`, never inside the window.

    Raises:
        MeasurementError: the experiment cannot be run; a missing energy source is no error but
            a figure that is None, with its reason in `measurement_warnings`.
    """
    settings = settings or Settings()
    stage = on_stage or _say_nothing
    started_at = datetime.now(UTC)
    stage("open")
    backend = find_backend(config)
    source: EnergySource | None = None
    try:
        gpus = backend.open()
        environment = snapshot_environment()
        source, reasons = open_source(config.energy.sources, gpus or settings.devices.gpus)
        with Sampler(source, config.energy.sample_period_seconds) as sampler:
            baseline = _idle(config, sampler, source, stage)
            _begin("load", sampler, stage)
            backend.load()
            _begin("tokenise", sampler, stage)
            prompts = load_prompts(config, backend.vocabulary())
            workload = backend.prepare(prompts)
            _begin("warm-up", sampler, stage)
            backend.seed()
            warm_up = _warm_up(config.warmup, backend, workload)
            backend.seed()
            backend.reset_peak_memory()
            _begin("window", sampler, stage)
            window = _window(config, backend, workload, sampler, source)
            memory = backend.memory()
            _begin("result", sampler, stage)
            _settle(sampler, source, window.end_s)
        samples = sorted(sampler.samples, key=lambda sample: sample.t_s)
        result = assemble(
            Evidence(
                config=config,
                config_hash=measurement_config_hash(config),
                started_at=started_at,
                gpus=gpus,
                source=source,
                reasons=tuple(reasons),
                environment=environment,
                samples=samples,
                baseline=baseline,
                window=window,
                warm_up=warm_up,
                workload=workload,
                memory=memory,
                prompts_sha256=fingerprint(prompts),
                timeseries_file=timeseries.name if timeseries and samples else None,
            ),
            backend,
        )
        if timeseries is not None and samples:
            offset_s = time.time() - time.perf_counter()
            write_timeseries(timeseries, samples, sampler.phases, offset_s)
        return result
    finally:
        backend.close()
        if source is not None:
            source.close()


def _say_nothing(stage: str) -> None:
    """Take the place of a caller's callback."""


def _begin(name: str, sampler: Sampler, stage: Callable[[str], None]) -> None:
    stage(name)
    sampler.begin(name)


def _idle(
    config: ExperimentConfig,
    sampler: Sampler,
    source: EnergySource | None,
    stage: Callable[[str], None],
) -> tuple[float, float] | None:
    """Wait while the device idles and return from when to when, or None if nothing is metered."""
    if not config.baseline.enabled or source is None:
        return None
    _begin("baseline", sampler, stage)
    start_s = time.perf_counter()
    time.sleep(config.baseline.duration_seconds)
    return start_s, time.perf_counter()


def _warm_up(config: WarmupConfig, backend: Backend, workload: Workload) -> WarmUp:
    """Run real batches until the latency is stationary, at least `n_warmup` times."""
    if not config.enabled:
        return WarmUp(0, None)
    # Each shape once first: a shape compiled or autotuned inside the window would be measured.
    shapes = {batch.shape: batch for batch in workload.batches}
    start_s = time.perf_counter()
    for batch in shapes.values():
        _timed(backend, batch)
    latencies: list[float] = []
    first = workload.batches[0]
    while True:
        latencies.append(_timed(backend, first))
        elapsed_s = time.perf_counter() - start_s
        enough = len(latencies) >= config.n_warmup and elapsed_s >= config.thermal_floor_seconds
        if not config.convergence_detection:
            if enough:
                return WarmUp(len(latencies), None)
        elif enough and _stationary(latencies, config.cv_threshold):
            return WarmUp(len(latencies), True)
        elif len(latencies) >= config.max_warmup and elapsed_s >= config.thermal_floor_seconds:
            return WarmUp(len(latencies), False)
        if config.convergence_detection and elapsed_s > config.max_warmup_seconds and enough:
            return WarmUp(len(latencies), False)


def _timed(backend: Backend, batch: Batch) -> float:
    start_s = time.perf_counter()
    backend.generate(batch)
    backend.synchronise()
    return time.perf_counter() - start_s


def _stationary(latencies: Sequence[float], threshold: float) -> bool:
    last = latencies[-_STEADY_REPEATS:]
    if len(last) < _STEADY_REPEATS:
        return False
    return statistics.stdev(last) / statistics.mean(last) < threshold


def _window(
    config: ExperimentConfig,
    backend: Backend,
    workload: Workload,
    sampler: Sampler,
    source: EnergySource | None,
) -> Window:
    """Answer the whole data set until the least duration is reached."""
    answers: list[tuple[Batch, Answer]] = []
    edges: list[Sample] = []

    def stamp() -> float:
        # A reading on either side: the closer they are, the tighter is the bound of the energy.
        edges.extend(source.read() if source is not None else ())
        now_s = time.perf_counter()
        edges.extend(source.read() if source is not None else ())
        return now_s

    n_repeats = 0
    backend.synchronise()
    cpu_start_s = time.process_time()
    start_s = stamp()
    while True:
        answers.extend((batch, backend.generate(batch)) for batch in workload.batches)
        n_repeats += 1
        backend.synchronise()
        if time.perf_counter() - start_s >= config.energy.min_window_seconds:
            break
    end_s = stamp()
    cpu_time_s = time.process_time() - cpu_start_s
    sampler.samples.extend(edges)
    return Window(start_s, end_s, cpu_time_s, n_repeats, tuple(answers))


def _settle(sampler: Sampler, source: EnergySource | None, end_s: float) -> None:
    """Keep sampling until every device's counter has moved once more: that bounds the end."""
    if source is None:
        return

    def moved() -> bool:
        later = [sample for sample in tuple(sampler.samples) if sample.t_s > end_s]
        return all(len({s.energy_j for s in later if s.device == device}) > 1 for device in devices)

    devices = source.devices
    sampler.wait_for(moved, _SETTLE_S)
