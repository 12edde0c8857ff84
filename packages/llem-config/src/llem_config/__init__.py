"""Validate and expand llem study files.

    from llem_config import load_study
    study = load_study("study.yaml")     # or ConfigError, with every fault and its line
    for experiment in study.experiments: ...

`llem_config.settings` has the settings of this machine, and `llem_config.overrides` builds the
highest layer of a study from flags. `llem_config.foreign_files` opens files that other people
wrote. This package needs pydantic and a YAML parser, but no other
package of llem.
"""

from llem_config._errors import LlemError
from llem_config._faults import ConfigError, Fault
from llem_config._loading.load import load_experiment, load_study
from llem_config._schema import study_json_schema
from llem_config._spec.capabilities import BACKENDS, DECODING_SUPPORT, PRECISION_SUPPORT, PhaseName
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
    "load_experiment",
    "load_settings",
    "load_study",
    "measurement_config_hash",
    "study_design_hash",
    "study_json_schema",
]
