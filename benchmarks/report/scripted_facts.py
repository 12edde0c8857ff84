"""Facts about experiments of the scripted backend, for the start of a study."""

from __future__ import annotations

from llem_config import ExperimentConfig
from llem_energy.backends import BackendFacts, DeviceChoice


class ScriptedFacts(BackendFacts):
    """It runs on the GPU of the scripted driver, and loads nothing."""

    def device(self, config: ExperimentConfig) -> DeviceChoice:
        """Return where the backend runs."""
        del config
        return "gpu"

    def spreads_over_gpus(self, config: ExperimentConfig) -> bool:
        """Return False: it uses one GPU."""
        del config
        return False
