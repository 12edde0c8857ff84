"""The settings of one cluster, `clusters.NAME`, which the package of the cluster describes.

    settings = cluster_settings("slurm", SlurmSettings, {"time": "4h"})

A package declares the pydantic model of its settings in the entry-point group
`llem.cluster_settings`, under the name of the cluster. llem-config knows no cluster.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llem_config._faults import ConfigError, Fault
from llem_config._loading.fault_messages import describe_error
from llem_config._loading.suggest import did_you_mean, listed
from llem_config._loading.yaml_document import Document, parse_value, read_document
from llem_config._machine_paths import ENV_FILE
from llem_config.extensions import extensions
from llem_config.settings import ENV_PREFIX, load_settings, settings_path

__all__ = ["check_cluster_value", "cluster_model", "cluster_names", "cluster_settings"]

GROUP = "llem.cluster_settings"
SECTION = "clusters"
_Model = TypeVar("_Model", bound=BaseModel)


def cluster_names() -> tuple[str, ...]:
    """Return the clusters whose settings an installed package describes."""
    return tuple(sorted({extension.name for extension in extensions(GROUP)}))


def cluster_model(name: str) -> type[BaseModel]:
    """Return the model of a cluster's settings.

    Raises:
        ConfigError: no installed package describes this cluster, or it cannot be imported.
    """
    for extension in extensions(GROUP, name):
        try:
            model = extension.load()
        except Exception as error:
            problem = f"the package {extension.package} cannot be used: {error}"
            raise ConfigError([_on_command_line(f"{SECTION}.{name}", problem)]) from error
        if isinstance(model, type) and issubclass(model, BaseModel):
            return model
    names = cluster_names()
    hint = did_you_mean(name, names) or listed(names)
    problem = f"expected a cluster of an installed package, found {name!r}{hint}"
    raise ConfigError([_on_command_line(SECTION, problem if names else f"{problem}; install it")])


def cluster_settings(name: str, model: type[_Model], options: Mapping[str, Any]) -> _Model:
    """Return the settings of a cluster on this machine.

    Args:
        name: of the cluster.
        model: of its settings.
        options: from the command line, by the name of the setting; they replace those of the
            machine.

    Raises:
        ConfigError: one is wrong; the message has the file and line, the variable, or the option.
    """
    stored = {k: _parsed(name, k, v) for k, v in load_settings().clusters.get(name, {}).items()}
    try:
        return model.model_validate({**stored, **options})
    except ValidationError as error:
        items = error.errors(include_url=False)
        document = _document()
        faults = [_fault(item, name, model, options, document) for item in items]
        raise ConfigError(faults) from error


def check_cluster_value(name: str, key: str, value: Any) -> None:
    """Return if a value is valid for one setting of a cluster.

    Raises:
        ConfigError: it is not, or there is no such cluster or setting.
    """
    model = cluster_model(name)
    try:
        model.model_validate({key: value})
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        problem = describe_error(item, model.model_json_schema(), _route(item))
        raise ConfigError([_on_command_line(f"{SECTION}.{name}.{key}", problem)]) from error


def _parsed(name: str, key: str, value: Any) -> Any:
    """Return a value; a list in an environment variable is text until here."""
    is_list = isinstance(value, str) and value.startswith("[")
    if is_list and os.environ.get(f"{ENV_PREFIX}{SECTION}__{name}__{key}".upper()):
        with contextlib.suppress(ConfigError):
            return parse_value(value)
    return value


def _route(item: Any) -> tuple[str | int, ...]:
    return tuple(part for part in item["loc"] if isinstance(part, str | int))


def _fault(
    item: Any,
    name: str,
    model: type[BaseModel],
    options: Mapping[str, Any],
    document: Document | None,
) -> Fault:
    route = _route(item)
    problem = describe_error(item, model.model_json_schema(), route)
    full = (SECTION, name, *route)
    if route and route[0] in options:
        return _on_command_line(".".join(map(str, full)), problem)
    variable = ENV_PREFIX + "__".join(str(part) for part in full[:3]).upper()
    if document is None or os.environ.get(variable):
        return Fault("<environment>", 0, 0, variable, problem)
    return document.fault(full, problem, at_key=item["type"] == "extra_forbidden")


def _document() -> Document | None:
    path = settings_path()
    is_there = path.exists() or os.environ.get(ENV_FILE)
    return read_document(path, may_be_empty=True) if is_there else None


def _on_command_line(key: str, problem: str) -> Fault:
    return Fault("<command line>", 0, 0, key, problem)
