"""The PyTorch backend's section of an experiment; needs no torch."""

from __future__ import annotations

from llem_config import ExperimentConfig, PyTorchConfig


def section(config: ExperimentConfig) -> PyTorchConfig:
    """Return the backend's section; an absent one leaves every default."""
    return config.pytorch or PyTorchConfig()
