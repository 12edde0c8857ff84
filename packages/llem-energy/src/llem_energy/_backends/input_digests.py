"""What experiments read: the content of models, adapters and data sets, as a result records it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from llem_config import ExperimentConfig
from llem_config.settings import cache_path
from llem_energy._backends.registry import facts_of
from llem_energy._errors import MeasurementError
from llem_energy._hub import expanded, model_folder
from llem_energy._model_info.builtin import builtin_architecture
from llem_energy._model_info.file_hashing import Hashed, OnBytes, hash_files
from llem_energy._model_info.input_digest import (
    FileDigest,
    InputDigest,
    Role,
    changed_names,
    combined_sha256,
)
from llem_energy._model_info.loaded_parts import (
    LoadedParts,
    adapter_files,
    data_files,
    model_files,
)
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.hub_datasets import ALIASES
from llem_energy._prompts.synthetic import SYNTHETIC
from llem_energy._prompts.template_files import template_file


class _Input(NamedTuple):
    """Something that a run reads."""

    role: Role
    name: str
    revision: str | None
    files: dict[str, Path] | None
    """By name; None if they are not on this machine."""
    sha256: str | None = None
    """Known without files."""


def digest_inputs(
    experiments: Sequence[ExperimentConfig], on_bytes: OnBytes | None = None
) -> tuple[tuple[InputDigest, ...], ...]:
    """Return the digest of everything that each experiment reads from files of this machine.

    A large file is read once; its digest is kept in the user's cache until the file changes. Data
    sets of the hub are not included: the result has the digest of their prompts.

    Args:
        experiments: the points of a study.
        on_bytes: called with the bytes read so far and the bytes to read, while large files are
            read. It may raise to stop the reading.
    """
    inputs: dict[object, tuple[_Input, ...]] = {}
    keys = [_what_is_read(config) for config in experiments]
    for key, config in zip(keys, experiments, strict=True):
        if key not in inputs:
            inputs[key] = tuple(_inputs(config))
    paths = [
        path for each in inputs.values() for one in each for path in (one.files or {}).values()
    ]
    hashed = hash_files(paths, cache=digests_path(), on_bytes=on_bytes)
    digests = {key: tuple(_digest(one, hashed) for one in each) for key, each in inputs.items()}
    return tuple(digests[key] for key in keys)


def digests_path() -> Path:
    """Return the path of the file with the digests of large files; it is safe to delete."""
    calibrations = cache_path()
    return calibrations.with_name(f"{calibrations.stem}-digests.json")


def changed_inputs(before: Iterable[InputDigest], after: Iterable[InputDigest]) -> list[str]:
    """Return the names of the files that changed between two digests of one experiment."""
    return [
        f"{name} of the {old.role} {old.name}"
        for old, new in zip(before, after, strict=False)
        if old.sha256 is not None and old.sha256 != new.sha256
        for name in changed_names(old, new)
    ]


def _what_is_read(config: ExperimentConfig) -> object:
    facts, full = facts_of(config.backend), config.with_full_paths()
    adapters = [c.lora.adapter if c.lora else None for c in (config, full)]
    return (
        (config.backend, config.model, config.dataset.source, full.dataset.source, *adapters),
        (config.dataset.chat_template, full.dataset.chat_template),
        (facts.models(full), facts.parts(full), config.weights),
    )


def _inputs(config: ExperimentConfig) -> Iterator[_Input]:
    full, facts = config.with_full_paths(), facts_of(config.backend)
    written = facts.models(config)
    parts = [facts.parts(full)]
    parts += [LoadedParts(None if config.weights == "random" else "safetensors")] * len(written)
    roles: list[Role] = ["model", *(["draft model"] * len(written))]  # type: ignore[list-item]
    for role, shown, model, part in zip(roles, written, facts.models(full), parts, strict=False):
        yield _model(role, shown.name, model, part)
    if config.lora is not None and full.lora is not None:
        folder = model_folder(full.lora.adapter)
        files = None if folder is None else adapter_files(folder)
        yield _Input("adapter", config.lora.adapter, None, files)
    source = full.dataset.source
    if source != SYNTHETIC and source not in ALIASES and expanded(source).exists():
        yield _Input("data set", config.dataset.source, None, data_files(expanded(source)))
    template = template_file(full.dataset)
    if template is not None and template.exists():
        yield _Input("chat template", f"{config.dataset.chat_template}", None, data_files(template))


def _model(role: Role, shown: str, model: ModelRef, parts: LoadedParts) -> _Input:
    try:
        architecture = builtin_architecture(model.name)
    except MeasurementError:
        return _Input(role, shown, model.revision, None)
    if architecture is not None:
        text = json.dumps(architecture, sort_keys=True).encode()
        return _Input(role, shown, None, {}, hashlib.sha256(text).hexdigest())
    folder = model_folder(model.name, model.revision)
    files = None if folder is None else model_files(folder, parts, model.variant)
    return _Input(role, shown, model.revision, files)


def _digest(each: _Input, hashed: dict[Path, Hashed]) -> InputDigest:
    files = tuple(
        FileDigest(
            name=name,
            n_bytes=hashed[path].n_bytes,
            sha256=hashed[path].sha256,
            matches_hub=hashed[path].matches_hub,
        )
        for name, path in (each.files or {}).items()
    )
    total = each.sha256 or (None if each.files is None else combined_sha256(files))
    return InputDigest(
        role=each.role, name=each.name, revision=each.revision, sha256=total, files=files
    )
