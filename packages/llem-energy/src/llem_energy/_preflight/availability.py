"""Whether an experiment could start here, told without importing its inference library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, entry_points

from llem_config import ExperimentConfig
from llem_energy._backends.registry import GROUP, NEEDS, backend_names, backend_package
from llem_energy._errors import BackendError, MeasurementError
from llem_energy._hub import absence
from llem_energy._model_info.builtin import PREFIX, builtin_architecture
from llem_energy._prompts.load import read_prompts
from llem_energy._prompts.synthetic import SYNTHETIC


def obstacles(config: ExperimentConfig) -> list[str]:
    """Return why an experiment cannot start on this machine; empty if nothing is in its way."""
    found = [_backend(config.backend), _model(config)]
    if config.pytorch and config.pytorch.assistant_model:
        drafter = {"model": config.pytorch.assistant_model, "pytorch": None}
        found.append(_model(config.model_copy(update=drafter)))
    if config.dataset.source != SYNTHETIC:
        if config.model.startswith(PREFIX):
            found.append(f"{config.model} has no tokenizer, so its data set must be synthetic")
        try:
            read_prompts(config.dataset, config.n)
        except MeasurementError as error:
            found.append(str(error))
    return [problem for problem in found if problem]


def unmet_needs(experiments: Sequence[ExperimentConfig], *, has_gpu: bool) -> dict[str, list[int]]:
    """Return what experiments ask for and will not get here, as far as their backend tells ahead.

    Other than `obstacles`, which concern a model or a data set, these come from single choices: of
    a study that sweeps over them, the other points can run.

    Args:
        experiments: what is to run.
        has_gpu: this machine shows one.

    Returns:
        Sentences, each with the places of the experiments that it concerns.

    Raises:
        BackendError: the part of a backend's package that tells it cannot be imported.
    """
    found: dict[str, list[int]] = {}
    for name in {config.backend for config in experiments}:
        for point in entry_points(group=NEEDS, name=name):
            try:
                needs = point.load()
            except (ImportError, AttributeError) as error:
                package = backend_package(name)
                raise BackendError(
                    f"the package {package} of the backend {name} cannot tell what it needs: {error}"
                ) from error
            for i, config in enumerate(experiments):
                own = needs(config, has_gpu=has_gpu) if config.backend == name else ()
                for sentence in dict.fromkeys(own):
                    found.setdefault(sentence, []).append(i)
    return found


def missing_libraries(backend: str) -> list[str]:
    """Return the libraries of a backend that are not installed.

    A backend's package lists them under the extra that carries the backend's name.
    """
    missing = []
    for point in entry_points(group=GROUP, name=backend):
        for requirement in (point.dist.requires or ()) if point.dist else ():
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


def _backend(name: str) -> str | None:
    if name not in backend_names():
        known = ", ".join(backend_names()) or "none"
        return f"no installed package runs the backend {name}; installed: {known}"
    missing = missing_libraries(name)
    if missing:
        libraries = ", ".join(missing)
        return (
            f"the backend {name} needs {libraries}; `pip install '{backend_package(name)}[{name}]'`"
        )
    return None


def _model(config: ExperimentConfig) -> str | None:
    model = config.model
    try:
        if builtin_architecture(model) is not None:
            return None
    except MeasurementError as error:
        return str(error)
    revision = config.pytorch.revision if config.pytorch else None
    return absence("model", model, "config.json", revision)
