"""The section `pytorch:` of an experiment. Does not import torch."""

from __future__ import annotations

from llem_config import ExperimentConfig, PyTorchConfig


def section(config: ExperimentConfig) -> PyTorchConfig:
    """Return the section of an experiment; if it is absent, every option has its default."""
    return config.pytorch or PyTorchConfig()
