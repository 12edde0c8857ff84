"""What a backend can say about an experiment before its library is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from llem_config import ExperimentConfig
from llem_energy._model_info.memory_estimate import MemoryEstimate, MemoryLayout
from llem_energy._model_info.model_ref import ModelRef

DeviceChoice = Literal["auto", "gpu", "cpu"]


class BackendFacts:
    """Facts that only the backend knows, because they depend on its own options.

    A backend's package derives a class from this one, overrides the methods that it can answer,
    and names the class in the entry-point group `llem.backend_facts`. Every default means "not
    known": llem then does not guess. llem makes an instance without arguments and calls it in
    processes that must not load an inference library, so the module may import nothing heavy.
    """

    def requirements(self, config: ExperimentConfig, *, has_gpu: bool) -> Iterable[str]:
        """Return one sentence for each requirement that this machine does not meet.

        Args:
            config: the experiment.
            has_gpu: whether the driver shows a GPU on this machine.
        """
        del config, has_gpu
        return ()

    def device(self, config: ExperimentConfig) -> DeviceChoice | None:
        """Return where the experiment runs; `auto` takes a GPU if there is one.

        None means unknown: the study then locks every visible GPU, and no memory is compared.
        """
        del config
        return None

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool | None:
        """Return whether one model is spread over all visible GPUs; None if unknown."""
        del config
        return None

    def models(self, config: ExperimentConfig) -> tuple[ModelRef, ...]:
        """Return every model that the experiment reads: the main model first, then draft models."""
        return (ModelRef(config.model),)

    def memory(self, config: ExperimentConfig) -> MemoryLayout | MemoryEstimate | None:
        """Return how the models are held in memory, or the backend's own estimate.

        None means unknown: the experiment then has no memory estimate.
        """
        del config
        return None

    def warnings(self, config: ExperimentConfig) -> Iterable[str]:
        """Return sentences about the options that a reader of the result should know."""
        del config
        return ()
