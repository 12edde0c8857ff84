"""What is wrong with the files of a model or an adapter, whatever the machine and its libraries.

The pre-flight checks call this in a process that does not load torch, so this file must not load it
either. A file that is opened here may come from anybody.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from llem_config import ExperimentConfig, PyTorchConfig
from llem_config.foreign_files import ForeignFileError, file_problem, read_json
from llem_energy._backends.pytorch.model_kind import kernel_options, kind_problem
from llem_energy._backends.pytorch.section import section
from llem_energy._hub import expanded, is_hub_id, missing_model_problem, model_folder
from llem_energy._model_info.architecture import read_config
from llem_energy._model_info.config_file import config_problems
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import file_tensors, loaded_files
from llem_energy._model_info.weight_counts import count_problem
from llem_energy._prompts.synthetic import SYNTHETIC

_ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MAX_SETTINGS_BYTES = 50_000_000
_MAX_TOKENIZER_BYTES = 1_000_000_000
_GENERATION = "generation_config.json"
_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_VOCABULARY = (
    *("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model"),
    "chat_template.jinja",
)


def file_problems(config: ExperimentConfig) -> Iterator[str]:
    """Yield why no machine can run an experiment with the files that it names."""
    options = section(config)
    if not options.trust_remote_code:
        for option in kernel_options(config.passthrough_kwargs or {}):
            yield (
                f"passthrough_kwargs has {option}, which runs code of the hub; read it, then set "
                "pytorch.trust_remote_code: true, or remove the option"
            )
    yield from _model_problems(config, ModelRef(config.model, options.revision), is_main=True)
    if options.assistant_model:
        yield from _model_problems(config, ModelRef(options.assistant_model), is_main=False)
    if config.lora and not is_on_hub(config.lora.adapter):
        yield from _adapter_problems(config.lora.adapter, options)


def is_on_hub(name: str) -> bool:
    """Return whether a model or an adapter is one of the hub, by its name."""
    return is_hub_id(name) and not expanded(name).is_dir()


def _model_problems(config: ExperimentConfig, model: ModelRef, *, is_main: bool) -> Iterator[str]:
    data = read_config(model)
    if data is None or config_problems(data):
        return  # not on this machine, or reported by the checks for every backend
    reason = kind_problem(data, trusts_code=bool(section(config).trust_remote_code) and is_main)
    if reason:
        yield f"model {model.name} {reason}"
        return
    folder = model_folder(model.name, model.revision)
    if folder is None:
        return
    is_local = expanded(model.name).is_dir()
    has_text = is_main and config.dataset.source != SYNTHETIC
    yield from _side_files(folder, has_text=has_text)
    if config.weights == "random":
        return
    if os.path.lexists(folder / _ADAPTER_CONFIG):
        yield (
            f"{folder / _ADAPTER_CONFIG}: transformers would load this adapter with the model; move "
            "it to a folder of its own and name that folder in `lora`"
        )
    variant = (config.passthrough_kwargs or {}).get("variant")
    if section(config).use_safetensors is not False:
        reason = _weights(folder, variant if isinstance(variant, str) else None, is_local=is_local)
        if reason is None:
            reason = count_problem(model, data)
        if reason:
            yield f"model {model.name!r} cannot be loaded: {reason}"


def _side_files(folder: Path, *, has_text: bool) -> Iterator[str]:
    """Yield what is wrong with the files of a model's folder, its weights apart."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        yield f"{folder}: cannot be read: {error.strerror}"
        return
    for path in paths:
        if not path.is_dir() and path.name != "config.json" and (problem := file_problem(path)):
            yield problem
    for name in (_GENERATION, *(_TOKENIZER if has_text else ())):
        path = folder / name
        if path.is_file() or path.is_dir():
            try:
                read_json(path, max_bytes=_MAX_SETTINGS_BYTES)
            except ForeignFileError as error:
                yield str(error)
    # The only files below the folder that the library opens.
    texts = [*folder.glob("additional_chat_templates/*.jinja")]
    if has_text:
        texts += [path for name in _VOCABULARY if (path := folder / name).is_file()]
    yield from filter(None, (file_problem(path, _MAX_TOKENIZER_BYTES) for path in sorted(texts)))


def _weights(folder: Path, variant: str | None, *, is_local: bool) -> str | None:
    """Return why the weights in a model's folder cannot be loaded, as the end of a sentence.

    Args:
        folder: of the model.
        variant: of the file names.
        is_local: whether the folder must be complete; files in the hub's cache may be missing.
    """
    try:
        files = loaded_files(folder, variant)
        absent = [file.name for file in files if not os.path.lexists(file)]
        if absent and is_local:
            return (
                f"its folder lacks {len(absent)} of its {len(files)} files, e.g. {absent[0]}; "
                "download the model again"
            )
        for file in files:
            if os.path.lexists(file):
                file_tensors(file)
    except ForeignFileError as error:
        return str(error)
    if files or not is_local:
        return None
    wanted = f"model{f'.{variant}' if variant else ''}.safetensors"
    if any(folder.glob("pytorch_model*.bin")):
        return (
            f"its folder has no {wanted}, only pickled weights, which can run code; if you trust "
            "them, set pytorch.use_safetensors: false"
        )
    advice = "correct passthrough_kwargs.variant" if variant else "correct the path"
    return (
        f"its folder has no {wanted} and no index of several files; {advice}, or download the model "
        "again"
    )


def _adapter_problems(adapter: str, options: PyTorchConfig) -> Iterator[str]:
    """Yield what is wrong with the folder of an adapter."""
    missing = missing_model_problem("adapter", adapter, _ADAPTER_CONFIG)
    if missing:
        yield missing
        return
    folder = expanded(adapter)
    try:
        data = read_json(folder / _ADAPTER_CONFIG, max_bytes=_MAX_SETTINGS_BYTES)
        weights = folder / _ADAPTER_WEIGHTS
        if os.path.lexists(weights):
            file_tensors(weights)
    except ForeignFileError as error:
        yield str(error)
        return
    if not isinstance(data.get("peft_type"), str):
        yield (
            f"{folder / _ADAPTER_CONFIG}: peft_type: expected the kind of the adapter, e.g. 'LORA'; "
            "is it the folder of an adapter?"
        )
    if data.get("megatron_config") is not None:
        yield (
            f"{folder / _ADAPTER_CONFIG}: megatron_config: expected null, because it makes peft "
            "import a module that the file names; remove the key"
        )
    if not os.path.lexists(weights) and options.use_safetensors is not False:
        yield f"the adapter folder {adapter} has no {_ADAPTER_WEIGHTS}; convert it to safetensors"
