"""What an experiment needs of the machine and its libraries, told before anything is loaded.

Left to the libraries, each of these would come up late, in a message that names no field, or not
at all, where they take something else instead. Pre-flight asks too, in a process that loads no
torch, so this file does not either.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llem_config import ExperimentConfig
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError
from llem_energy._hub import absence
from llem_energy._model_info.builtin import PREFIX

_GPU_ONLY = ("device_map", "max_memory")
_GPU_VALUES = {
    "attn_implementation": ("flash_attention_2", "flash_attention_3"),
    "cache_implementation": ("offloaded", "offloaded_static"),
}


def check_needs(config: ExperimentConfig, *, has_gpu: bool) -> None:
    """Refuse what cannot be had here.

    Raises:
        BackendError: everything that is missing, as one sentence.
    """
    if missing := needs(config, has_gpu=has_gpu):
        raise BackendError("; ".join(missing))


def needs(config: ExperimentConfig, *, has_gpu: bool) -> list[str]:
    """Return a sentence for everything that an experiment asks for and cannot have here."""
    on_gpu = has_gpu and section(config).device != "cpu"
    on_cpu = () if on_gpu else (*_gpu(config), *_processor(config))
    return [*on_cpu, *_libraries(config), *_files(config), *_weights(config)]


def _gpu(config: ExperimentConfig) -> Iterator[str]:
    own = section(config)
    for name in _GPU_ONLY:
        if getattr(own, name):
            yield f"{name} needs a GPU, but there is none"
    for name, values in _GPU_VALUES.items():
        if getattr(own, name) in values:
            yield f"{name} {getattr(own, name)} needs a GPU, but there is none"


def _processor(config: ExperimentConfig) -> Iterator[str]:
    """Tell what only runs on a processor need."""
    own = section(config)
    compiled = {
        "torch_compile": own.torch_compile and own.torch_compile_backend in (None, "inductor"),
        "attn_implementation flex_attention": own.attn_implementation == "flex_attention",
        "cache_implementation quantized": own.cache_implementation == "quantized",
    }
    has_compiler = _has_compiler(os.environ.get("CXX"), os.environ.get("PATH"))
    for what in (what for what, asked in compiled.items() if asked and not has_compiler):
        yield f"{what} needs a C++ compiler on a CPU, found none; install g++"
    if own.load_in_4bit and _found("kernels"):
        yield (
            "load_in_4bit on a CPU takes a kernel from the hub where the package kernels is "
            "installed, and which one is not known; uninstall it"
        )


def _libraries(config: ExperimentConfig) -> Iterator[str]:
    own = section(config)
    attention = own.attn_implementation or ""
    rules = (
        (own.load_in_4bit or own.load_in_8bit, "load_in_4bit and load_in_8bit", "bitsandbytes",
         "`pip install 'llem-energy[bitsandbytes]'`"),
        (config.lora, "lora", "peft", "`pip install 'llem-energy[lora]'`"),
        # Without it, transformers would download another kernel of the same name.
        (attention == "flash_attention_2", attention, "flash_attn", "`pip install flash-attn`"),
        (attention == "flash_attention_3", attention, "flash_attn_interface",
         "`python setup.py install` in the folder hopper of its sources"),
        (own.cache_implementation == "quantized", "cache_implementation quantized",
         "optimum.quanto", "`pip install 'llem-energy[quanto]'`"),
    )  # fmt: skip
    for asked, what, module, install in rules:
        if asked and not _found(module):
            yield f"{what} needs {module}; install it with {install}"


def _files(config: ExperimentConfig) -> Iterator[str]:
    own = section(config)
    local = config.model.startswith(PREFIX) or Path(config.model).expanduser().is_dir()
    if own.revision and local:
        yield f"revision {own.revision} has no effect on {config.model}, which is not on a hub"
    if config.lora and (problem := absence("adapter", config.lora.adapter, "adapter_config.json")):
        yield problem


def _weights(config: ExperimentConfig) -> Iterator[str]:
    if config.weights == "random":
        for name in ("device_map", "load_in_4bit", "load_in_8bit"):
            if getattr(section(config), name):
                yield f"{name} needs pretrained weights, found weights: random"


@functools.lru_cache(maxsize=1)  # asked for every point of a study
def _has_compiler(own: str | None, path: str | None) -> bool:
    return any(shutil.which(name, path=path) for name in (own, "c++", "g++", "clang++") if name)


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
