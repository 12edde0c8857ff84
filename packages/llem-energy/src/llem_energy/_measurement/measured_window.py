"""The measured window, and the phases that are measured alone after it."""

from __future__ import annotations

import gc
from typing import NamedTuple

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.prefix_cache import clear_prefix_cache
from llem_energy._backends.protocol import Backend, Batch, Memory
from llem_energy._errors import BackendError
from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.fresh_prompts import WindowWork
from llem_energy._measurement.metering import Metering
from llem_energy._measurement.raw_measurement import GenerationRecord, PhaseSpan
from llem_energy._metering.window import MeasuredSpan, Windows


class MeasuredWindow(NamedTuple):
    """What the window gave."""

    span: MeasuredSpan
    generations: list[GenerationRecord]
    n_compilations: int
    memory: Memory


def measure_window(
    config: ExperimentConfig,
    backend: Backend,
    windows: Windows,
    metering: Metering,
    work: WindowWork,
    reports: BackendReports,
) -> MeasuredWindow:
    """Measure the window, with the seed at its beginning.

    Args:
        config: the experiment.
        backend: warmed up.
        windows: measures it.
        metering: of the measurement.
        work: of the window.
        reports: of the backend.
    """
    gc.freeze()  # the batches of all passes too
    clear_prefix_cache(backend)
    backend.seed()
    backend.reset_peak_memory()
    metering.begin("window")
    compiled_before = backend.compilations()
    span = windows.measure(work, config.energy.min_window_seconds)
    return MeasuredWindow(
        span=span,
        n_compilations=max(0, (reports.compilations() or 0) - (compiled_before or 0)),
        memory=reports.memory(),
        # Before the phases: an error of the device in a phase would lose what is still there.
        generations=[reports.generation(*each) for each in work.generated],
    )


def measure_phase(
    name: PhaseName,
    config: ExperimentConfig,
    backend: Backend,
    windows: Windows,
    metering: Metering,
    batch: Batch,
) -> PhaseSpan:
    """Measure one phase alone, or return why that was not possible.

    Args:
        name: of the phase.
        config: the experiment.
        backend: after the window.
        windows: measures it.
        metering: of the measurement.
        batch: the prompts of the phase.
    """
    metering.begin(name)
    try:
        phase = backend.phase(name, batch)

        def run() -> None:
            if name == "prefill":  # decode must keep the prompt that it starts from
                clear_prefix_cache(backend)
            phase.run()

        run()  # its warm-up
        span = windows.measure(run, config.energy.min_window_seconds)
    except BackendError as error:
        return PhaseSpan(name, None, None, str(error))
    except Exception as error:  # noqa: BLE001  # it must not lose the window
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return PhaseSpan(name, None, None, problem)
    return PhaseSpan(name, phase, span)
