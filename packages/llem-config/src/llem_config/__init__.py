"""Validate and expand llem study files.

    from llem_config import load_study
    study = load_study("study.yaml")     # or ConfigError, with every fault and its line
    for experiment in study.experiments: ...

`llem_config.settings` has the settings of this machine, and `llem_config.overrides` builds the
highest layer of a study from flags. `llem_config.foreign_files` opens files that other people
wrote. This package needs pydantic and a YAML parser, but no other
package of llem.

Each name is imported when it is first used: the meter of llem-energy needs the class of errors only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llem_config._errors import LlemError
    from llem_config._faults import ConfigError, Fault
    from llem_config._loading.load import load_experiment, load_study
    from llem_config._schema import study_json_schema
    from llem_config._spec.capabilities import (
        BACKENDS,
        DECODING_SUPPORT,
        PRECISION_SUPPORT,
        PhaseName,
    )
    from llem_config._spec.cycle_parts import CyclePart, cycles_and_points
    from llem_config._spec.dataset import DatasetConfig, InputTokensConfig
    from llem_config._spec.decoder import DecoderConfig
    from llem_config._spec.experiment import ExperimentConfig
    from llem_config._spec.factors import Factor
    from llem_config._spec.hashing import (
        HASH_FORMAT,
        canonical,
        measurement_config_hash,
        study_design_hash,
    )
    from llem_config._spec.lora import LoRAConfig
    from llem_config._spec.measurement import BaselineConfig, EnergyConfig, WarmupConfig
    from llem_config._spec.pytorch import PyTorchConfig
    from llem_config._spec.study import ExecutionConfig, SkippedPoint, StudyConfig
    from llem_config._spec.tensorrt import TensorRTConfig
    from llem_config._spec.vllm import VLLMConfig
    from llem_config.settings import Settings, load_settings

__all__ = [
    "BACKENDS",
    "DECODING_SUPPORT",
    "HASH_FORMAT",
    "PRECISION_SUPPORT",
    "BaselineConfig",
    "ConfigError",
    "CyclePart",
    "DatasetConfig",
    "DecoderConfig",
    "EnergyConfig",
    "ExecutionConfig",
    "ExperimentConfig",
    "Factor",
    "Fault",
    "InputTokensConfig",
    "LlemError",
    "LoRAConfig",
    "PhaseName",
    "PyTorchConfig",
    "Settings",
    "SkippedPoint",
    "StudyConfig",
    "TensorRTConfig",
    "VLLMConfig",
    "WarmupConfig",
    "canonical",
    "cycles_and_points",
    "load_experiment",
    "load_settings",
    "load_study",
    "measurement_config_hash",
    "study_design_hash",
    "study_json_schema",
]

_MODULES = {
    "_errors": ("LlemError",),
    "_faults": (
        "ConfigError",
        "Fault",
    ),
    "_loading.load": (
        "load_experiment",
        "load_study",
    ),
    "_schema": ("study_json_schema",),
    "_spec.capabilities": (
        "BACKENDS",
        "DECODING_SUPPORT",
        "PRECISION_SUPPORT",
        "PhaseName",
    ),
    "_spec.cycle_parts": (
        "CyclePart",
        "cycles_and_points",
    ),
    "_spec.dataset": (
        "DatasetConfig",
        "InputTokensConfig",
    ),
    "_spec.decoder": ("DecoderConfig",),
    "_spec.experiment": ("ExperimentConfig",),
    "_spec.factors": ("Factor",),
    "_spec.hashing": (
        "HASH_FORMAT",
        "canonical",
        "measurement_config_hash",
        "study_design_hash",
    ),
    "_spec.lora": ("LoRAConfig",),
    "_spec.measurement": (
        "BaselineConfig",
        "EnergyConfig",
        "WarmupConfig",
    ),
    "_spec.pytorch": ("PyTorchConfig",),
    "_spec.study": (
        "ExecutionConfig",
        "SkippedPoint",
        "StudyConfig",
    ),
    "_spec.tensorrt": ("TensorRTConfig",),
    "_spec.vllm": ("VLLMConfig",),
    "settings": (
        "Settings",
        "load_settings",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
