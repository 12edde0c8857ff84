"""The GPU to check, how every part measures, and a row of the table."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.load import Load
from llem_config import ExperimentConfig
from llem_energy._backends.protocol import Backend, Batch
from llem_energy._backends.registry import find_backend
from llem_energy._board_check.bench import LoadedBoard
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import MeasuredSpan, Windows
from llem_energy._prompts.load import load_prompts
from llem_energy.sources import Calibration, NvmlSource, Sample, calibrate

_TICK_S = 0.05  # between samples: as in a measurement


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table, and its content as numbers."""

    what: str
    seen: str
    means: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class Check:
    """The GPU to check, and how to load and measure it."""

    def __init__(self, source: NvmlSource, load: Load | None, *, quick: bool) -> None:
        self.source = source
        self.load = load
        self.quick = quick
        (self.uuid,) = source.devices

    @property
    def loaded(self) -> Load:
        """Return the load, in a part that runs only with a load."""
        assert self.load is not None
        return self.load

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Return the calibration of the idle GPU; it is measured once."""
        return calibrate(self.source)[0]

    @property
    def bench(self) -> LoadedBoard:
        """Return the GPU with its load, in a part that runs only with a load."""
        return LoadedBoard(self.source, self.loaded)

    @property
    def period_s(self) -> float:
        """Return the period of the counter, or the most common one if it is unknown."""
        return self.calibration.counter_period_s or 0.1

    @property
    def handle(self) -> Any:
        """Return the NVML handle, for values that our source does not read."""
        import pynvml

        return pynvml.nvmlDeviceGetHandleByUUID(self.uuid)

    def experiment(self, **changes: Any) -> ExperimentConfig:
        """Return the experiment whose generate loop is measured."""
        n, n_tokens = (2, 16) if self.load is None else (8, 32)
        fields = {
            "model": "builtin:tiny-llama" if self.load is None or self.quick else "builtin:llama-1b",
            "precision": "fp32" if self.load is None else "bf16",
            "n": n, "max_input_tokens": 2 * n_tokens, "max_output_tokens": n_tokens,
            "pytorch": {"device": "cpu" if self.load is None else "cuda", "batch_size": n},
        }  # fmt: skip
        return ExperimentConfig.model_validate(fields | changes)

    @functools.cached_property
    def generating(self) -> tuple[Backend, Batch]:
        """Return a loaded backend and a batch, shared by all parts that generate in this process."""
        config = self.experiment()
        backend = find_backend(config)
        backend.open()
        backend.load()
        (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
        for _ in range(3):
            backend.generate(batch)
        backend.synchronise()
        return backend, batch

    @contextlib.contextmanager
    def recording(self, period_s: float) -> Iterator[list[Sample]]:
        """Sample during the `with` block; the list is filled at its end."""
        samples: list[Sample] = []
        recorder = Recorder(None)
        with Sampler(self.source, period_s, recorder):
            yield samples
        recorder.close()
        samples += recorder.between(-math.inf, math.inf)
        recorder.discard()

    def window(
        self, work: Callable[[], None], seconds: float
    ) -> tuple[EnergyFigures, MeasuredSpan]:
        """Measure `work` in a window, as a measurement does."""
        recorder = Recorder(None)
        synchronise = self.load.synchronise if self.load else lambda: None
        with Sampler(self.source, _TICK_S, recorder) as sampler:
            windows = Windows(sampler, synchronise, [self.calibration], self.source.devices)
            span = windows.measure(work, seconds)
        recorder.close()
        samples = recorder.between(-math.inf, math.inf)
        recorder.discard()
        return energy_figures(self.source, samples, span, [self.calibration]), span
