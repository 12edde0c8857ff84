"""What an experiment needs from the machine and its libraries, checked before anything is loaded.

The libraries themselves would report these late, in a message that names no field, or would
silently use something else. The pre-flight checks call this in a process that does not load
torch, so this file must not load it either.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch.library_source import is_unknown_option
from llem_energy._backends.pytorch.model_files import file_problems, is_on_hub
from llem_energy._backends.pytorch.model_kind import unknown_type
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError
from llem_energy._hub import expanded, missing_model_problem
from llem_energy._model_info.architecture import read_config
from llem_energy._model_info.builtin import PREFIX
from llem_energy._model_info.config_file import config_problems
from llem_energy._model_info.model_ref import ModelRef

_GPU_ONLY = ("device_map", "max_memory")
_GPU_VALUES = {
    "attn_implementation": ("flash_attention_2", "flash_attention_3"),
    "cache_implementation": ("offloaded", "offloaded_static"),
}


def check_requirements(config: ExperimentConfig, *, has_gpu: bool) -> None:
    """Return if the machine meets every requirement, and the files of the experiment are sound.

    Raises:
        BackendError: the message lists everything that is missing or wrong.
    """
    if missing := [*file_problems(config), *unmet_requirements(config, has_gpu=has_gpu)]:
        raise BackendError("; ".join(missing))


def unmet_requirements(config: ExperimentConfig, *, has_gpu: bool) -> list[str]:
    """Return a sentence for each requirement of an experiment that this machine does not meet."""
    on_gpu = has_gpu and section(config).device != "cpu"
    on_cpu = () if on_gpu else (*_gpu(config), *_processor(config))
    return [
        *on_cpu, *_libraries(config), *_random_weights(config), *_models(config),
    ]  # fmt: skip


def _gpu(config: ExperimentConfig) -> Iterator[str]:
    options = section(config)
    for name in _GPU_ONLY:
        if getattr(options, name):
            yield f"{name} needs a GPU, but there is none"
    for name, values in _GPU_VALUES.items():
        if getattr(options, name) in values:
            yield f"{name} {getattr(options, name)} needs a GPU, but there is none"


def _processor(config: ExperimentConfig) -> Iterator[str]:
    """Yield what only runs on a CPU need."""
    options = section(config)
    compiled = {
        "torch_compile": options.torch_compile
        and options.torch_compile_backend in (None, "inductor"),
        "attn_implementation flex_attention": options.attn_implementation == "flex_attention",
        "cache_implementation quantized": options.cache_implementation == "quantized",
    }
    has_compiler = _has_compiler(os.environ.get("CXX"), os.environ.get("PATH"))
    for what in (what for what, used in compiled.items() if used and not has_compiler):
        yield f"{what} on a CPU needs a C++ compiler, but there is none; install g++"
    if options.load_in_4bit and _is_installed("kernels"):
        yield (
            "load_in_4bit on a CPU downloads an unknown kernel from the hub if the package kernels "
            "is installed; uninstall kernels"
        )


def _libraries(config: ExperimentConfig) -> Iterator[str]:
    options = section(config)
    attention = options.attn_implementation or ""
    rules = (
        (options.load_in_4bit or options.load_in_8bit, "load_in_4bit and load_in_8bit", "bitsandbytes",
         "`pip install 'llem-energy[bitsandbytes]'`"),
        (config.lora, "lora", "peft", "`pip install 'llem-energy[lora]'`"),
        # Without it, transformers would download another kernel of the same name.
        (attention == "flash_attention_2", attention, "flash_attn", "`pip install flash-attn`"),
        (attention == "flash_attention_3", attention, "flash_attn_interface",
         "`python setup.py install` in the folder hopper of its sources"),
        (options.cache_implementation == "quantized", "cache_implementation quantized",
         "optimum.quanto", "`pip install 'llem-energy[quanto]'`"),
    )  # fmt: skip
    for is_used, what, module, install in rules:
        if is_used and not _is_installed(module):
            yield f"{what} needs {module}; install it with {install}"


def _models(config: ExperimentConfig) -> Iterator[str]:
    """Yield what the hub lacks of the models, and which types the installed library lacks."""
    options = section(config)
    local = config.model.startswith(PREFIX) or expanded(config.model).is_dir()
    if options.revision and local:
        yield f"revision {options.revision} has no effect on {config.model}, which is not on a hub"
    if config.lora and is_on_hub(config.lora.adapter):
        adapter = config.lora.adapter
        yield from filter(None, [missing_model_problem("adapter", adapter, "adapter_config.json")])
    models = [ModelRef(config.model, options.revision)]
    if options.assistant_model:
        models.append(ModelRef(options.assistant_model))
    for model in models:
        data = read_config(model)
        if data is None or config_problems(data):
            continue
        if reason := unknown_type(data):
            yield f"model {model.name} {reason}"
        elif model is models[0] and not data.get("auto_map"):
            yield from _options(config.passthrough_kwargs or {}, data)


def _options(options: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options for the loader that nothing reads; the library says so only when loading."""
    for name in sorted(options):
        if name not in data and is_unknown_option(name, str(data.get("model_type", ""))):
            yield (
                f"passthrough_kwargs has {name}, which the installed transformers does not know; "
                "correct or remove it"
            )


def _random_weights(config: ExperimentConfig) -> Iterator[str]:
    if config.weights == "random":
        for name in ("device_map", "load_in_4bit", "load_in_8bit"):
            if getattr(section(config), name):
                yield f"{name} needs pretrained weights, found weights: random"


@functools.lru_cache(maxsize=1)  # called for every point of a study
def _has_compiler(named: str | None, path: str | None) -> bool:
    return any(shutil.which(name, path=path) for name in (named, "c++", "g++", "clang++") if name)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
