"""Flags that several commands share, and their translation into layers of a study file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

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
Retry = Annotated[
    int,
    Parameter(
        name="--retry",
        validator=Number(gte=0),
        help="Further attempts at a run whose process crashed.",
    ),
]
TimeLimit = Annotated[
    str | None,
    Parameter(
        name="--time-limit",
        help="For all of it, e.g. 90s, 30m, 8h; the rest stays pending for `study resume`.",
    ),
]
Wait = Annotated[
    bool,
    Parameter(name="--wait", negative=(), help="Wait for a GPU that another study uses."),
]
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str | None) -> float | None:
    """Return a length of time in seconds: `90`, `90s`, `30m`, `8h`, `1.5d`, `1h30m`.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+|\d+(\.\d+)?", text):
        problem = f"expected a time such as 90s, 30m or 8h, found {text!r}"
        raise ConfigError([Fault("<command line>", 0, 0, "--time-limit", problem)])
    parts = re.findall(r"([\d.]+)([smhd]?)", text)
    return sum(float(number) * _UNITS_S[unit or "s"] for number, unit in parts)


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
