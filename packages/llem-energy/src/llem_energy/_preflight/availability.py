"""Checks whether an experiment can start here, without importing its inference library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

from llem_config import ExperimentConfig
from llem_config.extensions import extensions
from llem_config.foreign_files import ForeignFileError
from llem_energy._backends.registry import (
    GROUP,
    backend_names,
    backend_package,
    facts_of,
    missing_backend_problem,
)
from llem_energy._errors import MeasurementError
from llem_energy._hub import expanded, is_hub_id, missing_model_problem, model_folder
from llem_energy._model_info.builtin import PREFIX, builtin_architecture
from llem_energy._model_info.config_file import CONFIG_NAME, config_problems, read_config_file
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._prompts.synthetic import SYNTHETIC
from llem_energy._prompts.template_files import template_problem


def blocking_problems(config: ExperimentConfig) -> list[str]:
    """Return why an experiment cannot start on this machine, its data set apart."""
    problems = [_backend_problem(config.backend)]
    problems += [_model_problem(model) for model in _models(config) if _is_on_hub(model)]
    return [*(problem for problem in problems if problem), *file_problems(config)]


def file_problems(config: ExperimentConfig) -> list[str]:
    """Return why an experiment cannot start on any machine with the files of this one.

    The device, the installed libraries and the hub have no influence.
    """
    problems = [_model_problem(model) for model in _models(config) if not _is_on_hub(model)]
    if config.dataset.source != SYNTHETIC and config.model.startswith(PREFIX):
        problems.append(
            f"{config.model} has no tokenizer, so its data set must be synthetic; "
            "remove `dataset`, or use a model with a tokenizer"
        )
    problems.append(template_problem(config.dataset))
    if config.backend in backend_names():
        problems += facts_of(config.backend).file_problems(config)
    return [problem for problem in problems if problem]


def _models(config: ExperimentConfig) -> tuple[ModelRef, ...]:
    if config.backend not in backend_names():
        return ()  # an unknown backend may find its models in another way
    return tuple(dict.fromkeys(facts_of(config.backend).models(config)))


def _is_on_hub(model: ModelRef) -> bool:
    return is_hub_id(model.name) and not expanded(model.name).is_dir()


def unmet_requirements(
    experiments: Sequence[ExperimentConfig], *, has_gpu: bool
) -> dict[str, list[int]]:
    """Return the requirements of experiments that this machine does not meet.

    `blocking_problems` concern a model or a data set. These come from single options: if a study
    sweeps over such an option, its other points can run.

    Args:
        experiments: to be run.
        has_gpu: whether the driver shows a GPU on this machine.

    Returns:
        Sentences, each with the indices of the experiments that it concerns.

    Raises:
        BackendError: the facts of a backend cannot be imported.
    """
    points: dict[str, list[int]] = {}
    for i, config in enumerate(experiments):
        sentences = facts_of(config.backend).requirements(config, has_gpu=has_gpu)
        for sentence in dict.fromkeys(sentences):
            points.setdefault(sentence, []).append(i)
    return points


def missing_libraries(backend: str) -> list[str]:
    """Return the libraries of a backend that are not installed.

    A backend's package lists them under the extra that carries the backend's name.
    """
    missing = []
    for extension in extensions(GROUP, backend):
        for requirement in extension.requires:
            if re.search(rf"extra\s*==\s*['\"]{re.escape(backend)}['\"]", requirement):
                name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
                if not _installed(name):
                    missing.append(name)
    return missing


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _backend_problem(name: str) -> str | None:
    if name not in backend_names():
        return missing_backend_problem(name)
    missing = missing_libraries(name)
    if missing:
        libraries = ", ".join(missing)
        package = backend_package(name)
        return (
            f"the backend {name} needs {libraries}; install with `pip install '{package}[{name}]'`"
        )
    return None


def _model_problem(model: ModelRef) -> str | None:
    try:
        if builtin_architecture(model.name) is not None:
            return None
    except MeasurementError as error:
        return str(error)
    missing = missing_model_problem("model", model.name, CONFIG_NAME, model.revision)
    return missing or _damaged_config(model)


def _damaged_config(model: ModelRef) -> str | None:
    """Return why the config.json of a model on this machine cannot be used; None if it can."""
    folder = model_folder(model.name, model.revision)
    if folder is None or not os.path.lexists(folder / CONFIG_NAME):
        return None  # not downloaded yet
    try:
        problems = config_problems(read_config_file(folder))
    except ForeignFileError as error:
        return str(error)
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{folder / CONFIG_NAME}: {problems[0]}{more}; correct the file"
