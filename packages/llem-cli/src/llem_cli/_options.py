"""Flags that several commands share, and their translation into layers of a study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from llem_config import ConfigError, Fault, merge, override, parse_value

CLI_DEFAULTS: Mapping[str, Any] = {"execution": {"n_cycles": 3}}
"""A person at a terminal wants an error bar; a file or a flag that says otherwise wins."""

Order = Literal["sequential", "interleaved", "shuffled"]
Set = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative=(),
        help="Set a field over the file, e.g. --set pytorch.batch_size=8; may be repeated.",
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON object.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative=(), help="Show no progress.")]
Verbose = Annotated[
    bool, Parameter(name="--verbose", negative=(), help="Show every stage, and tracebacks.")
]
Cycles = Annotated[
    int | None,
    Parameter(name="--cycles", help="Repeats of every experiment; 3 if the file does not say."),
]
Gaps = Annotated[bool, Parameter(name="--gaps", negative="--no-gaps", help="Pause between runs.")]
Timeout = Annotated[
    float | None, Parameter(name="--timeout", help="Seconds after which a run is killed.")
]


def overrides(
    settings: Sequence[str],
    *,
    cycles: int | None = None,
    order: Order | None = None,
    gaps: bool = True,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return the flags that were given, in the shape of a study file.

    Raises:
        ConfigError: a `--set` without `=`, or with a value that is no YAML.
    """
    layer: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            problem = f"expected --set key=value, found {text!r}"
            raise ConfigError([Fault("<command line>", 0, 0, "", problem)])
        layer = merge(layer, override(key, parse_value(value)))
    execution: dict[str, Any] = {"n_cycles": cycles, "cycle_order": order}
    execution["timeout_seconds"] = timeout
    if not gaps:
        execution |= {"config_gap_seconds": 0.0, "cycle_gap_seconds": 0.0}
    given = {key: value for key, value in execution.items() if value is not None}
    return merge(layer, {"execution": given}) if given else layer
