"""Facts about an experiment before it runs.

llem reads them before a study starts, so this module imports no heavy library.
"""

from __future__ import annotations

from collections.abc import Iterator

from llem_config import ExperimentConfig
from llem_energy.backends import BackendFacts, DeviceChoice
from llem_energy.models import MemoryEstimate
from llem_parrot._section import ParrotConfig

_TOKEN_BYTES = 8


def options_of(config: ExperimentConfig) -> ParrotConfig:
    """Return the section of an experiment, or the defaults if it has none."""
    return getattr(config, "parrot", None) or ParrotConfig()


class ParrotFacts(BackendFacts):
    """Facts that follow from the section `parrot:`."""

    def requirements(self, config: ExperimentConfig, *, has_gpu: bool) -> Iterator[str]:
        """Yield a sentence for each requirement that this machine does not meet."""
        if not config.model.startswith("builtin:"):
            yield f"the parrot takes its vocabulary from a builtin model, found {config.model!r}"
        if options_of(config).device == "gpu" and not has_gpu:
            yield "a parrot on a GPU needs a GPU, but there is none"

    def device(self, config: ExperimentConfig) -> DeviceChoice:
        """Return where the parrot runs."""
        return options_of(config).device or "cpu"

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool:
        """Return False: a parrot uses one GPU."""
        del config
        return False

    def memory(self, config: ExperimentConfig) -> MemoryEstimate | None:
        """Return the memory for the tokens it remembers; None if it remembers all of them."""
        options = options_of(config)
        if options.memory is None:
            return None
        n_prompts = min(options.batch_size or 1, config.n)
        cache_bytes = n_prompts * options.memory * _TOKEN_BYTES
        return MemoryEstimate(
            weights_bytes=0,
            cache_bytes=cache_bytes,
            activations_bytes=0,
            total_bytes=cache_bytes,
            method="the tokens that a parrot remembers",
        )
