"""The GPU that is looked at, what every part measures with, and a line of the table."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.gpu.load import Load
from llem_config import ExperimentConfig
from llem_energy import Calibration, calibrate
from llem_energy._backends.protocol import Backend, Batch
from llem_energy._backends.registry import find_backend
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import MeasuredSpan, Windows
from llem_energy._prompts.load import load_prompts
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.protocol import Sample

DENSE_S = 0.001  # between samples: as often as makes sense
_TICK_S = 0.05  # likewise: of a measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and the same as numbers."""

    what: str
    seen: str
    means: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class Check:
    """The GPU that is looked at, and how thoroughly."""

    def __init__(self, source: NvmlSource, load: Load | None, *, quick: bool) -> None:
        self.source = source
        self.load = load
        self.quick = quick
        (self.uuid,) = source.devices

    @property
    def loaded(self) -> Load:
        """Return the load of a part that is not run without one."""
        assert self.load is not None
        return self.load

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Watch the counter once, while the GPU idles."""
        return calibrate(self.source)[0]

    @property
    def period_s(self) -> float:
        """Return the counter's period; where it was not seen, what is commonest."""
        return self.calibration.counter_period_s or 0.1

    @property
    def handle(self) -> Any:
        """Return NVML's own handle, for what our source does not ask."""
        import pynvml

        return pynvml.nvmlDeviceGetHandleByUUID(self.uuid)

    def experiment(self, **changes: Any) -> ExperimentConfig:
        """Return the experiment whose generate loop is measured."""
        n, n_tokens = (2, 16) if self.load is None else (8, 32)
        given = {
            "model": "builtin:tiny-llama" if self.load is None or self.quick else "builtin:llama-1b",
            "precision": "fp32" if self.load is None else "bf16",
            "n": n, "max_input_tokens": 2 * n_tokens, "max_output_tokens": n_tokens,
            "pytorch": {"device": "cpu" if self.load is None else "cuda", "batch_size": n},
        }  # fmt: skip
        return ExperimentConfig.model_validate(given | changes)

    @functools.cached_property
    def answering(self) -> tuple[Backend, Batch]:
        """Load the experiment's model, once for all parts that answer in this process."""
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
        """Sample while the context lasts; the list is filled when it ends."""
        found: list[Sample] = []
        recorder = Recorder(None)
        with Sampler(self.source, period_s, recorder):
            yield found
        recorder.close()
        found += recorder.between(-math.inf, math.inf)
        recorder.discard()

    def window(
        self, work: Callable[[], None], seconds: float
    ) -> tuple[EnergyFigures, MeasuredSpan]:
        """Measure work in a window, as a measurement does."""
        recorder = Recorder(None)
        synchronise = self.load.synchronise if self.load else lambda: None
        with Sampler(self.source, _TICK_S, recorder) as sampler:
            windows = Windows(sampler, synchronise, [self.calibration], self.source.devices)
            span = windows.measure(work, seconds)
        recorder.close()
        samples = recorder.between(-math.inf, math.inf)
        recorder.discard()
        return energy_figures(self.source, samples, span, [self.calibration]), span
