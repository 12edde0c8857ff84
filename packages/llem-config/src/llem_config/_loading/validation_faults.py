"""The mistakes of a pydantic error, each at the place in a file where a person must edit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from llem_config._loading.fault_list import FaultList
from llem_config._loading.fault_messages import describe_error
from llem_config._loading.layers import Source, get, has, locate, setter_of
from llem_config._spec.capabilities import INCOMPATIBLE


def faults_of(
    error: ValidationError,
    sources: list[Source],
    schema: Mapping[str, Any],
    data: Mapping[str, Any],
    home: Source,
    faults: FaultList,
    *,
    partial: bool = False,
) -> None:
    """Add every mistake of a validation error, each at the source that set the value.

    Args:
        error: the result of the validation.
        sources: the layers of the data, highest first.
        schema: JSON schema of the model; it says what was expected.
        data: what was validated.
        home: where a person would add a missing field.
        faults: gets the mistakes.
        partial: the data may lack fields and need not be compatible with each other.
    """
    # If the model is wrong, the default of `weights`, which depends on it, is no second mistake.
    ignored = [INCOMPATIBLE, "default_factory_not_called"]
    ignored += ["missing", "llem_section"] if partial else []
    items = [item for item in error.errors(include_url=False) if item["type"] not in ignored]
    lists_of_faults = {item["loc"][:-1] for item in items}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in lists_of_faults:
            continue  # pydantic counts only the valid items; the fault of each other item says more
        route = item["loc"]
        while route and not has(data, route) and item["type"] != "missing":
            route = route[:-1]  # pydantic adds parts such as the branch of a union
        at = item.get("ctx", {}).get("at")
        if at is not None:
            route = (*route, at)
        source, _ = setter_of(sources, route)
        place = source or home
        if not faults.is_new(place.document.file, place.at, route, item["type"], item["msg"]):
            continue  # also a mistake of the point before
        problem = describe_error({**item, "input": get(data, route)}, schema, route)
        at_key = item["type"] in ("extra_forbidden", "llem_section")
        faults.add(locate(sources, route, problem, home, at_key=at_key))
